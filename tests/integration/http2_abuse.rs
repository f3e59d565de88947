//! Clients of HTTP/2 that take more than their share: the connection ends, with a word and one line in the log, and
//! everybody else is served.

use sluicegate_tests::{Http2, Proxy, RawFrame, RawHttp2, RawUpstream, Upstream, run};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// RFC 9113 §7.
const NO_ERROR: u32 = 0x0;
const ENHANCE_YOUR_CALM: u32 = 0xb;

struct Abused {
    proxy: Proxy,
    _upstream: Upstream,
    other: Http2,
    client: RawHttp2,
}

// === impl Abused ===

impl Abused {
    /// A proxy with one worker, a client that behaves and one that will not.
    async fn start(keys: &str) -> Self {
        let upstream = Upstream::answering(OK).await;
        let proxy = Proxy::to(upstream.address()).server("workers = 1").listener(keys).start().await;
        let mut other = Http2::connect(proxy.address()).await;
        assert_eq!(other.get("/").await.text(), "ok");
        let client = RawHttp2::connect(proxy.address()).await;
        Self { proxy, _upstream: upstream, other, client }
    }

    /// Send these again and again until the proxy has had enough: the error code it says so with.
    async fn flood(&mut self, mut frames: impl FnMut(u32) -> Vec<RawFrame>) -> u32 {
        for round in 0..1_000 {
            let batch: Vec<RawFrame> = (0..100).flat_map(|at| frames(round * 100 + at)).collect();
            if !self.client.try_send(&batch).await {
                break;
            }
        }
        self.client.goaway().await
    }

    /// One line says why, and the others go on.
    async fn assert_ended(&mut self, words: &str) {
        self.proxy.log().line(&["WARN", "connection ended", words]).await;
        assert_eq!(self.proxy.log().count(&["WARN", "connection ended"]), 1);
        assert_eq!(self.other.get("/").await.text(), "ok");
        self.proxy.assert_running();
    }
}

#[test]
fn rapid_reset() {
    run(async {
        let mut abused = Abused::start("").await;
        let code = abused.flood(|at| {
            let stream = 2 * at + 1;
            vec![RawFrame::get(stream), RawFrame::new(RawHttp2::RST_STREAM, 0, stream, [0, 0, 0, 8])]
        });
        assert_eq!(code.await, ENHANCE_YOUR_CALM);
        abused.assert_ended("").await;
    });
}

/// Each request is let begin before it is reset, so that it costs an upstream connection.
#[test]
fn patient_rapid_reset() {
    run(async {
        let upstream = RawUpstream::start().await;
        let mut proxy = Proxy::to(upstream.address()).start().await;
        let mut client = RawHttp2::connect(proxy.address()).await;
        let mut opened = 0;
        loop {
            let stream = 2 * opened + 1;
            if !client.try_send(&[RawFrame::get(stream)]).await {
                break;
            }
            if proxy.log().count(&["resets streams faster"]) > 0 {
                break;
            }
            tokio::select! {
                wire = upstream.next() => drop(wire),
                _ = proxy.log().line(&["resets streams faster"]) => break,
            }
            client.try_send(&[RawFrame::new(RawHttp2::RST_STREAM, 0, stream, [0, 0, 0, 8])]).await;
            opened += 1;
            assert!(opened < 10_000, "nobody minds");
        }
        assert_eq!(client.goaway().await, ENHANCE_YOUR_CALM);
        proxy.log().line(&["WARN", "connection ended", "resets streams faster"]).await;
        proxy.assert_running();
    });
}

#[test]
fn control_frames_without_end() {
    run(async {
        for (kind, stream, payload) in [
            (RawHttp2::PING, 0, &[0; 8][..]),
            (RawHttp2::SETTINGS, 0, &[0, 4, 0, 1, 0, 0]),
            (RawHttp2::WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
            (0xfa, 0, b"of an extension nobody knows"),
        ] {
            let mut abused = Abused::start("").await;
            // What is answered must be read, or the flood dams itself up.
            let code = abused.flood(|_| vec![RawFrame::new(kind, 0, stream, payload)]).await;
            assert_eq!(code, ENHANCE_YOUR_CALM, "{kind:#x}");
            abused.assert_ended("sends control frames faster").await;
        }
    });
}

#[test]
fn a_header_block_without_end() {
    run(async {
        let mut abused = Abused::start("").await;
        let block = RawFrame::block(&[("x", "y")]);
        abused
            .client
            .try_send(&[RawFrame::new(RawHttp2::HEADERS, 0, 1, RawFrame::block(&RawFrame::GET))])
            .await;
        let code = abused.flood(|_| vec![RawFrame::new(RawHttp2::CONTINUATION, 0, 1, block.clone())]);
        assert_eq!(code.await, ENHANCE_YOUR_CALM);
        abused.assert_ended("").await;
    });
}

#[test]
fn a_header_block_larger_than_may_be_is_431() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let limits = "limits = { header-bytes-max = \"8KiB\", headers-max = 1000 }";
        let proxy = Proxy::to(upstream.address()).listener(limits).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let large = Http2::request("GET", "/").header("x", "y".repeat(9_000));
        assert_eq!(client.ask(large, b"").await.status(), 431);
        // So is one that is small on the wire, by references to one large field (RFC 7541 §7.3).
        let many =
            (0..80).fold(Http2::request("GET", "/"), |request, _| request.header("x", "y".repeat(200)));
        assert_eq!(client.ask(many, b"").await.status(), 431);
        assert_eq!(client.get("/").await.text(), "ok");
        assert_eq!(upstream.connections(), 1);
    });
}

#[test]
fn a_header_block_that_takes_too_long() {
    run(async {
        let mut abused = Abused::start("timeouts = { header = \"1s\" }").await;
        let begin = RawFrame::new(RawHttp2::HEADERS, 0, 3, RawFrame::block(&RawFrame::GET));
        // A connection that has had no request at all would end for that.
        abused.client.try_send(&[RawFrame::get(1), begin]).await;
        assert_eq!(abused.client.goaway().await, ENHANCE_YOUR_CALM);
        abused.assert_ended("header block not complete in time").await;
    });
}

#[test]
fn a_connection_that_asks_for_nothing() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let keys = "timeouts = { header = \"1s\", keep-alive = \"1500ms\" }";
        let proxy = Proxy::to(upstream.address()).listener(keys).start().await;
        // Not even its whole preface.
        let mut silent = sluicegate_tests::Wire::send_to(proxy.address(), &RawHttp2::PREFACE[..20]).await;
        let mut unused = RawHttp2::connect(proxy.address()).await;
        let mut used = Http2::connect(proxy.address()).await;
        assert_eq!(used.get("/").await.text(), "ok");
        silent.rest().await;
        assert_eq!(unused.goaway().await, NO_ERROR);
        unused.wire.rest().await;
        used.ended().await.unwrap();
    });
}

#[test]
fn an_answer_that_is_not_taken_is_given_up() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).route("timeouts.send = \"1s\"").start().await;
        let mut builder = h2::client::Builder::new();
        let mut client = Http2::connect_with(proxy.address(), builder.initial_window_size(0)).await;
        let ((answer, _), mut wire) =
            tokio::join!(client.send(Http2::request("GET", "/"), true), upstream.next());
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx").await;
        let mut body = sluicegate_tests::soon("the head", answer).await.unwrap().into_body();
        let error = sluicegate_tests::soon("the reset", body.data()).await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
        // And the upstream is let go.
        wire.rest().await;
    });
}

#[test]
fn a_request_body_that_stalls_is_408() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).route("timeouts.read = \"1s\"").start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let request = Http2::request("POST", "/").header("content-length", "10");
        let ((answer, mut body), mut wire) = tokio::join!(client.send(request, false), upstream.next());
        body.send_data("half".into(), false).unwrap();
        wire.head().await;
        let answer = sluicegate_tests::soon("the answer", answer).await.unwrap();
        assert_eq!(answer.status(), 408);
    });
}

#[test]
fn more_streams_than_may_be_are_refused() {
    run(async {
        let upstream = RawUpstream::start().await;
        let keys = "http2 = { max-concurrent-streams = 2 }";
        let proxy = Proxy::to(upstream.address()).listener(keys).start().await;
        let mut client = RawHttp2::connect(proxy.address()).await;
        client.try_send(&[RawFrame::get(1), RawFrame::get(3), RawFrame::get(5)]).await;
        let reset = client.frame_of(RawHttp2::RST_STREAM).await;
        // REFUSED_STREAM: it may be tried again.
        assert_eq!((reset.stream, &reset.payload[..]), (5, &[0, 0, 0, 7][..]));
    });
}
