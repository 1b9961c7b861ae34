//! `multipart/form-data` (RFC 7578), as far as text fields go.

use super::super::media_type::MediaType;
use super::{super::media_type::latin1, Input};

/// The fields of a body that is in memory already. Parts without a name are passed over, and what follows the
/// last delimiter counts as content, as in Django.
///
/// # Errors
/// The boundary, if there is none or it is no boundary.
pub(super) fn parse(body: &[u8], boundary: Option<&str>) -> Result<Vec<(String, Input)>, Option<String>> {
    let boundary = boundary.filter(|boundary| is_boundary(boundary)).ok_or(boundary.map(str::to_owned))?;
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter may open the body without a line end of its own.
    let with_line_end = [b"\r\n", body].concat();
    let mut fields = Vec::new();
    let mut rest = after(&with_line_end, delimiter.as_bytes());
    while let Some(part) = rest {
        if part.starts_with(b"--") {
            break;
        }
        let (part, following) = match position(part, delimiter.as_bytes()) {
            Some(end) => (&part[..end], Some(&part[end + delimiter.len()..])),
            None => (part, None),
        };
        fields.extend(field(part));
        rest = following;
    }
    Ok(fields)
}

/// Django's pattern: printable ASCII, at most 201 characters, no blank at the end.
fn is_boundary(text: &str) -> bool {
    text.len() <= 201
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.ends_with(|last: char| last != ' ')
}

/// A part from behind its delimiter: the rest of that line, headers, an empty line, content.
fn field(part: &[u8]) -> Option<(String, Input)> {
    let head = after(part, b"\r\n")?;
    let (head, content) = if let Some(content) = head.strip_prefix(b"\r\n") {
        (&[][..], content)
    } else {
        let end = position(head, b"\r\n\r\n")?;
        (&head[..end], &head[end + 4..])
    };
    let disposition = head.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let is_it = line[..colon].trim_ascii().eq_ignore_ascii_case(b"content-disposition");
        is_it.then(|| String::from_utf8(line[colon + 1..].to_vec()).unwrap_or_else(|_| latin1(line)))
    })?;
    let disposition = MediaType::parse(&disposition);
    let name = disposition.parameter("name")?.to_owned();
    let input = if disposition.parameter("filename").is_some() {
        Input::NotText
    } else {
        String::from_utf8_lossy(content).into_owned().into()
    };
    Some((name, input))
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

fn after<'t>(text: &'t [u8], wanted: &[u8]) -> Option<&'t [u8]> {
    position(text, wanted).map(|at| &text[at + wanted.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &str) -> Input {
        value.to_owned().into()
    }

    #[test]
    fn reads_fields_and_tells_files_apart() {
        let body = "preamble\r\n--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nal\r\n--ice\r\n\
                    --B\r\ncontent-type: text/plain\r\ncontent-disposition: form-data; name=file; filename=\"x\"\r\n\r\n\
                    abc\r\n--B\r\n\r\nno head\r\n--B--\r\nepilogue";
        let fields = parse(body.as_bytes(), Some("B")).unwrap();
        assert_eq!(fields, [("user".to_owned(), text("al\r\n--ice")), ("file".to_owned(), Input::NotText)]);
    }

    #[test]
    fn a_body_that_breaks_off_holds_what_it_holds() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--";
        assert_eq!(parse(body, Some("B")).unwrap(), [("a".to_owned(), text("1\r\n--"))]);
    }

    #[test]
    fn refuses_what_is_no_boundary() {
        for boundary in ["", "x ", "é", &"b".repeat(202)] {
            assert_eq!(parse(b"--B", Some(boundary)), Err(Some(boundary.to_owned())));
        }
        assert_eq!(parse(b"--B", None), Err(None));
    }

    proptest! {
        #[test]
        fn never_panics(body in "(--B|\r\n|\r\n\r\n|Content-Disposition: form-data; name=|\"|a|;|:|--|\u{e9}){0,30}") {
            let _ = parse(body.as_bytes(), Some("B"));
        }
    }
}
