//! What must hold of every input: shared by the fuzz targets and by the ordinary tests, which replay the corpus.

use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate::base::{Algorithm, AlgorithmSet, KeyFamily, Secret};
use tollgate::http::normalize;
use tollgate::jwt::{Claims, Key, KeySet, Limits, Origin, SigningKey, parse, verify};

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let public =
        |algorithm| SigningKey::generate(algorithm).expect("a key").verification_key().expect("a key");
    let secret = Secret::new([7; 64]);
    KeySet::new(vec![
        Key::hmac(&secret, None, all()).expect("a key"),
        public(Algorithm::ES256),
        public(Algorithm::EdDSA),
    ])
});

fn all() -> AlgorithmSet {
    Algorithm::ALL.into_iter().collect()
}

/// The token parser, and verification with keys of several families.
pub(crate) fn token(text: &[u8]) {
    let limits = Limits::default();
    let Ok(token) = parse(text, &limits) else { return };
    assert!(text.len() <= limits.token);
    assert!(text.starts_with(token.signing_input()));
    assert!(verify(&token, &KEYS, AlgorithmSet::EMPTY).is_err());
    // The keys are new: nobody's token has a signature of theirs.
    assert!(verify(&token, &KEYS, all()).is_err());
    // What was read once is read again.
    let claims = token.into_claims();
    assert_eq!(Claims::from_members(claims.members().clone()), Ok(claims));
}

/// As [`token`], of a header and a payload on a line each, which a change of bytes leaves a token.
pub(crate) fn token_of_parts(text: &[u8]) {
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let mut part = || URL_SAFE_NO_PAD.encode(parts.next().unwrap_or_default());
    token(format!("{}.{}.c2lnbmF0dXJl", part(), part()).as_bytes());
}

/// The reader of JWK sets, local and fetched.
pub(crate) fn jwks(text: &[u8]) {
    let local = KeySet::from_jwks(text, Origin::Local);
    let fetched = KeySet::from_jwks(text, Origin::Fetched);
    assert_eq!(local.is_ok(), fetched.is_ok());
    let (Ok(local), Ok(fetched)) = (local, fetched) else { return };
    // The network brings no secrets, and nothing that a file would not bring.
    assert!(fetched.keys().len() <= local.keys().len());
    for key in fetched.keys() {
        assert!(key.algorithms().iter().all(|algorithm| algorithm.family() != KeyFamily::Hmac));
        assert!(!key.algorithms().is_empty() && key.is_live());
    }
}

/// The settling of paths: what is settled once stays so, and says nothing that routers and upstreams read in two ways.
pub(crate) fn path(text: &[u8]) {
    // As the reader of HTTP hands it over.
    let Ok(target) = http::uri::PathAndQuery::try_from(text) else { return };
    let Ok(path) = normalize(target.path()) else { return };
    let forwarded = path.forwarded();
    assert!(forwarded.starts_with('/'), "{forwarded:?}");
    assert!(!forwarded.bytes().any(|byte| byte.is_ascii_control() || matches!(byte, b' ' | b'?' | b'#')));
    assert!(!path.key().split('/').any(|segment| matches!(segment, "." | "..")), "{:?}", path.key());
    let again = normalize(forwarded).expect("a settled path is taken");
    assert_eq!((again.forwarded(), again.key()), (forwarded, path.key()));
}

/// The reader of `gateway.yaml`: a mistake is told, and nothing ends the program.
pub(crate) fn config(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    if let Err(mistakes) = tollgate::config::read_text(text, Path::new("gateway.yaml"), &|_| None) {
        assert!(!mistakes.to_string().is_empty());
    }
}
