//! Webhooks: receivers of events, what was sent to them, and what did not arrive.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Called;
use super::form::{Json, Path, Query, page};
use super::{App, Problem};
use crate::domain::{DeliveryState, EventType};
use crate::gallery::{Counted, Delivery, DeliveryQuery, Webhook, new_id};
use crate::webhooks::{Message, Secret, UrlFault};

/// A new webhook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookRequest {
    /// The address to send events to: `https://HOST/PATH`, at most 2,048 characters, on one of the hosts in the
    /// service's settings.
    #[schema(max_length = 2048)]
    url: String,
    /// The types to send; all, also future ones, if absent.
    #[schema(value_type = Option<Vec<EventType>>, min_items = 1)]
    types: Option<Vec<String>>,
    /// Position in the list of events after which to begin, 0 for the first event; events from now on if absent.
    #[schema(minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    after: Option<u64>,
}

/// A new webhook. This is the only answer with its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct NewWebhook {
    /// The secret that verifies signatures: `whsec_` and 32 bytes in Base64.
    secret: String,
    /// The stored description of the webhook.
    #[serde(flatten)]
    kept: Webhook,
}

/// All webhooks.
#[derive(Serialize, ToSchema)]
pub(super) struct Webhooks {
    /// Oldest first.
    webhooks: Vec<Counted>,
}

/// Send events to an address. Only this answer has the secret that verifies them.
#[utoipa::path(
    post, path = "/v1/webhooks", operation_id = "create_webhook", tag = "events",
    request_body = WebhookRequest,
    responses(
        (status = 201, body = NewWebhook),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Json(body): Json<WebhookRequest>,
) -> Result<Response, Problem> {
    let WebhookRequest { url, types, after } = body;
    let url = app.webhooks.check(&url)?.to_string();
    let types = types.as_deref().map(wanted_types).transpose()?;
    page(after, None)?;
    let (secret, created_by) = (Secret::draw(), caller.id().to_owned());
    // As it is stored.
    let created_at = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let kept = Webhook { id: new_id("whk"), url, types, created_by, created_at, disabled: None };
    app.work(move |app| {
        app.screener().gallery.add_webhook(&kept, secret.bytes(), after)?;
        let fresh = Answer(NewWebhook { secret: secret.to_string(), kept });
        Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], fresh).into_response())
    })
    .await
}

fn wanted_types(names: &[String]) -> Result<Vec<EventType>, Problem> {
    let mut types = names.iter().map(|name| Ok(name.parse::<EventType>()?)).collect::<Result<Vec<_>, Problem>>()?;
    types.sort_unstable();
    types.dedup();
    if types.is_empty() {
        let detail = "types is empty, expected at least one type; leave types out to receive all types";
        return Err(Problem::invalid("types-empty", detail));
    }
    Ok(types)
}

/// List the webhooks, with the numbers of their deliveries.
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "list_webhooks", tag = "events", responses((status = 200, body = Webhooks)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Webhooks>, Problem> {
    app.work_beside(|app| Ok(Json(Webhooks { webhooks: app.screener().gallery.webhooks()? }))).await
}

/// Delete a webhook with its deliveries. Nothing more is sent to its address.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", operation_id = "delete_webhook", tag = "events",
    params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.work(move |app| {
        let deleted = app.screener().gallery.delete_webhook(caller.id(), &id)?;
        if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("webhook", &id)) }
    })
    .await
}

/// Send events to a webhook again after its receiver answered 410. The events since then are sent, too.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/enable", operation_id = "enable_webhook", tag = "events",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Webhook),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn enable(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path(id): Path<String>,
) -> Result<Json<Webhook>, Problem> {
    app.work(move |app| {
        let (webhook, _) = found(app, &id)?;
        app.webhooks.check(&webhook.url)?;
        let enabled = app.screener().gallery.enable_webhook(caller.id(), &id)?;
        enabled.map(Json).ok_or_else(|| Problem::not_found("webhook", &id))
    })
    .await
}

/// The result of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestAnswer {
    /// Whether the receiver answered with a status of 200 to 299.
    delivered: bool,
    /// The HTTP status of the answer; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The first 1,024 bytes of the answer as text.
    body: String,
    /// Why it was not delivered; absent if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What a test sends.
#[derive(Serialize)]
struct TestData {
    webhook_id: String,
}

/// Send a `webhook.test` event now, once, and return what the receiver answered.
///
/// A disabled webhook is tested as well, and stays disabled.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/test", operation_id = "test_webhook", tag = "events",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = TestAnswer),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn test(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<TestAnswer>, Problem> {
    let _place = app.fetching()?;
    let (webhook, secret) = app.work_beside(move |app| found(app, &id)).await?;
    app.webhooks.check(&webhook.url)?;
    let data = TestData { webhook_id: webhook.id };
    let message = Message { kind: "webhook.test", timestamp: Timestamp::now(), data: &data };
    let answered = app.webhooks.send(&webhook.url, &secret, &new_id("msg"), &message).await;
    let delivered = answered.error.is_none();
    Ok(Json(TestAnswer { delivered, status: answered.status, body: answered.body, error: answered.error }))
}

fn found(app: &App, id: &str) -> Result<(Webhook, Secret), Problem> {
    let found = app.screener().gallery.webhook(id)?;
    found.map(|(webhook, secret)| (webhook, secret.into())).ok_or_else(|| Problem::not_found("webhook", id))
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// `waiting`, `delivered` or `dead`; all if absent.
    #[param(value_type = Option<DeliveryState>)]
    state: Option<String>,
    /// Only events before this position: `seq` of the last delivery of the page before.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    before: Option<u64>,
    /// Most deliveries to return, 1 to 1000; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryPage {
    /// Newest event first.
    deliveries: Vec<Delivery>,
}

/// List what was sent to a webhook, and what waits or is dead. Deliveries that succeeded are listed for 30 days.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/deliveries", operation_id = "list_deliveries", tag = "events",
    params(("id" = String, Path), DeliveriesQuery),
    responses(
        (status = 200, body = DeliveryPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn deliveries(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<DeliveryPage>, Problem> {
    let (_, limit) = page(query.before, query.limit)?;
    let state = query.state.map(|text| text.parse::<DeliveryState>()).transpose()?;
    app.work_beside(move |app| {
        found(app, &id)?;
        let query = DeliveryQuery { webhook: Some(id), state, before: query.before, limit };
        Ok(Json(DeliveryPage { deliveries: app.screener().gallery.deliveries(&query)? }))
    })
    .await
}

/// Send an event again, dead or delivered, with all attempts before it.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/deliveries/{delivery}/resend", operation_id = "resend_delivery", tag = "events",
    params(("id" = String, Path), ("delivery" = String, Path)),
    responses(
        (status = 200, body = Delivery),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn resend(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<Json<Delivery>, Problem> {
    app.work(move |app| Ok(Json(send_again(app, (caller.id(), None), (&id, &delivery))?))).await
}

/// Makes a delivery due now, for a key or for a moderator.
pub(super) fn send_again(
    app: &App,
    by: (&str, Option<&str>),
    (id, delivery): (&str, &str),
) -> Result<Delivery, Problem> {
    let (webhook, _) = found(app, id)?;
    app.webhooks.check(&webhook.url)?;
    if let Some(why) = webhook.disabled {
        let detail = format!("the webhook {id} is disabled ({why}); enable it first: POST /v1/webhooks/{id}/enable");
        return Err(Problem::new(StatusCode::CONFLICT, "webhook-disabled", detail));
    }
    let again = app.screener().gallery.resend(by, (id, delivery), Timestamp::now())?;
    again.ok_or_else(|| Problem::not_found("delivery", delivery))
}

impl From<UrlFault> for Problem {
    fn from(fault: UrlFault) -> Self {
        Self::invalid(fault.code(), fault.to_string())
    }
}
