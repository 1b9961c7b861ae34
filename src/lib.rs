//! Tollgate: an API gateway that enforces JSON Web Tokens and can issue them.
//!
//! Each folder is one idea and imports only from rows below its own; `ARCHITECTURE.md` draws the rows and
//! `tests/rows.rs` keeps them.

pub mod admin;
pub mod base;
pub mod cli;
pub mod config;
pub mod egress;
pub mod gateway;
pub mod http;
pub mod import;
pub mod issuer;
pub mod jwt;
pub mod providers;
pub mod revocations;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upstream;
