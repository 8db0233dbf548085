use std::thread;

use crossbeam_channel::bounded;
use parking_lot::Mutex;

use super::segment::photos;
use super::{Memory, MemoryError, Remembered};
use crate::gallery::MemorySegment;

impl Memory {
    /// The newest segment before a position, a day and a place; without one, the newest of all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn segment_before(&self, position: Option<(i64, u64)>) -> Result<Option<MemorySegment>, MemoryError> {
        Ok(self.gallery.segment_before(position)?)
    }

    /// Passes the photos of a segment that were checked at `since` or later to `visit`, on every core, at the lowest
    /// priority. A block that also has older photos is passed as a whole. `visit` is called from several threads at once.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged; some of its photos may have been visited.
    pub fn visit(
        &self,
        segment: &MemorySegment,
        since: i64,
        visit: &(dyn Fn(&[Remembered<'_>]) + Sync),
    ) -> Result<(), MemoryError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (give, take) = bounded::<Vec<u8>>(2 * cores);
        let damage = Mutex::new(None);
        let read = thread::scope(|scope| {
            for _ in 0..cores {
                let (take, damage) = (take.clone(), &damage);
                scope.spawn(move || {
                    lower_priority();
                    for block in take {
                        match photos(&block) {
                            Ok(photos) => visit(&photos),
                            Err(error) => *damage.lock() = Some(error),
                        }
                    }
                });
            }
            drop(take);
            let read = self.file(segment).blocks(segment, since, |block| {
                // The workers take until this side is dropped.
                give.send(block).map_err(std::io::Error::other)
            });
            drop(give);
            read
        });
        read?;
        match damage.into_inner() {
            Some(source) => Err(MemoryError::File { path: self.folder.join(super::segment::name(segment.id)), source }),
            None => Ok(()),
        }
    }
}

/// Lets checks go first: on Linux, niceness is each thread's own.
fn lower_priority() {
    if let Err(error) = rustix::process::nice(19) {
        tracing::debug!(%error, "the priority of a lookback's thread cannot be lowered");
    }
}
