//! `tollgate token`.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};

use super::revoke::Revoke;
use super::{Failure, find_user, issuer, open_store, read, runtime};
use crate::base::{ReasonCode, UnixTime, parse_duration, with_causes};
use crate::config::{Config, KeySource, Users};
use crate::issuer::{FreshClaims, TokenPress};
use crate::jwt::{self, Limits, Token as ParsedToken};
use crate::providers::{self, Fetching, KeysOf, Provider};
use crate::server::clock;
use crate::store::Missing;
use crate::telemetry::Metrics;

/// How long an inspection waits for keys that are fetched.
const LONGEST_FETCHES: Duration = Duration::from_secs(10);

/// Make tokens and look into them.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Sign an access token with the issuer's key. It belongs to no session.
    #[command(after_help = "Examples:\n  tollgate token mint --user ada\n  \
                            tollgate token mint --subject job-7 --claim scope=orders:read --lifetime 1h")]
    Mint(Mint),
    /// Show what a token says, and whether a provider of the file takes it.
    ///
    /// Exits with 0 if one does, with 1 if none does. A token is a password while it lives: standard input keeps it out
    /// of the process list.
    #[command(
        after_help = "Examples:\n  tollgate token inspect < token.txt\n  tollgate token inspect \"$TOKEN\""
    )]
    Inspect {
        /// The token; `-` or nothing reads standard input.
        token: Option<String>,
    },
    /// End a token before its time. A gateway that runs hears of it within a second.
    ///
    /// It is a refresh token's end as well, but its session goes on: `tollgate user logout` ends that. A token is a
    /// password while it lives: standard input keeps it out of the process list.
    #[command(after_help = "Examples:\n  tollgate token revoke < token.txt\n  \
                            tollgate token revoke --jti 0b4d6ba1f3a04b7f9a5c7e2d1c3b5a79")]
    Revoke(Revoke),
}

/// Claims that the issuer sets in every token, and what sets them.
const SET_BY_THE_ISSUER: [(&str, &str); 6] = [
    ("exp", "--lifetime sets it"),
    ("iat", "it is the time of signing"),
    ("jti", "each token has one of its own"),
    ("token_type", "only access tokens are made here"),
    ("iss", "the provider with the gateway's own keys names it"),
    ("aud", "the provider with the gateway's own keys names it"),
];

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("whom").required(true).args(["user", "subject"]))]
pub(super) struct Mint {
    /// A user of the gateway's own, with the claims that a login would give.
    #[arg(long)]
    user: Option<String>,
    /// Anybody: the claims `sub` and `user_id`.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    subject: Option<String>,
    /// One more claim. A value that is JSON is taken as JSON, any other as text.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim_of_one_token)]
    claims: Vec<(String, Value)>,
    /// How long it lives, e.g. 5m, 1h; by default `issuer.access_token_lifetime`. More than a refresh token's life is
    /// noted in the database, so that the end of a user's tokens lasts as long.
    #[arg(long, value_parser = lifetime_of_a_token)]
    lifetime: Option<Duration>,
}

fn claim_of_one_token(text: &str) -> Result<(String, Value), String> {
    let (name, value) = claim(text)?;
    match SET_BY_THE_ISSUER.iter().find(|(set, _)| *set == name) {
        Some((_, why)) => Err(format!("the issuer sets {name:?} itself: {why}")),
        None => Ok((name, value)),
    }
}

/// A claim as it is written on a command line. A value that is JSON is taken as JSON, any other as text.
pub(super) fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("expected NAME=VALUE".into());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

/// Tokens count whole seconds.
pub(super) fn lifetime_of_a_token(text: &str) -> Result<Duration, String> {
    let lifetime = parse_duration(text).map_err(|error| error.to_string())?;
    if lifetime < Duration::from_secs(1) {
        return Err("a token lives for a second at least".into());
    }
    Ok(lifetime)
}

impl Token {
    pub(super) fn run(self, file: &Path) -> Result<(), Failure> {
        let config = read(file)?;
        match self {
            Self::Mint(mint) => mint.run(&config, file),
            Self::Inspect { token } => inspect(&config, token),
            Self::Revoke(revoke) => revoke.run(&config, file),
        }
    }
}

impl Mint {
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line's own output")]
    fn run(self, config: &Config, file: &Path) -> Result<(), Failure> {
        let issuer = issuer(config, file)?;
        let now = clock::now();
        let press = TokenPress::open(issuer, now).map_err(|error| Failure::of(&error))?;
        let mut claims = match (&self.user, self.subject) {
            (Some(name), _) => {
                // An id of our own table would name somebody else there.
                if !matches!(issuer.users, Users::Own) {
                    let why =
                        "`issuer.users` says that users live elsewhere: name one by its id with --subject";
                    return Err(Failure::Usage(why.into()));
                }
                runtime()?.block_on(async {
                    let store = open_store(issuer, Missing::Refuse).await?;
                    let user = find_user(&*store, name).await?;
                    let fresh = FreshClaims::open(issuer).await.map_err(|error| Failure::of(&error))?;
                    let made = press.user_claims(&fresh, &user, now).await;
                    let (claims, missed) = made.map_err(|error| Failure::of(&error))?;
                    if let Some(error) = missed {
                        eprintln!("warning: the token is without the hook's claims: {}", with_causes(&error));
                    }
                    Ok(claims)
                })?
            }
            (None, subject) => {
                let subject = Value::String(subject.unwrap_or_default());
                Map::from_iter([("user_id".to_owned(), subject.clone()), ("sub".to_owned(), subject)])
            }
        };
        claims.extend(self.claims);
        if let Some(lifetime) = self.lifetime.filter(|lifetime| *lifetime > issuer.longest_lifetime()) {
            // Whoever ends the user's tokens has to know how long.
            runtime()?.block_on(async {
                let store = open_store(issuer, Missing::Create).await?;
                let noted = store.minted_until(Some(now.plus(lifetime))).await;
                noted.map_err(|error| Failure::of(&error))
            })?;
        }
        let token = press.access_token(&claims, self.lifetime, now).map_err(|error| Failure::of(&error))?;
        println!("{token}");
        Ok(())
    }
}

/// The token of the command line, or of standard input.
pub(super) fn read_token(token: Option<String>) -> Result<String, Failure> {
    if let Some(token) = token.filter(|token| token != "-") {
        return Ok(token.trim().to_owned());
    }
    let mut text = String::new();
    // One byte more than any token: enough to see that it is too long.
    let limit = Limits::default().token as u64 + 1;
    std::io::stdin().take(limit).read_to_string(&mut text).map_err(|error| Failure::of(&error))?;
    Ok(text.trim().to_owned())
}

#[expect(clippy::print_stdout, reason = "the command line's own output")]
fn inspect(config: &Config, token: Option<String>) -> Result<(), Failure> {
    let text = read_token(token)?;
    let token = jwt::parse(text.as_bytes(), &Limits::default())
        .map_err(|error| Failure::Other(format!("no token ({}): {error}", error.reason())))?;
    let now = clock::now();
    println!("{:#}", json!({"header": header(&token), "claims": token.claims().members()}));
    if let Some(expiry) = token.claims().expires_at() {
        println!("{}", lifetime(expiry, now));
    }
    let mut taken = false;
    let providers = load_providers(config, now)?;
    // Dropped with its tasks at the end.
    let runtime = runtime()?;
    let fetching = Fetching {
        control: runtime.handle().clone(),
        metrics: Arc::new(Metrics::new()),
        // Whoever runs this command need not be who runs the gateway: its files are left alone.
        state_directory: None,
        clock: clock::now,
    };
    providers::start_fetching(&providers, &fetching);
    runtime.block_on(providers::first_fetches(&providers, LONGEST_FETCHES));
    for provider in providers {
        let verdict = runtime.block_on(judge(&provider, &token, now));
        taken |= verdict.is_ok();
        match verdict {
            Ok(()) => println!("provider {}: accepted", provider.name()),
            Err(why) => println!("provider {}: refused, {why}", provider.name()),
        }
    }
    if taken { Ok(()) } else { Err(Failure::Other("no provider of the file takes this token".into())) }
}

fn header(token: &ParsedToken<'_>) -> Value {
    let mut header = Map::new();
    header.insert("alg".into(), json!(token.algorithm().name()));
    header.extend(token.typ().map(|typ| ("typ".to_owned(), json!(typ))));
    header.extend(token.kid().map(|kid| ("kid".to_owned(), json!(kid))));
    Value::Object(header)
}

fn lifetime(expiry: UnixTime, now: UnixTime) -> String {
    if expiry > now {
        format!("expires in {:?}", expiry.since(now))
    } else {
        format!("expired {:?} ago", now.since(expiry))
    }
}

/// The providers of the file. One with keys of our own needs an issuer whose keys can be read.
fn load_providers(config: &Config, now: UnixTime) -> Result<Vec<Arc<Provider>>, Failure> {
    let has_own = config.providers.iter().any(|provider| matches!(provider.keys, KeySource::Own));
    let own = match &config.issuer {
        Some(issuer) if has_own => {
            Some(TokenPress::open(issuer, now).map_err(|error| Failure::of(&error))?.key_set())
        }
        _ => None,
    };
    providers::load(&config.providers, own.as_ref()).map_err(|error| Failure::of(&error))
}

async fn judge(provider: &Provider, token: &ParsedToken<'_>, now: UnixTime) -> Result<(), String> {
    if provider.introspection().is_some() {
        return Err("only the provider can tell: its tokens are introspected".to_owned());
    }
    let issuer = token.claims().issuer();
    // A tenant's keys are fetched for its first token, which is this one.
    if matches!(provider.keys_of(issuer, now), KeysOf::ToCome) {
        provider.first_keys(issuer).await;
    }
    let source = match provider.keys_of(issuer, now) {
        KeysOf::Source(source) if source.counts_at(now) => source,
        KeysOf::NoTenant => return Err(format!("{}: it has no such tenant", ReasonCode::UnknownIssuer)),
        KeysOf::Source(_) | KeysOf::ToCome => {
            return Err(format!("{}: its keys can't be fetched", ReasonCode::KeysUnavailable));
        }
    };
    provider.verify(token, &source, now).map_err(|error| format!("{}: {error}", error.reason()))?;
    provider.check(token.typ(), token.claims(), now).map_err(|error| format!("{}: {error}", error.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_json_where_it_reads_as_json() {
        assert_eq!(claim("scope=a b"), Ok(("scope".into(), json!("a b"))));
        assert_eq!(claim("level=3"), Ok(("level".into(), json!(3))));
        assert_eq!(claim("roles=[\"a\"]"), Ok(("roles".into(), json!(["a"]))));
        assert_eq!(claim("x=a=b"), Ok(("x".into(), json!("a=b"))));
        assert!(claim("scope").is_err() && claim("=x").is_err());
    }

    #[test]
    fn refuses_claims_that_would_have_no_effect() {
        for (name, _) in SET_BY_THE_ISSUER {
            assert!(claim_of_one_token(&format!("{name}=1")).is_err(), "{name}");
        }
    }
}
