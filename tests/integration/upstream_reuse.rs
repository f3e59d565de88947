//! Connections to servers that serve one request after another.

use sluicegate_tests::{Proxy, RawUpstream, Session, Upstream, Wire, config, run};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One worker, as each has connections of its own.
async fn proxy(upstream: std::net::SocketAddr, keys: &str) -> Proxy {
    let text = "[server]\nworkers = 1\n".to_owned()
        + &config::listener("")
        + &config::upstream("app", &[upstream], keys)
        + &config::route("app", "");
    Proxy::start(&text).await
}

#[test]
fn requests_share_a_connection_whoever_sends_them() {
    run(async {
        let upstream = Upstream::named("app").await;
        let proxy = proxy(upstream.address(), "").await;
        for request in [GET, POST, GET] {
            let response = Wire::connect(proxy.address()).await.ask(request).await;
            assert_eq!(response.text(), "app");
        }
        assert_eq!((upstream.requests().len(), upstream.connections()), (3, 1));
    });
}

#[test]
fn answers_of_every_framing_give_their_connection_back() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "").await;
        let mut client = Wire::connect(proxy.address()).await;
        client.send(GET).await;
        let mut server = upstream.next().await;
        let answers = [
            OK,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ];
        for answer in answers {
            server.head().await;
            server.send(answer).await;
            client.response().await;
            client.send(GET).await;
        }
        // HEAD has no body whatever its length.
        server.head().await;
        server.send(OK).await;
        client.response().await;
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        client.head().await;
        client.send(GET).await;
        assert_eq!(server.head().await.method(), "GET");
    });
}

#[test]
fn rfc9112_9_3_an_answer_with_close_is_the_last() {
    run(async {
        for close in ["HTTP/1.1 200 OK\r\nConnection: close", "HTTP/1.0 200 OK"] {
            let upstream = RawUpstream::start().await;
            let proxy = proxy(upstream.address(), "").await;
            let mut client = Wire::send_to(proxy.address(), GET).await;
            let mut server = upstream.next().await;
            server.head().await;
            server.send(format!("{close}\r\nContent-Length: 2\r\n\r\nok")).await;
            assert_eq!(client.response().await.text(), "ok");
            server.assert_closed().await;
            client.send(GET).await;
            upstream.next().await.head().await;
        }
    });
}

#[test]
fn a_connection_whose_answer_nobody_read_to_its_end_is_not_used_again() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut server = upstream.next().await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf").await;
        client.head().await;
        client.reset();
        server.assert_closed().await;
    });
}

#[test]
fn requests_at_the_same_time_have_connections_of_their_own_and_idle_max_of_them_stay() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "keep-alive = { idle-max = 1 }").await;
        let mut pairs = Vec::new();
        for _ in 0..2 {
            let client = Wire::send_to(proxy.address(), GET).await;
            let mut server = upstream.next().await;
            server.head().await;
            pairs.push((client, server));
        }
        for (client, server) in &mut pairs {
            server.send(OK).await;
            assert_eq!(client.response().await.text(), "ok");
        }
        // The one that idles longer makes way.
        pairs[0].1.assert_closed().await;
        pairs[0].0.send(GET).await;
        pairs[1].1.head().await;
    });
}

#[test]
fn idle_max_0_keeps_none() {
    run(async {
        let upstream = Upstream::named("app").await;
        let proxy = proxy(upstream.address(), "keep-alive = { idle-max = 0 }").await;
        let mut client = Wire::connect(proxy.address()).await;
        for connections in 1..4 {
            client.ask(GET).await;
            assert_eq!(upstream.connections(), connections);
        }
    });
}

#[test]
fn requests_max_is_the_last() {
    run(async {
        let upstream = Upstream::named("app").await;
        let proxy = proxy(upstream.address(), "keep-alive = { requests-max = 2 }").await;
        let mut client = Wire::connect(proxy.address()).await;
        for request in 0..6 {
            client.ask(GET).await;
            assert_eq!(upstream.connections(), 1 + request / 2);
        }
    });
}

#[test]
fn a_connection_idles_so_long_and_no_longer_than_its_server_says() {
    run(async {
        for (keys, field) in [
            ("keep-alive.timeout = \"1s\"", ""),
            ("keep-alive.timeout = \"1h\"", "Keep-Alive: timeout=2\r\n"),
        ] {
            let upstream = RawUpstream::start().await;
            let proxy = proxy(upstream.address(), keys).await;
            let mut client = Wire::send_to(proxy.address(), GET).await;
            let mut server = upstream.next().await;
            server.head().await;
            server.send(OK.replace("\r\n\r\n", &format!("\r\n{field}\r\n"))).await;
            assert_eq!(client.response().await.text(), "ok");
            client.send(GET).await;
            server.head().await;
            server.send(OK.replace("\r\n\r\n", &format!("\r\n{field}\r\n"))).await;
            assert_eq!(client.response().await.text(), "ok");
            server.assert_closed().await;
        }
    });
}

#[test]
fn a_connection_that_its_server_closed_meanwhile_is_not_used() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "").await;
        let mut client = Wire::send_to(proxy.address(), POST).await;
        let mut server = upstream.next().await;
        server.head().await;
        server.take(4).await;
        server.send(OK).await;
        assert_eq!(client.response().await.text(), "ok");
        server.finish().await;
        // The proxy has seen it.
        server.assert_closed().await;
        client.send(POST).await;
        let mut server = upstream.next().await;
        server.head().await;
        server.send(OK).await;
        assert_eq!(client.response().await.status(), 200);
    });
}

/// The server closes just when the next request comes: it must be sent again where that does no harm.
#[test]
fn rfc9112_9_3_1_a_connection_closed_at_the_wrong_moment_costs_no_idempotent_request() {
    run(async {
        for (request, expected) in [
            (GET, 200),
            ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            // Nobody can tell whether it was acted on.
            (POST, 502),
        ] {
            let upstream = RawUpstream::start().await;
            // Not a failure of the server: it is not passed over.
            let proxy = proxy(upstream.address(), "max-fails = 1\nfail-timeout = \"1h\"").await;
            let mut client = Wire::send_to(proxy.address(), GET).await;
            let mut server = upstream.next().await;
            server.head().await;
            server.send(OK).await;
            assert_eq!(client.response().await.text(), "ok");
            client.send(request).await;
            let head = server.head().await;
            if head.has("content-length") {
                server.take(4).await;
            }
            drop(server);
            if expected == 200 {
                let mut fresh = upstream.next().await;
                assert_eq!(fresh.head().await.method(), head.method());
                fresh.send(OK).await;
            }
            assert_eq!(client.response().await.status(), expected, "{request}");
            proxy.log().assert_none(&["passed over"]);
        }
    });
}

#[test]
fn sessions_have_connections_of_their_own() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut idle = upstream.next().await;
        idle.head().await;
        idle.send(OK).await;
        client.response().await;
        let mut session = Session::open(&proxy, &upstream).await;
        session.client.say("hello").await;
        assert_eq!(session.upstream.hear().await, "hello");
        client.send(GET).await;
        idle.head().await;
    });
}
