use serde::{Deserialize, Serialize};

use crate::embed::RoundedEmbedding;

/// A checked photo as the memory stores it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Remembered<'a> {
    /// Id of the check.
    pub check_id: &'a str,
    /// Number of the photo in the check, from 0.
    pub photo: u32,
    /// SHA-256 of the photo's bytes.
    pub sha256: [u8; 32],
    /// The marketplace's id of the listing.
    pub listing_id: Option<&'a str>,
    /// The marketplace's id of the seller.
    pub seller_id: Option<&'a str>,
    /// When the check was answered, in seconds since 1970.
    pub at: i64,
    /// The embedding's numbers are those of `embedding`, times this.
    pub scale: f32,
    /// Signed bytes, one per dimension.
    pub embedding: &'a [u8],
    /// Visual words, eight bytes each, strongest keypoint first.
    pub words: &'a [u8],
}

impl Remembered<'_> {
    /// The record's bytes, without its length.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Plain numbers and texts in memory: serialising them cannot fail.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// The photo's embedding.
    #[must_use]
    pub fn embedding(&self) -> RoundedEmbedding {
        RoundedEmbedding::from_parts(self.scale, self.embedding)
    }
}
