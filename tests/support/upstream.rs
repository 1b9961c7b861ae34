//! Applications behind the gateway: one that answers and records, and one that plays a script.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::message::{Message, Unframed};
use super::{FORGED, within};

/// An HTTP/1.1 server in the test's own process. Dropped, it fails the test if it saw a forged identity header
/// or if its own code panicked.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Message>>,
    connections: Mutex<usize>,
    closed: Mutex<usize>,
    /// Counts the words to close idle connections.
    closing: watch::Sender<usize>,
    changed: Notify,
    forged_allowed: AtomicBool,
    failures: Mutex<Vec<String>>,
}

/// What a recording upstream answers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Header fields beside `Content-Length`.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// One act of a scripted upstream, on each of its connections.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads a request, head and body.
    Read,
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Reads up to these bytes and no further, whatever they belong to; nothing is recorded.
    ReadUntil(Vec<u8>),
    /// Gives the test a word.
    Tell(Arc<Notify>),
    /// Waits until the test gives the word.
    Await(Arc<Notify>),
    /// Ends its own direction.
    HalfClose,
    /// Ends the connection with a reset.
    Reset,
    /// Does nothing until the gateway closes. Without it, the end of the script closes the connection.
    Stall,
}

impl Step {
    /// Writes this text.
    pub fn send(text: &str) -> Self {
        Self::Send(text.as_bytes().to_vec())
    }
}

impl Reply {
    /// 200 with a JSON body.
    #[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
    pub fn json(value: Value) -> Self {
        Self::new(200, value.to_string()).field("Content-Type", "application/json")
    }

    /// Any status and body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, fields: Vec::new(), body: body.into() }
    }

    /// One more header field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Upstream {
    /// Answers 200 with the request that it got: `{"method", "target", "fields": [[name, value], …], "body"}`.
    pub async fn echo() -> Self {
        Self::start(|request| {
            Reply::json(json!({
                "method": request.method(),
                "target": request.target(),
                "fields": request.fields,
                "body": String::from_utf8_lossy(&request.body),
            }))
        })
        .await
    }

    /// Answers each request with what `handler` says, over as many requests a connection as come.
    pub async fn start(handler: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        let handler = Arc::new(handler);
        Self::accept(move |stream, shared| {
            let handler = Arc::clone(&handler);
            async move { answer_all(stream, &shared, &*handler).await }
        })
        .await
    }

    /// Plays this script on each connection.
    pub async fn scripted(steps: impl Into<Vec<Step>>) -> Self {
        let steps = Arc::new(steps.into());
        Self::accept(move |stream, shared| {
            let steps = Arc::clone(&steps);
            async move { play(stream, &shared, &steps).await }
        })
        .await
    }

    async fn accept<F>(serve: impl Fn(TcpStream, Arc<Shared>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                // Aborted with this task, so that no connection outlives the upstream.
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    *shared.connections.lock().unwrap() += 1;
                    shared.changed.notify_waiters();
                    let served = AssertUnwindSafe(serve(stream, Arc::clone(&shared))).catch_unwind();
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        if let Err(panic) = served.await {
                            shared.fail(panic_text(&*panic));
                        }
                        *shared.closed.lock().unwrap() += 1;
                        shared.changed.notify_waiters();
                    });
                }
            }
        });
        Self { address, shared, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Message> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many requests there were so far.
    pub fn requests_seen(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// The only request so far; fails the test when there were none or several.
    pub fn only_request(&self) -> Message {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "requests seen by the upstream");
        requests.remove(0)
    }

    /// How many connections there were so far.
    pub fn connections_seen(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    /// Waits for the request of this number, counted from 1.
    pub async fn request(&self, number: usize) -> Message {
        let what = format!("request {number} at the upstream");
        self.until(&what, |shared| shared.requests.lock().unwrap().get(number - 1).cloned()).await
    }

    /// Closes the connections that wait for a request; others after the answer that they are at.
    pub fn close_idle_connections(&self) {
        self.shared.closing.send_modify(|words| *words += 1);
    }

    /// Waits until so many connections have ended, from whichever side.
    pub async fn connections_closed(&self, number: usize) {
        let what = format!("the end of {number} connections at the upstream");
        self.until(&what, |shared| (*shared.closed.lock().unwrap() >= number).then_some(())).await;
    }

    async fn until<T>(&self, what: &str, pick: impl Fn(&Shared) -> Option<T>) -> T {
        within(what, async {
            loop {
                let mut changed = pin!(self.shared.changed.notified());
                changed.as_mut().enable();
                if let Some(found) = pick(&self.shared) {
                    return found;
                }
                changed.await;
            }
        })
        .await
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.requests.lock().unwrap().clear();
    }

    /// Lets forged identity headers pass: for tests of what is forwarded as it came.
    pub fn allow_forged(self) -> Self {
        self.shared.forged_allowed.store(true, Ordering::Relaxed);
        self
    }
}

impl Shared {
    fn record(&self, request: &Message) {
        if !self.forged_allowed.load(Ordering::Relaxed) && request.text().contains(FORGED) {
            self.fail(format!("a client's own identity header reached the upstream:\n{}", request.text()));
        }
        self.requests.lock().unwrap().push(request.clone());
        self.changed.notify_waiters();
    }

    fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
        let failures = self.shared.failures.lock().unwrap().join("\n");
        if !std::thread::panicking() {
            assert!(failures.is_empty(), "{failures}");
        }
    }
}

async fn answer_all(stream: TcpStream, shared: &Shared, handler: &(impl Fn(&Message) -> Reply + Sync)) {
    stream.set_nodelay(true).unwrap();
    let mut closing = shared.closing.subscribe();
    let mut stream = BufReader::new(stream);
    loop {
        let request = tokio::select! {
            // The word is given where nobody is about to send: no request is lost.
            biased;
            request = Message::read(&mut stream, Unframed::Empty) => request,
            _ = closing.changed() => return,
        };
        let Some(request) = request else { return };
        shared.record(&request);
        if !request.complete {
            return;
        }
        let reply = handler(&request);
        let mut bytes = format!("HTTP/1.1 {} \r\nContent-Length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in &reply.fields {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        if request.method() != "HEAD" {
            bytes.extend_from_slice(&reply.body);
        }
        // The gateway may have gone: that is for the test to notice.
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn play(stream: TcpStream, shared: &Shared, steps: &[Step]) {
    let mut stream = BufReader::new(stream);
    for step in steps {
        match step {
            Step::Read => match Message::read(&mut stream, Unframed::Empty).await {
                Some(request) => shared.record(&request),
                None => return,
            },
            Step::Send(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
            Step::ReadUntil(end) => {
                let mut seen = Vec::new();
                while !seen.ends_with(end) {
                    match stream.read_u8().await {
                        Ok(byte) => seen.push(byte),
                        Err(_) => return,
                    }
                }
            }
            Step::Tell(word) => word.notify_one(),
            Step::Await(word) => word.notified().await,
            Step::HalfClose => stream.shutdown().await.unwrap(),
            Step::Reset => {
                socket2::SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
            Step::Stall => {
                stream.read_to_end(&mut Vec::new()).await.ok();
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the upstream panicked: {}", text.unwrap_or("without words"))
}
