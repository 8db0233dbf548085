//! Who asks: sessions by cookie, which ends with the browser, and here after some hours; forms by token, refusals as pages.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::console;
use crate::gallery::{GalleryError, Session};
use crate::http::App;
use crate::moderation::{DeskError, SignIn, Worker, sign_in, token_sum};
use crate::photo::Sha256;

const COOKIE: &str = "touchstone_session";
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// Somebody who is signed in.
pub(super) struct Moderator {
    pub(super) session: Session,
    token: Sha256,
    /// Whether scripts ask for a part of a page.
    pub(super) htmx: bool,
}

impl Moderator {
    pub(super) fn worker(&self) -> Worker {
        Worker { name: self.session.account.clone(), session: self.session.id.clone() }
    }

    /// Whether a form comes from a page of this session. Sums are compared, so that the time taken says nothing.
    pub(super) fn check(&self, csrf: Option<&str>) -> Result<(), Refusal> {
        let same = csrf.is_some_and(|csrf| token_sum(csrf) == token_sum(&self.session.csrf));
        if same { Ok(()) } else { Err(Refusal::Forged(Some(Box::new(self.session.clone())))) }
    }
}

/// Why a page is not shown, or something not done.
pub(in crate::http) enum Refusal {
    /// Nobody is signed in; where they wanted to go.
    SignedOut { next: String, htmx: bool },
    /// The form does not come from a page of this session.
    Forged(Option<Box<Session>>),
    /// Something in the request is wrong.
    Wrong(StatusCode, String),
    /// It is for admins.
    NotAllowed(Box<Session>),
    /// The desk refuses.
    Desk(Box<DeskError>),
    /// The service cannot answer.
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

impl From<super::super::Problem> for Refusal {
    fn from(problem: super::super::Problem) -> Self {
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::Wrong(status, problem.detail().to_owned())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, session, detail) = match self {
            Self::SignedOut { next, htmx } => {
                let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
                let login = format!("/console/login?next={next}");
                // A script cannot follow to a page: it is told where to go.
                return if htmx {
                    (StatusCode::UNAUTHORIZED, [(HX_REDIRECT, login)]).into_response()
                } else {
                    Redirect::to(&login).into_response()
                };
            }
            Self::Forged(session) => (
                StatusCode::FORBIDDEN,
                session,
                "This form does not belong to this session. Open the page again and send it from there.".to_owned(),
            ),
            Self::Wrong(status, detail) => (status, None, detail),
            Self::NotAllowed(session) => (StatusCode::FORBIDDEN, Some(session), "This page is for admins.".to_owned()),
            Self::Desk(error) => (desk_status(&error), None, desk_detail(&error)),
            Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, None, "The service is at its capacity; try again.".to_owned())
            }
        };
        let title = status.canonical_reason().unwrap_or("Error");
        (status, Html(console::problem(session.as_deref(), title, &detail).into_string())).into_response()
    }
}

fn desk_status(error: &DeskError) -> StatusCode {
    match error {
        DeskError::Unknown(_)
        | DeskError::NoSuchReference(_)
        | DeskError::NoSuchUpload(_)
        | DeskError::NoSuchPhoto { .. } => StatusCode::NOT_FOUND,
        DeskError::NotTheirs(_) | DeskError::ChangedSince { .. } | DeskError::CannotAppeal(_) => StatusCode::CONFLICT,
        DeskError::NoSuchPair(_)
        | DeskError::NothingToUndo
        | DeskError::NothingRestricted(_)
        | DeskError::NoActiveReference(_)
        | DeskError::Name(_)
        | DeskError::Screen(crate::screening::ScreenError::Photo { .. })
        | DeskError::Enrol(crate::enrolment::EnrolError::Photo(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The cause of a fault goes to the log.
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
        let signed_out = || Refusal::SignedOut { next: next.clone(), htmx };
        let jar = CookieJar::from_headers(&parts.headers);
        let token = token_sum(jar.get(COOKIE).map(Cookie::value).ok_or_else(signed_out)?);
        let found = app.work_beside(move |app| Ok(app.screener().gallery.session(token)?)).await;
        match found {
            Ok(Some(session)) => Ok(Self { session, token, htmx }),
            Ok(None) => Err(signed_out()),
            Err(_) => Err(Refusal::Busy),
        }
    }
}

fn is_htmx(headers: &HeaderMap) -> bool {
    headers.contains_key(HX_REQUEST)
}

/// A form that comes from a page of the session.
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

/// A form or a query as names and texts; of a name that comes twice the last one counts.
pub(super) fn form<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let pairs: serde_json::Map<String, serde_json::Value> = url::form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), serde_json::Value::String(value.into_owned())))
        .collect();
    serde_json::from_value(serde_json::Value::Object(pairs))
        .map_err(|error| format!("The form is not as expected: {error}."))
}

#[derive(Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

pub(super) async fn page(Query(Next { next }): Query<Next>) -> Html<String> {
    Html(console::login(None, next.as_deref().unwrap_or_default()).into_string())
}

#[derive(Deserialize)]
pub(super) struct Login {
    name: String,
    password: String,
    next: Option<String>,
}

pub(super) async fn login(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    axum::Form(Login { name, password, next }): axum::Form<Login>,
) -> Result<Response, Refusal> {
    // There is no session yet whose token a form could hold: browsers say where it comes from.
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(Refusal::Forged(None));
    }
    let next = next.filter(|next| is_own_page(next)).unwrap_or_else(|| "/console".to_owned());
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
        SignIn::Wrong => refused(StatusCode::UNAUTHORIZED, "Name or password is wrong."),
        SignIn::Wait(wait) => {
            let seconds = wait.as_secs() + 1;
            let text = format!("Too many wrong passwords for this name; try again in {seconds} s.");
            let mut response = refused(StatusCode::TOO_MANY_REQUESTS, &text);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
    })
}

/// Only pages of the console are gone to after signing in: a link may name any.
fn is_own_page(next: &str) -> bool {
    next == "/console" || next.starts_with("/console/") || next.starts_with("/console?")
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
