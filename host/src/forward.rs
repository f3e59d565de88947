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
use tokio::time::timeout;

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
    let answer = wait_for_head(sender.send_request(request), &progress, timeouts.read).await?;
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

/// The `read` timeout begins when the request is out; a body that is still coming from the client is no silence of the
/// upstream.
async fn wait_for_head<T>(
    answer: impl Future<Output = hyper::Result<T>>,
    progress: &Progress,
    read: Duration,
) -> Result<T, Error> {
    let mut answer = pin!(answer);
    loop {
        let (frames, sending) = (progress.frames(), !progress.has_ended());
        match timeout(read, answer.as_mut()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => return Err(blame(progress.failed(), error)),
            Err(_) if sending && progress.frames() != frames => {}
            Err(_) if sending && progress.is_waiting() => return Err(Error::BodyTimeout),
            Err(_) => return Err(Error::ReadTimeout),
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
