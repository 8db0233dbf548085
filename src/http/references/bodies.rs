//! Bodies of requests and answers about references.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{BrandId, DETAIL_CAPS, Kind, Mark, Polarity, Quarantine, Reference, ReferenceState, check_field};
use crate::gallery::ReferenceUpdate;
use crate::http::Problem;
use crate::http::access::Caller;
use crate::http::form::too_long;
use crate::photo::Doubt;

/// A reference.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ReferenceBody {
    /// Id of the reference.
    id: String,
    /// The brand that owns it.
    brand: BrandId,
    /// Authentic or fake.
    polarity: Polarity,
    /// Photo or logo. The service searches goods for a logo; a copy of a logo is not a reused photo.
    kind: Kind,
    /// Source of `kind`: `brand`, or `picture` where the service determined it from the pixels.
    kind_from: KindFrom,
    /// The brand's product id.
    product: Option<String>,
    /// Where the brand got the photo from.
    source: Option<String>,
    /// Free text.
    notes: Option<String>,
    /// Why the brand may use the photo.
    rights_basis: Option<String>,
    /// Whether the reference takes part in checks.
    state: ReferenceState,
    /// Why the reference is quarantined; absent where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<QuarantineText>,
    /// Why the reference never leads to a block by itself; absent where it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<Mark>,
    /// Why it is a poor reference; empty where nothing is in doubt. With any doubt but `invisible-on-white`, it matches
    /// the same file and the same pixels only.
    doubts: Vec<DoubtText>,
    /// Near-duplicates within the brand have the same number; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u64>,
    /// SHA-256 of the photo's bytes, 64 hex digits.
    sha256: String,
    /// Perceptual hash of the photo, 64 hex digits.
    perceptual_hash: String,
    /// How much detail the photo has, 0 to 100 (PDQ's quality metric).
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

/// Why a reference is quarantined, in words for the caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quarantine)]
pub(in crate::http) struct QuarantineText {
    /// Stable kebab-case code: `conflict`, `flood` or `moderator`.
    code: String,
    /// What contradicts the reference, or a moderator's note. A brand does not see texts that may be about another
    /// brand's reference.
    detail: String,
}

impl QuarantineText {
    /// The text as this caller may read it: a brand learns that its photo contradicts another brand's, but neither
    /// whose nor which, and not the notes that moderators write to each other.
    fn seen_by(caller: &Caller, quarantine: Quarantine) -> Self {
        let Quarantine { code, detail, private } = quarantine;
        let detail = match code.as_str() {
            _ if !private || caller.brand().is_none() => detail,
            Quarantine::MODERATOR => "a moderator quarantined it; ask the marketplace why".to_owned(),
            _ => {
                "somebody else supplied nearly the same photo; the marketplace decides which claim is right".to_owned()
            }
        };
        Self { code, detail }
    }
}

/// Who says whether a reference is a photo or a logo.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum KindFrom {
    /// The brand.
    Brand,
    /// The service, from the pixels. A fake whose kind the brand does not name is a photo.
    Picture,
}

/// A doubt about a reference, as a stable code and in words.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DoubtText {
    /// Stable code.
    code: Doubt,
    /// What is wrong and what to do.
    text: &'static str,
}

impl From<Doubt> for DoubtText {
    fn from(code: Doubt) -> Self {
        Self { code, text: code.text() }
    }
}

impl ReferenceBody {
    /// The reference as this caller may see it.
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

/// The form of a new reference. Control characters are rejected, except line breaks and tabs in `notes`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form for OpenAPI; Form reads it")]
pub(in crate::http) struct ReferenceForm {
    /// One file; else send `photo_url`.
    #[schema(value_type = String, format = Binary, required = false)]
    photo: String,
    /// A photo at an `https://` URL or in an object store; the service fetches it where its settings allow that.
    #[schema(required = false)]
    photo_url: String,
    /// Authentic or fake.
    polarity: Polarity,
    /// Photo or logo; when absent, the service determines it from the pixels. A fake is a photo unless you send `logo`.
    #[schema(required = false)]
    kind: Kind,
    /// The brand's product id, at most 256 bytes.
    #[schema(required = false, min_length = 1)]
    product: String,
    /// Where the brand got the photo from, at most 1024 bytes.
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
    /// In the order in which they were added.
    pub(super) references: Vec<ReferenceBody>,
    /// `after` of the next page; absent on the last.
    pub(super) next: Option<u64>,
}

/// Filters and page of a list of references.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    /// Only references of this polarity.
    pub(super) polarity: Option<Polarity>,
    /// Only references of this product.
    pub(super) product: Option<String>,
    /// Only references of this kind.
    pub(super) kind: Option<Kind>,
    /// Only references in this state.
    pub(super) state: Option<ReferenceState>,
    /// `next` of the previous page.
    pub(super) after: Option<u64>,
    /// Most references on the page, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
}

/// Changes to a reference: absent fields stay, null clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ReferencePatch {
    /// The brand's product id, at most 256 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    product: Option<Option<String>>,
    /// Where the brand got the photo from, at most 1024 bytes.
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
    /// Photo or logo; null: the service determines it from the pixels.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Kind>)]
    kind: Option<Option<Kind>>,
    /// Whether the reference takes part in checks.
    #[schema(value_type = Option<SettableState>)]
    state: Option<ReferenceState>,
}

/// The states that a brand may set.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes a field for OpenAPI")]
enum SettableState {
    /// Takes part in checks.
    Active,
    /// Stays stored, but takes no part in checks.
    Disabled,
}

/// Tells null from an absent field.
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
