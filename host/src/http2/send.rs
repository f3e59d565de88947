//! A body on its way out by a stream of HTTP/2: an answer to a client, or a request to a server.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};
use tokio::time::timeout;

use crate::body::BodyError;
use crate::headers::remove_from_trailers;

/// Why a body was not sent to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// Its peer has reset the stream, or is gone.
    Refused,
    /// Its peer took nothing for too long.
    Stalled,
    /// Its own end was a bad one.
    Broken,
}

// === impl Unsent ===

impl Unsent {
    /// What the stream is to be reset with.
    pub fn reason(self) -> Reason {
        match self {
            Self::Refused | Self::Stalled => Reason::CANCEL,
            Self::Broken => Reason::INTERNAL_ERROR,
        }
    }
}

/// Send a body as fast as the peer takes it, and its trailers.
pub async fn send_body(
    stream: &mut SendStream<Bytes>,
    mut body: impl Body<Data = Bytes, Error = BodyError> + Unpin,
    send_timeout: Duration,
) -> Result<(), Unsent> {
    loop {
        let frame = poll_fn(|cx| match stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(Err(Unsent::Refused)),
            Poll::Pending => Pin::new(&mut body).poll_frame(cx).map(Ok),
        });
        let Some(frame) = frame.await? else {
            return stream.send_data(Bytes::new(), true).map_err(|_| Unsent::Refused);
        };
        // What is wrong with it has been told where it came from.
        let mut data = match frame.map_err(|_| Unsent::Broken)?.into_data() {
            Ok(data) => data,
            Err(frame) => return send_trailers(stream, frame),
        };
        let is_last = body.is_end_stream();
        if data.is_empty() && is_last {
            return stream.send_data(data, true).map_err(|_| Unsent::Refused);
        }
        while !data.is_empty() {
            let room = timeout(send_timeout, room(stream, data.len())).await;
            let room = room.map_err(|_| Unsent::Stalled)??;
            let piece = data.split_to(room.min(data.len()));
            stream.send_data(piece, is_last && data.is_empty()).map_err(|_| Unsent::Refused)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Nothing comes behind them (RFC 9113 §8.1).
fn send_trailers(stream: &mut SendStream<Bytes>, frame: Frame<Bytes>) -> Result<(), Unsent> {
    let mut trailers = frame.into_trailers().unwrap_or_default();
    remove_from_trailers(&mut trailers);
    let sent = match trailers.is_empty() {
        true => stream.send_data(Bytes::new(), true),
        false => stream.send_trailers(trailers),
    };
    sent.map_err(|_| Unsent::Refused)
}

/// How much of `wanted` may be sent now; waits for the peer to take some (RFC 9113 §5.2).
async fn room(stream: &mut SendStream<Bytes>, wanted: usize) -> Result<usize, Unsent> {
    stream.reserve_capacity(wanted);
    poll_fn(|cx| {
        while stream.capacity() == 0 {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Unsent::Refused)),
            }
        }
        Poll::Ready(Ok(stream.capacity()))
    })
    .await
}
