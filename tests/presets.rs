//! What each preset stands for, that `check` says it, and that tokens with the oddities of the real providers pass.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the two planes")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Config, Idp, Message, Reply, Tollgate, Upstream, claims, config};
use tollgate::base::Algorithm;
use tollgate::config::{self, PresetMeaning};

const LONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config").join(name)
}

fn read(text: &str) -> config::Config {
    let environment = |name: &str| match name {
        "LONG" => Some(LONG.to_owned()),
        "SHARED_HOST" => Some("shared.example".to_owned()),
        _ => None,
    };
    config::read_text(text, Path::new("gateway.yaml"), &environment)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn all() -> config::Config {
    read(&std::fs::read_to_string(data("valid-presets.yaml")).unwrap())
}

/// After a wanted change: `UPDATE_GOLDEN=1 cargo test --test presets`, and read the difference.
#[test]
fn each_preset_stands_for_what_is_agreed() {
    let found: String =
        all().presets.iter().map(|meaning| meaning.words.replace("providers:\n", "")).collect();
    let golden = data("valid-presets.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&golden).unwrap_or_default(), "UPDATE_GOLDEN=1 writes it anew");
}

#[test]
fn what_a_preset_stands_for_is_the_same_provider_without_it() {
    let config = all();
    assert_eq!(config.presets.len(), config.providers.len());
    for (PresetMeaning { provider, words, .. }, meant) in config.presets.iter().zip(&config.providers) {
        assert_eq!(meant.name.as_str(), provider);
        let without = read(&format!("{words}issuer: {{}}\n"));
        assert_eq!(without.presets, [], "{words}");
        assert_eq!(format!("{:?}", without.providers), format!("{:?}", [meant]), "{words}");
    }
}

#[test]
fn a_preset_shows_the_variable_and_not_what_it_holds() {
    let words: String = all().presets.into_iter().map(|meaning| meaning.words).collect();
    assert!(words.contains("https://${SHARED_HOST}/") && words.contains("bearer: ${LONG}"), "{words}");
    assert!(!words.contains(LONG) && !words.contains("shared.example"));
}

#[test]
fn check_prints_what_could_stand_in_the_place_of_a_preset() {
    let text = "providers:\n  id: { preset: keycloak, url: https://id.example.com, realm: shop, audiences: [api] }\n\
                routes: [{ match: { path: /* }, auth: { providers: id }, upstream: 'http://127.0.0.1:1' }]\n";
    let home = Config::text(text).write();
    let output = home.run(&["check", "gateway.yaml"], "");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    let (comment, rest) = printed.split_once('\n').unwrap();
    assert_eq!(comment, "# what `preset: keycloak` of providers.id stands for");
    let words: String =
        rest.lines().take_while(|line| !line.contains("is valid")).map(|line| format!("{line}\n")).collect();
    let routes = text.split_once("routes:").unwrap().1;
    let without = read(&format!("{words}routes:{routes}"));
    assert_eq!(format!("{:?}", without.providers), format!("{:?}", read(text).providers));
}

/// A server that answers at some paths.
async fn serving(answers: Vec<(&'static str, Value)>) -> Upstream {
    Upstream::start(move |request: &Message| {
        let answer = answers.iter().find(|(path, _)| *path == request.target());
        answer.map_or_else(|| Reply::new(404, ""), |(_, answer)| Reply::json(answer.clone()))
    })
    .await
}

fn key_set(idp: &Idp) -> Value {
    json!({ "keys": [idp.jwk()] })
}

fn fetch() -> Value {
    json!({ "allow_http": true, "allow_private_addresses": true })
}

/// The gateway at `/` with one provider, of which a real server's URLs were replaced.
fn gateway(provider: Value, app: &Upstream) -> Config {
    config().set("providers.id", provider).route("/*", "id", app)
}

async fn status(gate: &Tollgate, token: &str) -> u16 {
    gate.get("/").bearer(token).await.status.as_u16()
}

const CONTOSO: &str = "11111111-2222-3333-4444-555555555555";
const FABRIKAM: &str = "66666666-7777-8888-9999-000000000000";
const STRANGER: &str = "99999999-9999-9999-9999-999999999999";

#[tokio::test]
async fn entra_tokens_of_both_versions_pass_for_the_tenants_that_are_allowed() {
    let app = Upstream::echo().await;
    let (contoso, fabrikam, stranger) =
        (Idp::new(Algorithm::RS256), Idp::new(Algorithm::RS256), Idp::new(Algorithm::RS256));
    let server = serving(vec![
        ("/11111111-2222-3333-4444-555555555555/discovery/v2.0/keys", key_set(&contoso)),
        ("/66666666-7777-8888-9999-000000000000/discovery/v2.0/keys", key_set(&fabrikam)),
        ("/99999999-9999-9999-9999-999999999999/discovery/v2.0/keys", key_set(&stranger)),
    ])
    .await;
    let provider = json!({
        "preset": "entra",
        "keys": { "jwks_url": format!("{}/{{tenant}}/discovery/v2.0/keys", server.url()) },
        "tenants": { "allow": [CONTOSO, FABRIKAM] },
        "audiences": ["test-api"],
        "fetch": fetch(),
    });
    let headers = json!({ "headers": { "X-Tenant": { "from": "tenant" } } });
    let gate = Tollgate::start(gateway(provider, &app).set("routes.0.identity", headers)).await;
    let token = |idp: &Idp, issuer: String| {
        let mut claims = claims("ada");
        claims["iss"] = issuer.into();
        idp.sign(claims)
    };
    let versions = |tenant: &str| {
        [
            format!("https://login.microsoftonline.com/{tenant}/v2.0"),
            format!("https://sts.windows.net/{tenant}/"),
        ]
    };
    for (idp, tenant) in [(&contoso, CONTOSO), (&fabrikam, FABRIKAM)] {
        for issuer in versions(tenant) {
            let answer = gate.get("/").bearer(&token(idp, issuer)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let fields = answer.json()["fields"].clone();
            assert!(fields.to_string().contains(&format!(r#"["x-tenant","{tenant}"]"#)), "{fields}");
        }
    }
    assert_eq!(server.requests_seen(), 2, "both versions have the tenant's keys");
    for issuer in versions(STRANGER) {
        assert_eq!(status(&gate, &token(&stranger, issuer)).await, 401);
    }
    for issuer in versions("common").into_iter().chain(versions("contoso.com")) {
        assert_eq!(status(&gate, &token(&contoso, issuer)).await, 401);
    }
    assert_eq!(server.requests_seen(), 2, "no fetch for a stranger");
}

#[tokio::test]
async fn cognito_access_tokens_of_the_client_pass_and_its_id_tokens_do_not() {
    let (app, mut idp) = (Upstream::echo().await, Idp::new(Algorithm::RS256));
    idp.issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123".to_owned();
    let server = serving(vec![("/keys", key_set(&idp))]).await;
    let provider = json!({
        "preset": "cognito",
        "region": "eu-west-1",
        "user_pool_id": "eu-west-1_AbC123",
        "client_id": "shop-web",
        "keys": { "jwks_url": format!("{}/keys", server.url()) },
        "fetch": fetch(),
    });
    let gate = Tollgate::start(gateway(provider, &app)).await;
    let token = |change: Value| {
        let mut claims = claims("ada");
        claims["token_use"] = "access".into();
        claims["client_id"] = "shop-web".into();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        // Cognito's own have none.
        claims["aud"] = json!([]);
        idp.sign(claims)
    };
    assert_eq!(status(&gate, &token(json!({}))).await, 200);
    assert_eq!(status(&gate, &token(json!({ "client_id": "other" }))).await, 401);
    assert_eq!(status(&gate, &token(json!({ "token_use": "id" }))).await, 401);
    let id_token = idp.sign(json!({
        "sub": "ada", "aud": "shop-web", "token_use": "id", "exp": support::now() + 60,
    }));
    assert_eq!(status(&gate, &id_token).await, 401);
}

#[tokio::test]
async fn google_tokens_of_the_domain_pass_under_both_spellings_of_the_issuer() {
    let (app, mut idp) = (Upstream::echo().await, Idp::new(Algorithm::RS256));
    let server = serving(vec![("/certs", key_set(&idp))]).await;
    let provider = json!({
        "preset": "google",
        "keys": { "jwks_url": format!("{}/certs", server.url()) },
        "audiences": ["test-api"],
        "required_claims": { "hd": ["example.com"] },
        "fetch": fetch(),
    });
    let gate = Tollgate::start(gateway(provider, &app)).await;
    for issuer in ["https://accounts.google.com", "accounts.google.com"] {
        issuer.clone_into(&mut idp.issuer);
        let mut own = claims("ada");
        own["hd"] = "example.com".into();
        let answer = gate.get("/").bearer(&idp.sign(own.clone())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(
            answer.text().contains(r#"["x-auth-issuer","https://accounts.google.com"]"#),
            "{}",
            answer.text()
        );
        own["hd"] = "stranger.example".into();
        assert_eq!(status(&gate, &idp.sign(own)).await, 401, "of another domain");
        assert_eq!(status(&gate, &idp.sign(claims("ada"))).await, 401, "of none");
    }
}

#[tokio::test]
async fn keycloak_access_tokens_pass_by_discovery_and_its_id_tokens_do_not() {
    let (app, mut idp) = (Upstream::echo().await, Idp::new(Algorithm::RS256));
    let keys = key_set(&idp);
    let server = Upstream::start(move |request: &Message| {
        let realm = format!("http://{}/realms/shop", request.header("host").unwrap());
        match request.target() {
            "/realms/shop/.well-known/openid-configuration" => {
                Reply::json(json!({ "issuer": realm, "jwks_uri": format!("{realm}/certs") }))
            }
            "/realms/shop/certs" => Reply::json(keys.clone()),
            _ => Reply::new(404, ""),
        }
    })
    .await;
    idp.issuer = format!("{}/realms/shop", server.url());
    let provider = json!({
        "preset": "keycloak",
        "url": server.url(),
        "realm": "shop",
        "audiences": ["test-api"],
        "authorized_parties": ["shop-web"],
        "fetch": fetch(),
    });
    let gate = Tollgate::start(gateway(provider, &app)).await;
    let token = |typ: &str, azp: &str| {
        let mut claims = claims("ada");
        claims["typ"] = typ.into();
        claims["azp"] = azp.into();
        idp.sign(claims)
    };
    assert_eq!(status(&gate, &token("Bearer", "shop-web")).await, 200);
    assert_eq!(status(&gate, &token("ID", "shop-web")).await, 401);
    assert_eq!(status(&gate, &token("Bearer", "other")).await, 401);
}

#[tokio::test]
async fn kubernetes_is_asked_for_its_keys_with_the_pods_token() {
    let (app, mut idp) = (Upstream::echo().await, Idp::new(Algorithm::RS256));
    idp.issuer = "https://kubernetes.default.svc.cluster.local".to_owned();
    let server = serving(vec![("/openid/v1/jwks", key_set(&idp))]).await;
    let authority = support::Authority::new();
    let provider = json!({
        "preset": "kubernetes",
        "url": server.url(),
        "audiences": ["test-api"],
        "fetch": { "allow_http": true, "ca": "ca.crt", "credential": { "bearer": "file:token" } },
    });
    let file = gateway(provider, &app).file("token", "the-pods-token").file("ca.crt", authority.pem());
    let gate = Tollgate::start(file).await;
    let subject = "system:serviceaccount:shop:web";
    assert_eq!(status(&gate, &idp.sign(claims(subject))).await, 200);
    assert_eq!(server.request(1).await.header("authorization"), Some("Bearer the-pods-token"));
}
