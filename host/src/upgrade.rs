//! One upgrade: forward the handshake, verify the upstream's 101, open the plugins' sessions, and leave the client's 101
//! and both streams to the connection. The client sees its 101 only when everything before it went well.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use crate::leg::Leg;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sluicegate_websocket::negotiation::{Agreement, Offers, check_answer};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::body::{ResponseBody, Timed};
use crate::config::{self, UpstreamIndex};
use crate::exchange::{Exchange, answer};
use crate::forward;
use crate::handshake::{AnswerError, Handshake};
use crate::plugin::chain::{Chain, Refused};
use crate::plugin::connection_view::{self, ConnectionView};
use crate::plugin::{CloseInfo, Closer, Plugin};
use crate::reject::Error;
use crate::request::{RequestHead, ResponseHead};
use crate::session::{self, Agreed};
use crate::snapshot::Matched;
use crate::stall::Stall;
use crate::upstream::{Attempts, Connected, NoAnswer, Served, Server, Serving};

/// A session that only waits for the client's connection.
pub struct Upgraded {
    pub upstream: Leg,
    pub upstream_early: Bytes,
    pub agreed: Agreed,
    pub chain: Option<Box<Chain>>,
    pub about: About,
    /// All but the client's half of [`Opened`], which the connection adds.
    pub settings: session::Settings,
}

/// What the log says of a session.
#[derive(Debug, Clone)]
pub struct About {
    pub id: u64,
    pub client: SocketAddr,
    /// Who is connected, where that is another.
    pub peer: Option<SocketAddr>,
    pub path: String,
    pub upstream: Arc<str>,
    pub server: Arc<str>,
}

type Client = http1::Connection<TokioIo<Stall<Leg>>, Empty<Bytes>>;

/// What the client offered, and how the session is to be negotiated.
enum Offered {
    /// No plugin has a session hook: offers and answer go untouched.
    Relay,
    Inspect(Offers),
}

/// A handshake that a server answered, in whatever way.
struct Asked<'a> {
    server: &'a Server,
    serving: Serving,
    /// The handshake's fields as it saw them.
    offers: HeaderMap,
    connection: Client,
    response: Response<Incoming>,
}

/// The handshake with the server, when it is a 101 that may be passed on.
struct Switched {
    head: Box<ResponseHead>,
    leg: Leg,
    early: Bytes,
}

/// Forward a handshake. The answer is the client's 101, with the session left in the connection; or whatever the upstream
/// or a plugin said instead.
pub async fn run(
    exchange: &mut Exchange<'_>,
    matched: Matched<'_>,
    upstream: UpstreamIndex,
    handshake: Handshake,
) -> Result<Response<ResponseBody>, Error> {
    let snapshot = Arc::clone(&exchange.snapshot);
    let upstream = snapshot.upstream(upstream).ok_or(Error::NoRoute)?;
    let timeouts = matched.route.timeouts;
    let inspected = matched.plugins.iter().any(|plugin| plugin.has_session_hook());
    let offered = offered(&exchange.lent.request().headers, inspected)?;
    let choice = upstream.choice(exchange.lent.request());
    let preamble = upstream.preamble(exchange.endpoints());
    let mut attempts = upstream.attempts(choice, timeouts.connect, preamble);
    let asked = shake_hands(exchange, matched, &mut attempts, &offered).await?;
    let Asked { server, serving, offers, connection, response } = asked;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        tokio::task::spawn_local(connection);
        let mut answer = refused_by_upstream(exchange, matched, response, serving).await?;
        exchange.bring_back(answer.headers_mut(), upstream, choice, server);
        return Ok(answer);
    }
    let subprotocol = handshake.verify(response.headers())?;
    let (agreed, extensions) = agree(&offered, &offers, response.headers())?;
    let Switched { head, leg, early } = take_over(connection, response).await?;

    let mut head = match exchange.offer_response(matched, head).await {
        Ok(head) => head,
        Err(error) => {
            session::refuse(leg);
            return Err(error);
        }
    };
    let client = exchange.lent.request().client;
    exchange.bring_back(&mut head.headers, upstream, choice, server);
    let about = About {
        id: exchange.connection.worker.next_session_id(),
        client,
        peer: exchange.connection.peer_beside(client),
        path: exchange.lent.request().path_and_query.path().to_owned(),
        upstream: Arc::clone(&upstream.name),
        server: Arc::clone(&server.address),
    };
    let chain = match open(exchange, matched, &about, subprotocol, inspected).await {
        Ok(chain) => chain,
        Err(refused) => {
            session::refuse(leg);
            return match refused {
                Refused::Response { plugin, response } => exchange.plugin_answer(&plugin, *response),
                Refused::Failed(failure) => Err(failure.into()),
            };
        }
    };
    let worker = &exchange.connection.worker;
    let swap = chain.is_some().then(|| worker.swaps.watch(snapshot.generation));
    exchange.connection.upgraded.replace(Some(Upgraded {
        upstream: leg,
        upstream_early: early,
        agreed,
        chain,
        about,
        settings: session::Settings {
            timeouts,
            limits: matched.route.limits,
            ping: matched.route.ping,
            held: std::mem::take(&mut exchange.lent.request().held),
            serving,
            swap,
        },
    }));
    Ok(switch(*head, extensions))
}

/// Ask one server after another, until one answers that there is no reason to ask the next.
async fn shake_hands<'a>(
    exchange: &mut Exchange<'_>,
    matched: Matched<'_>,
    attempts: &mut Attempts<'a>,
    offered: &Offered,
) -> Result<Asked<'a>, Error> {
    let mut refusal = None;
    loop {
        let Connected { server, serving, link: leg } = match (attempts.next_fresh().await, refusal.take()) {
            (Ok(connected), _) => connected,
            // Nobody else is there: what the last one said is the answer.
            (Err(_), Some(refusal)) => return Ok(refusal),
            (Err(error), None) => return Err(error.into()),
        };
        let mut request = exchange.outgoing(matched.route, server);
        add_upgrade(request.headers_mut(), offered);
        let offers = request.headers().clone();
        attempts.sending();
        match ask(leg, request, matched.route.timeouts).await {
            Ok((connection, response)) => {
                let failed = attempts.is_failure(response.status());
                let asked = Asked { server, serving, offers, connection, response };
                if !failed {
                    server.succeeded();
                    return Ok(asked);
                }
                server.failed();
                if !attempts.may_retry() {
                    return Ok(asked);
                }
                refusal = Some(asked);
            }
            Err(error) => {
                server.failed();
                let lost = matches!(&error, Error::NoAnswer(error) if error.is_loss());
                if !(lost && attempts.may_retry()) {
                    return Err(error);
                }
                tracing::warn!(server = %server.address, %error, "handshake sent to another server");
            }
        }
    }
}

/// Send a handshake, and wait for the head of its answer.
async fn ask(
    leg: Leg,
    request: Request<()>,
    timeouts: config::Timeouts,
) -> Result<(Client, Response<Incoming>), Error> {
    let io = TokioIo::new(Stall::new(leg, Rc::new(timeouts.send.into())));
    let (mut sender, mut connection) = http1::handshake(io).await.map_err(NoAnswer::from)?;
    let answer = drive(&mut connection, sender.send_request(request.map(|()| Empty::new())));
    let response = timeout(timeouts.upstream_header, answer).await.map_err(|_| Error::ReadTimeout)??;
    Ok((connection, response))
}

/// Open the plugins' sessions, where they have any.
async fn open(
    exchange: &mut Exchange<'_>,
    matched: Matched<'_>,
    about: &About,
    subprotocol: Option<String>,
    inspected: bool,
) -> Result<Option<Box<Chain>>, Refused> {
    if !inspected {
        return Ok(None);
    }
    let limits = matched.route.limits;
    let request = exchange.lent.request();
    let connection = Box::new(ConnectionView {
        id: about.id,
        client_address: request.client.ip().to_canonical(),
        subprotocol,
        upstream: Arc::clone(&about.upstream),
        server: Arc::clone(&about.server),
        attributes: request.attributes.clone(),
        message_bytes_max: limits.message_bytes_max,
        closing: false,
        room: [limits.waiting_bytes_max; 2],
        can_inspect: [true; 2],
        asked: connection_view::Asked::default(),
    });
    let (chain, request) = open_chain(matched.plugins, exchange, connection).await;
    exchange.lent.request = request;
    Ok(Some(Box::new(chain?)))
}

/// In a task of its own: a client that leaves meanwhile must not cut off a call amid, nor leave a plugin without its
/// `on-close`.
async fn open_chain(
    plugins: &[Arc<Plugin>],
    exchange: &mut Exchange<'_>,
    connection: Box<ConnectionView>,
) -> (Result<Chain, Refused>, Option<Box<RequestHead>>) {
    let plugins = plugins.to_vec();
    let worker = exchange.connection.worker.index;
    let mut lent = std::mem::take(&mut exchange.lent);
    let (opened, opening) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let chain = Chain::open(&plugins, worker, &mut lent, connection).await;
        if let Err((Ok(mut chain), _)) = opened.send((chain, lent.request.take())) {
            let reason = "the client left before the session opened";
            chain.on_close(CloseInfo { closer: Closer::Client, clean: false, code: None, reason }).await;
        }
    });
    // The task ends by sending; were it to panic, the exchange fails as if its plugin had.
    opening.await.unwrap_or_else(|_| (Err(Refused::lost()), None))
}

fn offered(headers: &HeaderMap, inspected: bool) -> Result<Offered, Error> {
    if !inspected {
        return Ok(Offered::Relay);
    }
    Offers::parse(extension_lines(headers)).map(Offered::Inspect).map_err(Error::Extensions)
}

/// What makes a request a handshake again, after the client's hop ended here.
fn add_upgrade(headers: &mut HeaderMap, offered: &Offered) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Offered::Inspect(offers) = offered {
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        let line = offers.to_upstream().and_then(|line| HeaderValue::try_from(line).ok());
        if let Some(line) = line {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, line);
        }
    }
}

/// What the session's legs speak, and what the client is told of it; none: what the upstream said.
fn agree(
    offered: &Offered,
    offers: &HeaderMap,
    answer: &HeaderMap,
) -> Result<(Agreed, Option<Option<String>>), AnswerError> {
    let bad = |error: sluicegate_websocket::negotiation::NegotiationError| {
        AnswerError::BadExtensions(error.to_string())
    };
    match offered {
        Offered::Relay => {
            let extensions = check_answer(extension_lines(offers), extension_lines(answer)).map_err(bad)?;
            Ok((Agreed::Relay(extensions), None))
        }
        Offered::Inspect(offers) => {
            let mut agreement: Agreement = offers.agree(extension_lines(answer)).map_err(bad)?;
            let answer = agreement.answer.take();
            Ok((Agreed::Inspect(agreement), Some(answer)))
        }
    }
}

fn extension_lines(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().map(HeaderValue::as_bytes)
}

/// The connection and the answer it brings, both polled here: there is no task to hand a session over from.
async fn drive(
    connection: &mut Client,
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<Response<Incoming>, Error> {
    let mut answer = std::pin::pin!(answer);
    let mut running = true;
    poll_fn(|cx| {
        if running && connection.poll_without_shutdown(cx).is_ready() {
            running = false;
        }
        answer.as_mut().poll(cx)
    })
    .await
    .map_err(|error| NoAnswer::from(error).into())
}

/// The stream behind a 101, with the bytes that came in the same reads.
async fn take_over(mut connection: Client, response: Response<Incoming>) -> Result<Switched, Error> {
    let (parts, body) = response.into_parts();
    drop(body);
    poll_fn(|cx| match connection.poll_without_shutdown(cx) {
        Poll::Ready(done) => Poll::Ready(done.map_err(NoAnswer::from)),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let http1::Parts { io, read_buf, .. } = connection.into_parts();
    let head = Box::new(ResponseHead { status: parts.status, headers: parts.headers });
    Ok(Switched { head, leg: io.into_inner().into_inner(), early: read_buf })
}

/// Any answer but 101 is the application's own: passed on as it is.
async fn refused_by_upstream(
    exchange: &mut Exchange<'_>,
    matched: Matched<'_>,
    response: Response<Incoming>,
    serving: Serving,
) -> Result<Response<ResponseBody>, Error> {
    let (parts, body) = response.into_parts();
    let body =
        ResponseBody::served(Timed::new(body, matched.route.timeouts.read), Served::once(serving, None));
    let head = forward::head(parts, &body, false);
    let head = exchange.offer_response(matched, head).await?;
    Ok(answer(*head, body))
}

/// The client's 101.
fn switch(mut head: ResponseHead, extensions: Option<Option<String>>) -> Response<ResponseBody> {
    if let Some(extensions) = extensions {
        head.headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        let line = extensions.and_then(|line| HeaderValue::try_from(line).ok());
        if let Some(line) = line {
            head.headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, line);
        }
    }
    head.status = StatusCode::SWITCHING_PROTOCOLS;
    head.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer(head, ResponseBody::empty())
}
