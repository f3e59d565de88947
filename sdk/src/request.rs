//! The request a hook looks at.

use std::fmt;

use crate::error::EditError;
use crate::host;
use crate::limits::Slot;
use crate::response::HeaderField;
use crate::text::{self, Texts};

/// One request, as the client sent it and as the plugins before this one have edited it.
///
/// It is lent for the length of a call; a session copies what it shall keep. Each method asks the host, so call
/// once and keep the answer in a variable.
///
/// ```
/// use sluicegate_sdk::Request;
///
/// let request = Request::builder()
///     .path("/ws?room=blue")
///     .header("origin", "https://chat.example.com")
///     .websocket(true)
///     .build();
/// assert_eq!(request.header("origin"), Some("https://chat.example.com"));
/// assert_eq!(request.query_parameter("room"), Some("blue"));
/// ```
pub struct Request {
    pub(crate) host: host::Request,
    pub(crate) texts: Texts,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Request").field(&self.host).finish()
    }
}

/// The certificate that a client has shown over TLS.
///
/// ```
/// use sluicegate_sdk::{ClientCertificate, Request};
///
/// let shown = ClientCertificate { subject: "CN=Ann,O=Example".to_owned(), verified: true, ..Default::default() };
/// let request = Request::builder().client_certificate(shown).build();
/// let ann = request.client_certificate().filter(|shown| shown.verified && shown.subject.starts_with("CN=Ann,"));
/// assert!(ann.is_some());
/// ```
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct ClientCertificate {
    /// Distinguished name in the form of RFC 4514, in ASCII: `CN=Ann,O=Example,C=DE`.
    pub subject: String,
    /// The distinguished name of who issued it.
    pub issuer: String,
    /// In lower-case hexadecimal, two digits a byte.
    pub serial: String,
    /// SHA-256 of the whole certificate, in lower-case hexadecimal.
    pub sha256_fingerprint: String,
    /// Whether it was issued by an authority the listener trusts and is valid.
    pub verified: bool,
}

/// Reading.
impl Request {
    /// The method's name, in upper case (RFC 9110 §9).
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// assert_eq!(Request::builder().method("POST").build().method(), "POST");
    /// ```
    #[must_use]
    pub fn method(&self) -> &str {
        self.texts.keep(self.host.method())
    }

    /// `http` or `https`: what the client used to reach the proxy.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// assert_eq!(Request::builder().scheme("https").build().scheme(), "https");
    /// ```
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.texts.keep(self.host.scheme())
    }

    /// The host the client asked for, with the port if it gave one (RFC 9110 §7.2).
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().authority("chat.example.com:8443").build();
    /// assert_eq!(request.authority(), "chat.example.com:8443");
    /// ```
    #[must_use]
    pub fn authority(&self) -> &str {
        self.texts.keep(self.host.authority())
    }

    /// The path, percent-encoded as received, without the query.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// assert_eq!(Request::builder().path("/a%20b?c").build().path(), "/a%20b");
    /// ```
    #[must_use]
    pub fn path(&self) -> &str {
        self.texts.keep(self.host.path())
    }

    /// What follows `?`, as received; `None` where there is no `?`.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// assert_eq!(Request::builder().path("/?a=1").build().query(), Some("a=1"));
    /// assert_eq!(Request::builder().path("/").build().query(), None);
    /// ```
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.host.query().map(|query| self.texts.keep(query))
    }

    /// The first parameter of this name in the query, with `+` and `%XX` decoded; octets that are not UTF-8
    /// are replaced by U+FFFD.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().path("/ws?room=caf%C3%A9&room=2").build();
    /// assert_eq!(request.query_parameter("room"), Some("café"));
    /// ```
    #[must_use]
    pub fn query_parameter(&self, name: &str) -> Option<&str> {
        text::query_parameter(&self.host.query()?, name).map(|value| self.texts.keep(value))
    }

    /// `1.0`, `1.1` or `2`.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// assert_eq!(Request::builder().build().version(), "1.1");
    /// ```
    #[must_use]
    pub fn version(&self) -> &str {
        self.texts.keep(self.host.version())
    }

    /// The field's value: all lines of this name joined by `, ` (RFC 9110 §5.3; `; ` for `cookie`), so that a
    /// repeated field is never mistaken for its first line.
    ///
    /// `None` means that there is no such line, and nothing else: octets that are not UTF-8 are replaced by
    /// U+FFFD, so a strange value is never taken for a missing one. [`header_bytes`](Self::header_bytes) has
    /// them as they came.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().header("X-Tenant", "b").header("accept", "a").header("accept", "b").build();
    /// assert_eq!(request.header("x-tenant"), Some("b"));
    /// assert_eq!(request.header("accept"), Some("a, b"));
    /// assert_eq!(request.header("origin"), None);
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_bytes(name).map(|value| self.texts.keep(text::lossy(value)))
    }

    /// As [`header`](Self::header), with the octets as they came.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().header("x-name", [0xe9]).build();
    /// assert_eq!(request.header("x-name"), Some("\u{fffd}"));
    /// assert_eq!(request.header_bytes("x-name"), Some(vec![0xe9]));
    /// ```
    #[must_use]
    pub fn header_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.host.header(name)
    }

    /// The value of each line of this name, in order.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().header("origin", "a").header("origin", "b").build();
    /// assert_eq!(request.header_lines("origin"), [b"a", b"b"]);
    /// ```
    #[must_use]
    pub fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.host.header_lines(name)
    }

    /// All lines, in order.
    ///
    /// ```
    /// use sluicegate_sdk::{HeaderField, Request};
    ///
    /// let request = Request::builder().header("accept", "*/*").build();
    /// assert_eq!(request.headers(), [HeaderField::new("accept", "*/*")]);
    /// ```
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderField> {
        self.host.headers()
    }

    /// The value of the first cookie of this name (RFC 6265 §4.2.1). Names are case-sensitive; quotes stay.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().header("cookie", "theme=dark; room=7").build();
    /// assert_eq!(request.cookie("room"), Some("7"));
    /// ```
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        text::cookie(self.header("cookie")?, name)
    }

    /// The client's IP address, without port: the peer's, or what a trusted proxy said of it.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().client_address("192.0.2.7").build();
    /// assert_eq!(request.client_address(), "192.0.2.7");
    /// ```
    #[must_use]
    pub fn client_address(&self) -> &str {
        self.texts.keep(self.host.client_address())
    }

    /// The certificate the client has shown; `None` without TLS, where the listener does not ask, and where the client has
    /// none.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// assert_eq!(Request::builder().build().client_certificate(), None);
    /// ```
    #[must_use]
    pub fn client_certificate(&self) -> Option<ClientCertificate> {
        self.host.client_certificate()
    }

    /// Whether this is a WebSocket handshake (RFC 6455 §4.1) that the proxy will forward as one.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// assert!(!Request::builder().build().is_websocket());
    /// ```
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        self.host.is_websocket()
    }

    /// The subprotocols the client offers (RFC 6455 §4.1), in its order; empty where none.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().subprotocols(["chat.v2", "chat.v1"]).build();
    /// assert_eq!(request.subprotocols(), ["chat.v2", "chat.v1"]);
    /// ```
    #[must_use]
    pub fn subprotocols(&self) -> Vec<String> {
        self.host.subprotocols()
    }

    /// An attribute set by an earlier hook of this exchange.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().attribute("user", "ada").build();
    /// assert_eq!(request.attribute("user"), Some("ada"));
    /// ```
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.host.attribute(name).map(|value| self.texts.keep(value))
    }
}

/// Editing. Edits are for `on_request`: later hooks get [`EditError::TooLate`], attributes excepted.
impl Request {
    /// Replace all lines of this name by one.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().build();
    /// request.set_header("x-user", "ada")?;
    /// assert_eq!(request.header("x-user"), Some("ada"));
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.host.set_header(name, value.as_ref())
    }

    /// Add a line.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().header("via", "1.1 edge").build();
    /// request.append_header("via", "1.1 gate")?;
    /// assert_eq!(request.header_lines("via").len(), 2);
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    pub fn append_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.host.append_header(name, value.as_ref())
    }

    /// Remove all lines of this name; fine where there is none.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().header("x-user", "forged").build();
    /// request.remove_header("x-user")?;
    /// assert_eq!(request.header("x-user"), None);
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    pub fn remove_header(&self, name: &str) -> Result<(), EditError> {
        self.host.remove_header(name)
    }

    /// Replace path and query, as sent to the upstream. The route has been chosen by then and stays.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().path("/v1/ws").build();
    /// request.set_path("/ws?version=1")?;
    /// assert_eq!(request.path(), "/ws");
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    pub fn set_path(&self, path_and_query: &str) -> Result<(), EditError> {
        self.host.set_path(path_and_query)
    }

    /// Send this request to another upstream of the configuration.
    ///
    /// # Errors
    ///
    /// [`EditError::UnknownUpstream`] where there is none of this name; see [`EditError`] for others.
    ///
    /// ```
    /// use sluicegate_sdk::{EditError, Request};
    ///
    /// let request = Request::builder().upstreams(["blue", "green"]).build();
    /// assert_eq!(request.route_to("red"), Err(EditError::UnknownUpstream));
    /// request.route_to("green")?;
    /// assert_eq!(request.routed_to(), Some("green"));
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    pub fn route_to(&self, upstream: &str) -> Result<(), EditError> {
        self.host.route_to(upstream)
    }

    /// Requests of equal affinity go to the same server of the upstream as long as it is there.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().path("/ws?room=blue").build();
    /// if let Some(room) = request.query_parameter("room") {
    ///     request.set_affinity(room)?;
    /// }
    /// assert_eq!(request.affinity(), Some("blue"));
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    pub fn set_affinity(&self, key: &str) -> Result<(), EditError> {
        self.host.set_affinity(key)
    }

    /// Leave a word for later hooks of this exchange, its session included, and for the log.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().build();
    /// request.set_attribute("user", "ada")?;
    /// assert_eq!(request.attribute("user"), Some("ada"));
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    pub fn set_attribute(&self, name: &str, value: &str) -> Result<(), EditError> {
        self.host.set_attribute(name, value)
    }

    /// Tie a concurrency slot to this exchange: it is given back when the exchange ends, or the session it
    /// became.
    ///
    /// # Errors
    ///
    /// See [`EditError`]; the slot is given back at once then.
    ///
    /// ```
    /// use sluicegate_sdk::{Request, limits};
    ///
    /// let request = Request::builder().build();
    /// if let Some(slot) = limits::acquire("connections", request.client_address(), 1) {
    ///     request.hold(slot)?;
    /// }
    /// assert!(limits::acquire("connections", request.client_address(), 1).is_none());
    /// drop(request);
    /// assert!(limits::acquire("connections", "192.0.2.1", 1).is_some());
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    pub fn hold(&self, slot: Slot) -> Result<(), EditError> {
        self.host.hold(slot.host)
    }
}
