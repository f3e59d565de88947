//! One upgrade: forward the handshake, verify the upstream's 101, open the plugins' sessions, and leave the client's 101
//! and both streams to the connection. The client sees its 101 only when everything before it went well.

mod asking;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use sluicegate_websocket::negotiation::{Agreement, Offers, check_answer};
use tokio::sync::oneshot;

use crate::body::{ResponseBody, Timed};
use crate::config::UpstreamIndex;
use crate::exchange::{Exchange, answer};
use crate::forward;
use crate::handshake::{AnswerError, Handshake};
use crate::leg::Leg;
use crate::plugin::chain::{Chain, Refused};
use crate::plugin::connection_view::{self, ConnectionView};
use crate::plugin::{CloseInfo, Closer, Plugin};
use crate::reject::Error;
use crate::request::{RequestHead, ResponseHead};
use crate::session::{self, Agreed};
use crate::snapshot::Matched;
use crate::upstream::{AnswerBody, Attempts, Connected, Served, Server, Serving, Upstream};

use self::asking::{Offered, Reply, Switched, ask};

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

/// A handshake that a server answered, in whatever way.
struct Asked<'a> {
    server: &'a Server,
    serving: Serving,
    reply: Reply,
}

// === impl About ===

impl About {
    fn new(exchange: &mut Exchange<'_>, upstream: &Upstream, server: &Server) -> Self {
        let request = exchange.lent.request();
        Self {
            id: exchange.connection.worker.next_session_id(),
            client: request.client,
            peer: exchange.connection.peer_beside(request.client),
            path: request.path_and_query.path().to_owned(),
            upstream: Arc::clone(&upstream.name),
            server: Arc::clone(&server.address),
        }
    }
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
    let Asked { server, serving, reply } = shake_hands(exchange, matched, &mut attempts, &offered).await?;
    let Switched { headers, leg, early } = match reply {
        Reply::Switched(switched) => switched,
        Reply::Other(response) => {
            let mut answer = Box::pin(refused_by_upstream(exchange, matched, *response, serving)).await?;
            exchange.bring_back(answer.headers_mut(), upstream, choice, server);
            return Ok(answer);
        }
    };
    let subprotocol = handshake.verify(&headers)?;
    let (agreed, extensions) = agree(&offered, &exchange.lent.request().headers, &headers)?;
    let head = Box::new(ResponseHead { status: StatusCode::SWITCHING_PROTOCOLS, headers });

    let mut head = match exchange.offer_response(matched, head).await {
        Ok(head) => head,
        Err(error) => {
            session::refuse(leg);
            return Err(error);
        }
    };
    exchange.bring_back(&mut head.headers, upstream, choice, server);
    let about = About::new(exchange, upstream, server);
    let opened = match inspected {
        true => Box::pin(open(exchange, matched, &about, subprotocol)).await.map(Some),
        false => Ok(None),
    };
    let chain = match opened {
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
    exchange.connection.upgraded.replace(Some(Box::new(Upgraded {
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
    })));
    Ok(switch(*head, extensions))
}

/// Ask one server after another, until one answers that there is no reason to ask the next.
async fn shake_hands<'a>(
    exchange: &mut Exchange<'_>,
    matched: Matched<'_>,
    attempts: &mut Attempts<'a>,
    offered: &Offered,
) -> Result<Asked<'a>, Error> {
    let (fields, mut refusal) = (offered.fields(), None);
    loop {
        let Connected { server, serving, link: leg } = match (attempts.next_fresh().await, refusal.take()) {
            (Ok(connected), _) => connected,
            // Nobody else is there: what the last one said is the answer.
            (Err(_), Some(refusal)) => return Ok(refusal),
            (Err(error), None) => return Err(error.into()),
        };
        let request = exchange.lent.request();
        let host = forward::host(request, matched.route, server);
        attempts.sending();
        match ask(leg, request, host, &fields, matched.route.timeouts).await {
            Ok(reply) => {
                let failed = attempts.is_failure(reply.status());
                let asked = Asked { server, serving, reply };
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

/// Open the plugins' sessions.
async fn open(
    exchange: &mut Exchange<'_>,
    matched: Matched<'_>,
    about: &About,
    subprotocol: Option<String>,
) -> Result<Box<Chain>, Refused> {
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
    Ok(Box::new(chain?))
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

/// Any answer but 101 is the application's own: passed on as it is.
async fn refused_by_upstream(
    exchange: &mut Exchange<'_>,
    matched: Matched<'_>,
    response: Response<AnswerBody>,
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
