//! Compressed request bodies. The service does not decompress them and rejects them.

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Problem;

/// Rejects a body with a `Content-Encoding` other than `identity`.
pub(super) async fn refuse_packed(request: Request, next: Next) -> Response {
    let Some(encoding) = packed(request.headers()).filter(|_| !request.body().is_end_stream()) else {
        return next.run(request).await;
    };
    let detail = format!("the body's Content-Encoding is {encoding:?}, expected identity; send the body uncompressed");
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding-unsupported", detail);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// The body's encoding; `None` where it is not compressed.
fn packed(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let texts: Vec<String> = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    let plain = |coding: &str| coding.trim().is_empty() || coding.trim().eq_ignore_ascii_case("identity");
    texts.iter().any(|text| !text.split(',').all(plain)).then(|| texts.join(", "))
}
