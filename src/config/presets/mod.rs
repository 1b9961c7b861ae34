//! `preset:` of a provider: a shorter spelling of what is the same for everybody who uses it.
//!
//! A preset is put into words before anything of the provider is read, so that it is under the rules of all other words
//! of the file. What the file itself says beside it wins.

mod table;

use super::mistake::{MistakeKind, nearest};
use super::model::PresetMeaning;
use super::places::{self, Place};
use super::remote_keys::web_url;
use super::walk::Node;
use super::written::{self, Entry, Value, Written};
use table::{Form, PRESETS, Parameter, Preset};

/// Puts all presets of a file into words. One that can't be stays as it is, with a mistake.
pub(super) fn expand(root: &Node<'_>) -> (Written, Vec<PresetMeaning>) {
    let mut meanings = Vec::new();
    let mut file = root.written().clone();
    let Some(providers) = root.peek("providers") else { return (file, meanings) };
    let Value::Map(entries) = &mut file.value else { return (file, meanings) };
    let Some(section) = entries.iter_mut().find(|entry| entry.key == "providers") else {
        return (file, meanings);
    };
    let Value::Map(written) = &mut section.value.value else { return (file, meanings) };
    for (node, entry) in providers.children().into_iter().zip(written) {
        let Some(chosen) = node.peek("preset") else { continue };
        let Some(preset) = preset(&node, &chosen) else { continue };
        let Some(words) = words(preset, &node, chosen.written().place) else { continue };
        meanings.push(PresetMeaning {
            provider: entry.key.clone(),
            preset: preset.name.to_owned(),
            words: yaml(&entry.key, &words),
        });
        entry.value.value = Value::Map(words);
    }
    (file, meanings)
}

/// The preset of that name; of several the first that has all that it needs.
fn preset(provider: &Node<'_>, chosen: &Node<'_>) -> Option<&'static Preset> {
    let mut names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    names.dedup();
    let expected = format!("one of {}", names.join(", "));
    let name = chosen.text(&expected)?;
    let mut of_name = PRESETS.iter().filter(|preset| preset.name == name).peekable();
    if of_name.peek().is_none() {
        let hint = nearest(&name, &names, "presets");
        return chosen.refuse_with(MistakeKind::Expected { expected, found: chosen.shown() }, hint);
    }
    let is_given =
        |parameter: &Parameter| parameter.default.is_some() || provider.peek(parameter.name).is_some();
    let last = of_name.clone().last();
    of_name.find(|preset| preset.parameters.iter().all(is_given)).or(last)
}

/// The entries that stand in the place of those of the provider.
fn words(preset: &Preset, provider: &Node<'_>, place: Place) -> Option<Vec<Entry>> {
    let given: Vec<Option<(&str, Written)>> =
        preset.parameters.iter().map(|parameter| given(preset, parameter, provider, place)).collect();
    let given: Vec<(&str, Written)> = given.into_iter().collect::<Option<_>>()?;
    let is_own = |name: &str| name == "preset" || given.iter().any(|(parameter, _)| *parameter == name);
    refuse_repeated(provider, is_own);
    let mut rest: Vec<Entry> =
        provider.entries().iter().filter(|entry| !is_own(&entry.key)).cloned().collect();
    let mut words = Vec::new();
    for mut entry in template(preset.provider) {
        fill(&mut entry.value, &given);
        move_to(&mut entry, place);
        let own = rest.iter().position(|own| own.key == entry.key).map(|at| rest.remove(at));
        words.push(match own {
            Some(own) => joined(entry, own),
            None => entry,
        });
    }
    words.extend(rest);
    Some(words)
}

/// The rest is looked at where the words are read.
fn refuse_repeated(provider: &Node<'_>, is_own: impl Fn(&str) -> bool) {
    let entries = provider.entries();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| is_own(&entry.key)) {
        if let Some(first) = entries[..index].iter().find(|first| first.key == entry.key) {
            let kind = MistakeKind::DuplicateKey { key: entry.key.clone(), first_line: first.place.0 };
            provider.child(entry).refuse_key::<()>(kind, None);
        }
    }
}

/// What a parameter of a preset is, as it is written: variables are put in later, where the words are read.
fn given<'p>(
    preset: &Preset,
    parameter: &'p Parameter,
    provider: &Node<'_>,
    place: Place,
) -> Option<(&'p str, Written)> {
    let Some(node) = provider.peek(parameter.name) else {
        let Some(default) = parameter.default else {
            let hint = format!("the preset {} needs it: {}", preset.name, parameter.form.expected());
            return provider.refuse_key(MistakeKind::Missing(parameter.name), Some(hint));
        };
        return Some((parameter.name, Written { place, value: Value::Text(default.to_owned()) }));
    };
    if parameter.form != Form::Any {
        node.parse(parameter.form.expected(), |text| parameter.form.takes(text).then_some(()))?;
    }
    Some((parameter.name, node.written().clone()))
}

impl Form {
    /// For a mistake.
    const fn expected(self) -> &'static str {
        match self {
            Self::Host => "a host name such as login.example.com",
            Self::Segment => "a name of letters, digits, \".\", \"_\" and \"-\"",
            Self::Guid => "the tenant's ID, such as 11111111-2222-3333-4444-555555555555",
            Self::Url => "a URL such as https://id.example.com, without a slash at its end",
            Self::Any => "a text, or a list of them",
        }
    }

    fn takes(self, text: &str) -> bool {
        let is_name = |other: &[u8]| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || other.contains(&byte);
            !text.is_empty() && text.bytes().all(fits) && !text.starts_with('.')
        };
        match self {
            Self::Host => is_name(b".-"),
            Self::Segment => is_name(b"._-"),
            Self::Guid => {
                let groups: Vec<&str> = text.split('-').collect();
                groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
                    && groups.concat().bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            }
            Self::Url => {
                let plain = !text.ends_with('/') && !text.contains(['{', '}']);
                plain && web_url(text).is_some_and(|url| url.query().is_none())
            }
            Self::Any => true,
        }
    }
}

/// The entries of a preset of the table.
fn template(text: &str) -> Vec<Entry> {
    let marks = places::find(text).ok();
    let written = marks.and_then(|marks| written::read(text, &marks).ok());
    match written.map(|written| written.value) {
        Some(Value::Map(entries)) => entries,
        _ => unreachable!("a test reads the whole table"),
    }
}

/// Puts what is given in the place of its names in angle brackets.
fn fill(written: &mut Written, given: &[(&str, Written)]) {
    match &mut written.value {
        Value::Text(text) => {
            for (name, value) in given {
                let name = format!("<{name}>");
                match &value.value {
                    _ if *text == name => {
                        written.value = value.value.clone();
                        return;
                    }
                    Value::Text(value) => *text = text.replace(&name, value),
                    _ => {}
                }
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| fill(item, given)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| fill(&mut entry.value, given)),
        Value::Nothing | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What is wrong with a preset's words is pointed at where the preset stands.
fn move_to(entry: &mut Entry, place: Place) {
    fn value_to(written: &mut Written, place: Place) {
        written.place = place;
        match &mut written.value {
            Value::List(items) => items.iter_mut().for_each(|item| value_to(item, place)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| move_to(entry, place)),
            Value::Nothing | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }
    entry.place = place;
    value_to(&mut entry.value, place);
}

/// The preset's words and the file's own for one key. How keys are fetched and which claims are required, the two say
/// together; in all else, and where they differ, the file alone.
fn joined(preset: Entry, mut own: Entry) -> Entry {
    match (own.key.as_str(), preset.value.value, &mut own.value.value) {
        ("fetch" | "refresh", Value::Map(preset), Value::Map(entries)) => {
            let missing = preset.into_iter().filter(|entry| !entries.iter().any(|own| own.key == entry.key));
            let missing: Vec<Entry> = missing.collect();
            entries.extend(missing);
        }
        ("required_claims", preset, own_claims) => {
            let place = own.value.place;
            let mut claims = claims(preset, place);
            let own = self::claims(std::mem::replace(own_claims, Value::Nothing), place);
            claims.retain(|claim| !own.iter().any(|own| names(own).eq(names(claim))));
            claims.extend(own);
            *own_claims = Value::List(claims);
        }
        _ => {}
    }
    own
}

/// `required_claims:` as a list of which each item names one claim.
fn claims(value: Value, place: Place) -> Vec<Written> {
    let items = match value {
        Value::List(items) => items,
        other => vec![Written { place, value: other }],
    };
    let split = |item: Written| match item.value {
        Value::Map(entries) => entries
            .into_iter()
            .map(|entry| Written { place: entry.place, value: Value::Map(vec![entry]) })
            .collect(),
        value => vec![Written { place: item.place, value }],
    };
    items.into_iter().flat_map(split).collect()
}

fn names(claim: &Written) -> impl Iterator<Item = &str> {
    let name = match &claim.value {
        Value::Text(name) => Some(name.as_str()),
        Value::Map(entries) => entries.first().map(|entry| entry.key.as_str()),
        _ => None,
    };
    name.into_iter()
}

/// The provider as it could stand in the file.
fn yaml(name: &str, words: &[Entry]) -> String {
    let provider = serde_yaml::Value::Mapping(words.iter().map(pair).collect());
    let providers = serde_yaml::Mapping::from_iter([(name.into(), provider)]);
    let file = serde_yaml::Mapping::from_iter([("providers".into(), serde_yaml::Value::Mapping(providers))]);
    // Values that were read can be written.
    serde_yaml::to_string(&file).unwrap_or_default()
}

fn pair(entry: &Entry) -> (serde_yaml::Value, serde_yaml::Value) {
    (entry.key.as_str().into(), plain(&entry.value.value))
}

fn plain(value: &Value) -> serde_yaml::Value {
    match value {
        Value::Nothing => serde_yaml::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => serde_yaml::from_str(number).unwrap_or_else(|_| number.as_str().into()),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(|item| plain(&item.value)).collect::<Vec<_>>().into(),
        Value::Map(entries) => serde_yaml::Value::Mapping(entries.iter().map(pair).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table_can_be_read_and_names_no_parameter_that_it_has_not() {
        for preset in &PRESETS {
            let text = format!("{:?}", template(preset.provider));
            for parameter in preset.parameters {
                assert!(
                    text.contains(&format!("<{}>", parameter.name)),
                    "{}: {}",
                    preset.name,
                    parameter.name
                );
                assert!(
                    parameter.default.is_none_or(|default| parameter.form.takes(default)),
                    "{}",
                    preset.name
                );
            }
            assert_eq!(text.matches('<').count(), text.matches('>').count());
            for name in text.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
                assert!(
                    preset.parameters.iter().any(|parameter| parameter.name == name),
                    "{}: {name}",
                    preset.name
                );
            }
        }
    }

    #[test]
    fn a_parameter_that_could_lead_elsewhere_is_refused() {
        for (form, good, bad) in [
            (
                Form::Host,
                "acme.eu.auth0.com",
                ["acme.com/x", "me@acme.com", "acme.com:1", "", ".a", "a b", "{tenant}.a.b"].as_slice(),
            ),
            (Form::Segment, "eu-west-1_AbC123", &["a/b", "..", "a?b", "%2f", "ä", "{tenant}"]),
            (
                Form::Guid,
                "9188040d-6c67-4b5b-b112-36a304b66dad",
                &[
                    "contoso.com",
                    "common",
                    "9188040d6c674b5bb11236a304b66dad",
                    "9188040D-6C67-4B5B-B112-36A304B66DAD",
                ],
            ),
            (
                Form::Url,
                "https://id.example.com/auth",
                &["https://a/", "a", "https://a?b", "https://a#b", "https://me@a", "https://{tenant}.a.b"],
            ),
        ] {
            assert!(form.takes(good), "{good}");
            for bad in bad {
                assert!(!form.takes(bad), "{form:?} {bad}");
            }
        }
    }
}
