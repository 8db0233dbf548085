//! Drains a request that was rejected before its body was read: the rest is read and dropped, within limits, so that
//! the sender sees the answer instead of a broken connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

/// Most bytes dropped for one request; beyond that the connection is closed.
const MOST_BYTES: usize = 64 << 20;
const LONGEST: Duration = Duration::from_secs(5);

/// A body shared by the handler and by the code that drains the rest.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&*self.0.lock())
    }
}

/// Marks a response whose handler goes on reading the request.
#[derive(Clone, Copy)]
pub(super) struct HandlerReads;

pub(super) async fn drain(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Shared(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(body.clone()))).await;
    if response.extensions().get::<HandlerReads>().is_none() && !body.is_end_stream() {
        throw_away(&mut body).await;
    }
    response
}

/// Reads a body and drops it, up to [`MOST_BYTES`] and [`LONGEST`]; beyond them the connection is closed.
pub(super) async fn throw_away(body: &mut (impl HttpBody<Data = Bytes> + Unpin)) {
    let rest = async {
        let mut left = MOST_BYTES;
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Running out of time is no error.
    let _ = tokio::time::timeout(LONGEST, rest).await;
}
