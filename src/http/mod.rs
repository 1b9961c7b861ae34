//! What HTTP asks of a gateway before anybody is authenticated: one reading of path and host, headers that
//! must not cross, who the client is, and the answers of a refusal.
//!
//! Pure: no I/O, no clock; but for [`client`], by which the control plane gets small documents from elsewhere. A
//! request passes `authority` → `path` → (route) → `hygiene`.

mod authority;
pub mod client;
mod drf;
mod forwarded;
mod hygiene;
mod path;
mod refusal;

pub use authority::{BadHost, RequestHost, is_authority, request_host};
pub use forwarded::{ClientPath, client_path, forwarded_element, host_told_by_proxy};
pub use hygiene::{InjectedNames, strip_hop_by_hop};
pub use path::{AmbiguousPath, NormalPath, Oddities, normalize};
pub use refusal::{BEARER, Refusal, error_answer};
