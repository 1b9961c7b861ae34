//! Reads whole files as the program does.

use std::path::Path;

use tollgate::config::{self, Config, Mistakes};

fn nothing_set(_: &str) -> Option<String> {
    None
}

fn read_text(text: &str) -> Result<Config, Mistakes> {
    config::read_text(text, Path::new("gateway.yaml"), &nothing_set)
}

#[test]
fn the_repositorys_own_file_is_valid_and_without_warnings() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.yaml");
    let config = config::read(&file, &nothing_set).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.warnings, []);
    assert!(config.development);
}

#[test]
fn what_its_comments_call_defaults_are_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let spoken = text
        .replace("  # workers:", "  workers:")
        .replace("  # trusted_proxies:", "  trusted_proxies:")
        .replace("  # shutdown_grace:", "  shutdown_grace:")
        .replace("  # limits:", "  limits:")
        .replace("    # identity:", "    identity:")
        .replace("    #   headers:", "      headers:")
        .replace("    #     X-", "        X-")
        .replace("    #   token:", "      token:");
    assert_ne!(spoken, text);
    let (said, unsaid) = (read_text(&spoken).unwrap(), read_text(&text).unwrap());
    assert_eq!(format!("{said:?}"), format!("{unsaid:?}"));
}
