use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use super::auth::{Moderator, Refusal};
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
    Ok(MemberView { member, signals, fared, only_informs })
}
