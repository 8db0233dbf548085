//! One line of a batch: parsing it, and writing its answer.

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::check_field;
use crate::http::Problem;
use crate::http::form::too_long;
use crate::photo::PhotoError;
use crate::screening::{Answered, Listing, Upload};

/// Most bytes of a text field.
const MAX_TEXT: usize = 256;

/// A listing in a batch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchLine {
    /// The caller's name for the line; the answer repeats it.
    #[schema(min_length = 1, max_length = 256)]
    id: Option<String>,
    /// Idempotency key of this line, in place of the batch's key with the line number.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
    /// 1 to 20 photos.
    #[schema(min_items = 1, max_items = 20)]
    photos: Vec<BatchPhoto>,
    /// The marketplace's id of the listing.
    #[schema(min_length = 1, max_length = 256)]
    listing_id: Option<String>,
    /// The marketplace's id of the seller.
    #[schema(min_length = 1, max_length = 256)]
    seller_id: Option<String>,
    /// The brand that the listing claims.
    #[schema(min_length = 1, max_length = 256)]
    brand: Option<String>,
    /// The marketplace's category.
    #[schema(min_length = 1, max_length = 256)]
    category: Option<String>,
}

/// A photo in a batch: either its bytes or its URL.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchPhoto {
    /// The photo's bytes, in base64.
    #[schema(content_encoding = "base64")]
    photo: Option<String>,
    /// URL of the photo: `https://`, or an object in a store, where the settings allow it.
    photo_url: Option<String>,
    /// File name, repeated in the answer.
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
}

/// A parsed line: the listing to check.
pub(super) struct Asked {
    pub(super) listing: Listing,
    pub(super) photos: Vec<Upload>,
    pub(super) key: Option<String>,
}

/// Limits for the photos of a line.
#[derive(Clone, Copy)]
pub(super) struct Caps {
    pub(super) photos: usize,
    pub(super) photo_bytes: usize,
}

/// Parses a line. The line's id is returned even when the rest is invalid.
pub(super) fn read(line: &[u8], caps: Caps) -> (Option<String>, Result<Asked, Problem>) {
    match serde_json::from_slice::<BatchLine>(line) {
        Ok(line) => {
            let id = line.id.clone().filter(|id| text("id", Some(id.clone())).is_ok());
            (id, line.asked(caps))
        }
        Err(error) => (None, Err(Problem::invalid("json-invalid", format!("the line is not a listing: {error}")))),
    }
}

impl BatchLine {
    fn asked(self, caps: Caps) -> Result<Asked, Problem> {
        text("id", self.id)?;
        let listing = Listing {
            listing_id: text("listing_id", self.listing_id)?,
            seller_id: text("seller_id", self.seller_id)?,
            brand: text("brand", self.brand)?,
            category: text("category", self.category)?,
        };
        if self.idempotency_key.as_ref().is_some_and(|key| !is_key(key)) {
            let detail = "idempotency_key is not 1 to 255 visible ASCII characters";
            return Err(Problem::invalid("idempotency-key-invalid", detail));
        }
        if self.photos.is_empty() {
            return Err(Problem::invalid("photo-missing", "photos is empty, expected at least one"));
        }
        if self.photos.len() > caps.photos {
            let detail = format!("the listing has {} photos, expected at most {}", self.photos.len(), caps.photos);
            return Err(Problem::invalid("too-many-photos", detail));
        }
        let photos = self.photos.into_iter().enumerate().map(|(index, photo)| photo.upload(index, caps.photo_bytes));
        Ok(Asked { listing, photos: photos.collect::<Result<_, _>>()?, key: self.idempotency_key })
    }
}

impl BatchPhoto {
    fn upload(self, index: usize, max_bytes: usize) -> Result<Upload, Problem> {
        let name = match self.name {
            Some(name) if name.len() > MAX_TEXT => return Err(too_long("name", MAX_TEXT)),
            name => text("name", name)?,
        };
        match (self.photo, self.photo_url) {
            (Some(encoded), None) => {
                let bytes = STANDARD.decode(&encoded).map_err(|error| {
                    let detail = format!("photos[{index}].photo is not base64 (RFC 4648, section 4): {error}");
                    Problem::invalid("photo-base64-invalid", detail)
                })?;
                if bytes.len() > max_bytes {
                    return Err(Problem::photo(index, &PhotoError::TooManyBytes { got: bytes.len(), max: max_bytes }));
                }
                Ok(Upload::sent(name, bytes.into()))
            }
            (None, Some(url)) => {
                check_field("photo_url", &url)?;
                let upload = Upload::at(url);
                Ok(Upload { name: name.or(upload.name), ..upload })
            }
            _ => Err(Problem::invalid(
                "photo-missing",
                format!("photos[{index}] has neither photo nor photo_url, or both; expected one of them"),
            )),
        }
    }
}

/// A checked text; an empty one counts as absent, as in forms.
fn text(name: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if text.len() > MAX_TEXT {
        return Err(too_long(name, MAX_TEXT));
    }
    check_field(name, &text)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn is_key(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// The first fields of an answer line.
#[derive(Serialize)]
struct Head<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    status: u16,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a Problem>,
}

/// Writes the answer to line `line`. The check is byte for byte the answer that a request for this listing alone gets.
pub(super) fn write(line: u64, id: Option<&str>, outcome: &Result<Answered, Problem>) -> Bytes {
    let head = match outcome {
        Ok(answer) => Head { line, id, status: 200, replayed: answer.replayed, problem: None },
        Err(problem) => Head { line, id, status: problem.status(), replayed: false, problem: Some(problem) },
    };
    let mut text = serde_json::to_string(&head).unwrap_or_default();
    if let Ok(answer) = outcome {
        text.pop();
        text.push_str(",\"check\":");
        text.push_str(&answer.json);
        text.push('}');
    }
    text.push('\n');
    text.into()
}
