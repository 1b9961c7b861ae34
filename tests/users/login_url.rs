//! Users of an application that has a login URL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::suite::{PASSWORD, Place, claims, gateway, log_in, run, started};
use crate::support::{Message, Reply, Upstream};

/// An application with the user `ada` and one who is kept out, `gone`.
struct Application {
    upstream: Upstream,
    ada_is_active: Arc<AtomicBool>,
}

impl Application {
    async fn start() -> Self {
        let ada_is_active = Arc::new(AtomicBool::new(true));
        let active = Arc::clone(&ada_is_active);
        let upstream = Upstream::start(move |request| answer(request, active.load(Ordering::SeqCst))).await;
        Self { upstream, ada_is_active }
    }

    fn users(&self, is_asked_again: bool) -> Value {
        let mut http = json!({
            "url": format!("{}/login", self.upstream.url()),
            "fields": { "username": "login" },
            "id": "user.id",
            "username": "user.name",
            "email": "user.contact.email",
            "roles": "user.roles",
            "fetch": { "allow_http": true, "allow_private_addresses": true, "timeout": "2s" },
        });
        if is_asked_again {
            http["check_url"] = format!("{}/users/{{id}}", self.upstream.url()).into();
        }
        json!({ "http": http })
    }
}

fn answer(request: &Message, ada_is_active: bool) -> Reply {
    let ada = || {
        Reply::json(json!({
            "token": "the application's own",
            "user": {
                "id": 7301,
                "name": "ada",
                "contact": { "email": "ada@example.com" },
                "roles": ["admin", "staff", "two words"],
            },
        }))
    };
    if request.target() == "/users/7301" {
        return if ada_is_active { ada() } else { Reply::new(404, "") };
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    match (body["login"].as_str(), body["password"].as_str()) {
        (Some("ada"), Some(PASSWORD)) if ada_is_active => ada(),
        (Some("gone"), Some(PASSWORD)) => Reply::new(403, "kept out"),
        _ => Reply::new(401, "no"),
    }
}

pub(crate) async fn suite(is_asked_again: bool) {
    let application = Application::start().await;
    run(Place {
        gate: started(gateway(application.users(is_asked_again))).await,
        disable_ada: Box::new(move |_| {
            application.ada_is_active.store(false, Ordering::SeqCst);
            Box::pin(std::future::ready(()))
        }),
        tells_more: true,
        is_asked_at_refresh: is_asked_again,
    })
    .await;
}

pub(crate) async fn exchange() {
    let application = Application::start().await;
    let gate = started(gateway(application.users(false))).await;
    let tokens = log_in(&gate, "ada", PASSWORD).await;
    assert_eq!(claims(&tokens, "access")["user_id"], "7301");
    let request = application.upstream.only_request();
    assert_eq!((request.method(), request.target()), ("POST", "/login"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({ "login": "ada", "password": PASSWORD }));
    // Nothing of the answer but what the file names is kept.
    let kept = std::fs::read(gate.home.path("data/tollgate.db")).unwrap();
    let log = std::fs::read(gate.home.path("data/tollgate.db-wal")).unwrap_or_default();
    let all = String::from_utf8_lossy(&[kept, log].concat()).into_owned();
    assert!(all.contains("ada@example.com"), "what it names is");
    assert!(!all.contains("the application's own") && !all.contains(PASSWORD), "a secret at rest");
}

pub(crate) async fn no_verdict() {
    type Case = (&'static str, fn() -> Reply);
    let replies: [Case; 9] = [
        ("an error", || Reply::new(500, "")),
        ("a request that it did not understand", || Reply::new(400, "")),
        ("a redirect", || Reply::new(302, "").field("Location", "/elsewhere")),
        ("no JSON", || Reply::new(200, "<html>")),
        ("no object", || Reply::json(json!(["ada"]))),
        ("no id", || Reply::json(json!({ "user": { "name": "ada" } }))),
        ("an id that is no text", || Reply::json(json!({ "user": { "id": 1.5 } }))),
        ("an empty id", || Reply::json(json!({ "user": { "id": "" } }))),
        ("an endless id", || Reply::json(json!({ "user": { "id": "x".repeat(300) } }))),
    ];
    for (what, reply) in replies {
        let upstream = Upstream::start(move |_| reply()).await;
        let ada_is_active = Arc::new(AtomicBool::new(true));
        let gate = started(gateway(Application { upstream, ada_is_active }.users(false))).await;
        let answer = log_in(&gate, "ada", PASSWORD).await;
        assert_eq!(answer.status, 503, "{what}: {}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{what}");
    }
}

/// Members of the answer that no other key of the file names.
pub(crate) async fn members_as_claims() {
    let team = Arc::new(std::sync::Mutex::new(json!({ "name": "engines", "seats": 3 })));
    let told = Arc::clone(&team);
    let upstream = Upstream::start(move |_| {
        Reply::json(
            json!({ "user": { "id": 7301, "name": "ada", "team": *told.lock().unwrap() }, "gone": null }),
        )
    });
    let application =
        Application { upstream: upstream.await, ada_is_active: Arc::new(AtomicBool::new(true)) };
    let sources = json!({
        "team": { "column": "user.team" },
        "seats": { "column": "user.team.seats" },
        "gone": { "column": "gone" },
        "unknown": { "column": "user.shoe" },
    });
    let facts = |answer: &crate::support::Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let claims = claims(answer, "access");
        assert!(claims.get("gone").is_none() && claims.get("unknown").is_none(), "{claims}");
        (claims["team"].clone(), claims["seats"].clone())
    };
    for is_asked_again in [false, true] {
        *team.lock().unwrap() = json!({ "name": "engines", "seats": 3 });
        let config = gateway(application.users(is_asked_again)).set("issuer.claims", sources.clone());
        let gate = started(config).await;
        let login = log_in(&gate, "ada", PASSWORD).await;
        assert_eq!(facts(&login), (json!({ "name": "engines", "seats": 3 }), json!(3)));
        *team.lock().unwrap() = json!({ "seats": 4 });
        let refresh = json!({ "refresh": login.json()["refresh"] });
        let renewed = gate.post("/api/token/refresh/").json(refresh).await;
        let expected = match is_asked_again {
            true => (json!({ "seats": 4 }), json!(4)),
            // Nobody can be asked: it is what the login told.
            false => (json!({ "name": "engines", "seats": 3 }), json!(3)),
        };
        assert_eq!(facts(&renewed), expected);

        *team.lock().unwrap() = json!("x".repeat(5_000));
        let answer = log_in(&gate, "ada", PASSWORD).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
}
