//! Providers with an issuer for each tenant: whose tokens pass, and what a made-up tenant costs.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the two planes")]

mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Answer, Config, Idp, Message, Reply, Step, Tollgate, Upstream, claims, config, within};
use tollgate::base::Algorithm;

/// A server with discovery for each tenant: `/TENANT/v2.0` is an issuer.
struct Login {
    server: Upstream,
    tenants: Arc<Mutex<HashMap<String, Value>>>,
    /// What it answers in place of anything else.
    outage: Arc<Mutex<Option<Reply>>>,
}

impl Login {
    async fn start() -> Self {
        let tenants: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
        let outage: Arc<Mutex<Option<Reply>>> = Arc::default();
        let (known, down) = (Arc::clone(&tenants), Arc::clone(&outage));
        let server = Upstream::start(move |request: &Message| {
            if let Some(reply) = &*down.lock().unwrap() {
                return reply.clone();
            }
            let host = request.header("host").unwrap();
            let parts: Vec<&str> = request.target().split('/').collect();
            match (parts.as_slice(), &*known.lock().unwrap()) {
                (["", tenant, "v2.0", ".well-known", "openid-configuration"], known)
                    if known.contains_key(*tenant) =>
                {
                    Reply::json(json!({
                        "issuer": format!("http://{host}/{tenant}/v2.0"),
                        "jwks_uri": format!("http://{host}/{tenant}/keys"),
                    }))
                }
                (["", tenant, "keys"], known) if known.contains_key(*tenant) => {
                    Reply::json(json!({ "keys": [known[*tenant]] }))
                }
                _ => Reply::new(404, ""),
            }
        })
        .await;
        Self { server, tenants, outage }
    }

    /// A tenant with a key of its own.
    fn tenant(&self, name: &str) -> Idp {
        let mut idp = Idp::new(Algorithm::ES256);
        idp.issuer = format!("{}/{name}/v2.0", self.server.url());
        self.tenants.lock().unwrap().insert(name.to_owned(), idp.jwk());
        idp
    }

    /// Another key in the place of a tenant's.
    fn rotate(&self, name: &str) -> Idp {
        self.tenant(name)
    }

    fn pattern(&self) -> String {
        format!("{}/{{tenant}}/v2.0", self.server.url())
    }

    fn fetches(&self) -> usize {
        self.server.requests_seen()
    }

    /// A provider for its tenants.
    #[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
    fn provider(&self, tenants: Value) -> Value {
        json!({
            "issuer": self.pattern(),
            "keys": { "discovery": true },
            "algorithms": ["ES256"],
            "audiences": ["test-api"],
            "tenants": tenants,
            "refresh": { "every": "1d", "cooldown": "30s" },
            "fetch": { "allow_http": true, "allow_private_addresses": true },
        })
    }

    fn gateway(&self, tenants: Value, app: &Upstream) -> Config {
        config().set("providers.login", self.provider(tenants)).route("/*", "login", app)
    }
}

async fn ask(gate: &Tollgate, idp: &Idp) -> Answer {
    gate.get("/").bearer(&idp.sign(claims("ada"))).await
}

#[tokio::test]
async fn tokens_of_allowed_tenants_pass_and_a_third_is_refused_without_a_fetch() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let (contoso, fabrikam, stranger) =
        (login.tenant("contoso"), login.tenant("fabrikam"), login.tenant("stranger"));
    let file = login.gateway(json!({ "allow": ["contoso", "fabrikam"] }), &app);
    let gate = Tollgate::start(file).await;
    assert_eq!(login.fetches(), 0, "keys are made on first use");
    for idp in [&contoso, &fabrikam, &contoso] {
        let answer = ask(&gate, idp).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(login.fetches(), 4, "a document and a key set for each");
    let answer = ask(&gate, &stranger).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    let line = gate.log_line("the refusal", |line| line["reason"] == "unknown_issuer").await;
    assert_eq!(line["status"], 401);
    assert_eq!(login.fetches(), 4);
}

#[tokio::test]
async fn a_key_of_one_tenant_signs_for_no_other() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let (contoso, fabrikam) = (login.tenant("contoso"), login.tenant("fabrikam"));
    let gate = Tollgate::start(login.gateway(json!({ "allow": "any" }), &app)).await;
    let (own, other) = (contoso.sign(claims("ada")), fabrikam.sign(claims("ada")));
    let mut forged = claims("ada");
    forged["iss"] = fabrikam.issuer.clone().into();
    // Also under the name of the other's key.
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": fabrikam.kid });
    let forged = [contoso.sign(forged.clone()), contoso.sign_with(header, forged)];
    for _ in 0..2 {
        for forged in &forged {
            assert_eq!(gate.get("/").bearer(forged).await.status, 401);
        }
        assert_eq!(gate.get("/").bearer(&own).await.status, 200);
        assert_eq!(gate.get("/").bearer(&other).await.status, 200);
    }
}

#[tokio::test]
async fn an_issuer_outside_the_pattern_never_starts_a_fetch() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let (contoso, evil) = (login.tenant("contoso"), Upstream::echo().await);
    let gate = Tollgate::start(login.gateway(json!({ "allow": "any" }), &app)).await;
    assert_eq!(ask(&gate, &contoso).await.status, 200);
    let before = login.fetches();
    let (base, evil_host) = (login.server.url(), evil.url().trim_start_matches("http://").to_owned());
    let host = base.trim_start_matches("http://");
    let (name, port) = host.split_once(':').unwrap();
    let issuers = [
        format!("{base}/contoso/v2.0/"),
        format!("{base}/contoso/v2.0?x"),
        format!("{base}/contoso/v2.0#x"),
        format!("{base}//contoso/v2.0"),
        format!("{base}/contoso//v2.0"),
        format!("{base}/x/../contoso/v2.0"),
        format!("{base}/./v2.0"),
        format!("{base}/../v2.0"),
        format!("{base}//v2.0"),
        format!("{base}/%2e%2e/v2.0"),
        format!("{base}/contoso%2fx/v2.0"),
        format!("{base}/contoso\\x/v2.0"),
        format!("{base}\\contoso/v2.0"),
        format!("{base}/contoso\n/v2.0"),
        format!("{base}/conto\u{0455}o/v2.0"),
        format!("{base}/contoso\u{ff0f}x/v2.0"),
        format!("{base}/{}/v2.0", "a".repeat(129)),
        format!("{base}/contoso@{evil_host}/v2.0"),
        format!("{base}@{evil_host}/contoso/v2.0"),
        format!("http://{evil_host}/contoso/v2.0"),
        format!("http://{evil_host}/{base}/contoso/v2.0"),
        format!("http://me:you@{host}/contoso/v2.0"),
        format!("HTTP://{host}/contoso/v2.0"),
        format!("https://{host}/contoso/v2.0"),
        format!("http://localhost:{port}/contoso/v2.0"),
        format!("http://{name}.:{port}/contoso/v2.0"),
        format!("http://{name}:0{port}/contoso/v2.0"),
        format!("http://{name}/contoso/v2.0"),
        format!("http://2130706433:{port}/contoso/v2.0"),
        format!(" {base}/contoso/v2.0"),
        login.pattern(),
    ];
    for issuer in issuers {
        let mut claims = claims("ada");
        claims["iss"] = issuer.clone().into();
        let answer = gate.get("/").bearer(&contoso.sign(claims)).await;
        assert_eq!(answer.status, 401, "{issuer:?}");
    }
    assert_eq!((login.fetches(), evil.connections_seen()), (before, 0));
}

#[tokio::test]
async fn a_document_or_redirect_that_leads_elsewhere_makes_no_tenant() {
    let (app, evil) = (Upstream::echo().await, Upstream::echo().await);
    let elsewhere = format!("{}/keys", evil.url());
    let login = Login::start().await;
    let contoso = login.tenant("contoso");
    let gate = Tollgate::start(login.gateway(json!({ "allow": "any" }), &app)).await;
    *login.outage.lock().unwrap() = Some(Reply::new(302, "").field("Location", &elsewhere));
    assert_eq!(ask(&gate, &contoso).await.status, 503);
    let other = json!({ "issuer": evil.url(), "jwks_uri": elsewhere });
    *login.outage.lock().unwrap() = Some(Reply::json(other));
    let fabrikam = login.tenant("fabrikam");
    assert_eq!(ask(&gate, &fabrikam).await.status, 401, "the document is another issuer's");
    assert_eq!(evil.connections_seen(), 0);
}

#[tokio::test]
async fn the_upstream_is_told_the_tenant_of_the_issuer_and_not_of_a_claim() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let contoso = login.tenant("contoso");
    let file = login.gateway(json!("any"), &app).set(
        "routes.0.identity",
        json!({ "headers": {
            "X-Tenant": { "from": "tenant" },
            "X-Issuer": { "from": "issuer" },
            "X-User-Id": "sub",
        } }),
    );
    let gate = Tollgate::start(file).await;
    let mut claims = claims("ada");
    for name in ["tenant", "$tenant", "{tenant}", "tid"] {
        claims[name] = "fabrikam".into();
    }
    let token = contoso.sign(claims);
    for _ in 0..2 {
        let answer = gate.get("/").header("X-Tenant", support::FORGED).bearer(&token).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for number in [1, 2] {
        let seen = app.request(number).await;
        assert_eq!(seen.headers("x-tenant").collect::<Vec<_>>(), ["contoso"]);
        assert_eq!(seen.header("x-issuer"), Some(contoso.issuer.as_str()));
    }
}

#[tokio::test]
async fn a_flood_of_made_up_tenants_costs_the_provider_little_and_the_known_ones_nothing() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let contoso = login.tenant("contoso");
    let gate = Tollgate::start(login.gateway(json!({ "allow": "any", "max": 10 }), &app)).await;
    assert_eq!(ask(&gate, &contoso).await.status, 200);
    let (before, started) = (login.fetches(), tokio::time::Instant::now());
    let connection = gate.client(support::Protocol::Http1).connect().await;
    let mut statuses: HashMap<u16, usize> = HashMap::new();
    for number in 0..500 {
        let mut claims = claims("mallory");
        claims["iss"] = format!("{}/made-up-{number}/v2.0", login.server.url()).into();
        let answer = connection.get("/").bearer(&contoso.sign(claims)).await;
        *statuses.entry(answer.status.as_u16()).or_default() += 1;
        if number % 50 == 0 {
            let answer = connection.get("/").bearer(&contoso.sign(support::claims("ada"))).await;
            assert_eq!(answer.status, 200, "a tenant that is known");
        }
    }
    // Each costs two requests, one for each form of discovery.
    let most = 2 * (5 + 1 + usize::try_from(started.elapsed().as_secs()).unwrap());
    let fetches = login.fetches() - before;
    assert!((2..=most).contains(&fetches), "{fetches}, {most} allowed");
    assert!(statuses.keys().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert!(statuses[&401] >= 5, "those that the provider does not know: {statuses:?}");
    let metrics = gate.metrics().await;
    assert!(
        metrics.sum("tollgate_key_fetches_total", &[("provider", "login"), ("outcome", "status")]) >= 1.0
    );
}

#[tokio::test]
async fn many_who_ask_for_a_new_tenant_at_once_cause_one_fetch() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let contoso = login.tenant("contoso");
    let gate = Tollgate::start(login.gateway(json!("any"), &app)).await;
    let asking: Vec<_> = (0..50)
        .map(|number| gate.get("/").bearer(&contoso.sign(claims(&number.to_string()))).spawn())
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(login.fetches(), 2);
}

#[tokio::test]
async fn a_tenant_that_the_provider_does_not_know_is_401_and_one_in_an_outage_503() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let (contoso, late) = (login.tenant("contoso"), login.tenant("late"));
    let nobody = {
        let nobody = login.tenant("nobody");
        login.tenants.lock().unwrap().remove("nobody");
        nobody
    };
    let gate = Tollgate::start(login.gateway(json!("any"), &app)).await;
    assert_eq!(ask(&gate, &contoso).await.status, 200);
    for _ in 0..2 {
        assert_eq!(ask(&gate, &nobody).await.status, 401);
    }
    assert_eq!(login.fetches(), 4, "who is not there is remembered");
    *login.outage.lock().unwrap() = Some(Reply::new(500, ""));
    let answer = ask(&gate, &late).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")), "{}", answer.text());
    assert_eq!(ask(&gate, &contoso).await.status, 200, "its keys are here");
    *login.outage.lock().unwrap() = None;
    within("the provider to be asked again", async {
        while ask(&gate, &late).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_tenant_whose_server_hangs_holds_nobody_else_up() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let contoso = login.tenant("contoso");
    let hanging = Upstream::scripted([Step::Read, Step::Stall]).await;
    let mut other = Idp::new(Algorithm::ES256);
    other.issuer = format!("{}/acme/v2.0", hanging.url());
    let mut stuck = login.provider(json!("any"));
    stuck["issuer"] = format!("{}/{{tenant}}/v2.0", hanging.url()).into();
    let file = login.gateway(json!("any"), &app).set("providers.stuck", stuck).route("/stuck", "stuck", &app);
    let gate = Tollgate::start(file).await;
    let waiting = gate.get("/stuck").bearer(&other.sign(claims("ada"))).spawn();
    hanging.request(1).await;
    assert_eq!(ask(&gate, &contoso).await.status, 200);
    assert_eq!(waiting.await.unwrap().status, 503);
}

#[tokio::test]
async fn the_least_used_tenant_makes_room_and_its_remembered_tokens_end() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let gate = Tollgate::start(login.gateway(json!({ "allow": "any", "max": 2 }), &app)).await;
    let first = login.tenant("first");
    let token = first.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    assert_eq!(login.fetches(), 2);
    // The provider withdraws its key, of which nobody would hear who remembers the token only.
    login.rotate("first");
    for number in 0..6 {
        assert_eq!(ask(&gate, &login.tenant(&format!("other-{number}"))).await.status, 200);
    }
    within("the token to be refused", async {
        while gate.get("/").bearer(&token).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = ask(&gate, &login.tenant("another")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_new_key_of_a_tenant_is_fetched_when_its_first_token_comes() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let old = login.tenant("contoso");
    let mut provider = login.provider(json!("any"));
    provider["refresh"] = json!({ "every": "1d", "cooldown": "100ms" });
    let gate = Tollgate::start(login.gateway(json!("any"), &app).set("providers.login", provider)).await;
    let token = old.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    let new = login.rotate("contoso");
    within("the new key", async {
        while ask(&gate, &new).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 401, "the key went");
}

#[tokio::test]
async fn keys_of_a_tenant_are_refreshed_in_the_background() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let contoso = login.tenant("contoso");
    let mut provider = login.provider(json!("any"));
    provider["refresh"] = json!({ "every": "100ms", "cooldown": "100ms" });
    let gate = Tollgate::start(login.gateway(json!("any"), &app).set("providers.login", provider)).await;
    let token = contoso.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    login.rotate("contoso");
    within("the end of the key that went", async {
        while gate.get("/").bearer(&token).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_restart_during_an_outage_still_serves_the_tenants_that_were_known() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let (contoso, stranger) = (login.tenant("contoso"), login.tenant("stranger"));
    let mut gate = Tollgate::start(login.gateway(json!("any"), &app)).await;
    assert_eq!(ask(&gate, &contoso).await.status, 200);
    let mut unsigned = claims("mallory");
    unsigned["iss"] = stranger.issuer.clone().into();
    assert_eq!(gate.get("/").bearer(&contoso.sign(unsigned)).await.status, 401);
    let kept = gate.home.path("data/keys-cache/login@contoso.json");
    within("the keys on disk", async {
        while !kept.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    *login.outage.lock().unwrap() = Some(Reply::new(500, ""));
    gate.restart("TERM").await;
    assert_eq!(ask(&gate, &contoso).await.status, 200);
    assert_eq!(ask(&gate, &stranger).await.status, 503, "nobody vouched for it, so nothing was kept");
}

#[tokio::test]
async fn a_key_set_that_all_tenants_share_is_fetched_once() {
    let app = Upstream::echo().await;
    let mut one = Idp::new(Algorithm::ES256);
    one.issuer = "https://login.example.test/contoso/v2.0".to_owned();
    let keys = Reply::json(json!({ "keys": [one.jwk()] }));
    let server = Upstream::start(move |_| keys.clone()).await;
    let provider = json!({
        "issuer": ["https://login.example.test/{tenant}/v2.0", "https://sts.example.test/{tenant}/"],
        "keys": { "jwks_url": format!("{}/keys", server.url()) },
        "algorithms": ["ES256"],
        "audiences": ["test-api"],
        "tenants": { "allow": ["contoso", "fabrikam"] },
        "fetch": { "allow_http": true, "allow_private_addresses": true },
    });
    let file = config().set("providers.login", provider).route("/*", "login", &app);
    let gate = Tollgate::start(file).await;
    for (issuer, status) in [
        ("https://login.example.test/contoso/v2.0", 200),
        ("https://sts.example.test/fabrikam/", 200),
        ("https://sts.example.test/fabrikam", 401),
        ("https://login.example.test/other/v2.0", 401),
    ] {
        let mut claims = claims("ada");
        claims["iss"] = issuer.into();
        assert_eq!(gate.get("/").bearer(&one.sign(claims)).await.status, status, "{issuer}");
    }
    assert_eq!(server.requests_seen(), 1);
    let seen = app.request(2).await;
    assert_eq!(seen.header("x-auth-issuer"), Some("https://login.example.test/fabrikam/v2.0"));
}

#[tokio::test]
async fn both_spellings_of_an_issuer_pass_and_are_told_as_one() {
    let app = Upstream::echo().await;
    let mut google = Idp::new(Algorithm::ES256);
    let keys = json!({ "jwks": { "keys": [google.jwk()] } });
    let provider = json!({
        "issuer": ["https://accounts.google.com", "accounts.google.com"],
        "keys": keys,
        "algorithms": ["ES256"],
        "audiences": ["test-api"],
        "required_claims": { "hd": ["example.com"] },
    });
    let file = config().set("providers.google", provider).route("/*", "google", &app);
    let gate = Tollgate::start(file).await;
    for (number, issuer) in ["https://accounts.google.com", "accounts.google.com"].iter().enumerate() {
        (*issuer).clone_into(&mut google.issuer);
        let mut own = claims("ada");
        own["hd"] = "example.com".into();
        assert_eq!(gate.get("/").bearer(&google.sign(own)).await.status, 200, "{issuer}");
        assert_eq!(ask(&gate, &google).await.status, 401, "a stranger with an account there");
        let seen = app.request(number + 1).await;
        assert_eq!(seen.header("x-auth-issuer"), Some("https://accounts.google.com"));
    }
    google.issuer = "http://accounts.google.com".to_owned();
    assert_eq!(ask(&gate, &google).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_fetches_the_keys_of_the_tokens_tenant() {
    let (app, login) = (Upstream::echo().await, Login::start().await);
    let (contoso, stranger) = (login.tenant("contoso"), login.tenant("stranger"));
    let home = login.gateway(json!({ "allow": ["contoso"] }), &app).write();
    let inspect = |token: String| {
        let output = home.command(["token", "inspect", token.as_str()]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (contoso, stranger) = (contoso.sign(claims("ada")), stranger.sign(claims("ada")));
    let [(taken, text), (other_taken, other)] =
        tokio::task::block_in_place(|| [contoso, stranger].map(inspect));
    assert!(taken && text.contains("provider login: accepted"), "{text}");
    assert!(!other_taken && other.contains("provider login: refused, unknown_issuer"), "{other}");
}
