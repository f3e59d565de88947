//! The guard under hyper itself, which pins what it counts on.

mod property;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::*;

/// What is left of a connection.
struct Ended<IO> {
    io: IO,
    /// Taken from the guard.
    early: Bytes,
    verdict: Verdict,
    /// hyper's own words; none: the client went away first.
    result: Option<hyper::Result<()>>,
}

async fn serve<IO, A>(io: IO, answer: impl Fn(Request<Incoming>, Verdict) -> A) -> Ended<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Response<Full<Bytes>>>,
{
    serve_within(Limits::default(), io, answer).await
}

/// Serves a connection as the host does.
async fn serve_within<IO, A>(
    limits: Limits,
    io: IO,
    answer: impl Fn(Request<Incoming>, Verdict) -> A,
) -> Ended<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Response<Full<Bytes>>>,
{
    let guard = Guard::new(io, limits);
    let verdict = guard.verdict();
    let service = service_fn(|request| {
        let answer = answer(request, guard.verdict());
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_headers(limits.fields_max)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(&guard), service);
    let result = poll_fn(|cx| match pin!(&mut connection).poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => guard.poll_abandoned(cx).map(|()| None),
    })
    .await;
    assert!(connection.into_parts().read_buf.is_empty(), "hyper was given more than one request");
    let (io, early) = guard.into_parts();
    Ended { io, early, verdict, result }
}

/// Answers with what it was asked.
async fn echo(request: Request<Incoming>, verdict: Verdict) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let mut text = format!("{} {} ", head.method, head.uri).into_bytes();
    match body.collect().await {
        Ok(body) => text.extend_from_slice(&body.to_bytes()),
        Err(_) => return status(verdict.body().map_or(StatusCode::IM_A_TEAPOT, Rejection::status)),
    }
    Response::new(Full::from(text))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}

/// What has become of `future` by now.
async fn now<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// What the client finds when the server has closed.
async fn answers(mut client: DuplexStream, mut server: DuplexStream) -> String {
    server.shutdown().await.unwrap();
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.unwrap();
    answers
}

/// A connection on which the client sends `bytes` at once and then its end.
async fn exchange(bytes: &[u8]) -> (String, Verdict) {
    let (mut client, server) = duplex(1 << 20);
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let Ended { io, verdict, result, .. } = serve(server, echo).await;
    result.expect("not abandoned").expect("hyper has nothing to complain of");
    (answers(client, io).await, verdict)
}

const GET_A: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const POST_B: &str = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const POST_C: &str = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                      3;x\r\nchu\r\n4\r\nnked\r\n0\r\nx: y\r\n\r\n";
const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (answers, verdict) = exchange([GET_A, POST_C, POST_B, POST_C, GET_A].concat().as_bytes()).await;
    let [a, b, c] = [ok("GET /a "), ok("POST /b body"), ok("POST /c chunked")];
    assert_eq!(answers, [&a[..], &c, &b, &c, &a].concat());
    assert_eq!((verdict.head(), verdict.body()), (None, None));
}

#[tokio::test]
async fn large_bodies_pass() {
    let body = "0123456789abcdef".repeat(20_000);
    let length = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut chunked = String::from("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in [&body[..1], &body[1..70_000], &body[70_000..70_002], &body[70_002..]] {
        chunked.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }
    chunked.push_str("0\r\n\r\n");
    let (answers, _) = exchange([&length, &chunked, GET_A].concat().as_bytes()).await;
    let answer = ok(&format!("PUT / {body}"));
    assert!(answers == [&answer, &answer, &ok("GET /a ")[..]].concat());
}

#[tokio::test]
async fn hyper_takes_the_largest_head_allowed() {
    for fields_max in [100, 300] {
        let limits = Limits { fields_max, ..Limits::default() };
        let path = "a".repeat(limits.request_line_bytes_max - "GET / HTTP/1.1\r\n".len());
        let mut head = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n");
        head.push_str(&"x:\r\n".repeat(limits.fields_max - 2));
        let rest = limits.head_bytes_max - head.len() - "y:\r\n\r\n".len();
        head.push_str(&format!("y:{}\r\n\r\n", "z".repeat(rest)));
        let (mut client, server) = duplex(1 << 20);
        client.write_all(head.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let Ended { io, verdict, .. } = serve_within(limits, server, echo).await;
        assert!(answers(client, io).await == ok(&format!("GET /{path} ")));
        assert_eq!(verdict.head(), None);
    }
}

#[tokio::test]
async fn a_refused_head_does_not_touch_the_answers_before_it() {
    let (mut client, server) = duplex(1024);
    client.write_all(&[GET_A.as_bytes(), b"GET / HTTP/1.1\n"].concat()).await.unwrap();
    let release = Notify::new();
    let answer = |request, verdict| async {
        release.notified().await;
        echo(request, verdict).await
    };
    let mut serving = pin!(serve(server, answer));
    assert!(now(serving.as_mut()).await.is_pending());
    release.notify_one();
    let Ended { mut io, verdict, result, .. } = serving.await;
    result.unwrap().unwrap();
    io.write_all(b"refused").await.unwrap();
    assert_eq!(answers(client, io).await, [&ok("GET /a "), "refused"].concat());
    assert_eq!(verdict.head(), Some(Rejection::BareLf));
    assert_eq!(verdict.body(), None);
}

#[tokio::test]
async fn what_follows_the_last_request_is_not_judged() {
    let last = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\0\0\0";
    let (answers, verdict) = exchange(last.as_bytes()).await;
    assert!(answers.ends_with("\r\n\r\nGET /a "), "{answers}");
    assert_eq!(verdict.head(), None);
}

#[tokio::test]
async fn a_bad_body_is_answered_by_its_exchange() {
    let (head, _) = POST_C.split_once("chu\r\n").unwrap();
    let bytes = [GET_A, head, "chunked\r\n0\r\n\r\n", GET_A].concat();
    let (answers, verdict) = exchange(bytes.as_bytes()).await;
    let refused = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(answers, [&ok("GET /a "), refused].concat(), "nothing after it is answered");
    assert_eq!(verdict.body(), Some(Rejection::ChunkEnd));
    assert_eq!(verdict.head(), None);
}

#[tokio::test]
async fn after_a_101_the_stream_comes_back_with_what_followed() {
    let (mut client, server) = duplex(1024);
    client.write_all(&[GET_A, HANDSHAKE, "early "].concat().into_bytes()).await.unwrap();
    let release = Notify::new();
    let answer = |request: Request<Incoming>, verdict| async {
        if request.uri() == "/a" {
            return echo(request, verdict).await;
        }
        release.notified().await;
        status(StatusCode::SWITCHING_PROTOCOLS)
    };
    let mut serving = pin!(serve(server, answer));
    assert!(now(serving.as_mut()).await.is_pending());
    client.write_all(b"GET / ").await.unwrap();
    assert!(now(serving.as_mut()).await.is_pending());
    client.write_all(b"late").await.unwrap();
    release.notify_one();
    let Ended { mut io, early, verdict, result } = serving.await;
    result.unwrap().unwrap();
    let mut late = [0; 4];
    io.read_exact(&mut late).await.unwrap();
    assert_eq!((&early[..], &late), (&b"early GET / "[..], b"late"));
    assert_eq!((verdict.head(), verdict.body()), (None, None));
    assert!(answers(client, io).await.starts_with(&[&ok("GET /a "), "HTTP/1.1 101 "].concat()));
}

#[tokio::test]
async fn after_another_answer_to_a_handshake_requests_go_on() {
    let (mut client, server) = duplex(1024);
    client.write_all(&[HANDSHAKE, GET_A, "early"].concat().into_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let answer = |request: Request<Incoming>, verdict| async {
        match request.uri().path() {
            "/ws" => status(StatusCode::FORBIDDEN),
            _ => echo(request, verdict).await,
        }
    };
    let Ended { io, early, .. } = serve(server, answer).await;
    let refused = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(answers(client, io).await, [refused, &ok("GET /a ")].concat());
    assert_eq!(early, "early");
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_while_its_answer_is_made() {
    // Larger than hyper's buffer, which makes the guard hand it over in pieces.
    let large = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(10_000));
    for (request, follows, ends) in [(GET_A, "", true), (&large, "", true), (GET_A, "GET", false)] {
        let (mut client, server) = duplex(1 << 20);
        client.write_all(&[request, follows].concat().into_bytes()).await.unwrap();
        let answer = |_, _| std::future::pending();
        let mut serving = pin!(serve(server, answer));
        assert!(now(serving.as_mut()).await.is_pending());
        drop(client);
        match now(serving).await {
            Poll::Ready(Ended { result, verdict, .. }) => {
                assert!(ends && result.is_none() && verdict.head().is_none());
            }
            // Whoever sent more is to be answered first.
            Poll::Pending => assert!(!ends),
        }
    }
}

#[tokio::test]
async fn reading_ahead_is_bounded() {
    let (mut client, server) = duplex(1024);
    let guard = Guard::new(server, Limits::default());
    client.write_all(GET_A.as_bytes()).await.unwrap();
    (&guard).read_exact(&mut [0; GET_A.len()]).await.unwrap();
    let mut sent = 0;
    while let Poll::Ready(length) = now(pin!(client.write(&[0; 512]))).await {
        sent += length.unwrap();
        assert!(now(pin!(poll_fn(|cx| guard.poll_abandoned(cx)))).await.is_pending());
        assert!(sent < 64 * 1024, "there is no end to it");
    }
    let (mut server, early) = guard.into_parts();
    let mut rest = vec![0; sent - early.len()];
    server.read_exact(&mut rest).await.unwrap();
    assert!(!early.is_empty() && !rest.is_empty());
}

#[tokio::test]
async fn little_is_read_beyond_a_request() {
    let (mut client, server) = duplex(1 << 20);
    let guard = Guard::new(server, Limits::default());
    let body = "x".repeat(100_000);
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write_all([&head[..], &body, &body].concat().as_bytes()).await.unwrap();
    let (mut buffer, mut passed) = (vec![0; 1 << 20], 0);
    while passed < head.len() + body.len() {
        passed += (&guard).read(&mut buffer).await.unwrap();
    }
    assert_eq!(passed, head.len() + body.len());
    assert_eq!(guard.into_parts().1, "");
}

/// Serves a client that sends a request, is silent for 30 s, and then sends `bytes`, so many a second.
async fn serve_slow_client(request: &str, bytes: &str, per_second: usize) -> (u64, Verdict) {
    let (mut client, server) = duplex(1024);
    let start = Instant::now();
    let dribble = async {
        client.write_all(request.as_bytes()).await.unwrap();
        sleep(Duration::from_secs(30)).await;
        for piece in bytes.as_bytes().chunks(per_second) {
            client.write_all(piece).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    let Ended { verdict, result, .. } = tokio::select! {
        ended = serve(server, echo) => ended,
        () = dribble => unreachable!("it is pending in the end"),
    };
    result.unwrap().unwrap();
    (start.elapsed().as_secs(), verdict)
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_refused_in_time() {
    let slow = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100));
    for (request, expected_s) in [("", 60), (GET_A, 90)] {
        let (elapsed_s, verdict) = serve_slow_client(request, &slow, 1).await;
        assert_eq!((elapsed_s, verdict.head()), (expected_s, Some(Rejection::HeaderTimeout)));
        assert_eq!(verdict.head().map(Rejection::status), Some(StatusCode::REQUEST_TIMEOUT));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_left_silently() {
    for (request, bytes, per_second, expected_s) in [
        ("", "", 1, 60),
        (GET_A, "", 1, 75),
        (GET_A, "\r\n", 1, 75),
        (GET_A, GET_A, GET_A.len(), 30 + 75),
        (POST_B, GET_A, 1, 30 + GET_A.len() as u64 - 1 + 75),
    ] {
        let (elapsed_s, verdict) = serve_slow_client(request, bytes, per_second).await;
        assert_eq!((elapsed_s, verdict.head()), (expected_s, None), "{request}{bytes}");
    }
}
