//! Multipart bodies, and extractors whose rejections are problem+json.

use std::collections::HashMap;

use axum::extract::multipart::Field;
use axum::extract::{FromRequest, FromRequestParts, Multipart, Request};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Problem;
use crate::domain::check_field;
use crate::photo::PhotoError;
use crate::screening::Upload;

/// Most bytes of a `photo_url`.
const MAX_URL_BYTES: usize = 2048;

/// A JSON object as request or answer. Arrays are rejected, because serde would read one as a struct.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Json(object) = axum::Json::<Map<String, Value>>::from_request(request, state).await?;
        let body = serde_json::from_value(Value::Object(object));
        body.map(Self).map_err(|error| Problem::invalid("json-invalid", error.to_string()))
    }
}

/// `axum::extract::Query` whose rejections are problems.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

/// `axum::extract::Path` whose rejections are problems.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// `axum::extract::Multipart` whose rejections are problems.
pub(super) struct Parts(pub(super) Multipart);

impl<S: Send + Sync> FromRequest<S> for Parts {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(Multipart::from_request(request, state).await?))
    }
}

/// The fields that a form may have.
pub(super) struct Rules<'a> {
    /// Names of text fields, each with its limit in bytes.
    pub(super) texts: &'a [(&'static str, usize)],
    /// Most photos, in fields named `photo`.
    pub(super) max_photos: usize,
    /// Most bytes of a photo.
    pub(super) max_photo_bytes: usize,
    /// Whether fields named `photo_url` may name photos, which are fetched later.
    pub(super) urls: bool,
}

/// A parsed form.
#[derive(Debug, Default)]
pub(super) struct Form {
    texts: HashMap<&'static str, String>,
    pub(super) photos: Vec<Upload>,
}

impl Form {
    /// Parses a body by `rules`, and rejects fields that they do not name.
    pub(super) async fn read(mut body: Multipart, rules: &Rules<'_>) -> Result<Self, Problem> {
        let mut form = Self::default();
        while let Some(field) = body.next_field().await? {
            let name = field.name().unwrap_or_default().to_owned();
            if name == "photo" {
                form.add_photo(field, rules).await?;
                continue;
            }
            if name == "photo_url" && rules.urls {
                form.add_photo_url(field, rules).await?;
                continue;
            }
            let Some(&(name, cap)) = rules.texts.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = ["photo"].into_iter().chain(rules.texts.iter().map(|(name, _)| *name)).collect();
                return Err(Problem::invalid(
                    "field-unknown",
                    format!("the form has a field {name:?}, expected {}", known.join(", ")),
                ));
            };
            let text = read_field(field, cap).await?.ok_or_else(|| too_long(name, cap))?;
            let text = String::from_utf8(text.to_vec())
                .map_err(|_| Problem::invalid("field-invalid", format!("{name} is not UTF-8 text")))?;
            check_field(name, &text)?;
            if form.texts.insert(name, text).is_some() {
                return Err(Problem::invalid("field-repeated", format!("the form has {name} twice, expected once")));
            }
        }
        if form.photos.is_empty() && rules.max_photos > 0 {
            return Err(Problem::invalid(
                "photo-missing",
                if rules.urls {
                    "the form has neither a field photo nor photo_url; send at least one file or one URL"
                } else {
                    "the form has no field photo; send at least one file under that name"
                },
            ));
        }
        Ok(form)
    }

    /// A text field; an empty free text counts as absent.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.texts.remove(name).filter(|text| !text.is_empty())
    }

    /// The bytes of the only photo.
    pub(super) fn photo(&self) -> Bytes {
        self.photos.first().map(|upload| upload.bytes.clone()).unwrap_or_default()
    }

    async fn add_photo(&mut self, field: Field<'_>, rules: &Rules<'_>) -> Result<(), Problem> {
        let index = self.room_for_another(rules)?;
        let name = field.file_name().map(|name| name.chars().take(255).collect());
        let cap = rules.max_photo_bytes;
        let too_large = || Problem::photo(index, &PhotoError::TooManyBytes { got: cap + 1, max: cap });
        let bytes = read_field(field, cap).await?.ok_or_else(too_large)?;
        self.photos.push(Upload::sent(name, bytes));
        Ok(())
    }

    async fn add_photo_url(&mut self, field: Field<'_>, rules: &Rules<'_>) -> Result<(), Problem> {
        self.room_for_another(rules)?;
        let text = read_field(field, MAX_URL_BYTES).await?.ok_or_else(|| too_long("photo_url", MAX_URL_BYTES))?;
        let url = String::from_utf8(text.to_vec())
            .map_err(|_| Problem::invalid("field-invalid", "photo_url is not UTF-8 text"))?;
        check_field("photo_url", &url)?;
        self.photos.push(Upload::at(url));
        Ok(())
    }

    /// Index of the next photo, if the rules allow another.
    fn room_for_another(&self, rules: &Rules<'_>) -> Result<usize, Problem> {
        let index = self.photos.len();
        if index < rules.max_photos {
            return Ok(index);
        }
        Err(Problem::invalid(
            "too-many-photos",
            format!(
                "the form has more than {index} photos, expected at most {index}; send the others in another request"
            ),
        ))
    }
}

/// Reads at most `cap` bytes; `None` when the field has more.
async fn read_field(mut field: Field<'_>, cap: usize) -> Result<Option<Bytes>, Problem> {
    let mut read = BytesMut::new();
    while let Some(chunk) = field.chunk().await? {
        if read.len() + chunk.len() > cap {
            return Ok(None);
        }
        read.extend_from_slice(&chunk);
    }
    Ok(Some(read.freeze()))
}

/// Most entries of a page; the next constant is how many an answer has if the caller names no limit.
const MAX_PAGE: usize = 1000;
const USUAL_PAGE: usize = 100;

/// Position and size of a page of a list.
pub(super) fn page(after: Option<u64>, limit: Option<usize>) -> Result<(u64, usize), Problem> {
    let (after, limit) = (after.unwrap_or(0), limit.unwrap_or(USUAL_PAGE));
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid("limit-invalid", format!("limit is {limit}, expected 1 to {MAX_PAGE}")));
    }
    if i64::try_from(after).is_err() {
        return Err(Problem::invalid(
            "after-invalid",
            format!("after is {after}, expected `next` of the previous page"),
        ));
    }
    Ok((after, limit))
}

pub(super) fn too_long(name: &str, cap: usize) -> Problem {
    Problem::invalid("field-too-long", format!("{name} is longer than {cap} bytes, expected at most {cap}"))
}

/// Parses any bytes as a form with small limits, for fuzz targets.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    let request = Request::builder()
        .header("content-type", "multipart/form-data; boundary=x")
        .body(axum::body::Body::from(bytes.to_vec()))
        .unwrap_or_default();
    let rules = Rules { texts: &[("listing_id", 8), ("brand", 8)], max_photos: 2, max_photo_bytes: 64, urls: true };
    let read = async {
        let Parts(body) = Parts::from_request(request, &()).await?;
        Form::read(body, &rules).await
    };
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
        let _ = runtime.block_on(read);
    }
}
