//! Claims that a database tells: `{ query: … }` of `issuer.claims`, over the three kinds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::django::Database;
use crate::suite::{PASSWORD, claims, log_in};
use crate::support::{Answer, Config, DatabaseKind, DatabaseServer, Home, Tollgate, config};

/// A database with what the site knows of the users `1` and `2`.
struct Accounts {
    database: Database,
    folder: tempfile::TempDir,
    server: Option<DatabaseServer>,
}

impl Accounts {
    async fn new(database: Database) -> Self {
        let server = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(DatabaseServer::start(DatabaseKind::Postgres).await),
            Database::MariaDb => Some(DatabaseServer::start(DatabaseKind::MariaDb).await),
        };
        let folder = tempfile::Builder::new().prefix("tollgate-accounts-").tempdir().unwrap();
        let accounts = Self { database, folder, server };
        for statement in [
            "CREATE TABLE accounts (user_id integer, plan varchar(9000), seats bigint, rate double precision, \
             trial boolean, left_on varchar(9))",
            "CREATE TABLE features (user_id integer, name varchar(20), weight smallint)",
            "INSERT INTO accounts VALUES (1, 'gold', 12, 0.5, true, NULL)",
            "INSERT INTO features VALUES (1, 'export', 2), (1, 'audit', 1), (2, 'nothing', 1)",
        ] {
            accounts.execute(statement).await;
        }
        accounts
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("accounts.db")
    }

    async fn execute(&self, statement: &str) {
        match &self.server {
            Some(server) => server.execute(statement),
            None => {
                let options = SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
                let mut connection = options.connect().await.unwrap();
                connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
            }
        }
    }

    fn url(&self) -> String {
        match &self.server {
            Some(server) => server.url(),
            None => format!("sqlite://{}", self.file().display()),
        }
    }

    /// The id in the database's own type: PostgreSQL compares no text with a number.
    fn id(&self) -> &'static str {
        if self.database == Database::Postgres { "CAST(? AS integer)" } else { "?" }
    }

    /// A claim from what is selected of the user's account.
    fn of_account(&self, what: &str) -> Value {
        self.claim(&format!("SELECT {what} FROM accounts WHERE user_id = {}", self.id()))
    }

    fn claim(&self, query: &str) -> Value {
        json!({ "query": query, "database": self.url() })
    }

    async fn gateway(&self, claims: Value) -> Tollgate {
        let home: Home = with_claims(claims).write();
        home.generate_key();
        home.add_user("ada", PASSWORD);
        Tollgate::start(home).await
    }

    async fn goes_away(&mut self) {
        match &mut self.server {
            Some(server) => server.stop(),
            None => std::fs::rename(self.file(), self.folder.path().join("away")).unwrap(),
        }
    }

    async fn comes_back(&mut self) {
        match &mut self.server {
            Some(server) => server.run().await,
            None => std::fs::rename(self.folder.path().join("away"), self.file()).unwrap(),
        }
    }
}

fn with_claims(claims: Value) -> Config {
    config().issuer().set("issuer.claims", claims)
}

async fn refresh(gate: &Tollgate, answer: &Answer) -> Answer {
    gate.post("/api/token/refresh/").json(json!({ "refresh": answer.json()["refresh"] })).await
}

/// These claims of both tokens, which say the same.
fn told(answer: &Answer, names: &[&str]) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let [access, refresh] = ["access", "refresh"].map(|token| claims(answer, token));
    names
        .iter()
        .map(|name| {
            assert_eq!(access[*name], refresh[*name], "{name}");
            access.get(*name).cloned().unwrap_or(json!("absent"))
        })
        .collect()
}

pub(crate) async fn values(database: Database) {
    let accounts = Accounts::new(database).await;
    let names = ["plan", "seats", "rate", "trial", "left", "features", "username"];
    let gate = accounts
        .gateway(json!({
            "username": { "from": "username" },
            "plan": accounts.of_account("plan"),
            "seats": accounts.of_account("seats"),
            "rate": accounts.of_account("rate"),
            "trial": accounts.of_account("trial"),
            "left": accounts.of_account("left_on"),
            "features": {
                "query": format!("SELECT name FROM features WHERE user_id = {} ORDER BY weight -- why?", accounts.id()),
                "database": accounts.url(),
                "list": true,
            },
        }))
        .await;
    let login = log_in(&gate, "ada", PASSWORD).await;
    assert_eq!(
        told(&login, &names),
        [
            json!("gold"),
            json!(12),
            json!(0.5),
            json!(true),
            json!("absent"),
            json!(["audit", "export"]),
            json!("ada")
        ]
    );

    accounts
        .execute("UPDATE accounts SET plan = 'it''s free', seats = NULL, trial = false, left_on = 'today'")
        .await;
    accounts.execute("DELETE FROM features WHERE name = 'export'").await;
    let renewed = refresh(&gate, &login).await;
    assert_eq!(
        told(&renewed, &names),
        [
            json!("it's free"),
            json!("absent"),
            json!(0.5),
            json!(false),
            json!("today"),
            json!(["audit"]),
            json!("ada")
        ]
    );

    accounts.execute("DELETE FROM accounts").await;
    accounts.execute("DELETE FROM features").await;
    let renewed = refresh(&gate, &renewed).await;
    let absent = || json!("absent");
    assert_eq!(
        told(&renewed, &names),
        [absent(), absent(), absent(), absent(), absent(), json!([]), json!("ada")]
    );
}

/// In SimpleJWT's manner a refresh copies claims, but not those that are asked for.
pub(crate) async fn in_the_profile() {
    let accounts = Accounts::new(Database::Sqlite).await;
    let claims = json!({ "username": { "from": "username" }, "plan": accounts.of_account("plan") });
    let config = with_claims(claims)
        .set("issuer.compatibility", json!("simplejwt"))
        .set("issuer.rotate_refresh_tokens", json!(true))
        .set("issuer.signing_key", json!("file:secret"))
        .set("issuer.paths", json!({ "sliding_obtain": "/sliding/" }))
        .file("secret", "0123456789abcdef0123456789abcdef");
    let home: Home = config.write();
    home.add_user("ada", PASSWORD);
    let gate = Tollgate::start(home).await;
    let login = log_in(&gate, "ada", PASSWORD).await;
    assert_eq!(told(&login, &["plan", "username"]), [json!("gold"), json!("ada")]);
    let sliding = gate.post("/sliding/").json(json!({ "username": "ada", "password": PASSWORD })).await;
    assert_eq!(crate::suite::claims(&sliding, "token")["plan"], "gold");
    accounts.execute("UPDATE accounts SET plan = 'free'").await;
    let renewed = refresh(&gate, &login).await;
    assert_eq!(told(&renewed, &["plan", "username"]), [json!("free"), json!("ada")]);
    accounts.execute("DELETE FROM accounts").await;
    assert_eq!(told(&refresh(&gate, &renewed).await, &["plan"]), [json!("absent")]);
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json()["code"], "claims_unavailable");
    assert!(answer.header("retry-after").is_some());
}

pub(crate) async fn outage(database: Database) {
    let mut accounts = Accounts::new(database).await;
    let gate = accounts.gateway(json!({ "plan": accounts.of_account("plan") })).await;
    let login = log_in(&gate, "ada", PASSWORD).await;
    accounts.goes_away().await;
    assert_unavailable(&log_in(&gate, "ada", PASSWORD).await);
    assert_unavailable(&refresh(&gate, &login).await);
    assert_eq!(log_in(&gate, "ada", "wrong").await.status, 401, "nobody is asked about a wrong password");
    let is_told = |line: &String| line.contains("gateway.yaml:") && line.contains(": issuer.claims.plan: ");
    gate.lines_until("the reason", |lines| lines.iter().any(is_told)).await;

    // A gateway that starts meanwhile serves all else. For a file there is no such grace: its path is a mistake.
    let late = match database {
        Database::Sqlite => None,
        Database::Postgres | Database::MariaDb => {
            Some(accounts.gateway(json!({ "plan": accounts.of_account("plan") })).await)
        }
    };
    if let Some(late) = &late {
        let check = late.home.run(&["check"], "");
        let printed = String::from_utf8_lossy(&check.stdout).into_owned();
        assert!(check.status.success() && printed.contains("this query was not checked"), "{printed}");
    }
    accounts.comes_back().await;
    assert_eq!(
        told(&refresh(&gate, &login).await, &["plan"]),
        [json!("gold")],
        "the old token was not spent"
    );
    assert_eq!(told(&log_in(&gate, "ada", PASSWORD).await, &["plan"]), [json!("gold")]);
    if let Some(late) = late {
        assert_eq!(told(&log_in(&late, "ada", PASSWORD).await, &["plan"]), [json!("gold")]);
    }
}

pub(crate) async fn broken(database: Database) {
    let accounts = Accounts::new(database).await;
    let writes = match database {
        Database::Sqlite | Database::MariaDb => "does not only read",
        Database::Postgres => "no query that could be a part of another",
    };
    let no_columns = if database == Database::MariaDb { writes } else { "0 columns" };
    let nowhere = "SELECT plan FROM nowhere WHERE user_id = ?";
    for (query, said) in [
        (nowhere, "nowhere"),
        ("SELECT plan FRO accounts WHERE user_id = ?", "syntax error"),
        ("SELECT plan, plan FROM accounts WHERE CAST(user_id AS char(9)) = ?", "2 columns"),
        ("DELETE FROM accounts WHERE CAST(user_id AS char(9)) = ?", no_columns),
        ("DELETE FROM accounts WHERE CAST(user_id AS char(9)) = ? RETURNING plan", writes),
        match database {
            Database::Sqlite => ("REPLACE INTO accounts (plan) VALUES (?) RETURNING plan", writes),
            // The only kind with such a statement.
            Database::Postgres => (
                "WITH gone AS (DELETE FROM accounts WHERE '' <> ? RETURNING plan) SELECT plan FROM gone",
                writes,
            ),
            // The only kind that tells a type beforehand which has no place in a token.
            Database::MariaDb => {
                ("SELECT TIMESTAMP('2026-01-01') FROM accounts WHERE user_id = ?", "type datetime")
            }
        },
    ] {
        let home: Home = with_claims(json!({ "plan": accounts.claim(query) })).write();
        home.generate_key();
        home.add_user("ada", PASSWORD);
        let check = home.run(&["check"], "");
        let printed = String::from_utf8_lossy(&check.stderr).into_owned();
        assert_eq!(check.status.code(), Some(2), "{query}: {printed}");
        let Err(finished) = Tollgate::try_start(home).await else { panic!("{query} is taken") };
        for printed in [printed, finished.lines.join("\n")] {
            let at = printed.find("gateway.yaml:").expect("the place");
            assert!(printed[at..].contains(": issuer.claims.plan: "), "{printed}");
            let printed = printed.to_lowercase();
            let said = if database == Database::MariaDb {
                said.replace("syntax error", "sql syntax")
            } else {
                said.into()
            };
            assert!(printed.contains(&said), "{printed}");
        }
    }
}

/// What goes wrong only when it is carried out: nothing is issued, and nothing is written.
pub(crate) async fn refused(database: Database) {
    let accounts = Accounts::new(database).await;
    let endless = match database {
        Database::Sqlite => {
            "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n WHERE x <> ?"
        }
        Database::Postgres => "SELECT CAST(pg_sleep(600) AS text) WHERE '' <> ?",
        Database::MariaDb => "SELECT sleep(600) WHERE '' <> ?",
    };
    let several = format!("SELECT name FROM features WHERE user_id = {}", accounts.id());
    let many =
        "SELECT 1 FROM features a, features b, features c, features d, features e, features f WHERE '' <> ?";
    for (what, query, list) in
        [("several rows", several.as_str(), false), ("too many rows", many, true), ("no end", endless, false)]
    {
        let mut claim = accounts.claim(query);
        claim["list"] = json!(list);
        let gate = accounts.gateway(json!({ "x": claim })).await;
        // What limits a statement limits the next one of its connection too.
        for _ in 0..2 {
            let start = Instant::now();
            assert_unavailable(&log_in(&gate, "ada", PASSWORD).await);
            assert!(start.elapsed() < Duration::from_secs(10), "{what}: {:?}", start.elapsed());
        }
    }
    let gate = accounts.gateway(json!({ "plan": accounts.of_account("plan") })).await;
    accounts.execute(&format!("UPDATE accounts SET plan = '{}'", "x".repeat(5_000))).await;
    assert_unavailable(&log_in(&gate, "ada", PASSWORD).await);
    accounts.execute("UPDATE accounts SET plan = 'gold'").await;

    // What does not only read is found before the start, but for what a function comes to do later. SQLite has none.
    let (reads, writes) = match database {
        Database::Sqlite => return,
        Database::Postgres => (
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'read' $$",
            "CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE sql AS \
             $$ INSERT INTO features VALUES (3, 'written', 1) RETURNING name $$",
        ),
        Database::MariaDb => (
            "CREATE FUNCTION f() RETURNS varchar(9) RETURN 'read'",
            "DELIMITER //\nCREATE OR REPLACE FUNCTION f() RETURNS varchar(9) MODIFIES SQL DATA \
             BEGIN INSERT INTO features VALUES (3, 'written', 1); RETURN 'written'; END//",
        ),
    };
    accounts.execute(reads).await;
    let gate =
        accounts.gateway(json!({ "x": accounts.claim("SELECT f() FROM accounts WHERE '' <> ?") })).await;
    assert_eq!(told(&log_in(&gate, "ada", PASSWORD).await, &["x"]), [json!("read")]);
    accounts.execute(writes).await;
    for _ in 0..2 {
        assert_unavailable(&log_in(&gate, "ada", PASSWORD).await);
    }
    let count = "SELECT count(*) FROM features WHERE '' <> ?";
    let gate = accounts.gateway(json!({ "features": accounts.claim(count) })).await;
    assert_eq!(told(&log_in(&gate, "ada", PASSWORD).await, &["features"]), [json!(3)], "nothing was written");
}
