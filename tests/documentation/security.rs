//! `docs/security.md`: every test that it names is there, and is a test.

use std::fs;

use super::{code, page, root, table_rows};

/// Whether the file has a test of this name, in one of the three ways in which tests are written here.
fn has_test(source: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let attributes = |line: &&str| line.trim_start().starts_with("#[") || line.trim_start().starts_with("//");
    let lines: Vec<&str> = source.lines().collect();
    let is_marked = lines.iter().enumerate().any(|(at, line)| {
        let above = lines[..at].iter().rev().take_while(|line| attributes(line));
        let is_test = |line: &&str| ["#[test]", "#[tokio::test"].iter().any(|mark| line.contains(mark));
        line.contains(&function) && above.clone().any(is_test)
    });
    // `add` makes one trial for each database.
    is_marked || ["trial", "add"].iter().any(|call| source.contains(&format!("{call}(\"{name}\"")))
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let rows = table_rows(&page("docs/security.md"), "attack");
    assert!(rows.len() > 40, "{}", rows.len());
    let mut named = 0;
    for row in &rows {
        let [attack, answer, tests] = row.as_slice() else { panic!("{row:?}") };
        assert!(!answer.is_empty(), "{attack}");
        let mut source = None;
        for word in code(tests) {
            if word.contains('/') {
                let text = fs::read_to_string(root(word)).unwrap_or_else(|error| panic!("{word}: {error}"));
                source = Some((word, text));
            } else {
                let (file, text) = source.as_ref().unwrap_or_else(|| panic!("{attack}: no file for {word}"));
                assert!(has_test(text, word), "{file} has no test {word}");
                named += 1;
            }
        }
        assert!(source.is_some(), "{attack}: no test");
    }
    assert!(named > 60, "{named}");
}

#[test]
fn a_function_that_is_no_test_does_not_count() {
    assert!(has_test("#[test]\nfn a() {", "a"));
    assert!(has_test("#[tokio::test]\n// why\nasync fn a() {", "a"));
    assert!(has_test("trial(\"a\", None, || {", "a"));
    assert!(!has_test("fn a() {", "a"));
    assert!(!has_test("#[test]\nfn b() {}\nfn a() {", "a"));
    assert!(!has_test("#[test]\nfn ab() {", "a"));
}
