//! Tollgate: an API gateway that enforces JSON Web Tokens and can issue them.
//!
//! Each folder is one idea and imports only from rows below its own; `ARCHITECTURE.md` draws the rows and
//! `tests/rows.rs` keeps them.

pub mod base;
pub mod config;
pub mod issuer;
pub mod jwt;
pub mod store;
