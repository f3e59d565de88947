//! One plain HTTP exchange with a server.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
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
pub async fn send(
    stream: TcpStream,
    request: Request<Timed>,
    timeouts: Timeouts,
) -> Result<Forwarded, Error> {
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
    let head = Box::new(ResponseHead { status: parts.status, headers: parts.headers });
    Ok(Forwarded { head, body: Timed::new(body, timeouts.read) })
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
