//! The real binary, started in a private folder.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use rustls::{ProtocolVersion, SupportedProtocolVersion};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::Home;
use super::process::{Finished, Process};
use super::{Client, Metrics, Protocol, RawConnection, Request, within};

/// A running gateway, which ends when the value is dropped.
pub struct Tollgate {
    /// The folder of its `gateway.yaml`.
    pub home: Home,
    process: Option<Process>,
    listening: Vec<Listening>,
}

/// One line `listening on https://127.0.0.1:4711 (server.listeners[0])`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// `https`.
    pub tls: bool,
    /// With the port that the system chose.
    pub address: SocketAddr,
    /// The path of the key in the file.
    pub what: String,
}

/// What a TLS handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The version.
    pub version: ProtocolVersion,
    /// The protocol, by ALPN.
    pub alpn: Option<String>,
    /// The server's own certificate, DER.
    pub certificate: Vec<u8>,
}

impl Tollgate {
    /// Starts a gateway and waits until all its listeners listen.
    pub async fn start(home: impl Into<Home>) -> Self {
        match Self::try_start(home).await {
            Ok(gate) => gate,
            Err(finished) => {
                panic!("the gateway ended at start, {}:\n{}", finished.status, finished.lines.join("\n"))
            }
        }
    }

    /// As [`Tollgate::start`], where the program may also end by itself instead.
    pub async fn try_start(home: impl Into<Home>) -> Result<Self, Finished> {
        let home = home.into();
        let (process, listening) = launch(&home).await?;
        Ok(Self { home, process: Some(process), listening })
    }

    /// Ends it by a signal and starts it again in the same folder, where ports may be others than before.
    pub async fn restart(&mut self, signal: &str) {
        let process = self.process.take().expect("it runs until it is stopped");
        process.signal(signal);
        assert_clean(&process.finish().await.lines);
        match launch(&self.home).await {
            Ok((process, listening)) => (self.process, self.listening) = (Some(process), listening),
            Err(finished) => panic!("the gateway does not start again:\n{}", finished.lines.join("\n")),
        }
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn stop(mut self) -> Finished {
        let process = self.process.take().expect("it runs until it is stopped");
        process.signal("TERM");
        let finished = process.finish().await;
        assert_clean(&finished.lines);
        finished
    }

    /// Sends SIGTERM and lets the gateway drain; [`Tollgate::finish`] waits for the end.
    pub fn terminate(&self) {
        self.process().signal("TERM");
    }

    /// Sends any signal, such as `INT`.
    pub fn signal(&self, signal: &str) {
        self.process().signal(signal);
    }

    /// Stops the process where it stands, so that several things are there at once when it goes on ([`thaw`]).
    ///
    /// [`thaw`]: Tollgate::thaw
    pub async fn freeze(&self) {
        self.process().freeze().await;
    }

    /// Lets the process go on.
    pub fn thaw(&self) {
        self.process().signal("CONT");
    }

    /// Waits for the end, which a signal must have begun.
    pub async fn finish(mut self) -> Finished {
        let process = self.process.take().expect("it runs until it is stopped");
        let finished = process.finish().await;
        assert_clean(&finished.lines);
        finished
    }

    /// Where the first listener with TLS is.
    pub fn address(&self) -> SocketAddr {
        self.listener(|listening| listening.tls)
    }

    /// Where the first listener without TLS is.
    pub fn plain_address(&self) -> SocketAddr {
        self.listener(|listening| !listening.tls && listening.what != "admin")
    }

    /// Where metrics and health are.
    pub fn admin_address(&self) -> SocketAddr {
        self.listener(|listening| listening.what == "admin")
    }

    /// Clients over TLS, which open a connection for each request.
    pub fn client(&self, protocol: Protocol) -> Client {
        Client::new(self.address(), Some(&self.home.authority), protocol)
    }

    /// Clients without TLS.
    pub fn plain_client(&self) -> Client {
        Client::new(self.plain_address(), None, Protocol::Http1)
    }

    /// Clients of the admin listener.
    pub fn admin(&self) -> Client {
        Client::new(self.admin_address(), None, Protocol::Http1)
    }

    /// A GET over TLS and HTTP/1.1, on a connection of its own.
    pub fn get(&self, path: &str) -> Request {
        self.client(Protocol::Http1).get(path)
    }

    /// A POST over TLS and HTTP/1.1, on a connection of its own.
    pub fn post(&self, path: &str) -> Request {
        self.client(Protocol::Http1).post(path)
    }

    /// A connection over TLS on which a test writes bytes of its own.
    pub async fn raw(&self) -> RawConnection {
        self.client(Protocol::Http1).raw().await
    }

    /// Shakes hands as a client that asks for the server `name`, speaks these versions and offers these protocols.
    ///
    /// # Errors
    /// Where the server refuses, or shows a certificate that is not good for the name.
    pub async fn handshake(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> std::io::Result<Handshake> {
        let config = self.home.authority.client_of(versions, alpn);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = within("a TLS handshake", async {
            let stream = TcpStream::connect(self.address()).await?;
            TlsConnector::from(config).connect(name, stream).await
        })
        .await?;
        let session = stream.get_ref().1;
        Ok(Handshake {
            version: session.protocol_version().unwrap(),
            alpn: session.alpn_protocol().map(|protocol| String::from_utf8(protocol.to_vec()).unwrap()),
            certificate: session.peer_certificates().unwrap()[0].to_vec(),
        })
    }

    /// All lines printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.process().lines()
    }

    /// Waits until the lines printed so far fit, and returns them.
    pub async fn lines_until(&self, what: &str, fits: impl Fn(&[String]) -> bool) -> Vec<String> {
        self.process()
            .find(what, |lines| fits(lines).then(|| lines.to_vec()))
            .await
            .unwrap_or_else(|| panic!("the gateway ended without {what}"))
    }

    /// All JSON lines printed so far.
    pub fn log_lines(&self) -> Vec<Value> {
        json_lines(&self.lines())
    }

    /// Waits for a JSON line that fits, and returns the first.
    pub async fn log_line(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.process()
            .find(what, |lines| json_lines(lines).into_iter().find(&fits))
            .await
            .unwrap_or_else(|| panic!("the gateway ended without logging {what}"))
    }

    /// The metrics as they are now. Workers add theirs up once a second: see [`Tollgate::metrics_until`].
    pub async fn metrics(&self) -> Metrics {
        let answer = self.admin().get("/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Metrics::parse(&answer.text())
    }

    /// The first metrics that fit. They can only be asked for again and again.
    pub async fn metrics_until(&self, what: &str, fits: impl Fn(&Metrics) -> bool) -> Metrics {
        within(what, async {
            loop {
                let metrics = self.metrics().await;
                if fits(&metrics) {
                    return metrics;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs until it is stopped")
    }

    fn listener(&self, fits: impl Fn(&Listening) -> bool) -> SocketAddr {
        let found = self.listening.iter().find(|listening| fits(listening));
        found.unwrap_or_else(|| panic!("no such listener among {:?}", self.listening)).address
    }
}

impl Drop for Tollgate {
    fn drop(&mut self) {
        if let Some(process) = self.process.take()
            && !std::thread::panicking()
        {
            let lines = process.lines();
            drop(process);
            assert_clean(&lines);
        }
    }
}

/// Starts the program and waits for its listeners, or for its end.
async fn launch(home: &Home) -> Result<(Process, Vec<Listening>), Finished> {
    let mut command = home.command(["run", "--config", "gateway.yaml"]);
    let process = Process::start("tollgate", &mut command, "KILL");
    let listening = process
        .find("its listeners", |lines| {
            let listening: Vec<Listening> = lines.iter().filter_map(|line| listening(line)).collect();
            (listening.len() == home.listeners).then_some(listening)
        })
        .await;
    match listening {
        Some(listening) => Ok((process, listening)),
        None => Err(process.finish().await),
    }
}

/// What no gateway may ever print: the report of a panic, or somebody's token.
fn assert_clean(lines: &[String]) {
    for line in lines {
        assert!(!line.contains("panicked at"), "the gateway panicked:\n{}", lines.join("\n"));
        assert!(!holds_token(line), "the gateway printed a token: {line}");
    }
}

/// Whether a compact JWS stands in the line: `eyJ….….…`, as every JSON object in base64url begins.
pub fn holds_token(line: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    line.match_indices("eyJ").any(|(at, _)| {
        let word = line[at..].split(|c: char| !is_base64(c) && c != '.').next().unwrap_or_default();
        word.split('.').filter(|part| !part.is_empty()).count() >= 3
    })
}

/// Reads one line of a starting gateway.
pub fn listening(line: &str) -> Option<Listening> {
    let (url, what) = line.trim().strip_prefix("listening on ")?.split_once(" (")?;
    let (scheme, address) = url.split_once("://")?;
    let what = what.strip_suffix(')')?.to_owned();
    Some(Listening { tls: scheme == "https", address: address.parse().ok()?, what })
}

fn json_lines(lines: &[String]) -> Vec<Value> {
    lines
        .iter()
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}
