//! The life of one exchange, from its request to its answer, read downward: find the route, ask the plugins, pick a
//! server, forward. What becomes a session goes on in [`crate::upgrade`] and [`crate::session`].

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::time::Instant;
use tracing::field::display;

use crate::body::{Content, Received, ResponseBody};
use crate::config::Target;
use crate::forwarded::Provenance;
use crate::guard::Verdict;
use crate::handshake::{self, Handshake};
use crate::headers::{remove_hop_by_hop, set_client_certificate, set_strict_transport_security};
use crate::plugin::requests::{self, Decision};
use crate::plugin::{self, Lent};
use crate::proxy_protocol::Endpoints;
use crate::reject::Error;
use crate::request::{Attributes, HEADERS_MAX, RequestHead, ResponseHead};
use crate::snapshot::{Matched, Snapshot};
use crate::tls::ClientCertificate;
use crate::upgrade::{self, Upgraded};
use crate::upstream::{Choice, Server, Upstream};
use crate::worker::Worker;
use crate::{config, files, forward};

/// What a URL of https need not name (RFC 9110 §4.2.2).
const HTTPS_PORT: u16 = 443;

/// What the exchanges of one client connection have in common; over HTTP/2, of one stream.
pub struct Connection {
    pub worker: Rc<Worker>,
    pub listener: Arc<config::Listener>,
    pub peer: SocketAddr,
    /// The client as the connection shows it: its peer, or what a PROXY header said of it. What trusted proxies say of single requests is in their heads.
    pub client: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
    pub scheme: &'static str,
    /// What the client has shown of itself over TLS.
    pub client_certificate: Option<Arc<ClientCertificate>>,
    /// What the guard says of the connection's bytes.
    pub verdict: Verdict,
    /// How long the client may take nothing: its route's `send`.
    pub send_timeout: Rc<Cell<Duration>>,
    /// A session that takes the connection over when its 101 is out.
    pub upgraded: RefCell<Option<Box<Upgraded>>>,
}

/// One exchange, and what is known of it so far.
pub struct Exchange<'a> {
    pub connection: &'a Connection,
    pub snapshot: Arc<Snapshot>,
    /// The request, in the form it is lent to plugins.
    pub lent: Lent,
}

// === impl Connection ===

impl Connection {
    /// For a log line about `client`: who is connected, where that is another.
    pub fn peer_beside(&self, client: SocketAddr) -> Option<SocketAddr> {
        (self.peer != client).then_some(self.peer)
    }
}

/// Answer `request`, in any case.
pub async fn serve(connection: &Connection, request: Request<Received>) -> Response<ResponseBody> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let snapshot = connection.worker.snapshot();
    let mut exchange = Exchange { connection, lent: Lent::default(), snapshot: Arc::clone(&snapshot) };
    let mut answer = match exchange.run(&snapshot, parts, body).await {
        Ok(answer) => {
            exchange.log(Ok(&answer), began);
            answer
        }
        Err(error) => {
            let error = exchange.blame(error);
            exchange.log(Err(&error), began);
            error.answer()
        }
    };
    if let Some(age) = connection.listener.hsts {
        set_strict_transport_security(answer.headers_mut(), age);
    }
    answer.body_mut().hold(std::mem::take(&mut exchange.lent.request().held));
    answer
}

// === impl Exchange ===

impl Exchange<'_> {
    async fn run(
        &mut self,
        snapshot: &Snapshot,
        parts: Parts,
        body: Received,
    ) -> Result<Response<ResponseBody>, Error> {
        let handshake = self.parse(parts);
        let handshake = handshake?;
        let request = self.lent.request();
        if let Some(port) = self.connection.listener.redirect_https {
            return redirect_to_https(request, port);
        }
        let matched = snapshot.route(request.authority.as_bytes(), request.path_and_query.path());
        let matched = matched.map_err(|_| Error::AmbiguousPath)?.ok_or(Error::NoRoute)?;
        self.connection.send_timeout.set(matched.route.timeouts.send);
        request.upstream = match matched.route.target {
            Target::Upstream(upstream) => Some(upstream),
            Target::Files { .. } => None,
        };
        if !matched.plugins.is_empty() {
            self.lent.call_outs = Some(self.connection.worker.call_outs());
        }
        match requests::on_request(matched.plugins, self.connection.worker.index, &mut self.lent).await? {
            Decision::Pass => {}
            Decision::Respond { plugin, response } => return self.plugin_answer(&plugin, response),
        }
        self.lent.request().editable = false;
        match (self.lent.request().upstream, &matched.route.target, handshake) {
            (Some(upstream), _, Some(handshake)) => upgrade::run(self, matched, upstream, handshake).await,
            (Some(upstream), _, None) => forward::run(self, matched, upstream, body).await,
            (None, Target::Files { root, fallback }, _) => self.file(root, fallback.as_deref()).await,
            (None, Target::Upstream(_), _) => Err(Error::NoRoute),
        }
    }

    /// Take the request apart, once. It is there for plugins and log lines even where it is no good.
    fn parse(&mut self, parts: Parts) -> Result<Option<Handshake>, Error> {
        let handshake = handshake::parse(&parts.method, parts.version, &parts.headers);
        // The authority of an absolute-form target comes before `Host` (RFC 9112 §3.2.2).
        let authority = match parts.uri.authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            None => parts.headers.get(header::HOST).cloned(),
        };
        let mut headers = parts.headers;
        remove_hop_by_hop(&mut headers);
        // Answered by the proxy itself, when the body is asked for.
        headers.remove(header::EXPECT);
        let authority = authority.unwrap_or(HeaderValue::from_static(""));
        // Before the hooks: what they read of the client is the truth.
        let Connection { client, scheme, ref listener, ref client_certificate, .. } = *self.connection;
        let provenance = Provenance::of(&headers, client, scheme, &authority, listener);
        provenance.write(&mut headers, listener);
        set_client_certificate(&mut headers, client_certificate.as_deref());
        let subprotocols = handshake.as_ref().ok().and_then(|handshake| handshake.as_ref());
        self.lent.request = Some(Box::new(RequestHead {
            method: parts.method,
            scheme: provenance.scheme,
            authority,
            path_and_query: parts
                .uri
                .into_parts()
                .path_and_query
                .unwrap_or(http::uri::PathAndQuery::from_static("/")),
            version: parts.version,
            headers,
            client: provenance.client,
            client_certificate: client_certificate.clone(),
            websocket: subprotocols.map(|handshake| handshake.subprotocols.clone()),
            editable: true,
            upstream: None,
            upstream_names: Arc::clone(&self.snapshot.upstream_names),
            affinity: None,
            attributes: Attributes::new(),
            held: Vec::new(),
        }));
        Ok(handshake?)
    }

    async fn file(
        &mut self,
        root: &std::path::Path,
        fallback: Option<&std::path::Path>,
    ) -> Result<Response<ResponseBody>, Error> {
        let request = self.lent.request();
        let mut get = Request::new(());
        *get.method_mut() = request.method.clone();
        *get.uri_mut() = request.path_and_query.clone().into();
        *get.headers_mut() = request.headers.clone();
        let answer = files::serve(root, fallback, get).await.map_err(files::error)?;
        Ok(answer.map(|body| Content::File(body).into()))
    }

    /// Between whom the request is, as far as a connection to a server can tell.
    pub fn endpoints(&mut self) -> Endpoints {
        Endpoints { client: self.lent.request().client, destination: self.connection.destination }
    }

    /// The head of an upstream's answer, without what ends at this hop, as the response hooks leave it.
    pub async fn offer_response(
        &mut self,
        matched: Matched<'_>,
        mut head: Box<ResponseHead>,
    ) -> Result<Box<ResponseHead>, Error> {
        remove_hop_by_hop(&mut head.headers);
        if matched.plugins.iter().any(|plugin| plugin.has_response_hook()) {
            self.lent.response = Some(head);
            requests::on_response(matched.plugins, self.connection.worker.index, &mut self.lent).await?;
            head = self.lent.response.take().unwrap_or_default();
        }
        Ok(head)
    }

    /// Have the client come back to `server`, where the upstream is sticky.
    pub fn bring_back(
        &mut self,
        answer: &mut HeaderMap,
        upstream: &Upstream,
        choice: Choice,
        server: &Server,
    ) {
        let secure = self.lent.request().scheme == "https";
        let cookie = upstream.set_cookie(choice, server, secure);
        if let Some(cookie) = cookie {
            answer.append(header::SET_COOKIE, cookie);
        }
    }

    /// A body that came to a bad end has its reason in what the guard saw.
    fn blame(&self, error: Error) -> Error {
        match (self.connection.verdict.body(), error) {
            (Some(rejection), Error::BodyBroken | Error::NoAnswer(_)) => Error::Malformed(rejection),
            (_, error) => error,
        }
    }

    /// A plugin's answer for the client.
    pub fn plugin_answer(
        &mut self,
        plugin: &str,
        answer: plugin::Response,
    ) -> Result<Response<ResponseBody>, Error> {
        let response = plugin_answer(plugin, answer)?;
        let request = self.lent.request();
        let (client, method, path) = (request.client, &request.method, request.path_and_query.path());
        let (peer, status) = (self.connection.peer_beside(client).map(display), response.status().as_u16());
        tracing::info!(%client, peer, %method, ?path, status, plugin, "answered by a plugin");
        Ok(response)
    }

    fn log(&mut self, answer: Result<&Response<ResponseBody>, &Error>, began: Instant) {
        let request = self.lent.request();
        // Most answers are not written down.
        if answer.is_ok() && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let elapsed_ms = began.elapsed().as_millis();
        let (client, method, path) = (request.client, &request.method, request.path_and_query.path());
        let host = String::from_utf8_lossy(request.authority.as_bytes());
        let peer = self.connection.peer_beside(client).map(display);
        match answer {
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::debug!(%client, peer, %method, ?host, ?path, status, elapsed_ms, "request answered");
            }
            Err(error) => {
                let (status, fault) = (error.status().as_u16(), error.fault());
                tracing::warn!(%client, peer, %method, ?host, ?path, status, %fault, %error, elapsed_ms, "request refused");
            }
        }
    }
}

/// An upstream's answer for the client.
pub fn answer(head: ResponseHead, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// The same host and path by https; the method stays as it is (RFC 9110 §15.4.9).
fn redirect_to_https(request: &RequestHead, port: u16) -> Result<Response<ResponseBody>, Error> {
    let authority = request.authority.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let authority = authority.ok_or(Error::NoRoute)?;
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    let location = format!("https://{}{port}{}", authority.host(), request.path_and_query);
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let location = HeaderValue::try_from(location).map_err(|_| Error::NoRoute)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn plugin_answer(plugin: &str, answer: plugin::Response) -> Result<Response<ResponseBody>, Error> {
    let status =
        StatusCode::from_u16(answer.status).ok().filter(|status| (200..600).contains(&status.as_u16()));
    let status =
        status.ok_or_else(|| Error::PluginAnswer { plugin: plugin.to_owned(), status: answer.status })?;
    let mut response = Response::new(ResponseBody::full(answer.body));
    *response.status_mut() = status;
    for field in answer.headers {
        let name = header::HeaderName::from_bytes(field.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&field.value))
            && name != header::CONTENT_LENGTH
        {
            let full = response.headers().len() >= HEADERS_MAX;
            if full || response.headers_mut().try_append(name, value).is_err() {
                return Err(Error::PluginHeaders { plugin: plugin.to_owned() });
            }
        }
    }
    remove_hop_by_hop(response.headers_mut());
    Ok(response)
}
