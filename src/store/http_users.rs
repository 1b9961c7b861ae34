//! Users of an application that has a login URL already: it says whether a password is right, and who that is.
//!
//! 200 with a JSON object is a yes, 401 and 403 are a no, and everything else is no answer. What the object does not
//! name is not kept: such URLs often answer with tokens of their own.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::known_users::{KnownUsers, joined};
use super::limits::{LARGEST_CLAIM, LOGINS_AT_ONCE};
use super::{
    Admission, Answer, LogIn, LogInError, OpenError, PasswordError, StoreError, User, UserId, Users,
};
use crate::base::{ClaimPath, Secret, UnixTime};
use crate::config;
use crate::egress::client_options;
use crate::http::client::{Client, Content, FetchError, Origin};

/// A session keeps the id with each login.
const LONGEST_ID: usize = 255;
const ACCEPT: &str = "application/json";

/// The users behind one login URL.
pub struct HttpUsers {
    config: config::HttpUsers,
    client: Client,
    calls: Semaphore,
    known: Arc<dyn KnownUsers>,
}

impl fmt::Debug for HttpUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpUsers").field("url", &self.config.url).finish_non_exhaustive()
    }
}

/// Why an answer tells of no user.
#[derive(Debug, thiserror::Error)]
enum Useless {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the answer is no JSON object")]
    NoObject,
    #[error("the answer has no usable id: a text or a whole number, of {LONGEST_ID} bytes at most")]
    NoId,
    #[error("the member {0} of the answer is larger than any claim: {LARGEST_CLAIM} bytes at most")]
    TooLarge(String),
    #[error("the answer is about another user")]
    Another,
}

impl HttpUsers {
    /// Prepares the client; nothing is sent.
    ///
    /// # Errors
    /// [`OpenError::Users`] where `fetch.ca` can't be used.
    pub fn open(config: &config::HttpUsers, known: Arc<dyn KnownUsers>) -> Result<Self, OpenError> {
        let mut options = client_options(&config.fetch);
        options.known.extend(Origin::of(&config.url));
        let client = Client::new(options)
            .map_err(|error| OpenError::Users { database: config.url.to_string(), source: error.into() })?;
        Ok(Self { config: config.clone(), client, calls: Semaphore::new(LOGINS_AT_ONCE), known })
    }

    async fn ask(&self, username: &str, password: &Secret) -> Result<Option<User>, LogInError> {
        let _call = self.calls.try_acquire().map_err(|_| PasswordError::Busy)?;
        let Ok(password) = std::str::from_utf8(password.expose()) else { return Ok(None) };
        let fields = &self.config.fields;
        let mut credentials = Map::new();
        credentials.insert(fields.username.clone(), username.into());
        credentials.insert(fields.password.clone(), password.into());
        let body = Bytes::from(Value::Object(credentials).to_string());
        match self.client.post_json(&self.config.url, ACCEPT, body).await {
            Ok(answer) => Ok(Some(self.user(&answer, username).map_err(|why| self.useless(why))?)),
            Err(FetchError::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => Ok(None),
            Err(error) => Err(self.useless(error.into()).into()),
        }
    }

    async fn check(&self, template: &str, id: &str) -> Result<Option<User>, StoreError> {
        let encoded = utf8_percent_encode(id, NON_ALPHANUMERIC).to_string();
        let url: Uri =
            template.replace("{id}", &encoded).parse().map_err(|_| self.useless(FetchError::Url.into()))?;
        let body = match self.client.get(&url, ACCEPT, None).await.map(|answer| answer.content) {
            Ok(Content::New(body)) => body,
            Err(FetchError::Status(
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND,
            )) => {
                return Ok(None);
            }
            // Nobody asked for it.
            Ok(Content::Unchanged) => {
                return Err(self.useless(FetchError::Status(StatusCode::NOT_MODIFIED).into()));
            }
            Err(error) => return Err(self.useless(error.into())),
        };
        let known = self.known.recall(id).await?;
        let name = known.map_or_else(|| id.to_owned(), |user| user.username);
        let user = self.user(&body, &name).map_err(|why| self.useless(why))?;
        if user.id.as_str() == id { Ok(Some(user)) } else { Err(self.useless(Useless::Another)) }
    }

    /// The user that an answer tells of. `username` is the name where it tells none.
    fn user(&self, answer: &[u8], username: &str) -> Result<User, Useless> {
        let Ok(Value::Object(members)) = serde_json::from_slice(answer) else {
            return Err(Useless::NoObject);
        };
        let text = |path| find(&members, path).and_then(Value::as_str).map(str::to_owned);
        let id = match find(&members, &self.config.id) {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) if id.is_i64() || id.is_u64() => id.to_string(),
            _ => return Err(Useless::NoId),
        };
        if id.is_empty() || id.len() > LONGEST_ID || id.contains(char::is_control) {
            return Err(Useless::NoId);
        }
        let username = text(&self.config.username).unwrap_or_else(|| username.to_owned());
        Ok(User {
            email: text(&self.config.email).unwrap_or_default(),
            roles: joined(find(&members, &self.config.roles)),
            more: self.more(&members)?,
            ..User::named(UserId::new(id), username)
        })
    }

    /// What the file makes claims of, where the answer has it.
    fn more(&self, members: &Map<String, Value>) -> Result<Map<String, Value>, Useless> {
        let mut more = Map::new();
        for (name, path) in &self.config.more {
            let Some(value) = find(members, path) else { continue };
            if value.to_string().len() > LARGEST_CLAIM {
                return Err(Useless::TooLarge(name.clone()));
            }
            more.insert(name.clone(), value.clone());
        }
        Ok(more)
    }

    fn useless(&self, why: Useless) -> StoreError {
        StoreError::Unavailable { database: self.config.url.to_string(), source: why.into() }
    }
}

/// The value at a path through objects.
fn find<'v>(members: &'v Map<String, Value>, path: &ClaimPath) -> Option<&'v Value> {
    let (first, rest) = path.segments().split_first()?;
    rest.iter().try_fold(members.get(&**first)?, |value, segment| value.get(&**segment))
}

impl Users for HttpUsers {
    fn log_in<'a>(&'a self, username: &'a str, password: Secret, _: &'a dyn Admission) -> LogIn<'a> {
        Box::pin(async move {
            let user = self.ask(username, &password).await?;
            if let Some(user) = &user {
                self.known.remember(user).await?;
            }
            Ok(user)
        })
    }

    fn by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        match &self.config.check_url {
            Some(template) => Box::pin(self.check(template, id)),
            None => self.known.recall(id),
        }
    }

    /// That is the application's affair, which was asked.
    fn note_login<'a>(&'a self, _: &'a UserId, _: UnixTime) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
