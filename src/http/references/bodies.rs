//! What requests about references say, and what is answered.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::gallery::{
    BrandId, DETAIL_CAPS, Kind, Mark, Polarity, Quarantine, Reference, ReferenceState, ReferenceUpdate, check_field,
};
use crate::http::Problem;
use crate::http::access::Caller;
use crate::http::form::too_long;
use crate::photo::Doubt;

/// A reference.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ReferenceBody {
    /// Its id.
    id: String,
    /// Whose it is.
    brand: BrandId,
    /// Authentic or fake.
    polarity: Polarity,
    /// Photo or logo. A logo is looked for on goods, and a copy of it is no reuse of a photo.
    kind: Kind,
    /// Who says so: `brand`, or `picture` where it was found by looking at it.
    kind_from: KindFrom,
    /// The brand's product id.
    product: Option<String>,
    /// Where the brand has it from.
    source: Option<String>,
    /// Free text.
    notes: Option<String>,
    /// Why the brand may use the photo.
    rights_basis: Option<String>,
    /// Whether it takes part in checks.
    state: ReferenceState,
    /// Why it is held back, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<QuarantineText>,
    /// Why it never leads to a block by itself, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<Mark>,
    /// Why it is a poor reference; empty where nothing is in doubt. With any doubt but `invisible-on-white`, it matches
    /// the same file and the same pixels only.
    doubts: Vec<DoubtText>,
    /// Near-copies of one another within the brand have the same number; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u64>,
    /// Sum of the photo's bytes, 64 hex digits.
    sha256: String,
    /// Perceptual hash, 64 hex digits.
    perceptual_hash: String,
    /// How much there is to see, 0 to 100.
    quality: u8,
    /// Width in pixels, upright.
    width: u32,
    /// Height in pixels, upright.
    height: u32,
    /// Media type of the photo.
    media_type: String,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Why a reference is held back, in words for the caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quarantine)]
pub(in crate::http) struct QuarantineText {
    /// Stable kebab-case code: `conflict`, `flood` or `moderator`.
    code: String,
    /// What contradicts it, or what a moderator wrote. A brand does not read what may speak of another brand's reference.
    detail: String,
}

impl QuarantineText {
    /// As this caller may read it: a brand hears that its image contradicts another's, not whose, nor which, and not what
    /// moderators write to each other.
    fn seen_by(caller: &Caller, quarantine: Quarantine) -> Self {
        let Quarantine { code, detail, private } = quarantine;
        let detail = match code.as_str() {
            _ if !private || caller.brand().is_none() => detail,
            Quarantine::MODERATOR => "a moderator holds it back; ask the marketplace why".to_owned(),
            _ => "nearly the same image was supplied otherwise; the marketplace decides which is right".to_owned(),
        };
        Self { code, detail }
    }
}

/// Who says what kind of picture a reference is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum KindFrom {
    /// The brand.
    Brand,
    /// Nobody; it was found by looking at the picture. A fake that the brand says nothing of is a photo.
    Picture,
}

/// A doubt, as a stable code and in words.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DoubtText {
    /// Stable code.
    code: Doubt,
    /// In words: what is wrong and what to do.
    text: &'static str,
}

impl From<Doubt> for DoubtText {
    fn from(code: Doubt) -> Self {
        Self { code, text: code.text() }
    }
}

impl ReferenceBody {
    /// As this caller may see it.
    pub(super) fn seen_by(caller: &Caller, reference: Reference) -> Self {
        let kind = reference.kind();
        let (claim, photo) = (reference.claim, reference.photo);
        Self {
            id: reference.id,
            brand: claim.brand,
            polarity: claim.polarity,
            kind,
            kind_from: if claim.details.kind.is_some() { KindFrom::Brand } else { KindFrom::Picture },
            product: claim.details.product,
            source: claim.details.source,
            notes: claim.details.notes,
            rights_basis: claim.details.rights_basis,
            state: reference.state,
            quarantine: reference.quarantine.map(|held| QuarantineText::seen_by(caller, held)),
            mark: reference.mark,
            doubts: photo.doubts.into_iter().map(DoubtText::from).collect(),
            group: reference.group,
            sha256: photo.sha256.to_string(),
            perceptual_hash: crate::photo::Sha256(photo.perceptual_hash).to_string(),
            quality: photo.quality,
            width: photo.width,
            height: photo.height,
            media_type: photo.media_type,
            created_at: reference.created_at,
            updated_at: reference.updated_at,
        }
    }
}

/// The form of a new reference. Texts hold no control characters, `notes` excepted, which may have line breaks and tabs.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form for OpenAPI; Form reads it")]
pub(in crate::http) struct ReferenceForm {
    /// One file, or else `photo_url`.
    #[schema(value_type = String, format = Binary, required = false)]
    photo: String,
    /// A photo at an `https://` URL or in an object store, which the service fetches where its settings allow it.
    #[schema(required = false)]
    photo_url: String,
    /// Authentic or fake.
    polarity: Polarity,
    /// Photo or logo; absent: found by looking at the picture. A fake is a photo unless it is said to be a logo.
    #[schema(required = false)]
    kind: Kind,
    /// The brand's product id, at most 256 bytes.
    #[schema(required = false, min_length = 1)]
    product: String,
    /// Where the brand has it from, at most 1024 bytes.
    #[schema(required = false, min_length = 1)]
    source: String,
    /// Free text, at most 4096 bytes.
    #[schema(required = false)]
    notes: String,
    /// Why the brand may use the photo, at most 256 bytes.
    #[schema(required = false, min_length = 1)]
    rights_basis: String,
}

/// One page of references.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ReferencePage {
    /// In the order they were added.
    pub(super) references: Vec<ReferenceBody>,
    /// `after` of the next page; absent on the last.
    pub(super) next: Option<u64>,
}

/// Which references to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    /// Only of this polarity.
    pub(super) polarity: Option<Polarity>,
    /// Only of this product.
    pub(super) product: Option<String>,
    /// Only of this kind.
    pub(super) kind: Option<Kind>,
    /// Only in this state.
    pub(super) state: Option<ReferenceState>,
    /// `next` of the page before.
    pub(super) after: Option<u64>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
}

/// What to change: absent fields stay, null clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ReferencePatch {
    /// The brand's product id, at most 256 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    product: Option<Option<String>>,
    /// Where the brand has it from, at most 1024 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    source: Option<Option<String>>,
    /// Free text, at most 4096 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    notes: Option<Option<String>>,
    /// Why the brand may use the photo, at most 256 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    rights_basis: Option<Option<String>>,
    /// Photo or logo; null: found by looking at the picture.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Kind>)]
    kind: Option<Option<Kind>>,
    /// Whether it takes part in checks.
    #[schema(value_type = Option<SettableState>)]
    state: Option<ReferenceState>,
}

/// The states that a brand may put a reference into.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes a field for OpenAPI")]
enum SettableState {
    /// Takes part.
    Active,
    /// Kept, but takes no part.
    Disabled,
}

/// Tells null from absent.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl ReferencePatch {
    pub(super) fn checked(self) -> Result<ReferenceUpdate, Problem> {
        let fields = [&self.product, &self.source, &self.notes, &self.rights_basis];
        for ((name, cap), field) in DETAIL_CAPS.into_iter().zip(fields) {
            let Some(text) = field.as_ref().and_then(Option::as_ref) else { continue };
            if text.len() > cap {
                return Err(too_long(name, cap));
            }
            check_field(name, text)?;
        }
        if let Some(state) =
            self.state.filter(|state| !matches!(state, ReferenceState::Active | ReferenceState::Disabled))
        {
            return Err(Problem::invalid(
                "state-invalid",
                format!("state is {}, expected active or disabled", state.as_str()),
            ));
        }
        Ok(ReferenceUpdate {
            product: self.product,
            source: self.source,
            notes: self.notes,
            rights_basis: self.rights_basis,
            kind: self.kind,
            state: self.state,
        })
    }
}
