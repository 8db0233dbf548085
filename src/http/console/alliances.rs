use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{Html, Redirect};

use super::auth::{Moderator, Nothing, Refusal, Signed};
use crate::console::{self, AllianceView, MemberView};
use crate::gallery::{Alliance, Gallery, GalleryError, Member};
use crate::http::App;
use crate::screening::Screener;

pub(super) async fn alliances(
    State(app): State<Arc<App>>,
    Moderator { session, .. }: Moderator,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let screener = app.screener();
        let all = screener.gallery.alliances()?;
        let views = all.into_iter().map(|one| view(&screener, one)).collect::<Result<Vec<_>, _>>()?;
        Ok(Html(console::alliances(&session, &views).into_string()))
    })
    .await
}

fn view(screener: &Screener, alliance: Alliance) -> Result<AllianceView, GalleryError> {
    let gallery = &screener.gallery;
    let members = gallery.members(Some(&alliance.id), false)?;
    let members = members.into_iter().map(|one| member(screener, gallery, one)).collect::<Result<_, _>>()?;
    Ok(AllianceView { shares: gallery.sharing(&alliance.id)?, members, alliance })
}

fn member(screener: &Screener, gallery: &Gallery, member: Member) -> Result<MemberView, GalleryError> {
    let (signals, fared) = (gallery.count_signals(member.number)?, gallery.member_fared(member.number)?);
    let only_informs = fared.only_informs(&screener.alliance);
    let held = gallery.quarantined_signals(member.number)?;
    Ok(MemberView { member, signals, fared, only_informs, held })
}

pub(super) async fn release(
    State(app): State<Arc<App>>,
    Path(key): Path<u64>,
    Signed(moderator, Nothing {}): Signed<Nothing>,
) -> Result<Redirect, Refusal> {
    app.page(move |app| {
        app.desk().release_signal(&moderator.worker(), key)?;
        Ok(Redirect::to("/console/alliances"))
    })
    .await
}
