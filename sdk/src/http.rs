//! Requests of the plugin's own to upstreams of the configuration, such as to ask who a user is.
//!
//! The configuration grants each upstream by name: `grants = ["http:auth"]`. The hook waits for the answer, and its worker
//! goes on with others; waiting is not counted in `call-time-max`, but has a deadline of its own.
//!
//! ```
//! use std::time::Duration;
//! use sluicegate_sdk::prelude::*;
//!
//! struct Doorman;
//!
//! # impl Plugin for Doorman {
//! #     type Settings = NoSettings;
//! #     fn configure(_: NoSettings) -> Result<Self, ConfigureError> { Ok(Self) }
//! # }
//! impl RequestHook for Doorman {
//!     fn on_request(&self, request: &Request) -> RequestVerdict {
//!         let token = request.header("authorization").unwrap_or_default();
//!         let asked = http::Request::get("/verify")
//!             .header("authorization", token)
//!             .timeout(Duration::from_millis(500))
//!             .send("auth");
//!         match asked {
//!             Ok(answer) if answer.status() == 200 => RequestVerdict::Pass,
//!             Ok(_) => RequestVerdict::respond(401, "who are you?\n"),
//!             Err(error) => {
//!                 log::error!("cannot ask: {error}");
//!                 RequestVerdict::respond(503, "try again\n")
//!             }
//!         }
//!     }
//! }
//! export!(Doorman: RequestHook);
//!
//! testing::upstream("auth", |sent| {
//!     let known = sent.header("authorization").as_deref() == Some("Bearer ann");
//!     Ok(Response::new(if known { 200 } else { 401 }))
//! });
//! let stranger = Request::builder().build();
//! assert_eq!(Doorman.on_request(&stranger).response().unwrap().status, 401);
//! let ann = Request::builder().header("authorization", "Bearer ann").build();
//! assert_eq!(Doorman.on_request(&ann), RequestVerdict::Pass);
//! ```

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::host;
use crate::response::HeaderField;
use crate::text::{Texts, lossy};

/// Why there is no answer.
///
/// ```
/// use sluicegate_sdk::http::{HttpError, Request};
///
/// assert_eq!(Request::get("no slash").send("auth").unwrap_err(), HttpError::NotGranted);
/// ```
// The cases stand in the contract's order: they cross the boundary as numbers (see `bindings::lift`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum HttpError {
    /// The plugin was not granted this upstream.
    NotGranted,
    /// Method, path or a header field is not what HTTP allows, or belongs to the host; or the body is larger than 1 MiB.
    Invalid,
    /// The answer was not there, whole, by the deadline.
    Timeout,
    /// No server took the request, or the connection was lost before the whole answer was there.
    Unreachable,
    /// The answer's body is larger than 1 MiB.
    TooLarge,
    /// This hook call has made as many calls as it may: 16.
    TooMany,
    /// What none of the others says, such as that the proxy is about to stop.
    Other,
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotGranted => "the plugin was not granted this upstream",
            Self::Invalid => "not a method, path, field or body that may be sent",
            Self::Timeout => "the answer was not there by the deadline",
            Self::Unreachable => "no server answered",
            Self::TooLarge => "the answer is larger than 1 MiB",
            Self::TooMany => "this hook call has made as many calls as it may",
            Self::Other => "the host made no request",
        })
    }
}

impl Error for HttpError {}

/// A request to be sent.
///
/// ```
/// use sluicegate_sdk::{Response, http::Request, testing};
///
/// testing::upstream("audit", |sent| {
///     assert_eq!((sent.method.as_str(), sent.path.as_str(), &sent.body[..]), ("POST", "/log", &b"{}"[..]));
///     Ok(Response::new(204))
/// });
/// let answer = Request::post("/log", "{}").header("content-type", "application/json").send("audit")?;
/// assert_eq!(answer.status(), 204);
/// # Ok::<(), sluicegate_sdk::http::HttpError>(())
/// ```
pub struct Request {
    host: host::http::Request,
    /// What was wrong with it first.
    refused: Option<HttpError>,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Request").field("refused", &self.refused).finish_non_exhaustive()
    }
}

impl Request {
    /// A request of this method, in upper case, and path with its query, percent-encoded.
    ///
    /// ```
    /// use sluicegate_sdk::http::Request;
    ///
    /// let request = Request::new("DELETE", "/users/7?now=1");
    /// # drop(request);
    /// ```
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self { host: host::http::Request::new(method, path), refused: None }
    }

    /// `GET path`.
    ///
    /// ```
    /// use sluicegate_sdk::http::Request;
    ///
    /// let request = Request::get("/verify");
    /// # drop(request);
    /// ```
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// `POST path` with a body.
    ///
    /// ```
    /// use sluicegate_sdk::http::Request;
    ///
    /// let request = Request::post("/events", r#"{ "joined": "ann" }"#);
    /// # drop(request);
    /// ```
    #[must_use]
    pub fn post(path: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", path).body(body)
    }

    /// Replace all lines of this name by one. The host writes framing and hop-by-hop fields (RFC 9110 §7.6.1), and `host`
    /// where the plugin does not. What may not be sent is told by [`send`](Self::send).
    ///
    /// ```
    /// use sluicegate_sdk::{Response, http::{HttpError, Request}, testing};
    ///
    /// testing::upstream("auth", |_| Ok(Response::new(200)));
    /// let error = Request::get("/").header("content-length", "1").send("auth").unwrap_err();
    /// assert_eq!(error, HttpError::Invalid);
    /// ```
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let set = self.host.set_header(name, value.as_ref());
        self.note(set);
        self
    }

    /// Replace the body: at most 1 MiB.
    ///
    /// ```
    /// use sluicegate_sdk::http::Request;
    ///
    /// let request = Request::new("PUT", "/users/7").body("ann");
    /// # drop(request);
    /// ```
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        let set = self.host.set_body(body.as_ref());
        self.note(set);
        self
    }

    /// How long to wait for the whole answer: 5 s where not set, 30 s at most.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluicegate_sdk::http::Request;
    ///
    /// let request = Request::get("/verify").timeout(Duration::from_millis(200));
    /// # drop(request);
    /// ```
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.host.set_timeout_ms(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Send it to an upstream, and wait for its answer. Any status is an answer; redirections are not followed. Traps in
    /// `configure`.
    ///
    /// # Errors
    ///
    /// See [`HttpError`].
    ///
    /// ```
    /// use sluicegate_sdk::{Response, http::{HttpError, Request}, testing};
    ///
    /// testing::upstream("auth", |_| Err(HttpError::Timeout));
    /// assert_eq!(Request::get("/").send("auth").unwrap_err(), HttpError::Timeout);
    /// ```
    pub fn send(self, upstream: &str) -> Result<Response, HttpError> {
        match self.refused {
            Some(error) => Err(error),
            None => {
                host::http::send(self.host, upstream).map(|host| Response { host, texts: Texts::default() })
            }
        }
    }

    fn note(&mut self, set: Result<(), HttpError>) {
        self.refused = self.refused.or(set.err());
    }
}

/// An answer, all of it.
///
/// ```
/// use sluicegate_sdk::{Response, http::Request, testing};
///
/// testing::upstream("auth", |_| Ok(Response::text(200, "ann").with_header("x-role", "admin")));
/// let answer = Request::get("/whoami").send("auth")?;
/// assert_eq!((answer.status(), answer.header("x-role"), answer.text()), (200, Some("admin"), "ann".to_owned()));
/// # Ok::<(), sluicegate_sdk::http::HttpError>(())
/// ```
pub struct Response {
    host: host::http::Response,
    texts: Texts,
}

impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Response").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Response {
    /// The status code (RFC 9110 §15).
    ///
    /// ```
    /// # use sluicegate_sdk::{Response, http::Request, testing};
    /// # testing::upstream("auth", |_| Ok(Response::new(302)));
    /// assert_eq!(Request::get("/").send("auth")?.status(), 302);
    /// # Ok::<(), sluicegate_sdk::http::HttpError>(())
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        self.host.status()
    }

    /// The field's value, all lines of this name joined by `, `; octets that are not UTF-8 are replaced by U+FFFD. `None`
    /// where there is no line.
    ///
    /// ```
    /// # use sluicegate_sdk::{Response, http::Request, testing};
    /// # testing::upstream("auth", |_| Ok(Response::new(200).with_header("x-user", "ann")));
    /// assert_eq!(Request::get("/").send("auth")?.header("X-User"), Some("ann"));
    /// # Ok::<(), sluicegate_sdk::http::HttpError>(())
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.host.header(name).map(|value| self.texts.keep(lossy(value)))
    }

    /// All lines, in order.
    ///
    /// ```
    /// # use sluicegate_sdk::{Response, http::Request, testing};
    /// # testing::upstream("auth", |_| Ok(Response::new(200).with_header("etag", "1")));
    /// assert_eq!(Request::get("/").send("auth")?.headers().len(), 1);
    /// # Ok::<(), sluicegate_sdk::http::HttpError>(())
    /// ```
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderField> {
        self.host.headers()
    }

    /// The content.
    ///
    /// ```
    /// # use sluicegate_sdk::{Response, http::Request, testing};
    /// # testing::upstream("auth", |_| Ok(Response::new(200).with_body([0xff])));
    /// assert_eq!(Request::get("/").send("auth")?.body(), [0xff]);
    /// # Ok::<(), sluicegate_sdk::http::HttpError>(())
    /// ```
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.host.body()
    }

    /// The content as a text; octets that are not UTF-8 are replaced by U+FFFD.
    ///
    /// ```
    /// # use sluicegate_sdk::{Response, http::Request, testing};
    /// # testing::upstream("auth", |_| Ok(Response::text(200, "ann")));
    /// assert_eq!(Request::get("/").send("auth")?.text(), "ann");
    /// # Ok::<(), sluicegate_sdk::http::HttpError>(())
    /// ```
    #[must_use]
    pub fn text(&self) -> String {
        lossy(self.body())
    }
}
