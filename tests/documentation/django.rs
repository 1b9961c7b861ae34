//! `docs/django.md`: its code is that of the site which `tests/django.rs` starts behind a real gateway.

use std::fs;

use super::{blocks, code, page, root};

fn site(file: &str) -> String {
    fs::read_to_string(root("tests/data/django/application").join(file)).unwrap()
}

#[test]
fn the_code_is_that_of_the_site_that_is_tested() {
    let files = [site("remote_user.py"), site("settings.py")];
    let blocks = blocks(&page("docs/django.md"));
    let python: Vec<_> = blocks.iter().filter(|block| block.language == "python").collect();
    assert_eq!(python.len(), files.len());
    for (block, file) in python.iter().zip(files) {
        assert!(file.ends_with(&block.text), "{}", block.text);
    }
}

/// Whom the site logs in is whom the gateway names by default, under the name that WSGI makes of the header.
#[test]
fn the_header_is_one_that_the_gateway_sets_by_default() {
    let file = "issuer: {}\nproviders: { p: { issuer: a, keys: { own: true } } }\n\
                routes: { match: { path: /* }, auth: { providers: p }, upstream: 'http://a' }";
    let read = tollgate::config::read_text(file, "gateway.yaml".as_ref(), &|_| None).unwrap();
    let headers = read.routes[0].identity.headers.iter();
    let sent: Vec<String> = headers.map(|header| header.name.as_str().to_owned()).collect();
    let rows = super::table_rows(&page("docs/django.md"), "header");
    let mut told: Vec<String> = rows.iter().map(|row| code(&row[0])[0].to_lowercase()).collect();
    told.sort_by_key(|name| sent.iter().position(|sent| sent == name));
    assert_eq!(told, sent);
    let variable = "HTTP_X_USER_NAME";
    assert!(site("remote_user.py").contains(&format!("header = \"{variable}\"")));
    assert!(sent.iter().any(|name| format!("HTTP_{}", name.replace('-', "_").to_uppercase()) == variable));
}

/// The spellings that the page lists are those that the test of the real site sends.
#[test]
fn the_spellings_are_those_that_are_tried_on_the_site() {
    let test = fs::read_to_string(root("tests/django.rs")).unwrap();
    let page = page("docs/django.md");
    let list = page.rsplit("could take for it\n(").next().unwrap().split(')').next().unwrap();
    let spellings = code(list);
    assert_eq!(spellings.len(), 4);
    let quoted: Vec<String> = spellings.iter().map(|spelling| format!("{spelling:?}")).collect();
    assert!(test.contains(&format!("[{}]", quoted.join(", "))), "{quoted:?}");
}
