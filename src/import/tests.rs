use proptest::prelude::*;

use super::*;

fn options(secret_files: bool) -> Options<'static> {
    Options {
        upstream: "http://127.0.0.1:8000",
        settings: Path::new("/site/mysite/settings.py"),
        secret_files,
    }
}

fn import(source: &str) -> Imported {
    simplejwt(source, &options(true)).unwrap_or_else(|error| panic!("{error}: {source}"))
}

/// A key of the result.
fn key(source: &str, path: &str) -> serde_json::Value {
    let yaml = import(source).yaml;
    let read: serde_json::Value =
        serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"));
    path.split('.').fold(read, |value, step| match step.parse::<usize>() {
        Ok(at) => value[at].clone(),
        Err(_) => value[step].clone(),
    })
}

#[test]
fn reads_lifetimes_however_they_are_written() {
    for (written, expected) in [
        ("timedelta(minutes=15)", "15m"),
        ("datetime.timedelta(0, 90)", "90s"),
        ("timedelta(days=1) * 7", "7d"),
        ("timedelta(hours=1) + timedelta(minutes=30)", "90m"),
        ("timedelta(seconds=60 * 60 * 2)", "2h"),
        ("timedelta(minutes=MINUTES)", "20m"),
        ("timedelta(hours=.5)", "30m"),
    ] {
        let source = format!("MINUTES = 10 + 2 * 5\nSIMPLE_JWT = {{'ACCESS_TOKEN_LIFETIME': {written}}}\n");
        assert_eq!(key(&source, "issuer.access_token_lifetime"), expected, "{written}");
    }
}

#[test]
fn follows_changes_from_top_to_bottom() {
    let source = "
BASE = {'ROTATE_REFRESH_TOKENS': False, 'ISSUER': 'a'}
SIMPLE_JWT = {**BASE, 'AUDIENCE': ['x'] + ['y']}
SIMPLE_JWT['ISSUER'] = 'b'
SIMPLE_JWT.update({'ROTATE_REFRESH_TOKENS': True})
SIMPLE_JWT |= dict(LEEWAY=10)
";
    assert_eq!(key(source, "providers.local.issuer"), "b");
    assert_eq!(key(source, "providers.local.audiences"), serde_json::json!(["x", "y"]));
    assert_eq!(key(source, "providers.local.leeway"), "10s");
    assert_eq!(key(source, "issuer.rotate_refresh_tokens"), true);
}

#[test]
fn does_not_follow_what_depends_on_a_condition() {
    let source = "
SIMPLE_JWT = {'ISSUER': 'a'}
if DEBUG:
    SIMPLE_JWT['ISSUER'] = 'b'
try: SIMPLE_JWT.update(ISSUER='c')
except Exception: pass
def later():
    SIMPLE_JWT['ISSUER'] = 'd'
";
    let imported = import(source);
    assert_eq!(key(source, "providers.local.issuer"), "a");
    let lines: Vec<u32> = imported
        .remarks
        .iter()
        .filter(|remark| remark.setting == "SIMPLE_JWT")
        .map(|remark| remark.line)
        .collect();
    assert_eq!(lines, [4, 5]);
}

#[test]
fn a_secret_of_the_settings_is_in_no_text() {
    let source = "
SECRET_KEY = 'django-insecure-0123456789-0123456789-0123456789'
DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'shop', 'USER': 'shop', 'PASSWORD': 'p@ss/w0rd'}}
";
    for secret_files in [true, false] {
        let imported = simplejwt(source, &options(secret_files)).expect("readable");
        let shown = format!("{} {imported:?}", imported.yaml);
        assert!(
            !shown.contains("0123456789-0123456789") && !shown.contains("p@ss") && !shown.contains("w0rd"),
            "{shown}"
        );
        assert_eq!(imported.secrets.is_empty(), !secret_files);
    }
    let (path, secret) = &import(source).secrets[0];
    assert_eq!(path, Path::new("secrets/signing-key"));
    assert_eq!(secret.expose(), b"django-insecure-0123456789-0123456789-0123456789\n");
}

#[test]
fn a_text_of_the_settings_writes_no_line_and_names_no_variable() {
    let source = "SIMPLE_JWT = {'ISSUER': 'a: ${HOME}', 'X\\n- y: z': 1}";
    let imported = import(source);
    assert_eq!(key(source, "providers.local.issuer"), "a: $${HOME}");
    assert!(imported.yaml.lines().all(|line| !line.starts_with("- y") && !line.starts_with("routes: []")));
}

#[test]
fn a_hostile_file_is_refused_or_read_in_a_moment() {
    let refused = |source: &str| simplejwt(source, &options(true)).expect_err("refused").kind;
    assert_eq!(refused(&"(".repeat(1_000_000)), UnreadableKind::TooDeep);
    assert_eq!(refused(&"x".repeat(10 << 20)), UnreadableKind::TooLarge);
    assert_eq!(refused("A = '\0"), UnreadableKind::OpenText);
    let doubling = format!("A = [1, 2]\n{}SIMPLE_JWT = {{'AUDIENCE': A}}\n", "A = A + A\n".repeat(200));
    let nested = format!("A = {}1{}\n", "f(".repeat(60), ")".repeat(60));
    let parents = format!("A = x{}\n", ".parents[0]".repeat(30));
    let chained = format!("A = 1{}\n", " + 1".repeat(200_000));
    let signs = format!("A = {}1\n", "-".repeat(500_000));
    let names = format!("if x: {}\n", "SIMPLE_JWT = ".repeat(70_000));
    let long = format!("SIMPLE_JWT{} = 1\n", "['a']".repeat(200_000));
    for source in [doubling, nested, parents, chained, signs, names, long] {
        import(&source);
    }
}

#[test]
fn every_setting_of_simplejwt_is_known() {
    for setting in simplejwt::SETTINGS {
        let imported = import(&format!("SIMPLE_JWT = {{'{setting}': unknown()}}"));
        let named = format!("SIMPLE_JWT[\"{setting}\"]");
        let silent = ["VERIFYING_KEY"].contains(&setting);
        assert_eq!(imported.remarks.iter().any(|remark| remark.setting == named), !silent, "{setting}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(source in "\\PC{0,200}") {
        let _ = simplejwt(&source, &options(true));
    }

    #[test]
    fn any_words_of_python_make_yaml(words in proptest::collection::vec(word(), 0..40)) {
        if let Ok(imported) = simplejwt(&words.concat(), &options(true)) {
            let read: Result<serde_json::Value, _> = serde_yaml::from_str(&imported.yaml);
            prop_assert!(read.is_ok(), "{}", imported.yaml);
        }
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "SIMPLE_JWT",
        "SECRET_KEY",
        "DATABASES",
        "INSTALLED_APPS",
        "A",
        " = ",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "\n",
        "\n",
        "'ISSUER'",
        "'AUDIENCE'",
        "'default'",
        "'ENGINE'",
        "'django.db.backends.mysql'",
        "'NAME'",
        ": ",
        ", ",
        ".update(",
        "timedelta(days=",
        "1",
        "-",
        "*",
        "**",
        "+",
        "/",
        "|=",
        "if x:\n  ",
        "lambda a, b: ",
        "os.environ['X']",
        "f'{x}'",
        "'${X}'",
        "# ",
        "\\\n",
        "\"\"\"",
        "Path(__file__)",
        ".parent",
        "=",
        ";",
    ])
}
