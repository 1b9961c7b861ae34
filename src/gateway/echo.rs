//! The built-in application: it shows the request that an upstream would have got.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

/// A path at which the application panics, for the test that such a thing ends nothing else.
#[cfg(test)]
pub(super) const DEFECT: &str = "/defect";

/// Answers with method, path, headers and the body's length as JSON. The body is counted, never kept.
///
/// # Errors
/// The body's own error.
pub(super) async fn answer<B>(request: Request<B>) -> Result<Response<Bytes>, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (head, mut body) = request.into_parts();
    #[cfg(test)]
    assert_ne!(head.uri.path(), DEFECT, "asked for by a test");
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            length += data.len() as u64;
        }
    }
    let shown = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "headers": headers(&head.headers),
        "body_length": length,
    });
    let mut answer = Response::new(Bytes::from(format!("{shown:#}\n")));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

/// Fields of one name are joined as RFC 9110, section 5.3 allows.
fn headers(headers: &http::HeaderMap) -> Map<String, Value> {
    let mut shown = Map::new();
    for name in headers.keys() {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        shown.insert(name.as_str().to_owned(), Value::String(values.join(", ")));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    #[tokio::test]
    async fn shows_what_it_got() {
        let request = Request::builder()
            .method("POST")
            .uri("/a?b=c")
            .header("x-user-id", "ada")
            .header("accept", "a")
            .header("accept", "b")
            .body(Full::new(Bytes::from_static(b"12345")))
            .expect("a request");
        let answer = answer(request).await.expect("an answer");
        let shown: Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert_eq!(
            shown,
            json!({"method": "POST", "path": "/a", "query": "b=c",
                   "headers": {"x-user-id": "ada", "accept": "a, b"}, "body_length": 5})
        );
    }
}
