use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{InvalidName, NoticeState, PolicyError, TextFault};
use crate::embed::EmbedError;
use crate::enrolment::EnrolError;
use crate::fetch::FetchFault;
use crate::gallery::GalleryError;
use crate::library::LibraryError;
use crate::photo::PhotoError;
use crate::screening::{OutcomeError, ScreenError};

/// An error as RFC 9457 problem+json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:touchstone:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The reason phrase of the HTTP status.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Stable kebab-case code.
    code: &'static str,
    /// What was wrong, what was expected, what to do.
    detail: String,
    /// Number of the photo that caused the error, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    photo: Option<usize>,
    /// Seconds to wait before trying again; also in the header Retry-After.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    /// The change of state that is not allowed: the state as it is, the requested one, and those that the caller may choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    transition: Option<Box<Transition>>,
}

// The generator of the Python client's types cannot describe a type with a field that is a keyword, such as `from`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
struct Transition {
    from: NoticeState,
    to: NoticeState,
    allowed: Vec<NoticeState>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:touchstone:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            photo: None,
            retry_after: None,
            transition: None,
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// Sets the seconds to wait before trying again.
    pub(super) fn retry_after(&mut self, seconds: u32) {
        self.retry_after = Some(seconds);
    }

    /// Names the change of state that is not allowed, and those that are.
    pub(super) fn transition(&mut self, from: NoticeState, to: NoticeState, allowed: &[NoticeState]) {
        self.transition = Some(Box::new(Transition { from, to, allowed: allowed.to_owned() }));
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn busy() -> Self {
        let mut problem =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", "the service is at its capacity; try again in a second");
        problem.retry_after = Some(1);
        problem
    }

    pub(super) fn timed_out() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timed-out",
            "the request took too long and was stopped; try again",
        );
        problem.retry_after = Some(1);
        problem
    }

    /// An internal error. The cause goes to the log, not to the caller.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the request failed inside the service; the log has the cause under the request's x-request-id",
        )
    }

    pub(super) fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", format!("there is no {what} {id:?} here; check the id"))
    }

    pub(super) fn photo(index: usize, error: &PhotoError) -> Self {
        let status = match error {
            PhotoError::UnsupportedType { .. } | PhotoError::UnknownType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            PhotoError::TooManyBytes { .. } | PhotoError::TooManyPixels { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            PhotoError::Empty | PhotoError::Broken { .. } | PhotoError::PartlyDecoded { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            PhotoError::DecoderUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, error.code(), error.to_string());
        problem.photo = Some(index);
        problem.retry_after = matches!(error, PhotoError::DecoderUnavailable).then_some(5);
        problem
    }

    pub(super) fn photo_url(index: usize, fault: &FetchFault) -> Self {
        let status = match fault {
            FetchFault::Failed(_) => StatusCode::BAD_GATEWAY,
            FetchFault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            FetchFault::Off | FetchFault::Invalid(_) | FetchFault::NotAllowed(_) | FetchFault::Refused(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
        };
        let mut problem = Self::new(status, fault.code(), fault.to_string());
        problem.photo = Some(index);
        problem.retry_after = matches!(fault, FetchFault::Failed(_)).then_some(5);
        problem
    }

    pub(super) fn too_much() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request-too-large",
            "the request is larger than server.max_request_bytes; send fewer or smaller photos",
        )
    }

    fn storage(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "storage failed");
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "storage-unavailable",
            "the database cannot answer now; try again, and see /readyz",
        );
        problem.retry_after = Some(5);
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<OutcomeError> for Problem {
    fn from(error: OutcomeError) -> Self {
        match error {
            OutcomeError::Unknown(id) => Self::not_found("check", &id),
            OutcomeError::NoMatch { .. } => Self::invalid("outcome-without-match", error.to_string()),
            OutcomeError::Gallery(error) => error.into(),
            OutcomeError::Library(error) => error.into(),
            OutcomeError::Answer(error) => {
                tracing::error!(%error, "a stored answer cannot be read");
                Self::internal()
            }
        }
    }
}

impl From<ScreenError> for Problem {
    fn from(error: ScreenError) -> Self {
        match error {
            ScreenError::Photo { index, source } => Self::photo(index, &source),
            ScreenError::Embed(error) => error.into(),
            ScreenError::Gallery(error) => error.into(),
            ScreenError::KeyReused => Self::invalid("idempotency-key-reused", error.to_string()),
            ScreenError::Answer(error) => {
                tracing::error!(%error, "an answer cannot be serialised");
                Self::internal()
            }
        }
    }
}

impl From<EmbedError> for Problem {
    fn from(error: EmbedError) -> Self {
        match error {
            EmbedError::Busy => Self::busy(),
            EmbedError::Failed(_) | EmbedError::Stopped => {
                tracing::error!(%error, "embedding failed");
                Self::internal()
            }
        }
    }
}

impl From<EnrolError> for Problem {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::Photo(error) => Self::photo(0, &error),
            EnrolError::Embed(error) => error.into(),
            EnrolError::Gallery(error) => error.into(),
            EnrolError::Library(error) => error.into(),
            EnrolError::Hygiene(error) => Self::storage(&error),
        }
    }
}

impl From<GalleryError> for Problem {
    fn from(error: GalleryError) -> Self {
        Self::storage(&error)
    }
}

impl From<LibraryError> for Problem {
    fn from(error: LibraryError) -> Self {
        Self::storage(&error)
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        Self::invalid(error.code(), error.to_string())
    }
}

impl From<InvalidName> for Problem {
    fn from(error: InvalidName) -> Self {
        Self::invalid("name-invalid", error.to_string())
    }
}

impl From<TextFault> for Problem {
    fn from(fault: TextFault) -> Self {
        Self::invalid(fault.code(), fault.to_string())
    }
}

impl From<MultipartError> for Problem {
    fn from(error: MultipartError) -> Self {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_much();
        }
        Self::new(
            StatusCode::BAD_REQUEST,
            "multipart-invalid",
            format!("the body is not well-formed multipart/form-data: {}", error.body_text()),
        )
    }
}

impl From<MultipartRejection> for Problem {
    fn from(error: MultipartRejection) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "multipart-expected",
            format!("expected a multipart/form-data body with a boundary: {}", error.body_text()),
        )
    }
}

impl From<JsonRejection> for Problem {
    fn from(error: JsonRejection) -> Self {
        Self::new(error.status(), "json-invalid", error.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(error: QueryRejection) -> Self {
        Self::new(error.status(), "query-invalid", error.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(error: PathRejection) -> Self {
        Self::new(error.status(), "path-invalid", error.body_text())
    }
}
