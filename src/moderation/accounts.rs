use std::collections::HashMap;
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use thiserror::Error;

use crate::domain::{InvalidName, Role};
use crate::gallery::{Gallery, GalleryError};
use crate::keys::new_secret;
use crate::photo::Sha256;

/// Hours after which a session ends.
const SESSION_HOURS: i64 = 12;
/// Fewest characters of a password: NIST SP 800-63B-4, 3.1.1.2, for a password that is the only factor.
const LEAST_PASSWORD: usize = 15;
/// Most bytes of a password, which limits the time spent hashing it.
const MOST_PASSWORD: usize = 1024;
/// Wrong passwords for one name before it has to wait.
const TRIES: u32 = 5;
/// Wait after [`TRIES`] wrong passwords.
const WAIT: Duration = Duration::from_mins(1);

/// Actors of the audit log that are no accounts; no account may have these names.
const RESERVED: [&str; 4] = ["precedent", "platform", "command-line", "touchstone"];

/// Why an account was not stored.
#[derive(Debug, Error)]
pub enum AccountError {
    /// The name is invalid or reserved.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The password is too short or too long.
    #[error("the password has {got} characters, expected {LEAST_PASSWORD} to {MOST_PASSWORD}")]
    Password {
        /// Length of the password, in characters.
        got: usize,
    },
    /// Argon2 failed to hash the password.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}

/// Stores an account, or changes its password and role.
///
/// # Errors
/// When the name or the password is invalid, hashing fails, or the database returns an error; nothing is changed then.
pub fn put_account(gallery: &Gallery, actor: &str, name: &str, role: Role, password: &str) -> Result<(), AccountError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) || RESERVED.contains(&name) {
        let detail = format!(
            "the name is {name:?}, expected 1 to 64 characters of a-z, 0-9, ., - and _, and none of {}",
            RESERVED.join(", ")
        );
        return Err(InvalidName(detail).into());
    }
    let got = password.chars().count();
    if got < LEAST_PASSWORD || password.len() > MOST_PASSWORD {
        return Err(AccountError::Password { got });
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash = hash.map_err(|error| AccountError::Hash(error.to_string()))?;
    Ok(gallery.put_account(actor, name, role, &hash.to_string())?)
}

/// SHA-256 of a session's token. Only this checksum is stored.
#[must_use]
pub fn token_sum(token: &str) -> Sha256 {
    Sha256::of(token.as_bytes())
}

/// Result of a sign-in.
#[derive(Debug)]
pub enum SignIn {
    /// Success: the token of the new session.
    Welcome(String),
    /// The name or the password is wrong; the answer does not say which.
    Wrong,
    /// Too many wrong passwords for this name; the remaining wait.
    Wait(Duration),
}

/// Counts wrong passwords per name, in memory.
#[derive(Debug, Default)]
pub struct LoginGuard {
    wrong: Mutex<HashMap<String, (u32, Instant)>>,
}

impl LoginGuard {
    /// Counts an attempt, which counts as wrong until [`Self::was_right`]; an error is the remaining wait.
    fn begin(&self, name: &str) -> Result<(), Duration> {
        let mut wrong = self.wrong.lock();
        wrong.retain(|_, (_, last)| last.elapsed() < WAIT);
        match wrong.get_mut(name) {
            Some((tries, last)) if *tries >= TRIES => Err(WAIT.saturating_sub(last.elapsed())),
            Some(entry) => {
                *entry = (entry.0 + 1, Instant::now());
                Ok(())
            }
            None => {
                wrong.insert(name.to_owned(), (1, Instant::now()));
                Ok(())
            }
        }
    }

    /// Removes one attempt, whose password was right.
    fn was_right(&self, name: &str) {
        if let Some((tries, _)) = self.wrong.lock().get_mut(name) {
            *tries = tries.saturating_sub(1);
        }
    }
}

/// Opens a session if the password is right. Takes about ten milliseconds, on purpose.
///
/// # Errors
/// When the database returns an error.
pub fn sign_in(gallery: &Gallery, guard: &LoginGuard, name: &str, password: &str) -> Result<SignIn, GalleryError> {
    let counted: String = name.chars().take(64).collect();
    if let Err(wait) = guard.begin(&counted) {
        return Ok(SignIn::Wait(wait));
    }
    let account = gallery.account(name)?.filter(|account| !account.disabled);
    // For an unknown name, a dummy hash is checked, so that the time taken reveals nothing.
    let hash = account.as_ref().map_or(NOBODY, |account| &account.password);
    let right = PasswordHash::new(hash).is_ok_and(|hash| {
        password.len() <= MOST_PASSWORD && Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
    });
    if account.is_none() || !right {
        return Ok(SignIn::Wrong);
    }
    guard.was_right(&counted);
    let token = new_secret();
    let ends = Timestamp::now() + SignedDuration::from_hours(SESSION_HOURS);
    gallery.open_session(name, token_sum(&token), &new_secret(), ends)?;
    Ok(SignIn::Welcome(token))
}

/// A hash that no password has.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IG9mIG91cnM$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ";
