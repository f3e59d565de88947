//! Upstreams that a plugin asks, answered by a test.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::fields::Fields;
use crate::error::EditError;
use crate::http::HttpError;
use crate::response::HeaderField;

const BODY_BYTES_MAX: usize = 1 << 20;
const TIMEOUT_MS_DEFAULT: u32 = 5_000;
const TIMEOUT_MS_MAX: u32 = 30_000;

type Answering = Rc<dyn Fn(&SentRequest) -> Result<crate::Response, HttpError>>;

thread_local! {
    static UPSTREAMS: RefCell<HashMap<String, Answering>> = RefCell::default();
}

/// What a plugin sent to an upstream, as a test sees it.
///
/// ```
/// use std::time::Duration;
/// use sluicegate_sdk::{Response, http, testing};
///
/// testing::upstream("auth", |sent| {
///     assert_eq!(sent.timeout, Duration::from_secs(5));
///     Ok(Response::text(200, sent.header("x-user").unwrap_or_default()))
/// });
/// let answer = http::Request::get("/").header("X-User", "ann").send("auth")?;
/// assert_eq!(answer.text(), "ann");
/// # Ok::<(), http::HttpError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SentRequest {
    /// In upper case.
    pub method: String,
    /// With its query.
    pub path: String,
    /// Without those the host adds.
    pub headers: Vec<HeaderField>,
    /// The content.
    pub body: Vec<u8>,
    /// How long the plugin would wait.
    pub timeout: Duration,
}

impl SentRequest {
    /// The field's value, octets that are not UTF-8 replaced by U+FFFD; `None` where it was not sent.
    ///
    /// ```
    /// # use sluicegate_sdk::{Response, http::Request, testing};
    /// testing::upstream("auth", |sent| Ok(Response::new(if sent.header("x-user").is_some() { 200 } else { 400 })));
    /// assert_eq!(Request::get("/").send("auth")?.status(), 400);
    /// # Ok::<(), sluicegate_sdk::http::HttpError>(())
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let line = self.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        line.map(|field| String::from_utf8_lossy(&field.value))
    }
}

pub(super) fn answer(
    upstream: &str,
    answering: impl Fn(&SentRequest) -> Result<crate::Response, HttpError> + 'static,
) {
    UPSTREAMS.with_borrow_mut(|upstreams| upstreams.insert(upstream.to_owned(), Rc::new(answering)));
}

pub(super) fn reset() {
    UPSTREAMS.with_borrow_mut(HashMap::clear);
}

/// The state behind a [`crate::http::Request`].
pub(crate) struct Request {
    method: String,
    path: String,
    held: RefCell<Held>,
}

struct Held {
    fields: Fields,
    body: Vec<u8>,
    timeout_ms: u32,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let held = Held { fields: Fields::default(), body: Vec::new(), timeout_ms: TIMEOUT_MS_DEFAULT };
        Self { method: method.to_owned(), path: path.to_owned(), held: RefCell::new(held) }
    }

    pub(crate) fn set_header(&self, name: &str, value: &[u8]) -> Result<(), HttpError> {
        let fields = &mut self.held.borrow_mut().fields;
        match fields.set(name, value) {
            Ok(()) => Ok(()),
            // The one field of the host's that is the plugin's here.
            Err(EditError::Forbidden) if name.eq_ignore_ascii_case("host") => {
                fields.push(name, value);
                Ok(())
            }
            Err(_) => Err(HttpError::Invalid),
        }
    }

    pub(crate) fn set_body(&self, body: &[u8]) -> Result<(), HttpError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(HttpError::Invalid);
        }
        self.held.borrow_mut().body = body.to_vec();
        Ok(())
    }

    pub(crate) fn set_timeout_ms(&self, timeout_ms: u32) {
        self.held.borrow_mut().timeout_ms = timeout_ms.clamp(1, TIMEOUT_MS_MAX);
    }
}

/// The state behind a [`crate::http::Response`].
pub(crate) struct Response {
    status: u16,
    fields: Fields,
    body: Vec<u8>,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.fields.joined(name)
    }

    pub(crate) fn headers(&self) -> Vec<HeaderField> {
        self.fields.all()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.body.clone()
    }
}

pub(crate) fn send(request: Request, upstream: &str) -> Result<Response, HttpError> {
    let answering = UPSTREAMS.with_borrow(|upstreams| upstreams.get(upstream).cloned());
    let answering = answering.ok_or(HttpError::NotGranted)?;
    let Held { fields, body, timeout_ms } = request.held.into_inner();
    let is_method = request.method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let is_path = request.path.starts_with('/') && !request.path.contains(['#', ' ']);
    if request.method.is_empty() || !is_method || !is_path {
        return Err(HttpError::Invalid);
    }
    let sent = SentRequest {
        method: request.method,
        path: request.path,
        headers: fields.all(),
        body,
        timeout: Duration::from_millis(timeout_ms.into()),
    };
    let answer = answering(&sent)?;
    if answer.body.len() > BODY_BYTES_MAX {
        return Err(HttpError::TooLarge);
    }
    let mut fields = Fields::default();
    for HeaderField { name, value } in &answer.headers {
        fields.push(name, value);
    }
    Ok(Response { status: answer.status, fields, body: answer.body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[test]
    fn what_the_host_would_refuse_is_refused() {
        answer("app", |_| Ok(crate::Response::new(200)));
        let status = |request: http::Request| request.send("app").map(|answer| answer.status());
        assert_eq!(status(http::Request::get("/").header("host", "a.example")), Ok(200));
        for request in [
            http::Request::new("get", "/"),
            http::Request::get("a"),
            http::Request::get("/").header("transfer-encoding", "chunked"),
            http::Request::get("/").header("a b", ""),
            http::Request::get("/").body(vec![0; BODY_BYTES_MAX + 1]),
        ] {
            assert_eq!(status(request), Err(HttpError::Invalid));
        }
        answer("app", |_| Ok(crate::Response::new(200).with_body(vec![0; BODY_BYTES_MAX + 1])));
        assert_eq!(status(http::Request::get("/")), Err(HttpError::TooLarge));
        assert_eq!(http::Request::get("/").send("other").unwrap_err(), HttpError::NotGranted);
    }

    #[test]
    fn a_timeout_has_bounds() {
        answer("app", |sent| Ok(crate::Response::text(200, sent.timeout.as_millis().to_string())));
        for (asked, taken) in
            [(Duration::ZERO, "1"), (Duration::from_millis(70), "70"), (Duration::MAX, "30000")]
        {
            let answer = http::Request::get("/").timeout(asked).send("app").unwrap();
            assert_eq!(answer.text(), taken);
        }
    }
}
