//! Claims that a service of the site is asked for.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Home, Reply, Step, Upstream};
use crate::{PASSWORD, Site, USER, assert_refused, credentials, login, pair, refresh};

/// A service that answers what the test says: `None` is a server error.
struct Service {
    server: Upstream,
    answer: Arc<Mutex<Option<Value>>>,
}

impl Service {
    async fn start(answer: Value) -> Self {
        let answer = Arc::new(Mutex::new(Some(answer)));
        let server = Upstream::start({
            let answer = Arc::clone(&answer);
            move |_| match answer.lock().unwrap().clone() {
                Some(answer) => Reply::json(answer),
                None => Reply::new(500, "out of order"),
            }
        });
        Self { server: server.await, answer }
    }

    fn says(&self, answer: Value) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    fn breaks(&self) {
        *self.answer.lock().unwrap() = None;
    }
}

/// Long enough for a service that answers at all.
const TIMEOUT: Duration = Duration::from_secs(5);

async fn site(service: &Service, on_error: &str) -> Site {
    site_of(&service.server, on_error, TIMEOUT).await
}

async fn site_of(service: &Upstream, on_error: &str, timeout: Duration) -> Site {
    let hook = json!({
        "url": format!("{}/claims", service.url()),
        "on_error": on_error,
        "fetch": {
            "timeout": format!("{}ms", timeout.as_millis()),
            "allow_http": true,
            "allow_private_addresses": true,
            "proxy": "none",
            "credential": { "bearer": "${HOOK_TOKEN}" },
        },
    });
    let with_hook = |config: crate::support::Config| {
        config.set("issuer.hook", hook).env("HOOK_TOKEN", "what-the-service-asks-to-see")
    };
    Site::start_with(with_hook, Home::generate_key).await
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_login_and_each_refresh_ask_anew() {
    let service = Service::start(json!({ "tenant": "north", "limits": { "a": [1] } })).await;
    let site = site(&service, "fail").await;
    let connection = site.connect().await;
    let tokens = login(&connection).await;
    for token in [&tokens.access, &tokens.refresh] {
        assert_eq!(claims(token)["tenant"], "north");
        assert_eq!(claims(token)["limits"], json!({ "a": [1] }));
    }
    service.says(json!({ "tenant": "south", "username": "another" }));
    let next = pair(&refresh(&connection, &tokens.refresh).await);
    let now = claims(&next.access);
    assert_eq!(
        (&now["tenant"], &now["username"], &now["limits"]),
        (&json!("south"), &json!("another"), &Value::Null)
    );

    let questions = service.server.requests();
    let events: Vec<Value> = questions.iter().map(|question| question.json()["event"].clone()).collect();
    assert_eq!(events, ["login", "refresh"]);
    assert_eq!(questions[0].json()["user"]["username"], USER);
    assert_eq!(questions[0].header("authorization"), Some("Bearer what-the-service-asks-to-see"));
    assert!(!questions[0].text().contains(PASSWORD));

    // Nobody is asked about a wrong password.
    let refused = connection.post("/api/token/").json(credentials(USER, "wrong")).await;
    assert_eq!(refused.status, 401);
    assert_eq!(service.server.requests_seen(), 2);
}

#[tokio::test]
async fn without_an_answer_nothing_is_issued_and_nothing_is_lost() {
    let service = Service::start(json!({ "tenant": "north" })).await;
    let site = site(&service, "fail").await;
    let connection = site.connect().await;
    let tokens = login(&connection).await;

    service.breaks();
    let refused = refresh(&connection, &tokens.refresh).await;
    assert_refused(&refused, 503, "claims_unavailable");
    assert!(refused.header("retry-after").is_some());
    let login = connection.post("/api/token/").json(credentials(USER, PASSWORD)).await;
    assert_refused(&login, 503, "claims_unavailable");
    // An answer that would decide about the token itself is as bad as none.
    service.says(json!({ "exp": 4_000_000_000_u64 }));
    assert_refused(&refresh(&connection, &tokens.refresh).await, 503, "claims_unavailable");

    service.says(json!({ "tenant": "north" }));
    pair(&refresh(&connection, &tokens.refresh).await);
}

#[tokio::test]
async fn where_the_file_says_so_a_refresh_goes_on_with_the_old_claims() {
    let service = Service::start(json!({ "tenant": "north" })).await;
    let site = site(&service, "keep").await;
    let set = |change: &[&str]| {
        let done =
            site.gate.home.run(&[&["user", "set", USER, "--config", "gateway.yaml"], change].concat(), "");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    set(&["--claim", "plan=gold"]);
    let connection = site.connect().await;
    let tokens = login(&connection).await;
    assert_eq!(claims(&tokens.access)["plan"], "gold");
    service.breaks();
    set(&["--no-claim", "plan"]);
    let next = pair(&refresh(&connection, &tokens.refresh).await);
    let (old, new) = (claims(&tokens.refresh), claims(&next.refresh));
    assert_eq!(new["tenant"], "north");
    assert_eq!(new.get("plan"), None, "it was the user's own, and was taken away");
    assert_eq!(new["sid"], old["sid"]);
    assert_ne!(new["jti"], old["jti"]);
    assert_eq!(claims(&login(&connection).await.access)["tenant"], Value::Null);
    assert_eq!(connection.get("/").bearer(&next.access).await.status, 200);
}

/// Takes requests and says nothing.
async fn silent() -> Upstream {
    Upstream::scripted([Step::Read, Step::Stall]).await
}

#[tokio::test]
async fn a_service_that_never_answers_costs_its_timeout_and_no_more() {
    let timeout = Duration::from_secs(1);
    let begins = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"tenant\":";
    let stalls = Upstream::scripted([Step::Read, Step::send(begins), Step::Stall]).await;
    for service in [silent().await, stalls] {
        let site = site_of(&service, "fail", timeout).await;
        let connection = site.connect().await;
        // A password is hashed in any case.
        let start = Instant::now();
        assert_eq!(connection.post("/api/token/").json(credentials(USER, "wrong")).await.status, 401);
        let without = start.elapsed();
        assert_eq!(service.requests_seen(), 0);

        let start = Instant::now();
        let login = connection.post("/api/token/").json(credentials(USER, PASSWORD)).await;
        let took = start.elapsed();
        assert_refused(&login, 503, "claims_unavailable");
        assert!(login.header("retry-after").is_some());
        assert!(
            (timeout..timeout + without + Duration::from_secs(1)).contains(&took),
            "{took:?}, {without:?}"
        );
        assert_eq!(service.requests_seen(), 1, "and is asked once");
    }
}

#[tokio::test]
async fn where_the_file_says_so_a_refresh_goes_on_without_a_service_that_never_answers() {
    let timeout = Duration::from_secs(1);
    let service = Service::start(json!({ "tenant": "north" })).await;
    let mut site = site_of(&service.server, "keep", timeout).await;
    let tokens = login(&site.connect().await).await;

    let silent = silent().await;
    let file = fs::read_to_string(site.gate.home.path("gateway.yaml")).unwrap();
    site.gate.home.write("gateway.yaml", file.replace(&service.server.url(), &silent.url()));
    site.gate.restart("TERM").await;
    let connection = site.connect().await;
    let start = Instant::now();
    let next = pair(&refresh(&connection, &tokens.refresh).await);
    let took = start.elapsed();
    assert!((timeout..timeout + Duration::from_secs(1)).contains(&took), "{took:?}");
    assert_eq!(claims(&next.access)["tenant"], "north");
    assert_eq!((silent.requests_seen(), service.server.requests_seen()), (1, 1));
}

#[tokio::test]
async fn a_refresh_that_is_repeated_within_the_grace_asks_nobody() {
    let service = Service::start(json!({ "tenant": "north" })).await;
    let site = site(&service, "fail").await;
    let connection = site.connect().await;
    let tokens = login(&connection).await;
    let next = pair(&refresh(&connection, &tokens.refresh).await);
    assert_eq!(service.server.requests_seen(), 2);

    // What it would say now is for the next refresh.
    service.says(json!({ "tenant": "south" }));
    let again = pair(&refresh(&connection, &tokens.refresh).await);
    assert_eq!(claims(&again.refresh), claims(&next.refresh));
    assert_eq!(claims(&again.access)["tenant"], "north");
    service.breaks();
    pair(&refresh(&connection, &tokens.refresh).await);
    assert_eq!(service.server.requests_seen(), 2);

    service.says(json!({ "tenant": "south" }));
    assert_eq!(claims(&pair(&refresh(&connection, &again.refresh).await).access)["tenant"], "south");
    assert_eq!(service.server.requests_seen(), 3);
}
