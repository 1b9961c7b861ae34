//! `tollgate token revoke`.

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::token::read_token;
use super::{Failure, issuer, open_store, runtime};
use crate::base::UnixTime;
use crate::config::{self, Config};
use crate::jwt::{self, Limits};
use crate::revocations::Naming;
use crate::server::clock;
use crate::store::{Missing, Revocation, Revoked};

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("which").args(["token", "jti"]))]
pub(super) struct Revoke {
    /// The token, of any provider; `-` or nothing reads standard input.
    token: Option<String>,
    /// A token of the gateway's own by its `jti`, as a log or a database names it.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    jti: Option<String>,
}

impl Revoke {
    #[expect(clippy::print_stdout, reason = "the command line's own output")]
    pub(super) fn run(self, config: &Config, file: &std::path::Path) -> Result<(), Failure> {
        let issuer = issuer(config, file)?;
        let now = clock::now();
        let revocation = match self.jti {
            Some(jti) => own_token(issuer, jti, now),
            None => any_token(issuer, &read_token(self.token)?, now)?,
        };
        let expires_at = revocation.expires_at;
        runtime()?.block_on(async {
            let store = open_store(issuer, Missing::Refuse).await?;
            store.revoke(&[revocation]).await.map_err(|error| Failure::of(&error))
        })?;
        println!("revoked; the entry leaves in {:?}, when the token has expired", expires_at.since(now));
        Ok(())
    }
}

/// When it expires nobody knows, but no token of ours lives longer.
fn own_token(issuer: &config::Issuer, jti: String, now: UnixTime) -> Revocation {
    let longest = issuer.access_token_lifetime.max(issuer.refresh_token_lifetime);
    Revocation {
        what: Revoked::Token { issuer: issuer.issuer.clone(), jti },
        expires_at: now.plus(longest).plus(issuer.longest_leeway),
    }
}

/// A token need not be good to be revoked: what it says of itself is what others would be told.
fn any_token(ours: &config::Issuer, text: &str, now: UnixTime) -> Result<Revocation, Failure> {
    let token = jwt::parse(text.as_bytes(), &Limits::default())
        .map_err(|error| Failure::Other(format!("no token ({}): {error}", error.reason())))?;
    let claims = token.claims();
    let unending = || Failure::Other("the token says of no time when it expires (`exp`)".to_owned());
    let expires_at = claims.expires_at().ok_or_else(unending)?.plus(ours.longest_leeway);
    if expires_at <= now {
        return Err(Failure::Other("the token has expired".to_owned()));
    }
    let what = Naming::of(&ours.form).token(claims, token.signing_input());
    Ok(Revocation { what, expires_at })
}
