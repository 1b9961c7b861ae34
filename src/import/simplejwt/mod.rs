//! djangorestframework-simplejwt's settings, one by one.

mod authentication;
mod keys;
mod provider;
mod tokens;
mod users;

use std::fmt::Write as _;

use super::python::{Known, Located, Module, Unreadable};
use super::remarks::Remarks;
use super::secrets::Secrets;
use super::yaml::{Yaml, write};
use super::{Imported, Options};

#[cfg(test)]
pub(super) use tokens::SETTINGS;

pub(super) fn import(source: &str, options: &Options<'_>) -> Result<Imported, Unreadable> {
    let module = Module::read(source, options.settings)?;
    let mut site = Site {
        remarks: Remarks::default(),
        secrets: Secrets::new(options.secret_files),
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
