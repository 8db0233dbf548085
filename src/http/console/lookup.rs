use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::auth::{Moderator, Path, Query, Refusal};
use super::flash::flash_text;
use crate::console::{self, LookupPage, Picture, chosen};
use crate::domain::{InvalidName, ReferenceState};
use crate::gallery::VectorQuery;
use crate::http::App;
use crate::http::form::{Form, Parts, Rules};
use crate::moderation::{DeskError, Finder, Subject};
use crate::screening::ScreenError;

/// Results per page.
const SHOWN: usize = 60;

pub(super) async fn page(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Query(all): Query<Vec<(String, String)>>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let desk = app.desk();
        let subject = subject(&all)?;
        let found = match &subject {
            Some(subject) => Finder(&desk).find(subject, &query(&all)?, SHOWN)?,
            None => Vec::new(),
        };
        let shown = match &subject {
            Some(Subject::Photo(sum)) => Some((Picture::Photo(*sum), "The photo that you look up")),
            Some(Subject::Reference(id)) => {
                let reference = desk.parts().screener.gallery.find(id)?;
                let picture = reference.map(|reference| Picture::Reference(reference.photo.sha256));
                picture.map(|picture| (picture, "The reference that you look up"))
            }
            None => None,
        };
        let show = LookupPage {
            session: &moderator.session,
            subject: shown.map(|(picture, alt)| (picture, alt.to_owned())),
            chosen: &all,
            found: &found,
            brands: &desk.parts().screener.library.brand_ids(),
            notice: None,
        };
        let page = if moderator.htmx { console::results(&show) } else { console::lookup(&show) };
        Ok(Html(page.into_string()))
    })
    .await
}

fn subject(all: &[(String, String)]) -> Result<Option<Subject>, DeskError> {
    if let Some(id) = chosen(all, "reference") {
        return Ok(Some(Subject::Reference(id.to_owned())));
    }
    let wrong = |text: &str| InvalidName(format!("photo is {text:?}, expected 64 lower-case hex digits"));
    let photo = chosen(all, "photo").map(|text| text.parse().map_err(|_| wrong(text))).transpose()?;
    Ok(photo.map(Subject::Photo))
}

fn query(all: &[(String, String)]) -> Result<VectorQuery, DeskError> {
    let state = chosen(all, "state").map(str::parse).transpose()?.unwrap_or(ReferenceState::Active);
    if state == ReferenceState::Staged {
        return Err(InvalidName("state is staged, expected active, disabled, quarantined or retired".to_owned()).into());
    }
    Ok(VectorQuery {
        state,
        brand: chosen(all, "brand").map(str::parse).transpose()?,
        polarity: chosen(all, "polarity").map(str::parse).transpose()?,
        product: chosen(all, "product").map(str::to_owned),
        since: chosen(all, "since").map(|text| midnight(text, 0)).transpose()?,
        until: chosen(all, "until").map(|text| midnight(text, 1)).transpose()?,
        in_doubt: false,
    })
}

/// The start of a day in UTC, `later` days after the given one.
pub(super) fn midnight(text: &str, later: i64) -> Result<Timestamp, DeskError> {
    let wrong = || InvalidName(format!("the date is {text:?}, expected YYYY-MM-DD"));
    let day: Date = text.parse().map_err(|_| wrong())?;
    let day = day.checked_add(later.days()).map_err(|_| wrong())?;
    Ok(day.to_zoned(TimeZone::UTC).map_err(|_| wrong())?.timestamp())
}

/// Stores a photo to look up, and redirects to its page, whose address can be shared.
pub(super) async fn take(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    request: Request,
) -> Result<Response, Refusal> {
    let _place = app.admit_moderator()?;
    let Parts(body) = Parts::from_request(request, &()).await?;
    let max_photo_bytes = app.screener().decoder.limits().max_bytes;
    let rules = Rules { texts: &[("csrf", 64)], max_photos: 1, max_photo_bytes, urls: false };
    let mut form = Form::read(body, &rules).await?;
    moderator.check(form.text("csrf").as_deref())?;
    app.page(move |app| {
        let desk = app.desk();
        match Finder(&desk).take(&form.photo()) {
            Ok(sum) => Ok(Redirect::to(&format!("/console/lookup?photo={sum}")).into_response()),
            Err(DeskError::Screen(ScreenError::Photo { source, .. })) => {
                let show = LookupPage {
                    session: &moderator.session,
                    subject: None,
                    chosen: &[],
                    found: &[],
                    brands: &[],
                    notice: Some(&format!("This file cannot be looked up: {source}.")),
                };
                let page = Html(console::lookup(&show).into_string());
                Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
            }
            Err(other) => Err(other.into()),
        }
    })
    .await
}

pub(super) async fn reference(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Path(id): Path<String>,
    Query(all): Query<Vec<(String, String)>>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let desk = app.desk();
        let gallery = &desk.parts().screener.gallery;
        let notice = flash_text(chosen(&all, "told"));
        let reference = gallery.find(&id)?.ok_or(DeskError::NoSuchReference(id))?;
        let record = gallery.reference_record(reference.key)?;
        Ok(Html(console::reference(&moderator.session, &reference, record, notice).into_string()))
    })
    .await
}
