//! `tollgate import simplejwt`: settings files of many kinds, and what is made of them.
//!
//! Beside each `tests/data/import/NAME.py` stands the file that it becomes, `NAME.yaml`, which names all remarks. After
//! a wanted change: `UPDATE_GOLDEN=1 cargo test --test import`, and read the difference.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tollgate::config;
use tollgate::import::{Options, simplejwt};

/// What makes a literal secret of the settings files findable.
const SECRETS: [&str; 5] = ["not-a-secret", "an-insecure-default", "p%40ss", "p@ss", "w/0rd"];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import")
}

fn settings_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .collect();
    files.sort();
    assert!(files.len() >= 12, "{files:?}");
    files
}

/// Runs the program in a folder.
fn tollgate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn settings_of_many_kinds_become_what_stands_beside_them() {
    for path in settings_files() {
        let name = path.file_name().unwrap();
        let settings = Path::new("/site/shop").join(name);
        let options = Options { upstream: "http://127.0.0.1:8000", settings: &settings, secret_files: true };
        let imported = simplejwt(&fs::read_to_string(&path).unwrap(), &options).unwrap();
        let golden = path.with_extension("yaml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &imported.yaml).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(imported.yaml, expected, "{} differs; UPDATE_GOLDEN=1 writes it anew", golden.display());
    }
}

#[test]
fn what_is_written_is_a_valid_file_and_holds_no_secret() {
    let environment = |name: &str| {
        Some(match name {
            "DATABASE_URL" => "sqlite:///site/db.sqlite3".to_owned(),
            "DB_PORT" => "5432".to_owned(),
            "ROTATE" => "true".to_owned(),
            _ => "x".repeat(64),
        })
    };
    for path in settings_files() {
        // Keys that only a variable or a file of the site itself could give.
        if ["rs256.py"].contains(&path.file_name().unwrap().to_str().unwrap()) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let output = tollgate(
            folder.path(),
            &["import", "simplejwt", path.to_str().unwrap(), "--output", "gateway.yaml"],
        );
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let yaml = fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
        for secret in SECRETS {
            for shown in [&yaml, &stdout, &stderr] {
                assert!(!shown.contains(secret), "{}: {shown}", path.display());
            }
        }
        for line in stderr.lines() {
            let remark = line.split_once(".py: ").unwrap().1;
            assert!(yaml.contains(&format!("# - {remark}\n")), "{remark} is not at the head of\n{yaml}");
        }
        config::read(&folder.path().join("gateway.yaml"), &environment)
            .unwrap_or_else(|mistakes| panic!("{}: {mistakes}\n{yaml}", path.display()));
    }
}

#[test]
fn a_secret_is_written_where_only_its_owner_reads_it_and_nothing_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let settings = data().join("project.py");
    let arguments = [
        "import",
        "simplejwt",
        settings.to_str().unwrap(),
        "--output",
        "gateway.yaml",
        "--upstream",
        "http://127.0.0.1:9",
    ];
    let output = tollgate(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let key = folder.path().join("secrets/signing-key");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(key.parent().unwrap())), (0o600, 0o700));
    assert!(fs::read_to_string(&key).unwrap().starts_with("django-insecure-7p@3z"));
    let check = tollgate(folder.path(), &["check"]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stderr));
    assert!(fs::read_to_string(folder.path().join("gateway.yaml")).unwrap().contains("http://127.0.0.1:9"));

    fs::remove_file(folder.path().join("gateway.yaml")).unwrap();
    let again = tollgate(folder.path(), &arguments);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("secrets/signing-key is there already"), "{}", text(&again.stderr));
    assert!(!folder.path().join("gateway.yaml").exists(), "nothing was written");
}

#[test]
fn without_an_output_file_it_prints_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = data().join("project.py");
    let output = tollgate(folder.path(), &["import", "simplejwt", settings.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let yaml = text(&output.stdout);
    assert!(yaml.contains("signing_key: \"${SIGNING_KEY}\"") && !yaml.contains("7p@3z"), "{yaml}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_exit_code_tells_what_became_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| tollgate(folder.path(), &[&["import", "simplejwt"], arguments].concat());
    let custom = data().join("custom.py");
    assert_eq!(run(&[custom.to_str().unwrap()]).status.code(), Some(0));
    assert_eq!(run(&[custom.to_str().unwrap(), "--strict"]).status.code(), Some(1));
    let absent = run(&["absent.py"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(text(&absent.stderr).starts_with("absent.py: "), "{}", text(&absent.stderr));
    fs::write(folder.path().join("deep.py"), "[".repeat(100_000)).unwrap();
    let deep = run(&["deep.py"]);
    assert_eq!(deep.status.code(), Some(2));
    assert_eq!(text(&deep.stderr), "deep.py: line 1: brackets are nested more than 64 deep\n");
    fs::write(folder.path().join("large.py"), "a = 1\n".repeat(10 << 20 >> 2)).unwrap();
    let large = run(&["large.py"]);
    assert_eq!(text(&large.stderr), "large.py: line 1: the file is larger than 1 MiB\n");
}

#[test]
fn a_settings_file_is_never_executed() {
    let folder = tempfile::tempdir().unwrap();
    let source = "open('made', 'w').write('x')\nimport os; os.system('touch made')\nSECRET_KEY = __import__('os').popen('touch made')\n";
    fs::write(folder.path().join("settings.py"), source).unwrap();
    assert_eq!(tollgate(folder.path(), &["import", "simplejwt", "settings.py"]).status.code(), Some(0));
    assert!(!folder.path().join("made").exists());
}
