use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::{Located, LookbackError, Searcher, Tally};
use crate::gallery::{KeptCheck, ModelLookbackWork};
use crate::screening::{Begun, JudgedAgain};

/// Most checks that are judged again before searches for references get their turn.
const AT_ONCE: usize = 16;

impl Searcher<'_> {
    /// Judges the stored photos of some earlier checks again, if another model serves now. Returns whether more are due.
    pub(super) fn judge_some_again(
        &self,
        see: &mut dyn FnMut(Located),
        tally: &mut Tally,
    ) -> Result<bool, LookbackError> {
        // Somebody else judges them if it is locked.
        let Some(_alone) = self.memory.try_lock_again()? else { return Ok(false) };
        let (gallery, model) = (&self.screener.gallery, self.screener.library.model());
        let Some(work) = gallery.due_model_lookback(model, Timestamp::now())? else { return Ok(false) };
        let checks = gallery.kept_checks(&work, AT_ONCE)?;
        if checks.is_empty() {
            gallery.end_model_lookback(&work, Timestamp::now())?;
            return Ok(false);
        }
        self.screener.library.refresh()?;
        for check in &checks {
            if self.stop.load(Ordering::Acquire) {
                return Ok(false);
            }
            self.judge_check_again(&work, check, see, tally)?;
        }
        Ok(true)
    }

    fn judge_check_again(
        &self,
        work: &ModelLookbackWork,
        check: &KeptCheck,
        see: &mut dyn FnMut(Located),
        tally: &mut Tally,
    ) -> Result<(), LookbackError> {
        let mut judged = Tally::default();
        if let Some(answer) = super::read(&check.id, &check.answer)
            && answer.versions.model != self.screener.library.model()
        {
            for photo in &answer.photos {
                let _begun = Begun::by(self.pace);
                let again = self.screener.judge_again(&answer, photo.index)?;
                judged.photos += u64::from(again != JudgedAgain::NotStored);
                let JudgedAgain::Found(later) = again else { continue };
                if let Some(located) = self.store(&answer, photo.index, &later)? {
                    judged.found += 1;
                    see(located);
                }
            }
        }
        self.screener.gallery.note_judged_again(work, &check.id, judged.photos, judged.found)?;
        tally.photos += judged.photos;
        tally.found += judged.found;
        Ok(())
    }
}
