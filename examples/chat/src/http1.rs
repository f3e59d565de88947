//! As much of HTTP/1.1 (RFC 9112) as a page and a handshake need: one request, one answer, close.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::SEND_TIMEOUT;

/// A request's head, its request line included. Then 431.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines of a request. Then 431.
const HEADERS_MAX: usize = 64;
/// The longest that `/wait` may be asked for.
const WAIT_MS_MAX: u64 = 60_000;

/// Which server answered, so that `curl -i` shows what a balancer chose.
pub(crate) const X_BACKEND: HeaderName = HeaderName::from_static("x-backend");

const PAGE: &str = include_str!("page.html");
/// The page is one file and talks only to where it came from.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           img-src data:; connect-src 'self' ws: wss:";

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) request: Request<()>,
    /// The head's octets.
    text: Vec<u8>,
    /// What came behind it.
    pub(crate) rest: Vec<u8>,
}

#[derive(Debug, Error)]
pub(crate) enum HeadError {
    #[error("connection lost")]
    Io(#[from] io::Error),
    #[error("no HTTP/1.1 request head")]
    Malformed,
    #[error("request head too large: at most {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} header lines")]
    TooLarge,
}

pub(crate) async fn read_head(stream: &mut TcpStream) -> Result<Head, HeadError> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some((length, request)) = parse_head(&bytes)? {
            let rest = bytes.split_off(length);
            return Ok(Head { request, text: bytes, rest });
        }
        if bytes.len() >= HEAD_BYTES_MAX {
            return Err(HeadError::TooLarge);
        }
    }
}

/// The head and its length in bytes; none while it is not all there.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Request<()>)>, HeadError> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut lines);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Err(_) => return Err(HeadError::Malformed),
    };
    let (Some(method), Some(path), Some(1)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(HeadError::Malformed);
    };
    let mut request = Request::builder().method(method).uri(path);
    for line in parsed.headers {
        request = request.header(line.name, line.value);
    }
    let request = request.body(()).map_err(|_| HeadError::Malformed)?;
    Ok(Some((length, request)))
}

/// What plain HTTP gets.
pub(crate) async fn answer(head: &Head, server: &str) -> Response<String> {
    if ![Method::GET, Method::HEAD].contains(head.request.method()) {
        let mut response = status_only(StatusCode::METHOD_NOT_ALLOWED, server);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let mut response = match head.request.uri().path() {
        "/" => page(server),
        "/health" => with_body(StatusCode::OK, server, "ok\n".to_owned()),
        "/headers" => with_body(StatusCode::OK, server, String::from_utf8_lossy(&head.text).into_owned()),
        "/wait" => wait(head, server).await,
        _ => status_only(StatusCode::NOT_FOUND, server),
    };
    // The length stays that of the answer to GET (RFC 9110 §9.3.2).
    if head.request.method() == Method::HEAD {
        response.body_mut().clear();
    }
    response
}

pub(crate) fn status_only(status: StatusCode, server: &str) -> Response<String> {
    with_body(status, server, format!("{status}\n"))
}

/// Sends the answer and closes.
pub(crate) async fn send(mut stream: TcpStream, response: &Response<String>) -> io::Result<()> {
    let mut text = head_text(response);
    text.push_str("connection: close\r\n\r\n");
    text.push_str(response.body());
    timeout(SEND_TIMEOUT, stream.write_all(text.as_bytes())).await??;
    stream.shutdown().await
}

/// The status line and the header lines, without the empty line behind them.
pub(crate) fn head_text<B>(response: &Response<B>) -> String {
    let mut text = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        let value = value.to_str().unwrap_or_default();
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text
}

/// The value of one key of the request's query.
pub(crate) fn query(request: &Request<()>, key: &str) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
}

fn page(server: &str) -> Response<String> {
    let mut response = with_body(StatusCode::OK, server, PAGE.to_owned());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

async fn wait(head: &Head, server: &str) -> Response<String> {
    let wait_ms = query(&head.request, "ms").and_then(|text| text.parse().ok());
    match wait_ms.filter(|wait_ms| *wait_ms <= WAIT_MS_MAX) {
        Some(wait_ms) => {
            sleep(Duration::from_millis(wait_ms)).await;
            with_body(StatusCode::OK, server, format!("waited {wait_ms} ms\n"))
        }
        None => {
            let text = format!("expected /wait?ms=N with N from 0 to {WAIT_MS_MAX}\n");
            with_body(StatusCode::BAD_REQUEST, server, text)
        }
    }
}

fn with_body(status: StatusCode, server: &str, body: String) -> Response<String> {
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Ok(server) = HeaderValue::from_str(server) {
        headers.insert(X_BACKEND, server);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_complete_at_its_empty_line() {
        let bytes = b"GET /ws?room=blue HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let (length, request) = parse_head(bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len() - b"rest".len());
        assert_eq!(request.uri(), "/ws?room=blue");
        assert_eq!(request.headers()["host"], "a");
        for length in 0..length {
            assert!(parse_head(&bytes[..length]).unwrap().is_none(), "{length}");
        }
    }

    #[test]
    fn what_is_no_head() {
        for malformed in
            ["GET /\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "\0", "GET / HTTP/1.1\r\nno colon\r\n\r\n"]
        {
            assert!(matches!(parse_head(malformed.as_bytes()), Err(HeadError::Malformed)), "{malformed:?}");
        }
        let lines = "a: b\r\n".repeat(HEADERS_MAX + 1);
        let too_large = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        assert!(matches!(parse_head(too_large.as_bytes()), Err(HeadError::TooLarge)));
    }

    #[test]
    fn queries_are_decoded() {
        let request = Request::builder().uri("/ws?name=Ann+%C3%84&room=a%26b&room=c").body(()).unwrap();
        assert_eq!(query(&request, "name").as_deref(), Some("Ann Ä"));
        assert_eq!(query(&request, "room").as_deref(), Some("a&b"));
        assert_eq!(query(&request, "none"), None);
    }
}
