//! The gateway's own users as `tollgate user` keeps them, and what their tokens say.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use std::process::Output;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use support::{Connection, Home, Protocol, Reply, Tollgate, Upstream, config, within};

const PASSWORD: &str = "the-long-password-of-ada";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn add(home: &Home, name: &str, more: &[&str]) -> Output {
    home.run(&[&["user", "add", name, "--password-stdin"], more].concat(), &format!("{PASSWORD}\n"))
}

fn succeeds(home: &Home, arguments: &[&str]) -> String {
    let output = home.run(arguments, "");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn login(connection: &Connection, name: &str) -> Value {
    let credentials = json!({ "username": name, "password": PASSWORD });
    let answer = connection.post("/api/token/").json(credentials).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn refresh(connection: &Connection, pair: &Value) -> Value {
    let answer = connection.post("/api/token/refresh/").json(json!({ "refresh": pair["refresh"] })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// What an access token says of its user: `scope`, `roles` by the file, `teams` and `plan` by the user.
fn said(pair: &Value) -> [Value; 4] {
    let claims = claims_of(pair["access"].as_str().unwrap());
    ["scope", "roles", "teams", "plan"].map(|name| claims[name].clone())
}

async fn gateway() -> (Upstream, Home) {
    let app = Upstream::echo().await;
    let sources = json!({ "scope": { "from": "scopes" }, "roles": { "from": "groups" } });
    let home = config().issuer().set("issuer.claims", sources).route("/*", "local", &app).write();
    home.generate_key();
    (app, home)
}

#[tokio::test]
async fn scopes_and_extra_claims_are_in_the_tokens_and_change_at_a_refresh() {
    let (_app, home) = gateway().await;
    let more = ["--role", "staff", "--scope", "orders:read", "--scope", "orders:write", "--claim", "plan=3"];
    let more = [&more[..], &["--claim", r#"teams=["north","west"]"#]].concat();
    assert!(add(&home, "ada", &more).status.success());
    assert!(add(&home, "bob", &[]).status.success());
    let gate = Tollgate::start(home).await;
    let connection = gate.client(Protocol::Http1).connect().await;

    let first = login(&connection, "ada").await;
    let orders = json!("orders:read orders:write");
    assert_eq!(said(&first), [orders, json!(["staff"]), json!(["north", "west"]), json!(3)]);
    assert_eq!(said(&login(&connection, "bob").await), [json!(""), json!([]), Value::Null, Value::Null]);

    let change = ["--scope", "orders:read", "--claim", "plan=gold", "--no-claim", "teams", "--no-roles"];
    succeeds(&gate.home, &[&["user", "set", "ada"], &change[..]].concat());
    let second = refresh(&connection, &first).await;
    assert_eq!(said(&second), [json!("orders:read"), json!([]), Value::Null, json!("gold")]);
}

#[tokio::test]
async fn a_claim_that_others_set_and_one_too_many_are_refused() {
    let (_app, home) = gateway().await;
    let long = format!("note={}", "x".repeat(2100));
    for (claim, why) in [
        ("exp=9999999999", "the issuer sets"),
        ("sub=root", "the issuer sets"),
        ("token_type=refresh", "the issuer sets"),
        ("scope=everything", "`issuer.claims` of the file sets"),
        ("nothing", "NAME=VALUE"),
        (&long, "2048 at most"),
    ] {
        let refused = add(&home, "ada", &["--claim", claim]);
        assert_eq!(refused.status.code(), Some(2), "{claim}");
        assert!(text(&refused.stderr).contains(why), "{claim}: {}", text(&refused.stderr));
    }
    assert!(add(&home, "ada", &[]).status.success());
    for (arguments, code, why) in [
        (&["user", "set", "ada"][..], 2, "nothing to set"),
        (&["user", "set", "ada", "--claim", "sid=1"], 2, "the issuer sets"),
        (&["user", "set", "ada", "--role", "x", "--no-roles"], 2, "cannot be used with"),
        (&["user", "set", "Ada", "--no-roles"], 1, "no user \"Ada\""),
        (&["user", "remove", "Ada"], 1, "no user \"Ada\""),
    ] {
        let refused = home.run(arguments, "");
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}");
        assert!(text(&refused.stderr).contains(why), "{arguments:?}: {}", text(&refused.stderr));
    }
}

#[tokio::test]
async fn users_are_listed_by_name_with_what_is_said_of_them() {
    let (_app, home) = gateway().await;
    assert!(add(&home, "zoe", &[]).status.success());
    let more = ["--email", "ada@example.test", "--role", "admin", "--scope", "a b"];
    assert_eq!(add(&home, "ada", &more).status.code(), Some(2), "a scope is one word");
    let more = ["--email", "ada@example.test", "--role", "admin", "--scope", "a", "--claim", "plan=3"];
    assert!(add(&home, "ada", &more).status.success());
    succeeds(&home, &["user", "disable", "zoe"]);
    assert_eq!(
        succeeds(&home, &["user", "list"]),
        "ada  id 2  email ada@example.test  roles admin  scopes a  claims {\"plan\":3}\nzoe  id 1  kept out\n"
    );
    let listed = succeeds(&home, &["user", "list", "--json"]);
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed[0]["scopes"], json!(["a"]));
    assert_eq!((&listed[1]["username"], &listed[1]["active"]), (&json!("zoe"), &json!(false)));
    assert!(!listed[0].to_string().contains("argon2"), "no hash");
}

#[tokio::test]
async fn a_removed_user_s_tokens_end_and_the_id_is_nobody_s() {
    let (_app, home) = gateway().await;
    assert!(add(&home, "ada", &[]).status.success());
    let gate = Tollgate::start(home).await;
    let connection = gate.client(Protocol::Http1).connect().await;
    let pair = login(&connection, "ada").await;
    let bearer = pair["access"].as_str().unwrap();
    assert_eq!(connection.get("/orders").bearer(bearer).await.status, 200);

    let told = succeeds(&gate.home, &["user", "remove", "ada"]);
    assert_eq!(told, "removed ada; ended 1 sessions, and all access tokens\n");
    let refused = connection.post("/api/token/refresh/").json(json!({ "refresh": pair["refresh"] })).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    let credentials = json!({ "username": "ada", "password": PASSWORD });
    assert_eq!(connection.post("/api/token/").json(credentials).await.status, 401);
    // The gateway reads of it in its own time.
    within("the access token is refused", async {
        while connection.get("/orders").bearer(bearer).await.status != 401 {}
    })
    .await;
    assert!(text(&add(&gate.home, "ada", &[]).stdout).contains("with id 2"));
}

fn mint(home: &Home) -> Output {
    home.run(&["token", "mint", "--user", "ada"], "")
}

// The command is waited for on one thread, the service answers on the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_minted_token_says_what_databases_and_the_site_s_service_tell_a_login() {
    let app = Upstream::echo().await;
    let says = Arc::new(Mutex::new(json!({ "tenant": "north" })));
    let service = Upstream::start({
        let says = Arc::clone(&says);
        move |_| match &*says.lock().unwrap() {
            Value::Null => Reply::new(500, "out of order"),
            claims => Reply::json(claims.clone()),
        }
    })
    .await;
    let home = config()
        .issuer()
        .set(
            "issuer.claims",
            json!({ "plan": {
                "query": "SELECT plan FROM accounts WHERE user_id = ?", "database": "sqlite://accounts.db",
            } }),
        )
        .set(
            "issuer.hook",
            json!({
                "url": format!("{}/claims", service.url()),
                "fetch": { "allow_http": true, "allow_private_addresses": true, "proxy": "none" },
            }),
        )
        .route("/*", "local", &app)
        .write();
    home.generate_key();
    let options = SqliteConnectOptions::new().filename(home.path("accounts.db")).create_if_missing(true);
    let mut accounts = options.connect().await.unwrap();
    accounts.execute("CREATE TABLE accounts (user_id integer, plan text)").await.unwrap();
    accounts.execute("INSERT INTO accounts VALUES (1, 'gold')").await.unwrap();
    assert!(add(&home, "ada", &[]).status.success());

    let output = mint(&home);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let claims = claims_of(text(&output.stdout).trim());
    assert_eq!((&claims["plan"], &claims["tenant"]), (&json!("gold"), &json!("north")));
    assert_eq!(claims.get("sid"), None, "it belongs to no session");
    let question = service.only_request().json();
    assert_eq!((&question["event"], &question["user"]["username"]), (&json!("login"), &json!("ada")));

    // Where a login would give no token, there is none here.
    for (answer, change, why) in [
        (Value::Null, "UPDATE accounts SET plan = 'silver'", "issuer.hook"),
        (json!({}), "DROP TABLE accounts", "no such table"),
    ] {
        *says.lock().unwrap() = answer;
        accounts.execute(change).await.unwrap();
        let output = mint(&home);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("panicked"));
    }
}
