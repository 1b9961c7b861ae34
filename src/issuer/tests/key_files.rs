//! Signing keys: what is published, and what stops a start.

use super::*;

#[tokio::test]
async fn the_jwk_set_holds_public_keys_and_no_secret() {
    let site = Site::start().await;
    let jwks: Value = serde_json::from_slice(&site.issuer.jwks()).unwrap();
    let [key] = &jwks["keys"].as_array().unwrap()[..] else { panic!("one key: {jwks}") };
    assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("EC"), &json!("ES256"), &json!("sig")));
    assert_eq!(key.get("d"), None);
    let site = Site::with(|config| {
        config.algorithm = Algorithm::HS256;
        config.signing_key = Some(Secret::new([b's'; 32]));
    })
    .await;
    assert_eq!(site.issuer.jwks(), "{\"keys\":[]}");
    let (access, _) = site.login().await;
    assert_eq!(site.verify(&access).await.status, 200);
}

#[tokio::test]
async fn tokens_of_an_older_key_stay_good_while_its_file_is_there() {
    let site = Site::start().await;
    let (access, refresh) = site.login().await;
    let config = config(&site.folder);
    store::KeyRing::generate(&config.key_ring, Algorithm::ES256, UnixTime(NOW.0 + 1)).unwrap();
    let site =
        Site { issuer: Issuer::open(&config, false, 1, NOW, shared()).await.unwrap(), folder: site.folder };
    assert_eq!(site.verify(&access).await.status, 200);
    let renewed = text(&site.refresh(&refresh).await.body, "access");
    assert_ne!(segment(&renewed, 0)["kid"], segment(&access, 0)["kid"]);
}

#[tokio::test]
async fn outside_development_what_is_missing_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let Err(error) = Issuer::open(&config, false, 1, NOW, shared()).await else { panic!("there is no key") };
    assert!(error.to_string().contains("`tollgate key generate`"), "{error}");
    store::KeyRing::generate(&config.key_ring, Algorithm::ES256, NOW).unwrap();
    let Err(error) = Issuer::open(&config, false, 1, NOW, shared()).await else {
        panic!("there is no database")
    };
    assert!(error.to_string().contains("`tollgate user add`"), "{error}");
    Issuer::open(&config, true, 1, NOW, shared()).await.expect("both are there now");
}

#[tokio::test]
async fn a_verifying_key_of_another_pair_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let private = || crate::jwt::SigningKey::generate(Algorithm::ES256).unwrap();
    let (ours, other) = (private(), private());
    let mut config = config(&folder);
    config.signing_key = ours.to_pem();
    // A private key is no public one either.
    config.verifying_key = other.to_pem();
    let error = Issuer::open(&config, true, 1, NOW, shared()).await.expect_err("another key");
    assert!(matches!(error, OpenError::VerificationKey(KeyError::PrivateKey)), "{error}");
    config.verifying_key = Some(Secret::new(OTHER_PUBLIC_KEY));
    let error = Issuer::open(&config, true, 1, NOW, shared()).await.expect_err("another key");
    assert!(matches!(error, OpenError::OtherVerifyingKey), "{error}");
}

/// RFC 7517's example key, appendix A.1, in PEM.
const OTHER_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A
iTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==
-----END PUBLIC KEY-----
";
