//! Replays what the fuzzers kept (`fuzz/corpus`): each input once found its own way through a reader of bytes.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

#[path = "../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| check(&input));
        assert!(outcome.is_ok(), "{} fails the check", path.display());
        inputs += 1;
    }
    assert!(inputs >= 10, "{inputs} inputs for {target}: the corpus is not there");
}

#[test]
fn tokens_of_the_corpus_pass_their_check() {
    replay("token", checks::token);
}

#[test]
fn tokens_of_the_corpus_made_of_parts_pass_their_check() {
    replay("token_of_parts", checks::token_of_parts);
}

#[test]
fn key_sets_of_the_corpus_pass_their_check() {
    replay("jwks", checks::jwks);
}

#[test]
fn paths_of_the_corpus_pass_their_check() {
    replay("path", checks::path);
}

#[test]
fn configurations_of_the_corpus_pass_their_check() {
    replay("config", checks::config);
}
