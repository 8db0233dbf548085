//! Authentication, authorisation and rate limits. One table names every route of the API with the scopes that may call
//! it; a route that is not in the table is rejected for everybody. A brand's key reaches its own brand only, which is
//! checked before any handler runs.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Required, Response as Documented, ResponseBuilder};

use super::{App, Problem};
use crate::domain::{BrandId, ScopeName};
use crate::gallery::{ApiKey, Gallery};
use crate::keys::{KeyRefused, authenticate, usable};
use crate::telemetry;

/// Who may call a route.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    /// Everybody, without a key.
    Anybody,
    /// Keys of these scopes.
    Only(&'static [ScopeName]),
}

use ScopeName::{Admin, Alliance, Brand, Moderator, Platform};
use Who::{Anybody, Only};

/// Method, route, and who may call it.
pub(super) const ROUTES: &[(Method, &str, Who)] = &[
    (Method::POST, "/v1/checks", Only(&[Platform, Admin])),
    (Method::POST, "/v1/checks:batch", Only(&[Platform, Admin])),
    (Method::GET, "/v1/checks/{id}", Only(&[Platform, Moderator, Admin])),
    (Method::GET, "/v1/checks/{id}/case", Only(&[Platform, Moderator, Admin])),
    (Method::POST, "/v1/checks/{id}/appeals", Only(&[Platform, Admin])),
    // Outcomes certify blocks: a brand must not speak about itself.
    (Method::PUT, "/v1/checks/{id}/outcomes/{brand}", Only(&[Platform, Admin])),
    (Method::GET, "/v1/events", Only(&[Platform, Moderator, Admin])),
    (Method::POST, "/v1/webhooks", Only(&[Admin])),
    (Method::GET, "/v1/webhooks", Only(&[Admin])),
    (Method::DELETE, "/v1/webhooks/{id}", Only(&[Admin])),
    (Method::POST, "/v1/webhooks/{id}/test", Only(&[Admin])),
    (Method::POST, "/v1/webhooks/{id}/enable", Only(&[Admin])),
    (Method::GET, "/v1/webhooks/{id}/deliveries", Only(&[Admin])),
    (Method::POST, "/v1/webhooks/{id}/deliveries/{delivery}/resend", Only(&[Admin])),
    (Method::POST, "/v1/lookups", Only(&[Platform, Brand, Moderator, Admin])),
    (Method::POST, "/v1/brands/{brand}/references", Only(&[Brand, Admin])),
    (Method::GET, "/v1/brands/{brand}/references", Only(&[Brand, Moderator, Admin])),
    (Method::GET, "/v1/brands/{brand}/references/{id}", Only(&[Brand, Moderator, Admin])),
    (Method::PATCH, "/v1/brands/{brand}/references/{id}", Only(&[Brand, Admin])),
    (Method::DELETE, "/v1/brands/{brand}/references/{id}", Only(&[Brand, Admin])),
    (Method::GET, "/v1/brands/{brand}/policy", Only(&[Brand, Moderator, Admin])),
    (Method::PUT, "/v1/brands/{brand}/policy", Only(&[Brand, Admin])),
    (Method::GET, "/v1/brands/{brand}/certificate", Only(&[Brand, Moderator, Admin])),
    (Method::GET, "/v1/brands/{brand}/lookbacks", Only(&[Brand, Moderator, Admin])),
    (Method::GET, "/v1/brands/{brand}/standing", Only(&[Platform, Brand, Moderator, Admin])),
    // The body or the notice itself names the brand: the handlers compare it with the key's.
    (Method::POST, "/v1/notices", Only(&[Brand, Admin])),
    (Method::GET, "/v1/notices", Only(&[Platform, Brand, Moderator, Admin])),
    (Method::GET, "/v1/notices/{id}", Only(&[Platform, Brand, Moderator, Admin])),
    (Method::PUT, "/v1/notices/{id}/listings/{listing_id}", Only(&[Platform, Brand, Admin])),
    (Method::GET, "/v1/sellers/{seller_id}", Only(&[Platform, Moderator, Admin])),
    (Method::GET, "/v1/sellers/{seller_id}/links", Only(&[Platform, Moderator, Admin])),
    (Method::GET, "/v1/closures", Only(&[Platform, Moderator, Admin])),
    (Method::GET, "/v1/closures/{id}", Only(&[Platform, Moderator, Admin])),
    // The handlers find the member by its key, and compare the alliance.
    (Method::POST, "/v1/alliances/{alliance}/members", Only(&[Alliance])),
    (Method::GET, "/v1/alliances/{alliance}/signals", Only(&[Alliance])),
    (Method::POST, "/v1/alliances/{alliance}/acknowledgements", Only(&[Alliance])),
    // Banks are of every brand.
    (Method::GET, "/h/hash", Only(&[Platform, Moderator, Admin])),
    (Method::POST, "/h/hash", Only(&[Platform, Moderator, Admin])),
    (Method::GET, "/m/raw_lookup", Only(&[Platform, Moderator, Admin])),
    (Method::GET, "/m/lookup", Only(&[Platform, Moderator, Admin])),
    (Method::POST, "/m/lookup", Only(&[Platform, Moderator, Admin])),
    (Method::GET, "/m/index/status", Only(&[Platform, Moderator, Admin])),
    (Method::GET, "/c/banks", Only(&[Platform, Moderator, Admin])),
    // The answer names every brand.
    (Method::GET, "/v1/index", Only(&[Platform, Moderator, Admin])),
    (Method::GET, "/v1/keys", Only(&[Admin])),
    (Method::POST, "/v1/keys", Only(&[Admin])),
    (Method::DELETE, "/v1/keys/{id}", Only(&[Admin])),
    (Method::GET, "/metrics", Only(&[Platform, Admin])),
    (Method::GET, "/healthz", Anybody),
    (Method::GET, "/readyz", Anybody),
];

/// The authenticated API key of a request.
#[derive(Debug, Clone)]
pub(super) struct Caller(ApiKey);

impl Caller {
    /// The key's id, `key_` and 16 digits, as in the audit log.
    pub(super) fn id(&self) -> &str {
        &self.0.id
    }

    /// Whether the key is still valid. Long requests ask again, because a key may expire or be revoked meanwhile.
    pub(super) fn confirm(&self, gallery: &Gallery) -> Result<(), Problem> {
        let key = gallery.key(self.id())?.map(|(key, _)| key);
        let Some(key) = key else { return Err(refused(KeyRefused::Unknown)) };
        usable(&key, Timestamp::now()).map_err(refused)
    }

    /// The brand that a key of scope `brand` is restricted to; `None` for other scopes.
    pub(super) fn brand(&self) -> Option<&BrandId> {
        self.0.scope.brand()
    }

    /// The brand to search: the requested one, but for a brand's key never any other than its own.
    pub(super) fn held_to(&self, asked: Option<BrandId>) -> Result<Option<BrandId>, Problem> {
        let Some(own) = self.brand() else { return Ok(asked) };
        if asked.is_some_and(|asked| asked != *own) {
            return Err(other_brand(&self.0));
        }
        Ok(Some(own.clone()))
    }
}

/// The caller as an extractor for handlers.
pub(super) type Called = Extension<Caller>;

/// Authenticates and authorises a request, and passes it to its handler or rejects it.
pub(super) async fn guard(
    State(app): State<Arc<App>>,
    path: MatchedPath,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
    let Some((_, _, who)) = ROUTES.iter().find(|(known, route, _)| *known == method && *route == path.as_str()) else {
        return super::router::unknown_method(request.method().clone(), request.uri().clone()).await.into_response();
    };
    // No id has one, and PostgreSQL has no texts with it.
    if params.iter().any(|(_, value)| value.contains('\0')) {
        return Problem::new(StatusCode::NOT_FOUND, "not-found", "no id contains a NUL character".to_owned())
            .into_response();
    }
    if let Only(scopes) = who {
        let brand = params.iter().find(|(name, _)| *name == "brand").map(|(_, brand)| brand.to_owned());
        match admitted(&app, request.headers(), scopes, brand.as_deref()).await {
            Ok(caller) => request.extensions_mut().insert(caller),
            Err(problem) => {
                telemetry::kept_out(problem.code());
                return unauthorised(problem);
            }
        };
    }
    next.run(request).await
}

async fn admitted(
    app: &Arc<App>,
    headers: &HeaderMap,
    scopes: &[ScopeName],
    brand: Option<&str>,
) -> Result<Caller, Problem> {
    let text = bearer(headers)?.to_owned();
    let found = app.work_beside(move |app| Ok(authenticate(&app.screener().gallery, &text, Timestamp::now()))).await?;
    let key = found.map_err(refused)?;
    app.limits.take(&key, app.server.key_rate)?;
    if !scopes.contains(&key.scope.name()) {
        let wanted: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "key-scope",
            format!("the key {} is of scope {}, expected {}", key.id, key.scope.name().as_str(), wanted.join(" or ")),
        ));
    }
    // An outcome names a brand that is not the caller's; only a brand's own key is restricted to its brand.
    if key.scope.brand().is_some_and(|own| brand.is_some_and(|asked| asked != own.as_str())) {
        return Err(other_brand(&key));
    }
    Ok(Caller(key))
}

fn other_brand(key: &ApiKey) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "key-brand",
        format!("the key {} is for {}; it may not call routes of another brand", key.id, key.scope),
    )
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "key-missing",
            "the request has no API key, or more than one; send exactly one header Authorization: Bearer and a key that `touchstone key add` made",
        )
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    // With two headers, a proxy in front may have checked the other one.
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let (scheme, text) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(text.trim()) } else { Err(missing()) }
}

fn refused(refused: KeyRefused) -> Problem {
    let code = match &refused {
        KeyRefused::Unknown => "key-unknown",
        KeyRefused::Expired { .. } => "key-expired",
        KeyRefused::Revoked { .. } => "key-revoked",
        KeyRefused::Gallery(_) => "",
    };
    match refused {
        KeyRefused::Gallery(error) => error.into(),
        other => Problem::new(StatusCode::UNAUTHORIZED, code, other.to_string()),
    }
}

fn unauthorised(problem: Problem) -> Response {
    let mut response = problem.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Rate limits and concurrent permits for each key. Only authenticated keys get an entry, which bounds the map.
pub(super) struct Limits {
    rates: Mutex<HashMap<String, (u32, Arc<DefaultDirectRateLimiter>)>>,
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Permits that one key may use at once.
    share: usize,
}

impl Limits {
    /// `places` is the total number of permits. One key may use three quarters of them, so that others can always call.
    pub(super) fn new(places: usize) -> Self {
        Self { rates: Mutex::default(), places: Mutex::default(), share: (places - places / 4).max(1) }
    }

    /// One of the caller's permits; `None` when the caller uses all of them.
    pub(super) fn place(&self, caller: &Caller) -> Option<OwnedSemaphorePermit> {
        let own = {
            let mut places = self.places.lock();
            Arc::clone(places.entry(caller.id().to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.share))))
        };
        own.try_acquire_owned().ok()
    }

    /// Counts a request of `key`, or rejects it. A burst of one second's worth is allowed.
    fn take(&self, key: &ApiKey, usual: u32) -> Result<(), Problem> {
        let Some((rate, limiter)) = self.limiter(key, usual, key.id.clone()) else {
            return Ok(());
        };
        limiter.check().map_err(|_| {
            let mut problem = Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate-limited",
                format!("the key {} may call {rate} times a second; wait, or ask for a higher rate", key.id),
            );
            problem.retry_after(1);
            problem
        })
    }

    /// Waits until the key's rate allows another line of a batch. Lines are counted separately from single requests, so
    /// that a batch does not use up the rate of single requests.
    pub(super) async fn wait(&self, caller: &Caller, usual: u32) {
        let Caller(key) = caller;
        let Some((_, limiter)) = self.limiter(key, usual, format!("{} batches", key.id)) else { return };
        while let Err(early) = limiter.check() {
            tokio::time::sleep(early.wait_time_from(DefaultClock::default().now())).await;
        }
    }

    /// The limiter with this name, at the key's rate; `None` where there is no limit.
    fn limiter(&self, key: &ApiKey, usual: u32, name: String) -> Option<(NonZeroU32, Arc<DefaultDirectRateLimiter>)> {
        let rate = NonZeroU32::new(key.rate.unwrap_or(usual))?;
        let mut limiters = self.rates.lock();
        let fresh = || (rate.get(), Arc::new(RateLimiter::direct(Quota::per_second(rate))));
        let kept = limiters.entry(name).or_insert_with(fresh);
        if kept.0 != rate.get() {
            *kept = fresh();
        }
        Some((rate, Arc::clone(&kept.1)))
    }
}

/// Adds to the OpenAPI document which routes need a key, and the answers to a missing or unsuitable one.
pub(super) fn document(document: &mut OpenApi) {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("tsk_<id>_<secret>").build();
    document.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(scheme));
    for (method, route, who) in ROUTES {
        let Some(item) = document.paths.paths.get_mut(*route) else { continue };
        let operation = match *method {
            Method::GET => &mut item.get,
            Method::POST => &mut item.post,
            Method::PUT => &mut item.put,
            Method::PATCH => &mut item.patch,
            _ => &mut item.delete,
        };
        let Some(operation) = operation else { continue };
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter
                && parameter.parameter_in == ParameterIn::Header
            {
                parameter.required = Required::False;
            }
        }
        if operation.request_body.is_some() {
            let broken = RefOr::T(problem("The body does not match its Content-Type"));
            operation.responses.responses.entry("400".to_owned()).or_insert(broken);
        }
        let Only(scopes) = who else { continue };
        operation.security = Some(vec![SecurityRequirement::new("key", [] as [&str; 0])]);
        let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        let forbidden = format!("The key's scope may not call this, expected one of: {}", names.join(", "));
        for (status, text) in [("401", "No API key, or an invalid, expired or revoked one"), ("403", &forbidden)] {
            operation.responses.responses.insert(status.to_owned(), RefOr::T(problem(text)));
        }
        let often = RefOr::T(problem("The key exceeds its rate, or the service is at its capacity"));
        operation.responses.responses.insert("429".to_owned(), often);
    }
}

fn problem(description: &str) -> Documented {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}
