//! What goes wrong on connections that requests share, and what becomes of those requests.

use std::future::poll_fn;

use h2::Reason;
use h2::server::Builder;
use http::Response;
use sluicegate_tests::{
    Http2Upstream, Proxy, RawFrame, RawHttp2, RawUpstream, Wire, config, eventually, run, soon,
};

use crate::upstream_http2::{GET, POST, proxy};

/// Whose body is yet to come.
const BEGUN: &str = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\n";

/// Two servers in turn, the first of which is the first.
async fn pool(first: &Http2Upstream, second: &Http2Upstream, keys: &str) -> Proxy {
    let servers = [first.address(), second.address()];
    let keys = format!("http-version = \"2\"\n{keys}");
    let text = [&config::listener(""), &config::upstream("app", &servers, &keys), &config::route("app", "")];
    Proxy::start(&["[server]\nworkers = 1\n", text[0], text[1], text[2]].concat()).await
}

#[test]
fn rfc9113_6_8_what_a_goaway_leaves_out_is_sent_again_whatever_it_is() {
    run(async {
        for (request_text, expected) in [(GET, 204), (BEGUN, 204)] {
            let upstream = RawUpstream::start().await;
            let proxy = proxy(upstream.address(), "max-fails = 1\nfail-timeout = \"1h\"", "").await;
            let mut client = Wire::send_to(proxy.address(), request_text).await;
            let mut server = RawHttp2::accept(&upstream).await;
            assert_eq!(server.request().await, 1);
            server.send(&[RawFrame::goaway(0, Reason::NO_ERROR)]).await;
            let mut server = RawHttp2::accept(&upstream).await;
            server.answer_next().await;
            assert_eq!(client.head().await.status(), expected);
            proxy.log().assert_none(&["passed over"]);
        }
    });
}

#[test]
fn rfc9113_6_8_after_a_goaway_streams_end_and_new_ones_go_elsewhere() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut leaving = RawHttp2::accept(&upstream).await;
        let first = leaving.request().await;
        leaving.send(&[RawFrame::goaway(first, Reason::NO_ERROR)]).await;
        // The word has come when the PING behind it is answered.
        leaving.until_read().await;
        let mut other = Wire::send_to(proxy.address(), POST).await;
        let mut server = RawHttp2::accept(&upstream).await;
        server.answer_next().await;
        assert_eq!(other.response().await.status(), 204);
        leaving.send(&[RawFrame::no_content(first)]).await;
        assert_eq!(client.response().await.status(), 204);
        leaving.wire.rest().await;
    });
}

#[test]
fn a_server_that_only_says_goaway_is_asked_so_often_and_no_more() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "retry-attempts = 3", "").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        for _ in 0..3 {
            let mut server = RawHttp2::accept(&upstream).await;
            server.request().await;
            server.send(&[RawFrame::goaway(0, Reason::NO_ERROR)]).await;
        }
        assert_eq!(client.response().await.status(), 502);
    });
}

#[test]
fn rfc9113_8_7_a_stream_that_is_refused_is_another_servers() {
    run(async {
        for request in [GET, BEGUN] {
            let [first, second] = [Http2Upstream::start().await, Http2Upstream::start().await];
            let proxy = pool(&first, &second, "").await;
            let mut client = Wire::send_to(proxy.address(), request).await;
            first.next().await.request().await.reset(Reason::REFUSED_STREAM);
            second.next().await.request().await.answer("ok");
            assert_eq!(client.response().await.text(), "ok");
            proxy.log().assert_none(&["passed over"]);
        }
    });
}

#[test]
fn a_body_of_which_a_piece_is_gone_is_sent_once() {
    run(async {
        for reason in [Reason::REFUSED_STREAM, Reason::INTERNAL_ERROR] {
            let [first, second] = [Http2Upstream::start().await, Http2Upstream::start().await];
            let proxy = pool(&first, &second, "").await;
            let mut client = Wire::send_to(proxy.address(), POST).await;
            let mut asked = first.next().await.request().await;
            assert_eq!(asked.body().await.0, b"body");
            asked.reset(reason);
            assert_eq!(client.response().await.status(), 502, "{reason}");
            proxy.log().line(&["request refused", "fault=upstream"]).await;
            second.assert_no_more();
        }
    });
}

#[test]
fn a_reset_costs_no_idempotent_request() {
    run(async {
        for (request, expected) in [(GET, 200), (BEGUN, 502)] {
            let [first, second] = [Http2Upstream::start().await, Http2Upstream::start().await];
            let proxy = pool(&first, &second, "").await;
            let mut client = Wire::send_to(proxy.address(), request).await;
            first.next().await.request().await.reset(Reason::INTERNAL_ERROR);
            if expected == 200 {
                second.next().await.request().await.answer("ok");
            }
            assert_eq!(client.response().await.status(), expected);
            second.assert_no_more();
        }
    });
}

/// The connection had idled, and goes on: it is the server that failed, and not for want of use.
#[test]
fn a_request_that_is_reset_each_time_is_not_sent_for_ever() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "max-fails = 1", "").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut wire = upstream.next().await;
        wire.request().await.answer("ok");
        assert_eq!(client.response().await.text(), "ok");
        client.send(GET).await;
        wire.request().await.reset(Reason::INTERNAL_ERROR);
        assert_eq!(client.response().await.status(), 502);
        proxy.log().line(&["passed over"]).await;
        client.send(&GET.replace(" / ", " /next ")).await;
        let asked = wire.request().await;
        assert_eq!(asked.path(), "/next");
        asked.answer("ok");
        assert_eq!(client.response().await.text(), "ok");
    });
}

#[test]
fn a_connection_that_its_server_closed_while_it_idled_costs_no_idempotent_request() {
    run(async {
        for (request_text, expected) in [(GET, 204), (BEGUN, 502)] {
            let upstream = RawUpstream::start().await;
            let proxy = proxy(upstream.address(), "max-fails = 1\nfail-timeout = \"1h\"", "").await;
            let mut client = Wire::send_to(proxy.address(), GET).await;
            let mut server = RawHttp2::accept(&upstream).await;
            server.answer_next().await;
            assert_eq!(client.response().await.status(), 204);
            client.send(request_text).await;
            server.request().await;
            drop(server);
            if expected == 204 {
                let mut server = RawHttp2::accept(&upstream).await;
                server.answer_next().await;
            }
            assert_eq!(client.head().await.status(), expected);
            proxy.log().assert_none(&["passed over"]);
        }
    });
}

#[test]
fn an_answer_that_is_reset_is_broken_off() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut wire = upstream.next().await;
        let mut stream = wire.request().await.begin(Response::new(()));
        stream.send_data("half".into(), false).unwrap();
        assert_eq!(client.head().await.status(), 200);
        assert_eq!(client.chunk().await, b"half");
        stream.send_reset(Reason::INTERNAL_ERROR);
        client.assert_closed().await;
        proxy.log().line(&["answer broken off"]).await;
        // The connection goes on.
        let mut client = Wire::send_to(proxy.address(), GET).await;
        wire.request().await.answer("ok");
        assert_eq!(client.response().await.text(), "ok");
    });
}

/// What was on its way when they left is no error of the server's.
#[test]
fn clients_that_leave_do_not_end_the_connection_of_others() {
    const CLIENTS: usize = 100;
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let mut stays = Wire::send_to(proxy.address(), GET).await;
        let mut server = RawHttp2::accept(&upstream).await;
        let stays_at = server.request().await;
        let mut late = Vec::new();
        for _ in 0..CLIENTS {
            let client = Wire::send_to(proxy.address(), GET).await;
            let stream = server.request().await;
            client.reset();
            assert_eq!(server.frame_of(RawHttp2::RST_STREAM).await.stream, stream);
            let head = RawFrame::block(&[(":status", "200")]);
            late.push(RawFrame::new(RawHttp2::HEADERS, RawHttp2::END_HEADERS, stream, head));
            late.extend((0..20).map(|_| RawFrame::new(RawHttp2::DATA, 0, stream, "late")));
        }
        server.send(&late).await;
        server.until_read().await;
        server.send(&[RawFrame::no_content(stays_at)]).await;
        assert_eq!(stays.response().await.status(), 204);
    });
}

#[test]
fn a_head_that_is_too_large_is_no_answer() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut wire = upstream.next().await;
        let value = "x".repeat(8 << 10);
        let large =
            (0..9).fold(Response::builder(), |head, number| head.header(format!("x-{number}"), &value));
        let mut asked = wire.request().await;
        let mut stream = asked.begin(large.body(()).unwrap());
        assert_eq!(client.response().await.status(), 502);
        assert_eq!(
            soon("a reset", poll_fn(|cx| stream.poll_reset(cx))).await.unwrap(),
            Reason::PROTOCOL_ERROR
        );
        client.send(GET).await;
        let small = Response::builder().header("x-0", &value).header("x-1", &value).body(()).unwrap();
        wire.request().await.begin(small).send_data("".into(), true).unwrap();
        assert_eq!(client.response().await.status(), 200);
    });
}

/// To a server each would be a reset, and it may take only so many of them.
#[test]
fn an_answer_that_is_complete_is_not_given_up_before_its_end() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let mut client = Wire::connect(proxy.address()).await;
        let mut server = None;
        for (method, status, length, body) in
            [("GET", "200", "2", "ok"), ("HEAD", "200", "1000", ""), ("GET", "304", "0", "")]
        {
            client.send(GET.replace("GET", method)).await;
            let server = match &mut server {
                Some(server) => server,
                None => server.insert(RawHttp2::accept(&upstream).await),
            };
            let stream = server.request().await;
            let head = RawFrame::block(&[(":status", status), ("content-length", length)]);
            let head = RawFrame::new(RawHttp2::HEADERS, RawHttp2::END_HEADERS, stream, head);
            let data = RawFrame::new(RawHttp2::DATA, 0, stream, body);
            server.send(&[head, data]).await;
            assert_eq!(client.head().await.status().to_string(), status);
            assert_eq!(client.take(body.len()).await, body.as_bytes());
            server.send(&[RawFrame::new(RawHttp2::PING, 0, 0, *b"12345678")]).await;
            loop {
                let frame = server.frame().await;
                assert_ne!(frame.kind, RawHttp2::RST_STREAM, "{method} {status}");
                if frame.kind == RawHttp2::PING {
                    break;
                }
            }
            server.send(&[RawFrame::new(RawHttp2::DATA, RawHttp2::END_STREAM, stream, [])]).await;
        }
    });
}

/// The server's PING is answered: that it is slow with one request says nothing of the others.
#[test]
fn silence_ends_a_request_and_not_its_connection() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "", "timeouts = { upstream-header = \"500ms\" }").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut wire = upstream.next().await;
        let mut asked = wire.request().await;
        assert_eq!(client.response().await.status(), 504);
        assert_eq!(asked.given_up().await, Reason::CANCEL);
        client.send(GET).await;
        wire.request().await.answer("ok");
        assert_eq!(client.response().await.text(), "ok");
        upstream.assert_no_more();
    });
}

#[test]
fn a_connection_that_answers_no_ping_takes_no_more_requests() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy =
            proxy(upstream.address(), "max-fails = 0", "timeouts = { upstream-header = \"500ms\" }").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut lost = RawHttp2::accept(&upstream).await;
        lost.request().await;
        assert_eq!(client.response().await.status(), 504);
        lost.frame_of(RawHttp2::PING).await;
        client.send(GET).await;
        let mut server = RawHttp2::accept(&upstream).await;
        server.answer_next().await;
        assert_eq!(client.response().await.status(), 204);
        lost.wire.rest().await;
        proxy.log().line(&["answers no ping"]).await;
    });
}

#[test]
fn an_answer_that_stops_coming_is_cut_off() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy =
            proxy(upstream.address(), "", "timeouts = { read = \"500ms\", upstream-header = \"60s\" }").await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut wire = upstream.next().await;
        let mut asked = wire.request().await;
        let mut stream = asked.begin(Response::new(()));
        stream.send_data("half".into(), false).unwrap();
        client.head().await;
        assert_eq!(client.chunk().await, b"half");
        client.assert_closed().await;
        proxy.log().line(&["answer broken off", "no data came"]).await;
    });
}

#[test]
fn a_server_that_takes_nothing_of_a_body_is_given_up() {
    run(async {
        let mut settings = Builder::new();
        settings.initial_window_size(4);
        let upstream = Http2Upstream::with(settings).await;
        let proxy = proxy(upstream.address(), "", "timeouts = { send = \"500ms\" }").await;
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nlongbody";
        let mut client = Wire::send_to(proxy.address(), request).await;
        let mut wire = upstream.next().await;
        let mut asked = wire.request().await;
        assert_eq!(asked.given_up().await, Reason::CANCEL);
        assert_eq!(client.response().await.status(), 502);
        proxy.log().line(&["request refused", "took nothing of the request"]).await;
    });
}

#[test]
fn a_client_that_breaks_its_body_off_is_at_fault() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "", "timeouts = { request-body = \"500ms\" }").await;
        let mut client = Wire::send_to(proxy.address(), BEGUN).await;
        let mut wire = upstream.next().await;
        let mut asked = wire.request().await;
        assert_eq!(asked.given_up().await, Reason::CANCEL);
        assert_eq!(client.response().await.status(), 408);
        proxy.log().line(&["request refused", "fault=client"]).await;
    });
}

#[test]
fn what_was_cut_off_with_all_its_requests_is_one_failure_for_each() {
    run(async {
        let upstream = Http2Upstream::start().await;
        let proxy = proxy(upstream.address(), "", "").await;
        let mut clients = Vec::new();
        let mut wire = {
            clients.push(Wire::send_to(proxy.address(), GET).await);
            upstream.next().await
        };
        let mut asked = vec![wire.request().await];
        for _ in 0..2 {
            clients.push(Wire::send_to(proxy.address(), GET).await);
            asked.push(wire.request().await);
        }
        wire.cut();
        drop(asked);
        for client in &mut clients {
            assert_eq!(client.response().await.status(), 502);
        }
        eventually("three lines", || (proxy.log().count(&["request refused"]) == 3).then_some(())).await;
    });
}
