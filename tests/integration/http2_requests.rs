//! Requests over HTTP/2 (RFC 9113) to servers that speak HTTP/1.1.

use sluicegate_tests::{Http2, Proxy, RawUpstream, Upstream, Wire, run, scratch, soon};
use tokio::process::Command;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Hop: 1\r\nConnection: X-Hop\r\n\r\nhello";

/// By curl: the body, and then what `-w` writes.
async fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--http2-prior-knowledge",
        "-w",
        " %{http_version} %{http_code}",
    ]);
    let output = soon("curl", command.args(arguments).output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn curl_with_prior_knowledge() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let url = format!("http://{}/a/b?c=d", proxy.address());
        assert_eq!(curl(&[&url]).await, "hello 2 200");
        let request = upstream.request();
        assert_eq!(request.head.first_line, "GET /a/b?c=d HTTP/1.1");
        assert_eq!(request.head.field("host"), Some(&*proxy.address().to_string()));
        assert_eq!(request.head.field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(curl(&["--data", "posted", &url]).await, "hello 2 200");
        assert_eq!(upstream.requests()[1].text(), "posted");
        assert_eq!(upstream.requests()[1].head.field("content-length"), Some("6"));
        let folder = scratch();
        let file = folder.path().join("large");
        std::fs::write(&file, vec![b'x'; 3 << 20]).unwrap();
        assert_eq!(curl(&["--upload-file", file.to_str().unwrap(), &url]).await, "hello 2 200");
        assert_eq!(upstream.requests()[2].body.len(), 3 << 20);
        assert_eq!(curl(&["--head", "-o", "/dev/null", &url]).await, " 2 200");
    });
}

#[test]
fn bodies_larger_than_all_windows_stream_both_ways() {
    run(async {
        let large = vec![b'y'; 5 << 20];
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len());
        let answer = [head.as_bytes(), &large].concat();
        let upstream = Upstream::answering(answer).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        // Without Content-Length: chunked to the upstream.
        let response = client.ask(Http2::request("POST", "/"), &large).await;
        assert_eq!((response.status(), response.body.len()), (200, large.len()));
        assert_eq!(upstream.request().body, large);
        assert_eq!(upstream.request().head.field("transfer-encoding"), Some("chunked"));
    });
}

#[test]
fn many_at_once_on_one_connection() {
    run(async {
        let upstream = Upstream::http(|request| {
            let path = request.head.target();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).into_bytes()
        })
        .await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        // From here on it knows how many it may have at a time.
        client.get("/").await;
        let mut answers = Vec::new();
        for number in 0..300 {
            let path = format!("/{number}");
            let (answer, _) = client.send(Http2::request("GET", &path), true).await;
            answers.push((path, answer));
        }
        for (path, answer) in answers {
            let mut body = soon("an answer", answer).await.unwrap().into_body();
            assert_eq!(soon("its body", body.data()).await.unwrap().unwrap(), path.as_bytes());
        }
    });
}

#[test]
fn rfc9113_8_fields_go_on_in_the_shape_of_http_1() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let request = Http2::request("GET", "/").header("cookie", "a=1").header("cookie", "b=2");
        let request = request.header("te", "trailers").header("x-end", "1").header("x-real-ip", "6.6.6.6");
        let response = client.ask(request, b"").await;
        let head = upstream.request().head;
        assert_eq!(head.field("cookie"), Some("a=1; b=2"));
        assert_eq!(head.field("host"), Some("a.example"));
        assert_eq!(head.field("x-end"), Some("1"));
        assert_eq!(head.field("x-real-ip"), Some("127.0.0.1"));
        assert!(!head.has("te") && !head.has("transfer-encoding") && !head.has("content-length"), "{head}");
        assert!(!response.head.has("connection") && !response.head.has("x-hop"), "{}", response.head);
        assert!(response.head.has("date"));
    });
}

#[test]
fn answers_without_a_body_have_none() {
    run(async {
        let upstream = Upstream::http(|request| match request.head.method() {
            "HEAD" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec(),
            _ => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        })
        .await;
        let proxy = Proxy::to(upstream.address()).route("path = \"/app\"").start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let response = client.ask(Http2::request("HEAD", "/app"), b"").await;
        assert_eq!(response.head.field("content-length"), Some("1000"));
        assert!(response.body.is_empty());
        assert_eq!(client.get("/app").await.status(), 204);
        // The proxy's own.
        let response = client.ask(Http2::request("HEAD", "/nowhere"), b"").await;
        assert_eq!((response.status(), response.body.len()), (404, 0));
        let response = client.get("/nowhere").await;
        assert_eq!(response.status(), 404);
        assert_eq!(response.text(), "404 Not Found: no route for this host and path\n");
    });
}

#[test]
fn a_client_that_resets_its_request_has_it_dropped_at_the_upstream() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let (answer, mut stream) = client.send(Http2::request("GET", "/"), false).await;
        let mut wire = upstream.next().await;
        wire.head().await;
        stream.send_reset(h2::Reason::CANCEL);
        wire.rest().await;
        drop(answer);
    });
}

#[test]
fn an_upstream_that_breaks_off_its_answer_is_a_stream_that_is_reset() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let (answer, ()) = tokio::join!(client.try_ask(Http2::request("GET", "/"), b""), async {
            let mut wire = upstream.next().await;
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        });
        assert_eq!(answer.unwrap_err().reason(), Some(h2::Reason::INTERNAL_ERROR));
    });
}

#[test]
fn rfc9113_3_4_the_preface_comes_first_or_not_at_all() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "hello");
        let refused = client.ask(sluicegate_tests::RawHttp2::PREFACE).await;
        assert_eq!(refused.status(), 505);
        client.assert_closed().await;
        // However it is cut.
        let mut client = Wire::connect(proxy.address()).await;
        for byte in sluicegate_tests::RawHttp2::PREFACE {
            client.send([*byte]).await;
        }
        client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        assert_eq!(client.take(9).await[3], 4, "SETTINGS");
    });
}

#[test]
fn draining_lets_requests_finish_and_says_goaway() {
    run(async {
        let upstream = RawUpstream::start().await;
        let mut proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let idle = Http2::connect(proxy.address()).await;
        let ((other, _), mut wire) =
            tokio::join!(client.send(Http2::request("GET", "/other"), true), upstream.next());
        wire.head().await;
        let (response, ()) = tokio::join!(client.get("/"), async {
            let mut wire = upstream.next().await;
            wire.head().await;
            proxy.terminate().await;
            proxy.log().line(&["draining"]).await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast").await;
        });
        assert_eq!(response.text(), "last");
        wire.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(soon("the other answer", other).await.unwrap().status(), 204);
        client.ended().await.unwrap();
        idle.ended().await.unwrap();
        assert_eq!(proxy.ended().await.code(), Some(0));
    });
}
