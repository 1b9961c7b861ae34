//! The charset of a body, as `Content-Type` names it.
//!
//! Django decodes by any charset that Python has; here are those that a client of an API may name for JSON: what is another,
//! or none, is UTF-8.

use std::borrow::Cow;

use super::super::media_type::latin1;

/// How the bytes of a body are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    /// UTF-8 with an optional byte order mark.
    Utf8Signed,
    Ascii,
    Latin1,
    /// By its byte order mark, which JSON must have.
    Utf16,
    Utf16Le,
    Utf16Be,
}

/// Reads two bytes as one unit of UTF-16.
type Order = fn([u8; 2]) -> u16;

impl Charset {
    /// By its name, which Python compares without case and takes any punctuation in.
    pub(super) fn named(name: Option<&str>) -> Self {
        let spelled = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let name: String = name.unwrap_or_default().trim().chars().map(spelled).collect();
        match name.as_str() {
            "utf_8_sig" => Self::Utf8Signed,
            "ascii" | "us_ascii" | "646" => Self::Ascii,
            "latin_1" | "latin1" | "latin" | "iso_8859_1" | "iso8859_1" | "iso8859" | "8859" | "cp819"
            | "l1" => Self::Latin1,
            "utf_16" | "utf16" => Self::Utf16,
            "utf_16_le" | "utf_16le" => Self::Utf16Le,
            "utf_16_be" | "utf_16be" => Self::Utf16Be,
            _ => Self::Utf8,
        }
    }

    /// Decodes JSON.
    ///
    /// # Errors
    /// Why the bytes are no text, in Python's words.
    pub(super) fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, String> {
        match self {
            Self::Utf8 => utf8(bytes).map(Cow::Borrowed),
            Self::Utf8Signed => utf8(unsigned(bytes)).map(Cow::Borrowed),
            Self::Latin1 => Ok(latin1(bytes).into()),
            Self::Ascii => match bytes.iter().position(|byte| !byte.is_ascii()) {
                None => Ok(latin1(bytes).into()),
                Some(at) => Err(format!(
                    "'ascii' codec can't decode byte 0x{:02x} in position {at}: ordinal not in range(128)",
                    bytes[at]
                )),
            },
            Self::Utf16 if bytes.len() < 2 => Ok(Cow::Borrowed("")),
            Self::Utf16 => match by_mark(bytes) {
                Some((name, order)) => utf16(&bytes[2..], 2, name, order),
                None => Err("UTF-16 stream does not start with BOM".to_owned()),
            },
            Self::Utf16Le => utf16(bytes, 0, "utf-16-le", u16::from_le_bytes),
            Self::Utf16Be => utf16(bytes, 0, "utf-16-be", u16::from_be_bytes),
        }
    }

    /// Decodes what a form holds: what is no text is replaced. A form is never UTF-16.
    pub(super) fn decode_lossy(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 | Self::Utf16 | Self::Utf16Le | Self::Utf16Be => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            Self::Utf8Signed => String::from_utf8_lossy(unsigned(bytes)).into_owned(),
            Self::Latin1 => latin1(bytes),
            Self::Ascii => bytes
                .iter()
                .map(|byte| if byte.is_ascii() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER })
                .collect(),
        }
    }
}

/// UTF-8 without its byte order mark.
pub(super) fn unsigned(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// As a stream of Python's: a character that breaks off at the very end is passed over.
fn utf8(bytes: &[u8]) -> Result<&str, String> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let start = error.valid_up_to();
    let Some(length) = error.error_len() else {
        return Ok(std::str::from_utf8(&bytes[..start]).unwrap_or_default());
    };
    let byte = bytes[start];
    let is_start = (0xc2..=0xf4).contains(&byte);
    let reason = if is_start { "invalid continuation byte" } else { "invalid start byte" };
    Err(if length == 1 {
        format!("'utf-8' codec can't decode byte 0x{byte:02x} in position {start}: {reason}")
    } else {
        let last = start + length - 1;
        format!("'utf-8' codec can't decode bytes in position {start}-{last}: {reason}")
    })
}

fn by_mark(bytes: &[u8]) -> Option<(&'static str, Order)> {
    match bytes {
        [0xff, 0xfe, ..] => Some(("utf-16-le", u16::from_le_bytes)),
        [0xfe, 0xff, ..] => Some(("utf-16-be", u16::from_be_bytes)),
        _ => None,
    }
}

fn units(bytes: &[u8], order: Order) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|pair| order(*pair)).collect()
}

/// `before` bytes came before these.
fn utf16<'t>(bytes: &[u8], before: usize, codec: &str, order: Order) -> Result<Cow<'t, str>, String> {
    let mut units = units(bytes, order);
    let broken_off = |unit: &u16| (0xd800..=0xdbff).contains(unit);
    units.pop_if(|unit| broken_off(unit));
    let mut text = String::with_capacity(units.len());
    let mut at = before;
    for read in char::decode_utf16(units) {
        let c = read.map_err(|_| {
            format!(
                "'{codec}' codec can't decode bytes in position {at}-{}: illegal UTF-16 surrogate",
                at + 1
            )
        })?;
        at += 2 * c.len_utf16();
        text.push(c);
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_the_names_that_python_knows_and_takes_all_others_for_utf_8() {
        for (name, charset) in [
            ("ISO-8859-1", Charset::Latin1),
            ("latin1", Charset::Latin1),
            ("US-ASCII", Charset::Ascii),
            (" utf-16 ", Charset::Utf16),
            ("UTF-16LE", Charset::Utf16Le),
            ("utf_8", Charset::Utf8),
            ("bogus", Charset::Utf8),
        ] {
            assert_eq!(Charset::named(Some(name)), charset, "{name}");
        }
        assert_eq!(Charset::named(None), Charset::Utf8);
    }

    #[test]
    fn decodes_in_pythons_words() {
        let decoded = |charset: Charset, bytes: &[u8]| charset.decode(bytes).map(Cow::into_owned);
        assert_eq!(decoded(Charset::Latin1, b"\xe9"), Ok("é".to_owned()));
        assert_eq!(
            decoded(Charset::Ascii, b"{\xc3\xa9"),
            Err("'ascii' codec can't decode byte 0xc3 in position 1: ordinal not in range(128)".to_owned())
        );
        assert_eq!(decoded(Charset::Utf16, b"\xff\xfe{\0\xe9\0"), Ok("{é".to_owned()));
        assert_eq!(decoded(Charset::Utf16, b"\xfe\xff\0{\0"), Ok("{".to_owned()));
        assert_eq!(decoded(Charset::Utf16, b"{}"), Err("UTF-16 stream does not start with BOM".to_owned()));
        assert_eq!(decoded(Charset::Utf16Le, b"\"\0\0\xd8"), Ok("\"".to_owned()));
        assert_eq!(
            decoded(Charset::Utf16Le, b"\"\0\0\xd8\0\0"),
            Err("'utf-16-le' codec can't decode bytes in position 2-3: illegal UTF-16 surrogate".to_owned())
        );
        assert_eq!(decoded(Charset::Utf8Signed, b"\xef\xbb\xbf{}"), Ok("{}".to_owned()));
    }

    proptest! {
        #[test]
        fn what_can_be_decoded_is_the_same_with_and_without_replacement(bytes: Vec<u8>) {
            for charset in [Charset::Utf8, Charset::Utf8Signed, Charset::Ascii, Charset::Latin1] {
                if let Ok(text) = charset.decode(&bytes) {
                    prop_assert!(charset.decode_lossy(&bytes).starts_with(&*text));
                }
            }
        }

        #[test]
        fn utf_16_is_read_as_it_was_written(text: String, noise: Vec<u8>) {
            let written = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<_>>();
            let (little, big) = (written(u16::to_le_bytes), written(u16::to_be_bytes));
            let marked = [b"\xff\xfe", &*little].concat();
            for (charset, bytes) in
                [(Charset::Utf16Le, &little), (Charset::Utf16Be, &big), (Charset::Utf16, &marked)]
            {
                prop_assert_eq!(&charset.decode(bytes).unwrap(), &text);
            }
            for charset in [Charset::Utf16, Charset::Utf16Le, Charset::Utf16Be] {
                let _ = charset.decode(&noise);
            }
        }
    }
}
