//! A stream of HTTP/2 as a leg of a session (RFC 8441 §5): DATA is what the socket carries elsewhere, END_STREAM its end, a
//! reset its reset.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads within the window it gives the client, writes within the one it is given.
#[derive(Debug)]
pub struct StreamLeg {
    outgoing: SendStream<Bytes>,
    incoming: RecvStream,
    /// Received and not read yet; its bytes still count against the client's window.
    unread: Bytes,
    /// END_STREAM is sent, or can no longer be.
    shut: bool,
    /// The connection is in use as long as this is there.
    _open: Rc<()>,
}

// === impl StreamLeg ===

impl StreamLeg {
    pub fn new(outgoing: SendStream<Bytes>, incoming: RecvStream, open: Rc<()>) -> Self {
        Self { outgoing, incoming, unread: Bytes::new(), shut: false, _open: open }
    }
}

impl AsyncRead for StreamLeg {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            match ready!(this.incoming.poll_data(cx)) {
                Some(data) => this.unread = data.map_err(io_error)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.unread.len().min(out.remaining());
        out.put_slice(this.unread.get(..length).unwrap_or_default());
        this.unread.advance(length);
        // Fails only for more than was received.
        drop(this.incoming.flow_control().release_capacity(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamLeg {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outgoing = &mut self.get_mut().outgoing;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        outgoing.reserve_capacity(bytes.len());
        while outgoing.capacity() == 0 {
            match ready!(outgoing.poll_capacity(cx)) {
                Some(grown) => drop(grown.map_err(io_error)?),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = outgoing.capacity().min(bytes.len());
        let data = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
        outgoing.send_data(data, false).map_err(io_error)?;
        Poll::Ready(Ok(length))
    }

    /// What was written is the connection's task to send.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.shut, true) {
            this.outgoing.send_data(Bytes::new(), true).map_err(io_error)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for StreamLeg {
    /// What the client has not taken by now, it never will: it must not wait for the connection's end.
    fn drop(&mut self) {
        if !self.shut {
            self.outgoing.send_reset(Reason::CANCEL);
        }
    }
}

/// "RST_STREAM … with the error code CANCEL is the equivalent of a TCP reset" (RFC 8441 §5).
fn io_error(error: h2::Error) -> io::Error {
    if error.is_reset() {
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    } else {
        io::Error::other(error)
    }
}
