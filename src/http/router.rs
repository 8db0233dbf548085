use std::any::Any;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    App, Problem, access, alliances, batches, cases, checks, console, drain, encoding, events, hma, keys, lookbacks,
    lookups, notices, observe, outcomes, policies, references, sellers, system, webhooks,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(OpenApi)]
#[openapi(info(title = "touchstone", description = "Checks listing photos against brands' authentic and known-fake photos and logos. \
A match to an authentic photo proves that a brand's photo is reused, nothing about the goods. \
Errors are RFC 9457 problem+json with a stable `code`."), tags(
    (name = "checks", description = "Screen a listing's photos"),
    (name = "lookups", description = "Find similar references"),
    (name = "references", description = "A brand's authentic and known-fake photos and logos"),
    (name = "policies", description = "The actions that a brand's matches lead to"),
    (name = "certificates", description = "The outcomes of checks, and what they prove"),
    (name = "notices", description = "Ask the marketplace to take listings down"),
    (name = "sellers", description = "Sellers' records and links, and proposals to close their accounts"),
    (name = "alliances", description = "Members of alliances take signals, and acknowledge them"),
    (name = "hma", description = "The protocol of Meta's Hasher-Matcher-Actioner, for tools that speak it"),
    (name = "events", description = "What happened, to read or to receive"),
    (name = "keys", description = "Make, list and revoke API keys"),
    (name = "system", description = "State of the service"),
))]
struct Document;

/// Most bytes of a JSON body; only photos need more.
const MAX_JSON_BYTES: usize = 1 << 20;

fn api() -> OpenApiRouter<Arc<App>> {
    let small = OpenApiRouter::new()
        .routes(routes!(references::get, references::patch, references::delete))
        .routes(routes!(policies::get, policies::put))
        .routes(routes!(outcomes::put))
        .routes(routes!(outcomes::get))
        .routes(routes!(cases::get))
        .routes(routes!(cases::appeal))
        .routes(routes!(events::list))
        .routes(routes!(lookbacks::list))
        .routes(routes!(hma::raw_lookup))
        .routes(routes!(hma::banks))
        .routes(routes!(hma::index_status))
        .routes(routes!(alliances::join))
        .routes(routes!(alliances::signals))
        .routes(routes!(alliances::acknowledge))
        .routes(routes!(notices::list))
        .routes(routes!(notices::get))
        .routes(routes!(notices::put))
        .routes(routes!(notices::standing))
        .routes(routes!(sellers::get))
        .routes(routes!(sellers::links))
        .routes(routes!(sellers::list))
        .routes(routes!(sellers::closure))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::delete))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::enable))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::resend))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::revoke))
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES));
    let filing =
        OpenApiRouter::new().routes(routes!(notices::create)).layer(DefaultBodyLimit::max(notices::MAX_NOTICE_BYTES));
    let mut api = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(checks::create))
        .routes(routes!(batches::create))
        .routes(routes!(checks::get))
        .routes(routes!(lookups::create))
        .routes(routes!(hma::hash_url, hma::hash_photo))
        .routes(routes!(hma::lookup_hash, hma::lookup_photo))
        .routes(routes!(references::create, references::list))
        .merge(small)
        .merge(filing)
        .routes(routes!(system::index))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(system::metrics));
    access::document(api.get_openapi_mut());
    api
}

/// All routes over `app`, and `more` routes, which need no key. A panic in any of them ends its own request only.
pub(super) fn router_with(app: Arc<App>, more: Router<Arc<App>>) -> Router {
    let (router, document) = api().split_for_parts();
    let docs = SwaggerUi::new("/docs").url("/openapi.json", document);
    router
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), access::guard))
        .merge(more)
        .merge(docs)
        .merge(console::routes(Arc::clone(&app)))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(
            ServiceBuilder::new()
                .map_request(own_request_id)
                .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
                .layer(PropagateRequestIdLayer::new(REQUEST_ID))
                .layer(middleware::from_fn_with_state(Arc::clone(&app), observe::observe))
                .layer(middleware::from_fn(drain::drain))
                .layer(middleware::from_fn(encoding::refuse_packed))
                .layer(CatchPanicLayer::custom(panicked))
                .layer(DefaultBodyLimit::max(app.server.max_request_bytes)),
        )
        .with_state(app)
}

/// Keeps the caller's request id where it is valid, because it goes into the log and into the answer.
fn own_request_id<B>(mut request: axum::http::Request<B>) -> axum::http::Request<B> {
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    let given = request.headers().get(REQUEST_ID).map(axum::http::HeaderValue::as_bytes);
    if given.is_some_and(|id| !(1..=128).contains(&id.len()) || !id.iter().all(|byte| fits(*byte))) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

/// The OpenAPI document, pretty-printed.
#[must_use]
pub fn openapi_json() -> String {
    api().get_openapi().to_pretty_json().unwrap_or_default()
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "route-unknown", format!("there is no route {}; /docs lists them", uri.path()))
}

pub(super) async fn unknown_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-unknown",
        format!("{} does not accept {method}; /docs lists the methods of each route", uri.path()),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that CatchPanicLayer asks for")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("unknown"), "a handler panicked");
    Problem::internal().into_response()
}
