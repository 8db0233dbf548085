//! Whether an act ended a brand's certificate. The rule belongs to scoring; callers bring it.

use std::collections::BTreeSet;

use super::audit::{AuditEvent, append};
use super::outcomes::outcomes_of;
use super::store::parsed;
use crate::domain::{BrandId, Outcome, Polarity};
use crate::storage::{self, Writing, params};

/// The rule by which a brand's outcomes certify its blocks.
#[derive(Debug, Clone, Copy)]
pub struct Certifier<'a> {
    /// Id of the scoring artefact in use: only outcomes under it count.
    pub scoring: &'a str,
    /// The score from which on outcomes certify blocks; `None` if they do not.
    pub threshold: fn(&[Outcome]) -> Option<f64>,
}

impl Certifier<'_> {
    fn certified(&self, transaction: &Writing<'_>, brand: &BrandId) -> storage::Result<Option<f64>> {
        Ok((self.threshold)(&outcomes_of(transaction, brand, self.scoring)?))
    }

    /// The certificates that an act on a check's outcomes may end, as they are before it. A confirmed outcome that
    /// replaces none ends nothing, so that most acts read no other outcome.
    pub(super) fn before(
        &self,
        transaction: &Writing<'_>,
        check_id: &str,
        new: &[Outcome],
    ) -> storage::Result<Vec<(BrandId, f64)>> {
        let mut brands: BTreeSet<BrandId> = transaction
            .prepare_cached("SELECT DISTINCT brand FROM outcome WHERE check_id = ?1 AND polarity = ?2")?
            .query_map(params![check_id, Polarity::Fake.as_str()], |row| parsed(row, 0))?
            .collect::<storage::Result<_>>()?;
        let wrong = new.iter().filter(|outcome| outcome.polarity == Polarity::Fake && !outcome.confirmed);
        brands.extend(wrong.map(|outcome| outcome.brand.clone()));
        let certified = |brand: BrandId| Ok(self.certified(transaction, &brand)?.map(|from| (brand, from)));
        brands.into_iter().filter_map(|brand| certified(brand).transpose()).collect()
    }

    /// Logs which of the certificates have ended.
    pub(super) fn log_ended(
        &self,
        transaction: &Writing<'_>,
        (actor, session): (&str, Option<&str>),
        before: &[(BrandId, f64)],
    ) -> storage::Result<()> {
        for (brand, from) in before {
            if self.certified(transaction, brand)?.is_none() {
                let event = AuditEvent { actor, session, action: "end-certificate", subject: brand.as_str() };
                let state = |from: Option<f64>| serde_json::json!({ "scoring": self.scoring, "threshold": from });
                append(transaction, event, &state(Some(*from)), &state(None))?;
            }
        }
        Ok(())
    }
}
