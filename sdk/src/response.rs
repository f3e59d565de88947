//! Answers: those a plugin makes, and the heads of those an upstream made.

use std::borrow::Cow;
use std::fmt;

use crate::error::EditError;
use crate::host;
use crate::text::{Texts, lossy};

/// One header field line (RFC 9110 §5).
///
/// Values are bytes, because HTTP allows octets that are not UTF-8.
///
/// ```
/// use sluicegate_sdk::HeaderField;
///
/// let field = HeaderField::new("x-tenant", "b");
/// assert_eq!(field.value, b"b");
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HeaderField {
    /// In lower case.
    pub name: String,
    /// Without surrounding white space.
    pub value: Vec<u8>,
}

impl HeaderField {
    /// A line of this name and value.
    ///
    /// ```
    /// use sluicegate_sdk::HeaderField;
    ///
    /// assert_eq!(HeaderField::new("retry-after", "1").name, "retry-after");
    /// ```
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// An answer a plugin gives instead of the upstream.
///
/// The host adds `content-length` and `date`, and drops hop-by-hop and framing fields given here.
///
/// ```
/// use sluicegate_sdk::Response;
///
/// let response = Response::text(429, "slow down\n").with_header("retry-after", "2");
/// assert_eq!(response.header("retry-after").as_deref(), Some("2"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// 200 to 599; the host answers 500 in place of any other.
    pub status: u16,
    /// Header field lines, in order.
    pub headers: Vec<HeaderField>,
    /// The content.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer without header fields or content.
    ///
    /// ```
    /// use sluicegate_sdk::Response;
    ///
    /// assert!(Response::new(204).body.is_empty());
    /// ```
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// An answer in plain text.
    ///
    /// ```
    /// use sluicegate_sdk::Response;
    ///
    /// let response = Response::text(403, "not here");
    /// assert_eq!(response.header("content-type").as_deref(), Some("text/plain; charset=utf-8"));
    /// ```
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status).with_header("content-type", "text/plain; charset=utf-8").with_body(text.into())
    }

    /// Add a header field line.
    ///
    /// ```
    /// use sluicegate_sdk::Response;
    ///
    /// let response = Response::new(302).with_header("location", "/login");
    /// assert_eq!(response.headers.len(), 1);
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(HeaderField::new(name, value));
        self
    }

    /// Replace the content.
    ///
    /// ```
    /// use sluicegate_sdk::Response;
    ///
    /// assert_eq!(Response::new(200).with_body("ok").body, b"ok");
    /// ```
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The value of the first line of this name, octets that are not UTF-8 replaced by U+FFFD.
    ///
    /// ```
    /// use sluicegate_sdk::Response;
    ///
    /// assert_eq!(Response::new(200).header("etag"), None);
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| String::from_utf8_lossy(&field.value))
    }
}

/// The head of an upstream's answer on its way to the client; its body streams past.
///
/// ```
/// use sluicegate_sdk::prelude::*;
///
/// struct Hardening;
///
/// impl Plugin for Hardening {
///     type Settings = NoSettings;
///     fn configure(_: NoSettings) -> Result<Self, ConfigureError> { Ok(Self) }
/// }
/// impl ResponseHook for Hardening {
///     fn on_response(&self, _: &Request, response: &ResponseHead) {
///         if let Err(error) = response.remove_header("server") {
///             log::warn!("server field stays: {error}");
///         }
///     }
/// }
/// export!(Hardening: ResponseHook);
///
/// let response = ResponseHead::builder().status(200).header("server", "old/1.0").build();
/// Hardening.on_response(&Request::builder().build(), &response);
/// assert_eq!(response.header("server"), None);
/// ```
pub struct ResponseHead {
    pub(crate) host: host::ResponseHead,
    pub(crate) texts: Texts,
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ResponseHead").field(&self.host).finish()
    }
}

impl ResponseHead {
    /// The status code (RFC 9110 §15).
    ///
    /// ```
    /// use sluicegate_sdk::ResponseHead;
    ///
    /// assert_eq!(ResponseHead::builder().status(404).build().status(), 404);
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        self.host.status()
    }

    /// The field's value, all lines of this name joined by `, `; octets that are not UTF-8 are replaced by
    /// U+FFFD. `None` where there is no line.
    ///
    /// ```
    /// use sluicegate_sdk::ResponseHead;
    ///
    /// let response = ResponseHead::builder().header("vary", "a").header("vary", "b").build();
    /// assert_eq!(response.header("vary"), Some("a, b"));
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_bytes(name).map(|value| self.texts.keep(lossy(value)))
    }

    /// As [`header`](Self::header), with the octets as they came.
    ///
    /// ```
    /// use sluicegate_sdk::ResponseHead;
    ///
    /// let response = ResponseHead::builder().header("x-name", [0xe9]).build();
    /// assert_eq!(response.header_bytes("x-name"), Some(vec![0xe9]));
    /// ```
    #[must_use]
    pub fn header_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.host.header(name)
    }

    /// The value of each line of this name, in order.
    ///
    /// ```
    /// use sluicegate_sdk::ResponseHead;
    ///
    /// let response = ResponseHead::builder().header("set-cookie", "a=1").header("set-cookie", "b=2").build();
    /// assert_eq!(response.header_lines("set-cookie").len(), 2);
    /// ```
    #[must_use]
    pub fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.host.header_lines(name)
    }

    /// All lines, in order.
    ///
    /// ```
    /// use sluicegate_sdk::ResponseHead;
    ///
    /// let response = ResponseHead::builder().header("etag", "1").build();
    /// assert_eq!(response.headers().len(), 1);
    /// ```
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderField> {
        self.host.headers()
    }

    /// Change the status: 200 to 599, not 204, 205 or 304, which would change the body's framing.
    ///
    /// # Errors
    ///
    /// `Invalid` for another status; `Forbidden` where the answer is a 101.
    ///
    /// ```
    /// use sluicegate_sdk::{EditError, ResponseHead};
    ///
    /// let response = ResponseHead::builder().status(500).build();
    /// assert_eq!(response.set_status(204), Err(EditError::Invalid));
    /// assert_eq!(response.set_status(503), Ok(()));
    /// ```
    pub fn set_status(&self, status: u16) -> Result<(), EditError> {
        self.host.set_status(status)
    }

    /// Replace all lines of this name by one.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    ///
    /// ```
    /// use sluicegate_sdk::ResponseHead;
    ///
    /// let response = ResponseHead::builder().build();
    /// response.set_header("x-frame-options", "DENY")?;
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
    /// use sluicegate_sdk::ResponseHead;
    ///
    /// let response = ResponseHead::builder().header("vary", "a").build();
    /// response.append_header("vary", "origin")?;
    /// assert_eq!(response.header("vary"), Some("a, origin"));
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
    /// use sluicegate_sdk::ResponseHead;
    ///
    /// let response = ResponseHead::builder().header("server", "x").build();
    /// response.remove_header("server")?;
    /// assert!(response.headers().is_empty());
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    pub fn remove_header(&self, name: &str) -> Result<(), EditError> {
        self.host.remove_header(name)
    }
}
