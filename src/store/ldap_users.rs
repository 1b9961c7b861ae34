//! Users of a directory (RFC 4511): who can bind with his password is let in.
//!
//! A name becomes a part of an entry's name or of a filter, escaped as RFC 4514 and RFC 4515 say. An empty password is
//! never sent: servers take a bind without one for a success (RFC 4513, section 5.1.2).

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::known_users::{KnownUsers, words};
use super::limits::{LARGEST_CLAIM, LOGINS_AT_ONCE};
use super::{Admission, Answer, LogIn, OpenError, PasswordError, StoreError, User, UserId, Users};
use crate::base::{Secret, UnixTime};
use crate::config::{self, LdapFind};
use crate::http::client;

/// Codes of a result that refuses the user, and does not speak of the server's state (RFC 4511, appendix A):
/// noSuchObject, invalidDNSyntax, inappropriateAuthentication, invalidCredentials, insufficientAccessRights,
/// unwillingToPerform.
const REFUSALS: [u32; 6] = [32, 34, 48, 49, 50, 53];
const NO_SUCH_OBJECT: u32 = 32;

/// The users of one directory.
pub struct LdapUsers {
    config: config::LdapUsers,
    tls: Arc<rustls::ClientConfig>,
    calls: Semaphore,
    known: Arc<dyn KnownUsers>,
}

impl fmt::Debug for LdapUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapUsers").field("url", &self.config.url).finish_non_exhaustive()
    }
}

/// Why the directory gives no verdict.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer in time")]
    Timeout,
    #[error(transparent)]
    Ldap(#[from] LdapError),
    #[error("an answer can't be read")]
    Broken,
    #[error("`bind_dn` is refused: {0}")]
    Bind(LdapError),
    #[error("who logs in must be able to read the entry {0:?}, or `bind_dn` must")]
    Hidden(String),
    #[error("the attribute {0:?} is larger than any claim: {LARGEST_CLAIM} bytes at most")]
    TooLarge(String),
    #[error("the entry {0:?} has no value of `attributes.id`, or several")]
    NoId(String),
}

impl LdapUsers {
    /// Reads whom to trust; nothing is sent.
    ///
    /// # Errors
    /// [`OpenError::Users`] where `ca` can't be used.
    pub fn open(config: &config::LdapUsers, known: Arc<dyn KnownUsers>) -> Result<Self, OpenError> {
        let tls = client::tls_config(config.ca.as_deref(), None)
            .map_err(|error| OpenError::Users { database: config.url.clone(), source: error.into() })?;
        let mut tls = Arc::unwrap_or_clone(tls);
        tls.alpn_protocols.clear();
        let (config, tls) = (config.clone(), Arc::new(tls));
        Ok(Self { config, tls, calls: Semaphore::new(LOGINS_AT_ONCE), known })
    }

    /// Does something with a connection of its own, in time, and closes it.
    async fn connected<T>(
        &self,
        work: impl AsyncFnOnce(&mut Ldap) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let settings = LdapConnSettings::new()
            .set_conn_timeout(self.config.timeout)
            .set_starttls(self.config.start_tls)
            .set_config(Arc::clone(&self.tls));
        let exchange = async {
            let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &self.config.url).await?;
            let result = tokio::select! {
                result = work(&mut ldap) => result,
                // The server hung up: the work would wait in vain.
                ended = connection.drive() => Err(ended.err().unwrap_or(LdapError::EndOfStream).into()),
            };
            result
        };
        // The library takes some answers for granted that only a broken server would not give.
        let exchange = AssertUnwindSafe(exchange).catch_unwind();
        let result = match timeout(self.config.timeout, exchange).await {
            Err(_) => Err(Failure::Timeout),
            Ok(Err(_)) => Err(Failure::Broken),
            Ok(Ok(result)) => result,
        };
        result
            .map_err(|why| StoreError::Unavailable { database: self.config.url.clone(), source: why.into() })
    }

    async fn ask(&self, username: &str, password: &Secret) -> Result<Option<User>, StoreError> {
        let Some(password) = std::str::from_utf8(password.expose()).ok().filter(|text| !text.is_empty())
        else {
            return Ok(None);
        };
        if username.is_empty() {
            return Ok(None);
        }
        self.connected(async |ldap| {
            let found = match &self.config.find {
                LdapFind::Dn(template) => Some(template.replace("{username}", &ldap3::dn_escape(username))),
                LdapFind::Search { .. } => {
                    self.bind_to_search(ldap).await?;
                    self.search(ldap, username).await?.map(|entry| entry.dn)
                }
            };
            // Nobody's password is tried too: both ways are the same number of steps.
            let exists = found.is_some();
            let dn = found.unwrap_or_else(|| "cn=nobody".to_owned());
            let bound = ldap.simple_bind(&dn, password).await?;
            if REFUSALS.contains(&bound.rc) {
                return Ok(None);
            }
            bound.success()?;
            if !exists {
                return Ok(None);
            }
            if self.config.bind.is_some() {
                self.bind_to_search(ldap).await?;
            }
            let entry = self.entry(ldap, &dn, Scope::Base, "(objectClass=*)").await?;
            self.user(&entry.ok_or(Failure::Hidden(dn))?, username).map(Some)
        })
        .await
    }

    /// Looks a user up again, by the name that he had, as a login would.
    async fn find_again(&self, known: User) -> Result<Option<User>, StoreError> {
        let name = known.username.as_str();
        let found = self
            .connected(async |ldap| {
                self.bind_to_search(ldap).await?;
                let entry = match &self.config.find {
                    LdapFind::Dn(template) => {
                        let dn = template.replace("{username}", &ldap3::dn_escape(name));
                        self.entry(ldap, &dn, Scope::Base, "(objectClass=*)").await?
                    }
                    LdapFind::Search { .. } => self.search(ldap, name).await?,
                };
                entry.map(|entry| self.user(&entry, name)).transpose()
            })
            .await?;
        // Another may have got the name since.
        Ok(found.filter(|user| user.id == known.id))
    }

    async fn bind_to_search(&self, ldap: &mut Ldap) -> Result<(), Failure> {
        let Some(bind) = &self.config.bind else { return Ok(()) };
        let password = String::from_utf8_lossy(bind.password.expose());
        let bound = ldap.simple_bind(&bind.dn, &password).await?;
        bound.success().map(drop).map_err(Failure::Bind)
    }

    /// The one entry that the filter finds. Of several it can't be told who is meant.
    async fn search(&self, ldap: &mut Ldap, username: &str) -> Result<Option<SearchEntry>, Failure> {
        let LdapFind::Search { base, filter } = &self.config.find else { return Ok(None) };
        let filter = filter.replace("{username}", &ldap3::ldap_escape(username));
        self.entry(ldap, base, Scope::Subtree, &filter).await
    }

    async fn entry(
        &self,
        ldap: &mut Ldap,
        base: &str,
        scope: Scope,
        filter: &str,
    ) -> Result<Option<SearchEntry>, Failure> {
        /// sizeLimitExceeded: there are more.
        const TOO_MANY: u32 = 4;
        let names = &self.config.attributes;
        let known = [&names.id, &names.username, &names.email, &names.roles];
        let attributes: Vec<&String> = known.into_iter().chain(&self.config.more).collect();
        ldap.with_search_options(SearchOptions::new().sizelimit(2));
        let found = ldap.search(base, scope, filter, attributes).await?;
        if matches!(found.1.rc, NO_SUCH_OBJECT | TOO_MANY) {
            return Ok(None);
        }
        let (entries, _) = found.success()?;
        // A referral is no entry, and is not followed.
        let mut entries = entries.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate());
        match (entries.next(), entries.next()) {
            (Some(entry), None) => Ok(Some(SearchEntry::construct(entry))),
            _ => Ok(None),
        }
    }

    fn user(&self, entry: &SearchEntry, username: &str) -> Result<User, Failure> {
        let names = &self.config.attributes;
        let ids = values(entry, &names.id);
        let [id] = ids.as_slice() else { return Err(Failure::NoId(entry.dn.clone())) };
        let first = |name: &str| values(entry, name).first().cloned();
        let roles = values(entry, &names.roles);
        let roles: Vec<&str> = roles.iter().map(|role| first_value(role)).collect();
        let username = first(&names.username).unwrap_or_else(|| username.to_owned());
        Ok(User {
            email: first(&names.email).unwrap_or_default(),
            roles: words(roles.into_iter()),
            more: self.more(entry)?,
            ..User::named(UserId::new(id.as_str()), username)
        })
    }
}

impl LdapUsers {
    /// What the file makes claims of: a text, or a list where an attribute has several values.
    fn more(&self, entry: &SearchEntry) -> Result<Map<String, Value>, Failure> {
        let mut more = Map::new();
        for name in &self.config.more {
            let mut found = values(entry, name);
            if found.iter().map(String::len).sum::<usize>() > LARGEST_CLAIM {
                return Err(Failure::TooLarge(name.clone()));
            }
            let value = match found.len() {
                0 => continue,
                1 => Value::String(found.remove(0)),
                _ => found.into(),
            };
            more.insert(name.clone(), value);
        }
        Ok(more)
    }
}

/// The values of an attribute, whose name is compared without case (RFC 4512, section 2.5). One that is no text is
/// written in hexadecimal.
fn values(entry: &SearchEntry, name: &str) -> Vec<String> {
    let texts = entry.attrs.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
    let texts = texts.flat_map(|(_, values)| values.clone());
    let binary = entry.bin_attrs.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
    let binary = binary.flat_map(|(_, values)| values);
    let hex = |value: &Vec<u8>| value.iter().map(|byte| format!("{byte:02x}")).collect();
    texts.chain(binary.map(hex)).filter(|value: &String| !value.is_empty()).collect()
}

/// `staff` of `cn=staff,ou=groups,dc=example,dc=com`; a value that is no entry's name is itself. An escaped character
/// ends up in no role: such a name is none.
fn first_value(value: &str) -> &str {
    let Some((_, rest)) = value.split_once('=') else { return value };
    let first = rest.split([',', '+']).next().unwrap_or_default();
    if first.contains(['\\', '"', '#']) { "" } else { first }
}

impl Users for LdapUsers {
    fn log_in<'a>(&'a self, username: &'a str, password: Secret, _: &'a dyn Admission) -> LogIn<'a> {
        Box::pin(async move {
            let _call = self.calls.try_acquire().map_err(|_| PasswordError::Busy)?;
            let user = self.ask(username, &password).await?;
            if let Some(user) = &user {
                self.known.remember(user).await?;
            }
            Ok(user)
        })
    }

    fn by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        Box::pin(async move {
            let known = self.known.recall(id).await?;
            let may_look = self.config.bind.is_some() || matches!(self.config.find, LdapFind::Search { .. });
            match known {
                Some(known) if may_look => self.find_again(known).await,
                known => Ok(known),
            }
        })
    }

    /// The directory notes binds as its policy says.
    fn note_login<'a>(&'a self, _: &'a UserId, _: UnixTime) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::users::tests::Anybody;

    #[tokio::test]
    async fn an_empty_password_is_never_sent() {
        struct Nobody;
        impl KnownUsers for Nobody {
            fn remember<'a>(&'a self, _: &'a User) -> Answer<'a, ()> {
                Box::pin(std::future::ready(Ok(())))
            }
            fn recall<'a>(&'a self, _: &'a str) -> Answer<'a, Option<User>> {
                Box::pin(std::future::ready(Ok(None)))
            }
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let file = format!(
            "issuer: {{ users: {{ ldap: {{ url: 'ldap://{}', allow_unencrypted: true, timeout: 100ms, \
             user_dn: 'uid={{username}}' }} }} }}",
            listener.local_addr().unwrap()
        );
        let config = config::read_text(&file, std::path::Path::new("gateway.yaml"), &|_| None).unwrap();
        let Some(config::Users::Ldap(config)) = config.issuer.map(|issuer| issuer.users) else { panic!() };
        let users = LdapUsers::open(&config, Arc::new(Nobody)).unwrap();
        for (name, password) in [("ada", ""), ("", "x")] {
            assert!(users.log_in(name, Secret::new(password), &Anybody).await.unwrap().is_none());
        }
        assert!(listener.accept().is_err(), "nobody connected");
        assert!(users.log_in("ada", Secret::new("x"), &Anybody).await.is_err(), "a server that says nothing");
        assert!(listener.accept().is_ok(), "this was worth a connection");
    }

    #[test]
    fn a_role_is_the_first_value_of_a_name_or_the_text_itself() {
        for (value, role) in [
            ("cn=staff,ou=groups,dc=example,dc=com", "staff"),
            ("cn=staff+ou=x,dc=com", "staff"),
            ("staff", "staff"),
            ("cn=a\\,admin,dc=com", ""),
            ("cn=\"a,b\"", ""),
            ("cn=#04024869", ""),
            ("", ""),
        ] {
            assert_eq!(first_value(value), role, "{value}");
        }
    }

    #[test]
    fn attributes_are_found_without_case_and_bytes_become_digits() {
        let entry = SearchEntry {
            dn: "uid=ada".into(),
            attrs: [("MAIL".to_owned(), vec!["a@b".to_owned(), String::new()])].into(),
            bin_attrs: [("objectGUID".to_owned(), vec![vec![0, 255]])].into(),
        };
        assert_eq!(values(&entry, "mail"), ["a@b"]);
        assert_eq!(values(&entry, "objectguid"), ["00ff"]);
        assert_eq!(values(&entry, "uid"), Vec::<String>::new());
    }
}
