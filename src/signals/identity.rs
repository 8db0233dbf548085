use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;

use crate::domain::MemberId;

/// Bytes of a secret and of a public key.
const KEY_BYTES: usize = 32;

/// The text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the public key is invalid, expected {KEY_BYTES} bytes in Base64")]
pub struct IdentityFault;

/// The Ed25519 key with which a touchstone signs its packs.
pub struct Identity {
    secret: [u8; KEY_BYTES],
    pair: Ed25519KeyPair,
}

impl Identity {
    /// A new key of 256 random bits.
    ///
    /// # Errors
    /// When the library refuses the bytes, which it does not do.
    pub fn draw() -> Result<Self, IdentityFault> {
        Self::from_secret(&rand::random::<[u8; KEY_BYTES]>())
    }

    /// The key with this secret.
    ///
    /// # Errors
    /// When the secret does not have 32 bytes.
    pub fn from_secret(secret: &[u8]) -> Result<Self, IdentityFault> {
        let secret: [u8; KEY_BYTES] = secret.try_into().map_err(|_| IdentityFault)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&secret).map_err(|_| IdentityFault)?;
        Ok(Self { secret, pair })
    }

    /// The secret, for the database.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The public key: 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The id that follows from the public key.
    #[must_use]
    pub fn member_id(&self) -> MemberId {
        MemberId::of(self.public_key())
    }

    /// The signature of a message: 64 bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// Whether somebody's key signed the message.
    #[must_use]
    pub fn is_signed_by(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
    }

    /// A public key as text.
    #[must_use]
    pub fn encode(public_key: &[u8]) -> String {
        BASE64_STANDARD.encode(public_key)
    }

    /// The public key in a text.
    ///
    /// # Errors
    /// [`IdentityFault`].
    pub fn decode(text: &str) -> Result<Vec<u8>, IdentityFault> {
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| IdentityFault)?;
        if bytes.len() == KEY_BYTES { Ok(bytes) } else { Err(IdentityFault) }
    }
}
