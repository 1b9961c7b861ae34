//! `docs/configuration.md`: its keys, limits and defaults are those of the reader, and its examples are read.
//!
//! The reader names the keys that it knows when it meets one that it does not; so an unknown key is put into every
//! section of some files that together have all sections.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_yaml::{Mapping, Value};
use tollgate::base::{Algorithm, ReasonCode};
use tollgate::config::{self, Config, MistakeKind, Mistakes};

use super::support::meaning;
use super::{Block, blocks, code, page, root, table_rows};

const PAGE: &str = "docs/configuration.md";

/// Files that differ in what their defaults are, by the words that the page has for them. `NAME` stands in the
/// places of names, as in the page.
const FILES: [(&str, &str); 18] = [
    (
        "usual",
        "server: { listeners: [{ address: '127.0.0.1:0', tls: { certificates: [{ certificate: a, key: b }] } }] }
providers: { NAME: { issuer: a, keys: { jwks_file: a }, algorithms: [RS256], audiences: [a] } }
issuer: { claims: { NAME: { query: 'SELECT ?', database: 'sqlite://a' } } }
upstreams: { NAME: { endpoints: [{ url: 'http://a' }] } }
routes:
  - match: { path: /* }
    auth: { providers: [NAME] }
    identity: { headers: { NAME: { claim: a } } }
    upstream: NAME",
    ),
    ("nothing else", "issuer: {}"),
    (
        "secrets",
        "providers: { NAME: { issuer: a, keys: { secret: '${LONG}' }, algorithms: [HS256], audiences: [a] } }
issuer: { algorithm: HS256, signing_key: '${LONG}' }",
    ),
    (
        "fetched keys",
        "providers: { NAME: { issuer: a, keys: { jwks_url: 'https://a/' }, refresh: {}, fetch: {}, algorithms: [RS256], audiences: [a] } }
routes: [{ match: { path: /* }, auth: { providers: NAME }, upstream: 'http://a' }]",
    ),
    (
        "guarded keys",
        "providers: { NAME: { issuer: a, keys: { jwks_url: 'https://a/' }, fetch: { credential: { basic: { username: a, password: '${LONG}' } }, client_certificate: { certificate: a, key: b } }, audiences: [a] } }
routes: [{ match: { path: /* }, auth: { providers: NAME }, upstream: 'http://a' }]",
    ),
    (
        "introspection",
        "providers: { NAME: { introspection: { endpoint: 'https://a/', client_id: a, client_secret: '${LONG}' }, fetch: {}, audiences: [a] } }
routes: [{ match: { path: /* }, auth: { providers: NAME }, upstream: 'http://a' }]",
    ),
    (
        "tenants",
        "providers: { NAME: { issuer: 'https://a/{tenant}', keys: { discovery: true }, audiences: [a], tenants: { allow: [a] } } }
routes: [{ match: { path: /* }, auth: { providers: NAME }, identity: { headers: { NAME: { from: tenant } } }, upstream: 'http://a' }]",
    ),
    (
        "stale",
        "providers: { NAME: { introspection: { endpoint: 'https://a/', client_id: a, client_secret: '${LONG}', on_error: stale }, audiences: [a] } }
routes: [{ match: { path: /* }, auth: { providers: NAME }, upstream: 'http://a' }]",
    ),
    ("own keys", "providers: { NAME: { issuer: a, keys: { own: true } } }\nissuer: {}"),
    (
        "simplejwt",
        "providers: { OWN: { issuer: a, keys: { own: true } } }\nissuer: { compatibility: simplejwt, signing_key: '${LONG}' }\nroutes: [{ match: { path: /* }, auth: { providers: OWN }, upstream: 'http://a' }]",
    ),
    ("hook", "issuer: { hook: { url: 'https://a/' } }"),
    (
        "user check",
        "providers: { OWN: { issuer: a, keys: { own: true } } }\nissuer: { paths: {} }\nroutes: [{ match: { path: /* }, auth: { providers: OWN, user_check: {} }, upstream: 'http://a' }]",
    ),
    (
        "django",
        "issuer: { users: { django: { database: 'sqlite://a', columns: {}, token_blacklist: { mirror: { token_text: false } } } } }",
    ),
    ("file", "issuer: { users: { file: a } }"),
    ("http", "issuer: { users: { http: { url: 'https://a/', fields: {}, fetch: {} } } }"),
    ("ldap", "issuer: { users: { ldap: { url: 'ldaps://a', user_dn: 'a={username}', attributes: {} } } }"),
    (
        "ldap search",
        "issuer: { users: { ldap: { url: 'ldaps://a', search: { base: a, filter: 'a={username}' } } } }",
    ),
    ("open route", "routes: [{ match: { path: /* }, auth: none, upstream: 'http://a' }]"),
];

/// Sections whose keys are names that the writer chose.
const NAMED: [&str; 4] = ["providers", "upstreams", "issuer.claims", "routes[].identity.headers"];

fn read(text: &str) -> Result<Config, Mistakes> {
    let environment = |_: &str| Some("0123456789abcdef".repeat(4));
    config::read_text(text, Path::new("gateway.yaml"), &environment)
}

fn read_value(file: &Value) -> Result<Config, Mistakes> {
    read(&serde_yaml::to_string(file).unwrap())
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// One row of a table of keys.
struct Row {
    path: String,
    value: String,
    default: String,
}

fn rows() -> Vec<Row> {
    let rows: Vec<Row> = table_rows(&page(PAGE), "key")
        .into_iter()
        .map(|cells| match cells.as_slice() {
            [path, value, default, _] => {
                Row { path: code(path).concat(), value: value.clone(), default: default.clone() }
            }
            _ => panic!("a row of {} cells: {cells:?}", cells.len()),
        })
        .collect();
    assert!(rows.len() > 70, "{}", rows.len());
    rows
}

/// The value at a path such as `routes[].match.path`, made if it is not there; `None` where another kind of value
/// is in the way. An item without brackets is a list of one.
fn place<'v>(file: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let mut value = file;
    for step in path.split('.') {
        let (key, item) = step.strip_suffix("[]").map_or((step, false), |key| (key, true));
        if value.is_null() {
            *value = Value::Mapping(Mapping::new());
        }
        value = value.as_mapping_mut()?.entry(key.into()).or_insert(Value::Null);
        if item && value.is_sequence() {
            value = value.as_sequence_mut()?.first_mut()?;
        }
    }
    Some(value)
}

/// The file with this value at this path, and the one with nothing there.
fn with_and_without(file: &str, path: &str, value: Value) -> Option<(Value, Value)> {
    let (mut with, mut without) = (yaml(file), yaml(file));
    *place(&mut with, path)? = value;
    place(&mut without, path)?;
    let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
    let section = if section.is_empty() { Some(&mut without) } else { place(&mut without, section) };
    section?.as_mapping_mut()?.remove(key);
    Some((with, without))
}

/// `routes[2].auth` as the page writes it.
fn general(path: &str) -> String {
    let path: String = path.chars().filter(|character| !character.is_ascii_digit()).collect();
    let mut steps: Vec<&str> = path.split('.').collect();
    if NAMED.contains(&steps[0]) && steps.len() > 1 {
        steps[1] = "NAME";
    }
    steps.join(".")
}

/// Puts a key that no reader knows into every section, and notes which one is where.
fn spoil(value: &mut Value, path: &str, spoiled: &mut BTreeMap<String, String>) {
    match value {
        Value::Sequence(items) => {
            items.iter_mut().for_each(|item| spoil(item, &format!("{path}[]"), spoiled));
        }
        Value::Mapping(section) if NAMED.contains(&path) => {
            section.iter_mut().for_each(|(_, value)| spoil(value, &format!("{path}.NAME"), spoiled));
        }
        Value::Mapping(section) => {
            let below = if path.is_empty() { String::new() } else { format!("{path}.") };
            for (key, value) in section.iter_mut() {
                spoil(value, &format!("{below}{}", key.as_str().unwrap()), spoiled);
            }
            let unknown = format!("unknown-{}", spoiled.len());
            section.insert(unknown.clone().into(), Value::Null);
            spoiled.insert(unknown, below);
        }
        _ => {}
    }
}

/// Every key that the reader knows.
fn known_keys() -> BTreeSet<String> {
    let full = fs::read_to_string(root("tests/data/config/valid-full.yaml")).unwrap();
    let mut known = BTreeSet::new();
    let files = FILES.iter().map(|(_, text)| (*text).to_owned());
    for text in files.chain([full, "server: { token_cache: {} }\nadmin: {}\nstate: {}\n".to_owned()]) {
        let mut spoiled = BTreeMap::new();
        let mut file = yaml(&text);
        spoil(&mut file, "", &mut spoiled);
        for mistake in &read_value(&file).expect_err("unknown keys") {
            let MistakeKind::UnknownKey(key) = &mistake.kind else { continue };
            let section = &spoiled[key];
            let hint = mistake.hint.as_deref().unwrap();
            let keys = hint.split("keys here: ").nth(1).unwrap().trim_end_matches(')');
            known.extend(keys.split(", ").map(|key| format!("{section}{key}")));
        }
    }
    // A list of one may stand without brackets.
    let sections_of_items = ["upstreams.NAME.endpoints", "server.listeners", "routes"];
    known.retain(|key| {
        !sections_of_items.iter().any(|list| key.strip_prefix(list).is_some_and(|rest| rest.starts_with('.')))
    });
    known
}

#[test]
fn every_key_that_the_reader_knows_has_its_row_and_no_other() {
    let rows: Vec<String> = rows().into_iter().map(|row| row.path).collect();
    let documented: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(documented.len(), rows.len(), "a key has two rows");
    let known = known_keys();
    let missing: Vec<_> = known.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not in the page: {missing:?}, not in the reader: {stale:?}"
    );
    // Or a section that no file here has would hide its keys.
    for row in self::rows().iter().filter(|row| row.value.contains("section")) {
        let below = format!("{}.", row.path);
        assert!(known.iter().any(|key| key.starts_with(&below)), "no file has keys below {}", row.path);
    }
}

/// The words before the brackets of a default, and what it is elsewhere: `30s` (own keys: `0s`).
fn defaults(cell: &str) -> (&str, Option<(&str, &str)>) {
    let Some((first, rest)) = cell.rsplit_once(" (") else { return (cell, None) };
    let (word, value) = rest.strip_suffix(')').and_then(|rest| rest.split_once(": ")).unwrap();
    (first, Some((word, code(value)[0])))
}

/// In how many files this default is what the reader takes where nothing is said; it must be so in all of them.
fn agreeing(row: &Row, default: &str, files: &[&str]) -> usize {
    let both = files.iter().filter_map(|file| with_and_without(file, &row.path, yaml(default)));
    let read = both.filter_map(|(with, without)| read_value(&with).ok().zip(read_value(&without).ok()));
    read.inspect(|(with, without)| assert_eq!(meaning(with), meaning(without), "{}: {default}", row.path))
        .count()
}

#[test]
fn every_default_is_the_one_that_the_reader_takes() {
    for row in rows() {
        let (first, elsewhere) = defaults(&row.default);
        let usual: Vec<&str> = FILES
            .iter()
            .filter(|(word, _)| elsewhere.is_none_or(|(other, _)| other != *word))
            .map(|(_, file)| *file)
            .collect();
        if first.starts_with('`') {
            assert!(agreeing(&row, code(first)[0], &usual) > 0, "{}: {first} can't be tried", row.path);
        } else if first.starts_with("required") {
            let refused = usual.iter().any(|file| {
                let removed = with_and_without(file, &row.path, Value::Null);
                removed.is_some_and(|(_, without)| without != yaml(file) && read_value(&without).is_err())
            });
            assert!(refused, "{} is not required", row.path);
        } else {
            assert!(first.starts_with("none"), "{}: {first}", row.path);
        }
        if let Some((word, default)) = elsewhere {
            let file = FILES.iter().find(|(known, _)| *known == word).unwrap_or_else(|| panic!("{word}"));
            assert_eq!(agreeing(&row, default, &[file.1]), 1, "{} ({word}: {default})", row.path);
        }
    }
}

/// The range that the reader tells of when a value is far out of it.
fn range(path: &str) -> Option<String> {
    let absurd = ["99999999999".into(), "36000d".into(), "999999GiB".into()].map(|text: String| yaml(&text));
    let files = FILES.iter().flat_map(|(_, file)| absurd.iter().map(move |value| (file, value)));
    let mut mistakes = files.filter_map(|(file, value)| {
        let (with, _) = with_and_without(file, path, value.clone())?;
        read_value(&with).err()
    });
    mistakes.find_map(|mistakes| {
        mistakes.iter().find_map(|mistake| match &mistake.kind {
            MistakeKind::OutOfRange { allowed, .. } => {
                Some(allowed.strip_suffix(" may stand here")?.to_owned())
            }
            _ => None,
        })
    })
}

#[test]
fn every_range_is_the_one_that_the_reader_takes() {
    let mut ranges = 0;
    for row in rows() {
        let written = row.value.contains("` to `");
        match range(&row.path) {
            Some(range) => {
                let (least, most) = range.split_once(" to ").unwrap();
                assert!(row.value.contains(&format!("`{least}` to `{most}`")), "{}: {range}", row.path);
                ranges += 1;
            }
            None => assert!(!written, "{} has no range", row.path),
        }
    }
    assert!(ranges > 12, "{ranges}");
}

#[test]
fn every_algorithm_is_named() {
    let row = rows().into_iter().find(|row| row.path == "providers.NAME.algorithms").unwrap();
    let page = page(PAGE);
    let line = page.lines().find(|line| line.starts_with(&format!("| `{}`", row.path))).unwrap();
    for algorithm in Algorithm::ALL {
        assert!(line.contains(algorithm.name()), "{algorithm}");
    }
}

#[test]
fn every_reason_of_the_page_is_one() {
    let words: Vec<&str> = ReasonCode::ALL.iter().map(|reason| reason.as_str()).collect();
    let page = page(PAGE);
    let rows = table_rows(&page, "reason");
    let named: Vec<&str> = rows.iter().flat_map(|cells| code(&cells[0])).collect();
    assert!(named.len() > 10, "{named:?}");
    for word in named {
        assert!(words.contains(&word), "{word}");
    }
}

/// Sections of which an example may leave out what it does not show.
const REST: &str = "
providers:
  company: { issuer: a, keys: { jwks_file: a }, algorithms: [RS256], audiences: [a] }
  local: { issuer: b, keys: { own: true } }
issuer: {}
upstreams: { app: { endpoints: [http://a] } }
routes: [{ match: { path: /* }, auth: none, upstream: http://a }]
";

/// Reads an example, which a list of mistakes may follow.
fn try_example(example: &Block, after: Option<&Block>) {
    let mistakes = after.filter(|block| block.language == "text");
    if let Some(expected) = mistakes {
        let found = read(&example.text).expect_err("an example of mistakes");
        assert_eq!(format!("{found}\n"), expected.text);
        return;
    }
    let Value::Mapping(mut file) = yaml(&example.text) else { panic!("no section: {}", example.text) };
    let alone = file.contains_key("routes") && file.contains_key("upstreams");
    if !alone {
        let Value::Mapping(rest) = yaml(REST) else { unreachable!("a section") };
        for (key, value) in rest {
            file.entry(key).or_insert(value);
        }
    }
    let config = read_value(&Value::Mapping(file));
    if let Err(mistakes) = config {
        panic!("{}\n{mistakes}", example.text);
    }
}

#[test]
fn every_example_is_read_and_every_mistake_is_worded_as_shown() {
    for path in [PAGE, "README.md", "docs/django.md"] {
        let blocks = blocks(&page(path));
        let examples = blocks.iter().enumerate().filter(|(_, block)| block.language == "yaml");
        let tried = examples.map(|(at, example)| try_example(example, blocks.get(at + 1))).count();
        assert!(tried > 0, "{path}");
    }
}

/// The keys and values of the last section, each with a value to try.
fn not_available() -> Vec<(String, Value)> {
    let page = page(PAGE);
    let section = page.split("\n## Not available yet\n").nth(1).unwrap();
    let list = section.split_once("\n- ").unwrap().1;
    code(list)
        .into_iter()
        .map(|item| match item.split_once(": ") {
            Some((path, value)) => (path.to_owned(), yaml(value)),
            None => (item.to_owned(), Value::Mapping(Mapping::new())),
        })
        .collect()
}

#[test]
fn what_is_called_not_available_is_refused_as_that() {
    for (path, value) in not_available() {
        let refused = FILES.iter().any(|(_, file)| {
            let Some((with, _)) = with_and_without(file, &path, value.clone()) else { return false };
            let mistakes = read_value(&with);
            mistakes.is_err_and(|mistakes| {
                mistakes.iter().any(|mistake| {
                    let later =
                        matches!(mistake.kind, MistakeKind::NotAvailable | MistakeKind::HttpsUpstream);
                    later && general(&mistake.path).starts_with(&path)
                })
            })
        });
        assert!(refused, "{path} is available, or no key at all");
    }
}

#[test]
fn what_is_not_available_is_called_that() {
    let golden = fs::read_to_string(root("tests/data/config/not-available.txt")).unwrap();
    let listed = not_available();
    for path in golden.lines().map(general) {
        let is_listed = listed.iter().any(|(listed, _)| {
            path == *listed || path.strip_prefix(listed.as_str()).is_some_and(|rest| rest.starts_with('['))
        });
        assert!(is_listed, "{path}");
    }
}
