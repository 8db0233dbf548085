use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;

const PREFIX: &str = "whsec_";
/// Bytes of a new secret; the specification allows 24 to 64.
const BYTES: usize = 32;

/// The bytes that sign what is sent to one webhook. As text: `whsec_` and the bytes in Base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// The text is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not a webhook's secret, expected whsec_ and 24 to 64 bytes in Base64")]
pub struct SecretFault;

impl Secret {
    /// A new secret of 256 random bits.
    #[must_use]
    pub fn draw() -> Self {
        Self(rand::random::<[u8; BYTES]>().to_vec())
    }

    /// The bytes, for the database.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The header `webhook-signature` of a message: `v1,` and the HMAC-SHA256 of id, timestamp and body, in Base64.
    #[must_use]
    pub fn signature(&self, id: &str, timestamp: i64, body: &str) -> String {
        let tag = sign(&Key::new(HMAC_SHA256, &self.0), format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl FromStr for Secret {
    type Err = SecretFault;

    fn from_str(text: &str) -> Result<Self, SecretFault> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretFault)?;
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| SecretFault)?;
        if (24..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(SecretFault) }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE64_STANDARD.encode(&self.0))
    }
}

/// Does not print the bytes.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
