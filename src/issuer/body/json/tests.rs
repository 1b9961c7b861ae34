use super::*;
use proptest::prelude::*;

fn parse(body: &[u8]) -> Result<Document, JsonError> {
    super::parse(body, Charset::Utf8)
}

fn fields(text: &str) -> Vec<(String, Input)> {
    match parse(text.as_bytes()) {
        Ok(Document::Object(fields)) => fields,
        Ok(_) => panic!("no object: {text}"),
        Err(error) => panic!("{error}: {text}"),
    }
}

fn error(text: &str) -> String {
    match parse(text.as_bytes()) {
        Ok(_) => panic!("taken: {text}"),
        Err(error) => error.to_string(),
    }
}

fn value(text: &str) -> Input {
    fields(&format!("{{\"a\":{text}}}")).remove(0).1
}

fn text(text: &str) -> Input {
    text.to_owned().into()
}

#[test]
fn reads_the_values_of_fields() {
    assert_eq!(value("\"x\""), text("x"));
    assert_eq!(value("null"), Input::Null);
    for other in ["true", "false", "[]", "[1,[2,{\"b\":3}]]", "{}", "{\"b\":{\"c\":null}}"] {
        assert_eq!(value(other), Input::NotText, "{other}");
    }
    for (number, printed) in [
        ("123", "123"),
        ("-0", "0"),
        ("-17", "-17"),
        ("1.50", "1.5"),
        ("1e5", "100000.0"),
        ("1e16", "1e+16"),
        ("123456789012345680.0", "1.2345678901234568e+17"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("-0.0", "-0.0"),
        ("1e999", "inf"),
        ("-1e999", "-inf"),
    ] {
        assert_eq!(value(number), text(printed), "{number}");
    }
}

#[test]
fn reads_escapes_and_notes_a_lone_surrogate() {
    assert_eq!(value(r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#), text("\"\\/\u{8}\u{c}\n\r\té😀"));
    for (escaped, surrogate) in [(r"\ud800", 0xd800), (r"\udc01\ud800", 0xdc01)] {
        let Input::Text(read) = value(&format!("\"{escaped}\"")) else { panic!("a text") };
        assert_eq!(read.surrogate, Some(surrogate), "{escaped}");
    }
    let Input::Text(read) = value(r#""\ud800\u0041""#) else { panic!("a text") };
    assert_eq!((read.text.as_str(), read.surrogate), ("\u{fffd}A", Some(0xd800)));
}

#[test]
fn keeps_all_members_of_one_name_in_their_order() {
    assert_eq!(fields(r#"{"a":1,"b":2,"a":3}"#).len(), 3);
}

#[test]
fn names_the_type_of_what_is_no_object() {
    for (body, name) in [("[]", "list"), ("\"a\"", "str"), ("1", "int"), ("1.0", "float"), ("true", "bool")] {
        assert!(matches!(parse(body.as_bytes()), Ok(Document::Other(found)) if found == name), "{body}");
    }
    assert!(matches!(parse(b" null "), Ok(Document::Null)));
}

/// Recorded from Python 3.11.
#[test]
fn complains_in_pythons_words() {
    for (body, message) in [
        (" ", "Expecting value: line 1 column 2 (char 1)"),
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("{\"a\":1,}", "Expecting property name enclosed in double quotes: line 1 column 8 (char 7)"),
        ("{\"a\"", "Expecting ':' delimiter: line 1 column 5 (char 4)"),
        ("{\"a\":", "Expecting value: line 1 column 6 (char 5)"),
        ("{\"a\":1", "Expecting ',' delimiter: line 1 column 7 (char 6)"),
        ("{\"a\":01}", "Expecting ',' delimiter: line 1 column 7 (char 6)"),
        ("{\"a\":-}", "Expecting value: line 1 column 6 (char 5)"),
        ("[1,]", "Expecting value: line 1 column 4 (char 3)"),
        ("[1 2]", "Expecting ',' delimiter: line 1 column 4 (char 3)"),
        ("{}\n x", "Extra data: line 2 column 2 (char 4)"),
        ("{\"é\n", "Invalid control character at: line 1 column 4 (char 3)"),
        ("{\n\"a", "Unterminated string starting at: line 2 column 1 (char 2)"),
        ("{\"a\\", "Unterminated string starting at: line 1 column 2 (char 1)"),
        ("{\"a\\x\":1}", "Invalid \\escape: line 1 column 4 (char 3)"),
        ("{\"\\u12\":1}", "Invalid \\uXXXX escape: line 1 column 4 (char 3)"),
        ("{\"\\u1", "Invalid \\uXXXX escape: line 1 column 4 (char 3)"),
        ("\u{feff}{}", "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)"),
        ("{\"a\":NaN}", "Out of range float values are not JSON compliant: 'NaN'"),
        ("nul", "Expecting value: line 1 column 1 (char 0)"),
    ] {
        assert_eq!(error(body), message, "{body:?}");
    }
}

#[test]
fn tells_where_a_body_is_no_utf8() {
    for (body, message) in [
        (&b"{\"\xff\":1}"[..], "byte 0xff in position 2: invalid start byte"),
        (b"{\"\xc3\":1}", "byte 0xc3 in position 2: invalid continuation byte"),
        (b"{\"\xe2\x82\":1}", "bytes in position 2-3: invalid continuation byte"),
    ] {
        let Err(error) = parse(body) else { panic!("{body:?}") };
        assert_eq!(error.to_string(), format!("'utf-8' codec can't decode {message}"));
    }
    let Err(error) = parse(b"{\"a\":1,\xe2\x82") else { panic!("it breaks off") };
    assert!(error.to_string().starts_with("Expecting property name"), "{error}");
}

#[test]
fn refuses_deep_nesting_and_endless_numbers() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(DEEPEST).as_bytes()).is_ok());
    assert!(error(&nested(DEEPEST + 1)).starts_with("Nested too deeply"));
    assert!(error(&"{\"a\":".repeat(10_000)).starts_with("Nested too deeply"));
    assert!(error(&"7".repeat(4_301)).starts_with("Exceeds the limit (4300 digits)"));
}

proptest! {
    #[test]
    fn takes_what_serde_json_takes(text in "[\\[\\]{}:, \"a0-9.eE+\\-\\\\u]{0,40}") {
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            prop_assert!(parse(text.as_bytes()).is_ok());
        }
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn never_panics_near_json(text in "([\\[\\]{}:, \"a\\-0-9.e]|\\\\u|d8|dc|00|\\\\|\n|null|true|\u{e9}){0,30}") {
        let _ = parse(text.as_bytes());
    }
}
