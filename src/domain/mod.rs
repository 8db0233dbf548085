//! The words of the trade: brands, references, policies, decisions, permissions. Knows no database, no HTTP and no command line.

/// Gives an enum its names: `as_str`, and the error that its `FromStr` returns for another text.
macro_rules! named {
    ($name:ident, $what:literal, $error:ident) => {
        impl $name {
            /// The name in the database and in JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                self.into()
            }
        }

        fn $error(text: &str) -> InvalidName {
            InvalidName::expected($what, text, $name::VARIANTS)
        }
    };
}

mod access;
mod alliance;
mod case;
mod event;
mod fast_lane;
mod import;
mod notice;
mod policy;
mod reference;
mod seller;
mod text;

pub use access::{Role, Scope, ScopeName};
pub use alliance::{AllianceOptions, Fared, MemberId, MemberRole, MemberState, SharingRule};
pub use case::{CaseStatus, Decision, Outcome};
pub use event::{DeliveryState, EventType};
pub use fast_lane::{Lacking, Lane, STANDING_DAYS, TakedownOptions, TakedownRecord, standing_since};
pub use import::ImportStatus;
pub use notice::{Ground, NoticeSource, NoticeState, Party};
pub use policy::{Action, Policy, PolicyError, StoredPolicy, ThresholdOverrides};
pub use reference::{
    Claim, DETAIL_CAPS, Details, Kind, Mark, PhotoRecord, Polarity, Quarantine, Reference, ReferenceState,
};
pub use seller::{ClosureState, NewestClosure, Strike, StrikeGround, StrikeOptions, closure_after, counted, total};
pub use text::{BrandId, InvalidName, TextFault, check_field, check_name, check_text};
