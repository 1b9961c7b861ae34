//! `tollgate key`.

use std::path::Path;

use clap::Subcommand;

use super::{Failure, issuer, read};
use crate::base::Algorithm;
use crate::server::clock;
use crate::store::KeyRing;

/// Make signing keys.
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a signing key and add it to the key ring.
    ///
    /// The newest key of the issuer's algorithm signs, all keys of the ring verify. A running gateway sees the new key
    /// when it is started again. Remove an old key's file when the tokens that it signed have expired.
    #[command(after_help = "Example:\n  tollgate key generate --algorithm EdDSA")]
    Generate {
        /// ES256, ES384, ES512, EdDSA, RS256 …; by default that of `issuer.algorithm`.
        #[arg(long)]
        algorithm: Option<Algorithm>,
    },
}

impl Key {
    #[expect(clippy::print_stdout, reason = "the command line's own output")]
    pub(super) fn run(self, file: &Path) -> Result<(), Failure> {
        let config = read(file)?;
        let issuer = issuer(&config, file)?;
        let Self::Generate { algorithm } = self;
        let algorithm = algorithm.unwrap_or(issuer.algorithm);
        if algorithm.shortest_secret().is_some() {
            return Err(Failure::Usage(format!(
                "{algorithm} signs with a shared secret, which is no key of a ring: set issuer.signing_key"
            )));
        }
        let path = KeyRing::generate(&issuer.key_ring, algorithm, clock::now())
            .map_err(|error| Failure::of(&error))?;
        println!("{}", path.display());
        Ok(())
    }
}
