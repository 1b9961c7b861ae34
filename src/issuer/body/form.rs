//! `application/x-www-form-urlencoded`, as Django's `QueryDict` reads it.

use percent_encoding::percent_decode_str;

use super::super::media_type::latin1;
use super::Input;
use super::charset::{Charset, unsigned};

/// Never fails: a body that is no text of its charset is read as Latin-1, what is none behind its escapes is replaced, and a
/// name without a value has an empty one.
pub(super) fn parse(body: &[u8], charset: Charset) -> Vec<(String, Input)> {
    let text = match charset {
        Charset::Latin1 => None,
        Charset::Ascii => Some(body).filter(|body| body.is_ascii()),
        Charset::Utf8Signed => Some(unsigned(body)),
        Charset::Utf8 | Charset::Utf16 | Charset::Utf16Le | Charset::Utf16Be => Some(body),
    };
    let text =
        text.and_then(|text| std::str::from_utf8(text).ok()).map_or_else(|| latin1(body), str::to_owned);
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name, charset), decoded(value, charset).into())
        })
        .collect()
}

/// Only what is escaped is still bytes.
fn decoded(text: &str, charset: Charset) -> String {
    let text = text.replace('+', " ");
    let mut read = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (plain, following) = rest.split_at(rest.find(|c: char| c.is_ascii()).unwrap_or(rest.len()));
        let end = following.find(|c: char| !c.is_ascii()).unwrap_or(following.len());
        let (ascii, following) = following.split_at(end);
        read.push_str(plain);
        read.push_str(&charset.decode_lossy(&percent_decode_str(ascii).collect::<Vec<u8>>()));
        rest = following;
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expected(pairs: &[(&str, &str)]) -> Vec<(String, Input)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into())).collect()
    }

    #[test]
    fn reads_pairs() {
        let pairs = parse(b"a=1&b=x+y%20%C3%A9%zz&&c&=d&a=%ff%00", Charset::Utf8);
        let wanted = [("a", "1"), ("b", "x y é%zz"), ("c", ""), ("", "d"), ("a", "\u{fffd}\0")];
        assert_eq!(pairs, expected(&wanted));
    }

    #[test]
    fn reads_its_charset_and_latin_1_where_it_is_not_that() {
        assert_eq!(parse(b"a=\xe9%e9", Charset::Latin1), expected(&[("a", "éé")]));
        assert_eq!(parse(b"a=\xe9%c3%a9", Charset::Utf8), expected(&[("a", "éé")]));
        assert_eq!(parse(b"a=\xe9", Charset::Utf8), expected(&[("a", "é")]));
        assert_eq!(parse("a=é%C3%A9".as_bytes(), Charset::Utf8), expected(&[("a", "éé")]));
    }

    proptest! {
        #[test]
        fn reads_whatever_comes_in_any_charset(body: Vec<u8>, pairs in "([a&=+%é]|%[0-9a-f]{2}){0,40}") {
            for charset in [
                Charset::Utf8, Charset::Utf8Signed, Charset::Ascii, Charset::Latin1, Charset::Utf16, Charset::Utf16Le,
                Charset::Utf16Be,
            ] {
                parse(&body, charset);
                let most = pairs.split('&').filter(|pair| !pair.is_empty()).count();
                prop_assert_eq!(parse(pairs.as_bytes(), charset).len(), most);
            }
        }
    }
}
