//! Which route a request takes: host first, then the longest path, then the method.
//!
//! The order of the file does not matter. Host and path decide alone; only then is the method looked at, so that a
//! request with another method gets 405 and never falls through to a shorter path's route.

use std::collections::HashMap;

use http::{HeaderValue, Method};

use crate::config::{HostPattern, PathPattern, Route};

/// All routes, ready for look-ups. Routes are named by their index in the file.
#[derive(Debug, Default)]
pub struct Router {
    exact_hosts: HashMap<Box<str>, PathTable>,
    /// Longest first.
    host_suffixes: Vec<(Box<str>, PathTable)>,
    any_host: PathTable,
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The index of the one route.
    Route(usize),
    /// Routes of this host and path exist, but none takes the method.
    OtherMethods {
        /// What they take, as `Allow` lists it.
        allow: HeaderValue,
    },
    /// Nothing.
    Nothing,
}

impl Router {
    /// Builds the tables. The file's reader has seen to it that no two routes claim the same requests.
    #[must_use]
    pub fn new(routes: &[Route]) -> Self {
        let mut router = Self::default();
        for (index, route) in routes.iter().enumerate() {
            let table = match &route.host {
                HostPattern::Any => &mut router.any_host,
                HostPattern::Exact(host) => router.exact_hosts.entry(host.as_str().into()).or_default(),
                HostPattern::Suffix(suffix) => {
                    let known = router.host_suffixes.iter().position(|(known, _)| **known == **suffix);
                    let at = known.unwrap_or_else(|| {
                        router.host_suffixes.push((suffix.as_str().into(), PathTable::default()));
                        router.host_suffixes.len() - 1
                    });
                    &mut router.host_suffixes[at].1
                }
            };
            table.insert(&route.path, Candidate { methods: route.methods.clone(), route: index });
        }
        router.host_suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        router
    }

    /// Looks a request up. `host` is without port, in any case; `path` is the normal path's key.
    #[must_use]
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Found {
        match self.candidates(host, path) {
            Some(candidates) => choose(candidates, method),
            None => Found::Nothing,
        }
    }

    fn candidates(&self, host: &str, path: &str) -> Option<&[Candidate]> {
        if self.exact_hosts.is_empty() && self.host_suffixes.is_empty() {
            return self.any_host.find(path);
        }
        let host = host.to_ascii_lowercase();
        let exact = self.exact_hosts.get(&*host).and_then(|table| table.find(path));
        exact
            .or_else(|| {
                let matching = self.host_suffixes.iter().filter(|(suffix, _)| is_below(&host, suffix));
                matching.map(|(_, table)| table).find_map(|table| table.find(path))
            })
            .or_else(|| self.any_host.find(path))
    }
}

/// Whether the host is one label or more below the suffix.
fn is_below(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.')).is_some_and(|labels| !labels.is_empty())
}

#[derive(Debug)]
struct Candidate {
    methods: Vec<Method>,
    route: usize,
}

impl Candidate {
    fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (method == Method::HEAD && self.methods.contains(&Method::GET))
    }
}

fn choose(candidates: &[Candidate], method: &Method) -> Found {
    // A route that names the method before one that takes all.
    let named = candidates.iter().find(|candidate| !candidate.methods.is_empty() && candidate.takes(method));
    if let Some(candidate) = named.or_else(|| candidates.iter().find(|candidate| candidate.takes(method))) {
        return Found::Route(candidate.route);
    }
    let mut allowed: Vec<&str> = Vec::new();
    for method in candidates.iter().flat_map(|candidate| &candidate.methods) {
        if !allowed.contains(&method.as_str()) {
            allowed.push(method.as_str());
        }
        if method == Method::GET && !allowed.contains(&"HEAD") {
            allowed.push("HEAD");
        }
    }
    let allow = HeaderValue::from_str(&allowed.join(", ")).expect("methods are tokens");
    Found::OtherMethods { allow }
}

/// The paths of one host: a tree of segments.
#[derive(Debug, Default)]
struct PathTable {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// Sorted, for a binary search.
    children: Vec<(Box<str>, Node)>,
    exact: Vec<Candidate>,
    prefix: Vec<Candidate>,
}

impl PathTable {
    fn insert(&mut self, pattern: &PathPattern, candidate: Candidate) {
        let (path, is_prefix) = match pattern {
            PathPattern::Exact(path) => (path.as_str(), false),
            PathPattern::Prefix(path) => (path.as_str(), true),
        };
        let mut node = &mut self.root;
        for segment in path.split('/').skip(1) {
            let at = match node.children.binary_search_by(|(known, _)| (**known).cmp(segment)) {
                Ok(at) => at,
                Err(at) => {
                    node.children.insert(at, (segment.into(), Node::default()));
                    at
                }
            };
            node = &mut node.children[at].1;
        }
        if is_prefix { node.prefix.push(candidate) } else { node.exact.push(candidate) }
    }

    /// The exact path, or else the longest prefix that ends on a segment's border.
    fn find(&self, path: &str) -> Option<&[Candidate]> {
        let mut node = &self.root;
        let mut best: Option<&[Candidate]> = None;
        for segment in path.split('/').skip(1) {
            if !node.prefix.is_empty() {
                best = Some(&node.prefix);
            }
            let Ok(at) = node.children.binary_search_by(|(known, _)| (**known).cmp(segment)) else {
                return best;
            };
            node = &node.children[at].1;
        }
        if !node.exact.is_empty() {
            return Some(&node.exact);
        }
        if node.prefix.is_empty() { best } else { Some(&node.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RouteName;
    use crate::config::{AllowInPath, Identity, RouteAuth, TokenForwarding};

    fn route(host: HostPattern, path: PathPattern, methods: &[Method]) -> Route {
        Route {
            name: RouteName::new("r"),
            host,
            path,
            methods: methods.to_vec(),
            auth: RouteAuth::Public,
            identity: Identity { headers: Vec::new(), token: TokenForwarding::Remove },
            allow_in_path: AllowInPath::default(),
            upstream: 0,
        }
    }

    fn exact(path: &str) -> PathPattern {
        PathPattern::Exact(path.into())
    }

    fn prefix(path: &str) -> PathPattern {
        PathPattern::Prefix(path.into())
    }

    fn found(routes: &[Route], host: &str, path: &str) -> Found {
        Router::new(routes).find(host, path, &Method::GET)
    }

    #[test]
    fn the_longest_path_wins_on_segment_borders() {
        let routes = [
            route(HostPattern::Any, prefix(""), &[]),
            route(HostPattern::Any, prefix("/api"), &[]),
            route(HostPattern::Any, exact("/api/users"), &[]),
            route(HostPattern::Any, prefix("/api/users"), &[]),
        ];
        for (path, index) in [
            ("/", 0),
            ("/apix", 0),
            ("/api", 1),
            ("/api/", 1),
            ("/api/usersx", 1),
            ("/api/users", 2),
            ("/api/users/", 3),
            ("/api/users/1", 3),
        ] {
            assert_eq!(found(&routes, "h", path), Found::Route(index), "{path}");
        }
    }

    #[test]
    fn the_most_specific_host_with_a_matching_path_wins() {
        let routes = [
            route(HostPattern::Any, prefix(""), &[]),
            route(HostPattern::Suffix("example.com".into()), prefix(""), &[]),
            route(HostPattern::Suffix("a.example.com".into()), prefix(""), &[]),
            route(HostPattern::Exact("a.example.com".into()), prefix("/api"), &[]),
        ];
        for (host, path, index) in [
            ("other", "/", 0),
            ("example.com", "/", 0),
            ("x.example.com", "/", 1),
            ("X.EXAMPLE.com", "/", 1),
            ("notexample.com", "/", 0),
            ("b.a.example.com", "/", 2),
            ("a.example.com", "/api/1", 3),
            ("a.example.com", "/x", 1),
        ] {
            assert_eq!(found(&routes, host, path), Found::Route(index), "{host}{path}");
        }
    }

    #[test]
    fn another_method_is_405_and_never_a_shorter_path() {
        let routes = [
            route(HostPattern::Any, prefix(""), &[]),
            route(HostPattern::Any, exact("/orders"), &[Method::GET]),
            route(HostPattern::Any, exact("/orders"), &[Method::POST]),
        ];
        let router = Router::new(&routes);
        assert_eq!(router.find("h", "/orders", &Method::POST), Found::Route(2));
        assert_eq!(router.find("h", "/orders", &Method::HEAD), Found::Route(1));
        let allow = HeaderValue::from_static("GET, HEAD, POST");
        assert_eq!(router.find("h", "/orders", &Method::PUT), Found::OtherMethods { allow });
    }

    #[test]
    fn nothing_matches_where_no_route_leads() {
        let routes = [route(HostPattern::Any, exact("/a"), &[])];
        assert_eq!(found(&routes, "h", "/b"), Found::Nothing);
        assert_eq!(found(&routes, "h", "/a/"), Found::Nothing);
        assert_eq!(found(&[], "h", "/"), Found::Nothing);
    }

    /// Words of the routes below and everything that could disguise them.
    const PATHS: &str = "(/|/admin|/%61dmin|/%2561dmin|/ad%256din|/%252561dmin|/users|/@me|/%40me|/%2540me|/x|/%78|/%2578|\
                         //|/\\.|/\\.\\.|/%2e%2e|/caf\u{e9}|/caf%c3%a9|/caf%25c3%25a9|%25|%253f|%3f|%23|%3b|%20|%|a){0,4}";

    proptest::proptest! {
        /// What goes to the upstream, decoded once more and read anew, is refused or takes the same route.
        #[test]
        fn decoding_the_forwarded_path_once_more_never_leads_to_another_route(path in PATHS) {
            let routes = [
                route(HostPattern::Any, prefix(""), &[]),
                route(HostPattern::Any, prefix("/admin"), &[]),
                route(HostPattern::Any, exact("/admin/x"), &[]),
                route(HostPattern::Any, exact("/users/@me"), &[]),
                route(HostPattern::Any, prefix("/caf\u{e9}"), &[]),
            ];
            let router = Router::new(&routes);
            let Ok(normal) = crate::http::normalize(&path) else { return Ok(()) };
            if normal.oddities() != crate::http::Oddities::default() {
                // 400 on every route that does not name them.
                return Ok(());
            }
            let found = router.find("h", normal.key(), &Method::GET);
            let decoded = percent_encoding::percent_decode_str(normal.forwarded()).decode_utf8().expect("UTF-8");
            if let Ok(again) = crate::http::normalize(&decoded) {
                proptest::prop_assert_eq!(router.find("h", again.key(), &Method::GET), found, "{} then {}", path, decoded);
            }
        }
    }
}
