//! A connection over TLS, once its handshake is over.

use std::cell::Cell;
use std::io::{self, IoSlice, Read as _, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::{ConnectionCommon, SideData};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// As much as a connection holds of what its socket does not take, in bytes of its own, before it takes no more.
pub const HELD_BYTES_MAX: usize = 64 * 1024;
/// As much as is read from a socket at once: a large message comes in many records.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// A worker's buffer for what is still encrypted, so that idle connections hold none.
    static ENCRYPTED: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Bytes written may be held until [`AsyncWrite::poll_flush`] is ready; see [`TlsStream::is_flushed`].
#[derive(Debug)]
pub struct TlsStream(tokio_rustls::TlsStream<TcpStream>);

// === impl TlsStream ===

impl TlsStream {
    pub(super) fn new(mut stream: tokio_rustls::TlsStream<TcpStream>) -> Self {
        match &mut stream {
            tokio_rustls::TlsStream::Client(stream) => {
                stream.get_mut().1.set_buffer_limit(Some(HELD_BYTES_MAX));
            }
            tokio_rustls::TlsStream::Server(stream) => {
                stream.get_mut().1.set_buffer_limit(Some(HELD_BYTES_MAX));
            }
        }
        Self(stream)
    }

    /// Whether all that was written has gone to the socket.
    pub fn is_flushed(&self) -> bool {
        !self.0.get_ref().1.wants_write()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            tokio_rustls::TlsStream::Client(stream) => {
                let (socket, tls) = stream.get_mut();
                poll_decrypt(tls, socket, cx, out)
            }
            tokio_rustls::TlsStream::Server(stream) => {
                let (socket, tls) = stream.get_mut();
                poll_decrypt(tls, socket, cx, out)
            }
        }
    }
}

/// Reads from the socket by a buffer of the worker's, as rustls by itself asks for 4 KiB at a time. All that was read is
/// taken in: there is no more of it than room in `out`, but for a record that began earlier, which rustls keeps.
fn poll_decrypt<S: SideData>(
    tls: &mut ConnectionCommon<S>,
    socket: &mut TcpStream,
    cx: &mut Context<'_>,
    out: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = out.filled().len();
    // Without room, reading nothing would look like the end.
    if out.remaining() == 0 || take_decrypted(tls, out)? {
        return Poll::Ready(Ok(()));
    }
    let mut buffer = ENCRYPTED.take().unwrap_or_else(|| vec![0; READ_BYTES].into_boxed_slice());
    let result = loop {
        let room = out.remaining().min(buffer.len());
        let mut received = ReadBuf::new(buffer.get_mut(..room).unwrap_or_default());
        match Pin::new(&mut *socket).poll_read(cx, &mut received) {
            Poll::Ready(Ok(())) => {}
            pending_or_failed => break pending_or_failed,
        }
        match decrypt(tls, received.filled(), out) {
            // A part of a record, or nothing for the application.
            Ok(false) if out.filled().len() == before => {}
            Ok(_) => break Poll::Ready(Ok(())),
            Err(error) => {
                // The alert that says why (RFC 8446 §6.2), if the socket takes it at once.
                drop(tls.write_tls(&mut AtOnce(socket)));
                break Poll::Ready(Err(error));
            }
        }
    };
    ENCRYPTED.set(Some(buffer));
    result
}

/// Whether the peer has ended what it sends.
fn decrypt<S: SideData>(
    tls: &mut ConnectionCommon<S>,
    mut received: &[u8],
    out: &mut ReadBuf<'_>,
) -> io::Result<bool> {
    loop {
        // Of nothing it hears that the socket has ended.
        tls.read_tls(&mut received)?;
        tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let before = out.filled().len();
        let taken = take_decrypted(tls, out)?;
        if taken && out.filled().len() == before && out.remaining() > 0 {
            return Ok(true);
        }
        if received.is_empty() {
            return Ok(false);
        }
    }
}

/// Whether there was anything: bytes, or none at the end that the peer has announced (close_notify).
fn take_decrypted<S: SideData>(tls: &mut ConnectionCommon<S>, out: &mut ReadBuf<'_>) -> io::Result<bool> {
    let mut any = false;
    while out.remaining() > 0 {
        match tls.reader().read(out.initialize_unfilled()) {
            Ok(0) => return Ok(true),
            Ok(length) => out.advance(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
            // What came before an end that was cut off goes first; the next read finds the end again.
            Err(_) if any => return Ok(true),
            Err(error) => return Err(error),
        }
        any = true;
    }
    Ok(any)
}

/// A socket that is not waited for.
struct AtOnce<'a>(&'a TcpStream);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    /// Says so to the peer (close_notify, RFC 8446 §6.1) before the socket's sending half is closed.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
