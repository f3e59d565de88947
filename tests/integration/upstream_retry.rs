//! What is tried again with another server, and what is not.

use sluicegate_tests::{Proxy, RawUpstream, Upstream, WebSocket, Wire, config, handshake, run};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const DELETE: &str = "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n";
const RETRY: &str = "retry = [\"connect\", \"502\", \"503\"]";

/// Always the first server before the second.
async fn proxy(first: std::net::SocketAddr, second: std::net::SocketAddr, keys: &str) -> Proxy {
    let servers = [format!("\"{first}\""), config::server(second, "backup = true")];
    let text = config::listener("")
        + &config::pool("pool", &servers, &format!("max-fails = 0\n{keys}"))
        + &config::route("pool", "");
    Proxy::start(&text).await
}

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";

async fn status(proxy: &Proxy, request: &str) -> u16 {
    Wire::send_to(proxy.address(), request).await.head().await.status()
}

#[test]
fn a_handshake_answered_with_a_status_of_retry_goes_to_the_next() {
    run(async {
        let (busy, free) = (Upstream::answering(BUSY).await, Upstream::echo().await);
        let proxy = proxy(busy.address(), free.address(), RETRY).await;
        WebSocket::connect(proxy.address(), "/").await.assert_echo("next").await;
        assert_eq!((busy.requests().len(), free.connections()), (1, 1));
    });
}

#[test]
fn statuses_that_are_not_named_are_the_applications() {
    run(async {
        let (busy, free) = (Upstream::answering(BUSY).await, Upstream::echo().await);
        for keys in ["", "retry = [\"connect\", \"502\", \"504\"]"] {
            let proxy = proxy(busy.address(), free.address(), keys).await;
            let response = WebSocket::refused(proxy.address(), "/", "").await;
            assert_eq!((response.status(), response.text()), (503, "busy"));
            assert_eq!(status(&proxy, GET).await, 503);
        }
        assert_eq!(free.connections(), 0);
    });
}

#[test]
fn rfc9110_9_2_2_idempotent_requests_go_to_the_next_and_no_others() {
    run(async {
        let (busy, free) = (Upstream::answering(BUSY).await, Upstream::named("free").await);
        let proxy = proxy(busy.address(), free.address(), RETRY).await;
        for request in [GET, DELETE] {
            assert_eq!(status(&proxy, request).await, 200, "{request}");
        }
        assert_eq!((busy.requests().len(), free.requests().len()), (2, 2));
        // The first may have acted on it, and of the second the body is gone.
        for request in [POST, PUT] {
            assert_eq!(status(&proxy, request).await, 503, "{request}");
        }
        assert_eq!((busy.requests().len(), free.requests().len()), (4, 2));
    });
}

#[test]
fn a_body_that_nobody_has_asked_for_yet_goes_with_its_request() {
    run(async {
        let (busy, free) = (RawUpstream::start().await, RawUpstream::start().await);
        let proxy = proxy(busy.address(), free.address(), RETRY).await;
        let head = PUT.strip_suffix("body").unwrap();
        let mut client = Wire::send_to(proxy.address(), head).await;
        let mut server = busy.next().await;
        server.head().await;
        server.send(BUSY).await;
        let mut server = free.next().await;
        assert_eq!(server.head().await.method(), "PUT");
        client.send("body").await;
        assert_eq!(server.take(4).await, b"body");
        server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 204);
    });
}

#[test]
fn a_server_that_ends_without_an_answer() {
    run(async {
        let (lost, free) = (RawUpstream::start().await, Upstream::named("free").await);
        let proxy = proxy(lost.address(), free.address(), "").await;
        for (request, expected) in [(GET, 200), (DELETE, 200), (POST, 502), (PUT, 502)] {
            let mut client = Wire::send_to(proxy.address(), request).await;
            let mut server = lost.next().await;
            let head = server.head().await;
            if head.has("content-length") {
                server.take(4).await;
            }
            drop(server);
            assert_eq!(client.head().await.status(), expected, "{request}");
        }
        let mut client = Wire::send_to(proxy.address(), handshake("/", "")).await;
        lost.next().await.head().await;
        assert_eq!(client.head().await.status(), 200);
    });
}

#[test]
fn no_answer_in_time_is_the_servers_last_word() {
    run(async {
        let (silent, free) = (RawUpstream::start().await, Upstream::named("free").await);
        let servers = [format!("\"{}\"", silent.address()), config::server(free.address(), "backup = true")];
        let text = config::listener("")
            + &config::pool("pool", &servers, RETRY)
            + &config::route("pool", "timeouts.read = \"300ms\"");
        let proxy = Proxy::start(&text).await;
        assert_eq!(status(&proxy, GET).await, 504);
        assert_eq!(free.connections(), 0);
        // It counts as a failure, though.
        assert_eq!(status(&proxy, GET).await, 200);
    });
}

#[test]
fn where_all_say_no_the_last_one_is_the_answer() {
    run(async {
        let (busy, gone) = (Upstream::answering(BUSY).await, Upstream::named("gone").await.address());
        let proxy = proxy(busy.address(), gone, RETRY).await;
        let response = Wire::connect(proxy.address()).await.ask(GET).await;
        assert_eq!((response.status(), response.text()), (503, "busy"));
        let response = WebSocket::refused(proxy.address(), "/", "").await;
        assert_eq!((response.status(), response.text()), (503, "busy"));
        proxy.log().line(&["server passed over", &gone.to_string()]).await;
    });
}

#[test]
fn attempts_are_bounded() {
    run(async {
        let servers = [
            Upstream::answering(BUSY).await,
            Upstream::answering(BUSY).await,
            Upstream::answering(BUSY).await,
        ];
        let addresses = servers.each_ref().map(|server| server.address());
        for (attempts, expected) in [(1, 2), (2, 4), (100, 6)] {
            let before: usize = servers.iter().map(|server| server.requests().len()).sum();
            let keys = format!("{RETRY}\nmax-fails = 0\nretry-attempts = {attempts}");
            let text = config::listener("")
                + &config::upstream("pool", &addresses, &keys)
                + &config::route("pool", "");
            let proxy = Proxy::start(&text).await;
            assert_eq!(status(&proxy, GET).await, 503);
            assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 503);
            let after: usize = servers.iter().map(|server| server.requests().len()).sum();
            assert_eq!(after - before, expected, "retry-attempts = {attempts}");
        }
    });
}

#[test]
fn nothing_is_tried_again_when_the_time_for_it_is_over() {
    run(async {
        let (slow, free) = (RawUpstream::start().await, Upstream::named("free").await);
        let proxy =
            proxy(slow.address(), free.address(), &format!("{RETRY}\nretry-timeout = \"100ms\"")).await;
        let silent = RawUpstream::start().await;
        // Says 504 after 200 ms.
        let witness = Proxy::to(silent.address()).route("timeouts.upstream-header = \"200ms\"").start().await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut server = slow.next().await;
        server.head().await;
        assert_eq!(status(&witness, GET).await, 504);
        server.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 503);
        assert_eq!(free.connections(), 0);
    });
}
