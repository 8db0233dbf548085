//! Routes for sellers: a seller's record, links by shared photos, and proposals to close an account.

use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::form::{Json, Path, Query, page};
use super::{App, Problem};
use crate::domain::{ClosureState, Strike};
use crate::gallery::{Closure, ClosureQuery, LinkGraph, SellerRecord};

/// Most links between the seller asked about and another one.
const DISTANCE_MOST: u32 = 2;

/// A seller's record: checks, matches, decisions, appeals, notices, strikes, and the newest proposal to close the
/// account.
///
/// Checks, cases and notices that were erased do not count.
#[utoipa::path(
    get, path = "/v1/sellers/{seller_id}", operation_id = "get_seller", tag = "sellers",
    params(("seller_id" = String, Path, description = "The marketplace's id of the seller")),
    responses(
        (status = 200, body = SellerRecord),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Nothing is known about this seller"),
    )
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(seller_id): Path<String>,
) -> Result<Json<SellerRecord>, Problem> {
    app.work_beside(move |app| {
        let record = app.screener().gallery.seller(&seller_id, Timestamp::now())?;
        record.map(Json).ok_or_else(|| Problem::not_found("seller", &seller_id))
    })
    .await
}

/// How many links to follow.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LinksQuery {
    /// 1 lists the sellers linked with this one; 2 also lists the sellers linked with those. 1 if absent.
    #[param(minimum = 1, maximum = 2)]
    distance: Option<u32>,
}

/// The sellers whose listings used the same photos as this one's, and the links between them.
///
/// A brand's own photos, and photos that many goods or many sellers share, link nobody. A shared photo is a hint, not a
/// proof: one seller may have copied the other's photo. If the seller has no links or is unknown, the answer has this
/// seller only.
#[utoipa::path(
    get, path = "/v1/sellers/{seller_id}/links", operation_id = "get_seller_links", tag = "sellers",
    params(("seller_id" = String, Path, description = "The marketplace's id of the seller"), LinksQuery),
    responses(
        (status = 200, body = LinkGraph),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn links(
    State(app): State<Arc<App>>,
    Path(seller_id): Path<String>,
    Query(query): Query<LinksQuery>,
) -> Result<Json<LinkGraph>, Problem> {
    let distance = query.distance.unwrap_or(1);
    if !(1..=DISTANCE_MOST).contains(&distance) {
        return Err(Problem::invalid("distance-invalid", format!("distance is {distance}, expected 1 or 2")));
    }
    app.work_beside(move |app| {
        Ok(Json(app.screener().gallery.linked_sellers(&seller_id, distance, Timestamp::now())?))
    })
    .await
}

/// Which proposals to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClosuresQuery {
    /// Only those in this state.
    state: Option<ClosureState>,
    /// `next` of the page before; 0 for the first.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    after: Option<u64>,
    /// Most proposals to return, 1 to 1000; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A page of proposals.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClosurePage {
    /// The proposals.
    closures: Vec<Closure>,
    /// Pass it as `after` to get the next page; absent on the last page.
    next: Option<u64>,
}

/// List proposals to close sellers' accounts, the oldest first.
#[utoipa::path(
    get, path = "/v1/closures", operation_id = "list_closures", tag = "sellers",
    params(ClosuresQuery),
    responses(
        (status = 200, body = ClosurePage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<ClosuresQuery>,
) -> Result<Json<ClosurePage>, Problem> {
    let (after, limit) = page(query.after, query.limit)?;
    let query = ClosureQuery { state: query.state, after, limit };
    app.work_beside(move |app| {
        let closures = app.screener().gallery.closures(&query)?;
        let next = closures.last().map(|last| last.number).filter(|_| closures.len() == limit);
        Ok(Json(ClosurePage { closures, next }))
    })
    .await
}

/// A proposal with its evidence.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClosureBody {
    #[serde(flatten)]
    closure: Closure,
    /// The infringements that the strikes are for, the oldest first.
    infringements: Vec<Strike>,
}

/// A proposal to close a seller's account, with the infringements for which it was proposed or last decided.
#[utoipa::path(
    get, path = "/v1/closures/{id}", operation_id = "get_closure", tag = "sellers",
    params(("id" = String, Path, description = "The proposal's id")),
    responses(
        (status = 200, body = ClosureBody),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn closure(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<ClosureBody>, Problem> {
    app.work_beside(move |app| {
        let found = app.screener().gallery.closure(&id)?;
        let closure = found.ok_or_else(|| Problem::not_found("closure", &id))?;
        let infringements = closure.infringements.clone();
        Ok(Json(ClosureBody { closure, infringements }))
    })
    .await
}
