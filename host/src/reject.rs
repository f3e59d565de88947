//! Every error of an exchange, whose fault it is, and what becomes of it: the one place that turns errors into
//! answers and log lines. What the client reads and what the log says are two texts.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_VERSION};
use http::{HeaderValue, Response, StatusCode};

use crate::body::ResponseBody;
use crate::guard;
use crate::handshake::{AnswerError, HandshakeError};
use crate::plugin::instance::{Failure, FailureReason};
use crate::upstream::{ConnectError, NoAnswer};

/// Why an exchange did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Malformed(guard::Rejection),
    #[error("plain HTTP was sent to a port that speaks https")]
    PlainHttp,
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    #[error("malformed sec-websocket-extensions: {0}")]
    Extensions(sluicegate_websocket::negotiation::NegotiationError),
    #[error("no route for this host and path")]
    NoRoute,
    #[error("a path that servers read differently, some as one of another route")]
    AmbiguousPath,
    #[error("client sent no more of its request body for too long")]
    BodyTimeout,
    #[error("client broke off its request body")]
    BodyBroken,
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("upstream did not answer within the upstream-header or read timeout")]
    ReadTimeout,
    #[error("upstream gave no answer: {0}")]
    NoAnswer(#[from] NoAnswer),
    #[error("upstream switched protocols unasked")]
    UnaskedSwitch,
    #[error("upstream or plugin answered a websocket handshake over HTTP/2 with {0}, which would open it")]
    NotOpened(StatusCode),
    #[error("upstream answered the handshake wrongly: {0}")]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Plugin(#[from] Failure),
    #[error("plugin `{plugin}` answered with status {status}, which is not between 200 and 599")]
    PluginAnswer { plugin: String, status: u16 },
    #[error("plugin `{plugin}` answered with more than 1,000 header lines")]
    PluginHeaders { plugin: String },
    #[error("the operating system gave no random numbers: {0}")]
    NoRandom(getrandom::Error),
    #[error("no such file")]
    NoFile,
    #[error("file: {0}")]
    File(std::io::Error),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Plugin => "plugin",
            Self::Proxy => "proxy",
        })
    }
}

/// Who is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Client,
    Upstream,
    Plugin,
    Proxy,
}

// === impl Error ===

impl Error {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(rejection) => rejection.status(),
            Self::Handshake(error) => error.status(),
            Self::PlainHttp | Self::Extensions(_) | Self::AmbiguousPath | Self::BodyBroken => {
                StatusCode::BAD_REQUEST
            }
            Self::NoRoute | Self::NoFile => StatusCode::NOT_FOUND,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Connect(ConnectError::TimedOut { .. }) | Self::ReadTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect(
                ConnectError::NobodyHealthy { .. }
                | ConnectError::AllFull { .. }
                | ConnectError::NoStream { .. },
            )
            | Self::Plugin(Failure { reason: FailureReason::PoolExhausted(_), .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Connect(_)
            | Self::NoAnswer(_)
            | Self::UnaskedSwitch
            | Self::NotOpened(_)
            | Self::Answer(_) => StatusCode::BAD_GATEWAY,
            Self::Plugin(_)
            | Self::PluginAnswer { .. }
            | Self::PluginHeaders { .. }
            | Self::NoRandom(_)
            | Self::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub fn fault(&self) -> Fault {
        match self {
            Self::Malformed(_)
            | Self::PlainHttp
            | Self::Handshake(_)
            | Self::Extensions(_)
            | Self::AmbiguousPath
            | Self::NoRoute
            | Self::NoFile
            | Self::BodyTimeout
            | Self::BodyBroken => Fault::Client,
            Self::Connect(_)
            | Self::ReadTimeout
            | Self::NoAnswer(_)
            | Self::UnaskedSwitch
            | Self::NotOpened(_)
            | Self::Answer(_) => Fault::Upstream,
            Self::NoRandom(_)
            | Self::File(_)
            | Self::Plugin(Failure { reason: FailureReason::PoolExhausted(_), .. }) => Fault::Proxy,
            Self::Plugin(_) | Self::PluginAnswer { .. } | Self::PluginHeaders { .. } => Fault::Plugin,
        }
    }

    /// Whether it shows a server not to be well.
    pub fn is_servers(&self) -> bool {
        matches!(self, Self::ReadTimeout | Self::NoAnswer(_) | Self::UnaskedSwitch | Self::Answer(_))
    }

    /// Whether a connection takes no more, which says nothing of its server.
    pub fn is_leaving(&self) -> bool {
        matches!(self, Self::NoAnswer(error) if error.is_leaving())
    }

    /// The answer: a client learns what it did wrong, and of other's faults no more than the status.
    pub fn answer(&self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::full(self.text()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Self::Handshake(HandshakeError::BadVersion) = self {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if matches!(self, Self::Malformed(_) | Self::BodyBroken | Self::BodyTimeout) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The same answer as bytes, for a connection that hyper no longer serves.
    pub fn answer_bytes(&self) -> Bytes {
        let (status, text) = (self.status(), self.text());
        let head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            text.len(),
        );
        (head + &text).into()
    }

    fn text(&self) -> String {
        match self.fault() {
            Fault::Client => format!("{}: {self}\n", self.status()),
            Fault::Upstream | Fault::Plugin | Fault::Proxy => format!("{}\n", self.status()),
        }
    }
}
