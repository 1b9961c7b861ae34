//! What every room names: units, secrets, algorithms, claim paths, names, reason codes.
//!
//! Row 0: imports nothing of the project. Nothing here does I/O or reads a clock.

mod algorithm;
mod causes;
mod claim_path;
mod date;
mod name;
mod rate;
mod reason;
mod secret;
mod text;
mod time;
mod token_class;
mod unit;

pub use algorithm::{Algorithm, AlgorithmSet, KeyFamily, UnknownAlgorithm};
pub use causes::with_causes;
pub use claim_path::{ClaimPath, InvalidClaimPath};
pub use date::parse_date_or_time;
pub use name::{ProviderName, RouteName, UpstreamName};
pub use rate::Rate;
pub use reason::ReasonCode;
pub use secret::{Secret, SecretSource};
pub use text::ShortText;
pub use time::UnixTime;
pub use token_class::TokenClass;
pub use unit::{ByteSize, InvalidUnit, parse_duration};
