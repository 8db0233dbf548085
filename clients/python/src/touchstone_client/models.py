"""Generated from the OpenAPI document by scripts/python-client --generate."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Action = Literal['allow', 'review', 'block']


class AppealBody(TypedDict):
    """
    A seller's appeal.
    """

    text: str
    """
    The seller's statement, at most 4000 characters.
    """


class Appeals(TypedDict):
    """
    How a seller's appeals ended.
    """

    dismissed: int
    """
    Appeals after which it still is.
    """
    granted: int
    """
    Appeals after which the listing is no longer restricted.
    """
    waiting: int
    """
    Appeals that wait for a moderator.
    """


class Bank(TypedDict):
    """
    A bank: the active references of a brand with one polarity.
    """

    matching_enabled_ratio: float
    """
    The share of look-ups that search the bank: always 1.
    """
    name: str
    """
    Brand and polarity in capitals, such as `ACME_FAKE`.
    """


class BatchEnd(TypedDict):
    """
    The counts of a batch. An answer without this line is incomplete: send the batch again with the same key.
    """

    answered: int
    """
    Lines answered with a check.
    """
    failed: int
    """
    Lines answered with a problem.
    """
    lines: int
    """
    Lines read, without blank ones.
    """


class BatchPhoto(TypedDict):
    """
    A photo in a batch: either its bytes or its URL.
    """

    name: NotRequired[str | None]
    """
    File name, repeated in the answer.
    """
    photo: NotRequired[str | None]
    """
    The photo's bytes, in base64.
    """
    photo_url: NotRequired[str | None]
    """
    URL of the photo: `https://`, or an object in a store, where the settings allow it.
    """


BrandId = str


CaseStatus = Literal['open', 'decided', 'appealed']


class CertificateVersions(TypedDict):
    """
    The model and the scoring artefact that a certificate is valid for.
    """

    model: str
    scoring: str
    touchstone: str


ClosureState = Literal['proposed', 'confirmed', 'doubted', 'dismissed', 'withdrawn']


Decision = Literal['fake', 'photo_misuse', 'authorised', 'no_match']


DeliveryState = Literal['waiting', 'delivered', 'dead']


Doubt = Literal[
    'too-small', 'mostly-one-colour', 'invisible-on-white', 'nothing-to-find'
]


class DoubtText(TypedDict):
    """
    A doubt about a reference, as a stable code and in words.
    """

    code: Doubt
    """
    Stable code.
    """
    text: str
    """
    What is wrong and what to do.
    """


class EffectiveThresholds(TypedDict):
    """
    Thresholds in force: probabilities, except `lookalike` (a cosine similarity) and `conflict_margin` (evidence:
    log-odds before calibration).
    """

    authentic_reuse: float
    conflict_margin: float
    fake_likely: float
    fake_match: float
    lookalike: float


EventType = Literal[
    'check.decided',
    'appeal.decided',
    'check.reopened',
    'listing.found_by_lookback',
    'listing.takedown_requested',
    'listing.takedown_reminded',
    'listing.takedown_withdrawn',
    'listing.restore_requested',
    'listing.restored',
    'reference.quarantined',
    'seller.closure_proposed',
    'seller.closure_confirmed',
    'seller.closure_withdrawn',
    'certificate.ended',
]


Ground = Literal['counterfeit', 'photo-misuse', 'trademark']


Kind = Literal['photo', 'logo']


KindFrom = Literal['brand', 'picture']


Lacking = Literal['answers', 'success', 'counter', 'wait']


class LinkedSeller(TypedDict):
    """
    A seller in a graph of links.
    """

    closure: NotRequired[ClosureState | None]
    distance: int
    """
    How many links away the seller is from the one asked about, at least; 0 for that one.
    """
    seller_id: str
    """
    The marketplace's id of the seller.
    """
    strikes: int
    """
    Number of strikes that count now.
    """


class Listing(TypedDict):
    """
    The marketplace's data about a listing. Every field is optional, at most 256 bytes.
    """

    brand: NotRequired[str | None]
    """
    The brand that the listing claims.
    """
    category: NotRequired[str | None]
    """
    The marketplace's category.
    """
    listing_id: NotRequired[str | None]
    """
    The marketplace's id of the listing.
    """
    seller_id: NotRequired[str | None]
    """
    The marketplace's id of the seller; compared with a brand's authorised sellers.
    """


class ListingForm(TypedDict):
    """
    A listing to take down. It needs a reference of the brand, evidence, or both.
    """

    evidence: NotRequired[str | None]
    """
    What proves it, at most 4000 characters.
    """
    ground: Ground
    """
    Why it should be taken down.
    """
    listing_id: str
    """
    The marketplace's id of the listing.
    """
    reference_id: NotRequired[str | None]
    """
    Id of a reference of the brand that the listing's photos show.
    """
    seller_id: NotRequired[str | None]
    """
    The marketplace's id of the seller.
    """


LogoChange = Literal['mirrored', 'stretched', 'other-colour', 'other-parts']


class Lookback(TypedDict):
    """
    The search of the memory for one reference.
    """

    asked_at: str
    """
    When it was asked for.
    """
    brand: str
    """
    The brand that owns the reference.
    """
    done_at: NotRequired[str | None]
    """
    When it ended; absent while it waits or runs.
    """
    found: int
    """
    Number of listings found so far.
    """
    photos: int
    """
    Number of remembered photos searched so far.
    """
    reference_id: str
    """
    Id of the reference.
    """


class LookbackList(TypedDict):
    """
    Lookbacks, the newest first.
    """

    lookbacks: list[Lookback]
    """
    The lookbacks.
    """


Mark = Literal['generic', 'overturned', 'disputed']


MemberId = str


MemberRole = Literal['shares', 'receives', 'both']


class NearHash(TypedDict):
    """
    A reference and how near its hash is.
    """

    content_id: int
    """
    The reference's key.
    """
    distance: str
    """
    The differing bits, 0 to 31, as text.
    """


class NoticeForm(TypedDict):
    """
    A notice to file.
    """

    brand: BrandId
    """
    The brand's id.
    """
    listings: list[ListingForm]
    """
    The listings, 1 to 300.
    """


NoticeSource = Literal['moderation', 'brand']


NoticeState = Literal[
    'waiting',
    'rejected',
    'requested',
    'acknowledged',
    'removed',
    'refused',
    'countered',
    'restored',
    'withdrawn',
]


class NoticeSummaryBody(TypedDict):
    """
    A notice without its listings.
    """

    brand: NotRequired[str | None]
    """
    The brand; absent if the case that led to the notice names none.
    """
    created_at: str
    id: str
    overdue: int
    """
    The number of its listings whose deadline has passed without an answer.
    """
    source: NoticeSource
    states: dict[str, int]
    """
    The number of its listings in each state that occurs.
    """


class OtherColour(TypedDict):
    """
    Mean colours of the differing regions, as `#rrggbb`.
    """

    photo: str
    """
    In the photo.
    """
    reference: str
    """
    In the reference.
    """


class Overlay(TypedDict):
    """
    The alignment of a reference with the photo. Verification searches the photo for the whole reference: "the photo
    contains the reference" is not "the reference contains the photo".
    """

    agreement: float
    """
    Mean correlation of the pixels where there is detail, -1 to 1.
    """
    copied_share: NotRequired[float | None]
    """
    Share of the reference's structure in the part of it that was copied, 0 to 1: less than 1 where a subject was cut
    out. Absent in older answers, and for logos.
    """
    corners: list[list[float]]
    """
    The reference's corners in the photo: top left, top right, bottom right and bottom left, as fractions of the
    photo's width and height; outside 0 to 1 where the photo cuts them off.
    """
    flipped: bool
    """
    Whether the photo shows the reference's mirror image.
    """
    inliers: int
    """
    Number of keypoints that agree with one transform; where the reference fills the photo, the number of 64 regions
    that agree, if that is more.
    """
    other_colour: NotRequired[OtherColour | None]
    photo_overlap: float
    """
    Share of the photo that the reference covers, 0 to 1.
    """
    reference_overlap: float
    """
    Share of the reference that is visible in the photo, 0 to 1.
    """


class PhotoFault(TypedDict):
    """
    Why a photo's bytes could not be decoded.
    """

    code: str
    """
    Stable kebab-case code.
    """
    detail: str
    """
    What was wrong, what was expected, what to do.
    """


class PhotoForm(TypedDict):
    """
    A photo as a form.
    """

    photo: list[int]
    """
    The photo.
    """


Polarity = Literal['authentic', 'fake']


class Quarantine(TypedDict):
    """
    Why a reference is quarantined, in words for the caller.
    """

    code: str
    """
    Stable kebab-case code: `conflict`, `flood` or `moderator`.
    """
    detail: str
    """
    What contradicts the reference, or a moderator's note. A brand does not see texts that may be about another
    brand's reference.
    """


RawMatch = int | NearHash


class RawMatches(TypedDict):
    """
    The matches of a hash.
    """

    matches: list[RawMatch]
    """
    Nearest first.
    """


Reason = Literal[
    'fake-above-match-threshold',
    'fake-above-likely-threshold',
    'authentic-above-reuse-threshold',
    'reference-above-lookalike-threshold',
    'same-print-seen',
    'reference-lies-in-photo',
    'mirrored',
    'other-colour',
    'logo-seen',
    'logo-imitated',
    'known-imitation-seen',
    'logo-mirrored',
    'logo-stretched',
    'logo-in-other-colour',
    'logo-parts-differ',
    'part-of-photo',
    'part-of-reference',
    'subject-copied-on-other-ground',
    'within-conflict-margin',
    'fake-also-near',
    'authentic-also-near',
    'seller-authorised',
    'seller-not-authorised',
    'block-certified',
    'block-not-asked-for',
    'no-block-certificate',
    'below-block-threshold',
    'reference-disputed',
    'reference-never-blocks',
    'recoloured-never-blocks',
    'low-information',
    'below-every-threshold',
    'claimed-brand-differs',
    'settled-by-person',
    'frames-not-judged',
    'found-by-lookback',
    'photo-not-stored',
    'shared-signal',
    'photo-broken',
    'model-failed',
]


class ReasonText(TypedDict):
    """
    A reason, as a stable code and in words.
    """

    code: Reason
    """
    Stable code.
    """
    text: str
    """
    The reason in words.
    """


ReferenceState = Literal['active', 'disabled', 'quarantined', 'staged', 'retired']


class Reply(TypedDict):
    """
    What an invited member answers: a file, or the body of a request.
    """

    alliance: str
    """
    Id of the alliance.
    """
    key: str
    """
    The key of the invitation.
    """
    name: str
    """
    The member's name, at most 100 bytes.
    """
    own_key: str
    """
    The key to show there.
    """
    proof: str
    """
    Ed25519 signature of the reply by the member's key, in Base64.
    """
    public_key: str
    """
    Its Ed25519 public key: 32 bytes, in Base64.
    """
    url: NotRequired[str | None]
    """
    Where its signals are; absent where files are exchanged.
    """


class RequiredBody(TypedDict):
    """
    What the fast lane asks for.
    """

    answered: int
    """
    Fewest answered listings.
    """
    counter: float
    """
    Greatest share of successful counter-notices, 0 to 1.
    """
    success: float
    """
    Least share of successful takedowns, 0 to 1.
    """


class Scope1(TypedDict):
    """
    The marketplace: checks, look-ups, outcomes, appeals.
    """

    scope: Literal['platform']


class Scope2(TypedDict):
    """
    One brand: its own references, policy and certificate.
    """

    brand: BrandId
    """
    One brand: its own references, policy and certificate.
    """
    scope: Literal['brand']


class Scope3(TypedDict):
    """
    Read access to everything that moderators read.
    """

    scope: Literal['moderator']


class Scope4(TypedDict):
    """
    Everything, including keys.
    """

    scope: Literal['admin']


class Scope5(TypedDict):
    """
    A member of an alliance: exchanges signals, and nothing else.
    """

    scope: Literal['alliance']


Scope = Scope1 | Scope2 | Scope3 | Scope4 | Scope5


ScopeName = Literal['platform', 'brand', 'moderator', 'admin', 'alliance']


SeenIn = Literal['photo', 'memory']


class SellerMatches(TypedDict):
    """
    Cases of a seller with the same verdict and brand.
    """

    brand: NotRequired[str | None]
    """
    Brand of the leading match; absent if nothing matched.
    """
    cases: int
    """
    Number of cases.
    """
    verdict: str
    """
    The verdict.
    """


SettableState = Literal['active', 'disabled']


class Settled(TypedDict):
    """
    An earlier decision of a person about a photo and a reference.
    """

    check_id: str
    """
    Id of the check whose case was decided.
    """
    decision: Decision
    """
    The decision: `no_match`, or `authorised` for this seller.
    """
    reference_id: str
    """
    The reference's id.
    """


class SharedMatch(TypedDict):
    """
    A signal of another member of an alliance: what the member says about a reference of its own, without the picture.
    """

    alliance: str
    """
    The alliance's name.
    """
    brand: str
    """
    The brand that the member names.
    """
    decides: bool
    """
    Whether the verdict on the photo rests on this signal.
    """
    fingerprint_bits: NotRequired[int | None]
    """
    Differing bits of the fingerprints, 0 to 32; absent if they were not compared or differ more.
    """
    member: str
    """
    The name of the member that vouches for it.
    """
    member_confirmed: int
    """
    Cases here that signals of this member led to and that were confirmed.
    """
    member_overturned: int
    """
    Those that were overturned.
    """
    only_informs: bool
    """
    Whether signals of this member only inform, because too many were overturned.
    """
    pdq_bits: NotRequired[int | None]
    """
    Differing bits of the PDQ hashes, 0 to 31; absent if they were not compared or differ more.
    """
    polarity: Polarity
    """
    Authentic or fake.
    """
    probability: float
    """
    Probability that the photo is a copy of the member's reference, 0 to 1, from embedding, keypoints and fingerprint
    alone.
    """
    signal_id: str
    """
    The signal's id.
    """
    similarity: NotRequired[float | None]
    """
    Cosine similarity of the embeddings in [-1, 1]; absent if the signal is of another model.
    """
    votes: float
    """
    Votes of the photo's keypoints; 0 where there are too few.
    """


class SharedPhoto(TypedDict):
    """
    A photo that two sellers used.
    """

    checks: list[str]
    """
    Ids of the newest check of the photo for each of the two sellers, in the order of `sellers`.
    """
    photo: str
    """
    SHA-256 of the photo, in lower-case hex.
    """


class SignalFeedback(TypedDict):
    """
    How a signal fared, told to the member that shared it.
    """

    confirmed: int
    """
    Cases that confirmed it.
    """
    id: str
    """
    The signal's id.
    """
    overturned: int
    """
    Cases that overturned it.
    """


class StateForm(TypedDict):
    """
    The new state of a listing.
    """

    reason: NotRequired[str | None]
    """
    The reason, at most 4000 characters: required for `refused`, and, as the seller's counter-notice, for `countered`.
    """
    state: NoticeState
    """
    From the marketplace `acknowledged`, `removed`, `refused`, `countered` or `restored`; from the brand `withdrawn`.
    """


class StepBody(TypedDict):
    """
    One score tried.
    """

    confirmed: int
    """
    Confirmed counterfeits among these outcomes.
    """
    precision_bound: float
    """
    Lower bound of the precision at this score.
    """
    score: float
    """
    Outcomes with at least this score count.
    """
    wrong: int
    """
    Legitimate listings among these outcomes.
    """


StrikeGround = Literal['fake', 'photo_misuse', 'removed']


class TakedownRecord(TypedDict):
    """
    How a brand's notices were answered within [`STANDING_DAYS`], counted in listings.
    """

    answered: int
    """
    Listings that were answered: removed, countered, restored, refused by the marketplace, or rejected by a moderator.
    """
    removed: int
    """
    Listings that were removed and not restored: successful takedowns.
    """
    restored: int
    """
    Listings that were restored: successful counter-notices.
    """


class TestAnswer(TypedDict):
    """
    The result of a test.
    """

    body: str
    """
    The first 1,024 bytes of the answer as text.
    """
    delivered: bool
    """
    Whether the receiver answered with a status of 200 to 299.
    """
    error: NotRequired[str | None]
    """
    Why it was not delivered; absent if it was.
    """
    status: NotRequired[int | None]
    """
    The HTTP status of the answer; absent if there was none.
    """


class ThresholdOverrides(TypedDict):
    """
    Thresholds in place of the model's defaults: probabilities of a copy, 0 to 1, and for `lookalike` a
    cosine similarity, -1 to 1.
    """

    authentic_reuse: NotRequired[float | None]
    """
    Threshold of the verdict `authentic_photo_reuse`.
    """
    fake_likely: NotRequired[float | None]
    """
    Threshold of the verdict `known_fake_likely`.
    """
    fake_match: NotRequired[float | None]
    """
    Threshold of the verdict `known_fake_match`.
    """
    lookalike: NotRequired[float | None]
    """
    Threshold of the verdict `same_product_lookalike`.
    """


Transition = TypedDict(
    'Transition',
    {
        'allowed': list[NoticeState],
        'from': NoticeState,
        'to': NoticeState,
    },
)


Verdict = Literal[
    'no_match',
    'generic_or_low_information',
    'authorised_use',
    'same_product_lookalike',
    'brand_mark_seen',
    'brand_mark_imitated',
    'authentic_photo_reuse',
    'undecidable',
    'conflict',
    'known_fake_likely',
    'known_fake_match',
]


class Versions(TypedDict):
    """
    Versions of everything that produced an answer.
    """

    index: str
    """
    Generation of the index, and revision of the gallery applied to it.
    """
    model: str
    """
    Name and checksum of the model.
    """
    policies: dict[str, int]
    """
    Version of the policy of each brand among the candidates; 0 where the brand has none of its own.
    """
    scoring: NotRequired[str]
    """
    Name of the model and checksum of the scoring artefact: background set, weights and calibration.
    """
    touchstone: str
    """
    Version of the program.
    """


class Webhook(TypedDict):
    """
    A receiver of events, without its secret.
    """

    created_at: str
    """
    When it was made.
    """
    created_by: str
    """
    Id of the key that made it.
    """
    disabled: NotRequired[str | None]
    """
    Why nothing is sent any more; absent while events are sent.
    """
    id: str
    """
    Its id, `whk_` and a UUID.
    """
    types: NotRequired[list[EventType]]
    """
    The types that are sent; absent for all.
    """
    url: str
    """
    The address to which events are sent.
    """


class WebhookRequest(TypedDict):
    """
    A new webhook.
    """

    after: NotRequired[int | None]
    """
    Position in the list of events after which to begin, 0 for the first event; events from now on if absent.
    """
    types: NotRequired[list[EventType]]
    """
    The types to send; all, also future ones, if absent.
    """
    url: str
    """
    The address to send events to: `https://HOST/PATH`, at most 2,048 characters, on one of the hosts in the
    service's settings.
    """


class Acknowledgement(TypedDict):
    """
    What a member tells after it has taken signals.
    """

    feedback: NotRequired[list[SignalFeedback]]
    """
    How signals fared, at most 1,000.
    """
    seq: int
    """
    The last line of the log that was applied: all signals withdrawn up to there are deleted.
    """


class ApiKey(TypedDict):
    """
    An API key, without its secret: the secret was shown once, and only its SHA-256 is stored.
    """

    created_at: str
    """
    When the key was created.
    """
    created_by: str
    """
    Who created it: the id of a key, or `command-line`, or `first-start`.
    """
    expires_at: NotRequired[str | None]
    """
    The service rejects the key from this time on.
    """
    id: str
    """
    Id of the key, which is also part of the key itself.
    """
    label: str
    """
    Purpose of the key, in the words of its creator.
    """
    rate: NotRequired[int | None]
    """
    Requests per second at most; if absent, the service's own limit applies.
    """
    revoked_at: NotRequired[str | None]
    """
    When the key was revoked.
    """


class BatchLine(TypedDict):
    """
    A listing in a batch.
    """

    brand: NotRequired[str | None]
    """
    The brand that the listing claims.
    """
    category: NotRequired[str | None]
    """
    The marketplace's category.
    """
    id: NotRequired[str | None]
    """
    The caller's name for the line; the answer repeats it.
    """
    idempotency_key: NotRequired[str | None]
    """
    Idempotency key of this line, in place of the batch's key with the line number.
    """
    listing_id: NotRequired[str | None]
    """
    The marketplace's id of the listing.
    """
    photos: list[BatchPhoto]
    """
    1 to 20 photos.
    """
    seller_id: NotRequired[str | None]
    """
    The marketplace's id of the seller.
    """


class BrandCount(TypedDict):
    """
    Number of a brand's active references.
    """

    authentic: int
    brand: BrandId
    fake: int


class Case(TypedDict):
    """
    A check that was not allowed, for moderators to decide.
    """

    action: str
    """
    The action that the verdict asks for: `review` or `block`.
    """
    appeal: NotRequired[str | None]
    """
    The seller's objection to the decision, free text.
    """
    appealed_at: NotRequired[str | None]
    """
    When the seller appealed.
    """
    brand: NotRequired[str | None]
    """
    Brand of the leading match; absent if nothing matched.
    """
    check_id: str
    """
    Id of the check, which is also the case's.
    """
    claimed_by: NotRequired[str | None]
    """
    Who has claimed the case, until `claimed_until`.
    """
    created_at: str
    """
    When the case was opened: when the check was answered, or when a lookback found it later.
    """
    decided_at: NotRequired[str | None]
    """
    When the case was decided.
    """
    decided_by: NotRequired[str | None]
    """
    Who decided; `precedent` where the same photo and reference were decided before.
    """
    decided_photo: NotRequired[int | None]
    """
    The photo that the moderator compared, counted from 0.
    """
    decided_reference: NotRequired[str | None]
    """
    Id of the reference that the moderator compared it with.
    """
    decision: NotRequired[Decision | None]
    first_decided_by: NotRequired[str | None]
    """
    Who decided before the appeal, or made the decision that was followed.
    """
    listing_id: NotRequired[str | None]
    """
    The marketplace's id of the listing.
    """
    note: NotRequired[str | None]
    """
    The moderator's reason, free text.
    """
    photo: NotRequired[str | None]
    """
    SHA-256 of the leading match's photo, in lower-case hex.
    """
    polarity: NotRequired[Polarity | None]
    precedent: NotRequired[str | None]
    """
    Id of the check whose decision was followed.
    """
    probability: float
    """
    Probability of the leading match; 0.5 if nothing matched.
    """
    reference: NotRequired[str | None]
    """
    Id of the leading match's reference.
    """
    seller_id: NotRequired[str | None]
    """
    The marketplace's id of the seller.
    """
    status: CaseStatus
    """
    Whether the case is open, decided or appealed.
    """
    verdict: str
    """
    The verdict: the check's, or that of the lookback that opened the case.
    """


class CertificateBody(TypedDict):
    """
    What a brand's outcomes prove, and the score from which on matches to its known fakes may be blocked.
    """

    as_of: NotRequired[str | None]
    """
    When the newest outcome was decided; absent where there are none.
    """
    blocks: bool
    """
    Whether the brand's policy asks for blocks.
    """
    brand: BrandId
    certified: bool
    """
    Whether matches to the brand's known fakes may be blocked.
    """
    confidence: float
    """
    Joint confidence of all bounds (Bonferroni over the steps).
    """
    outcomes: int
    """
    Photos with an outcome of a match to the brand's fakes, under this artefact.
    """
    precision_bound: NotRequired[float | None]
    """
    Lower bound of the precision of blocks at or above the threshold (Clopper-Pearson, one-sided).
    """
    required_precision: float
    """
    The required lower bound.
    """
    steps: list[StepBody]
    """
    What the outcomes prove at each score tried.
    """
    threshold: NotRequired[float | None]
    """
    The score from which on they may be blocked, 0 to 1: the lowest proven step, but never below the score that 95%
    of the confirmed matches at or above that step reach.
    """
    versions: CertificateVersions


class Closure(TypedDict):
    """
    A proposal to close a seller's account.
    """

    decided_by: NotRequired[str | None]
    """
    The moderator who last confirmed or dismissed it; absent before that.
    """
    id: str
    """
    Public id, `cls_` and a UUID.
    """
    proposed_at: str
    """
    When it was proposed.
    """
    reason: NotRequired[str | None]
    """
    The reason that the moderator gave; absent before that.
    """
    seller_id: str
    """
    The marketplace's id of the seller.
    """
    state: ClosureState
    """
    The state now.
    """
    strikes: int
    """
    Number of strikes when it was proposed, or when a moderator last decided.
    """
    updated_at: str
    """
    When the state last changed.
    """


class ClosurePage(TypedDict):
    """
    A page of proposals.
    """

    closures: list[Closure]
    """
    The proposals.
    """
    next: NotRequired[int | None]
    """
    Pass it as `after` to get the next page; absent on the last page.
    """


class Counted(Webhook):
    """
    A webhook with the numbers of its deliveries.
    """

    dead: int
    """
    Events that nobody sends again unless asked.
    """
    delivered: int
    """
    Events that were delivered in the last 30 days.
    """
    waiting: int
    """
    Events that wait for an attempt.
    """


class Delivery(TypedDict):
    """
    One event for one webhook.
    """

    attempts: int
    """
    Number of attempts since it was made or was asked for again.
    """
    error: NotRequired[str | None]
    """
    Why the last attempt failed.
    """
    id: str
    """
    Its id, `msg_` and a UUID: the header `webhook-id` of every attempt.
    """
    next_at: NotRequired[str | None]
    """
    When the next attempt is due; absent unless it waits, and before the first attempt.
    """
    seq: int
    """
    The event's position, as in the list of events.
    """
    state: DeliveryState
    """
    Whether it waits, was delivered, or is dead.
    """
    status: NotRequired[int | None]
    """
    The HTTP status of the last answer, if there was one.
    """
    type: EventType
    """
    The event's type.
    """
    updated_at: str
    """
    When it last changed.
    """
    webhook_id: str
    """
    Id of the webhook.
    """


class DeliveryPage(TypedDict):
    """
    A page of deliveries.
    """

    deliveries: list[Delivery]
    """
    Newest event first.
    """


class Event(TypedDict):
    """
    Something that happened.
    """

    at: str
    """
    When it happened.
    """
    brand: NotRequired[str | None]
    """
    The brand.
    """
    case: NotRequired[Case | None]
    check_id: NotRequired[str | None]
    """
    Id of the check.
    """
    closure_id: NotRequired[str | None]
    """
    Id of the proposal to close the seller's account.
    """
    listing_id: NotRequired[str | None]
    """
    The marketplace's id of the listing.
    """
    notice_id: NotRequired[str | None]
    """
    Id of the notice.
    """
    reference_id: NotRequired[str | None]
    """
    Id of the reference.
    """
    seller_id: NotRequired[str | None]
    """
    The marketplace's id of the seller.
    """
    seq: int
    """
    Position, unique and ascending, with gaps. A reader that stores it notices events that it has already had.
    """
    type: EventType
    """
    What happened.
    """


class EventPage(TypedDict):
    """
    A page of events, oldest first.
    """

    events: list[Event]
    """
    The events.
    """
    next: int
    """
    Pass it as `after` to get later events.
    """


class IndexBody(TypedDict):
    """
    State of the index.
    """

    added: int
    """
    References added since the generation was built.
    """
    brands: list[BrandCount]
    """
    Brands with active references.
    """
    generation: int
    """
    Number of the generation that serves.
    """
    model: str
    """
    Name and checksum of the model whose embeddings the index has.
    """
    references: int
    """
    References served.
    """
    removed: int
    """
    References of the generation that are no longer served.
    """
    search: str
    """
    `hnsw` or `exact`: how the service answers a search without filters.
    """
    signals: int
    """
    Signals of other members of alliances that take part in checks.
    """
    thresholds: dict[str, Any]
    """
    The model's default thresholds.
    """
    vectors: int
    """
    Distinct embeddings in the generation.
    """


class Joined(TypedDict):
    """
    The member as it is stored.
    """

    id: MemberId
    """
    Its id, which follows from its public key.
    """
    name: str
    """
    Its name.
    """
    role: MemberRole
    """
    Whether it gives or gets signals.
    """


class KeyRequest(TypedDict):
    """
    A new key.
    """

    brand: NotRequired[BrandId | None]
    days: NotRequired[int | None]
    """
    Days until the key expires, 1 to 36500; when absent, it never expires.
    """
    label: NotRequired[str | None]
    """
    Purpose of the key, in your words: 1 to 200 characters; leave it out instead of sending an empty one.
    """
    rate: NotRequired[int | None]
    """
    Most requests per second, 1 to 1000000; the service's own limit when absent.
    """
    scope: ScopeName
    """
    `platform`, `brand`, `moderator` or `admin`.
    """


class Keys(TypedDict):
    """
    All keys.
    """

    keys: list[ApiKey]
    """
    Oldest first.
    """


class Link(TypedDict):
    """
    Two sellers whose listings used the same photos.
    """

    newest: SharedPhoto
    """
    The newest of these photos.
    """
    photos: int
    """
    Number of photos that both used.
    """
    sellers: list[str]
    """
    The two sellers' ids, in alphabetical order.
    """


class LinkGraph(TypedDict):
    """
    The sellers that are linked with one, directly or through others.
    """

    links: list[Link]
    """
    The links between them. Of each seller, the 41 links with most photos count.
    """
    sellers: list[LinkedSeller]
    """
    The sellers, the one asked about first, then by distance.
    """
    truncated: bool
    """
    Whether sellers or photos were left out because there are too many.
    """


class LookedBack(TypedDict):
    """
    How a reference was found in a photo of an earlier check.
    """

    found_at: str
    """
    When it was found.
    """
    model: str
    """
    Name and checksum of the model.
    """
    scoring: str
    """
    Name of the model and checksum of the scoring artefact.
    """
    seen_in: SeenIn
    """
    What the reference was compared with.
    """


class LookupRequest(TypedDict):
    """
    A look-up by a reference's id.
    """

    brand: NotRequired[BrandId | None]
    k: NotRequired[int | None]
    """
    Number of answers, 1 to 1000; 10 when absent.
    """
    polarity: NotRequired[Polarity | None]
    product: NotRequired[str | None]
    """
    Only references of this product.
    """
    reference_id: str
    """
    The reference whose similar references you want; it is not among the answers.
    """


class Match(TypedDict):
    """
    A reference that a photo matches.
    """

    brand: str
    """
    The brand that owns the reference.
    """
    kind: NotRequired[Kind]
    """
    Photo or logo.
    """
    logo_changes: NotRequired[list[LogoChange]]
    """
    How the logo in the photo differs from this one; empty where it does not, and for photos.
    """
    overlay: NotRequired[Overlay | None]
    polarity: Polarity
    """
    Authentic or fake.
    """
    probability: NotRequired[float | None]
    """
    Calibrated probability that the photo is a copy of this reference, 0 to 1, including what the brand's outcomes
    contribute; for a logo, the probability that it is in the photo, changed or not. Absent in look-ups.
    """
    product: NotRequired[str | None]
    """
    The brand's product id.
    """
    reference_id: str
    """
    The reference's id.
    """
    score: NotRequired[float | None]
    """
    The probability without the brand's outcomes; certificates are about this value. Absent in look-ups and for
    logos.
    """
    similarity: float
    """
    Cosine similarity in [-1, 1], of the view in which the reference was found.
    """
    threshold: NotRequired[float | None]
    """
    The probability from which on a reference of this polarity means more than "looks alike"; absent in look-ups.
    """


class NewKey(ApiKey):
    """
    A new key. This is the only answer with its text.
    """

    key: str
    """
    The text to send as `Authorization: Bearer`.
    """


class NewWebhook(Webhook):
    """
    A new webhook. This is the only answer with its secret.
    """

    secret: str
    """
    The secret that verifies signatures: `whsec_` and 32 bytes in Base64.
    """


class NoticeListingBody(TypedDict):
    """
    A listing in a notice.
    """

    check_id: NotRequired[str | None]
    """
    The newest check of the listing when the notice was filed; absent for a brand.
    """
    deadline_at: NotRequired[str | None]
    """
    Until when the marketplace should answer; absent while the notice waits.
    """
    evidence: NotRequired[str | None]
    ground: Ground
    listing_id: NotRequired[str | None]
    """
    The marketplace's id of the listing; absent once it was erased.
    """
    reason: NotRequired[str | None]
    """
    The reason for the state: of a rejection, a refusal, or the seller's counter-notice.
    """
    reference_id: NotRequired[str | None]
    reminded_at: NotRequired[str | None]
    """
    When the service reminded the marketplace of the request.
    """
    restore_asked: bool
    """
    Whether the removed listing should be shown again: the reason for the removal no longer holds.
    """
    reviewed: bool
    """
    Whether a moderator has seen it.
    """
    seller_id: NotRequired[str | None]
    """
    The marketplace's id of the seller. A brand reads only what it sent.
    """
    state: NoticeState
    updated_at: str
    """
    When the state last changed.
    """


class NoticePage(TypedDict):
    """
    A page of notices.
    """

    next: NotRequired[int | None]
    """
    Pass it as `after` to get the next page; absent on the last page.
    """
    notices: list[NoticeSummaryBody]
    """
    The notices.
    """


class OutcomeAnswer(TypedDict):
    """
    A stored outcome.
    """

    brand: BrandId
    check_id: str
    confirmed: bool
    decided_at: str
    decided_by: NotRequired[str | None]
    note: NotRequired[str | None]
    polarity: Polarity
    score: float
    """
    The score that the check gave this brand's most probable match, 0 to 1.
    """
    scoring: str
    """
    The scoring artefact that gave the score; outcomes count under this artefact only.
    """


class OutcomeBody(TypedDict):
    """
    What people found out about a check's match to a brand.
    """

    confirmed: bool
    """
    Whether the match was right: for a fake reference, that the goods are counterfeit; for an authentic
    one, that the photo is the brand's.
    """
    decided_by: NotRequired[str | None]
    """
    Who decided, at most 256 bytes.
    """
    note: NotRequired[str | None]
    """
    Free text, at most 4096 bytes.
    """
    polarity: NotRequired[Polarity]
    """
    Polarity of the matched references.
    """


class PhotoAnswer(TypedDict):
    """
    The answer for one photo.
    """

    action: Action
    """
    Action that the policy decides for this photo.
    """
    fault: NotRequired[PhotoFault | None]
    frames: NotRequired[int | None]
    """
    Number of an animation's frames that were compared, at most 200; absent for a still photo. The frame that is
    shown longest is judged. If other frames differ from it, the action is never `allow` (`frames-not-judged`).
    """
    height: NotRequired[int | None]
    """
    Height in pixels, upright; absent when it could not be decoded.
    """
    index: int
    """
    Number of the photo in the request, from 0.
    """
    looked_back: NotRequired[LookedBack | None]
    matches: list[Match]
    """
    The references that reach or nearly reach a threshold, highest probability first.
    """
    name: NotRequired[str | None]
    """
    The file's name as sent.
    """
    perceptual_hash: NotRequired[str | None]
    """
    Perceptual hash, 64 hex digits; absent when the photo was allowed or could not be decoded.
    """
    quality: NotRequired[int | None]
    """
    How much detail the photo has, 0 to 100 (PDQ's quality metric); absent when it could not be decoded.
    """
    reasons: list[ReasonText]
    """
    Reasons of the verdict and the action.
    """
    settled: NotRequired[list[Settled]]
    """
    References left out, because a person has already decided about them and this photo, or one that looks the same.
    """
    sha256: str
    """
    SHA-256 of the bytes, 64 hex digits.
    """
    shared: NotRequired[list[SharedMatch]]
    """
    Signals of other members of an alliance that may be about this photo, highest probability first.
    """
    verdict: Verdict
    """
    Verdict on this photo.
    """
    views: NotRequired[int]
    """
    Number of views embedded: 1 for the whole photo, more where photos inside it were embedded; 0 when it could not
    be decoded.
    """
    width: NotRequired[int | None]
    """
    Width in pixels, upright; absent when it could not be decoded.
    """


class Policy(TypedDict):
    """
    How a brand wants its matches answered.
    """

    authentic_reuse: NotRequired[Action]
    """
    Action for an authentic photo that a seller reuses without authorisation: `allow` or `review`.
    """
    authorised_sellers: NotRequired[list[str]]
    """
    Ids of sellers who may use the brand's photos.
    """
    block: NotRequired[bool]
    """
    Whether a match to a known fake may be blocked without a person, from the brand's certified threshold on.
    Without a certificate such a match goes to review all the same.
    """
    brand_mark_imitated: NotRequired[Action]
    """
    Action for a sign near the brand's logo that is not the same: `allow` or `review`. A known imitation is always
    reviewed.
    """
    brand_mark_seen: NotRequired[Action]
    """
    Action for the brand's logo in a photo: `allow` or `review`.
    """
    lookalike: NotRequired[Action]
    """
    Action for a look-alike: `allow` or `review`.
    """
    thresholds: NotRequired[ThresholdOverrides]
    """
    Thresholds that differ from the model's own, for the model that was in use when they were set.
    """


class PolicyBody(TypedDict):
    """
    A brand's policy and its version.
    """

    brand: BrandId
    """
    The brand's id.
    """
    effective: EffectiveThresholds
    """
    The thresholds in force: the brand's own, else the model's.
    """
    model: str
    """
    The model that the policy's thresholds were set for; under another model its `lookalike` does not apply.
    """
    policy: Policy
    """
    The policy.
    """
    version: int
    """
    Grows by one with each change; 0 when the brand has no policy of its own. Also the `ETag`.
    """


class Problem(TypedDict):
    """
    An error as RFC 9457 problem+json.
    """

    code: str
    """
    Stable kebab-case code.
    """
    detail: str
    """
    What was wrong, what was expected, what to do.
    """
    photo: NotRequired[int | None]
    """
    Number of the photo that caused the error, from 0.
    """
    retry_after: NotRequired[int | None]
    """
    Seconds to wait before trying again; also in the header Retry-After.
    """
    status: int
    """
    The HTTP status.
    """
    title: str
    """
    The reason phrase of the HTTP status.
    """
    transition: NotRequired[Transition | None]
    type: str
    """
    `urn:touchstone:problem:` and the code.
    """


class ReferenceBody(TypedDict):
    """
    A reference.
    """

    brand: BrandId
    """
    The brand that owns it.
    """
    created_at: str
    """
    When it was added.
    """
    doubts: list[DoubtText]
    """
    Why it is a poor reference; empty where nothing is in doubt. With any doubt but `invisible-on-white`, it matches
    the same file and the same pixels only.
    """
    group: NotRequired[int | None]
    """
    Near-duplicates within the brand have the same number; absent where there are none.
    """
    height: int
    """
    Height in pixels, upright.
    """
    id: str
    """
    Id of the reference.
    """
    kind: Kind
    """
    Photo or logo. The service searches goods for a logo; a copy of a logo is not a reused photo.
    """
    kind_from: KindFrom
    """
    Source of `kind`: `brand`, or `picture` where the service determined it from the pixels.
    """
    mark: NotRequired[Mark | None]
    media_type: str
    """
    Media type of the photo.
    """
    notes: NotRequired[str | None]
    """
    Free text.
    """
    perceptual_hash: str
    """
    Perceptual hash of the photo, 64 hex digits.
    """
    polarity: Polarity
    """
    Authentic or fake.
    """
    product: NotRequired[str | None]
    """
    The brand's product id.
    """
    quality: int
    """
    How much detail the photo has, 0 to 100 (PDQ's quality metric).
    """
    quarantine: NotRequired[Quarantine | None]
    rights_basis: NotRequired[str | None]
    """
    Why the brand may use the photo.
    """
    sha256: str
    """
    SHA-256 of the photo's bytes, 64 hex digits.
    """
    source: NotRequired[str | None]
    """
    Where the brand got the photo from.
    """
    state: ReferenceState
    """
    Whether the reference takes part in checks.
    """
    updated_at: str
    """
    When it was last changed.
    """
    width: int
    """
    Width in pixels, upright.
    """


class ReferencePage(TypedDict):
    """
    One page of references.
    """

    next: NotRequired[int | None]
    """
    `after` of the next page; absent on the last.
    """
    references: list[ReferenceBody]
    """
    In the order in which they were added.
    """


class ReferencePatch(TypedDict):
    """
    Changes to a reference: absent fields stay, null clears.
    """

    kind: NotRequired[Kind | None]
    notes: NotRequired[str | None]
    """
    Free text, at most 4096 bytes.
    """
    product: NotRequired[str | None]
    """
    The brand's product id, at most 256 bytes.
    """
    rights_basis: NotRequired[str | None]
    """
    Why the brand may use the photo, at most 256 bytes.
    """
    source: NotRequired[str | None]
    """
    Where the brand got the photo from, at most 1024 bytes.
    """
    state: NotRequired[SettableState | None]


class StandingBody(TypedDict):
    """
    A brand's standing.
    """

    brand: BrandId
    counter: NotRequired[float | None]
    """
    The share of successful counter-notices, 0 to 1; absent before the first answer.
    """
    days: int
    """
    The days over which listings count, by the last change of their state.
    """
    fast_lane: bool
    """
    Whether the brand's next notice goes to the marketplace before a moderator has seen it.
    """
    missing: list[Lacking]
    """
    What the brand lacks for the fast lane; empty in the fast lane.
    """
    record: TakedownRecord
    """
    The counts of listings.
    """
    required: RequiredBody
    """
    What the fast lane asks for.
    """
    success: NotRequired[float | None]
    """
    The share of successful takedowns, 0 to 1; absent before the first answer.
    """
    waits_until: NotRequired[str | None]
    """
    Until when the brand waits, because bad figures ended its place; absent if it does not wait.
    """


class Strike(TypedDict):
    """
    An infringement that counts against a seller.
    """

    at: str
    """
    When the case was decided, or the listing removed.
    """
    brand: NotRequired[str | None]
    """
    The brand.
    """
    check_id: NotRequired[str | None]
    """
    Id of the case's check, or of the removed listing's newest check when the notice was filed.
    """
    ground: StrikeGround
    """
    Why it counts.
    """
    listing_id: NotRequired[str | None]
    """
    The marketplace's id of the listing.
    """
    notice_id: NotRequired[str | None]
    """
    Id of the notice after which the marketplace removed the listing; absent for a case.
    """
    photo: NotRequired[str | None]
    """
    SHA-256 of the photo of the case's leading match, in lower-case hex; absent for a removal.
    """
    strikes: int
    """
    For how many strikes it counts.
    """


class Webhooks(TypedDict):
    """
    All webhooks.
    """

    webhooks: list[Counted]
    """
    Oldest first.
    """


class CheckAnswer(TypedDict):
    """
    The answer to a check: stored, and the same on every replay.
    """

    action: Action
    """
    What to do with the listing: the severest action of its photos.
    """
    created_at: str
    """
    When the check was answered.
    """
    id: str
    """
    The check's id, for `GET /v1/checks/{id}`.
    """
    listing: Listing
    """
    The listing as sent.
    """
    photos: list[PhotoAnswer]
    """
    One answer per photo, in the order sent.
    """
    reasons: list[ReasonText]
    """
    Reasons of the verdict and the action.
    """
    verdict: Verdict
    """
    Verdict on the photo that decides the action.
    """
    versions: Versions
    """
    Versions of everything that produced the answer.
    """


class ClosureBody(Closure):
    """
    A proposal with its evidence.
    """

    infringements: list[Strike]
    """
    The infringements that the strikes are for, the oldest first.
    """


class LookupAnswer(TypedDict):
    """
    The answer to a look-up.
    """

    matches: list[Match]
    """
    Nearest first.
    """


class NoticeBody(TypedDict):
    """
    A notice with its listings.
    """

    brand: NotRequired[str | None]
    """
    The brand; absent if the case that led to the notice names none.
    """
    created_at: str
    id: str
    listings: list[NoticeListingBody]
    source: NoticeSource


class SellerRecord(TypedDict):
    """
    A seller's record.
    """

    appeals: Appeals
    """
    The seller's appeals.
    """
    checks: dict[str, int]
    """
    Number of checks by action: `allow`, `review`, `block`.
    """
    closure: NotRequired[Closure | None]
    decisions: dict[str, int]
    """
    Number of decided cases by decision.
    """
    first_check_at: NotRequired[str | None]
    """
    When the first check that is still stored was answered; absent if there is none.
    """
    infringements: list[Strike]
    """
    The infringements that count now, the oldest first.
    """
    last_check_at: NotRequired[str | None]
    """
    When the last check that is still stored was answered; absent if there is none.
    """
    matches: list[SellerMatches]
    """
    Number of cases by verdict and brand.
    """
    notices: dict[str, int]
    """
    Number of the seller's listings in takedown notices, by state. Only listings that were checked count.
    """
    seller_id: str
    """
    The marketplace's id of the seller.
    """
    strikes: int
    """
    Number of strikes that count now.
    """
    waiting: int
    """
    Number of cases that wait for a moderator.
    """


class BatchAnswer(TypedDict):
    """
    One line of the answer: the answer for a listing, or the last line, which has the counts.
    """

    check: NotRequired[CheckAnswer | None]
    end: NotRequired[BatchEnd | None]
    id: NotRequired[str | None]
    """
    The request line's `id`; absent where it has none.
    """
    line: NotRequired[int | None]
    """
    Number of the request line, from 1; absent on the last.
    """
    problem: NotRequired[Problem | None]
    replayed: NotRequired[bool | None]
    """
    Whether this is the stored answer to an earlier request with the same key.
    """
    status: NotRequired[int | None]
    """
    The HTTP status that a request for this listing alone would get.
    """
