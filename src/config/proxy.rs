//! Through which proxy a provider's server is reached.

use crate::base::Secret;

use super::model::{EgressProxy, ProxyVariables};
use super::remote_keys::web_url;
use super::walk::{Node, Reader};

/// Reads `proxy:`.
pub(super) fn proxy(node: &Node<'_>) -> Option<EgressProxy> {
    node.parse("none, or the URL of a proxy such as http://proxy.internal:3128", |text| {
        if text == "none" {
            return Some(EgressProxy::None);
        }
        let url = web_url(text)?;
        let bare = url.path() == "/" && url.query().is_none();
        (url.scheme_str() == Some("http") && bare && url.port_u16().is_some())
            .then_some(EgressProxy::Through(url))
    })
}

/// What the environment says, where the file says nothing.
pub(super) fn of_environment(reader: &Reader<'_>) -> EgressProxy {
    let set = |name: &str| reader.variable(name).filter(|value| !value.is_empty());
    let first = |names: &[&str]| names.iter().copied().find_map(set);
    let proxy = |names: &[&str]| first(names).map(Secret::new);
    EgressProxy::Environment(ProxyVariables {
        http: proxy(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
        https: proxy(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
        no: first(&["NO_PROXY", "no_proxy"]).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(set: &[(&str, &str)]) -> [String; 3] {
        let environment =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let reader = Reader::new(Path::new("gateway.yaml"), &environment);
        let EgressProxy::Environment(ProxyVariables { http, https, no }) = of_environment(&reader) else {
            unreachable!("nothing else is read there")
        };
        let text = |secret: Option<Secret>| {
            secret.map_or_else(String::new, |secret| String::from_utf8_lossy(secret.expose()).into_owned())
        };
        [text(http), text(https), no]
    }

    #[test]
    fn the_variable_of_the_scheme_comes_before_that_for_all() {
        assert_eq!(read(&[]), ["", "", ""]);
        assert_eq!(read(&[("ALL_PROXY", "a"), ("no_proxy", "x")]), ["a", "a", "x"]);
        assert_eq!(read(&[("all_proxy", "a"), ("https_proxy", "b"), ("NO_PROXY", "*")]), ["a", "b", "*"]);
        assert_eq!(read(&[("HTTPS_PROXY", "b"), ("https_proxy", "c"), ("HTTP_PROXY", "d")]), ["d", "b", ""]);
        assert_eq!(
            read(&[("ALL_PROXY", "a"), ("HTTPS_PROXY", ""), ("NO_PROXY", "")]),
            ["a", "a", ""],
            "empty is unset"
        );
    }
}
