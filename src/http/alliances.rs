//! Routes for members of alliances: join, take signals, acknowledge them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Called, Caller};
use super::form::{Json, Path, Query};
use super::{App, Problem};
use crate::alliance::{
    Acknowledgement, AllianceError, MOST_AT_ONCE, MOST_FEEDBACK, Reply, accept, member_of_key, pack, position,
};
use crate::domain::{MemberId, MemberRole};
use crate::gallery::{Gallery, Member};
use crate::keys::id_in;

/// Media type of packs.
const PACK: &str = "application/vnd.touchstone.signals+zstd";

/// The greatest count of cases that a member can report of a signal.
const MOST_COUNT: u64 = 1_000_000;

/// The member as it is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Joined {
    /// Its id, which follows from its public key.
    id: MemberId,
    /// Its name.
    name: String,
    /// Whether it gives or gets signals.
    role: MemberRole,
}

/// Join an alliance with the key of an invitation.
///
/// Repeating the request with the same public key changes name, URL and key.
#[utoipa::path(
    post, path = "/v1/alliances/{alliance}/members", operation_id = "join_alliance", tag = "alliances",
    params(("alliance" = String, Path, description = "Id of the alliance")),
    request_body = Reply,
    responses(
        (status = 201, body = Joined),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The invitation is no longer open"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "This touchstone has left the alliance"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn join(
    State(app): State<Arc<App>>,
    Path(alliance): Path<String>,
    Extension(caller): Called,
    Json(reply): Json<Reply>,
) -> Result<Response, Problem> {
    if reply.alliance != alliance {
        return Err(AllianceError::UnknownAlliance(reply.alliance).into());
    }
    app.work(move |app| {
        let gallery = &app.screener().gallery;
        let invited = gallery.member_with_key(caller.id())?.filter(|member| member.alliance == alliance);
        if invited.is_none() || id_in(&reply.key) != caller.id() {
            return Err(AllianceError::UnknownAlliance(alliance).into());
        }
        let joined = accept(gallery, &reply)?;
        let Some(id) = joined.id else { return Err(Problem::internal()) };
        let body = Json(Joined { id, name: joined.name, role: joined.role });
        Ok((StatusCode::CREATED, body).into_response())
    })
    .await
}

/// Which signals to take.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SignalsQuery {
    /// The last line of the log that was taken; 0 for the first pack.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    after: Option<u64>,
    /// Most lines to return, 1 to 1000; 1000 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Take the signals that this touchstone shares with an alliance, as a signed pack.
#[utoipa::path(
    get, path = "/v1/alliances/{alliance}/signals", operation_id = "get_signals", tag = "alliances",
    params(("alliance" = String, Path, description = "Id of the alliance"), SignalsQuery),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/vnd.touchstone.signals+zstd"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The log is shorter than `after`"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "This touchstone has left the alliance"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn signals(
    State(app): State<Arc<App>>,
    Path(alliance): Path<String>,
    Extension(caller): Called,
    Query(query): Query<SignalsQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(MOST_AT_ONCE);
    if !(1..=MOST_AT_ONCE).contains(&limit) {
        return Err(Problem::invalid("limit-invalid", format!("limit is {limit}, expected 1 to {MOST_AT_ONCE}")));
    }
    let _places = app.admit(&caller)?;
    let after = query.after.unwrap_or(0);
    if i64::try_from(after).is_err() {
        return Err(Problem::invalid("after-invalid", format!("after is {after}, expected at most {}", i64::MAX)));
    }
    app.work(move |app| {
        let screener = app.screener();
        receiver(&screener.gallery, &alliance, &caller)?;
        let mut body = Vec::new();
        pack(&screener, &alliance, (after, limit), &mut body)?;
        Ok(([(header::CONTENT_TYPE, PACK), (header::CACHE_CONTROL, "no-store")], body).into_response())
    })
    .await
}

/// Acknowledge signals: everything up to a line of the log was applied, and what was withdrawn is deleted.
#[utoipa::path(
    post, path = "/v1/alliances/{alliance}/acknowledgements", operation_id = "acknowledge_signals", tag = "alliances",
    params(("alliance" = String, Path, description = "Id of the alliance")),
    request_body = Acknowledgement,
    responses(
        (status = 204),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The log is shorter"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "This touchstone has left the alliance"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn acknowledge(
    State(app): State<Arc<App>>,
    Path(alliance): Path<String>,
    Extension(caller): Called,
    Json(body): Json<Acknowledgement>,
) -> Result<StatusCode, Problem> {
    if body.feedback.len() > MOST_FEEDBACK {
        let detail = format!("feedback has {} entries, expected at most {MOST_FEEDBACK}", body.feedback.len());
        return Err(Problem::invalid("feedback-too-long", detail));
    }
    if let Some(count) =
        body.feedback.iter().flat_map(|one| [one.confirmed, one.overturned]).find(|&count| count > MOST_COUNT)
    {
        let detail = format!("a count is {count}, expected at most {MOST_COUNT}");
        return Err(Problem::invalid("feedback-invalid", detail));
    }
    app.work(move |app| {
        let gallery = &app.screener().gallery;
        let member = receiver(gallery, &alliance, &caller)?;
        position(gallery, &alliance, body.seq)?;
        gallery.note_acknowledged(member.number, body.seq, &body.feedback, Timestamp::now())?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// The member that shows a key, if it may receive signals.
fn receiver(gallery: &Gallery, alliance: &str, caller: &Caller) -> Result<Member, AllianceError> {
    let member = member_of_key(gallery, alliance, caller.id())?;
    if member.role.receives() {
        return Ok(member);
    }
    Err(AllianceError::NotAllowed { name: member.name, what: "only shares signals, receives none" })
}

impl From<AllianceError> for Problem {
    fn from(error: AllianceError) -> Self {
        let status = match &error {
            AllianceError::UnknownAlliance(_) | AllianceError::UnknownMember(_) => StatusCode::NOT_FOUND,
            AllianceError::Left(_) => StatusCode::GONE,
            AllianceError::NotAllowed { .. } => StatusCode::FORBIDDEN,
            AllianceError::InvitationUsed
            | AllianceError::Known(_)
            | AllianceError::NotQuarantined(_)
            | AllianceError::NameTaken(_)
            | AllianceError::AllianceNameTaken(_)
            | AllianceError::Ambiguous { .. }
            | AllianceError::Named(_)
            | AllianceError::OnlyBanks(_)
            | AllianceError::Overtaken(_)
            | AllianceError::BeyondLog { .. } => StatusCode::CONFLICT,
            AllianceError::Itself(_)
            | AllianceError::Invalid(_)
            | AllianceError::Pack(_)
            | AllianceError::TooMany { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            AllianceError::Gallery(_)
            | AllianceError::Library(_)
            | AllianceError::Hygiene(_)
            | AllianceError::Key(_)
            | AllianceError::File(_) => {
                tracing::error!(%error, "an alliance's request failed");
                return Self::internal();
            }
        };
        match error {
            // Members of other alliances must not learn whether an alliance exists.
            AllianceError::UnknownAlliance(id) => Self::not_found("alliance", &id),
            other => Self::new(status, other.code(), other.to_string()),
        }
    }
}
