//! One thread that drives all connections to database servers and object stores, for callers that block.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;

use tokio::runtime::Runtime;

use super::error::{Error as DatabaseError, Result};

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::result::Result<Runtime, String>> = OnceLock::new();
    let new = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("storage").enable_all().build().map_err(|error| error.to_string())
    };
    RUNTIME.get_or_init(new).as_ref().map_err(|reason| DatabaseError::Conversion(reason.clone().into()))
}

/// Blocks this thread, which may be one of another runtime, until the future is done.
pub(super) fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let (send, receive) = sync_channel(1);
    runtime()?.spawn(async move {
        let _ = send.send(future.await);
    });
    receive.recv().map_err(|_| DatabaseError::Conversion("the work on a connection panicked".into()))
}
