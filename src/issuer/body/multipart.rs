//! `multipart/form-data` (RFC 7578) as Django reads it, as far as text fields go.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::super::media_type::MediaType;
use super::Input;
use super::charset::Charset;

/// Within so many bytes the head of a part ends, or it has none.
const LONGEST_HEAD: usize = 1_024;

/// Why a body is no multipart form, in Django's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MultipartError {
    #[error("Invalid boundary in multipart: {}", boundary.as_deref().unwrap_or("None"))]
    Boundary { boundary: Option<String> },
    #[error("Request max total header size exceeded.")]
    Head,
}

/// The fields of a body that is in memory already. Whatever lies between two boundaries, or before the first or behind the
/// last, is a part, and one without a name is passed over.
pub(super) fn parse(
    body: &[u8],
    boundary: Option<&str>,
    charset: Charset,
) -> Result<Vec<(String, Input)>, MultipartError> {
    let boundary = boundary
        .filter(|boundary| is_boundary(boundary))
        .ok_or_else(|| MultipartError::Boundary { boundary: boundary.map(str::to_owned) })?;
    let delimiter = format!("--{boundary}");
    let mut fields = Vec::new();
    let mut rest = body;
    loop {
        let end = position(rest, delimiter.as_bytes());
        let part = match end {
            // The line end before a boundary is the boundary's.
            Some(end) => {
                let part = &rest[..end];
                let part = part.strip_suffix(b"\n").unwrap_or(part);
                part.strip_suffix(b"\r").unwrap_or(part)
            }
            None => rest,
        };
        fields.extend(field(part, charset)?);
        match end {
            Some(end) => rest = &rest[end + delimiter.len()..],
            None => return Ok(fields),
        }
    }
}

/// Django's pattern: printable ASCII, at most 201 characters, no blank at the end.
fn is_boundary(text: &str) -> bool {
    text.len() <= 201
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.ends_with(|last: char| last != ' ')
}

/// A part: headers, an empty line, content.
fn field(part: &[u8], charset: Charset) -> Result<Option<(String, Input)>, MultipartError> {
    let Some(end) = position(&part[..part.len().min(LONGEST_HEAD)], b"\r\n\r\n") else {
        return if part.len() < LONGEST_HEAD { Ok(None) } else { Err(MultipartError::Head) };
    };
    let (head, content) = (&part[..end], &part[end + 4..]);
    let (mut disposition, mut is_base64) = (None, false);
    for line in head.split(|byte| *byte == b'\n') {
        // A line that is no UTF-8 says nothing.
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).unwrap_or_default();
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim_start().to_ascii_lowercase().as_str() {
            "content-disposition" => disposition = Some(MediaType::parse(value)),
            "content-transfer-encoding" => is_base64 = value.trim().eq_ignore_ascii_case("base64"),
            _ => {}
        }
    }
    let Some(disposition) = disposition else { return Ok(None) };
    let Some(name) = disposition.parameter("name") else { return Ok(None) };
    let input = match disposition.parameter("filename") {
        None | Some("") => {
            let content =
                if is_base64 { unpacked(content) } else { None }.unwrap_or_else(|| content.to_vec());
            charset.decode_lossy(&content).into()
        }
        Some(file) if is_file(file) => Input::NotText,
        Some(_) => return Ok(None),
    };
    Ok(Some((name.trim().to_owned(), input)))
}

/// Whether a name is left of it without its folders.
fn is_file(name: &str) -> bool {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    !matches!(last, "" | "." | "..")
}

/// Base64 as Python reads it: other characters are passed over, and what follows the padding is not read. `None` if it ends
/// within a group.
fn unpacked(content: &[u8]) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireNone),
    );
    let (mut digits, mut pads, mut is_padded) = (Vec::with_capacity(content.len()), 0, false);
    for &byte in content {
        if byte == b'=' {
            pads += usize::from(digits.len() % 4 >= 2);
            is_padded = pads > 0 && digits.len() % 4 + pads >= 4;
            if is_padded {
                break;
            }
        } else if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') {
            pads = 0;
            digits.push(byte);
        }
    }
    if is_padded || digits.len() % 4 == 0 { LENIENT.decode(digits).ok() } else { None }
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &str) -> Input {
        value.to_owned().into()
    }

    fn read(body: &[u8]) -> Vec<(String, Input)> {
        parse(body, Some("B"), Charset::Utf8).unwrap()
    }

    /// A form of one part.
    fn one(head: &str, content: &str) -> Option<Input> {
        let body = format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n--B--\r\n");
        read(body.as_bytes()).pop().map(|(name, input)| {
            assert_eq!(name, "a");
            input
        })
    }

    #[test]
    fn reads_fields_and_tells_files_apart() {
        let body = "preamble\r\n--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nal\r\n--ice\r\n\
                    --B\r\ncontent-type: text/plain\r\ncontent-disposition: form-data; name=file; filename=\"x\"\r\n\r\n\
                    abc\r\n--B\r\n\r\nno head\r\n--B--\r\nepilogue";
        let fields = read(body.as_bytes());
        assert_eq!(fields, [("user".to_owned(), text("al\r\n--ice")), ("file".to_owned(), Input::NotText)]);
    }

    #[test]
    fn a_body_that_breaks_off_holds_what_it_holds() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--";
        assert_eq!(read(body), [("a".to_owned(), text("1\r\n--"))]);
    }

    #[test]
    fn a_part_is_a_file_only_by_a_name_that_a_file_can_have() {
        assert_eq!(one("name=a; filename=\"\"", "x"), Some(text("x")));
        assert_eq!(one("name=a; filename=\"/tmp/f\"", "x"), Some(Input::NotText));
        assert_eq!(one("name=a; filename=\"/\"", "x"), None);
        assert_eq!(one("name=a; filename*=utf-8''f%20g", "x"), Some(Input::NotText));
        assert_eq!(one("name*=utf-8''%61", "x"), Some(text("x")));
    }

    #[test]
    fn decodes_what_says_that_it_is_encoded() {
        let head = "name=a\r\nContent-Transfer-Encoding: base64";
        assert_eq!(one(head, "eMOp\r\n"), Some(text("xé")));
        assert_eq!(one(head, "!!!"), Some(text("")));
        assert_eq!(one(head, "eMOp\r\neA=="), Some(text("xéx")));
        assert_eq!(one(head, "eA===eA=="), Some(text("x")));
        // Not to be decoded, it stays as it is.
        assert_eq!(one(head, "eMO"), Some(text("eMO")));
    }

    #[test]
    fn refuses_what_is_no_boundary_and_heads_without_end() {
        for boundary in ["", "x ", "é", &"b".repeat(202)] {
            let refused = MultipartError::Boundary { boundary: Some(boundary.to_owned()) };
            assert_eq!(parse(b"--B", Some(boundary), Charset::Utf8), Err(refused));
        }
        let refused = parse(b"--B", None, Charset::Utf8).unwrap_err();
        assert_eq!(refused.to_string(), "Invalid boundary in multipart: None");
        let long = [b"--B\r\n".as_slice(), &[b'x'; 2_000]].concat();
        assert_eq!(parse(&long, Some("B"), Charset::Utf8), Err(MultipartError::Head));
    }

    proptest! {
        #[test]
        fn never_panics(body in "(--B|\r\n|\r\n\r\n|Content-Disposition: form-data; name=|\"|a|;|:|--|\u{e9}){0,30}") {
            let _ = parse(body.as_bytes(), Some("B"), Charset::Utf8);
        }
    }
}
