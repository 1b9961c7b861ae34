//! What can be wrong in the file, in words for the person who wrote it.

use std::cmp::Reverse;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::Algorithm;

/// All mistakes of one file, in the order of their places; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    list: Vec<Mistake>,
}

/// One mistake: where it is, what it is, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// Line and column in characters, from 1.
    pub place: (usize, usize),
    /// The path of the key, e.g. `routes[2].auth.providers[0]`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub kind: MistakeKind,
    /// What to do about it, where that can be said.
    pub hint: Option<String>,
}

/// What is wrong. Values are shown as they are written in the file, so what a variable of the environment
/// holds is never printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MistakeKind {
    /// The file itself can't be opened or is no UTF-8.
    #[error("the file can't be read: {0}")]
    Unreadable(String),
    /// The file is longer than any that was meant.
    #[error("the file is larger than {limit_kib}KiB")]
    FileTooLarge {
        /// The limit.
        limit_kib: usize,
    },
    /// Not YAML.
    #[error("this is no valid YAML: {0}")]
    Syntax(String),
    /// More than one document (`---`).
    #[error("a second YAML document begins here; the file is one document")]
    SecondDocument,
    /// `&name`, `*name`: a few lines of them can stand for gigabytes.
    #[error("YAML anchors and aliases are not taken")]
    Alias,
    /// `!name`: has no meaning here.
    #[error("YAML tags are not taken")]
    Tag,
    /// A list or a section in the place of a key.
    #[error("a key must be text")]
    KeyNotText,
    /// Nested deeper than any key is.
    #[error("nested too deep")]
    TooDeep,
    /// The two YAML parsers read different things.
    #[error("YAML parsers differ in how they read this file; write it more plainly")]
    ReadTwoWays,
    /// The key was there already.
    #[error("{key:?} stands here a second time; it was given on line {first_line}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it stands first.
        first_line: usize,
    },
    /// No such key.
    #[error("unknown key {0:?}")]
    UnknownKey(String),
    /// The part that the key belongs to is not built.
    #[error("not available in this version")]
    NotAvailable,
    /// An `https://` upstream.
    #[error(
        "an https upstream is refused until its certificate can be verified: not available in this version"
    )]
    HttpsUpstream,
    /// A key that must be there.
    #[error("{0:?} is missing")]
    Missing(&'static str),
    /// The value is of another type or form.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What may stand here.
        expected: String,
        /// What stands here.
        found: String,
    },
    /// The value has the right form and makes no sense.
    #[error("{found} is out of range: {allowed}")]
    OutOfRange {
        /// The range.
        allowed: String,
        /// What stands here.
        found: String,
    },
    /// The same thing twice in a list.
    #[error("{0} stands in the list twice")]
    Repeated(String),
    /// Two keys or values of which only one may be there.
    #[error("can't stand beside {0}")]
    Conflict(String),
    /// The key would change nothing.
    #[error("has no effect {0}")]
    NoEffect(&'static str),
    /// `${NAME}` and there is no such variable.
    #[error("the environment has no variable {0}")]
    UnknownVariable(String),
    /// `${` and then something else than a variable.
    #[error("\"${{\" begins no ${{NAME}} or ${{NAME:-default}}")]
    BadSubstitution,
    /// A secret in clear text.
    #[error("a secret must not be written into the file")]
    LiteralSecret,
    /// A secret's file can't be read.
    #[error("the secret's file can't be read: {0}")]
    SecretFile(String),
    /// A secret's file is too long to be one.
    #[error("the secret's file is larger than {limit_kib}KiB")]
    SecretTooLarge {
        /// The limit.
        limit_kib: u64,
    },
    /// A secret of no bytes.
    #[error("the secret is empty")]
    EmptySecret,
    /// RFC 7518, section 3.2: an HMAC key is at least as long as the hash.
    #[error("the secret has {found} bytes; {algorithm} needs at least {needed}")]
    ShortSecret {
        /// The algorithm with the longest hash of those that it is too short for.
        algorithm: Algorithm,
        /// The length of its hash.
        needed: usize,
        /// The length of the secret.
        found: usize,
    },
    /// PEM as an HMAC secret: often a public key, which everybody knows (RFC 8725, section 2.1).
    #[error("the secret is a key in PEM, which {0} can't use")]
    SecretIsPem(Algorithm),
    /// Something else than PEM for an asymmetric algorithm.
    #[error("the signing key is not in PEM, as {0} needs it")]
    SecretIsNoPem(Algorithm),
    /// The algorithm needs another kind of key.
    #[error("{algorithm} can't be used with {keys}")]
    AlgorithmFamily {
        /// The algorithm.
        algorithm: Algorithm,
        /// Where the provider's keys come from, or what they are used with.
        keys: String,
    },
    /// The gateway would refuse what it issues.
    #[error("the issuer signs with {0}, which is not in the list")]
    OwnAlgorithmMissing(Algorithm),
    /// `keys: { own: true }` twice.
    #[error("the provider {0:?} has the gateway's own keys already")]
    SecondOwn(String),
    /// `keys: { own: true }` and no `issuer:`.
    #[error("the gateway's own keys need an \"issuer\" section")]
    OwnWithoutIssuer,
    /// An HMAC algorithm and no secret to use.
    #[error("{0} needs a \"signing_key\"")]
    SigningKeyNeeded(Algorithm),
    /// A claim that tokens have of themselves.
    #[error("the claim {0:?} is set by the issuer itself")]
    ReservedClaim(String),
    /// `development: true` and an address that others can reach.
    #[error("{0} is not a loopback address, which development: true asks for")]
    NotLoopback(String),
    /// The same address for two listeners.
    #[error("{0} is listened on already")]
    AddressTaken(String),
    /// The same name for two routes.
    #[error("a route is named {0:?} already")]
    NameTaken(String),
    /// The same place for two token endpoints.
    #[error("the path {0} is that of another endpoint already")]
    PathTaken(String),
    /// A route says nothing about who may pass.
    #[error("the route has no \"auth\"")]
    RouteWithoutAuth,
    /// A path, host or method that no request can match, or that can be read in two ways.
    #[error("{found} {problem}")]
    Pattern {
        /// What stands here.
        found: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two routes for the same requests.
    #[error("the route {0:?} takes the same host, path and method already")]
    RouteTwice(String),
    /// A route for a path at which the issuer answers.
    #[error("the issuer answers at {0} itself")]
    RouteOfIssuer(String),
    /// A name that `providers:` does not have.
    #[error("no provider is named {0:?}")]
    NoSuchProvider(String),
    /// A name that `upstreams:` does not have.
    #[error("no upstream is named {0:?}")]
    NoSuchUpstream(String),
    /// A header that HTTP itself, the gateway or the application's framework reads.
    #[error("the header {0} has another meaning")]
    ReservedHeader(String),
    /// A header of `token_from` that a route injects.
    #[error("the header {0} can't carry a token and an identity")]
    TokenInIdentityHeader(String),
    /// `{ from: issuer }` on a route all of whose providers say `issuer: any`.
    #[error("no provider of this route has an issuer to tell of: each says `issuer: any`")]
    NoIssuerToTell,
    /// `{ from: tenant }` on a route none of whose providers has `{tenant}` in its issuer.
    #[error("no provider of this route has {{tenant}} in its issuer")]
    NoTenantToTell,
    /// An issuer from which anybody can get a token, and nothing that says whose tokens are meant.
    #[error("strangers can get tokens of this issuer")]
    Strangers,
    /// Two headers that a CGI, WSGI or PHP application takes for one.
    #[error("many applications can't tell the header {name} from {other}")]
    SameSpelling {
        /// The header.
        name: String,
        /// The one before it.
        other: String,
    },
}

impl Mistakes {
    /// One mistake alone.
    pub(super) fn one(mistake: Mistake) -> Self {
        Self { list: vec![mistake] }
    }

    /// Puts them into the order of their places. The list must not be empty.
    pub(super) fn sorted(mut list: Vec<Mistake>) -> Self {
        debug_assert!(!list.is_empty(), "a file without mistakes is a valid file");
        list.sort_by_key(|mistake| mistake.place);
        Self { list }
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.list.iter()
    }

    /// How many.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.list.len()
    }
}

impl<'m> IntoIterator for &'m Mistakes {
    type Item = &'m Mistake;
    type IntoIter = std::slice::Iter<'m, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl Mistake {
    /// A mistake about the file as a whole.
    pub(super) fn of_file(file: &Path, kind: MistakeKind) -> Self {
        Self { file: file.into(), place: (1, 1), path: String::new(), kind, hint: None }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", PathBuf::from(&*self.file).display())?;
        if !matches!(self.kind, MistakeKind::Unreadable(_) | MistakeKind::FileTooLarge { .. }) {
            write!(f, "{}:{}:", self.place.0, self.place.1)?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.kind)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

/// `did you mean "keycloak"? (providers: django, keycloak)`: the help for a name that is not there.
pub(super) fn nearest(given: &str, known: &[&str], what: &str) -> String {
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    match nearest_name(given, known) {
        Some(name) => format!("did you mean {name:?}? ({what}: {list})"),
        None => format!("{what}: {list}"),
    }
}

/// One mistyped letter in three is forgiven, as are case and `-` for `_`.
fn nearest_name<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let given = plain(given);
    let similar = known.iter().filter_map(|name| {
        let name_plain = plain(name);
        let distance = strsim::osa_distance(&given, &name_plain);
        let longest = given.chars().count().max(name_plain.chars().count());
        (distance * 3 <= longest).then_some((distance, Reverse(name.len()), *name))
    });
    similar.min().map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_that_was_meant() {
        let known = ["listeners", "limits", "workers", "trusted_proxies"];
        assert_eq!(nearest_name("listener", &known), Some("listeners"));
        assert_eq!(nearest_name("Trusted-Proxies", &known), Some("trusted_proxies"));
        assert_eq!(nearest_name("certificates", &known), None);
    }

    #[test]
    fn prints_place_path_and_help() {
        let mistake = Mistake {
            file: Path::new("gateway.yaml").into(),
            place: (41, 17),
            path: "routes[2].auth.providers[0]".into(),
            kind: MistakeKind::NoSuchProvider("keycloack".into()),
            hint: Some(nearest("keycloack", &["django", "keycloak"], "providers")),
        };
        assert_eq!(
            mistake.to_string(),
            "gateway.yaml:41:17: routes[2].auth.providers[0]: no provider is named \"keycloack\"\n  \
             did you mean \"keycloak\"? (providers: django, keycloak)"
        );
    }
}
