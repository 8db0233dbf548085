use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{Called, Caller};
use super::form::{Json, Path};
use super::{App, Problem};
use crate::domain::{BrandId, Scope, ScopeName, check_name};
use crate::gallery::ApiKey;
use crate::keys::{KeyError, Wanted, make};

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRequest {
    /// `platform`, `brand`, `moderator` or `admin`.
    #[schema(value_type = ScopeName)]
    scope: String,
    /// The brand, where the scope is `brand`.
    #[schema(value_type = Option<BrandId>)]
    brand: Option<String>,
    /// Purpose of the key, in your words: 1 to 200 characters; leave it out instead of sending an empty one.
    #[schema(min_length = 1, max_length = 200)]
    label: Option<String>,
    /// Days until the key expires, 1 to 36500; when absent, it never expires.
    #[schema(minimum = 1, maximum = 36500)]
    days: Option<u32>,
    /// Most requests per second, 1 to 1000000; the service's own limit when absent.
    #[schema(minimum = 1, maximum = 1_000_000)]
    rate: Option<u32>,
}

/// A new key. This is the only answer with its text.
#[derive(Serialize, ToSchema)]
pub(super) struct NewKey {
    /// The text to send as `Authorization: Bearer`.
    key: String,
    /// The stored description of the key.
    #[serde(flatten)]
    kept: ApiKey,
}

/// All keys.
#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    /// Oldest first.
    keys: Vec<ApiKey>,
}

/// Make a key. Only this answer has its text.
#[utoipa::path(
    post, path = "/v1/keys", operation_id = "create_key", tag = "keys",
    request_body = KeyRequest,
    responses(
        (status = 201, body = NewKey),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Json(body): Json<KeyRequest>,
) -> Result<Response, Problem> {
    let KeyRequest { scope, brand, label, days, rate } = body;
    let brand: Option<BrandId> = brand.map(|brand| brand.parse()).transpose()?;
    label.as_deref().map_or(Ok(()), |label| check_name("label", label))?;
    let wanted = Wanted { scope: Scope::named(scope.parse()?, brand)?, label, days, rate };
    app.work(move |app| {
        let (kept, key) = make(&app.screener().gallery, caller.id(), wanted)?;
        let fresh = (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Answer(NewKey { key, kept }));
        Ok(fresh.into_response())
    })
    .await
}

/// List all keys, including expired and revoked ones.
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "keys", responses((status = 200, body = Keys)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Keys>, Problem> {
    app.work_beside(|app| Ok(Json(Keys { keys: app.screener().gallery.keys()? }))).await
}

/// Revoke a key. From now on its requests are rejected.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", operation_id = "revoke_key", tag = "keys",
    params(("id" = String, Path, description = "The key's id, `key_` and 16 digits, not its text")),
    responses(
        (status = 200, body = ApiKey),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path(id): Path<String>,
) -> Result<Json<ApiKey>, Problem> {
    app.work(move |app| revoked(app, &caller, &id)).await
}

fn revoked(app: &App, caller: &Caller, id: &str) -> Result<Json<ApiKey>, Problem> {
    let known = app.screener().gallery.revoke_key(caller.id(), id)?;
    known.map(Json).ok_or_else(|| Problem::not_found("key", id))
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Invalid(error) => error.into(),
            KeyError::Gallery(error) => error.into(),
        }
    }
}
