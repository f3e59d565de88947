//! `http`

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use tokio::time::{Instant, timeout_at};
use wasmtime::bail;
use wasmtime::component::Resource;

use super::request::{all_headers, editable, header_value};
use crate::callout::{Call, CallError, CallOuts};
use crate::plugin::bindings::sluicegate::hooks::http::{Host, HostRequest, HostResponse, HttpError};
use crate::plugin::bindings::sluicegate::hooks::request::EditError;
use crate::plugin::bindings::sluicegate::hooks::types::HeaderField;
use crate::plugin::state::{Identity, State};

/// Calls in one hook call.
const CALLS_MAX: u32 = 16;
const BODY_BYTES_MAX: usize = 1 << 20;
const FIELDS_MAX: usize = 100;
/// Path, names and values of a request together.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What the requests and answers that an instance has in its hands may hold together, beside its own memory.
const HELD_BYTES_MAX: usize = 16 << 20;
/// What each of them takes at least.
const RESOURCE_BYTES: usize = 512;
/// What a field takes beside its name and value, in a table that is half empty.
const FIELD_BYTES: usize = 256;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const TIMEOUT_MS_MAX: u32 = 30_000;

/// A guest's request while it is put together.
#[derive(Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
}

#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Host for State {
    async fn send(
        &mut self,
        request: Resource<Request>,
        upstream: String,
    ) -> wasmtime::Result<Result<Resource<Response>, HttpError>> {
        self.not_in_configure("http.send")?;
        let request = self.table.delete(request)?;
        let request_bytes = request.bytes();
        let answer = self.send_request(request, upstream).await?;
        // It was there for as long as its answer was waited for.
        self.hold(request_bytes, 0)?;
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Ok(Err(error)),
        };
        self.hold(0, response.bytes())?;
        Ok(Ok(self.table.push(response)?))
    }
}

impl State {
    async fn send_request(
        &mut self,
        request: Request,
        upstream: String,
    ) -> wasmtime::Result<Result<Response, HttpError>> {
        if !self.identity.call_outs.may_reach(&upstream) {
            return Ok(Err(HttpError::NotGranted));
        }
        self.calls_made += 1;
        if self.calls_made > CALLS_MAX {
            return Ok(Err(HttpError::TooMany));
        }
        let began = Instant::now();
        let latest = began + self.answer_time_left;
        let Some(call) = request.into_call(upstream, latest) else { return Ok(Err(HttpError::Invalid)) };
        let (identity, door) = (self.identity.clone(), self.lent.call_outs.clone());
        let made = self.wait(make(&identity, door, call)).await?;
        self.answer_time_left = self.answer_time_left.saturating_sub(began.elapsed());
        Ok(made.map(|answer| {
            let (head, body) = answer.into_parts();
            Response { status: head.status, headers: head.headers, body }
        }))
    }

    /// Of what the guest holds here, one thing has changed its size. All of it takes no more than its memory may.
    fn hold(&mut self, before: usize, after: usize) -> wasmtime::Result<()> {
        self.held_bytes = self.held_bytes.saturating_sub(before).saturating_add(after);
        let bytes_max = HELD_BYTES_MAX.min(self.identity.memory_bytes_max);
        if self.held_bytes > bytes_max {
            bail!("http: requests and responses of more than {bytes_max} bytes in one instance's hands");
        }
        Ok(())
    }
}

/// Make `call` when it is its turn.
async fn make(
    identity: &Identity,
    door: Option<CallOuts>,
    call: Call,
) -> Result<http::Response<Bytes>, HttpError> {
    let (upstream, deadline) = (call.upstream.clone(), call.deadline);
    let made = async {
        // What runs outside of an exchange (a session's destructor) has no worker to ask.
        let door = door.ok_or(CallError::Stopped)?;
        let turn = timeout_at(deadline, identity.call_outs.in_flight.acquire()).await;
        let _turn = turn.map_err(|_| CallError::Timeout)?;
        door.make(call).await
    };
    made.await.map_err(|error| {
        // Clients can have it ask as often as they like.
        if identity.log.admits(&identity.name) {
            tracing::warn!(plugin = %identity.name, upstream, %error, "plugin's request failed");
        }
        match error {
            CallError::Timeout => HttpError::Timeout,
            CallError::TooLarge => HttpError::TooLarge,
            CallError::NoUpstream | CallError::Failed(_) | CallError::BrokenOff(_) => HttpError::Unreachable,
            CallError::Stopped => HttpError::Other,
        }
    })
}

impl HostRequest for State {
    fn new(&mut self, method: String, path: String) -> wasmtime::Result<Resource<Request>> {
        self.not_in_configure("http.request")?;
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let request = Request { method, path, headers, body, timeout: TIMEOUT_DEFAULT };
        self.hold(0, request.bytes())?;
        Ok(self.table.push(request)?)
    }

    fn set_header(
        &mut self,
        request: Resource<Request>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), HttpError>> {
        let request = self.table.get_mut(&request)?;
        let before = request.bytes();
        let set = request.set_header(&name, &value);
        let after = request.bytes();
        self.hold(before, after)?;
        Ok(set)
    }

    fn set_body(
        &mut self,
        request: Resource<Request>,
        body: Vec<u8>,
    ) -> wasmtime::Result<Result<(), HttpError>> {
        if body.len() > BODY_BYTES_MAX {
            return Ok(Err(HttpError::Invalid));
        }
        let request = self.table.get_mut(&request)?;
        let (before, after) = (request.body.len(), body.len());
        request.body = body.into();
        self.hold(before, after)?;
        Ok(Ok(()))
    }

    fn set_timeout_ms(&mut self, request: Resource<Request>, timeout_ms: u32) -> wasmtime::Result<()> {
        let timeout_ms = timeout_ms.clamp(1, TIMEOUT_MS_MAX);
        self.table.get_mut(&request)?.timeout = Duration::from_millis(timeout_ms.into());
        Ok(())
    }

    fn drop(&mut self, request: Resource<Request>) -> wasmtime::Result<()> {
        let bytes = self.table.delete(request)?.bytes();
        self.hold(bytes, 0)
    }
}

impl HostResponse for State {
    fn status(&mut self, response: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&response)?.status.as_u16())
    }

    fn header(&mut self, response: Resource<Response>, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        header_value(&self.table.get(&response)?.headers, &name)
    }

    fn headers(&mut self, response: Resource<Response>) -> wasmtime::Result<Vec<HeaderField>> {
        Ok(all_headers(&self.table.get(&response)?.headers))
    }

    fn body(&mut self, response: Resource<Response>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&response)?.body.to_vec())
    }

    fn drop(&mut self, response: Resource<Response>) -> wasmtime::Result<()> {
        let bytes = self.table.delete(response)?.bytes();
        self.hold(bytes, 0)
    }
}

// === impl Request, Response ===

impl Request {
    fn bytes(&self) -> usize {
        let fields_bytes = fields_bytes(&self.headers) + self.headers.len() * FIELD_BYTES;
        RESOURCE_BYTES + self.method.len() + self.path.len() + fields_bytes + self.body.len()
    }

    fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), HttpError> {
        let name = match editable(name) {
            Ok(name) => name,
            // Here it is nobody's but the plugin's.
            Err(EditError::Forbidden) if name.eq_ignore_ascii_case("host") => header::HOST,
            Err(_) => return Err(HttpError::Invalid),
        };
        let value = HeaderValue::from_bytes(value).map_err(|_| HttpError::Invalid)?;
        let is_full = self.headers.len() >= FIELDS_MAX && !self.headers.contains_key(&name);
        let bytes = self.path.len() + fields_bytes(&self.headers) + name.as_str().len() + value.len();
        if is_full || bytes > HEAD_BYTES_MAX {
            return Err(HttpError::Invalid);
        }
        self.headers.insert(name, value);
        Ok(())
    }

    /// None where HTTP does not allow it.
    fn into_call(self, upstream: String, latest: Instant) -> Option<Call> {
        let clean =
            self.path.starts_with('/') && !self.path.contains('#') && self.path.len() < HEAD_BYTES_MAX;
        let path: PathAndQuery = self.path.parse().ok().filter(|_| clean)?;
        // Methods are case-sensitive (RFC 9110 §9.1), and CONNECT asks for something else than an answer.
        let is_method = self.method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let method = Method::from_bytes(self.method.as_bytes()).ok();
        let method = method.filter(|method| is_method && method != Method::CONNECT)?;
        let mut request = http::Request::new(self.body);
        *request.method_mut() = method;
        *request.uri_mut() = path.into();
        *request.headers_mut() = self.headers;
        Some(Call { upstream, request, deadline: latest.min(Instant::now() + self.timeout) })
    }
}

impl Response {
    fn bytes(&self) -> usize {
        RESOURCE_BYTES + fields_bytes(&self.headers) + self.headers.len() * FIELD_BYTES + self.body.len()
    }
}

/// Of names and values.
fn fields_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value): (&HeaderName, _)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str) -> Request {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Request { method: method.to_owned(), path: path.to_owned(), headers, body, timeout: TIMEOUT_DEFAULT }
    }

    #[test]
    fn what_http_does_not_allow_is_not_sent() {
        for (method, path) in [("GET", "/"), ("M-SEARCH", "/a?b=c%20d")] {
            assert!(
                request(method, path).into_call(String::new(), Instant::now()).is_some(),
                "{method} {path}"
            );
        }
        let long = format!("/{}", "a".repeat(HEAD_BYTES_MAX));
        for (method, path) in [
            ("get", "/"),
            ("", "/"),
            ("CONNECT", "/"),
            ("GET ", "/"),
            ("GET\r\n", "/"),
            ("GET", ""),
            ("GET", "a"),
            ("GET", "*"),
            ("GET", "http://a/"),
            ("GET", "/a b"),
            ("GET", "/a\r\nhost: b"),
            ("GET", "/#a"),
            ("GET", &long),
        ] {
            assert!(
                request(method, path).into_call(String::new(), Instant::now()).is_none(),
                "{method:?} {path:?}"
            );
        }
    }

    /// What a field takes in memory is far more than an empty value.
    #[test]
    fn fields_without_values_take_memory_too() {
        let mut request = request("GET", "/");
        let before = request.bytes();
        for at in 0..FIELDS_MAX {
            assert_eq!(request.set_header(&format!("a{at}"), b""), Ok(()));
        }
        assert!(request.bytes() - before > 20_000, "{}", request.bytes());
    }

    #[test]
    fn framing_and_hops_are_the_hosts() {
        let mut request = request("POST", "/");
        assert_eq!(request.set_header("Host", b"a.example"), Ok(()));
        assert_eq!(request.set_header("authorization", b"Bearer a"), Ok(()));
        for name in ["content-length", "Transfer-Encoding", "connection", "upgrade", "te", "a b", ""] {
            assert_eq!(request.set_header(name, b"1"), Err(HttpError::Invalid), "{name}");
        }
        assert_eq!(request.set_header("a", b"b\r\nc: d"), Err(HttpError::Invalid));
    }

    #[test]
    fn a_head_is_bounded() {
        let mut few = request("GET", "/");
        assert_eq!(few.set_header("a", &vec![b'a'; HEAD_BYTES_MAX]), Err(HttpError::Invalid));
        let mut many = request("GET", "/");
        for at in 0..FIELDS_MAX {
            assert_eq!(many.set_header(&format!("a{at}"), b""), Ok(()));
        }
        assert_eq!(many.set_header("b", b""), Err(HttpError::Invalid));
        assert_eq!(many.set_header("a0", b"again"), Ok(()));
    }
}
