//! `docs/simplejwt.md`: each setting of SimpleJWT has its row, and each key that a row names is one of the file's.

use std::collections::BTreeSet;

use super::{blocks, code, page, table_rows};

const PAGE: &str = "docs/simplejwt.md";

/// The settings of release 5.5.1, as its documentation lists them.
const SETTINGS: [&str; 34] = [
    "ACCESS_TOKEN_LIFETIME",
    "REFRESH_TOKEN_LIFETIME",
    "ROTATE_REFRESH_TOKENS",
    "BLACKLIST_AFTER_ROTATION",
    "UPDATE_LAST_LOGIN",
    "ALGORITHM",
    "SIGNING_KEY",
    "VERIFYING_KEY",
    "AUDIENCE",
    "ISSUER",
    "JSON_ENCODER",
    "JWK_URL",
    "LEEWAY",
    "AUTH_HEADER_TYPES",
    "AUTH_HEADER_NAME",
    "USER_ID_FIELD",
    "USER_ID_CLAIM",
    "USER_AUTHENTICATION_RULE",
    "AUTH_TOKEN_CLASSES",
    "TOKEN_TYPE_CLAIM",
    "JTI_CLAIM",
    "TOKEN_USER_CLASS",
    "SLIDING_TOKEN_REFRESH_EXP_CLAIM",
    "SLIDING_TOKEN_LIFETIME",
    "SLIDING_TOKEN_REFRESH_LIFETIME",
    "TOKEN_OBTAIN_SERIALIZER",
    "TOKEN_REFRESH_SERIALIZER",
    "TOKEN_VERIFY_SERIALIZER",
    "TOKEN_BLACKLIST_SERIALIZER",
    "SLIDING_TOKEN_OBTAIN_SERIALIZER",
    "SLIDING_TOKEN_REFRESH_SERIALIZER",
    "CHECK_REVOKE_TOKEN",
    "REVOKE_TOKEN_CLAIM",
    "CHECK_USER_IS_ACTIVE",
];

#[test]
fn each_setting_has_a_row_and_no_other_thing_has() {
    let rows = table_rows(&page(PAGE), "setting");
    let named: Vec<&str> = rows.iter().map(|row| code(&row[0])[0]).collect();
    assert_eq!(named, SETTINGS);
}

/// The rows of `configuration.md` are compared with the reader by another test.
#[test]
fn each_key_that_is_named_is_read() {
    let rows = table_rows(&page("docs/configuration.md"), "key");
    let known: BTreeSet<String> = rows.iter().map(|row| code(&row[0]).concat()).collect();
    let rows = table_rows(&page(PAGE), "setting");
    let named: Vec<&str> = rows.iter().flat_map(|row| code(&row[1])).collect();
    assert!(named.len() > 25, "{named:?}");
    for key in named {
        assert!(known.contains(key), "{key}");
    }
    // A row without a key says why.
    for row in rows.iter().filter(|row| row[1] == "none") {
        assert!(row.get(2).is_some_and(|why| !why.is_empty()), "{row:?}");
    }
}

#[test]
fn the_example_is_read() {
    let blocks = blocks(&page(PAGE));
    let [example] = &blocks[..] else { panic!("{} examples", blocks.len()) };
    let secret = |_: &str| Some("0123456789abcdef".repeat(4));
    if let Err(mistakes) = tollgate::config::read_text(&example.text, "gateway.yaml".as_ref(), &secret) {
        panic!("{mistakes}");
    }
}
