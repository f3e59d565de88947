//! One plain HTTP exchange with a server.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::leg::Leg;
use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::response::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::body::{Failed, Progress, Timed};
use crate::config::Timeouts;
use crate::reject::Error;
use crate::request::ResponseHead;
use crate::stall::Stall;

/// A server's answer: its head is here, its body is coming.
pub struct Forwarded {
    pub head: Box<ResponseHead>,
    pub body: Timed,
}

/// Send `request` over `stream` and wait for the head of its answer.
pub async fn send(stream: Leg, mut request: Request<Timed>, timeouts: Timeouts) -> Result<Forwarded, Error> {
    // hyper frames a body of unknown length by itself, but not for GET and HEAD, which seldom have one.
    if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let has_no_body = *request.method() == Method::HEAD;
    let progress = request.body().progress();
    let io = TokioIo::new(Stall::new(stream, Rc::new(timeouts.send.into())));
    let (mut sender, connection) = http1::handshake(io).await.map_err(Error::NoAnswer)?;
    // Ends with the exchange: when the body has come, or nobody wants it any more. Its errors are the body's, too.
    tokio::task::spawn_local(connection);
    let answer = wait_for_head(sender.send_request(request), &progress, timeouts.upstream_header).await?;
    let (parts, body) = answer.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::UnaskedSwitch);
    }
    let head = head(parts, &body, has_no_body);
    Ok(Forwarded { head, body: Timed::new(body, timeouts.read) })
}

/// The head of an answer whose body is framed in one way only: of Content-Length and Transfer-Encoding the latter holds,
/// and several equal lengths are one (RFC 9112 §6.3).
pub fn head(mut parts: Parts, body: &Incoming, has_no_body: bool) -> Box<ResponseHead> {
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        parts.headers.remove(CONTENT_LENGTH);
    } else if parts.headers.contains_key(CONTENT_LENGTH)
        && !has_no_body
        && parts.status != StatusCode::NOT_MODIFIED
        && let Some(length) = body.size_hint().exact()
    {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Box::new(ResponseHead { status: parts.status, headers: parts.headers })
}

/// `time_max` begins anew with each piece of the request that goes out; a body that is still to come from the client is no
/// silence of the upstream, and has a time of its own.
async fn wait_for_head<T>(
    answer: impl Future<Output = hyper::Result<T>>,
    progress: &Progress,
    time_max: Duration,
) -> Result<T, Error> {
    let mut answer = pin!(answer);
    let mut until = Instant::now() + time_max;
    loop {
        match timeout_at(until, answer.as_mut()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => return Err(blame(progress.failed(), error)),
            Err(_) => {
                let now = Instant::now();
                let since = if progress.is_waiting() { now } else { progress.last() };
                until = since + time_max;
                if until <= now {
                    return Err(Error::ReadTimeout);
                }
            }
        }
    }
}

/// A request that failed with its body failed by the client's doing.
fn blame(body: Option<Failed>, error: hyper::Error) -> Error {
    match body {
        Some(Failed::Stalled) => Error::BodyTimeout,
        Some(Failed::Broken) => Error::BodyBroken,
        None => Error::NoAnswer(error),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::{JoinHandle, LocalSet, spawn_local};
    use tokio::time::sleep;

    use super::*;
    use crate::body::testing::incoming;

    const SECOND: Duration = Duration::from_secs(1);

    /// A request of 30 bytes on its way.
    struct Exchange {
        client: DuplexStream,
        server: DuplexStream,
        answer: JoinHandle<Result<Forwarded, Error>>,
        began: Instant,
    }

    async fn begin(timeouts: Timeouts) -> Exchange {
        let (client, body) = incoming(30).await;
        let (server, leg) = duplex(1024);
        let request = Request::new(Timed::new(body, timeouts.request_body));
        let answer = spawn_local(send(Leg::Memory(leg), request, timeouts));
        Exchange { client, server, answer, began: Instant::now() }
    }

    fn timeouts() -> Timeouts {
        Timeouts {
            request_body: 10 * SECOND,
            upstream_header: 20 * SECOND,
            read: 5 * SECOND,
            ..Timeouts::default()
        }
    }

    async fn run(test: impl Future<Output = ()>) {
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn upstream_header_counts_from_the_last_byte_of_the_request() {
        run(async {
            let mut exchange = begin(timeouts()).await;
            // A client that takes longer than that for its request, but never too long for the next piece of it.
            for _ in 0..3 {
                sleep(9 * SECOND).await;
                exchange.client.write_all(&[b'x'; 10]).await.unwrap();
            }
            let error = exchange.answer.await.unwrap().err();
            assert!(matches!(error, Some(Error::ReadTimeout)), "{error:?}");
            assert_eq!(exchange.began.elapsed().as_secs(), 3 * 9 + 20);
            let mut seen = Vec::new();
            exchange.server.read_to_end(&mut seen).await.unwrap();
            assert!(seen.ends_with(&[b'x'; 30]));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_not_the_upstreams_fault() {
        run(async {
            let mut exchange = begin(timeouts()).await;
            sleep(9 * SECOND).await;
            exchange.client.write_all(&[b'x'; 10]).await.unwrap();
            let error = exchange.answer.await.unwrap().err();
            assert!(matches!(error, Some(Error::BodyTimeout)), "{error:?}");
            assert_eq!(exchange.began.elapsed().as_secs(), 9 + 10);

            let patient = Timeouts { request_body: 100 * SECOND, ..timeouts() };
            let exchange = begin(patient).await;
            let error = exchange.answer.await.unwrap().err();
            assert!(matches!(error, Some(Error::BodyTimeout)), "{error:?}");
            assert_eq!(exchange.began.elapsed().as_secs(), 100);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn read_counts_from_the_last_piece_of_the_answer() {
        run(async {
            let mut exchange = begin(timeouts()).await;
            exchange.client.write_all(&[b'x'; 30]).await.unwrap();
            sleep(19 * SECOND).await;
            exchange.server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await.unwrap();
            let mut body = exchange.answer.await.unwrap().ok().unwrap().body;
            let mut server = exchange.server;
            let piece = async {
                sleep(4 * SECOND).await;
                server.write_all(b"piece").await.unwrap();
            };
            let (frame, ()) = tokio::join!(body.frame(), piece);
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "piece");
            assert!(body.frame().await.unwrap().is_err());
            assert_eq!(exchange.began.elapsed().as_secs(), 19 + 4 + 5);
        })
        .await;
    }
}
