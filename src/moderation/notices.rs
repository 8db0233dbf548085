//! Takedown notices: what a brand may file, and what moderators may do with a notice.

use strum::{EnumString, IntoStaticStr, VariantNames};
use thiserror::Error;

use super::desk::Worker;
use super::{Desk, DeskError};
use crate::domain::{BrandId, InvalidName, NoticeState, Party, TextFault, check_name, check_text};
use crate::gallery::{
    Change, Filed, Gallery, GalleryError, Moved, NewListing, NewNotice, Notice, NoticeActor, NoticeListing,
};

/// Most listings in a notice.
pub const MOST_LISTINGS: usize = 300;
/// Most bytes of an id in a notice.
const MOST_ID: usize = 256;
/// Most characters of the evidence for a listing.
pub const MOST_EVIDENCE: usize = 4000;

/// Why a notice is not filed.
#[derive(Debug, Error)]
pub enum FilingError {
    /// It has no listing, or too many.
    #[error("listings has {0} elements, expected 1 to {MOST_LISTINGS}; send the others in another notice")]
    Size(usize),
    /// A listing is invalid; the text names it.
    #[error("{detail}")]
    Listing {
        /// Stable kebab-case code.
        code: &'static str,
        /// What is wrong with which field of which listing.
        detail: String,
    },
    /// A listing is in an open notice of the brand already.
    #[error("listing {listing_id} is already in the open notice {notice} of this brand; leave it out")]
    Open {
        /// The marketplace's id of the listing.
        listing_id: String,
        /// Id of the notice.
        notice: String,
    },
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}

/// Files a brand's notice. Returns it, and whether it is new: the same listings in one open notice are a repeat.
///
/// # Errors
/// When the notice is invalid or a listing is in another open notice of the brand; nothing is stored then.
pub fn file_notice(
    gallery: &Gallery,
    filed_by: &str,
    brand: &BrandId,
    listings: &[NewListing],
) -> Result<(Notice, bool), FilingError> {
    if !(1..=MOST_LISTINGS).contains(&listings.len()) {
        return Err(FilingError::Size(listings.len()));
    }
    for (index, listing) in listings.iter().enumerate() {
        check_listing(index, listing)?;
        if let Some(first) = listings[..index].iter().position(|other| other.listing_id == listing.listing_id) {
            let id = &listing.listing_id;
            let detail =
                format!("listings[{index}].listing_id is {id:?}, as that of listings[{first}]; name each listing once");
            return Err(FilingError::Listing { code: "listing-repeated", detail });
        }
        check_reference(gallery, brand, index, listing)?;
    }
    match gallery.file_notice(&NewNotice { brand, filed_by, listings })? {
        Filed::New(notice) => Ok((*notice, true)),
        Filed::Before(notice) => Ok((*notice, false)),
        Filed::Open { listing_id, notice } => Err(FilingError::Open { listing_id, notice }),
    }
}

fn check_listing(index: usize, listing: &NewListing) -> Result<(), FilingError> {
    let field = |name: &str| format!("listings[{index}].{name}");
    let ids = [
        ("listing_id", Some(&listing.listing_id)),
        ("seller_id", listing.seller_id.as_ref()),
        ("reference_id", listing.reference_id.as_ref()),
    ];
    for (name, id) in ids.into_iter().filter_map(|(name, id)| Some((field(name), id?))) {
        check_name(&name, id).map_err(|fault| of_text(&fault))?;
        if id.len() > MOST_ID {
            return Err(too_long(&name, id.len(), MOST_ID, "bytes"));
        }
    }
    let Some(evidence) = &listing.evidence else {
        return if listing.reference_id.is_some() { Ok(()) } else { Err(unfounded(index)) };
    };
    let (name, length) = (field("evidence"), evidence.chars().count());
    if evidence.trim().is_empty() {
        return Err(of_text(&TextFault::Empty { field: name }));
    }
    check_text(&name, evidence).map_err(|fault| of_text(&fault))?;
    if length > MOST_EVIDENCE { Err(too_long(&name, length, MOST_EVIDENCE, "characters")) } else { Ok(()) }
}

fn of_text(fault: &TextFault) -> FilingError {
    FilingError::Listing { code: fault.code(), detail: fault.to_string() }
}

fn too_long(name: &str, got: usize, most: usize, unit: &str) -> FilingError {
    FilingError::Listing { code: "field-too-long", detail: format!("{name} has {got} {unit}, expected at most {most}") }
}

fn unfounded(index: usize) -> FilingError {
    let detail = format!("listings[{index}] has neither reference_id nor evidence; send at least one of them");
    FilingError::Listing { code: "notice-unfounded", detail }
}

fn check_reference(gallery: &Gallery, brand: &BrandId, index: usize, listing: &NewListing) -> Result<(), FilingError> {
    let Some(id) = &listing.reference_id else { return Ok(()) };
    if gallery.get(brand, id)?.is_some_and(|found| found.state.is_present()) {
        return Ok(());
    }
    let detail = format!("listings[{index}].reference_id is {id:?}, expected the id of a reference of {brand}");
    Err(FilingError::Listing { code: "reference-unknown", detail })
}

/// What a moderator does with a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = InvalidName, parse_err_fn = not_act)]
pub enum NoticeAct {
    /// Asks the marketplace to take the listing down.
    Request,
    /// Rejects the brand's notice.
    Reject,
    /// Confirms a request that went out before anybody had seen it.
    Confirm,
    /// Grants the seller's counter-notice.
    Restore,
    /// Dismisses the seller's counter-notice.
    Keep,
    /// Asks the marketplace to show a removed listing again.
    AskRestore,
}

fn not_act(text: &str) -> InvalidName {
    InvalidName(format!("act is {text:?}, expected one of {}", NoticeAct::VARIANTS.join(", ")))
}

impl NoticeAct {
    /// Whether the act needs a reason.
    #[must_use]
    pub fn needs_reason(self) -> bool {
        matches!(self, Self::Reject | Self::AskRestore)
    }

    /// The states of the listings that the act concerns if it names none, and the state that it leads to.
    fn goal(self) -> Option<(&'static [NoticeState], NoticeState)> {
        use NoticeState::{Acknowledged, Countered, Rejected, Removed, Requested, Restored, Waiting};
        match self {
            Self::Request => Some((&[Waiting], Requested)),
            Self::Reject => Some((&[Waiting, Requested, Acknowledged], Rejected)),
            Self::Restore => Some((&[Countered], Restored)),
            Self::Keep => Some((&[Countered], Removed)),
            Self::Confirm | Self::AskRestore => None,
        }
    }
}

impl Desk {
    /// Acts on a notice: on one listing, or, without one, on all that the act concerns. Returns the number of listings.
    ///
    /// # Errors
    /// When there is no such notice or listing, the state does not allow the act, a reason is missing, the seller objects
    /// to this moderator's own decision, or the database returns an error. Nothing is changed then.
    pub fn act_on_notice(
        &self,
        worker: &Worker,
        (notice, listing): (&str, Option<&str>),
        act: NoticeAct,
        reason: Option<&str>,
    ) -> Result<u64, DeskError> {
        if act.needs_reason() && reason.is_none() {
            return Err(DeskError::NoReason);
        }
        let gallery = &self.parts.screener.gallery;
        let actor = NoticeActor { who: &worker.name, session: Some(&worker.session), party: Party::Moderator };
        let unknown = || DeskError::UnknownNotice(notice.to_owned());
        let changed = match (act.goal(), listing) {
            (Some((_, to)), Some(listing)) => {
                let moved = gallery.move_listing(actor, (notice, listing), Change { to, reason })?;
                moved_by(moved.ok_or_else(unknown)?, to).map(|_| 1)?
            }
            (Some((from, to)), None) => {
                gallery.move_all(actor, (notice, from), Change { to, reason })?.ok_or_else(unknown)?
            }
            (None, Some(listing)) if act == NoticeAct::AskRestore => {
                let asked = gallery.ask_to_restore(actor, (notice, listing), reason.unwrap_or_default())?;
                u64::from(asked.ok_or_else(unknown)?)
            }
            (None, listing) => gallery.confirm_requests(actor, (notice, listing))?.ok_or_else(unknown)?,
        };
        if changed == 0 { Err(DeskError::NothingToChange(notice.to_owned())) } else { Ok(changed) }
    }
}

/// The listing in its new state.
///
/// # Errors
/// When the change is not allowed.
fn moved_by(moved: Moved, to: NoticeState) -> Result<NoticeListing, DeskError> {
    match moved {
        Moved::Done(listing) => Ok(*listing),
        Moved::NotAllowed { from, allowed } => Err(DeskError::TransitionNotAllowed { from, to, allowed }),
        Moved::OwnDecision => Err(DeskError::OwnNotice),
    }
}
