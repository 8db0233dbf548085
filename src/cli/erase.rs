use jiff::Timestamp;

use super::args::ForgetArgs;
use super::output::{say, tell};
use super::users::ACTOR;
use super::{Exit, Failure};
use crate::assembly::open_gallery;
use crate::config::Config;

pub(super) fn sweep(config: &Config) -> Result<Exit, Failure> {
    let erased = open_gallery(config)?.sweep(&config.retention, Timestamp::now())?;
    say!(
        "erased {} checks, {} photos and {} listings in takedown notices past their retention",
        erased.checks,
        erased.photos,
        erased.notices
    );
    Ok(Exit::Done)
}

pub(super) fn forget_seller(config: &Config, args: &ForgetArgs) -> Result<Exit, Failure> {
    let erased = open_gallery(config)?.forget_seller(ACTOR, &args.seller)?;
    say!(
        "{} checks no longer name the seller; erased {} photos, {} authorisations and {} listings in takedown notices",
        erased.checks,
        erased.photos,
        erased.policies,
        erased.notices
    );
    if erased.entries_kept > 0 {
        tell!("{} entries of the audit log have its first form, whose details cannot be erased", erased.entries_kept);
    }
    Ok(Exit::Done)
}
