//! How tokens look and how long they live, and what is said of settings that have no counterpart.

use std::time::Duration;

use super::{Site, is_words, named};
use crate::import::python::{Known, Located};
use crate::import::remarks::Remarks;
use crate::import::yaml::Yaml;

/// What SimpleJWT's own classes are called, which need no remark.
const STOCK: &str = "rest_framework_simplejwt.";

impl Site<'_> {
    pub(super) fn issuer(&mut self) {
        if let Some(all) = self.module.get("SIMPLE_JWT") {
            if let Known::Dict(entries) = &all.value {
                for (key, value) in entries {
                    self.look_at_key(key, value);
                }
            } else {
                self.remarks.not_read(all, "SIMPLE_JWT", "a dict");
            }
        } else {
            self.remarks.add(0, "SIMPLE_JWT", "not set in this file: SimpleJWT's defaults are taken");
        }
        self.duration("ACCESS_TOKEN_LIFETIME", "access_token_lifetime");
        self.duration("REFRESH_TOKEN_LIFETIME", "refresh_token_lifetime");
        self.boolean("ROTATE_REFRESH_TOKENS", "rotate_refresh_tokens");
        self.boolean("BLACKLIST_AFTER_ROTATION", "blacklist_after_rotation");
        // Spoken, since Tollgate's own manner differs.
        self.issuer.push(("on_reuse", Yaml::plain("refuse")));
        self.issuer.push(("reuse_grace", Yaml::plain("0s")));
        self.boolean("UPDATE_LAST_LOGIN", "update_last_login");
        self.keys();
        self.text("USER_ID_CLAIM", "user_id_claim", "user_id");
        self.text("TOKEN_TYPE_CLAIM", "token_type_claim", "token_type");
        self.text("JTI_CLAIM", "jti_claim", "jti");
        self.boolean("CHECK_REVOKE_TOKEN", "check_revoke_token");
        self.text("REVOKE_TOKEN_CLAIM", "revoke_token_claim", "hash_password");
        if !self.is("CHECK_USER_IS_ACTIVE", &Known::Bool(true)) {
            self.boolean("CHECK_USER_IS_ACTIVE", "check_user_is_active");
        }
        self.duration("SLIDING_TOKEN_LIFETIME", "sliding_token_lifetime");
        self.duration("SLIDING_TOKEN_REFRESH_LIFETIME", "sliding_token_refresh_lifetime");
        self.text("SLIDING_TOKEN_REFRESH_EXP_CLAIM", "sliding_token_refresh_exp_claim", "refresh_exp");
    }

    /// Says of a key of `SIMPLE_JWT` what nothing else says.
    pub(super) fn look_at_key(&mut self, key: &Located, value: &Located) {
        let Some(name) = key.text() else {
            let setting = "SIMPLE_JWT";
            return self.remarks.add(key.line, setting, "not carried over: a key that is no text");
        };
        let setting = named(name);
        let is_stock = value.texts().is_some_and(|texts| texts.iter().all(|text| text.starts_with(STOCK)));
        let add = |remarks: &mut Remarks, reason: &str| remarks.add(value.line, setting.as_str(), reason);
        match name {
            "**" => self.remarks.not_read(value, "SIMPLE_JWT", "a dict"),
            "TOKEN_OBTAIN_SERIALIZER"
            | "TOKEN_REFRESH_SERIALIZER"
            | "TOKEN_VERIFY_SERIALIZER"
            | "TOKEN_BLACKLIST_SERIALIZER"
            | "SLIDING_TOKEN_OBTAIN_SERIALIZER"
            | "SLIDING_TOKEN_REFRESH_SERIALIZER"
                if !is_stock =>
            {
                add(
                    &mut self.remarks,
                    "not carried over: the site's own code; claims that it adds belong into `issuer.claims`",
                );
            }
            "USER_ID_FIELD" if value.text() != Some("id") => {
                let reason = match value.text() {
                    Some(_) => {
                        "not carried over: set `issuer.users.django.columns.id` to the column, if it is unique and never changes"
                    }
                    None => "not carried over: a text was expected",
                };
                add(&mut self.remarks, reason);
            }
            "USER_AUTHENTICATION_RULE" if !is_stock => {
                add(
                    &mut self.remarks,
                    "not carried over: the site's own code; users who are there and active may log in",
                );
            }
            "AUTH_TOKEN_CLASSES" if is_stock => self.token_classes(value),
            "AUTH_TOKEN_CLASSES" => {
                add(&mut self.remarks, "not carried over: the site's own code; access tokens are taken");
            }
            "TOKEN_USER_CLASS" if !is_stock => {
                add(&mut self.remarks, "not carried over: it has no part outside the application");
            }
            "JSON_ENCODER" if value.value != Known::None => {
                add(&mut self.remarks, "not carried over: the site's own code");
            }
            "JWK_URL" if value.value != Known::None => {
                add(&mut self.remarks, "not carried over: make it a provider with `keys: { jwks_url: … }`");
            }
            "AUTH_HEADER_TYPE" | "AUTH_TOKEN_CLASS" | "SECRET_KEY" | "TOKEN_BACKEND_CLASS" => {
                add(&mut self.remarks, "not carried over: SimpleJWT has removed this setting");
            }
            _ if !SETTINGS.contains(&name) => {
                add(&mut self.remarks, "not carried over: SimpleJWT knows no such setting");
            }
            _ => {}
        }
    }

    /// Which of SimpleJWT's own tokens open protected routes.
    pub(super) fn token_classes(&mut self, value: &Located) {
        let named = value.texts().unwrap_or_default();
        let mut classes = Vec::new();
        for name in named {
            match name.rsplit('.').next() {
                Some("AccessToken") => classes.push("access"),
                Some("SlidingToken") => classes.push("sliding"),
                _ => {
                    let reason = format!("not carried over: {name} opens no route");
                    self.remarks.add(value.line, "SIMPLE_JWT[\"AUTH_TOKEN_CLASSES\"]", reason);
                }
            }
        }
        if classes.contains(&"sliding") {
            let reason = "where the views for sliding tokens are stands in the site's urls.py: set `issuer.paths.sliding_obtain` and `sliding_refresh`";
            self.remarks.add(value.line, "SIMPLE_JWT[\"AUTH_TOKEN_CLASSES\"]", reason);
            let classes = classes.into_iter().map(Yaml::plain).collect();
            self.issuer.push(("auth_token_classes", Yaml::List(classes)));
        }
    }

    pub(super) fn is(&self, key: &str, value: &Known) -> bool {
        self.setting(key).is_none_or(|setting| setting.value == *value)
    }

    pub(super) fn duration(&mut self, key: &str, ours: &'static str) {
        let Some(located) = self.setting(key) else { return };
        match &located.value {
            Known::Duration(duration) if *duration >= Duration::from_secs(1) => {
                self.issuer.push((ours, Yaml::plain(show(*duration))));
            }
            _ => self.remarks.not_read(located, &named(key), "a timedelta of a second at least"),
        }
    }

    pub(super) fn boolean(&mut self, key: &str, ours: &'static str) {
        let Some(located) = self.setting(key) else { return };
        match &located.value {
            Known::Bool(value) => {
                self.issuer.push((ours, Yaml::plain(value.to_string())));
            }
            Known::Variable { name, default } => {
                let fallback = match default.as_deref() {
                    Some(Known::Bool(value)) => format!(":-{value}"),
                    _ => String::new(),
                };
                let reason = format!("the variable {name} must say `true` or `false`, in lower case");
                self.remarks.add(located.line, named(key), reason);
                let value = Yaml::with_variables(format!("${{{name}{fallback}}}"));
                self.issuer.push((ours, value));
            }
            _ => self.remarks.not_read(located, &named(key), "True or False"),
        }
    }

    /// A text that is written only where it differs from SimpleJWT's default.
    pub(super) fn text(&mut self, key: &str, ours: &'static str, default: &str) {
        let Some(located) = self.setting(key) else { return };
        match &located.value {
            Known::Text(text) if text == default => {}
            Known::Text(text) if is_words(text) && text.len() <= 256 => {
                self.issuer.push((ours, Yaml::text(text)));
            }
            _ => self.remarks.not_read(located, &named(key), "a text"),
        }
    }
}

/// Every setting of release 5.5.1.
pub(in crate::import) const SETTINGS: [&str; 34] = [
    "ACCESS_TOKEN_LIFETIME",
    "REFRESH_TOKEN_LIFETIME",
    "ROTATE_REFRESH_TOKENS",
    "BLACKLIST_AFTER_ROTATION",
    "UPDATE_LAST_LOGIN",
    "ALGORITHM",
    "SIGNING_KEY",
    "VERIFYING_KEY",
    "AUDIENCE",
    "ISSUER",
    "JSON_ENCODER",
    "JWK_URL",
    "LEEWAY",
    "AUTH_HEADER_TYPES",
    "AUTH_HEADER_NAME",
    "USER_ID_FIELD",
    "USER_ID_CLAIM",
    "USER_AUTHENTICATION_RULE",
    "AUTH_TOKEN_CLASSES",
    "TOKEN_TYPE_CLAIM",
    "JTI_CLAIM",
    "TOKEN_USER_CLASS",
    "SLIDING_TOKEN_REFRESH_EXP_CLAIM",
    "SLIDING_TOKEN_LIFETIME",
    "SLIDING_TOKEN_REFRESH_LIFETIME",
    "TOKEN_OBTAIN_SERIALIZER",
    "TOKEN_REFRESH_SERIALIZER",
    "TOKEN_VERIFY_SERIALIZER",
    "TOKEN_BLACKLIST_SERIALIZER",
    "SLIDING_TOKEN_OBTAIN_SERIALIZER",
    "SLIDING_TOKEN_REFRESH_SERIALIZER",
    "CHECK_REVOKE_TOKEN",
    "REVOKE_TOKEN_CLAIM",
    "CHECK_USER_IS_ACTIVE",
];

/// The largest unit in which the duration is a whole number; less than a millisecond does not count.
pub(super) fn show(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (factor, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if milliseconds >= factor && milliseconds.is_multiple_of(factor) {
            return format!("{}{unit}", milliseconds / factor);
        }
    }
    format!("{milliseconds}ms")
}
