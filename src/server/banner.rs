//! What a newcomer reads first: where the gateway listens, where requests go, and commands that work when pasted.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::development::{DEMO_USER, authority_path, password_path};
use crate::config::{AuthMode, Config, HostPattern, JWKS_PATH, PathPattern, Route, RouteAuth, Tls, Users};
use crate::issuer::Action;

/// Writes a line; a string takes every text.
macro_rules! line {
    ($text:expr, $($arguments:tt)*) => {
        writeln!($text, $($arguments)*).expect("a string takes every text")
    };
}
/// Prints it: in development on standard output, otherwise beside the event log.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what the command line shows at start")]
pub(super) fn print(config: &Config, addresses: &[SocketAddr], admin: Option<SocketAddr>) {
    let text = banner(config, addresses, admin);
    if config.development {
        print!("{text}");
    } else {
        eprint!("{text}");
    }
}

fn banner(config: &Config, addresses: &[SocketAddr], admin: Option<SocketAddr>) -> String {
    let mut text = format!("tollgate {}, {}\n", env!("CARGO_PKG_VERSION"), config.file.display());
    for warning in config.warnings_at(super::clock::now()) {
        line!(text, "warning: {}:{warning}", config.file.display());
    }
    for (index, (listener, address)) in config.server.listeners.iter().zip(addresses).enumerate() {
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        line!(text, "listening on {scheme}://{address} (server.listeners[{index}])");
    }
    if let Some(address) = admin {
        line!(text, "listening on http://{address} (admin)");
    }
    if let Some(issuer) = &config.issuer {
        for action in Action::ALL {
            if let Some(path) = action.path(&issuer.paths) {
                line!(text, "endpoint {}: {path}", action.as_str());
            }
        }
        line!(text, "endpoint jwks: {JWKS_PATH}");
    }
    for route in &config.routes {
        line!(text, "route {}", describe(route, config));
    }
    if config.development {
        commands(&mut text, config, addresses, admin);
    }
    text
}

fn describe(route: &Route, config: &Config) -> String {
    let host = match &route.host {
        HostPattern::Any => String::new(),
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Suffix(suffix) => format!("*.{suffix}"),
    };
    let path = match &route.path {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Prefix(path) => format!("{path}/*"),
    };
    let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
    let methods = if methods.is_empty() { String::new() } else { format!("{} ", methods.join(",")) };
    let auth = match &route.auth {
        RouteAuth::Public => "open to all".to_owned(),
        RouteAuth::Required { providers, mode, .. } => {
            let names: Vec<&str> =
                providers.iter().map(|&index| config.providers[index].name.as_str()).collect();
            let takes = match mode {
                AuthMode::Enforce => "needs",
                AuthMode::Optional => "takes none or",
            };
            format!("{takes} a token of {}", names.join(" or "))
        }
    };
    format!("{}: {methods}{host}{path} -> {}, {auth}", route.name, config.upstreams[route.upstream].name)
}

/// Log in, call a protected path, look at the metrics.
fn commands(text: &mut String, config: &Config, addresses: &[SocketAddr], admin: Option<SocketAddr>) {
    let listeners = config.server.listeners.iter().zip(addresses);
    let Some((listener, address)) = listeners.max_by_key(|(listener, _)| listener.tls.is_some()) else {
        return;
    };
    let (scheme, authority) = match &listener.tls {
        Some(tls) => ("https", format!("--cacert {} ", shell_word(&authority_of(tls)))),
        None => ("http", String::new()),
    };
    let base = format!("{scheme}://localhost:{}", address.port());
    line!(text, "\nTry it (paste a line):");
    // The demo user lives nowhere else.
    let issuer = config.issuer.as_ref().filter(|issuer| matches!(issuer.users, Users::Own));
    if let Some(obtain) = issuer.and_then(|issuer| issuer.paths.obtain.as_deref()) {
        let password = shell_word(&from_here(&password_path(config)));
        let login = format!(
            "curl -sS {authority}--data username={DEMO_USER} --data password=\"$(cat {password})\" {base}{obtain}"
        );
        let token = format!("$({login} | sed 's/.*\"access\":\"\\([^\"]*\\)\".*/\\1/')");
        line!(text, "{login}");
        if let Some(path) = protected_path(config) {
            line!(text, "curl -sS {authority}--header \"Authorization: Bearer {token}\" {base}{path}");
        }
    }
    if let Some(admin) = admin {
        line!(text, "curl -sS http://{admin}/metrics");
    }
}

fn authority_of(tls: &Tls) -> String {
    tls.certificates.first().map(|files| from_here(&authority_path(&files.certificate))).unwrap_or_default()
}

/// The first path that needs a token of the gateway's own.
fn protected_path(config: &Config) -> Option<String> {
    let own = |index: &usize| matches!(config.providers[*index].keys, crate::config::KeySource::Own);
    let route = config.routes.iter().find(|route| match &route.auth {
        RouteAuth::Required { providers, .. } => route.host == HostPattern::Any && providers.iter().any(own),
        RouteAuth::Public => false,
    })?;
    Some(match &route.path {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Prefix(path) => format!("{path}/hello"),
    })
}

/// A path as short as it can be from where the reader stands.
fn from_here(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let short = here.as_ref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    short.display().to_string()
}

fn shell_word(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
