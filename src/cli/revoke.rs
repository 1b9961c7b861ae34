//! `tollgate token revoke`.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};
use serde_json::Value;

use super::token::{lifetime_of_a_token, read_token};
use super::user_sessions::untold;
use super::{Failure, issuer, open_store, runtime};
use crate::base::{TokenClass, UnixTime};
use crate::config::{self, Config, KeySource, TokenForm};
use crate::issuer::open_mirror;
use crate::jwt::{self, Limits};
use crate::revocations::Naming;
use crate::server::clock;
use crate::store::{MirroredToken, Missing, Revocation, Revoked};

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("which").args(["token", "jti"]))]
pub(super) struct Revoke {
    /// The token, of any provider; `-` or nothing reads standard input.
    token: Option<String>,
    /// A token of the gateway's own by its `jti`, as a log or a database names it.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    jti: Option<String>,
    /// How long an opaque token lives at most, e.g. 30d: it does not say so itself.
    #[arg(long, value_parser = lifetime_of_a_token, conflicts_with = "jti")]
    expires_in: Option<Duration>,
}

impl Revoke {
    #[expect(clippy::print_stdout, reason = "the command line's own output")]
    pub(super) fn run(self, config: &Config, file: &std::path::Path) -> Result<(), Failure> {
        let issuer = issuer(config, file)?;
        let now = clock::now();
        let text = match self.jti {
            Some(_) => String::new(),
            None => read_token(self.token)?,
        };
        let of_text = match &self.jti {
            Some(_) => Vec::new(),
            None => any_token(config, issuer, &text, self.expires_in, now)?,
        };
        runtime()?.block_on(async {
            let store = open_store(issuer, Missing::Refuse).await?;
            let revocations = match &self.jti {
                Some(jti) => {
                    let minted = store.minted_until(None).await.map_err(|error| Failure::of(&error))?;
                    vec![own_token(issuer, jti.clone(), now.plus(issuer.longest_lifetime()).max(minted))]
                }
                None => of_text,
            };
            store.revoke(&revocations).await.map_err(|error| Failure::of(&error))?;
            let expires_at = revocations[0].expires_at;
            println!("revoked; the entry leaves in {:?}, when the token has expired", expires_at.since(now));
            match self.jti.or_else(|| name_for_site(&issuer.form, &text)) {
                Some(jti) => {
                    let token = MirroredToken { jti: &jti, text: &text, user: None, expires_at };
                    tell_site(issuer, token, now).await.map_err(|why| untold(&why))
                }
                None => Ok(()),
            }
        })
    }
}

async fn tell_site(issuer: &config::Issuer, token: MirroredToken<'_>, now: UnixTime) -> Result<(), Failure> {
    let Some(site) = open_mirror(&issuer.users).await.map_err(|error| Failure::of(&error))? else {
        return Ok(());
    };
    site.blacklist(token, now).await.map_err(|error| Failure::of(&error))
}

/// The name of a token that the site would look for in its blacklist: a refresh or a sliding token.
fn name_for_site(form: &TokenForm, text: &str) -> Option<String> {
    let token = jwt::parse(text.as_bytes(), &Limits::default()).ok()?;
    let claim = |name: &str| token.claims().members().get(name);
    let kept = [TokenClass::Sliding.token_type(), "refresh"];
    let token_type = claim(&form.token_type_claim)?.as_str()?;
    let jti = claim(&form.jti_claim)?.as_str()?;
    kept.contains(&token_type).then(|| jti.to_owned())
}

/// When it expires nobody knows, but no token of ours lives longer than to `last`.
fn own_token(issuer: &config::Issuer, jti: String, last: UnixTime) -> Revocation {
    Revocation {
        what: Revoked::Token { issuer: issuer.issuer.clone(), jti },
        expires_at: last.plus(issuer.longest_leeway),
    }
}

/// A token need not be good to be revoked: what it says of itself is what others would be told. One that an introspection
/// endpoint judges goes by its text.
fn any_token(
    config: &Config,
    ours: &config::Issuer,
    text: &str,
    expires_in: Option<Duration>,
    now: UnixTime,
) -> Result<Vec<Revocation>, Failure> {
    let is_introspected =
        config.providers.iter().any(|provider| matches!(provider.keys, KeySource::Introspection(_)));
    let by_text = |expires_at| Revocation { what: Naming::text(text.as_bytes()), expires_at };
    let token = match jwt::parse(text.as_bytes(), &Limits::default()) {
        Ok(token) => token,
        Err(error) if !is_introspected || text.is_empty() => {
            return Err(Failure::Other(format!("no token ({}): {error}", error.reason())));
        }
        Err(_) => {
            let unending = || Failure::Other("an opaque token needs --expires-in".to_owned());
            let expires_at = now.plus(expires_in.ok_or_else(unending)?).plus(ours.longest_leeway);
            return Ok(vec![by_text(expires_at)]);
        }
    };
    let claims = token.claims();
    let unending = || Failure::Other("the token says of no time when it expires (`exp`)".to_owned());
    let expires_at = claims.expires_at().ok_or_else(unending)?;
    // Copies of a sliding token have its name, and may be renewed until then.
    let sliding = &ours.form.sliding;
    let renewed_until = claims.members().get(&sliding.refresh_exp_claim).and_then(Value::as_i64);
    let last_copy = renewed_until.map_or(expires_at, |end| UnixTime(end).plus(sliding.lifetime));
    let last_copy = last_copy.min(now.plus(sliding.longest_life()));
    let expires_at = expires_at.max(last_copy).plus(ours.longest_leeway);
    if expires_at <= now {
        return Err(Failure::Other("the token has expired".to_owned()));
    }
    let what = Naming::of(&ours.form).token(claims, token.signing_input());
    let by_itself = Revocation { what, expires_at };
    Ok(if is_introspected { vec![by_itself, by_text(expires_at)] } else { vec![by_itself] })
}
