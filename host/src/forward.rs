//! One plain HTTP exchange with a server, or, where one fails, with the next.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HeaderValue, TE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::Body as _;
use tokio::time::Instant;

use crate::body::{Received, ReceivedStream, ResponseBody, Timed};
use crate::config::{self, Timeouts, UpstreamIndex};
use crate::exchange::{Exchange, answer};
use crate::guard::Deadline;
use crate::lend::{Failed, Lender};
use crate::reject::Error;
use crate::request::{RequestHead, ResponseHead};
use crate::snapshot::Matched;
use crate::upstream::{
    Arrived, Attempts, Channel, Choice, Connected, Lane, Link, NoAnswer, Origin, Outgoing, Sending, Served,
    Server, Streaming, Upstream,
};
use crate::worker::Worker;

/// A request to be sent, whoever asks.
pub struct Asking {
    pub choice: Choice,
    /// What a connection for it begins with; where that is anything, it is for no other request.
    pub preamble: Vec<u8>,
    /// Whether it may be sent again after a server may have seen it.
    pub idempotent: bool,
    /// Whether an answer's trailers have somewhere to go: over HTTP/1.1 they end here.
    pub takes_trailers: bool,
    pub body: Lender,
    pub timeouts: Timeouts,
}

/// What a server answers.
pub struct Answer<'a> {
    pub server: &'a Server,
    pub parts: Parts,
    pub body: ResponseBody,
}

/// What one server is asked.
struct Asked<'a> {
    outgoing: Outgoing<'a>,
    takes_trailers: bool,
    timeouts: Timeouts,
    body: &'a Lender,
}

/// A server's answer: its head is here, its body is coming.
struct Answered {
    over: Over,
    response: Response<Received>,
}

/// What it comes over.
enum Over {
    Connection {
        channel: Channel,
        /// What of the request is still to be sent.
        sending: Option<Sending>,
        /// Whether another may follow.
        persists: bool,
    },
    Stream(Streaming),
}

/// Why there is none.
struct Unanswered {
    error: Error,
    sent: Sent,
}

/// What becomes of a request that was not answered.
enum Again {
    SameServer,
    OtherServer,
    Never,
}

/// How much of a request a server may have seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// None of it.
    Nothing,
    /// It has seen it, and says that it has not looked at it.
    Refused,
    /// Perhaps all of it: the connection was lost.
    Unknown,
    /// Perhaps all of it: it gave this request up, and the connection goes on.
    Reset,
    /// The server is there, and did something else than to answer.
    Enough,
}

// === impl Unanswered ===

impl Unanswered {
    /// Whether it shows the server not to be well. That one closes a connection which idles, or has no time for this request,
    /// does not.
    fn is_servers(&self, was_idle: bool) -> bool {
        let is_well = match self.sent {
            Sent::Nothing | Sent::Unknown => was_idle,
            Sent::Refused => true,
            Sent::Reset | Sent::Enough => false,
        };
        !is_well && self.error.is_servers()
    }

    /// What becomes of its request, of which this much was sent, over a connection that had idled or had not.
    fn again(&self, was_idle: bool, idempotent: bool, body: &Lender, attempts: &Attempts<'_>) -> Again {
        let may = match self.sent {
            Sent::Nothing => true,
            Sent::Refused => body.is_untouched(),
            Sent::Unknown | Sent::Reset => idempotent && body.is_untouched(),
            Sent::Enough => false,
        };
        // Such a connection ends but once, and only one is excused for it.
        let was_idle = was_idle && matches!(self.sent, Sent::Nothing | Sent::Unknown);
        // It is the connection that takes no more; or there is nobody else.
        let same = self.sent == Sent::Refused && (self.error.is_leaving() || !attempts.may_retry());
        match may {
            true if was_idle || same && attempts.may_repeat() => Again::SameServer,
            true if attempts.may_retry() => Again::OtherServer,
            _ => Again::Never,
        }
    }
}

/// Forward a request, and answer with what the upstream says.
pub async fn run(
    exchange: &mut Exchange<'_>,
    matched: Matched<'_>,
    upstream: UpstreamIndex,
    body: Received,
) -> Result<Response<ResponseBody>, Error> {
    let snapshot = Arc::clone(&exchange.snapshot);
    let upstream = snapshot.upstream(upstream).ok_or(Error::NoRoute)?;
    let timeouts = matched.route.timeouts;
    let preamble = upstream.preamble(exchange.endpoints());
    let worker = &exchange.connection.worker;
    let request = &*exchange.lent.request();
    let choice = upstream.choice(request);
    let has_no_body = request.method == Method::HEAD;
    let asking = Asking {
        choice,
        preamble,
        idempotent: request.method.is_idempotent(),
        takes_trailers: request.version == Version::HTTP_2,
        body: Lender::new(Timed::new(body, timeouts.request_body)),
        timeouts,
    };
    let outgoing = |server: &Server| Outgoing {
        method: &request.method,
        path_and_query: &request.path_and_query,
        host: host(request, matched.route, server).clone(),
        headers: &request.headers,
        instead: &[],
    };
    let Answer { server, parts, body } = ask(worker, upstream, asking, outgoing).await?;
    let head = head(parts, &body, has_no_body);
    let mut head = exchange.offer_response(matched, head).await?;
    exchange.bring_back(&mut head.headers, upstream, choice, server);
    Ok(answer(*head, body))
}

/// The `host` that `server` is told.
pub fn host<'a>(request: &'a RequestHead, route: &'a config::Route, server: &'a Server) -> &'a HeaderValue {
    match &route.host_header {
        config::HostHeader::Keep => &request.authority,
        config::HostHeader::Server => &server.host,
        config::HostHeader::Name(name) => name,
    }
}

/// Ask one server after another, until one answers. `outgoing`: the request's head for a server.
pub async fn ask<'a, 'b>(
    worker: &Worker,
    upstream: &'a Upstream,
    asking: Asking,
    outgoing: impl Fn(&Server) -> Outgoing<'b>,
) -> Result<Answer<'a>, Error> {
    let Asking { choice, preamble, idempotent, takes_trailers, body, timeouts } = asking;
    let (idle, shared) = (Rc::clone(&worker.idle), Rc::clone(&worker.shared));
    let is_shared = preamble.is_empty();
    let mut attempts = upstream.attempts(choice, timeouts.connect, preamble);
    let mut refusal = None;
    let (server, serving, Answered { over, response }) = loop {
        let Connected { server, serving, link } = match (attempts.next(&idle, &shared).await, refusal.take())
        {
            (Ok(connected), _) => connected,
            // Nobody else is there: what the last one said is the answer.
            (Err(_), Some(refusal)) => break refusal,
            (Err(error), None) => return Err(error.into()),
        };
        let was_idle = attempts.excuse(&link);
        attempts.sending();
        let asked = Asked { outgoing: outgoing(server), takes_trailers, timeouts, body: &body };
        let answered = match link {
            Link::Shared(lane) => send_stream(lane, asked, server.origin()).await,
            Link::Kept(channel) => send(channel, asked).await,
            Link::Fresh(leg) => send(Channel::new(leg), asked).await,
        };
        match answered {
            Ok(answered) if attempts.is_failure(answered.response.status()) => {
                server.failed();
                let answered = (server, serving, answered);
                if !(idempotent && body.is_untouched() && attempts.may_retry()) {
                    break answered;
                }
                refusal = Some(answered);
            }
            Ok(answered) => {
                server.succeeded();
                break (server, serving, answered);
            }
            Err(unanswered) => {
                if unanswered.is_servers(was_idle) {
                    server.failed();
                }
                match unanswered.again(was_idle, idempotent, &body, &attempts) {
                    Again::SameServer => attempts.again(server, serving, was_idle),
                    Again::OtherServer => {
                        let error = &unanswered.error;
                        tracing::warn!(upstream = %upstream.name, server = %server.address, %error, "request sent to another server");
                    }
                    Again::Never => return Err(unanswered.error),
                }
            }
        }
    };
    let (parts, body) = response.into_parts();
    let served = match over {
        Over::Stream(streaming) => Served::streaming(streaming, serving),
        Over::Connection { channel, sending, persists: true } if is_shared => {
            Served::over(channel, sending, &idle, server, serving, upstream.config.keep_alive, &parts.headers)
        }
        // One of the two ends it; or it began with a PROXY header, and is this client's alone.
        Over::Connection { sending, .. } => Served::once(serving, sending),
    };
    let body = ResponseBody::served(Timed::new(body, timeouts.read), served);
    Ok(Answer { server, parts, body })
}

/// Send a request and wait for the head of its answer.
async fn send(mut channel: Channel, asked: Asked<'_>) -> Result<Answered, Unanswered> {
    let Asked { outgoing, timeouts, body, .. } = asked;
    let mut asking = channel.ask(&outgoing, body.lend(), timeouts.send);
    let answer = poll_fn(|cx| {
        asking.poll_head(cx).map_err(|failure| {
            let error = NoAnswer::from(failure);
            let sent = match error.is_loss() {
                true if asking.is_unseen() => Sent::Nothing,
                true => Sent::Unknown,
                false => Sent::Enough,
            };
            Unanswered { error: error.into(), sent }
        })
    });
    let head = wait_for_head(answer, body, timeouts.upstream_header, &mut channel.deadline).await?;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Unanswered { error: Error::UnaskedSwitch, sent: Sent::Enough });
    }
    let Arrived { response, sending, persists } = asking.answered(head);
    let over = Over::Connection { channel, sending, persists };
    Ok(Answered { over, response: response.map(Received::from) })
}

/// The same over HTTP/2.
async fn send_stream(lane: Lane, asked: Asked<'_>, origin: Origin) -> Result<Answered, Unanswered> {
    let Asked { outgoing, takes_trailers, timeouts, body } = asked;
    let mut request = outgoing.to_request().map(|()| body.lend());
    if takes_trailers {
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }
    let unanswered = |error: NoAnswer| {
        let sent = match &error {
            error if error.is_refusal() => Sent::Refused,
            error if error.is_reset() => Sent::Reset,
            error if error.is_loss() => Sent::Unknown,
            _ => Sent::Enough,
        };
        Unanswered { error: error.into(), sent }
    };
    let is_head = request.method() == Method::HEAD;
    let (answer, mut streaming) = lane.send(request, origin, timeouts.send).map_err(unanswered)?;
    let answer = async { answer.await.map_err(|error| unanswered(streaming.why(error))) };
    let response = wait_for_head(answer, body, timeouts.upstream_header, &mut Deadline::default()).await;
    if let Err(Unanswered { error: Error::ReadTimeout, .. }) = response {
        streaming.suspect();
    }
    let (head, mut body) = response?.into_parts();
    streaming.hold(&mut body);
    let has_body = !(is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED));
    let body = ReceivedStream::new(body, &head.headers, has_body).into();
    Ok(Answered { over: Over::Stream(streaming), response: Response::from_parts(head, body) })
}

/// The head of an answer whose body is framed in one way only: of Content-Length and Transfer-Encoding the latter holds,
/// and several equal lengths are one (RFC 9112 §6.3).
pub fn head(mut parts: Parts, body: &ResponseBody, has_no_body: bool) -> Box<ResponseHead> {
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        parts.headers.remove(CONTENT_LENGTH);
    } else if parts.headers.contains_key(CONTENT_LENGTH)
        && !has_no_body
        && parts.status != StatusCode::NOT_MODIFIED
        && let Some(length) = body.size_hint().exact()
        && !says_plainly(&parts.headers, length)
    {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Box::new(ResponseHead { status: parts.status, headers: parts.headers })
}

/// Whether Content-Length is this number, once and as everybody writes it.
fn says_plainly(headers: &HeaderMap, length: u64) -> bool {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    // Neither a sign nor a zero before it, which `parse` would take.
    matches!(line, b"0" | [b'1'..=b'9', ..])
        && str::from_utf8(line).is_ok_and(|text| text.parse() == Ok(length))
}

/// `time_max` begins anew with each piece of the request that goes out; a body that is still to come from the client is no
/// silence of the upstream, and has a time of its own.
async fn wait_for_head<T>(
    answer: impl Future<Output = Result<T, Unanswered>>,
    body: &Lender,
    time_max: Duration,
    deadline: &mut Deadline,
) -> Result<T, Unanswered> {
    let mut answer = pin!(answer);
    deadline.set(time_max);
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|unanswered| blame(body.progress().failed, unanswered)));
            }
            ready!(deadline.poll(cx));
            let (now, progress) = (Instant::now(), body.progress());
            let since = if progress.is_waiting { now } else { progress.last };
            let until = since.checked_add(time_max);
            if until.is_some_and(|until| until <= now) {
                return Poll::Ready(Err(Unanswered { error: Error::ReadTimeout, sent: Sent::Enough }));
            }
            deadline.set_at(until);
        }
    })
    .await
}

/// A request that failed with its body failed by the client's doing.
fn blame(body: Option<Failed>, unanswered: Unanswered) -> Unanswered {
    let error = match body {
        Some(Failed::Stalled) => Error::BodyTimeout,
        Some(Failed::Broken) => Error::BodyBroken,
        None => return unanswered,
    };
    Unanswered { error, sent: Sent::Enough }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::{JoinHandle, LocalSet, spawn_local};
    use tokio::time::sleep;

    use super::*;
    use crate::body::testing::incoming;
    use crate::leg::Leg;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_length_is_told_as_everybody_writes_it() {
        let says = |lines: &[&'static str], length| {
            let line = |line: &&'static str| (CONTENT_LENGTH, HeaderValue::from_static(line));
            let mut headers = HeaderMap::new();
            for (name, value) in lines.iter().map(line) {
                headers.append(name, value);
            }
            says_plainly(&headers, length)
        };
        assert!(says(&["13"], 13) && says(&["0"], 0) && says(&["18446744073709551615"], u64::MAX));
        for lines in [&["13", "13"][..], &["13, 13"], &["013"], &["+13"], &["14"], &["18446744073709551629"]]
        {
            assert!(!says(lines, 13), "{lines:?}");
        }
        assert!(!says(&["00"], 0));
    }

    /// A request of 30 bytes on its way.
    struct Exchange {
        client: DuplexStream,
        server: DuplexStream,
        answer: JoinHandle<Result<Answered, Unanswered>>,
        began: Instant,
    }

    async fn begin(timeouts: Timeouts) -> Exchange {
        let (client, body) = incoming(30).await;
        let (server, leg) = duplex(1024);
        let body = Lender::new(Timed::new(body, timeouts.request_body));
        let answer = spawn_local(async move {
            let (host, headers) = (HeaderValue::from_static("a"), HeaderMap::new());
            let path_and_query = &PathAndQuery::from_static("/");
            let outgoing =
                Outgoing { method: &Method::POST, path_and_query, host, headers: &headers, instead: &[] };
            let asked = Asked { outgoing, takes_trailers: false, timeouts, body: &body };
            send(Channel::new(Leg::Memory(leg)), asked).await
        });
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
            let error = exchange.answer.await.unwrap().err().map(|unanswered| unanswered.error);
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
            let error = exchange.answer.await.unwrap().err().map(|unanswered| unanswered.error);
            assert!(matches!(error, Some(Error::BodyTimeout)), "{error:?}");
            assert_eq!(exchange.began.elapsed().as_secs(), 9 + 10);

            let patient = Timeouts { request_body: 100 * SECOND, ..timeouts() };
            let exchange = begin(patient).await;
            let error = exchange.answer.await.unwrap().err().map(|unanswered| unanswered.error);
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
            let answered = exchange.answer.await.unwrap().ok().unwrap();
            let mut body = Timed::new(answered.response.into_body(), timeouts().read);
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
