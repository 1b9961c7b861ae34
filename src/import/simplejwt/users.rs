//! Where users live and how their passwords are hashed.

use super::Site;
use crate::import::database;
use crate::import::python::Known;
use crate::import::yaml::Yaml;

impl Site<'_> {
    pub(super) fn users(&mut self) {
        let mut django = Vec::new();
        if let Some(url) = database::url(self.module.get("DATABASES"), &mut self.secrets, &mut self.remarks) {
            django.push(("database", url));
        }
        if let Some(model) = self.module.get("AUTH_USER_MODEL") {
            match model.text().and_then(|text| text.split_once('.')) {
                Some(("auth", "User")) => {}
                Some((app, name)) => {
                    let table = format!("{}_{}", app.to_lowercase(), name.to_lowercase());
                    let reason = format!(
                        "taken to be the table {table}: look whether the model names another one (db_table) or logs in by another field (USERNAME_FIELD), which is `columns.username`"
                    );
                    self.remarks.add(model.line, "AUTH_USER_MODEL", reason);
                    django.push(("table", Yaml::text(&table)));
                }
                None => self.remarks.not_read(model, "AUTH_USER_MODEL", "\"app.Model\""),
            }
        }
        self.hashers(&mut django);
        if self.blacklist() {
            django.push(("token_blacklist", Yaml::Inline(vec![("mirror", Yaml::plain("true"))])));
        }
        if self.module.get("USE_TZ").is_some_and(|setting| setting.value == Known::Bool(false)) {
            let line = self.module.get("USE_TZ").map_or(0, |setting| setting.line);
            self.remarks.add(
                line,
                "USE_TZ",
                "Tollgate writes times in UTC; this site keeps them in its own zone",
            );
        }
        if django.first().is_some_and(|(key, _)| *key == "database") {
            self.issuer.push(("users", Yaml::Block(vec![("django", Yaml::Block(django))])));
        }
    }

    pub(super) fn hashers(&mut self, django: &mut Vec<(&'static str, Yaml)>) {
        let Some(located) = self.module.get("PASSWORD_HASHERS") else { return };
        let Some(classes) = located.texts() else {
            return self.remarks.not_read(located, "PASSWORD_HASHERS", "a list of texts");
        };
        let mut hashers = Vec::new();
        for class in classes {
            let hasher = HASHERS.iter().find(|(theirs, _)| {
                class.strip_prefix("django.contrib.auth.hashers.").is_some_and(|class| class == *theirs)
            });
            match hasher {
                Some((_, ours)) => hashers.push(Yaml::plain(*ours)),
                None => {
                    let reason = format!("not carried over: {class}; who has such a hash can't log in");
                    self.remarks.add(located.line, "PASSWORD_HASHERS", reason);
                }
            }
        }
        if !hashers.is_empty() {
            django.push(("hashers", Yaml::List(hashers)));
        }
    }

    /// Whether the site has SimpleJWT's blacklist.
    pub(super) fn blacklist(&mut self) -> bool {
        let Some(apps) = self.module.get("INSTALLED_APPS") else { return false };
        let Known::List(items) = &apps.value else {
            self.remarks.not_read(apps, "INSTALLED_APPS", "a list");
            return false;
        };
        let has = items.iter().any(|app| {
            app.text().is_some_and(|app| app.starts_with("rest_framework_simplejwt.token_blacklist"))
        });
        let is_known = items.iter().all(|app| !matches!(app.value, Known::Unknown(_)));
        if !has && is_known {
            let reason = "without SimpleJWT's token_blacklist its endpoint did nothing; here it ends the refresh token";
            self.remarks.add(apps.line, "INSTALLED_APPS", reason);
        }
        has
    }
}

/// Django's classes and what Tollgate calls them.
const HASHERS: [(&str, &str); 7] = [
    ("PBKDF2PasswordHasher", "pbkdf2_sha256"),
    ("PBKDF2SHA1PasswordHasher", "pbkdf2_sha1"),
    ("Argon2PasswordHasher", "argon2"),
    ("BCryptSHA256PasswordHasher", "bcrypt_sha256"),
    ("BCryptPasswordHasher", "bcrypt"),
    ("ScryptPasswordHasher", "scrypt"),
    ("MD5PasswordHasher", "md5"),
];
