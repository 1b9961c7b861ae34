//! A Django site's users in the three databases, made by Django itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::suite::{PASSWORD, Place, claims, gateway, log_in, run, started};
use crate::support::{self, DatabaseKind, DatabaseServer, Tollgate, Upstream};

/// Where the site keeps its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
    MariaDb,
}

impl Database {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
        }
    }
}

/// A site with its database, and nothing of Tollgate's.
struct Site {
    database: Database,
    folder: tempfile::TempDir,
    server: Option<DatabaseServer>,
    model: &'static str,
    /// Its hashes are no work, for tests that are about something else.
    is_cheap: bool,
}

impl Site {
    async fn new(database: Database) -> Self {
        let server = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(DatabaseServer::start(DatabaseKind::Postgres).await),
            Database::MariaDb => Some(DatabaseServer::start(DatabaseKind::MariaDb).await),
        };
        let folder = tempfile::Builder::new().prefix("tollgate-site-").tempdir().unwrap();
        Self { database, folder, server, model: "auth.User", is_cheap: true }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("db.sqlite3")
    }

    /// Lets Django do something, and returns what it printed as JSON.
    fn django(&self, arguments: &[&str]) -> Value {
        let place = self.server.as_ref().map_or_else(|| self.file(), DatabaseServer::socket);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/django-users");
        let output = Command::new(environment().join("bin/python"))
            .arg(source.join("tool.py"))
            .args(arguments)
            .env("DJANGO_SETTINGS_MODULE", "settings")
            .env("DATABASE", format!("{}:{}", self.database.name(), place.display()))
            .env("USER_MODEL", self.model)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn make(&self, users: &Value) {
        self.django(&["make", &users.to_string()]);
    }

    /// These users as Django reads them, by name.
    fn show(&self, names: &[String]) -> Value {
        let arguments: Vec<&str> = ["show"].into_iter().chain(names.iter().map(String::as_str)).collect();
        self.django(&arguments)
    }

    /// One user as Django reads it.
    fn show_one(&self, name: &str) -> Value {
        self.show(&[name.to_owned()])[name].take()
    }

    /// `users.django` of a `gateway.yaml` with further keys.
    fn users(&self, more: &[(&str, Value)]) -> Value {
        let database = match &self.server {
            None => format!("sqlite://{}", self.file().display()),
            Some(server) => server.url(),
        };
        let mut django = json!({ "database": database });
        if self.is_cheap {
            django["hashers"] = json!(["pbkdf2_sha256", "md5"]);
            django["pbkdf2_iterations"] = 1_000.into();
            django["rewrite_hashes"] = false.into();
        }
        for (key, value) in more {
            django[key] = value.clone();
        }
        json!({ "django": django })
    }
}

/// Where `scripts/test` put Django and the drivers of its databases.
pub(crate) fn environment() -> PathBuf {
    support::environment(
        "TOLLGATE_TEST_DJANGO_USERS",
        "venv/django-users",
        include_bytes!("../data/django-users/requirements.txt"),
    )
}

pub(crate) async fn users_of_every_hasher_log_in(database: Database) {
    let mut site = Site::new(database).await;
    site.is_cheap = false;
    let hashers = ["pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "scrypt", "bcrypt", "md5"];
    let users: Vec<Value> = hashers
        .iter()
        .map(|hasher| json!({ "name": format!("by_{hasher}"), "password": PASSWORD, "hasher": hasher }))
        .chain([json!({ "name": "unusable", "password": null })])
        .collect();
    site.make(&json!(users));
    let gate = started(gateway(site.users(&[("rewrite_hashes", json!(false))]))).await;
    let of_five: Vec<String> = hashers[..5].iter().map(|hasher| format!("by_{hasher}")).collect();
    let before = site.show(&of_five);
    let from = support::now();
    for name in &of_five {
        let answer = log_in(&gate, name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(claims(&answer, "access")["user_id"], before[name]["id"], "{name}");
    }
    let after = site.show(&of_five);
    for (name, hasher) in of_five.iter().zip(hashers) {
        let password = before[name]["password"].as_str().unwrap();
        assert!(password.starts_with(&format!("{hasher}$")), "{before}");
        assert_eq!(before[name]["last_login"], Value::Null);
        let login = after[name]["last_login"].as_u64().expect("a time that Django reads");
        assert!((from..=support::now()).contains(&login), "{name}: {login} from {from}");
        assert_eq!(after[name]["password"], password, "not asked to renew it");
    }
    // Off in Django too, unless a site names them.
    for name in ["by_bcrypt", "by_md5", "unusable"] {
        assert_eq!(log_in(&gate, name, PASSWORD).await.status, 401, "{name}");
    }
    let renewing = started(gateway(site.users(&[("hashers", json!(["argon2", "bcrypt", "md5"]))]))).await;
    let of_two = ["by_bcrypt".to_owned(), "by_md5".to_owned()];
    let before = site.show(&of_two);
    for name in &of_two {
        assert_eq!(log_in(&renewing, name, "correct-hors").await.status, 401, "{name}");
    }
    assert_eq!(site.show(&of_two), before, "a bad login changes nothing");
    for name in &of_two {
        assert_eq!(log_in(&renewing, name, PASSWORD).await.status, 200, "{name}");
    }
    let after = site.show(&of_two);
    for name in &of_two {
        assert!(after[name]["password"].as_str().unwrap().starts_with("argon2$argon2id$"), "{name}: {after}");
        assert_eq!(site.django(&["check", name, PASSWORD]), json!(true), "Django takes the new hash");
    }
    // As Django would by itself: PBKDF2 with this release's iterations, which it does not touch again.
    let as_django = started(gateway(site.users(&[]))).await;
    assert_eq!(log_in(&as_django, "by_argon2", PASSWORD).await.status, 200);
    let after = site.show_one("by_argon2");
    assert!(after["password"].as_str().unwrap().starts_with("pbkdf2_sha256$1000000$"), "{after}");
    assert_eq!(site.django(&["check", "by_argon2", PASSWORD]), json!(true));
    assert_eq!(site.show_one("by_argon2"), after, "Django keeps the new hash");
}

/// Cheap to verify, and dear to the site.
fn ada_and_gone() -> Value {
    json!([
        {
            "name": "ada", "password": PASSWORD, "hasher": "md5", "email": "ada@example.com",
            "groups": ["staff", "admin", "two words admin"],
            "permissions": ["auth.change_user", "auth.add_group"],
        },
        { "name": "gone", "password": PASSWORD, "hasher": "md5", "is_active": false, "groups": ["admin"] },
        { "name": "root", "password": PASSWORD, "hasher": "md5", "is_superuser": true },
    ])
}

pub(crate) async fn suite(database: Database) {
    let site = Site::new(database).await;
    site.make(&ada_and_gone());

    let permissions = started(gateway(site.users(&[("roles_from", json!("permissions"))]))).await;
    for name in ["ada", "root"] {
        let granted = site.show_one(name)["permissions"].clone();
        let granted: Vec<&str> =
            granted.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let answer = log_in(&permissions, name, PASSWORD).await;
        let scope = claims(&answer, "access")["scope"].clone();
        let mut scopes: Vec<&str> = scope.as_str().unwrap().split(' ').collect();
        scopes.sort_unstable();
        assert_eq!(scopes, granted, "{name} may what Django lets {name} do");
    }
    let none = started(gateway(site.users(&[("roles_from", json!("none"))]))).await;
    assert_eq!(claims(&log_in(&none, "ada", PASSWORD).await, "access")["scope"], "");

    let gate = started(gateway(site.users(&[]))).await;
    run(Place {
        gate,
        disable_ada: Box::new(move |_| {
            site.django(&["set", "ada", "is_active", "false"]);
            Box::pin(std::future::ready(()))
        }),
        tells_more: true,
        is_asked_at_refresh: true,
    })
    .await;
}

/// Each kind of claim at a login, and at a refresh after the site changed what it says.
pub(crate) async fn claims_of_every_source(database: Database) {
    let site = Site::new(database).await;
    site.make(&ada_and_gone());
    let id = if database == Database::Postgres { "CAST(? AS integer)" } else { "?" };
    let sources = json!({
        "name": { "from": "username" },
        "email": { "from": "email" },
        "scope": { "from": "roles" },
        "groups": { "from": "groups" },
        "all_groups": { "column": "groups" },
        "may_everything": { "column": "is_superuser" },
        "first": { "column": "first_name" },
        "number": { "column": "id" },
        "of_staff": { "column": "is_staff" },
        "tenant": { "value": "north" },
        // In the database of the users, unless another is named.
        "staff": { "query": format!("SELECT is_staff FROM auth_user WHERE id = {id}") },
    });
    let gate = started(gateway(site.users(&[])).set("issuer.claims", sources)).await;
    let told = |answer: &support::Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let [access, refresh] = ["access", "refresh"].map(|token| {
            let claims = claims(answer, token);
            [
                "name",
                "email",
                "scope",
                "groups",
                "all_groups",
                "may_everything",
                "first",
                "of_staff",
                "tenant",
                "staff",
            ]
            .map(|name| claims.get(name).cloned().unwrap_or(json!("absent")))
        });
        assert_eq!(access, refresh);
        Value::from(access.to_vec())
    };
    let login = log_in(&gate, "ada", PASSWORD).await;
    let id = site.show_one("ada")["id"].as_str().unwrap().parse::<i64>().unwrap();
    assert_eq!(claims(&login, "access")["number"], id);
    assert_eq!(
        told(&login),
        json!([
            "ada",
            "ada@example.com",
            "admin staff",
            ["admin", "staff"],
            ["admin", "staff", "two words admin"],
            false,
            "",
            false,
            "north",
            false
        ])
    );

    for (field, value) in [
        ("email", "\"ada@example.org\""),
        ("first_name", "\"Augusta\""),
        ("is_superuser", "true"),
        ("is_staff", "true"),
        ("username", "\"countess\""),
    ] {
        site.django(&["set", "ada", field, value]);
    }
    site.django(&["leave", "countess", "staff"]);
    let renewed = gate.post("/api/token/refresh/").json(json!({ "refresh": login.json()["refresh"] })).await;
    assert_eq!(
        told(&renewed),
        json!([
            "countess",
            "ada@example.org",
            "admin",
            ["admin"],
            ["admin", "two words admin"],
            true,
            "Augusta",
            true,
            "north",
            true
        ])
    );
}

/// By an administrator, who tells nobody here of it. The keys of the first model are integers, those of the other UUIDs.
pub(crate) async fn shut_out(database: Database) {
    for model in ["auth.User", "people.Member"] {
        let mut site = Site::new(database).await;
        site.model = model;
        let of_site = if model == "auth.User" { Vec::new() } else { member() };
        let names = ["ada@example.com", "bob@example.com"];
        site.make(&json!(names.map(|name| json!({ "name": name, "password": PASSWORD, "hasher": "md5" }))));
        let app = Upstream::echo().await;
        let config = gateway(site.users(&of_site))
            .set("issuer.user_poll_interval", json!("1s"))
            .route("/*", "local", &app);
        let gate = started(config).await;
        let mut logins = Vec::new();
        for name in names {
            let login = log_in(&gate, name, PASSWORD).await;
            assert_eq!(login.status, 200, "{}", login.text());
            logins.push(login.json());
        }
        let verify = async |login: usize| {
            let body = json!({ "token": logins[login]["access"] });
            gate.post("/api/token/verify/").json(body).await.status
        };
        let get = async |login: usize| {
            let access = logins[login]["access"].as_str().unwrap();
            gate.get("/orders").bearer(access).await.status.as_u16()
        };
        assert_eq!(verify(0).await, 200);
        // The second of each finds the token in the cache.
        assert_eq!([get(0).await, get(0).await, get(1).await, get(1).await], [200; 4]);
        match model {
            "auth.User" => site.django(&["set", names[0], "is_active", "false"]),
            _ => site.django(&["remove", names[0]]),
        };
        let ended = async {
            while get(0).await == 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("looked for every second");
        assert_eq!((get(0).await, verify(0).await == 200), (401, false));
        assert_eq!((get(1).await, verify(1).await), (200, 200.try_into().unwrap()), "the other stays");
        if model == "auth.User" {
            site.django(&["set", names[0], "is_active", "true"]);
        }
        let renew = async |login: usize| {
            let body = json!({ "refresh": logins[login]["refresh"] });
            gate.post("/api/token/refresh/").json(body).await.status
        };
        assert_eq!((renew(0).await, renew(1).await), (401.try_into().unwrap(), 200.try_into().unwrap()));
    }
}

/// What the file says of a user model of the site's own.
fn member() -> Vec<(&'static str, Value)> {
    let columns = json!({
        "username": "address", "email": "address", "is_active": "none", "last_login": "last_login"
    });
    vec![("table", json!("Club_members")), ("columns", columns), ("user_column", json!("member_id"))]
}

/// Each of them makes a new hash of the same password, and one of these is stored: it is whose fingerprint counts.
pub(crate) async fn simultaneous_logins_that_renew_a_hash(database: Database) {
    let site = Site::new(database).await;
    site.make(&ada_and_gone());
    let renewing = [("hashers", json!(["argon2", "md5"])), ("rewrite_hashes", json!(true))];
    let config = gateway(site.users(&renewing)).set("issuer.check_revoke_token", json!(true));
    let gate = started(config).await;
    let logins = join_all((0..8).map(|_| log_in(&gate, "ada", PASSWORD))).await;
    let hash = site.show_one("ada")["password"].clone();
    assert!(hash.as_str().unwrap().starts_with("argon2$"), "{hash}");
    for login in logins {
        assert_eq!(login.status, 200, "{}", login.text());
        let renewed =
            gate.post("/api/token/refresh/").json(json!({ "refresh": login.json()["refresh"] })).await;
        assert_eq!(renewed.status, 200, "the token of a login is good: {}", renewed.text());
    }
}

/// MySQL's collations take many spellings for one name: all of them share what one may fail.
pub(crate) async fn spellings_share_an_allowance(database: Database) {
    let site = Site::new(database).await;
    site.make(&json!([
        { "name": "ada", "password": PASSWORD, "hasher": "md5" },
        { "name": "straße", "password": PASSWORD, "hasher": "md5" },
    ]));
    let mut names = vec![
        ("ada", ["ada", "adá", "ädä", "ada\u{200b} "]),
        ("nobody", ["nobody", "nóbody", "ＮＯＢＯＤＹ", "Nobody"]),
    ];
    if database == Database::MariaDb {
        let column = "ALTER TABLE auth_user MODIFY username varchar(150) CHARACTER SET utf8mb4 \
                      COLLATE utf8mb4_general_ci NOT NULL";
        site.server.as_ref().expect("MariaDB is a server").execute(column);
        let gate = started(gateway(site.users(&[]))).await;
        for name in ["ADÁ", "ädä", "strase", "STRÁSE"] {
            assert_eq!(log_in(&gate, name, PASSWORD).await.status, 200, "{name} is in the table");
        }
        // This collation has ß for s, and no other folds it so.
        names.push(("straße", ["strase", "STRÁSE", "straße", "strase"]));
    }
    let limited = gateway(site.users(&[])).set("issuer.throttle", json!({ "per_account": "4/1h" }));
    let gate = started(limited).await;
    let mut told = Vec::new();
    for (name, spellings) in names {
        for spelling in spellings {
            assert_eq!(log_in(&gate, spelling, "a-guess").await.status, 401, "{spelling}");
        }
        for spelling in spellings.into_iter().chain([name]) {
            let answer = log_in(&gate, spelling, PASSWORD).await;
            assert_eq!(answer.status, 429, "{spelling}: {}", answer.text());
            let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((800..=900).contains(&seconds), "{seconds}");
            let detail = answer.json()["detail"].as_str().unwrap().replace(&seconds.to_string(), "N");
            told.push((detail, answer.header("content-type").unwrap().to_owned()));
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

pub(crate) async fn a_user_model_of_its_own(database: Database) {
    let mut site = Site::new(database).await;
    site.model = "people.Member";
    site.make(
        &json!([{ "name": "ada@example.com", "password": PASSWORD, "hasher": "md5", "groups": ["admin"] }]),
    );
    let gate = started(gateway(site.users(&member()))).await;
    let answer = log_in(&gate, "ada@example.com", PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let claims = claims(&answer, "access");
    let id = site.show_one("ada@example.com")["id"].clone();
    assert_eq!(claims["user_id"], id, "as Django writes it");
    assert_eq!(id.as_str().unwrap().len(), 36, "{id}");
    assert_eq!((&claims["email"], &claims["scope"]), (&json!("ada@example.com"), &json!("admin")));
    let refresh = answer.json()["refresh"].clone();
    let renewed = gate.post("/api/token/refresh/").json(json!({ "refresh": refresh })).await;
    assert_eq!(renewed.status, 200, "found again by its id: {}", renewed.text());
    assert!(site.show_one("ada@example.com")["last_login"].is_i64(), "noted");
}

pub(crate) async fn wrong_names_stop_the_start(database: Database) {
    let site = Site::new(database).await;
    site.make(&json!([]));
    for (key, value, said) in [
        ("table", json!("auth_users"), "auth_users"),
        ("columns", json!({ "username": "login" }), "login"),
        ("columns", json!({ "id": "uid" }), "uid"),
        ("columns", json!({ "last_login": "seen" }), "seen"),
        ("user_column", json!("owner_id"), "owner_id"),
        ("groups_table", json!("user_groups"), "user_groups"),
    ] {
        let home = gateway(site.users(&[(key, value)])).write();
        home.generate_key();
        let Err(finished) = Tollgate::try_start(home).await else { panic!("{key} {said} is taken") };
        let printed = finished.lines.join("\n");
        assert!(printed.contains(said) && printed.contains("issuer.users"), "{printed}");
    }
}

pub(crate) async fn outage(database: Database) {
    let mut site = Site::new(database).await;
    site.make(&ada_and_gone());
    let gate = started(gateway(site.users(&[]))).await;
    let answer = log_in(&gate, "ada", PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let refresh = answer.json()["refresh"].clone();
    let away = site.folder.path().join("away");
    match &mut site.server {
        None => std::fs::rename(site.folder.path().join("db.sqlite3"), &away).unwrap(),
        Some(server) => server.stop(),
    }
    for name in ["ada", "nobody"] {
        let answer = log_in(&gate, name, PASSWORD).await;
        assert_eq!(answer.status, 503, "{name}: {}", answer.text());
        assert!(answer.header("retry-after").is_some());
    }
    let refused = gate.post("/api/token/refresh/").json(json!({ "refresh": refresh })).await;
    assert_eq!(refused.status, 503, "{}", refused.text());

    // A gateway that starts meanwhile serves, and finds the users when they are back. There is no such grace for a file:
    // its path is a mistake.
    let late = match database {
        Database::Sqlite => None,
        Database::Postgres | Database::MariaDb => Some(started(gateway(site.users(&[]))).await),
    };
    match &mut site.server {
        None => std::fs::rename(&away, site.folder.path().join("db.sqlite3")).unwrap(),
        Some(server) => server.run().await,
    }
    assert_eq!(log_in(&gate, "ada", PASSWORD).await.status, 200);
    let renewed = gate.post("/api/token/refresh/").json(json!({ "refresh": refresh })).await;
    assert_eq!(renewed.status, 200, "the session outlived it: {}", renewed.text());
    if let Some(late) = late {
        assert_eq!(log_in(&late, "ada", PASSWORD).await.status, 200);
    }
}
