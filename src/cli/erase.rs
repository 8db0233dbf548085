use std::sync::Arc;

use jiff::Timestamp;

use super::args::ForgetArgs;
use super::output::{say, tell};
use super::users::ACTOR;
use super::{Exit, Failure};
use crate::assembly::open_gallery;
use crate::config::Config;
use crate::memory::Memory;

pub(super) fn sweep(config: &Config) -> Result<Exit, Failure> {
    let gallery = Arc::new(open_gallery(config)?);
    let now = Timestamp::now();
    let erased = gallery.sweep(&config.retention, now)?;
    let forgotten = Memory::of(&gallery).retain(config.memory.days_within(config.retention.checks_days), now)?;
    say!(
        "erased {} checks, {} photos, {forgotten} photos from the memory, {} listings in takedown notices and {} proposals to close an account past their retention",
        erased.checks,
        erased.photos,
        erased.notices,
        erased.closures
    );
    Ok(Exit::Done)
}

pub(super) fn forget_seller(config: &Config, args: &ForgetArgs) -> Result<Exit, Failure> {
    let gallery = Arc::new(open_gallery(config)?);
    let erased = gallery.forget_seller(ACTOR, &args.seller)?;
    let forgotten = Memory::of(&gallery).forget_seller(&args.seller)?;
    say!(
        "{} checks no longer name the seller; erased {} photos, {forgotten} photos from the memory, {} authorisations, {} listings in takedown notices and {} proposals to close the account",
        erased.checks,
        erased.photos,
        erased.policies,
        erased.notices,
        erased.closures
    );
    if erased.entries_kept > 0 {
        tell!("{} entries of the audit log have its first form, whose details cannot be erased", erased.entries_kept);
    }
    Ok(Exit::Done)
}
