//! Users in a file: YAML, or htpasswd's form. Read again when it changes.
//!
//! Whether it did is looked at whenever it is needed: a look costs some microseconds beside a hash of milliseconds, and
//! unlike a watcher it never lags behind. A file that can't be read any more changes nothing but the log.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Deserialize;
use tokio::runtime::Handle;

use super::{Answer, OpenError, PasswordHash, Scheme, User, UserId, UserRows};
use crate::base::UnixTime;

/// Some hundred thousand users.
const LARGEST: u64 = 64 << 20;

/// The users of one file.
pub struct UserFile {
    path: PathBuf,
    table: ArcSwap<Table>,
}

/// Why a file of users can't be read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    System(#[from] std::io::Error),
    #[error("it is larger than 64MiB")]
    TooLarge,
    #[error("it is not UTF-8")]
    Encoding,
    #[error("line {line}: expected NAME:HASH")]
    Line { line: usize },
    #[error("it holds the user {0:?} twice")]
    Twice(String),
    #[error("two users have the id {0:?}")]
    IdTwice(String),
    #[error("{0}")]
    Yaml(String),
}

/// What was read, and of which state of the file.
#[derive(Default)]
struct Table {
    version: Version,
    by_name: HashMap<String, User>,
    by_id: HashMap<String, String>,
    /// The hash that a name that is not there is compared with.
    decoy: Option<PasswordHash>,
}

/// Whether a file is the same as before: replaced ones have another inode, rewritten ones another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// One user of a YAML file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    password: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    email: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default = "active")]
    active: bool,
}

fn active() -> bool {
    true
}

impl fmt::Debug for UserFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl UserFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`OpenError::Users`]: it can't be read, or is no file of users.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let file = Self { path: path.to_owned(), table: ArcSwap::default() };
        file.read_anew().await.map_err(|source| OpenError::Users {
            database: path.display().to_string(),
            source: source.into(),
        })?;
        Ok(file)
    }

    /// The users as the file has them now.
    async fn table(&self) -> Arc<Table> {
        let known = self.table.load_full();
        let now = fs::metadata(&self.path).map(|metadata| Version::of(&metadata));
        if now.as_ref().is_ok_and(|now| *now == known.version) {
            return known;
        }
        match self.read_anew().await {
            Ok(table) => {
                tracing::info!(file = %self.path.display(), users = table.by_name.len(), "users read again");
                table
            }
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "the users that were read last stay");
                known
            }
        }
    }

    async fn read_anew(&self) -> Result<Arc<Table>, Unreadable> {
        let path = self.path.clone();
        let read = Handle::current().spawn_blocking(move || read(&path)).await;
        let table = Arc::new(read.map_err(std::io::Error::other)??);
        self.table.store(Arc::clone(&table));
        Ok(table)
    }
}

fn read(path: &Path) -> Result<Table, Unreadable> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a regular file").into());
    }
    if metadata.len() > LARGEST {
        return Err(Unreadable::TooLarge);
    }
    let mut text = Vec::new();
    (&mut file).take(LARGEST).read_to_end(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| Unreadable::Encoding)?;
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let users = if is_yaml { yaml(&text)? } else { htpasswd(&text)? };
    let mut table = Table { version: Version::of(&metadata), ..Table::default() };
    table.decoy = PasswordHash::dearest(users.iter().filter_map(|user| user.password.as_ref())).cloned();
    for user in users {
        let (id, name) = (user.id.as_str().to_owned(), user.username.clone());
        if table.by_id.insert(id.clone(), name.clone()).is_some() {
            return Err(Unreadable::IdTwice(id));
        }
        if table.by_name.insert(name.clone(), user).is_some() {
            return Err(Unreadable::Twice(name));
        }
    }
    Ok(table)
}

fn yaml(text: &str) -> Result<Vec<User>, Unreadable> {
    let malformed = |error: serde_yaml::Error| Unreadable::Yaml(error.to_string());
    // Unlike a map of Rust's, it takes no name twice.
    let entries: Option<serde_yaml::Mapping> = serde_yaml::from_str(text).map_err(malformed)?;
    let user = |(name, entry): (serde_yaml::Value, serde_yaml::Value)| {
        let name: String = serde_yaml::from_value(name).map_err(malformed)?;
        let entry: Entry = serde_yaml::from_value(entry)
            .map_err(|error| Unreadable::Yaml(format!("the user {name:?}: {error}")))?;
        if let Some(role) =
            entry.roles.iter().find(|role| role.is_empty() || role.contains(char::is_whitespace))
        {
            return Err(Unreadable::Yaml(format!(
                "the user {name:?}: {role:?} is no role, a role is one word"
            )));
        }
        let id = UserId::new(entry.id.unwrap_or_else(|| name.clone()));
        Ok(User {
            email: entry.email,
            password: Some(PasswordHash::from_stored(entry.password)),
            roles: entry.roles.join(" "),
            active: entry.active,
            ..User::named(id, name)
        })
    };
    entries.unwrap_or_default().into_iter().map(user).collect()
}

fn htpasswd(text: &str) -> Result<Vec<User>, Unreadable> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let user = |(line, text): (usize, &str)| {
        let (name, hash) =
            text.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or(Unreadable::Line { line })?;
        let password = Some(PasswordHash::from_stored(hash.to_owned()));
        Ok(User { password, ..User::named(UserId::new(name), name.to_owned()) })
    };
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(user).collect()
}

impl UserRows for UserFile {
    fn user_by_name<'a>(&'a self, username: &'a str) -> Answer<'a, Option<User>> {
        Box::pin(async move { Ok(self.table().await.by_name.get(username).cloned()) })
    }

    fn user_by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        Box::pin(async move {
            let table = self.table().await;
            Ok(table.by_id.get(id).and_then(|name| table.by_name.get(name)).cloned())
        })
    }

    /// There is no room for it.
    fn note_login<'a>(&'a self, _: &'a UserId, _: UnixTime) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The file is its owner's to write.
    fn renew_hash<'a>(&'a self, _: &'a UserId, _: &'a PasswordHash, _: &'a PasswordHash) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn scheme(&self) -> Scheme {
        let decoy = self.table.load().decoy.clone();
        Scheme::File(decoy.unwrap_or_else(|| PasswordHash::from_stored(String::new())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::with_causes;

    /// A file that is replaced whole, as editors and deployments do.
    struct Place(tempfile::TempDir, &'static str);

    impl Place {
        fn new(name: &'static str, text: &str) -> Self {
            let place = Self(tempfile::tempdir().unwrap(), name);
            place.replace(text);
            place
        }

        fn path(&self) -> PathBuf {
            self.0.path().join(self.1)
        }

        fn replace(&self, text: &str) {
            let new = self.0.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, self.path()).unwrap();
        }
    }

    async fn names(file: &UserFile) -> Vec<String> {
        let mut names: Vec<String> = file.table().await.by_name.keys().cloned().collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn reads_users_of_yaml_with_all_that_is_said_of_them() {
        let place = Place::new(
            "users.yaml",
            "ada: { password: h1, id: u-1, email: ada@example.com, roles: [admin, staff], active: false }\n\
             grace: { password: h2 }\n",
        );
        let file = UserFile::open(&place.path()).await.unwrap();
        let ada = file.user_by_name("ada").await.unwrap().expect("ada");
        assert_eq!(
            (ada.id.as_str(), ada.email.as_str(), ada.roles.as_str()),
            ("u-1", "ada@example.com", "admin staff")
        );
        assert!(!ada.active);
        assert_eq!(file.user_by_id("u-1").await.unwrap().expect("by id").username, "ada");
        let grace = file.user_by_id("grace").await.unwrap().expect("named by its name");
        assert!(grace.active && grace.roles.is_empty());
        assert!(file.user_by_id("ada").await.unwrap().is_none(), "a name is no id where there is one");
    }

    #[tokio::test]
    async fn reads_htpasswd_with_comments_and_empty_lines() {
        let place = Place::new("htpasswd", "# people\n\nada:$2y$05$hash:with:colons\n  grace:h2\r\n");
        let file = UserFile::open(&place.path()).await.unwrap();
        assert_eq!(names(&file).await, ["ada", "grace"]);
        let ada = file.user_by_name("ada").await.unwrap().unwrap();
        assert_eq!(ada.password.unwrap().as_stored(), "$2y$05$hash:with:colons");
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_costs_as_much_as_the_dearest_hash_of_the_file() {
        let bcrypt = |cost: &str| format!("$2y${cost}${}", ".".repeat(53));
        let argon2 = |costs: &str| format!("$argon2id$v=19${costs},p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA");
        let (quick, slow) = (argon2("m=8,t=1"), argon2("m=19456,t=2"));
        for (hashes, dearest) in [
            (vec![bcrypt("05"), bcrypt("12"), bcrypt("06")], bcrypt("12")),
            (vec![bcrypt("04"), slow.clone(), quick.clone()], slow.clone()),
            (vec![quick, bcrypt("12"), slow], bcrypt("12")),
            (vec!["{SHA}unreadable".to_owned(), bcrypt("04")], bcrypt("04")),
        ] {
            let lines = hashes.iter().enumerate().map(|(number, hash)| format!("user-{number}:{hash}\n"));
            let place = Place::new("htpasswd", &lines.collect::<String>());
            let file = UserFile::open(&place.path()).await.unwrap();
            let Scheme::File(decoy) = file.scheme() else { panic!("of a file") };
            assert_eq!(decoy.as_stored(), dearest);
        }
    }

    #[tokio::test]
    async fn a_changed_file_counts_from_the_next_look_on() {
        let place = Place::new("htpasswd", "ada:h1\n");
        let file = UserFile::open(&place.path()).await.unwrap();
        assert_eq!(names(&file).await, ["ada"]);
        place.replace("bob:h1\n");
        assert_eq!(names(&file).await, ["bob"], "replaced by one of the same size");
        fs::write(place.path(), "eve:h1\nbob:h2\n").unwrap();
        assert_eq!(names(&file).await, ["bob", "eve"], "written in place");
    }

    #[tokio::test]
    async fn a_file_that_is_broken_or_gone_leaves_the_users_as_they_were() {
        let place = Place::new("users.yaml", "ada: { password: h1 }\n");
        let file = UserFile::open(&place.path()).await.unwrap();
        place.replace("ada: { password: h1, passwort: h2 }\n");
        assert_eq!(names(&file).await, ["ada"]);
        fs::remove_file(place.path()).unwrap();
        assert_eq!(names(&file).await, ["ada"]);
        place.replace("bob: { password: h1 }\n");
        assert_eq!(names(&file).await, ["bob"]);
    }

    #[tokio::test]
    async fn refuses_to_start_with_what_is_no_file_of_users() {
        for (name, text, expected) in [
            ("htpasswd", "ada\n", "line 1: expected NAME:HASH"),
            ("htpasswd", ":hash\n", "line 1: expected NAME:HASH"),
            ("htpasswd", "ada:x\nada:y\n", "two users have the id \"ada\""),
            (
                "users.yaml",
                "ada: { password: x, id: i }\nbob: { password: x, id: i }\n",
                "two users have the id \"i\"",
            ),
            ("users.yaml", "ada: { password: x }\nada: { password: y }\n", "duplicate entry"),
            ("users.yaml", "ada: { roles: [x] }\n", "missing field `password`"),
            ("users.yaml", "ada: { password: x, roles: [\"a b\"] }\n", "is no role"),
            ("users.yaml", "- ada\n", "invalid type"),
        ] {
            let place = Place::new(name, text);
            let error = UserFile::open(&place.path()).await.expect_err(text);
            let why = with_causes(&error);
            assert!(why.contains(expected), "{text:?}: {why}");
        }
    }
}
