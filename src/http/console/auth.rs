//! Sessions, which a cookie names and which end with the browser or after some hours; form tokens; rejections as pages.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::console;
use crate::gallery::{GalleryError, Session};
use crate::http::{App, Problem};
use crate::moderation::{DeskError, SignIn, Worker, sign_in, token_sum};
use crate::photo::Sha256;

const COOKIE: &str = "touchstone_session";
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
pub(super) const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// A signed-in moderator or admin.
pub(super) struct Moderator {
    pub(super) session: Session,
    token: Sha256,
    /// Whether a script (htmx) requests a part of a page.
    pub(super) htmx: bool,
}

impl Moderator {
    pub(super) fn worker(&self) -> Worker {
        Worker { name: self.session.account.clone(), session: self.session.id.clone() }
    }

    /// Rejects a form that no page of this session sent. Checksums are compared, so that timing reveals nothing.
    pub(super) fn check(&self, csrf: Option<&str>) -> Result<(), Refusal> {
        let same = csrf.is_some_and(|csrf| token_sum(csrf) == token_sum(&self.session.csrf));
        if same { Ok(()) } else { Err(Refusal::Forged) }
    }
}

/// Why a page is not shown, or an act is not done.
pub(in crate::http) enum Refusal {
    /// Nobody is signed in; `next` is the requested page.
    SignedOut { next: String, htmx: bool },
    /// No page of this session sent the form.
    Forged,
    /// The request is invalid: status and message.
    Wrong(StatusCode, String),
    /// Only admins may see the page.
    NotAllowed,
    /// The desk returned an error.
    Desk(Box<DeskError>),
    /// The service is at its capacity.
    Busy,
}

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Self {
        Self::Desk(Box::new(error))
    }
}

impl From<GalleryError> for Refusal {
    fn from(error: GalleryError) -> Self {
        DeskError::from(error).into()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::Wrong(status, problem.detail().to_owned())
    }
}

/// The message of a refusal. [`refusals_as_pages`] writes the page, because it knows who is signed in.
#[derive(Clone)]
struct Said(String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::SignedOut { next, htmx } => {
                let login = format!("/console/login?next={}", console::encoded(&next));
                // A script cannot follow a redirect to a page: a header tells it the address.
                return if htmx {
                    (StatusCode::UNAUTHORIZED, [(HX_REDIRECT, login)]).into_response()
                } else {
                    Redirect::to(&login).into_response()
                };
            }
            Self::Forged => (
                StatusCode::FORBIDDEN,
                "This form does not belong to this session. Reload the page and send the form again.".to_owned(),
            ),
            Self::Wrong(status, detail) => (status, detail),
            Self::NotAllowed => (StatusCode::FORBIDDEN, "Only admins may see this page.".to_owned()),
            Self::Desk(error) => (desk_status(&error), desk_detail(&error)),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "The service is at its capacity; try again.".to_owned()),
        };
        (status, Extension(Said(detail))).into_response()
    }
}

/// Shows a refusal as a whole page; for scripts, as one paragraph that they insert into their page.
pub(super) async fn refusals_as_pages(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let (htmx, jar) = (is_htmx(headers), CookieJar::from_headers(headers));
    let response = next.run(request).await;
    let Some(Said(detail)) = response.extensions().get::<Said>().cloned() else {
        return response;
    };
    let status = response.status();
    let text = if htmx {
        console::notice(&detail)
    } else {
        let session = session(&app, &jar).await.ok().flatten().map(|(session, _)| session);
        console::problem(session.as_ref(), status.canonical_reason().unwrap_or("Error"), &detail)
    };
    (status, Html(text.into_string())).into_response()
}

/// The session of the request's cookie, with the SHA-256 of its token.
async fn session(app: &Arc<App>, jar: &CookieJar) -> Result<Option<(Session, Sha256)>, Problem> {
    let Some(token) = jar.get(COOKIE).map(|cookie| token_sum(cookie.value())) else {
        return Ok(None);
    };
    let found = app.work_beside(move |app| Ok(app.screener().gallery.session(token)?)).await?;
    Ok(found.map(|session| (session, token)))
}

fn desk_status(error: &DeskError) -> StatusCode {
    match error {
        DeskError::Unknown(_)
        | DeskError::NoSuchReference(_)
        | DeskError::UnknownNotice(_)
        | DeskError::UnknownSeller(_)
        | DeskError::UnknownClosure(_)
        | DeskError::NoSuchUpload(_)
        | DeskError::NoSuchPhoto { .. } => StatusCode::NOT_FOUND,
        DeskError::NotTheirs(_)
        | DeskError::ChangedSince { .. }
        | DeskError::CannotAppeal(_)
        | DeskError::TransitionNotAllowed { .. }
        | DeskError::OwnNotice
        | DeskError::ClosureNotAllowed { .. }
        | DeskError::NothingToChange(_) => StatusCode::CONFLICT,
        DeskError::NoSuchPair(_)
        | DeskError::NoAuthenticMatch(_)
        | DeskError::NothingToUndo
        | DeskError::NothingRestricted(_)
        | DeskError::Erased(_)
        | DeskError::NoActiveReference(_)
        | DeskError::NoReason
        | DeskError::Name(_)
        | DeskError::Screen(crate::screening::ScreenError::Photo { .. })
        | DeskError::Enrol(crate::enrolment::EnrolError::Photo(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The message for an error of the desk. The cause of an internal fault goes to the log only.
fn desk_detail(error: &DeskError) -> String {
    if desk_status(error).is_server_error() {
        tracing::error!(%error, "the console could not answer");
        return "The service cannot answer now; try again, and see /readyz.".to_owned();
    }
    format!("{error}.")
}

impl FromRequestParts<Arc<App>> for Moderator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let htmx = is_htmx(&parts.headers);
        let next = if parts.method.is_safe() {
            parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default()
        } else {
            "/console".to_owned()
        };
        match session(app, &CookieJar::from_headers(&parts.headers)).await {
            Ok(Some((session, token))) => Ok(Self { session, token, htmx }),
            Ok(None) => Err(Refusal::SignedOut { next, htmx }),
            Err(_) => Err(Refusal::Busy),
        }
    }
}

fn is_htmx(headers: &HeaderMap) -> bool {
    headers.contains_key(HX_REQUEST)
}

/// `axum::extract::Query` whose rejections are pages.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Refusal))]
pub(super) struct Query<T>(pub(super) T);

/// `axum::extract::Path` whose rejections are pages.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Refusal))]
pub(super) struct Path<T>(pub(super) T);

impl From<QueryRejection> for Refusal {
    fn from(wrong: QueryRejection) -> Self {
        Self::Wrong(wrong.status(), format!("{}.", wrong.body_text()))
    }
}

impl From<PathRejection> for Refusal {
    fn from(wrong: PathRejection) -> Self {
        Self::Wrong(wrong.status(), format!("{}.", wrong.body_text()))
    }
}

/// A form that a page of the session sent.
pub(super) struct Signed<T>(pub(super) Moderator, pub(super) T);

#[derive(Deserialize)]
struct Token {
    csrf: Option<String>,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Signed<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let moderator = Moderator::from_request_parts(&mut parts, app).await?;
        let request = Request::from_parts(parts, body);
        let wrong = |status, error: &dyn std::fmt::Display| Refusal::Wrong(status, error.to_string());
        let bytes = Bytes::from_request(request, app).await;
        let bytes = bytes.map_err(|error| wrong(error.status(), &error.body_text()))?;
        let read = |error| wrong(StatusCode::UNPROCESSABLE_ENTITY, &error);
        let token: Token = form(&bytes).map_err(read)?;
        moderator.check(token.csrf.as_deref())?;
        Ok(Self(moderator, form(&bytes).map_err(read)?))
    }
}

/// Parses a form or a query. Of a name that occurs twice, the last value counts.
pub(super) fn form<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let pairs: serde_json::Map<String, serde_json::Value> = url::form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), serde_json::Value::String(value.into_owned())))
        .collect();
    serde_json::from_value(serde_json::Value::Object(pairs))
        .map_err(|error| format!("The form is invalid: {error}. Reload the page and try again."))
}

#[derive(Deserialize)]
pub(super) struct Goal {
    next: Option<String>,
}

pub(super) async fn page(Query(Goal { next }): Query<Goal>) -> Html<String> {
    Html(console::login(None, next.as_deref().unwrap_or_default()).into_string())
}

#[derive(Deserialize)]
pub(super) struct Login {
    name: String,
    password: String,
    next: Option<String>,
}

pub(super) async fn login(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    let Login { name, password, next } =
        form(&body).map_err(|detail| Refusal::Wrong(StatusCode::UNPROCESSABLE_ENTITY, detail))?;
    // There is no session yet whose token a form could carry: the browser's header names the origin.
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(Refusal::Forged);
    }
    let next = next.as_deref().and_then(own_page).unwrap_or_else(|| "/console".to_owned());
    let signed = app.work(move |app| Ok(sign_in(&app.screener().gallery, &app.guard, &name, &password)?)).await?;
    let refused = |status, text: &str| (status, Html(console::login(Some(text), &next).into_string())).into_response();
    Ok(match signed {
        SignIn::Welcome(token) => {
            let cookie = Cookie::build((COOKIE, token))
                .path("/console")
                .http_only(true)
                .same_site(SameSite::Strict)
                .secure(app.console.secure_cookie);
            (CookieJar::new().add(cookie), Redirect::to(&next)).into_response()
        }
        SignIn::Wrong => refused(StatusCode::UNAUTHORIZED, "The name or the password is wrong."),
        SignIn::Wait(wait) => {
            let seconds = wait.as_secs() + 1;
            let text = format!("Too many wrong passwords for this name; try again in {seconds} s.");
            let mut response = refused(StatusCode::TOO_MANY_REQUESTS, &text);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
    })
}

/// The page to show after signing in: pages of the console only, because a link may name any. Parsed as browsers do.
fn own_page(next: &str) -> Option<String> {
    let here = url::Url::parse("http://console.invalid/").ok()?;
    let there = here.join(next).ok()?;
    let inside = there.path() == "/console" || there.path().starts_with("/console/");
    let own = there.origin() == here.origin() && inside;
    own.then(|| there[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Signed(moderator, Nothing {}): Signed<Nothing>,
) -> Result<Response, Refusal> {
    let Moderator { session, token, .. } = moderator;
    app.work_beside(move |app| Ok(app.screener().gallery.close_session(&session, token)?)).await?;
    let gone = Cookie::build((COOKIE, "")).path("/console");
    Ok((CookieJar::new().remove(gone), Redirect::to("/console/login")).into_response())
}
