//! Opening the connections that requests share: how many there are, who waits for them and for how long.

use futures_util::future::join_all;
use h2::server::Builder;
use sluicegate_tests::{Http2Upstream, Proxy, RawFrame, RawHttp2, RawUpstream, Wire, config, run};

use crate::upstream_http2::{GET, POST, proxy};

#[test]
fn a_limit_of_one_stream_opens_more_connections_and_then_has_requests_wait() {
    run(async {
        let mut settings = Builder::new();
        settings.max_concurrent_streams(1);
        let upstream = Http2Upstream::with(settings).await;
        let proxy = proxy(upstream.address(), "max-fails = 1", "timeouts = { connect = \"2s\" }").await;
        let mut pairs = Vec::new();
        for _ in 0..16 {
            let client = Wire::send_to(proxy.address(), GET).await;
            let mut wire = upstream.next().await;
            let asked = wire.request().await;
            pairs.push((client, wire, asked));
        }
        let mut waiting = Wire::send_to(proxy.address(), GET).await;
        let mut in_vain = Wire::send_to(proxy.address(), GET).await;
        let (mut client, mut wire, asked) = pairs.swap_remove(7);
        asked.answer("one");
        assert_eq!(client.response().await.text(), "one");
        // Whoever waits longest.
        let asked = wire.request().await;
        assert_eq!(in_vain.response().await.status(), 503);
        asked.answer("two");
        assert_eq!(waiting.response().await.text(), "two");
        upstream.assert_no_more();
        // That it has much to do is no failure of the server.
        proxy.log().assert_none(&["and is passed over"]);
    });
}

#[test]
fn a_burst_before_the_server_has_spoken_waits_for_it() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(Wire::send_to(proxy.address(), GET).await);
        }
        let mut server = RawHttp2::accept_silent(&upstream).await;
        server.begin(RawFrame::max_concurrent_streams(4)).await;
        // As many as the server takes at once, the others after them or over another connection.
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(server.request().await);
        }
        assert_eq!(streams, [1, 3, 5, 7]);
        let mut second = RawHttp2::accept(&upstream).await;
        for _ in 0..6 {
            second.answer_next().await;
        }
        let answers: Vec<RawFrame> = streams.into_iter().map(RawFrame::no_content).collect();
        server.send(&answers).await;
        for client in &mut clients {
            assert_eq!(client.response().await.status(), 204);
        }
    });
}

#[test]
fn nobody_waits_for_a_server_that_refuses() {
    run(async {
        let address = RawUpstream::start().await.address();
        let proxy = proxy(address, "max-fails = 0", "").await;
        let answers = join_all(
            (0..50).map(|_| async { Wire::send_to(proxy.address(), GET).await.response().await.status() }),
        );
        assert_eq!(answers.await, [502; 50]);
    });
}

#[test]
fn a_server_that_never_speaks_is_too_slow() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "", "timeouts = { connect = \"500ms\" }").await;
        let mut client = Wire::send_to(proxy.address(), POST).await;
        let mut wire = upstream.next().await;
        assert_eq!(client.response().await.status(), 504);
        // No request went there.
        let sent = wire.rest().await;
        assert_eq!(&sent[..RawHttp2::PREFACE.len()], RawHttp2::PREFACE);
        let mut frames = &sent[RawHttp2::PREFACE.len()..];
        let mut kinds = Vec::new();
        while let [0, high, low, kind, ..] = *frames {
            kinds.push(kind);
            frames = &frames[9 + usize::from(u16::from_be_bytes([high, low]))..];
        }
        assert!(!kinds.contains(&RawHttp2::HEADERS), "{kinds:?}");
    });
}

/// Whose time to connect is over leaves the connection to those who wait longer.
#[test]
fn one_without_patience_fails_nobody_else() {
    run(async {
        let upstream = RawUpstream::start().await;
        let text = config::listener("")
            + &config::upstream("app", &[upstream.address()], "http-version = \"2\"\nmax-fails = 0")
            + &config::route("app", "path = \"/soon\"\ntimeouts = { connect = \"500ms\" }")
            + &config::route("app", "timeouts = { connect = \"20s\" }");
        let proxy = Proxy::start(&(String::from("[server]\nworkers = 1\n") + &text)).await;
        let mut hasty = Wire::send_to(proxy.address(), &GET.replace(" / ", " /soon ")).await;
        let mut server = RawHttp2::accept_silent(&upstream).await;
        let mut patient = Wire::send_to(proxy.address(), GET).await;
        assert_eq!(hasty.response().await.status(), 504);
        server.begin([]).await;
        server.answer_next().await;
        assert_eq!(patient.response().await.status(), 204);
    });
}

/// Who waits while no further connection is tried is the one to try it.
#[test]
fn a_further_connection_that_failed_is_tried_again() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "max-fails = 0", "timeouts = { connect = \"20s\" }").await;
        let _long = Wire::send_to(proxy.address(), GET).await;
        let mut server = RawHttp2::accept_silent(&upstream).await;
        server.begin(RawFrame::max_concurrent_streams(1)).await;
        server.request().await;
        let mut waiting = Wire::send_to(proxy.address(), GET).await;
        drop(upstream.next().await);
        let mut further = RawHttp2::accept(&upstream).await;
        further.answer_next().await;
        assert_eq!(waiting.response().await.status(), 204);
    });
}
