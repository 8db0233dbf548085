//! Earlier decisions of moderators, and the references that they leave out.

use std::collections::HashMap;

use super::{Examination, Listing, ScreenError, Screener, Settled};
use crate::domain::Decision;
use crate::gallery::Pair;
use crate::photo::Photo;

impl Screener {
    /// The newest decisions about each candidate and this photo, or the same photo compressed or scaled again. An
    /// authorisation applies to its seller only. With `by_look`, decisions about other photos that look the same count,
    /// too; it must be off where a part of the photo vanishes on white, the ground of that comparison.
    pub(super) fn decided_before(
        &self,
        examination: &Examination,
        (photo, by_look): (&Photo, bool),
        listing: &Listing,
    ) -> Result<Vec<Pair>, ScreenError> {
        let mut pairs = self.gallery.decided_pairs(examination.held.iter().map(|held| held.found.key))?;
        if !pairs.is_empty() {
            let applies = |pair: &Pair| {
                pair.decision != Decision::Authorised
                    || (pair.seller_id.is_some() && pair.seller_id == listing.seller_id)
            };
            let look = photo.look();
            pairs.retain(|pair| pair.photo == photo.sha256() || (by_look && pair.is_about(photo.sha256(), &look)));
            pairs.sort_by_key(|pair| (pair.key, std::cmp::Reverse(pair.decided_at)));
            let newest: HashMap<u64, Decision> = pairs.iter().rev().map(|pair| (pair.key, pair.decision)).collect();
            pairs.retain(applies);
            pairs.dedup_by_key(|pair| pair.key);
            // If somebody has contradicted a decision as counterfeit since, even for another seller, nobody else's case
            // follows it.
            pairs.retain(|pair| pair.decision != Decision::Fake || newest.get(&pair.key) == Some(&Decision::Fake));
        }
        Ok(pairs)
    }

    /// Removes the references that a person decided as no match, or as authorised for this seller.
    pub(super) fn leave_out_settled(
        &self,
        examination: &mut Examination,
        decided: &[Pair],
    ) -> Result<Vec<Settled>, ScreenError> {
        let settled: Vec<&Pair> = decided.iter().filter(|pair| pair.decision != Decision::Fake).collect();
        if !settled.is_empty() {
            examination.held.retain(|held| settled.iter().all(|pair| pair.key != held.found.key));
            self.prefer_own_colour_again(examination);
        }
        let references = self.gallery.by_keys(settled.iter().map(|pair| pair.key))?;
        let named = settled.iter().filter_map(|pair| {
            let reference_id = references.get(&pair.key)?.id.clone();
            Some(Settled { reference_id, decision: pair.decision, check_id: pair.check_id.clone() })
        });
        Ok(named.collect())
    }
}
