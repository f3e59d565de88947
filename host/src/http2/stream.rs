//! One stream of an HTTP/2 client: a request and its answer, or what becomes a session.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::request::shape;
use super::send::send_body;
use super::{Client, StreamLeg};
use crate::body::{Received, ReceivedStream, ResponseBody};
use crate::config::Timeouts;
use crate::exchange::{self, Connection};
use crate::guard::Verdict;
use crate::guard::http2::{Asked, check};
use crate::handover::begin_session;
use crate::headers::remove_hop_by_hop;
use crate::leg::Leg;
use crate::reject::Error;
use crate::upgrade::Upgraded;

/// A stream whose request is there.
pub struct Stream {
    client: Rc<Client>,
    respond: SendResponse<Bytes>,
    /// The connection is in use as long as this is there.
    open: Rc<()>,
}

// === impl Stream ===

impl Stream {
    pub fn new(client: Rc<Client>, open: Rc<()>, respond: SendResponse<Bytes>) -> Self {
        Self { client, respond, open }
    }

    /// Answer the request, in any case but that nobody waits for it.
    pub async fn serve(mut self, request: Request<RecvStream>) {
        let (mut head, incoming) = request.into_parts();
        let wants_body = head.method != Method::HEAD;
        let asked = match check(&head, &self.client.limits) {
            Ok(asked) => asked,
            Err(rejection) => return self.refuse(&Error::Malformed(rejection), wants_body).await,
        };
        let Asked { websocket, .. } = asked;
        let mut nonce = [0; 16];
        if websocket && let Err(error) = getrandom::fill(&mut nonce) {
            return self.refuse(&Error::NoRandom(error), wants_body).await;
        }
        shape(&mut head, asked, nonce);
        if head.headers.contains_key(header::EXPECT) && !incoming.is_end_stream() {
            self.continue_100();
        }
        // What comes behind a handshake is the session's.
        let (body, incoming) = match websocket {
            true => (Received::Nothing, Some(incoming)),
            false => (ReceivedStream::new(incoming, &head.headers, true).into(), None),
        };
        let connection = self.connection();
        let request = Request::from_parts(head, body);
        let Some(answer) = self.wait_for(exchange::serve(&connection, request)).await else { return };
        match (connection.upgraded.take(), incoming) {
            (Some(upgraded), Some(incoming)) => self.open(answer, upgraded, incoming),
            // It would say that the WebSocket is open (RFC 8441 §5).
            (None, Some(_)) if answer.status().is_success() => {
                self.refuse(&Error::NotOpened(answer.status()), wants_body).await;
            }
            _ => self.answer(answer, wants_body, connection.send_timeout.get()).await,
        }
    }

    /// What an exchange is told of the connection it came on: here, of its stream.
    fn connection(&self) -> Connection {
        Connection {
            worker: Rc::clone(&self.client.worker),
            listener: Arc::clone(&self.client.listener),
            peer: self.client.peer,
            client: self.client.address,
            destination: self.client.destination,
            scheme: self.client.scheme,
            client_certificate: self.client.client_certificate.clone(),
            verdict: Verdict::default(),
            send_timeout: Rc::new(Cell::new(Timeouts::default().send)),
            upgraded: RefCell::new(None),
        }
    }

    /// The answer of an exchange; none: the client has reset the stream, or is gone.
    async fn wait_for<T>(&mut self, exchange: impl Future<Output = T>) -> Option<T> {
        let mut exchange = pin!(exchange);
        poll_fn(|cx| match self.respond.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => exchange.as_mut().poll(cx).map(Some),
        })
        .await
    }

    /// RFC 9110 §10.1.1. Nobody is the wiser for waiting until the body is asked for.
    fn continue_100(&mut self) {
        let mut interim = Response::new(());
        *interim.status_mut() = StatusCode::CONTINUE;
        // If the client is gone, that shows soon enough.
        drop(self.respond.send_informational(interim));
    }

    /// A request that does not go, or come back, as it should; what an exchange refuses, it has logged itself.
    async fn refuse(self, error: &Error, wants_body: bool) {
        let client = self.client.address;
        tracing::warn!(%client, status = error.status().as_u16(), fault = %error.fault(), %error, "request refused");
        self.answer(error.answer(), wants_body, Timeouts::default().send).await;
    }

    async fn answer(mut self, answer: Response<ResponseBody>, wants_body: bool, send_timeout: Duration) {
        let (head, body) = answer.into_parts();
        let mut head = Response::from_parts(head, ());
        remove_hop_by_hop(head.headers_mut());
        set_date(head.headers_mut());
        let has_body = wants_body
            && !matches!(head.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            && !body.is_end_stream();
        if let (true, Some(length)) = (has_body, body.size_hint().exact()) {
            head.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length.into());
        }
        // An error is that the client is gone.
        let Ok(mut stream) = self.respond.send_response(head, !has_body) else { return };
        if has_body && let Err(unsent) = send_body(&mut stream, body, send_timeout).await {
            stream.send_reset(unsent.reason());
        }
    }

    /// The client's 200, which over HTTP/2 is what 101 is over HTTP/1.1, without the fields that say so there
    /// (RFC 8441 §5).
    fn open(mut self, answer: Response<ResponseBody>, upgraded: Box<Upgraded>, incoming: RecvStream) {
        let mut head = answer.map(drop);
        *head.status_mut() = StatusCode::OK;
        remove_hop_by_hop(head.headers_mut());
        head.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
        head.headers_mut().remove(header::CONTENT_LENGTH);
        set_date(head.headers_mut());
        let worker = Rc::clone(&self.client.worker);
        match self.respond.send_response(head, false) {
            Ok(outgoing) => {
                let leg = Leg::Http2(Box::new(StreamLeg::new(outgoing, incoming, self.open)));
                // In a box that is gone when the session has begun: the task is no larger than that.
                let session =
                    Box::pin(async move { begin_session(upgraded, leg, Bytes::new(), &worker).await });
                drop(tokio::task::spawn_local(async move { session.await.run().await }));
            }
            // The client is gone between two polls.
            Err(_) => crate::session::refuse(upgraded.upstream),
        }
    }
}

/// RFC 9110 §6.6.1.
fn set_date(headers: &mut HeaderMap) {
    let now = || HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()));
    if !headers.contains_key(header::DATE)
        && let Ok(now) = now()
    {
        headers.insert(header::DATE, now);
    }
}
