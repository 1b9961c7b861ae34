//! Where a gateway's own tables are: in a file of its folder, or in a database of its own on a server that all share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tokio::runtime::Runtime;
use tollgate::config;
use tollgate::store::{Missing, Store, Unanswered, open_store};

use crate::support::{DatabaseKind, DatabaseServer, Home};

const FILE: &str = "data/tollgate.db";

/// The servers in use, each started for the first gateway that wants it.
#[derive(Default)]
pub(crate) struct Servers(Mutex<HashMap<DatabaseKind, Arc<Server>>>);

/// A running one.
pub(crate) struct Server {
    server: DatabaseServer,
    databases: AtomicU32,
}

/// One gateway's.
pub(crate) enum Place {
    File,
    Database { server: Arc<Server>, name: String },
}

impl Servers {
    /// An empty database of this kind, SQLite without one.
    pub(crate) fn place(&self, kind: Option<DatabaseKind>, runtime: &Runtime) -> Place {
        let Some(kind) = kind else { return Place::File };
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.entry(kind).or_insert_with(|| {
            let server = runtime.block_on(DatabaseServer::start(kind));
            Arc::new(Server { server, databases: AtomicU32::new(0) })
        });
        let name = format!("case{}", server.databases.fetch_add(1, Ordering::Relaxed));
        server.server.execute(&format!("CREATE DATABASE {name}"));
        Place::Database { server: Arc::clone(server), name }
    }
}

impl Place {
    /// As the gateway's file names it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::File => format!("sqlite://{FILE}"),
            Self::Database { server, name } => server.server.url_of(name),
        }
    }

    /// Beside the gateway of this folder.
    pub(crate) async fn open(&self, home: &Home) -> Arc<dyn Store> {
        let file = format!("issuer: {{ store: '{}' }}", self.url());
        let config = config::read_text(&file, &home.path("gateway.yaml"), &|_| None).expect("valid");
        let database = config.issuer.expect("an issuer").store;
        open_store(&database, Missing::Create, Unanswered::Refuse).await.expect("the gateway's database")
    }

    /// Takes from a user that he ever logged in.
    pub(crate) async fn forget_login(&self, home: &Home, username: &str) {
        match self {
            Self::File => {
                let options = SqliteConnectOptions::new().filename(home.path(Path::new(FILE)));
                let mut database = SqliteConnection::connect_with(&options).await.expect("the database");
                let forget = sqlx::query("UPDATE users SET last_login = NULL WHERE username = ?");
                let done = forget.bind(username).execute(&mut database).await.expect("the database");
                assert_eq!(done.rows_affected(), 1, "{username}");
            }
            Self::Database { server, name } => {
                let forget = format!("UPDATE users SET last_login = NULL WHERE username = '{username}'");
                server.server.execute_in(name, &forget);
            }
        }
    }
}
