//! One client connection: HTTP/1.1 exchanges one after another, and then, perhaps, a session; or HTTP/2.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::body::Received;
use crate::config::{self, Timeouts};
use crate::exchange::{self, Connection};
use crate::guard::{self, Guard, Linger, lingering_close};
use crate::handover::{Running, begin_session};
use crate::heads::FIELDS_MAX;
use crate::http2;
use crate::leg::Leg;
use crate::listeners::Listener;
use crate::opening::{self, Begun, Rewound};
use crate::proxy_protocol::{self, AcceptError, Endpoints};
use crate::reject::Error;
use crate::stall::Stall;
use crate::tls::{Established, HandshakeError};
use crate::worker::Worker;

/// hyper's buffer must hold a whole head, and then some.
const BUFFER_SPARE_BYTES: usize = 16 * 1024;

/// Serve a client until its connection ends, or is a session, which is to go on without anything of HTTP that is kept here.
pub async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    listener: Arc<Listener>,
    worker: Rc<Worker>,
) -> Option<Running> {
    let config = &listener.config;
    let mut endpoints = Endpoints { client: peer, destination: destination(&stream, config.address) };
    if config.proxy_protocol {
        let header = Box::pin(proxy_protocol::accept(&mut stream, peer, config));
        match until_drained(header, &worker).await {
            Some(Ok(told)) => endpoints = told.unwrap_or(endpoints),
            // A port that is only tried, by whom it may be.
            Some(Err(error @ (AcceptError::Ended | AcceptError::Lost(_)))) => {
                tracing::debug!(%peer, %error, "connection ended");
                return None;
            }
            Some(Err(error)) => {
                tracing::warn!(%peer, %error, "connection refused");
                return None;
            }
            None => return None,
        }
    }
    let Some(acceptor) = &listener.acceptor else {
        let plain = Established { leg: Leg::Tcp(stream), client_certificate: None, is_http2: false };
        return serve_http(plain, peer, endpoints, Arc::clone(config), worker).await;
    };
    let client = endpoints.client;
    // In a box: the handshake takes much more room than what comes after it.
    let handshake = Box::pin(acceptor.accept(stream, config.tls_handshake_timeout));
    match until_drained(handshake, &worker).await {
        Some(Ok(established)) => {
            return serve_http(established, peer, endpoints, Arc::clone(config), worker).await;
        }
        Some(Err(HandshakeError::PlainHttp(stream))) => {
            refuse(Leg::Tcp(stream), client, Error::PlainHttp).await;
        }
        // The client's own doing, and there are many like it on the open Internet.
        Some(Err(error)) => tracing::debug!(%client, %error, "TLS handshake failed"),
        None => {}
    }
    None
}

/// Where a client connected to: known, unless it could be any address of this machine.
fn destination(stream: &TcpStream, listening: SocketAddr) -> SocketAddr {
    if listening.ip().is_unspecified() || listening.port() == 0 {
        stream.local_addr().unwrap_or(listening)
    } else {
        listening
    }
}

/// None: the process drains, and a connection that is not there yet is not waited for.
async fn until_drained<T>(mut work: Pin<Box<impl Future<Output = T>>>, worker: &Worker) -> Option<T> {
    let mut drain = worker.draining.watch();
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => drain.poll(cx).map(|_| None),
    })
    .await
}

async fn serve_http(
    Established { leg, client_certificate, is_http2 }: Established,
    peer: SocketAddr,
    Endpoints { client, destination }: Endpoints,
    listener: Arc<config::Listener>,
    worker: Rc<Worker>,
) -> Option<Running> {
    let send_timeout = Rc::new(Cell::new(Timeouts::default().send));
    let guard = Guard::new(Stall::new(leg, Rc::clone(&send_timeout)), limits(&listener));
    let tls = listener.tls.is_some();
    let connection = Connection {
        worker: Rc::clone(&worker),
        listener,
        peer,
        client,
        destination,
        scheme: if tls { "https" } else { "http" },
        client_certificate,
        verdict: guard.verdict(),
        send_timeout,
        upgraded: RefCell::new(None),
    };
    if is_http2 {
        let leg = guard.into_parts().0.into_inner();
        serve_http2(leg, Bytes::new(), connection).await;
        return None;
    }
    let exchanges = serve_exchanges(&guard, &connection).await;
    let is_http2 = guard.is_http2();
    if let Err(error) = exchanges
        && !is_http2
    {
        tracing::debug!(%client, %error, "connection ended");
    }
    let (stream, early) = guard.into_parts();
    let mut stream = stream.into_inner();
    if is_http2 {
        serve_http2(stream, early, connection).await;
        return None;
    }
    match (connection.upgraded.take(), connection.verdict.head()) {
        (Some(upgraded), _) => return Some(begin_session(upgraded, stream, early, &worker).await),
        (None, Some(rejection)) => refuse(stream, client, Error::Malformed(rejection)).await,
        (None, None) => lingering_close(&mut stream, Linger::default()).await,
    }
    None
}

/// Answer what hyper never saw, and end the connection.
async fn refuse(mut stream: Leg, client: SocketAddr, error: Error) {
    tracing::warn!(%client, status = error.status().as_u16(), fault = %error.fault(), %error, "request refused");
    if stream.write_all(&error.answer_bytes()).await.is_ok() {
        lingering_close(&mut stream, Linger::default()).await;
    }
}

/// Answer requests until the client or a rule ends it, or a handshake has been answered with 101.
async fn serve_exchanges(
    guard: &Guard<Stall<Leg>>,
    connection: &Connection,
) -> Result<(), Box<dyn std::error::Error>> {
    let Some(begun) = opening::serve(guard, connection).await? else { return Ok(()) };
    // In a box: a session that has opened never comes here.
    Ok(Box::pin(serve_by_hyper(guard, connection, begun)).await?)
}

async fn serve_by_hyper(
    guard: &Guard<Stall<Leg>>,
    connection: &Connection,
    Begun { read, answer }: Begun,
) -> hyper::Result<()> {
    let mut is_answered = answer.is_some();
    let answer = Cell::new(answer);
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(match answer.take() {
            Some(answer) => answer,
            None => exchange::serve(connection, request.map(Received::from)).await,
        })
    });
    let listener = &connection.listener;
    let mut http = http1::Builder::new();
    http.half_close(true)
        .header_read_timeout(None)
        .max_buf_size(listener.header_bytes_max + BUFFER_SPARE_BYTES);
    if listener.headers_max > FIELDS_MAX {
        http.max_headers(listener.headers_max);
    }
    let mut serving = pin!(http.serve_connection(TokioIo::new(Rewound { read, guard }), service));
    let mut drain = connection.worker.draining.watch();
    let mut draining = false;
    poll_fn(|cx| {
        // What is answered goes out in any case; a connection that has not begun is closed where the process drains.
        if std::mem::take(&mut is_answered)
            && let Poll::Ready(result) = serving.as_mut().poll(cx)
        {
            return Poll::Ready(result);
        }
        if !draining && drain.poll(cx).is_ready() {
            draining = true;
            serving.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = serving.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        // The client is gone amid an exchange: dropping it lets the upstream know.
        guard.poll_abandoned(cx).map(Ok)
    })
    .await
}

/// Over TLS the protocol is agreed on before; here, a client that knows by itself begins with the preface
/// (RFC 9113 §3.3), which the guard has kept whole. Boxed, so that a connection of HTTP/1.1 is no larger for it.
async fn serve_http2(stream: Leg, early: Bytes, connection: Connection) {
    let Connection { worker, listener, peer, client: address, destination, scheme, .. } = connection;
    let client_certificate = connection.client_certificate;
    let limits = limits(&listener);
    let client =
        http2::Client { worker, listener, peer, address, destination, scheme, client_certificate, limits };
    Box::pin(http2::serve(stream, early, client)).await;
}

fn limits(listener: &config::Listener) -> guard::Limits {
    guard::Limits {
        header_timeout: listener.header_timeout,
        keep_alive_timeout: listener.keep_alive_timeout,
        head_bytes_max: listener.header_bytes_max,
        fields_max: listener.headers_max,
        ..guard::Limits::default()
    }
}
