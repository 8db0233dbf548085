//! Files encrypted at rest, with AES-256-GCM.
//!
//! A sealed file is `TSV1`, the first 8 bytes of the SHA-256 of its key, 12 random bytes of nonce, the ciphertext and
//! 16 bytes of tag. The file's kind and the SHA-256 of its content are authenticated with it, so that files cannot be
//! swapped. Random nonces are safe for 2^32 files per key (NIST SP 800-38D, 8.3).

use std::fmt;
use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use crate::photo::Sha256;

const MAGIC: &[u8; 4] = b"TSV1";
const HEAD: usize = MAGIC.len() + size_of::<KeyId>() + NONCE_LEN;
/// Bytes that sealing adds to a file.
pub(super) const MORE: u64 = (HEAD + 16) as u64;

/// The first 8 bytes of a key's SHA-256: they say which key sealed a file, and nothing about the key.
type KeyId = [u8; 8];

/// Keys for files: the first seals, and each opens the files that it has sealed.
pub struct Vault {
    keys: Vec<(KeyId, RandomizedNonceKey)>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} keys)", self.keys.len())
    }
}

impl Vault {
    /// Parses keys from a text: one per line, 64 hex digits. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// The number of the wrong line, never its content.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(number, line)| {
            let wrong =
                || format!("line {number} is not a key, expected 64 lower-case hex digits (openssl rand -hex 32)");
            let Sha256(bytes) = line.parse().map_err(|_| wrong())?;
            let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| wrong())?;
            let Sha256(sum) = Sha256::of(&bytes);
            let mut id = KeyId::default();
            id.copy_from_slice(&sum[..size_of::<KeyId>()]);
            Ok((id, key))
        });
        let keys = keys.collect::<Result<Vec<_>, String>>()?;
        if keys.is_empty() {
            return Err("it contains no key, expected 64 lower-case hex digits on a line".to_owned());
        }
        Ok(Self { keys })
    }

    /// Hex name of the key that seals.
    pub(super) fn newest(&self) -> String {
        self.keys.first().map(|(id, _)| name(id)).unwrap_or_default()
    }

    /// Whether the vault has the key with this name.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.keys.iter().any(|(id, _)| name(id) == key)
    }

    /// Whether the newest key sealed this file.
    pub(super) fn sealed_newest(&self, sealed: &[u8]) -> bool {
        let newest = self.keys.first().map(|(id, _)| &id[..]);
        newest.is_some_and(|id| sealed[MAGIC.len()..].starts_with(id))
    }

    pub(super) fn seal(&self, kind: &str, sha256: Sha256, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (id, key) = self.keys.first().ok_or_else(|| io::Error::other("there is no key"))?;
        let mut sealed = Vec::with_capacity(bytes.len() + HEAD + 16);
        sealed.extend_from_slice(bytes);
        let failed = |_| io::Error::other("a file cannot be encrypted");
        let nonce = key.seal_in_place_append_tag(aad(kind, sha256), &mut sealed).map_err(failed)?;
        sealed.splice(..0, [MAGIC, &id[..], nonce.as_ref()].concat());
        Ok(sealed)
    }

    fn open(&self, kind: &str, sha256: Sha256, mut sealed: Vec<u8>) -> io::Result<Vec<u8>> {
        let (head, rest) = sealed.split_at_mut(HEAD);
        let id = &head[MAGIC.len()..MAGIC.len() + size_of::<KeyId>()];
        let (_, key) = self.keys.iter().find(|(known, _)| known == id).ok_or_else(|| unknown_key(id))?;
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, "the encrypted file is damaged, or belongs to another photo");
        let nonce = Nonce::try_assume_unique_for_key(&head[HEAD - NONCE_LEN..]).map_err(|_| damaged())?;
        let length = key.open_in_place(nonce, aad(kind, sha256), rest).map_err(|_| damaged())?.len();
        sealed.truncate(HEAD + length);
        Ok(sealed.split_off(HEAD))
    }
}

/// A file's content, decrypted if the file is sealed.
pub(super) fn opened(vault: Option<&Vault>, kind: &str, sha256: Sha256, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    match (is_sealed(&bytes), vault) {
        (false, _) => Ok(bytes),
        (true, Some(vault)) => vault.open(kind, sha256, bytes),
        (true, None) => Err(unknown_key(&bytes[MAGIC.len()..MAGIC.len() + size_of::<KeyId>()])),
    }
}

pub(super) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) && bytes.len() as u64 >= MORE
}

fn aad(kind: &str, sha256: Sha256) -> Aad<Vec<u8>> {
    Aad::from([kind.as_bytes(), b"\0", &sha256.0].concat())
}

fn unknown_key(id: &[u8]) -> io::Error {
    io::Error::other(format!("the file is encrypted with key {}, which photo_keys does not hold", name(id)))
}

fn name(id: &[u8]) -> String {
    id.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}
