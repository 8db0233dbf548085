//! Pulls the signals of members of alliances.

use std::time::{Duration, Instant};

use crossbeam_channel::{Sender as Guard, bounded};

use super::repeat;
use crate::alliance::Exchange;
use crate::domain::AllianceOptions;
use crate::screening::Screener;

/// Pulls until the returned guard is dropped. Does nothing if the settings switch it off.
///
/// # Errors
/// When the system can start neither thread nor runtime.
pub fn pull(
    screener: impl Fn() -> Screener + Send + 'static,
    options: &AllianceOptions,
    pause: Duration,
) -> std::io::Result<Guard<()>> {
    let (nothing, _) = bounded(0);
    if options.pull_s == 0 {
        return Ok(nothing);
    }
    let exchange = match Exchange::new(options) {
        Ok(exchange) => exchange,
        Err(error) => {
            tracing::error!(%error, "signals of members of alliances are not pulled");
            return Ok(nothing);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let every = Duration::from_secs(options.pull_s);
    let mut last: Option<Instant> = None;
    repeat("alliances", pause, move || {
        if last.is_none_or(|last| last.elapsed() >= every) {
            runtime.block_on(pull_all(&exchange, &screener()));
            last = Some(Instant::now());
        }
    })
}

async fn pull_all(exchange: &Exchange, screener: &Screener) {
    let members = match screener.gallery.members(None, false) {
        Ok(members) => members,
        Err(error) => return tracing::error!(%error, "the members of alliances cannot be read"),
    };
    for member in members.iter().filter(|member| member.is_pulled()) {
        match exchange.pull(screener, member).await {
            Ok(took) if took.taken + took.withdrawn == 0 => {}
            Ok(took) => tracing::info!(
                member = member.name,
                taken = took.taken,
                quarantined = took.quarantined,
                withdrawn = took.withdrawn,
                "signals were taken"
            ),
            Err(error) => tracing::warn!(member = member.name, %error, "signals could not be taken"),
        }
    }
}
