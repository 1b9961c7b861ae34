//! Reads whole files as the program does.
//!
//! The wording of every mistake stands in `tests/data/config/*.txt`, beside the file that has it. After a wanted
//! change: `UPDATE_GOLDEN=1 cargo test --test config`, and read the difference.

#![expect(clippy::unwrap_used, reason = "the helpers below belong to the tests")]

#[path = "support/meaning.rs"]
#[allow(unreachable_pub, reason = "a module of each test binary")]
mod meaning;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use meaning::meaning;
use proptest::prelude::*;
use tollgate::config::{self, Config, MistakeKind, Mistakes};

const LONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn environment(name: &str) -> Option<String> {
    match name {
        "LONG" => Some(LONG.to_owned()),
        "SHORT" | "SHARED" | "SECRET" => Some("hunter2".to_owned()),
        "SHARED_HOST" => Some("shared.example".to_owned()),
        "EMPTY" => Some(String::new()),
        "PEM" => Some("-----BEGIN PUBLIC KEY-----\nMIIB".to_owned()),
        _ => None,
    }
}

fn read_text(text: &str) -> Result<Config, Mistakes> {
    config::read_text(text, Path::new("gateway.yaml"), &environment)
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn data(name: &str) -> String {
    fs::read_to_string(root("tests/data/config").join(name)).unwrap()
}

/// Compares with a file of the repository, or writes it.
fn assert_golden(name: &str, found: &str) {
    let path = root("tests/data/config").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{name} differs; UPDATE_GOLDEN=1 writes it anew");
}

/// Every file of the folder but those that are valid.
fn files_with_mistakes() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root("tests/data/config"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml") && !name.starts_with("valid-"))
        .collect();
    names.sort();
    names
}

fn mistakes_of(name: &str) -> Mistakes {
    config::read(&root("tests/data/config").join(name), &environment).expect_err(name)
}

#[test]
fn the_wording_of_every_mistake_is_as_agreed() {
    let mut kinds = BTreeSet::new();
    for name in files_with_mistakes() {
        let mistakes = mistakes_of(&name);
        let folder = format!("{}/", root("tests/data/config").display());
        assert_golden(&name.replace(".yaml", ".txt"), &format!("{mistakes}\n").replace(&folder, ""));
        kinds.extend(mistakes.iter().map(|mistake| kind_name(&mistake.kind)));
    }
    // Kinds that no file of this folder can have.
    kinds.extend(["Unreadable", "FileTooLarge", "ReadTwoWays"].map(str::to_owned));
    let known: BTreeSet<String> = kinds_in_the_source();
    assert!(known.len() > 40, "{known:?}");
    assert_eq!(known.difference(&kinds).collect::<Vec<_>>(), Vec::<&String>::new(), "never shown");
}

fn kind_name(kind: &MistakeKind) -> String {
    format!("{kind:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
}

fn kinds_in_the_source() -> BTreeSet<String> {
    let source = include_str!("../src/config/mistake.rs");
    let body = source.split_once("pub enum MistakeKind {").unwrap().1.split_once("\n}\n").unwrap().0;
    let variants = body.lines().filter_map(|line| line.strip_prefix("    "));
    let variants = variants.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    variants.map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()).collect()
}

#[test]
fn no_mistake_shows_what_a_variable_or_a_literal_secret_holds() {
    for name in files_with_mistakes() {
        let shown = format!("{0} {0:?}", mistakes_of(&name));
        for secret in [LONG, "hunter2", "correct-horse", "12345678", "MIIB"] {
            assert!(!shown.contains(secret), "{name}: {secret}");
        }
    }
}

#[test]
fn the_debug_output_of_a_configuration_shows_no_secret() {
    for name in ["valid-full.yaml", "valid-users-django.yaml", "valid-users-ldap.yaml"] {
        let shown = format!("{:?}", read_text(&data(name)).unwrap());
        assert!(shown.contains("[redacted]"), "{name}");
        assert!(!shown.contains("hunter2"), "{name}");
        let bytes = format!("{:?}", "hunter2".as_bytes());
        assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{name}");
    }
}

#[test]
fn every_key_is_read_as_it_is_meant() {
    for name in [
        "valid-full",
        "valid-defaults",
        "valid-simplejwt",
        "valid-users-django",
        "valid-users-http",
        "valid-users-ldap",
    ] {
        let config =
            read_text(&data(&format!("{name}.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_golden(&format!("{name}.txt"), &format!("{config:#?}\n"));
    }
}

/// No key is parsed and left without effect: without any one of its lines the file means something else, or
/// nothing at all.
#[test]
fn every_line_of_a_file_matters() {
    let text = data("valid-full.yaml");
    let whole = meaning(&read_text(&text).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        // The one word that may stand there in this version.
        if ["users: own", "format: json", "token_type: access"].contains(&line.trim()) {
            continue;
        }
        let rest: Vec<&str> =
            lines.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, line)| *line).collect();
        if let Ok(config) = read_text(&rest.join("\n")) {
            assert_ne!(meaning(&config), whole, "line {} has no effect: {line}", index + 1);
        }
    }
}

#[test]
fn the_repositorys_own_file_is_valid_and_without_warnings() {
    let config =
        config::read(&root("gateway.yaml"), &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.warnings, []);
    assert!(config.development);
    assert_eq!(config.state_directory, root("data"));
}

#[test]
fn what_its_comments_call_defaults_are_the_defaults() {
    let text = fs::read_to_string(root("gateway.yaml")).unwrap();
    let mut spoken = text.clone();
    for key in ["workers:", "trusted_proxies:", "shutdown_grace:", "limits:", "token_cache:", "identity:"] {
        assert!(text.contains(&format!("# {key}")), "{key}");
        spoken = spoken.replace(&format!("# {key}"), key);
    }
    spoken = spoken.replace("    #   headers:", "      headers:").replace("    #     X-", "        X-");
    spoken = spoken.replace("    #   token:", "      token:");
    let (said, unsaid) = (read_text(&spoken).unwrap(), read_text(&text).unwrap());
    assert_eq!(meaning(&said), meaning(&unsaid));
}

/// The product's whole interface, sketched before its parts were built: each of its keys is read, or refused as
/// one that will be.
#[test]
fn every_key_of_the_sketch_is_read_or_refused_as_not_available() {
    let sketch = fs::read_to_string(root("tests/data/gateway.example.yaml")).unwrap();
    let documents: Vec<&str> = sketch.split("\n---\n").collect();
    let whole: Vec<String> = documents[1].lines().map(uncommented).collect();
    let mistakes = read_text(&whole.join("\n")).expect_err("not all of it is built");
    for mistake in &mistakes {
        let later = matches!(mistake.kind, MistakeKind::NotAvailable | MistakeKind::HttpsUpstream);
        assert!(later, "{mistake}");
    }
    let paths: Vec<String> = mistakes.iter().map(|mistake| format!("{}\n", mistake.path)).collect();
    assert_golden("not-available.txt", &paths.concat());
}

/// The sketch's last document.
#[test]
fn the_smallest_useful_file_needs_no_server_section() {
    let sketch = fs::read_to_string(root("tests/data/gateway.example.yaml")).unwrap();
    let smallest = sketch.rsplit("\n---\n").next().unwrap();
    let config = read_text(smallest).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.warnings, []);
}

#[test]
fn without_listeners_it_listens_on_loopback_in_plain_text() {
    let rest = "issuer: {}\n";
    let said =
        read_text(&format!("server: {{ listeners: [{{ address: \"127.0.0.1:8080\" }}] }}\n{rest}")).unwrap();
    for unsaid in ["", "server:\n", "server: {}\n", "server: { workers: auto }\n", "development: false\n"] {
        let unsaid = read_text(&format!("{unsaid}{rest}")).unwrap();
        assert_eq!(meaning(&unsaid), meaning(&said));
    }
    let mistakes =
        read_text(&format!("admin: {{ address: \"127.0.0.1:8080\" }}\n{rest}")).expect_err("taken");
    let found: Vec<_> = mistakes.iter().map(|mistake| (kind_name(&mistake.kind), &*mistake.path)).collect();
    assert_eq!(found, [("AddressTaken".to_owned(), "admin.address")]);
    read_text(&format!("server: {{ listeners: [] }}\n{rest}")).expect_err("an empty list is a mistake");
}

/// A key in a comment, `# key: value`, as if it were none. `development` would ask for other addresses.
fn uncommented(line: &str) -> String {
    let bare = line.trim_start();
    let Some(comment) = bare.strip_prefix("# ") else { return line.to_owned() };
    let key = comment.trim_start().split([':', ' ']).next().unwrap_or("");
    let is_key = !key.is_empty()
        && key != "development"
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && [": ", ":\n"]
            .iter()
            .any(|end| format!("{}\n", comment.trim_start())[key.len()..].starts_with(end));
    if is_key { format!("{}{comment}", &line[..line.len() - bare.len()]) } else { line.to_owned() }
}

const BASE: &str = "server: { listeners: [{ address: \"127.0.0.1:0\" }] }\n";

/// What the sketch shows beside its keys: other values that will be taken.
#[test]
fn other_values_of_the_sketch_are_refused_as_not_available() {
    let route = "upstreams: { u: { builtin: echo } }\nproviders: { p: { issuer: a, algorithms: [RS256], audiences: \
                 [a], keys: { jwks_file: a } } }\nroutes: [{ match: { path: / }, upstream: u, auth: { providers: p";
    let cases = [
        (format!("{route}, mode: observe }} }}]\n"), "routes[0].auth.mode"),
        (format!("{route} }}, identity: {{ token: assertion }} }}]\n"), "routes[0].identity.token"),
    ];
    for (text, path) in cases {
        let issuer_alone = if text.starts_with("providers") { "issuer: {}\n" } else { "" };
        let mistakes = read_text(&format!("{BASE}{issuer_alone}{text}")).expect_err(&text);
        let found: Vec<_> = mistakes.iter().map(|mistake| (&mistake.kind, mistake.path.as_str())).collect();
        assert_eq!(found, [(&MistakeKind::NotAvailable, path)], "{text}");
    }
}

/// Each text has a mark, `‸`, where its mistake is.
#[test]
fn a_mistake_is_pointed_at_where_it_stands() {
    let cases = [
        ("‸servers: {}\n", "UnknownKey"),
        ("issuer:\n  ‸user: own\n", "UnknownKey"),
        ("issuer:\n  users: ‸other\n", "Expected"),
        ("issuer:\n  access_token_lifetime: ‸0s\n", "OutOfRange"),
        ("issuer: {}\n‸issuer: {}\n", "DuplicateKey"),
        ("issuer: {}\nupstreams:\n  ‸a: {}\n", "Missing"),
        ("issuer: {}\nupstreams:\n  a: { endpoints: [‸https://a] }\n", "HttpsUpstream"),
        ("issuer: {}\nupstreams: { a: { endpoints: [http://a, ‸http://b] } }\n", "NotAvailable"),
        (
            "routes:\n  - name: a\n    match: { path: /é, methods: [‸get] }\n    auth: none\n    upstream: http://a\n",
            "Pattern",
        ),
        ("routes:\n  - ‸name: a\n    match: { path: / }\n    upstream: http://a\n", "RouteWithoutAuth"),
        (
            "routes:\n  - match: { path: / }\n    auth: { providers: [‸a] }\n    upstream: http://a\n",
            "NoSuchProvider",
        ),
        ("routes:\n  - match: { path: / }\n    auth: none\n    upstream: ‸a\n", "NoSuchUpstream"),
        ("routes:\n  - match: { path: / }\n    auth: none\n    upstream: ${‸\n", "BadSubstitution"),
        ("issuer: { algorithm: HS256, signing_key: ‸\"${SHORT}\" }\n", "ShortSecret"),
        ("issuer: { algorithm: HS256, signing_key: ‸secret }\n", "LiteralSecret"),
        ("‸issuer: { algorithm: HS256 }\n", "SigningKeyNeeded"),
        ("issuer: { signing_key: $‸{SHORT} }\n", "Syntax"),
        ("issuer: ‸&a\n", "Alias"),
        ("issuer: ‸!a {}\n", "Tag"),
    ];
    for (marked, kind) in cases {
        let marked = format!("{BASE}{}", marked.replace("upstream: ${‸", "upstream: ‸${"));
        let (before, _) = marked.split_once('‸').unwrap();
        let line = before.lines().count() + usize::from(before.ends_with('\n'));
        let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
        let mistakes = read_text(&marked.replace('‸', "")).expect_err(&marked);
        let found: Vec<_> =
            mistakes.iter().map(|mistake| (kind_name(&mistake.kind), mistake.place)).collect();
        assert!(
            found.contains(&(kind.to_owned(), (line, column))),
            "{marked}\nwanted {line}:{column}, {mistakes}"
        );
    }
}

#[test]
fn warns_of_what_is_allowed_but_deserves_a_word() {
    let text = format!(
        "{BASE}providers:\n  p: {{ issuer: a, keys: {{ secret: \"${{NONE:-{LONG}}}\" }}, algorithms: [HS256], \
         audiences: any }}\nissuer: {{ rotate_refresh_tokens: false, blacklist_after_rotation: true }}\n\
         upstreams:\n  u: {{ builtin: echo }}\n"
    );
    let config = read_text(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_golden("warnings.txt", &format!("{}\n", warnings.join("\n")));
}

#[test]
fn warns_of_rules_that_the_gateways_own_tokens_break() {
    let warnings = |rules: &str, issuer: &str| {
        let text = format!(
            "{BASE}providers:\n  own: {{ issuer: a, keys: {{ own: true }}, {rules} }}\nissuer: {issuer}\n"
        );
        let config = read_text(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        config.warnings.iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
    };
    let broken = |rule: &str| vec![format!("every access token that is issued breaks providers.own.{rule}")];
    assert_eq!(warnings("typ: at+jwt", "{}"), broken("typ"));
    assert_eq!(warnings("typ: [at+jwt, jwt]", "{}"), Vec::<String>::new());
    assert_eq!(warnings("authorized_parties: web", "{}"), broken("authorized_parties"));
    let adds = "{ claims: { azp: { value: web } } }";
    assert_eq!(warnings("authorized_parties: web", adds), Vec::<String>::new());
    assert_eq!(warnings("max_lifetime: 299s", "{}"), broken("max_lifetime"));
    assert_eq!(warnings("max_lifetime: 5m", "{}"), Vec::<String>::new());
}

#[test]
fn warns_where_two_tenants_may_give_one_subject() {
    let warnings = |allow: &str, headers: &str| {
        let text = format!(
            "providers: {{ p: {{ issuer: 'https://a/{{tenant}}', keys: {{ discovery: true }}, audiences: [a], tenants: \
             {{ allow: {allow} }} }} }}\nroutes: [{{ match: {{ path: /* }}, auth: {{ providers: p }}, identity: \
             {{ headers: {{ {headers} }} }}, upstream: 'http://a' }}]\n"
        );
        read_text(&text).unwrap_or_else(|mistakes| panic!("{mistakes}")).warnings.len()
    };
    for allow in ["any", "[b, c]"] {
        assert_eq!(warnings(allow, "X-User: sub"), 1, "{allow}");
        assert_eq!(warnings(allow, "X-User: sub, X-Tenant: { from: tenant }"), 0, "{allow}");
        assert_eq!(warnings(allow, "X-User: sub, X-Issuer: { from: issuer }"), 0, "{allow}");
    }
    assert_eq!(warnings("[b]", "X-User: sub"), 0, "one tenant is one issuer");
}

#[test]
fn warns_where_one_subject_may_be_two_people() {
    let warnings = |providers: &str, identity: &str| {
        let provider = |name: &str, issuer: &str| {
            format!(
                "  {name}: {{ issuer: {issuer}, keys: {{ jwks_file: a }}, algorithms: [RS256], audiences: [a] }}\n"
            )
        };
        let text = format!(
            "{BASE}providers:\n{}{}{}{}{}routes:\n  - match: {{ path: /* }}\n    auth: {{ providers: {providers} }}\n    \
             identity: {identity}\n    upstream: http://a\n",
            provider("one", "https://one"),
            provider("one-too", "https://one"),
            provider("two", "https://two"),
            provider("any", "any"),
            provider("any-too", "any"),
        );
        let config = read_text(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let subject = "{ headers: { X-Id: sub } }";
    for providers in ["[one, two]", "[one, one-too, two]", "[one, any]", "[any, any-too]"] {
        let found = warnings(providers, subject);
        assert_eq!(found.len(), 1, "{providers}: {found:?}");
        assert!(
            found[0].contains("routes[0].identity: ") && found[0].contains("may give one subject"),
            "{found:?}"
        );
    }
    for providers in ["one", "any", "[one, one-too]"] {
        assert_eq!(warnings(providers, subject), Vec::<String>::new(), "{providers}");
    }
    for told in [
        "{}",
        "{ headers: { X-Id: sub, X-Issuer: { from: issuer, optional: true } } }",
        "{ headers: { X-Id: sub, X-Issuer: iss } }",
        "{ headers: {} }",
    ] {
        assert_eq!(warnings("[one, two]", told), Vec::<String>::new(), "{told}");
    }
    // Neither of them has an issuer to tell of.
    assert_eq!(warnings("[any, any-too]", "{}").len(), 1);
}

#[test]
fn names_a_file_that_cannot_be_read() {
    let missing = config::read(Path::new("no/such.yaml"), &|_| None).expect_err("no file");
    assert_eq!(missing.len(), 1);
    assert!(missing.to_string().starts_with("no/such.yaml: the file can't be read: "), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, b"a: \xff").unwrap();
    let latin = config::read(&file, &|_| None).expect_err("no UTF-8");
    assert!(matches!(latin.iter().next().unwrap().kind, MistakeKind::Unreadable(_)));
    fs::write(&file, vec![b'#'; 2 << 20]).unwrap();
    let huge = config::read(&file, &|_| None).expect_err("too large");
    assert!(matches!(huge.iter().next().unwrap().kind, MistakeKind::FileTooLarge { .. }));
}

#[test]
fn a_secret_file_loses_one_newline_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, format!("{BASE}issuer: {{ algorithm: HS256, signing_key: file:key }}\n")).unwrap();
    for (written, meant) in [("\n", ""), ("\r\n", ""), ("\n\n", "\n"), ("", ""), (" ", " ")] {
        fs::write(folder.path().join("key"), format!("{LONG}{written}")).unwrap();
        let issuer = config::read(&file, &|_| None).unwrap().issuer.unwrap();
        assert_eq!(issuer.signing_key.unwrap().expose(), format!("{LONG}{meant}").as_bytes(), "{written:?}");
    }
}

#[test]
fn reads_a_file_that_an_editor_began_with_a_byte_order_mark() {
    let mistakes =
        read_text(&format!("\u{feff}{BASE}issuers: {{}}\nissuer: {{}}\n")).expect_err("unknown key");
    assert_eq!(mistakes.iter().map(|mistake| mistake.place).collect::<Vec<_>>(), [(2, 1)]);
}

/// A change to a text: at this place, so much taken out, and that put in.
#[derive(Debug, Clone)]
struct Edit(prop::sample::Index, usize, &'static str);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let pieces = [
        "", " ", "\n", "  ", ":", ": ", "- ", "[", "]", "{", "}", "\"", "'", "|", ">", "#", "&a", "*a", "!",
        "%", "${", "}", "~", "null", "true", "-1", "1e99", "any", "none", "own", "\t", "é", "\u{feff}", "\0",
        "?", ",", "<<",
    ];
    let edit = (any::<prop::sample::Index>(), 0usize..12, prop::sample::select(pieces.to_vec()));
    prop::collection::vec(edit.prop_map(|(at, length, piece)| Edit(at, length, piece)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_edited_file_is_read_or_refused_with_places_in_it(own in any::<bool>(), edits in edits()) {
        let mut text: Vec<char> = if own { include_str!("../gateway.yaml") } else { include_str!("data/config/valid-full.yaml") }
            .chars()
            .collect();
        for Edit(at, length, piece) in edits {
            let at = at.index(text.len() + 1);
            text.splice(at..(at + length).min(text.len()), piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(mistakes) = read_text(&text) {
            prop_assert!(mistakes.len() > 0);
            for mistake in &mistakes {
                prop_assert!(mistake.place.0 >= 1 && mistake.place.1 >= 1);
                prop_assert!(mistake.place.0 <= text.lines().count() + 1, "{mistake}");
            }
        }
    }
}
