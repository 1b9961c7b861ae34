//! Where tokens are looked for, and what else REST framework does with a request.

use super::{Site, named};
use crate::import::python::Known;
use crate::import::yaml::Yaml;

impl Site<'_> {
    pub(super) fn authentication(&mut self) {
        self.headers();
        let Some(framework) = self.module.get("REST_FRAMEWORK") else { return };
        if !matches!(framework.value, Known::Dict(_)) {
            return self.remarks.not_read(framework, "REST_FRAMEWORK", "a dict");
        }
        let setting = "REST_FRAMEWORK[\"DEFAULT_AUTHENTICATION_CLASSES\"]";
        if let Some(classes) = framework.get("DEFAULT_AUTHENTICATION_CLASSES") {
            let Some(texts) = classes.texts() else {
                return self.remarks.not_read(classes, setting, "a list of texts");
            };
            for class in texts {
                let reason = match class {
                    "rest_framework_simplejwt.authentication.JWTAuthentication" => continue,
                    "rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"
                    | "rest_framework_simplejwt.authentication.JWTTokenUserAuthentication" => {
                        "it looks no user up: set `user_check: off` on the route".to_owned()
                    }
                    class => format!(
                        "not carried over: {class}; requests without a token reach the application as such"
                    ),
                };
                self.remarks.add(classes.line, setting, reason);
            }
        }
        for key in ["DEFAULT_THROTTLE_CLASSES", "DEFAULT_THROTTLE_RATES"] {
            if let Some(throttles) = framework.get(key) {
                let setting = format!("REST_FRAMEWORK[\"{key}\"]");
                self.remarks.add(
                    throttles.line,
                    setting,
                    "not carried over: for logins see `issuer.throttle`",
                );
            }
        }
        if let Some(handler) = framework.get("EXCEPTION_HANDLER") {
            let setting = "REST_FRAMEWORK[\"EXCEPTION_HANDLER\"]";
            self.remarks.add(
                handler.line,
                setting,
                "not carried over: refusals have REST framework's own form",
            );
        }
    }

    /// Where tokens are looked for.
    pub(super) fn headers(&mut self) {
        let mut header = "Authorization".to_owned();
        if let Some(located) = self.setting("AUTH_HEADER_NAME") {
            match located.text().and_then(header_name) {
                Some(name) => header = name,
                None => self.remarks.not_read(
                    located,
                    &named("AUTH_HEADER_NAME"),
                    "HTTP_ and the name of a header",
                ),
            }
        }
        let mut schemes = vec!["Bearer".to_owned()];
        if let Some(located) = self.setting("AUTH_HEADER_TYPES") {
            match located.texts().filter(|texts| !texts.is_empty() && texts.iter().all(|text| is_token(text)))
            {
                Some(texts) => schemes = texts.into_iter().map(str::to_owned).collect(),
                None => self.remarks.not_read(located, &named("AUTH_HEADER_TYPES"), "a list of words"),
            }
        }
        if header != "Authorization" || schemes != ["Bearer"] {
            let schemes = schemes.iter().map(|scheme| Yaml::text(scheme)).collect();
            let place = vec![("header", Yaml::text(&header)), ("scheme", Yaml::List(schemes))];
            self.token_from = Some(Yaml::List(vec![Yaml::Inline(place)]));
        }
    }
}

/// `X-Access-Token` of `HTTP_X_ACCESS_TOKEN`.
fn header_name(cgi: &str) -> Option<String> {
    let name = cgi.strip_prefix("HTTP_").filter(|name| !name.is_empty())?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{first}{}", rest.to_lowercase())
    });
    Some(words.collect::<Vec<_>>().join("-"))
}

/// A scheme of `Authorization` (RFC 9110, section 11.1).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
