//! Which token endpoint a path names, and how an endpoint describes itself.

use serde_json::{Map, Value, json};

use super::body;
use crate::config::{Compatibility, TokenPaths};

/// A token endpoint as a path named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub(super) action: Action,
    /// The path lacks its last slash, and the client is only told so.
    pub(super) redirect: bool,
}

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Log in: user name and password for a pair of tokens.
    Obtain,
    /// A refresh token for new tokens.
    Refresh,
    /// Whether a token is good.
    Verify,
    /// End a refresh token.
    Blacklist,
    /// End a session and its access tokens.
    Logout,
    /// End all sessions of a user.
    LogoutAll,
    /// Log in: user name and password for a sliding token.
    SlidingObtain,
    /// A sliding token for the same with a later end.
    SlidingRefresh,
}

impl Endpoint {
    /// What it does.
    #[must_use]
    pub const fn action(self) -> Action {
        self.action
    }

    /// Its name for log and metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.action.as_str()
    }

    /// Exact; only where the configured path ends in a slash, the same without it is known too.
    pub(super) fn find(paths: &TokenPaths, compatibility: Compatibility, path: &str) -> Option<Self> {
        Action::ALL.into_iter().find_map(|action| {
            let ours = action.path(paths)?;
            if path == ours {
                return Some(Self { action, redirect: false });
            }
            let slashless = ours.strip_suffix('/').filter(|slashless| !slashless.is_empty())?;
            (path == slashless)
                .then_some(Self { action, redirect: compatibility == Compatibility::SimpleJwt })
        })
    }
}

impl Action {
    /// Whether a token is judged there.
    pub(super) const fn takes_tokens(self) -> bool {
        match self {
            Self::Obtain | Self::SlidingObtain => false,
            Self::Refresh
            | Self::Verify
            | Self::Blacklist
            | Self::Logout
            | Self::LogoutAll
            | Self::SlidingRefresh => true,
        }
    }

    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Obtain,
        Self::Refresh,
        Self::Verify,
        Self::Blacklist,
        Self::Logout,
        Self::LogoutAll,
        Self::SlidingObtain,
        Self::SlidingRefresh,
    ];

    /// Its name for log and metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Obtain => "obtain",
            Self::Refresh => "refresh",
            Self::Verify => "verify",
            Self::Blacklist => "blacklist",
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::SlidingObtain => "sliding_obtain",
            Self::SlidingRefresh => "sliding_refresh",
        }
    }

    /// Where the file puts it, if anywhere.
    #[must_use]
    pub fn path(self, paths: &TokenPaths) -> Option<&str> {
        let path = match self {
            Self::Obtain => &paths.obtain,
            Self::Refresh => &paths.refresh,
            Self::Verify => &paths.verify,
            Self::Blacklist => &paths.blacklist,
            Self::Logout => &paths.logout,
            Self::LogoutAll => &paths.logout_all,
            Self::SlidingObtain => &paths.sliding_obtain,
            Self::SlidingRefresh => &paths.sliding_refresh,
        };
        path.as_deref()
    }

    /// The answer to OPTIONS, in the form of Django REST framework.
    pub(super) fn metadata(self) -> Value {
        let (name, description) = match self {
            Self::Obtain => {
                ("Token Obtain Pair", "Takes a user's credentials and returns an access and a refresh token.")
            }
            Self::Refresh => ("Token Refresh", "Takes a refresh token and returns a new access token."),
            Self::Verify => (
                "Token Verify",
                "Takes a token and tells whether it is valid. It says nothing about what the token is fit for.",
            ),
            Self::Blacklist => ("Token Blacklist", "Takes a refresh token, which is refused from then on."),
            Self::Logout => (
                "Logout",
                "Takes a refresh token, or the access token as bearer, and ends the session with all its tokens.",
            ),
            Self::LogoutAll => (
                "Logout Everywhere",
                "Takes a refresh token, or the access token as bearer, and ends all sessions of its user.",
            ),
            Self::SlidingObtain => {
                ("Token Obtain Sliding", "Takes a user's credentials and returns a sliding token.")
            }
            Self::SlidingRefresh => {
                ("Token Refresh Sliding", "Takes a sliding token and returns one that lives longer.")
            }
        };
        let fields: Map<_, _> = self.fields().iter().map(Field::metadata).collect();
        json!({
            "name": name,
            "description": description,
            "renders": ["application/json", "text/html"],
            "parses": body::MEDIA_TYPES,
            "actions": {"POST": fields},
        })
    }

    const fn fields(self) -> &'static [Field] {
        const fn input(name: &'static str, label: &'static str) -> Field {
            Field { name, label, read_only: false }
        }
        match self {
            Self::Obtain | Self::SlidingObtain => {
                const { &[input("username", "Username"), input("password", "Password")] }
            }
            Self::Refresh => {
                const { &[input("refresh", "Refresh"), Field { name: "access", label: "Access", read_only: true }] }
            }
            Self::Blacklist | Self::Logout | Self::LogoutAll => const { &[input("refresh", "Refresh")] },
            Self::Verify | Self::SlidingRefresh => const { &[input("token", "Token")] },
        }
    }
}

struct Field {
    name: &'static str,
    label: &'static str,
    /// Stands in the answer, not in the request.
    read_only: bool,
}

impl Field {
    fn metadata(&self) -> (String, Value) {
        let value = json!({
            "type": "string",
            "required": !self.read_only,
            "read_only": self.read_only,
            "label": self.label,
        });
        (self.name.to_owned(), value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> TokenPaths {
        TokenPaths {
            obtain: Some("/api/token/".to_owned()),
            refresh: Some("/api/token/refresh/".to_owned()),
            verify: Some("/verify".to_owned()),
            blacklist: Some("/".to_owned()),
            logout: Some("/logout/".to_owned()),
            logout_all: Some("/logout/all/".to_owned()),
            ..TokenPaths::default()
        }
    }

    fn find(compatibility: Compatibility, path: &str) -> Option<(&'static str, bool)> {
        Endpoint::find(&paths(), compatibility, path).map(|endpoint| (endpoint.as_str(), endpoint.redirect))
    }

    #[test]
    fn a_path_names_its_endpoint_exactly() {
        for compatibility in [Compatibility::SimpleJwt, Compatibility::Tollgate] {
            assert_eq!(find(compatibility, "/api/token/"), Some(("obtain", false)));
            assert_eq!(find(compatibility, "/api/token/refresh/"), Some(("refresh", false)));
            assert_eq!(find(compatibility, "/verify"), Some(("verify", false)));
            assert_eq!(find(compatibility, "/"), Some(("blacklist", false)));
            for path in ["", "/verify/", "/api/token//", "/API/token/", "/api/token/x", "/api"] {
                assert_eq!(find(compatibility, path), None, "{path}");
            }
        }
    }

    #[test]
    fn without_its_last_slash_a_path_is_redirected_or_served() {
        assert_eq!(find(Compatibility::SimpleJwt, "/api/token"), Some(("obtain", true)));
        assert_eq!(find(Compatibility::Tollgate, "/api/token"), Some(("obtain", false)));
    }
}
