//! `gateway.yaml`: from the text as written to types as meant.

mod model;

pub use model::*;
