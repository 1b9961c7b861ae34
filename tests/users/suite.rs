//! What holds wherever users live.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::support::{Answer, Config, Home, Tollgate, config};

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "correct-horse";

/// Names that mean something to a database, a directory or a parser, and nobody's.
const STRANGE: [&str; 12] = [
    "' OR '1'='1",
    "\"; DROP TABLE auth_user; --",
    "a\u{0}da",
    "*",
    "ada)(uid=*",
    "ada,ou=people",
    "ada#",
    "\\61da",
    "../ada",
    "🦀",
    "%",
    "ada\n",
];

/// Does something to the place of users that belongs to a gateway.
pub(crate) type ShutOut = Box<dyn Fn(&Tollgate) -> BoxFuture<'_, ()>>;

/// A gateway before a place with the users `ada` (an address, the roles `admin` and `staff`, if it knows such things) and
/// `gone`, who is not let in or not there at all, and how `ada` is shut out.
pub(crate) struct Place {
    pub(crate) gate: Tollgate,
    pub(crate) disable_ada: ShutOut,
    /// Whether the place knows more of its users than their names.
    pub(crate) tells_more: bool,
    /// Whether the place can be asked about a user without a password.
    pub(crate) is_asked_at_refresh: bool,
}

/// A gateway whose users are elsewhere, with their facts as claims.
pub(crate) fn gateway(users: Value) -> Config {
    config().issuer().set("issuer.users", users).set(
        "issuer.claims",
        json!({
            "username": { "from": "username" },
            "email": { "from": "email" },
            "scope": { "from": "roles" },
        }),
    )
}

pub(crate) async fn started(config: Config) -> Tollgate {
    let home: Home = config.write();
    home.generate_key();
    Tollgate::start(home).await
}

pub(crate) async fn log_in(gate: &Tollgate, username: &str, password: &str) -> Answer {
    gate.post("/api/token/").json(json!({ "username": username, "password": password })).await
}

/// The claims of a token that was handed out.
pub(crate) fn claims(answer: &Answer, token: &str) -> Value {
    use base64::Engine as _;
    let token = answer.json()[token].as_str().expect("a token").to_owned();
    let payload = token.split('.').nth(1).expect("a payload");
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

pub(crate) async fn run(place: Place) {
    let gate = &place.gate;
    let answer = log_in(gate, "ada", PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = |claims: &Value| {
        assert_eq!(claims["username"], "ada", "{claims}");
        let more = if place.tells_more { ["ada@example.com", "admin staff"] } else { ["", ""] };
        assert_eq!([&claims["email"], &claims["scope"]], more, "{claims}");
    };
    expected(&claims(&answer, "access"));
    let id = claims(&answer, "access")["user_id"].clone();
    assert!(id.as_str().is_some_and(|id| !id.is_empty()), "{id}");

    let refresh = answer.json()["refresh"].clone();
    let renewed = gate.post("/api/token/refresh/").json(json!({ "refresh": refresh })).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    expected(&claims(&renewed, "access"));
    assert_eq!(claims(&renewed, "access")["user_id"], id, "the same user");

    let refused = log_in(gate, "nobody", PASSWORD).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    for (username, password) in [("ada", "correct-hors"), ("ada", "!"), ("gone", PASSWORD), ("gone", "x")] {
        let answer = log_in(gate, username, password).await;
        assert_eq!((answer.status, answer.text()), (refused.status, refused.text()), "{username} {password}");
    }
    assert_eq!(log_in(gate, "ada", "").await.status, 400);
    for username in STRANGE {
        let answer = log_in(gate, username, PASSWORD).await;
        let is_ada = username.trim() == "ada";
        let expected: &[u16] = if is_ada { &[200] } else { &[400, 401] };
        assert!(
            expected.contains(&answer.status.as_u16()),
            "{username:?}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert!([400, 401].contains(&log_in(gate, &"a".repeat(20_000), PASSWORD).await.status.as_u16()));
    assert_eq!(log_in(gate, "ada", &"a".repeat(20_000)).await.status, 401);
    assert_eq!(log_in(gate, "ada", PASSWORD).await.status, 200, "nobody was locked out by that");

    (place.disable_ada)(gate).await;
    assert_eq!(log_in(gate, "ada", PASSWORD).await.status, 401);
    let refresh = renewed.json()["refresh"].clone();
    let answer = gate.post("/api/token/refresh/").json(json!({ "refresh": refresh })).await;
    let expected = if place.is_asked_at_refresh { 401 } else { 200 };
    assert_eq!(answer.status, expected, "{}", answer.text());
}
