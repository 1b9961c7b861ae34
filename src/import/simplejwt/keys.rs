//! What signs the tokens.

use super::{Site, named};
use crate::base::{Algorithm, KeyFamily};
use crate::import::python::Known;
use crate::import::yaml::Yaml;

impl Site<'_> {
    pub(super) fn keys(&mut self) {
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
}

/// The bytes of an HMAC algorithm's hash.
fn hash_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}
