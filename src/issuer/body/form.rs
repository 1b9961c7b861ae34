//! `application/x-www-form-urlencoded`, as Django's `QueryDict` reads it.

use percent_encoding::percent_decode;

use super::Input;

/// Never fails: what is no UTF-8 is replaced, and a name without a value has an empty one.
pub(super) fn parse(body: &[u8]) -> Vec<(String, Input)> {
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            (decoded(name), decoded(value).into())
        })
        .collect()
}

fn decoded(text: &[u8]) -> String {
    let text: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pairs() {
        let pairs = parse(b"a=1&b=x+y%20%C3%A9%zz&&c&=d&a=%ff%00");
        let expected = [("a", "1"), ("b", "x y é%zz"), ("c", ""), ("", "d"), ("a", "\u{fffd}\0")];
        let expected: Vec<_> =
            expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned().into())).collect();
        assert_eq!(pairs, expected);
    }
}
