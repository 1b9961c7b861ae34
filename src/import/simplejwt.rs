//! djangorestframework-simplejwt's settings, one by one.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::python::{Known, Located, Module, Unreadable};
use super::remarks::Remarks;
use super::yaml::{Yaml, write};
use super::{Imported, Options, database};
use crate::base::{Algorithm, KeyFamily, Secret};

/// What SimpleJWT's own classes are called, which need no remark.
const STOCK: &str = "rest_framework_simplejwt.";

pub(super) fn import(source: &str, options: &Options<'_>) -> Result<Imported, Unreadable> {
    let module = Module::read(source, options.settings)?;
    let mut site = Site {
        remarks: Remarks::default(),
        secrets: Secrets { files: options.secret_files, written: Vec::new(), environment: String::new() },
        issuer: vec![("compatibility", Yaml::plain("simplejwt"))],
        provider: Vec::new(),
        token_from: None,
        module: &module,
    };
    site.issuer();
    site.provider();
    site.users();
    site.authentication();
    site.asides();
    let route = site.route();
    let Site { remarks, secrets, issuer, provider, .. } = site;
    let file = [
        ("providers", Yaml::Block(vec![("local", Yaml::Block(provider))])),
        ("issuer", Yaml::Block(issuer)),
        (
            "upstreams",
            Yaml::Block(vec![(
                "app",
                Yaml::Inline(vec![("endpoints", Yaml::List(vec![Yaml::text(options.upstream)]))]),
            )]),
        ),
        ("routes", Yaml::Blocks(vec![route])),
    ];
    let written = secrets.finish();
    let remarks = remarks.sorted();
    let mut yaml = head(options, &remarks);
    write(&file, 0, &mut yaml);
    Ok(Imported { yaml, secrets: written, remarks })
}

fn head(options: &Options<'_>, remarks: &[super::Remark]) -> String {
    let name =
        options.settings.file_name().unwrap_or_default().to_string_lossy().replace(char::is_control, " ");
    let mut head =
        format!("# Made by `tollgate import simplejwt` of {name}. Try it with `tollgate check`.\n");
    if !remarks.is_empty() {
        head.push_str("#\n# Not carried over, or to be looked at:\n");
    }
    for remark in remarks {
        let _ = writeln!(head, "# - {remark}");
    }
    head.push('\n');
    head
}

/// Secrets on their way to where they are kept: files, or variables that the operator sets.
#[derive(Debug)]
pub(super) struct Secrets {
    files: bool,
    written: Vec<(PathBuf, Secret)>,
    /// Lines for a shell or a service manager.
    environment: String,
}

impl Secrets {
    /// What the file names in a secret's place: a file, or a variable if there are no files.
    fn file(&mut self, name: &str, secret: &str, line: u32, setting: &str, remarks: &mut Remarks) -> Yaml {
        if self.files {
            let path = format!("secrets/{name}");
            remarks.add(line, setting, format!("written to the file {path}, not into the gateway.yaml"));
            // Of which the reader cuts one newline.
            self.written.push((PathBuf::from(&path), Secret::new(format!("{secret}\n"))));
            return Yaml::with_variables(format!("file:{path}"));
        }
        let variable = name.replace('-', "_").to_uppercase();
        remarks.add(line, setting, format!("not printed: set the variable {variable} to it"));
        Yaml::with_variables(format!("${{{variable}}}"))
    }

    /// The variable that the file names within a text. Its value is written where a shell or service can read it.
    pub(super) fn variable(
        &mut self,
        name: &str,
        value: &Secret,
        line: u32,
        setting: &str,
        remarks: &mut Remarks,
    ) -> String {
        if self.files {
            // Only letters, digits, and signs that mean nothing within single quotes.
            let _ = writeln!(self.environment, "{name}='{}'", String::from_utf8_lossy(value.expose()));
            remarks.add(
                line,
                setting,
                format!("written to secrets/environment: set the variable {name} from there"),
            );
        } else {
            remarks.add(
                line,
                setting,
                format!("not printed: set the variable {name} to it, percent-encoded"),
            );
        }
        name.to_owned()
    }

    fn finish(mut self) -> Vec<(PathBuf, Secret)> {
        if !self.environment.is_empty() {
            self.written.push((PathBuf::from("secrets/environment"), Secret::new(self.environment)));
        }
        self.written
    }
}

/// The file in the making.
struct Site<'m> {
    module: &'m Module,
    remarks: Remarks,
    secrets: Secrets,
    issuer: Vec<(&'static str, Yaml)>,
    provider: Vec<(&'static str, Yaml)>,
    token_from: Option<Yaml>,
}

fn named(key: &str) -> String {
    format!("SIMPLE_JWT[\"{key}\"]")
}

impl<'m> Site<'m> {
    fn setting(&self, key: &str) -> Option<&'m Located> {
        self.module.get("SIMPLE_JWT")?.get(key)
    }

    fn issuer(&mut self) {
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
    fn look_at_key(&mut self, key: &Located, value: &Located) {
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
    fn token_classes(&mut self, value: &Located) {
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

    fn is(&self, key: &str, value: &Known) -> bool {
        self.setting(key).is_none_or(|setting| setting.value == *value)
    }

    fn duration(&mut self, key: &str, ours: &'static str) {
        let Some(located) = self.setting(key) else { return };
        match &located.value {
            Known::Duration(duration) if *duration >= Duration::from_secs(1) => {
                self.issuer.push((ours, Yaml::plain(show(*duration))));
            }
            _ => self.remarks.not_read(located, &named(key), "a timedelta of a second at least"),
        }
    }

    fn boolean(&mut self, key: &str, ours: &'static str) {
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
    fn text(&mut self, key: &str, ours: &'static str, default: &str) {
        let Some(located) = self.setting(key) else { return };
        match &located.value {
            Known::Text(text) if text == default => {}
            Known::Text(text) if is_words(text) && text.len() <= 256 => {
                self.issuer.push((ours, Yaml::text(text)));
            }
            _ => self.remarks.not_read(located, &named(key), "a text"),
        }
    }

    fn keys(&mut self) {
        let mut algorithm = Some(Algorithm::HS256);
        if let Some(located) = self.setting("ALGORITHM") {
            algorithm = located.text().and_then(|text| text.parse().ok());
            match algorithm {
                Some(algorithm) => self.issuer.push(("algorithm", Yaml::plain(algorithm.name()))),
                None => {
                    let expected = "an algorithm that Tollgate signs with";
                    self.remarks.not_read(located, &named("ALGORITHM"), expected);
                    // The old key, taken for one of another kind, could be one that everybody knows.
                    let reason = "tokens will be signed with HS256 and a new key: set the variable SIGNING_KEY. Those that are out are not taken";
                    self.remarks.add(located.line, named("SIGNING_KEY"), reason);
                    self.issuer.push(("signing_key", Yaml::with_variables("${SIGNING_KEY}")));
                    return;
                }
            }
        }
        let is_hmac = algorithm.is_some_and(|algorithm| algorithm.family() == KeyFamily::Hmac);
        let own = self.setting("SIGNING_KEY").map(|key| (key, named("SIGNING_KEY")));
        let of_site = || self.module.get("SECRET_KEY").map(|key| (key, "SECRET_KEY".to_owned()));
        let Some((key, setting)) = own.or_else(of_site) else {
            let reason = "not set in this file: set the variable SIGNING_KEY to what signs the tokens";
            self.remarks.add(0, "SECRET_KEY", reason);
            self.issuer.push(("signing_key", Yaml::with_variables("${SIGNING_KEY}")));
            return;
        };
        let line = key.line;
        let value = match &key.value {
            Known::Text(text) => {
                if let Some(algorithm) =
                    algorithm.filter(|algorithm| is_hmac && text.len() < hash_length(*algorithm))
                {
                    self.issuer.push(("allow_short", Yaml::plain("true")));
                    let reason = format!(
                        "shorter than the hash of {}: take a longer one as soon as you can",
                        algorithm.name()
                    );
                    self.remarks.add(line, setting.as_str(), reason);
                }
                self.secrets.file("signing-key", text, line, &setting, &mut self.remarks)
            }
            Known::Variable { name, default } => {
                if default.is_some() {
                    self.remarks.add(
                        line,
                        setting.as_str(),
                        format!("its default was not carried over: set the variable {name}"),
                    );
                }
                Yaml::with_variables(format!("${{{name}}}"))
            }
            Known::Content(path) => Yaml::text(&format!("file:{}", path.display())),
            _ => {
                self.remarks.not_read(key, &setting, "a text, a variable or a file");
                self.remarks.add(line, setting.as_str(), "set the variable SIGNING_KEY to it");
                Yaml::with_variables("${SIGNING_KEY}")
            }
        };
        self.issuer.push(("signing_key", value));
    }

    fn provider(&mut self) {
        let issuer = match self.setting("ISSUER") {
            None => Yaml::plain("any"),
            Some(located) => match &located.value {
                Known::None => Yaml::plain("any"),
                Known::Text(text) if is_words(text) => Yaml::text(text),
                Known::Variable { .. } => variable(located).unwrap_or_else(|| Yaml::plain("any")),
                _ => {
                    self.remarks.not_read(located, &named("ISSUER"), "a text");
                    Yaml::plain("any")
                }
            },
        };
        self.provider.push(("issuer", issuer));
        self.provider.push(("keys", Yaml::Inline(vec![("own", Yaml::plain("true"))])));
        if let Some(located) = self.setting("AUDIENCE").filter(|located| located.value != Known::None) {
            match (located.texts(), variable(located)) {
                (Some(texts), _) if !texts.is_empty() && texts.iter().all(|text| is_words(text)) => {
                    let texts = texts.into_iter().map(Yaml::text).collect();
                    self.provider.push(("audiences", Yaml::List(texts)));
                }
                (_, Some(variable)) => self.provider.push(("audiences", Yaml::List(vec![variable]))),
                _ => self.remarks.not_read(located, &named("AUDIENCE"), "a text or a list of texts"),
            }
        }
        if let Some(located) = self.setting("LEEWAY") {
            let leeway = match &located.value {
                Known::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
                Known::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
                Known::Duration(duration) => Some(*duration),
                _ => None,
            };
            match leeway.filter(|leeway| *leeway <= Duration::from_secs(3600)) {
                Some(Duration::ZERO) => {}
                Some(leeway) => self.provider.push(("leeway", Yaml::plain(show(leeway)))),
                None => self.remarks.not_read(
                    located,
                    &named("LEEWAY"),
                    "seconds or a timedelta, an hour at most",
                ),
            }
        }
    }

    fn users(&mut self) {
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

    fn hashers(&mut self, django: &mut Vec<(&'static str, Yaml)>) {
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
    fn blacklist(&mut self) -> bool {
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

    fn authentication(&mut self) {
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
    fn headers(&mut self) {
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

    fn route(&mut self) -> Vec<(&'static str, Yaml)> {
        let framework = self.module.get("REST_FRAMEWORK");
        let permissions = framework.and_then(|framework| framework.get("DEFAULT_PERMISSION_CLASSES"));
        let (line, setting) = match permissions {
            Some(permissions) => (permissions.line, "REST_FRAMEWORK[\"DEFAULT_PERMISSION_CLASSES\"]"),
            None => (0, "routes"),
        };
        let reason = "which paths need a token stands in the application: one route lets all requests without a token pass to it, and refuses bad tokens; where a token is needed, add a route without `mode: optional`";
        self.remarks.add(line, setting, reason);
        let mut auth =
            vec![("providers", Yaml::List(vec![Yaml::plain("local")])), ("mode", Yaml::plain("optional"))];
        if let Some(token_from) = self.token_from.take() {
            auth.push(("token_from", token_from));
        }
        vec![
            ("name", Yaml::plain("app")),
            ("match", Yaml::Inline(vec![("path", Yaml::plain("/*"))])),
            ("auth", Yaml::Block(auth)),
            // The application goes on reading it until it trusts the identity headers.
            ("identity", Yaml::Inline(vec![("token", Yaml::plain("forward"))])),
            ("upstream", Yaml::plain("app")),
        ]
    }

    /// Lines that were not followed, of the settings that count.
    fn asides(&mut self) {
        const NAMES: [&str; 9] = [
            "SIMPLE_JWT",
            "SECRET_KEY",
            "DATABASES",
            "AUTH_USER_MODEL",
            "PASSWORD_HASHERS",
            "INSTALLED_APPS",
            "REST_FRAMEWORK",
            "USE_TZ",
            "AUTHENTICATION_BACKENDS",
        ];
        for aside in &self.module.asides {
            match &aside.name {
                Some(name) if NAMES.contains(&name.as_str()) => {
                    self.remarks.add(aside.line, name.as_str(), format!("not carried over: {}", aside.why));
                }
                Some(_) => {}
                None => {
                    self.remarks.add(aside.line, "any setting", format!("not carried over: {}", aside.why));
                }
            }
        }
        if let Some(backends) = self.module.get("AUTHENTICATION_BACKENDS") {
            let stock = |text: &&str| text.starts_with("django.contrib.auth.backends.ModelBackend");
            if !backends.texts().is_some_and(|texts| texts.iter().all(stock)) {
                let reason = "not carried over: users log in with name and password of the user table";
                self.remarks.add(backends.line, "AUTHENTICATION_BACKENDS", reason);
            }
        }
    }
}

/// Every setting of release 5.5.1.
pub(super) const SETTINGS: [&str; 34] = [
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

/// What the reader takes for a name, an issuer or an audience.
fn is_words(text: &str) -> bool {
    !text.is_empty() && text.len() <= 1024 && !text.contains(char::is_control)
}

/// A variable, with its default if that is a text.
fn variable(located: &Located) -> Option<Yaml> {
    let Known::Variable { name, default } = &located.value else { return None };
    Some(match default.as_deref() {
        Some(Known::Text(text)) if !text.contains(['}', '$']) => {
            Yaml::with_variables(format!("${{{name}:-{text}}}"))
        }
        _ => Yaml::with_variables(format!("${{{name}}}")),
    })
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

/// The bytes of an HMAC algorithm's hash.
fn hash_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}

/// The largest unit in which the duration is a whole number; less than a millisecond does not count.
fn show(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (factor, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if milliseconds >= factor && milliseconds.is_multiple_of(factor) {
            return format!("{}{unit}", milliseconds / factor);
        }
    }
    format!("{milliseconds}ms")
}
