//! Requests to servers that speak HTTP/2.

use std::net::SocketAddr;

use futures_util::future::join_all;
use http::HeaderMap;
use serde_json::Value;
use sluicegate_tests::{
    Http2, Http2Upstream, Peer, Proxy, TlsServer, Upstream, WebSocket, Wire, config, run, soon,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::tls_files::TlsFiles;

pub const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
pub const POST: &str = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nbody";

/// One worker, as each has connections of its own, and these keys of the upstream and its route.
pub async fn proxy(server: impl std::fmt::Display, keys: &str, route: &str) -> Proxy {
    let upstream =
        format!("[[upstream]]\nname = \"app\"\nservers = [\"{server}\"]\nhttp-version = \"2\"\n{keys}\n");
    let text = ["[server]\nworkers = 1\n", &config::listener(""), &upstream, &config::route("app", route)];
    Proxy::start(&text.concat()).await
}

async fn node() -> (Peer, SocketAddr) {
    Peer::server("http2-server.js", &[]).await
}

async fn secure_node(files: &TlsFiles) -> (Peer, SocketAddr) {
    files.write("local", &files.authority.server(&["127.0.0.1"]));
    let [certificate, key] = ["local.pem", "local-key.pem"].map(|name| files.path(name));
    Peer::server("http2-server.js", &[certificate.to_str().unwrap(), key.to_str().unwrap()]).await
}

fn believing(files: &TlsFiles) -> String {
    format!("tls = {{ ca = {:?} }}", files.path("ca.pem"))
}

/// What Node has seen of a request.
fn seen(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn rfc9113_8_requests_go_on_in_the_shape_of_http_2() {
    run(async {
        let (_node, address) = node().await;
        let proxy = proxy(address, "", "").await;
        let mut client = Wire::connect(proxy.address()).await;
        let request = "GET /a?b HTTP/1.1\r\nHost: a.example:81\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
                       X-End: 2\r\nCookie: a=1; b=2\r\n\r\n";
        let response = client.ask(request).await;
        assert_eq!(response.status(), 200);
        let Value::Object(request) = seen(&response.body) else { panic!("{}", response.text()) };
        assert_eq!(request["version"], "2.0");
        let headers = request["headers"].as_object().unwrap();
        for (name, value) in [
            (":method", "GET"),
            (":path", "/a?b"),
            (":scheme", "http"),
            (":authority", "a.example:81"),
            ("x-end", "2"),
            ("cookie", "a=1; b=2"),
            ("x-forwarded-for", "127.0.0.1"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        for gone in ["host", "connection", "x-hop", "te", "transfer-encoding", "content-length"] {
            assert!(!headers.contains_key(gone), "{gone}: {headers:?}");
        }
        // No answer to this has a body, whatever it says of its length.
        assert_eq!(client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
        assert_eq!(client.ask(GET).await.status(), 200);
    });
}

#[test]
fn bodies_of_http_1_clients_stream_both_ways() {
    run(async {
        let (_node, address) = node().await;
        let proxy = proxy(address, "", "").await;
        let mut client = Wire::connect(proxy.address()).await;
        let posted = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nposted";
        assert_eq!(client.ask(posted).await.text(), "posted");
        let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                       4\r\nin p\r\n5\r\narts.\r\n0\r\n\r\n";
        let response = client.ask(chunked).await;
        assert_eq!(response.text(), "in parts.");
        assert_eq!(response.head.field("x-answer"), Some("echo"));
    });
}

#[test]
fn bodies_larger_than_all_windows_and_their_trailers_pass_both_ways() {
    run(async {
        let (_node, address) = node().await;
        let proxy = proxy(address, "", "").await;
        let mut client = Http2::connect(proxy.address()).await;
        let (answer, mut outgoing) = client.send(Http2::request("POST", "/echo"), false).await;
        let sent = vec![b'x'; 40 << 20];
        let mut left = bytes::Bytes::from(sent.clone());
        let sending = async {
            while !left.is_empty() {
                outgoing.reserve_capacity(left.len());
                let room = soon("room", std::future::poll_fn(|cx| outgoing.poll_capacity(cx))).await;
                let piece = left.split_to(room.unwrap().unwrap().min(left.len()));
                outgoing.send_data(piece, false).unwrap();
            }
            let trailers = [("x-sum", "42"), ("x-real-ip", "6.6.6.6")];
            outgoing.send_trailers(fields(&trailers)).unwrap();
        };
        let receiving = async {
            let mut incoming = soon("an answer", answer).await.unwrap().into_body();
            let mut received = Vec::new();
            while let Some(data) = soon("its body", incoming.data()).await {
                let data = data.unwrap();
                incoming.flow_control().release_capacity(data.len()).unwrap();
                received.extend(data);
            }
            (received, soon("its trailers", incoming.trailers()).await.unwrap())
        };
        let ((), (received, trailers)) = tokio::join!(sending, receiving);
        assert!(received == sent);
        assert_eq!(trailers, Some(fields(&[("x-sum", "42")])));
    });
}

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    fields.collect()
}

#[test]
fn trailers_tell_nothing_in_the_proxys_name() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let mut client = Http2::connect(proxy.address()).await;
        let (answer, mut outgoing) = client.send(Http2::request("POST", "/"), false).await;
        outgoing.send_data("x".into(), false).unwrap();
        outgoing.send_trailers(fields(&[("x-sum", "1"), ("x-forwarded-for", "6.6.6.6")])).unwrap();
        let mut asked = upstream.next().await.request().await;
        // Where the client can take trailers, the server is told (gRPC asks for it).
        assert_eq!(asked.head.headers["te"], "trailers");
        assert_eq!(asked.body().await, (b"x".to_vec(), Some(fields(&[("x-sum", "1")]))));
        drop(answer);
    });
}

#[test]
fn a_burst_shares_one_connection() {
    run(async {
        let (_node, address) = node().await;
        let proxy = proxy(address, "", "").await;
        let clients = join_all((0..100).map(|_| async {
            let mut client = Wire::connect(proxy.address()).await;
            (client.ask(GET).await.status(), client.ask(GET).await.status())
        }));
        assert_eq!(clients.await, [(200, 200); 100]);
        let counted = Wire::connect(proxy.address()).await.ask(GET.replace(" / ", " /connections ")).await;
        assert_eq!(counted.text(), "1");
    });
}

#[test]
fn over_tls_it_is_agreed_on_and_websockets_go_by_http_1() {
    run(async {
        let files = TlsFiles::new();
        let (_node, address) = secure_node(&files).await;
        let proxy = proxy(format_args!("https://{address}"), &believing(&files), "").await;
        let mut client = Wire::connect(proxy.address()).await;
        let request = seen(&client.ask(GET).await.body);
        assert_eq!((&request["version"], &request["headers"][":scheme"]), (&"2.0".into(), &"https".into()));
        let mut socket = WebSocket::connect(proxy.address(), "/").await;
        socket.assert_echo("hello").await;
        // From a client of HTTP/2, too.
        let mut http2 = Http2::connect(proxy.address()).await;
        http2.websocket("/", &[]).await.assert_echo("hello again").await;
        assert_eq!(seen(&http2.get("/").await.body)["version"], "2.0");
    });
}

#[test]
fn a_server_that_does_not_agree_is_named() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &["127.0.0.1"]).await;
        let address = server.address();
        let proxy = proxy(format_args!("https://{address}"), &believing(&files), "").await;
        let (response, _) =
            tokio::join!(async { Wire::connect(proxy.address()).await.ask(GET).await }, server.next());
        assert_eq!(response.status(), 502);
        proxy.log().line(&["request refused", &address.to_string(), "NoApplicationProtocol"]).await;
    });
}

#[test]
fn a_server_of_http_1_alone_is_named_and_gets_no_request() {
    run(async {
        let upstream = Upstream::named("app").await;
        let proxy = proxy(upstream.address(), "", "").await;
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(Wire::connect(proxy.address()).await.ask(post).await.status(), 502);
        let address = upstream.address().to_string();
        proxy.log().line(&["request refused", &address, "does not speak HTTP/2"]).await;
    });
}

/// By its first bytes: a server that speaks both in the clear.
#[test]
fn without_tls_websockets_go_by_http_1_to_the_same_port() {
    run(async {
        let (_node, http2) = node().await;
        let http1 = Upstream::echo().await;
        let http1 = http1.address();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(async move {
                    let mut first = [0; 4];
                    stream.read_exact(&mut first).await.unwrap();
                    let to = if &first == b"PRI " { http2 } else { http1 };
                    let mut server = TcpStream::connect(to).await.unwrap();
                    server.write_all(&first).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut server).await);
                });
            }
        });
        let proxy = proxy(address, "", "").await;
        let mut client = Wire::connect(proxy.address()).await;
        assert_eq!(seen(&client.ask(GET).await.body)["version"], "2.0");
        WebSocket::connect(proxy.address(), "/").await.assert_echo("hello").await;
    });
}

#[test]
fn a_connection_without_streams_ends_when_it_has_idled() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "keep-alive = { timeout = \"1s\" }", "").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut wire = upstream.next().await;
        wire.request().await.answer("one");
        assert_eq!(client.response().await.text(), "one");
        client.send(GET).await;
        wire.request().await.answer("two");
        assert_eq!(client.response().await.text(), "two");
        wire.assert_closed().await;
        client.send(GET).await;
        upstream.next().await.request().await;
    });
}

#[test]
fn requests_max_is_the_last() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "keep-alive = { requests-max = 2 }", "").await;
        let mut client = Wire::connect(proxy.address()).await;
        for _ in 0..2 {
            client.send(GET).await;
            let mut wire = upstream.next().await;
            wire.request().await.answer("ok");
            client.response().await;
            client.send(GET).await;
            wire.request().await.answer("ok");
            client.response().await;
        }
    });
}

#[test]
fn health_is_asked_for_over_http_2() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let keys = "health = { http = { path = \"/health\" }, interval = \"100ms\", rise = 1, fall = 1 }";
        let proxy = proxy(upstream.address(), keys, "").await;
        let mut wire = upstream.next().await;
        let mut asked = wire.request().await;
        assert_eq!(asked.path(), "/health");
        assert_eq!(asked.head.headers["user-agent"], "sluicegate-health-check");
        let mut head = http::Response::new(());
        *head.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        asked.begin(head).send_data("".into(), true).unwrap();
        wire.assert_closed().await;
        proxy.log().line(&["server is down", "503"]).await;
        let mut wire = upstream.next().await;
        wire.request().await.answer("fine");
        proxy.log().line(&["server is up"]).await;
    });
}

#[test]
fn a_client_that_is_gone_takes_its_stream_with_it_and_no_other() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let client = Wire::send_to(proxy.address(), GET).await;
        let mut wire = upstream.next().await;
        let mut first = wire.request().await;
        let mut other = Wire::send_to(proxy.address(), GET).await;
        let second = wire.request().await;
        client.reset();
        assert_eq!(first.given_up().await, h2::Reason::CANCEL);
        second.answer("ok");
        assert_eq!(other.response().await.text(), "ok");
    });
}

/// The server serves it for as long.
#[test]
fn max_sessions_counts_a_request_until_it_was_sent() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let servers = [config::server(upstream.address(), "max-sessions = 1")];
        let text = config::listener("")
            + &config::pool("app", &servers, "http-version = \"2\"")
            + &config::route("app", "");
        let proxy = Proxy::start(&text).await;
        let mut client = Http2::connect(proxy.address()).await;
        let (answer, mut outgoing) = client.send(Http2::request("POST", "/"), false).await;
        outgoing.send_data("begun".into(), false).unwrap();
        let mut wire = upstream.next().await;
        let mut asked = wire.request().await;
        asked.begin(http::Response::new(())).send_data("".into(), true).unwrap();
        let mut incoming = soon("the answer", answer).await.unwrap().into_body();
        while let Some(data) = soon("its end", incoming.data()).await {
            assert!(data.unwrap().is_empty());
        }
        assert_eq!(Wire::connect(proxy.address()).await.ask(GET).await.status(), 503);
        outgoing.send_data(", ended".into(), true).unwrap();
        assert_eq!(asked.body().await, (b"begun, ended".to_vec(), None));
    });
}

/// The answer does not wait for the request's end, nor does it end it.
#[test]
fn rfc9113_8_1_an_answer_may_come_before_its_request_has_ended() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let mut client = Http2::connect(proxy.address()).await;
        let (answer, mut outgoing) = client.send(Http2::request("POST", "/"), false).await;
        outgoing.send_data("begun".into(), false).unwrap();
        let mut wire = upstream.next().await;
        let mut asked = wire.request().await;
        let mut stream = asked.begin(http::Response::new(()));
        stream.send_data("answer".into(), false).unwrap();
        let mut incoming = soon("the answer", answer).await.unwrap().into_body();
        assert_eq!(soon("its body", incoming.data()).await.unwrap().unwrap(), "answer");
        outgoing.send_data(", ended".into(), true).unwrap();
        assert_eq!(asked.body().await, (b"begun, ended".to_vec(), None));
        stream.send_data("".into(), true).unwrap();
        while let Some(data) = soon("its end", incoming.data()).await {
            assert!(data.unwrap().is_empty());
        }
    });
}
