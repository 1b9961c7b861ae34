//! `users:` of the issuer as meant: where those live who may log in.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::Fetch;
use crate::base::{ClaimPath, Secret};

/// `users:` of the issuer.
#[derive(Debug, Clone)]
pub enum Users {
    /// `own`: a table of Tollgate's in the issuer's store.
    Own,
    /// `django:` a Django site's tables, read in place.
    Django(Box<DjangoUsers>),
    /// `file:` users in YAML, or in htpasswd's form.
    File(PathBuf),
    /// `http:` an existing login URL.
    Http(Box<HttpUsers>),
    /// `ldap:` a directory.
    Ldap(Box<LdapUsers>),
}

/// `users.django:`.
#[derive(Debug, Clone)]
pub struct DjangoUsers {
    /// Where the tables are.
    pub database: Database,
    /// The user model's table, perhaps with its schema; default `auth_user`.
    pub table: TableName,
    /// Which column is what.
    pub columns: DjangoColumns,
    /// What becomes a role; default groups.
    pub roles_from: RolesFrom,
    /// The table that ties users to groups; default `TABLE_groups`.
    pub groups_table: TableName,
    /// The table that ties users to permissions; default `TABLE_user_permissions`.
    pub permissions_table: TableName,
    /// The column of these two that names the user; default `user_id`.
    pub user_column: String,
    /// How passwords are hashed.
    pub passwords: Arc<DjangoPasswords>,
    /// Further columns of the table, for claims.
    pub more: Vec<String>,
    /// `token_blacklist:` SimpleJWT's own tables. `None`: they are not looked at.
    pub token_blacklist: Option<TokenBlacklist>,
}

/// `token_blacklist:` the tables of SimpleJWT's application of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBlacklist {
    /// `outstanding_table:` default `token_blacklist_outstandingtoken`, beside the table of users.
    pub outstanding: TableName,
    /// `blacklisted_table:` default `token_blacklist_blacklistedtoken`, likewise.
    pub blacklisted: TableName,
    /// `mirror:` whether tokens of ours are written there.
    pub mirror: Mirror,
}

/// `mirror:` of the blacklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirror {
    /// The tables are only read.
    Off,
    /// Each refresh token gets a row without its text.
    Rows,
    /// `{ token_text: true }`: with its text, as SimpleJWT keeps it. Whoever reads the table can use it.
    WithText,
}

/// `database:` a URL whose password is never printed.
#[derive(Debug, Clone)]
pub enum Database {
    /// `sqlite://PATH`.
    Sqlite(PathBuf),
    /// `postgres://…`.
    Postgres(DatabaseUrl),
    /// `mysql://…`, for MariaDB too.
    MySql(DatabaseUrl),
}

/// The URL of a database on a server.
#[derive(Debug, Clone)]
pub struct DatabaseUrl {
    /// As the driver takes it.
    pub url: Secret,
    /// Scheme, host, port and name, for messages.
    pub shown: String,
    /// Whether it says itself how the connection is encrypted (`sslmode`, `ssl-mode`).
    pub says_tls: bool,
    /// The files that it names for TLS.
    pub tls_files: DatabaseTlsFiles,
    /// Whether the server is on this machine: a loopback address, `localhost`, a socket.
    pub is_local: bool,
}

/// Files of PEM that a database's URL names.
#[derive(Debug, Clone, Default)]
pub struct DatabaseTlsFiles {
    /// `sslrootcert`, `ssl-ca`: the authority by which the server's certificate is good.
    pub authority: Option<PathBuf>,
    /// `sslcert`, `ssl-cert`: the gateway's own certificate.
    pub certificate: Option<PathBuf>,
    /// `sslkey`, `ssl-key`: its key.
    pub key: Option<PathBuf>,
}

impl fmt::Display for Database {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) | Self::MySql(url) => f.write_str(&url.shown),
        }
    }
}

/// The name of a table, perhaps with that of its schema before it. Each part is made of letters, digits and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The schema, if one is named.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.table)
    }
}

/// `columns:` of Django's user table, each made of letters, digits and `_`. `None` stands for `none`: the model has no
/// such field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DjangoColumns {
    /// The primary key.
    pub id: String,
    /// What is logged in with (`USERNAME_FIELD`).
    pub username: String,
    /// The encoded hash.
    pub password: String,
    /// Without it nobody has an address.
    pub email: Option<String>,
    /// Without it everybody is active.
    pub is_active: Option<String>,
    /// Without it nobody has every permission.
    pub is_superuser: Option<String>,
    /// Without it no login is noted.
    pub last_login: Option<String>,
}

/// `roles_from:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolesFrom {
    /// The names of the user's groups.
    Groups,
    /// The user's permissions and those of its groups, as `app_label.codename`.
    Permissions,
    /// Nobody has any.
    None,
}

/// How a Django site hashes passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DjangoPasswords {
    /// `hashers:` those whose hashes count, never empty. The first makes new ones.
    pub hashers: Vec<DjangoHasher>,
    /// `pbkdf2_iterations:` of new hashes; default 1,000,000, as Django 5.2.
    pub iterations: NonZeroU32,
    /// `rewrite_hashes:` a good login renews a hash of another kind or cost; default true, as Django.
    pub rewrite: bool,
}

impl DjangoPasswords {
    /// What makes new hashes.
    #[must_use]
    pub fn preferred(&self) -> DjangoHasher {
        self.hashers.first().copied().unwrap_or(DjangoHasher::Pbkdf2Sha256)
    }
}

/// One of Django's password hashers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DjangoHasher {
    /// `pbkdf2_sha256`.
    Pbkdf2Sha256,
    /// `pbkdf2_sha1`.
    Pbkdf2Sha1,
    /// `argon2`.
    Argon2,
    /// `bcrypt_sha256`.
    BcryptSha256,
    /// `bcrypt`, of the first 72 bytes; off unless named.
    Bcrypt,
    /// `scrypt`.
    Scrypt,
    /// `md5`, no protection worth the name; off unless named.
    Md5,
}

impl DjangoHasher {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pbkdf2Sha256,
        Self::Pbkdf2Sha1,
        Self::Argon2,
        Self::BcryptSha256,
        Self::Bcrypt,
        Self::Scrypt,
        Self::Md5,
    ];

    /// Those that Django enables unless told otherwise, in its order.
    pub const DEFAULT: [Self; 5] =
        [Self::Pbkdf2Sha256, Self::Pbkdf2Sha1, Self::Argon2, Self::BcryptSha256, Self::Scrypt];

    /// As it stands before the first `$`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pbkdf2Sha256 => "pbkdf2_sha256",
            Self::Pbkdf2Sha1 => "pbkdf2_sha1",
            Self::Argon2 => "argon2",
            Self::BcryptSha256 => "bcrypt_sha256",
            Self::Bcrypt => "bcrypt",
            Self::Scrypt => "scrypt",
            Self::Md5 => "md5",
        }
    }
}

/// `users.http:` credentials are posted there, and the answer says who it is.
#[derive(Debug, Clone)]
pub struct HttpUsers {
    /// `url:` where `{"username": …, "password": …}` is posted.
    pub url: Uri,
    /// `check_url:` where a refresh asks whether the user still may, with `{id}` in it. `None`: it is not asked.
    pub check_url: Option<String>,
    /// `fields:` what the two members are called.
    pub fields: HttpFields,
    /// Where the answer names the user; default `id`.
    pub id: ClaimPath,
    /// Where the answer has the name; default `username`. Without it, the name is what was posted.
    pub username: ClaimPath,
    /// Where the answer has an address; default `email`.
    pub email: ClaimPath,
    /// Where the answer lists roles; default `roles`.
    pub roles: ClaimPath,
    /// Further members of the answer, for claims, as the file writes them.
    pub more: Vec<(String, ClaimPath)>,
    /// How it is asked.
    pub fetch: Fetch,
}

/// `fields:` of the request to a login URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpFields {
    /// Default `username`.
    pub username: String,
    /// Default `password`.
    pub password: String,
}

/// `users.ldap:`.
#[derive(Debug, Clone)]
pub struct LdapUsers {
    /// `url:` `ldap://HOST[:PORT]` or `ldaps://HOST[:PORT]`.
    pub url: String,
    /// `start_tls:` an `ldap://` connection is encrypted before anything is said.
    pub start_tls: bool,
    /// `ca:` the only authorities to trust; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// How the name of a login becomes an entry.
    pub find: LdapFind,
    /// `bind_dn:` and `bind_password:` as whom entries are searched. `None`: as nobody, or as the user.
    pub bind: Option<LdapBind>,
    /// Which attribute is what.
    pub attributes: LdapAttributes,
    /// Further attributes, for claims.
    pub more: Vec<String>,
    /// `timeout:` of a whole login or look-up; default 5s.
    pub timeout: Duration,
}

/// How a user's entry is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LdapFind {
    /// `user_dn:` its name, with `{username}` in it.
    Dn(String),
    /// `search:` below an entry, by a filter with `{username}` in it.
    Search {
        /// `base:`.
        base: String,
        /// `filter:`.
        filter: String,
    },
}

/// As whom the directory is searched.
#[derive(Debug, Clone)]
pub struct LdapBind {
    /// The name of its entry.
    pub dn: String,
    /// Never empty.
    pub password: Secret,
}

/// `attributes:` of a user's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapAttributes {
    /// Never given to another; default `entryUUID`.
    pub id: String,
    /// Default `uid`.
    pub username: String,
    /// Default `mail`.
    pub email: String,
    /// Default `memberOf`: of a name such as `cn=staff,ou=groups` the first value, `staff`, is the role.
    pub roles: String,
}
