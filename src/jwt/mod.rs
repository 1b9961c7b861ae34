//! Decides whether a token is good. Pure and synchronous: no I/O, no clock, no logging.
//!
//! [`parse`] reads it, [`verify`] finds the key that signed it, [`Policy::check`] judges what it says. The caller
//! brings the text, the [`KeySet`] and the time. [`SigningKey`] makes our own.

mod claims;
mod der;
mod error;
mod json;
mod jwk;
mod jws;
mod key;
mod key_set;
mod material;
mod pem;
mod policy;
mod signing_key;
mod token;
mod verify;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod samples;

pub use claims::Claims;
pub use error::ParseError;
pub use jwk::thumbprint;
pub use jws::{Jws, Limits};
pub use key::{Key, KeyError, Origin};
pub use key_set::{JwksError, KeySet, KeySetId, SkippedKey};
pub use policy::{Policy, PolicyError};
pub use signing_key::{HeaderForm, SigningError, SigningKey};
pub use token::{Token, parse};
pub use verify::{VerifyError, verify, verify_jws};
