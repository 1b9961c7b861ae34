//! `upstreams:`: where requests go.

use std::time::Duration;

use http::{HeaderValue, Uri};

use crate::base::UpstreamName;

use super::mistake::{MistakeKind, nearest};
use super::model::{Upstream, UpstreamTarget, UpstreamTimeouts};
use super::pattern::host_problem;
use super::value::parts;
use super::walk::{Node, Section};
use super::written::Value;

const DEFAULT_TIMEOUTS: UpstreamTimeouts = UpstreamTimeouts {
    connect: Duration::from_secs(2),
    response: Duration::from_secs(30),
    idle: Duration::from_secs(60),
};

const SHORTEST: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// All upstreams of the file, then those that routes name by URL.
#[derive(Default)]
pub(super) struct Upstreams<'r> {
    names: Vec<&'r str>,
    nodes: Vec<Node<'r>>,
    used: Vec<bool>,
    read: Vec<Option<Upstream>>,
}

impl<'r> Upstreams<'r> {
    /// The index of the upstream that a route names. A URL makes one if there is none of that URL yet.
    pub(super) fn find(&mut self, node: &Node<'r>) -> Option<usize> {
        let text = node.text("the name of an upstream, or a URL such as http://127.0.0.1:8000")?;
        if let Some(index) = self.names.iter().position(|name| *name == text) {
            self.used[index] = true;
            return Some(index);
        }
        if !text.contains("://") {
            let help = nearest(&text, &self.names, "upstreams");
            return node.refuse_with(MistakeKind::NoSuchUpstream(node.as_written()), help);
        }
        let target = endpoint_of(node, &text)?;
        let made = self.read.iter().skip(self.names.len());
        let known = made.flatten().position(|upstream| upstream.name.as_str() == text);
        if let Some(index) = known {
            return Some(self.names.len() + index);
        }
        self.read.push(Some(Upstream {
            name: UpstreamName::new(&text),
            target,
            timeouts: DEFAULT_TIMEOUTS,
            host: None,
        }));
        Some(self.read.len() - 1)
    }

    /// All of them, unless one could not be read.
    pub(super) fn all(self) -> Option<Vec<Upstream>> {
        for (node, _) in self.nodes.iter().zip(&self.used).filter(|(_, used)| !**used) {
            node.warn("no route leads here");
        }
        self.read.into_iter().collect()
    }
}

/// Reads `upstreams:`.
pub(super) fn read<'r>(node: &Node<'r>) -> Option<Upstreams<'r>> {
    let mut upstreams = Upstreams::default();
    for (name, node) in parts(node)? {
        upstreams.names.push(name);
        upstreams.used.push(false);
        upstreams.read.push(upstream(&node, name));
        upstreams.nodes.push(node);
    }
    Some(upstreams)
}

fn upstream(node: &Node<'_>, name: &str) -> Option<Upstream> {
    node.section(|section| {
        section.not_available(&["health", "balance", "retries"]);
        let target = target(section);
        let timeouts = section.optional("timeouts", |node| node.section(timeouts));
        let host = section.optional("host", host);
        Some(Upstream {
            name: UpstreamName::new(name),
            target: target?,
            timeouts: timeouts.unwrap_or(DEFAULT_TIMEOUTS),
            host,
        })
    })
}

fn target(section: &Section<'_, '_>) -> Option<UpstreamTarget> {
    let (endpoints, builtin) = (section.key("endpoints"), section.key("builtin"));
    match (endpoints, builtin) {
        (Some(endpoints), None) => {
            let items = endpoints.items();
            let read: Vec<_> = items.iter().map(endpoint).collect();
            if items.is_empty() {
                return endpoints.expected("an endpoint such as http://127.0.0.1:8000");
            }
            if let Some(second) = items.get(1) {
                return second.refuse_with(MistakeKind::NotAvailable, "one endpoint may stand here");
            }
            read.into_iter().next().flatten()
        }
        (None, Some(builtin)) => {
            builtin.choice(&[("echo", ())])?;
            for name in ["timeouts", "host"] {
                if let Some(node) = section.key(name) {
                    node.refuse_key::<()>(MistakeKind::NoEffect("on a built-in upstream"), None);
                }
            }
            Some(UpstreamTarget::Echo)
        }
        (Some(_), Some(builtin)) => {
            builtin.refuse_key(MistakeKind::Conflict("\"endpoints\"".to_owned()), None)
        }
        (None, None) => section.node().refuse_key(
            MistakeKind::Missing("endpoints"),
            Some("write e.g. `endpoints: [http://127.0.0.1:8000]`, or `builtin: echo`".to_owned()),
        ),
    }
}

/// `http://HOST:PORT`, or `{ url: http://HOST:PORT }`.
fn endpoint(node: &Node<'_>) -> Option<UpstreamTarget> {
    let url = |node: &Node<'_>| {
        let text = node.text("a URL such as http://127.0.0.1:8000")?;
        endpoint_of(node, &text)
    };
    if matches!(node.value(), Value::Map(_)) {
        return node.section(|section| {
            section.not_available(&["weight"]);
            section.required("url", url)
        });
    }
    url(node)
}

fn endpoint_of(node: &Node<'_>, text: &str) -> Option<UpstreamTarget> {
    let expected = "a URL such as http://127.0.0.1:8000";
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http") => {}
        Some("https") => return node.refuse(MistakeKind::HttpsUpstream),
        _ => return node.expected(expected),
    }
    let Ok(uri) = text.parse::<Uri>() else {
        return node.expected(expected);
    };
    let refuse = |problem| node.refuse(MistakeKind::Pattern { found: node.shown(), problem });
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        // The password is in the value, so the value is not shown.
        let found = "the URL".to_owned();
        return node.refuse(MistakeKind::Pattern { found, problem: "holds a user name or password" });
    }
    if text.contains('#') || uri.path_and_query().is_some_and(|path| path != "/") {
        return refuse("holds a path, but requests keep their own");
    }
    let host = uri.host().unwrap_or("").to_ascii_lowercase();
    if let Some(problem) = host_problem(&host) {
        return refuse(problem);
    }
    let after_host = authority.get(host.len()..).unwrap_or("");
    let port = match after_host.strip_prefix(':').map(str::parse::<u16>) {
        None => 80,
        Some(Ok(port)) if port != 0 => port,
        Some(_) => return refuse("has no port between 1 and 65535"),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(UpstreamTarget::Http { host, port })
}

fn timeouts(section: &Section<'_, '_>) -> Option<UpstreamTimeouts> {
    let timeout = |name, longest, default| {
        section.optional(name, |node| node.duration(SHORTEST..=longest)).unwrap_or(default)
    };
    let default = DEFAULT_TIMEOUTS;
    Some(UpstreamTimeouts {
        connect: timeout("connect", MINUTE, default.connect),
        response: timeout("response", DAY, default.response),
        idle: timeout("idle", DAY, default.idle),
    })
}

fn host(node: &Node<'_>) -> Option<HeaderValue> {
    node.parse("a host such as app.internal or app.internal:8000", |text| {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port_fits = port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        let host_fits = host_problem(&host.to_ascii_lowercase()).is_none();
        (host_fits && port_fits).then(|| HeaderValue::from_str(text).ok()).flatten()
    })
}
