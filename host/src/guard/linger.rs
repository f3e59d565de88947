//! Closing a connection so that the last answer arrives.
//!
//! A socket closed with unread input is reset, and the reset can overtake what was just written
//! (RFC 9112 §9.6).

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// How much to put up with from a client that keeps sending.
#[derive(Debug, Clone, Copy)]
pub struct Linger {
    pub time_max: Duration,
    pub bytes_max: u64,
}

impl Default for Linger {
    fn default() -> Self {
        Self { time_max: Duration::from_secs(5), bytes_max: 16 * 1024 * 1024 }
    }
}

/// Shuts the write side and discards input until the client closes or a limit is reached. Whatever goes
/// wrong, the connection is over: the caller drops `io`.
pub async fn lingering_close<IO>(io: &mut IO, linger: Linger)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let closing = async {
        if io.shutdown().await.is_err() {
            return;
        }
        let mut discarded = 0;
        while discarded < linger.bytes_max {
            match poll_fn(|cx| poll_discard(io, cx)).await {
                Some(length) => discarded += length,
                None => return,
            }
        }
    };
    // Out of time is one of the ways this ends.
    let _ = timeout(linger.time_max, closing).await;
}

/// None: closed. The buffer lives for the call only, not as long as the connection lingers.
fn poll_discard<IO: AsyncRead + Unpin>(io: &mut IO, cx: &mut Context<'_>) -> Poll<Option<u64>> {
    let mut scratch = [MaybeUninit::uninit(); 4096];
    let mut scratch = ReadBuf::uninit(&mut scratch);
    Poll::Ready(match ready!(Pin::new(io).poll_read(cx, &mut scratch)) {
        Ok(()) if !scratch.filled().is_empty() => Some(scratch.filled().len() as u64),
        Ok(()) | Err(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ends_when_the_client_closes() {
        let (mut client, mut server) = duplex(64);
        let client = async move {
            client.write_all(&[0; 10_000]).await.unwrap();
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
        };
        let start = Instant::now();
        tokio::join!(client, lingering_close(&mut server, Linger::default()));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_when_time_is_up() {
        let (_client, mut server) = duplex(64);
        let start = Instant::now();
        lingering_close(&mut server, Linger { time_max: Duration::from_secs(3), bytes_max: 1 }).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test]
    async fn ends_when_the_client_sends_too_much() {
        let (mut client, mut server) = duplex(64);
        let linger = Linger { time_max: Duration::MAX, bytes_max: 1_000 };
        let flood = async { while client.write_all(&[0; 64]).await.is_ok() {} };
        tokio::select! {
            () = flood => unreachable!("the server side is still open"),
            () = lingering_close(&mut server, linger) => {}
        }
    }
}
