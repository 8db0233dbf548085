//! API keys: creation, recognition and validity.
//!
//! A key is `tsk_` and two parts in hexadecimal, `tsk_<id, 16 digits>_<secret, 64 digits>`, so that anyone who finds
//! one, such as a scanner of repositories, can tell which key to revoke. The secret has 256 random bits. Only its
//! SHA-256 is stored: nobody can guess the secret, and a slow hash would only slow requests down.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::domain::{InvalidName, Scope, check_name};
use crate::gallery::{ApiKey, Gallery, GalleryError};
use crate::photo::Sha256;

const PREFIX: &str = "tsk_";
const ID_DIGITS: usize = 16;
/// The greatest length of a label in characters.
pub const MOST_LABEL: usize = 200;
/// The longest life of a key in days: a hundred years, so that dates stay valid.
pub const MOST_DAYS: u32 = 36_500;
/// The highest rate of a key in requests per second.
pub const MOST_RATE: u32 = 1_000_000;

/// A key to create.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What the key may do.
    pub scope: Scope,
    /// Purpose of the key, at most [`MOST_LABEL`] characters and not blank.
    pub label: Option<String>,
    /// Days until the key expires, 1 to [`MOST_DAYS`]; `None` for a key that never expires.
    pub days: Option<u32>,
    /// Requests per second, 1 to [`MOST_RATE`]; `None` for the service's own limit.
    pub rate: Option<u32>,
}

/// Why a key is not created.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The label, the days, the rate or the scope is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidName),
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}

/// Why the service rejects a key.
#[derive(Debug, Error)]
pub enum KeyRefused {
    /// The text is not a key, its id is unknown, or its secret is wrong.
    #[error("the key is unknown; check that it was copied completely and belongs to this service")]
    Unknown,
    /// The key has expired.
    #[error("the key {id} expired at {at:.0}; ask for a new one")]
    Expired {
        /// Id of the key.
        id: String,
        /// When it expired.
        at: Timestamp,
    },
    /// The key was revoked.
    #[error("the key {id} was revoked at {at:.0}; ask for a new one")]
    Revoked {
        /// Id of the key.
        id: String,
        /// When it was revoked.
        at: Timestamp,
    },
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}

/// Creates a key. Returns it with its text, which is stored nowhere and cannot be shown again.
///
/// # Errors
/// [`KeyError`]; then nothing is stored.
pub fn make(gallery: &Gallery, by: &str, wanted: Wanted) -> Result<(ApiKey, String), KeyError> {
    let (key, text) = draw(by, wanted)?;
    gallery.add_key(&key, Sha256::of(text.as_bytes()))?;
    Ok((key, text))
}

/// Creates a key of scope admin if there has never been a key; `None` if there has.
///
/// # Errors
/// When the database cannot be written.
pub fn make_first(gallery: &Gallery) -> Result<Option<(ApiKey, String)>, KeyError> {
    let wanted =
        Wanted { scope: Scope::Admin, label: Some("made at the first start".to_owned()), days: None, rate: None };
    let (key, text) = draw("first-start", wanted)?;
    let kept = gallery.add_first_key(&key, Sha256::of(text.as_bytes()))?;
    Ok(kept.then_some((key, text)))
}

/// The key with this text, if it is valid at `now`.
///
/// # Errors
/// [`KeyRefused`]. Only callers with the secret learn that a key has expired or was revoked.
pub fn authenticate(gallery: &Gallery, text: &str, now: Timestamp) -> Result<ApiKey, KeyRefused> {
    let id = id_of(text).ok_or(KeyRefused::Unknown)?;
    let (key, kept) = gallery.key(&id)?.ok_or(KeyRefused::Unknown)?;
    let given = Sha256::of(text.as_bytes());
    verify_slices_are_equal(&given.0, &kept.0).map_err(|_| KeyRefused::Unknown)?;
    usable(&key, now)?;
    Ok(key)
}

/// Whether a known key is valid at `now`.
///
/// # Errors
/// [`KeyRefused`] when it has expired or was revoked.
pub fn usable(key: &ApiKey, now: Timestamp) -> Result<(), KeyRefused> {
    let id = || key.id.clone();
    if let Some(at) = key.revoked_at {
        return Err(KeyRefused::Revoked { id: id(), at });
    }
    match key.expires_at.filter(|at| *at <= now) {
        Some(at) => Err(KeyRefused::Expired { id: id(), at }),
        None => Ok(()),
    }
}

fn draw(by: &str, wanted: Wanted) -> Result<(ApiKey, String), KeyError> {
    let Wanted { scope, label, days, rate } = wanted;
    let refused = |detail: String| Err(InvalidName(detail).into());
    if let Some(label) = &label {
        check_name("label", label).map_err(InvalidName::from)?;
        if label.chars().count() > MOST_LABEL {
            return refused(format!("the label is {label:?}, expected at most {MOST_LABEL} characters on one line"));
        }
    }
    let label = label.unwrap_or_default();
    if let Some(days) = days.filter(|days| !(1..=MOST_DAYS).contains(days)) {
        return refused(format!("the days are {days}, expected 1 to {MOST_DAYS}"));
    }
    if let Some(rate) = rate.filter(|rate| !(1..=MOST_RATE).contains(rate)) {
        return refused(format!("the rate is {rate}, expected 1 to {MOST_RATE}"));
    }
    let id = format!("{:016x}", rand::random::<u64>());
    let text = format!("{PREFIX}{id}_{}", new_secret());
    let created_at = Timestamp::now();
    let expires_at = days.map(|days| created_at + SignedDuration::from_hours(i64::from(days) * 24));
    let (id, created_by) = (format!("key_{id}"), by.to_owned());
    Ok((ApiKey { id, scope, label, rate, created_by, created_at, expires_at, revoked_at: None }, text))
}

/// The id in a key's text, if the text has the form of a key.
fn id_of(text: &str) -> Option<String> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_id = id.len() == ID_DIGITS && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_id && secret.parse::<Sha256>().is_ok()).then(|| format!("key_{id}"))
}

/// The id of a key, given its id or its whole text; never the secret.
#[must_use]
pub fn id_in(named: &str) -> String {
    let id = named.strip_prefix(PREFIX).map(|rest| rest.split('_').next().unwrap_or_default());
    id.map_or_else(|| named.to_owned(), |id| format!("key_{id}"))
}

/// 256 random bits in hexadecimal.
#[must_use]
pub fn new_secret() -> String {
    Sha256(rand::random()).to_string()
}
