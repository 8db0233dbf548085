//! All tests of touchstone in one binary. Test names read as promises.
//!
//! Needs scripts/setup --demo sscd-distilled efficientnet-lite0 touchstone-open, as scripts/test does.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::assigning_clones,
    clippy::float_cmp,
    reason = "small known numbers"
)]

mod api;
mod browser;
mod cli;
mod formats;
mod support;
mod units;
