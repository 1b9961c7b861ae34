//! One case's way to whoever answers: the gateway over TLS, or the real SimpleJWT.

use std::collections::HashMap;
use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Method, Response};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::case::{Case, Golden, Lifetimes, Step};
use crate::gateway::{Gate, Users};
use crate::place::Servers;
use crate::profile::Profile;
use crate::site::Site;
use crate::support::{Client, DatabaseKind, Message, Protocol, RawConnection};

/// Where the recorded site has its protected view.
pub(crate) const PROTECTED: &str = "/api/whoami/";

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    /// The program, with its own tables on a server, or in an SQLite file without one.
    Ours(Option<DatabaseKind>),
    /// The real djangorestframework-simplejwt.
    Theirs,
}

enum End {
    Gate(Box<Gate>),
    Site(Site),
}

/// Which server a case is played against.
#[derive(Default)]
pub(crate) struct Ends {
    /// For all cases that change neither users nor lifetimes. They end with this value.
    shared: Mutex<HashMap<(Whose, Profile), Arc<End>>>,
    servers: Servers,
}

/// A request, its fields spelled as the case spells them.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

/// One case's own way to a server.
pub(crate) struct Wire {
    runtime: Runtime,
    end: Arc<End>,
    protocol: Protocol,
    /// HTTP/1.1 is written and read by hand, so that both sides are seen as they are.
    connection: Option<RawConnection>,
}

impl Ends {
    pub(crate) fn wire(
        &self,
        golden: &Golden,
        case: &Case,
        (whose, profile): (Whose, Profile),
        protocol: Protocol,
    ) -> Wire {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let lifetimes = case.lifetimes.unwrap_or(Lifetimes { access: 300, refresh: 86_400 });
        let is_act = |step: &Step, name: &str| matches!(step, Step::Admin { admin, .. } if admin[0] == name);
        // Only a site's own tables have rows of outstanding tokens.
        let reads_rows = case.steps.iter().any(|step| is_act(step, "outstanding"));
        let users = if reads_rows { Users::OfTheSite } else { Users::Own };
        let start = || {
            Arc::new(match whose {
                Whose::Ours(kind) => {
                    let place = self.servers.place(kind, &runtime);
                    End::Gate(Box::new(Gate::start(golden, profile, lifetimes, users, place)))
                }
                Whose::Theirs => End::Site(runtime.block_on(Site::start(profile, lifetimes))),
            })
        };
        let changes_users = case.steps.iter().any(|step| matches!(step, Step::Admin { .. }));
        let end = if changes_users || case.lifetimes.is_some() {
            start()
        } else {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(shared.entry((whose, profile)).or_insert_with(start))
        };
        Wire { runtime, end, protocol, connection: None }
    }
}

impl Wire {
    pub(crate) fn is_ours(&self) -> bool {
        matches!(*self.end, End::Gate(_))
    }

    fn client(&self) -> Client {
        match &*self.end {
            End::Gate(gate) => gate.client(self.protocol),
            End::Site(site) => site.client(),
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn send(&mut self, sent: &Sent) -> Response<Bytes> {
        match self.protocol {
            Protocol::Http1 => self.send_http1(sent),
            Protocol::Http2 => self.send_http2(sent),
        }
    }

    /// Sends them at once, each over a connection of its own.
    pub(crate) fn send_together(&self, sent: &[Sent]) -> Vec<Response<Bytes>> {
        let client = self.client();
        let answers = sent.iter().map(|sent| async {
            let mut connection = client.raw().await;
            exchange(&mut connection, sent).await.expect("an answer")
        });
        self.runtime.block_on(join_all(answers)).iter().map(response).collect()
    }

    fn send_http1(&mut self, sent: &Sent) -> Response<Bytes> {
        let client = self.client();
        let mut kept = self.connection.take();
        let (answer, connection) = self.runtime.block_on(async {
            // A server may close a connection after any answer.
            if let Some(mut connection) = kept.take()
                && let Some(answer) = exchange(&mut connection, sent).await
            {
                return (answer, connection);
            }
            let mut connection = client.raw().await;
            (exchange(&mut connection, sent).await.expect("an answer"), connection)
        });
        // Only the gateway says that it keeps connections, and must.
        self.connection = self.is_ours().then_some(connection);
        response(&answer)
    }

    fn send_http2(&self, sent: &Sent) -> Response<Bytes> {
        let method = Method::try_from(sent.method.as_str()).expect("a method");
        let mut request = self.client().request(method, &sent.path);
        for (name, value) in &sent.fields {
            request = request.header(name, value);
        }
        let answer = self.runtime.block_on(request.body(sent.body.clone()).into_future());
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }

    /// Lets time pass: what is waited for is the expiry of a token.
    pub(crate) fn wait(&self, duration: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(duration).await });
    }

    /// An act on the table of users, and what it returns.
    pub(crate) fn admin(&self, act: &[Value]) -> Value {
        self.runtime.block_on(async {
            match &*self.end {
                End::Gate(gate) => gate.admin(act).await,
                End::Site(site) => site.admin(act).await,
            }
        })
    }
}

async fn exchange(connection: &mut RawConnection, sent: &Sent) -> Option<Message> {
    connection.send(sent.bytes()).await;
    match sent.method.as_str() {
        "HEAD" => connection.answer_to_head().await,
        _ => connection.answer().await,
    }
}

fn response(answer: &Message) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(&answer.body));
    *response.status_mut() = answer.status().try_into().expect("a status");
    for (name, value) in &answer.fields {
        let name = HeaderName::try_from(name).expect("the name of a field");
        response.headers_mut().append(name, HeaderValue::from_str(value).expect("a field's value"));
    }
    response
}

/// The program's time, as a duration since 1970.
#[expect(clippy::disallowed_methods, reason = "expiries are waited for to less than a second")]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time of our age")
}

impl Sent {
    /// As HTTP/1.1 writes it.
    fn bytes(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.path);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        format!("{text}\r\n{}", self.body)
    }
}
