//! What tokens say of their issuer and audience, and by how much clocks may differ.

use std::time::Duration;

use super::tokens::show;
use super::{Site, is_words, named, variable};
use crate::import::python::Known;
use crate::import::yaml::Yaml;

impl Site<'_> {
    pub(super) fn provider(&mut self) {
        let issuer = match self.setting("ISSUER") {
            None => Yaml::plain("any"),
            Some(located) => match &located.value {
                Known::None => Yaml::plain("any"),
                // Braces are for tenants there.
                Known::Text(text) if is_words(text) && !text.contains(['{', '}']) => Yaml::text(text),
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
}
