//! Reads the body of a token request as Django REST framework does: JSON, form or multipart.

mod charset;
mod form;
mod json;
mod multipart;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use self::charset::Charset;
use super::media_type::{LONGEST, MediaType, latin1};
use super::refused::Refused;

/// The media types of bodies, in the order in which they are tried.
pub(super) const MEDIA_TYPES: [&str; 3] =
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];

/// A body that holds an object. It may hold a password: no `Debug`.
#[derive(Default)]
pub(super) struct Body(Vec<(String, Input)>);

/// The value of one field, as far as a field for text tells them apart.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) enum Input {
    Null,
    /// A boolean, a list, an object, a file.
    NotText,
    Text(Text),
}

/// A text as Python's `json` reads it.
#[derive(Default)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) struct Text {
    /// A lone surrogate stands here as U+FFFD.
    pub(super) text: String,
    /// The first lone surrogate, which no Rust string can hold.
    pub(super) surrogate: Option<u16>,
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self::Text(Text { text, surrogate: None })
    }
}

/// The value of a parameter of a query; of several of one name the last.
pub(super) fn last_of(query: &str, name: &str) -> Option<String> {
    let parameters = form::parse(query.as_bytes(), Charset::Utf8);
    parameters.into_iter().rev().find_map(|(parameter, value)| match value {
        Input::Text(value) if parameter == name => Some(value.text),
        _ => None,
    })
}

impl Body {
    /// Reads the body of a request. An empty one is an empty object, whatever its type.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, Refused> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let named = headers.get(CONTENT_TYPE).map(|value| latin1(value.as_bytes())).unwrap_or_default();
        let media_type = MediaType::parse(&named);
        let takes = |ours: &str| named.chars().count() <= LONGEST && media_type.overlaps(ours);
        let charset = Charset::named(media_type.parameter("charset"));
        if takes(MEDIA_TYPES[0]) {
            return match json::parse(body, charset)
                .map_err(|error| Refused::Malformed(format!("JSON parse error - {error}")))?
            {
                json::Document::Object(fields) => Ok(Self(fields)),
                json::Document::Null => Err(Refused::NoData),
                json::Document::Other(python_type) => Err(Refused::NotAnObject(python_type)),
            };
        }
        if takes(MEDIA_TYPES[1]) {
            return Ok(Self(form::parse(body, charset)));
        }
        if takes(MEDIA_TYPES[2]) {
            return multipart::parse(body, media_type.parameter("boundary"), charset)
                .map(Self)
                .map_err(|error| Refused::Malformed(format!("Multipart form parse error - {error}")));
        }
        drop(media_type);
        Err(Refused::UnsupportedMediaType(named))
    }

    /// The value of a field; of several of one name the last, as in Python.
    pub(super) fn field(&self, name: &str) -> Option<&Input> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, input)| input)
    }
}
