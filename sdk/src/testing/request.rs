//! A request made by a test.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::fields::Fields;
use super::host::limits::Slot;
use crate::error::EditError;
use crate::request::ClientCertificate;
use crate::response::HeaderField;
use crate::text::Texts;

/// The state behind a [`crate::Request`].
#[derive(Debug)]
pub(crate) struct Request {
    fixed: RequestBuilder,
    edited: RefCell<Edited>,
}

/// What hooks may change.
#[derive(Debug, Default)]
struct Edited {
    path_and_query: String,
    fields: Fields,
    attributes: BTreeMap<String, String>,
    upstream: Option<String>,
    affinity: Option<String>,
    held: Vec<Slot>,
}

impl Request {
    pub(crate) fn method(&self) -> String {
        self.fixed.method.clone()
    }

    pub(crate) fn scheme(&self) -> String {
        self.fixed.scheme.clone()
    }

    pub(crate) fn authority(&self) -> String {
        self.fixed.authority.clone()
    }

    pub(crate) fn path(&self) -> String {
        let edited = self.edited.borrow();
        let path = edited.path_and_query.split('?').next();
        path.unwrap_or_default().to_owned()
    }

    pub(crate) fn query(&self) -> Option<String> {
        let edited = self.edited.borrow();
        let parts = edited.path_and_query.split_once('?');
        parts.map(|(_, query)| query.to_owned())
    }

    pub(crate) fn version(&self) -> String {
        self.fixed.version.clone()
    }

    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.edited.borrow().fields.joined(name)
    }

    pub(crate) fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.edited.borrow().fields.values(name)
    }

    pub(crate) fn headers(&self) -> Vec<HeaderField> {
        self.edited.borrow().fields.all()
    }

    pub(crate) fn client_address(&self) -> String {
        self.fixed.client_address.clone()
    }

    pub(crate) fn client_certificate(&self) -> Option<ClientCertificate> {
        self.fixed.client_certificate.clone()
    }

    pub(crate) fn is_websocket(&self) -> bool {
        self.fixed.websocket
    }

    pub(crate) fn subprotocols(&self) -> Vec<String> {
        self.fixed.subprotocols.clone()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        self.edited.borrow().attributes.get(name).cloned()
    }

    pub(crate) fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.edit(|edited| edited.fields.set(name, value))
    }

    pub(crate) fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.edit(|edited| edited.fields.append(name, value))
    }

    pub(crate) fn remove_header(&self, name: &str) -> Result<(), EditError> {
        self.edit(|edited| edited.fields.remove(name))
    }

    pub(crate) fn set_path(&self, path_and_query: &str) -> Result<(), EditError> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        self.edit(|edited| {
            if !path_and_query.starts_with('/') || !path_and_query.bytes().all(allowed) {
                return Err(EditError::Invalid);
            }
            path_and_query.clone_into(&mut edited.path_and_query);
            Ok(())
        })
    }

    pub(crate) fn route_to(&self, upstream: &str) -> Result<(), EditError> {
        let known = self.fixed.upstreams.as_ref();
        self.edit(|edited| {
            if known.is_some_and(|known| !known.iter().any(|name| name == upstream)) {
                return Err(EditError::UnknownUpstream);
            }
            edited.upstream = Some(upstream.to_owned());
            Ok(())
        })
    }

    pub(crate) fn set_affinity(&self, key: &str) -> Result<(), EditError> {
        self.edit(|edited| {
            edited.affinity = Some(key.to_owned());
            Ok(())
        })
    }

    /// Unlike other edits, welcome at any time.
    pub(crate) fn set_attribute(&self, name: &str, value: &str) -> Result<(), EditError> {
        let mut edited = self.edited.borrow_mut();
        edited.attributes.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    pub(crate) fn hold(&self, slot: Slot) -> Result<(), EditError> {
        self.edit(|edited| {
            edited.held.push(slot);
            Ok(())
        })
    }

    fn edit(&self, edit: impl FnOnce(&mut Edited) -> Result<(), EditError>) -> Result<(), EditError> {
        if self.fixed.sent {
            return Err(EditError::TooLate);
        }
        edit(&mut self.edited.borrow_mut())
    }
}

/// In tests: making a request, and what hooks did to it. Not in a WebAssembly build.
impl crate::Request {
    /// A `GET` of `/` by `192.0.2.1`, without header fields, to be made different.
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// let request = Request::builder().build();
    /// assert_eq!((request.method(), request.path()), ("GET", "/"));
    /// ```
    #[must_use]
    pub fn builder() -> RequestBuilder {
        RequestBuilder::new()
    }

    /// The upstream chosen by [`route_to`](Self::route_to).
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// assert_eq!(Request::builder().build().routed_to(), None);
    /// ```
    #[must_use]
    pub fn routed_to(&self) -> Option<&str> {
        let upstream = self.host.edited.borrow().upstream.clone();
        upstream.map(|name| self.texts.keep(name))
    }

    /// The key given to [`set_affinity`](Self::set_affinity).
    ///
    /// ```
    /// use sluicegate_sdk::Request;
    ///
    /// assert_eq!(Request::builder().build().affinity(), None);
    /// ```
    #[must_use]
    pub fn affinity(&self) -> Option<&str> {
        let affinity = self.host.edited.borrow().affinity.clone();
        affinity.map(|key| self.texts.keep(key))
    }

    /// How many slots this request [`hold`](Self::hold)s. They are given back when it is dropped.
    ///
    /// ```
    /// use sluicegate_sdk::{Request, limits};
    ///
    /// let request = Request::builder().build();
    /// request.hold(limits::acquire("connections", "ada", 1).unwrap())?;
    /// assert_eq!(request.held(), 1);
    /// # Ok::<(), sluicegate_sdk::EditError>(())
    /// ```
    #[must_use]
    pub fn held(&self) -> usize {
        self.host.edited.borrow().held.len()
    }
}

/// Makes a [`Request`](crate::Request) for a test.
///
/// ```
/// use sluicegate_sdk::Request;
///
/// let request = Request::builder()
///     .method("GET")
///     .scheme("https")
///     .authority("chat.example.com")
///     .path("/ws?room=blue")
///     .header("origin", "https://chat.example.com")
///     .client_address("192.0.2.7")
///     .websocket(true)
///     .build();
/// assert!(request.is_websocket());
/// ```
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    method: String,
    scheme: String,
    authority: String,
    path_and_query: String,
    version: String,
    fields: Fields,
    client_address: String,
    client_certificate: Option<ClientCertificate>,
    websocket: bool,
    subprotocols: Vec<String>,
    attributes: BTreeMap<String, String>,
    upstreams: Option<Vec<String>>,
    sent: bool,
}

impl RequestBuilder {
    fn new() -> Self {
        Self {
            method: "GET".to_owned(),
            scheme: "http".to_owned(),
            authority: "localhost".to_owned(),
            path_and_query: "/".to_owned(),
            version: "1.1".to_owned(),
            fields: Fields::default(),
            client_address: "192.0.2.1".to_owned(),
            client_certificate: None,
            websocket: false,
            subprotocols: Vec::new(),
            attributes: BTreeMap::new(),
            upstreams: None,
            sent: false,
        }
    }

    /// The method's name.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.scheme);
        self
    }

    /// The host, with a port where the client gave one.
    #[must_use]
    pub fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }

    /// The path, and the query after `?`.
    #[must_use]
    pub fn path(mut self, path_and_query: &str) -> Self {
        path_and_query.clone_into(&mut self.path_and_query);
        self
    }

    /// `1.0`, `1.1` or `2`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// One more header field line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push(name, value.as_ref());
        self
    }

    /// The client's IP address.
    #[must_use]
    pub fn client_address(mut self, address: &str) -> Self {
        address.clone_into(&mut self.client_address);
        self
    }

    /// The certificate the client has shown.
    #[must_use]
    pub fn client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.client_certificate = Some(certificate);
        self
    }

    /// Whether it is a WebSocket handshake.
    #[must_use]
    pub fn websocket(mut self, websocket: bool) -> Self {
        self.websocket = websocket;
        self
    }

    /// The subprotocols the client offers.
    #[must_use]
    pub fn subprotocols<'a>(mut self, subprotocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.subprotocols = subprotocols.into_iter().map(str::to_owned).collect();
        self
    }

    /// An attribute as an earlier hook would have set it.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The upstreams that the configuration has; any name is one, unless this is called.
    #[must_use]
    pub fn upstreams<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.upstreams = Some(names.into_iter().map(str::to_owned).collect());
        self
    }

    /// Whether it has gone to the upstream already, as in `on_response` and `open`, where edits are too late.
    #[must_use]
    pub fn sent(mut self, sent: bool) -> Self {
        self.sent = sent;
        self
    }

    /// The request.
    #[must_use]
    pub fn build(self) -> crate::Request {
        let edited = Edited {
            path_and_query: self.path_and_query.clone(),
            fields: self.fields.clone(),
            attributes: self.attributes.clone(),
            ..Edited::default()
        };
        crate::Request {
            host: Request { fixed: self, edited: RefCell::new(edited) },
            texts: Texts::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_too_late_once_the_request_was_sent_attributes_excepted() {
        let request = crate::Request::builder().sent(true).build();
        assert_eq!(request.set_header("a", "b"), Err(EditError::TooLate));
        assert_eq!(request.set_path("/"), Err(EditError::TooLate));
        assert_eq!(request.route_to("b"), Err(EditError::TooLate));
        assert_eq!(request.set_affinity("b"), Err(EditError::TooLate));
        assert_eq!(request.set_attribute("a", "b"), Ok(()));
    }

    #[test]
    fn a_path_must_be_one() {
        let request = crate::Request::builder().path("/old?q").build();
        for path in ["", "relative", "/a b", "/a#b", "/caf\u{e9}"] {
            assert_eq!(request.set_path(path), Err(EditError::Invalid), "{path}");
        }
        assert_eq!((request.path(), request.query()), ("/old", Some("q")));
        request.set_path("/new").unwrap();
        assert_eq!((request.path(), request.query()), ("/new", None));
    }
}
