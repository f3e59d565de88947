//! WebSockets over HTTP/2 (RFC 8441) to servers that speak HTTP/1.1: no other than those over HTTP/1.1.

use std::time::Duration;

use sluicegate_tests::{
    Frame, Http2, Opcode, Proxy, RawFrame, RawHttp2, RawUpstream, Session, Upstream, WebSocket, config, run,
    soon,
};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

const MESSAGE: usize = 64 << 10;
/// More than all windows, buffers and sockets together hold.
const LARGE: usize = 48 << 20;

async fn open(client: &mut Http2, upstream: &RawUpstream) -> Session {
    open_with(client, upstream, &[], "").await
}

async fn open_with(
    client: &mut Http2,
    upstream: &RawUpstream,
    asked: &[(&str, &str)],
    answered: &str,
) -> Session {
    let (client, upstream) = tokio::join!(client.websocket("/", asked), async {
        WebSocket::accept_with(upstream.next().await, answered).await
    });
    Session { client, upstream }
}

#[test]
fn rfc8441_5_the_handshake_of_either_side() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let asked = [("sec-websocket-protocol", "chat, superchat"), ("origin", "http://a.example")];
        let session =
            open_with(&mut client, &upstream, &asked, "Sec-WebSocket-Protocol: superchat\r\n").await;
        let head = &session.upstream.head;
        assert_eq!(head.first_line, "GET / HTTP/1.1");
        for (name, value) in [
            ("host", "a.example"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat, superchat"),
            ("origin", "http://a.example"),
            ("x-forwarded-proto", "http"),
        ] {
            assert_eq!(head.field(name), Some(value), "{head}");
        }
        assert_eq!(head.field("sec-websocket-key").unwrap().len(), 24);
        let head = &session.client.head;
        assert_eq!(head.field("sec-websocket-protocol"), Some("superchat"));
        for name in ["upgrade", "connection", "sec-websocket-accept", "content-length"] {
            assert!(!head.has(name), "{head}");
        }
        // Keys are not used twice.
        let other = open(&mut client, &upstream).await;
        let key = |session: &Session| session.upstream.head.field("sec-websocket-key").unwrap().to_owned();
        assert_ne!(key(&session), key(&other));
    });
}

#[test]
fn messages_of_all_sizes_go_both_ways() {
    run(async {
        let upstream = RawUpstream::start().await;
        for plugin in [None, Some("forward")] {
            let proxy = Proxy::to(upstream.address());
            let proxy = plugin.into_iter().fold(proxy, |proxy, plugin| proxy.guest(plugin, "")).start().await;
            let mut client = Http2::connect(proxy.address()).await;
            let Session { mut client, mut upstream } = open(&mut client, &upstream).await;
            for size in [0, 1, 125, 126, 16_384, 65_535, 65_536, 900_000] {
                let payload: Vec<u8> = (0..size).map(|at| at as u8).collect();
                let frame = Frame::binary(payload);
                tokio::join!(client.send(frame.clone()), async { assert_eq!(upstream.frame().await, frame) });
                tokio::join!(upstream.send(frame.clone()), async { assert_eq!(client.frame().await, frame) });
            }
            client.send(Frame::ping("are you there")).await;
            assert_eq!(upstream.frame().await, Frame::ping("are you there"));
        }
    });
}

#[test]
fn plugins_see_no_difference() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address())
            .guest("recorder", "")
            .guest_as("stamp", "stamp", "settings = { mark = \"+seen\" }")
            .start()
            .await;
        let mut client = Http2::connect(proxy.address()).await;
        let chat = "Sec-WebSocket-Protocol: chat\r\n";
        let Session { mut client, mut upstream } =
            open_with(&mut client, &upstream, &[("sec-websocket-protocol", "chat")], chat).await;
        client.say("up").await;
        assert_eq!(upstream.hear().await, "up+seen");
        upstream.say("down").await;
        assert_eq!(client.hear().await, "down+seen");
        client.send(Frame::close(4000, "bye")).await;
        assert_eq!(upstream.closed().await, (Some(4000), "bye".to_owned()));
        upstream.send(Frame::close(4000, "bye")).await;
        for words in [
            "on-request GET / websocket=true",
            "on-response / 101",
            "open / subprotocol=Some(\"chat\")",
            "on-close Client clean=true code=Some(4000) reason=bye",
        ] {
            proxy.log().line(&[words]).await;
        }
    });
}

#[test]
fn compression_is_negotiated_as_ever() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).guest("recorder", "").start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let offer = [("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")];
        let answer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let Session { mut client, mut upstream } = open_with(&mut client, &upstream, &offer, answer).await;
        assert!(client.head.field("sec-websocket-extensions").unwrap().starts_with("permessage-deflate"));
        // "Hello" (RFC 7692 §7.2.3.1).
        let payload = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let compressed = Frame { rsv1: true, ..Frame::new(Opcode::Text, payload) };
        client.send(compressed.clone()).await;
        assert_eq!(upstream.frame().await, compressed);
        proxy.log().line(&["on-message", "Hello"]).await;
    });
}

#[test]
fn what_refuses_a_handshake_refuses_this_one() {
    run(async {
        let upstream = RawUpstream::start().await;
        let allow = "settings = { allow = [\"http://a.example\"] }";
        let proxy = Proxy::to(upstream.address()).plugin("origin-check", allow).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let refused = client.refused("/", &[("origin", "http://b.example")]).await;
        assert_eq!(refused.status(), 403);
        let origin = ("origin", "http://a.example");
        let refused = client.refused("/", &[origin, ("sec-websocket-protocol", "a b")]).await;
        assert_eq!(refused.status(), 400);
        // A second line of the version.
        let refused = client.refused("/", &[origin, ("sec-websocket-version", "12")]).await;
        assert_eq!((refused.status(), refused.head.field("sec-websocket-version")), (426, Some("13")));
        // The connection goes on all the while.
        let Session { mut client, mut upstream } = open_with(&mut client, &upstream, &[origin], "").await;
        client.say("let in").await;
        assert_eq!(upstream.hear().await, "let in");
    });
}

#[test]
fn an_upstream_that_answers_wrongly_opens_nothing() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        for (answer, status) in [
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
                502,
            ),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", 404),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone", 502),
        ] {
            let (refused, _wire) = tokio::join!(
                async {
                    // A 200 would say that the WebSocket is open, so none of an upstream's own is passed on.
                    client.refused("/", &[]).await
                },
                async {
                    let mut wire = upstream.next().await;
                    wire.head().await;
                    wire.send(answer).await;
                    wire
                }
            );
            assert_eq!(refused.status(), status);
        }
    });
}

#[test]
fn rfc8441_5_a_close_of_either_side_is_carried_and_ends_the_stream() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut connection = Http2::connect(proxy.address()).await;
        for client_first in [true, false] {
            let mut session = open(&mut connection, &upstream).await;
            let Session { client, upstream } = &mut session;
            let (first, second) = if client_first { (client, upstream) } else { (upstream, client) };
            first.send(Frame::close(4321, "enough")).await;
            assert_eq!(second.closed().await, (Some(4321), "enough".to_owned()));
            second.send(Frame::close(4321, "")).await;
            assert_eq!(first.closed().await, (Some(4321), String::new()));
            session.client.wire.assert_closed().await;
            session.upstream.wire.assert_closed().await;
        }
    });
}

#[test]
fn a_stream_that_is_reset_is_a_client_that_is_lost() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut connection = Http2::connect(proxy.address()).await;
        let lost = open(&mut connection, &upstream).await;
        let mut kept = open(&mut connection, &upstream).await;
        let Session { client, upstream: mut other } = lost;
        client.wire.reset();
        assert_eq!(other.closed().await.0, Some(1001));
        // An end without a close frame is no better.
        let Session { mut client, upstream: mut other } = open(&mut connection, &upstream).await;
        client.wire.finish().await;
        assert_eq!(other.closed().await.0, Some(1001));
        // Nothing of that touches the other streams.
        kept.client.say("still here").await;
        assert_eq!(kept.upstream.hear().await, "still here");
    });
}

#[test]
fn a_lost_connection_is_the_loss_of_all_its_sessions() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut sessions = Vec::new();
        let mut connection = RawHttp2::connect(proxy.address()).await;
        for stream in [1, 3, 5] {
            assert!(connection.try_send(&[extended_connect(stream)]).await);
            sessions.push(WebSocket::accept(upstream.next().await).await);
        }
        connection.wire.reset();
        for mut other in sessions {
            assert_eq!(other.closed().await.0, Some(1001));
        }
    });
}

fn extended_connect(stream: u32) -> RawFrame {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", "/"),
        ("sec-websocket-version", "13"),
    ];
    RawFrame::new(RawHttp2::HEADERS, RawHttp2::END_HEADERS, stream, RawFrame::block(&fields))
}

#[test]
fn an_upstream_that_is_lost_is_told_to_the_client() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut connection = Http2::connect(proxy.address()).await;
        let Session { mut client, upstream } = open(&mut connection, &upstream).await;
        upstream.wire.reset();
        assert_eq!(client.closed().await.0, Some(1014));
        client.send(Frame::close(1014, "")).await;
        client.wire.assert_closed().await;
    });
}

#[test]
fn many_on_one_connection_beside_requests() {
    run(async {
        let echo = Upstream::echo().await;
        let pages = Upstream::named("page").await;
        let pages_config = format!(
            "[[upstream]]\nname = \"pages\"\nservers = [\"{}\"]\n[[route]]\npath = \"/page\"\nupstream = \"pages\"\n",
            pages.address()
        );
        let proxy = Proxy::start(&format!(
            "{}{}{}{pages_config}",
            config::listener(""),
            config::upstream("app", &[echo.address()], ""),
            config::route("app", ""),
        ))
        .await;
        let mut connection = Http2::connect(proxy.address()).await;
        let mut sockets = Vec::new();
        for _ in 0..100 {
            sockets.push(connection.websocket("/", &[]).await);
        }
        for (number, socket) in sockets.iter_mut().enumerate() {
            socket.say(&number.to_string()).await;
        }
        assert_eq!(connection.get("/page").await.text(), "page");
        for (number, socket) in sockets.iter_mut().enumerate() {
            assert_eq!(socket.hear().await, number.to_string());
        }
    });
}

/// Write frames until nothing has been taken for a while: how many bytes went out.
async fn fill(socket: &mut WebSocket) -> usize {
    let frame = socket.encode(Frame::binary(vec![1; MESSAGE]));
    let mut written = 0;
    while written < LARGE {
        let rest = &frame[written % frame.len()..];
        match timeout(Duration::from_millis(300), socket.wire.stream().write(rest)).await {
            Ok(count) => written += count.unwrap(),
            Err(_) => return written,
        }
    }
    panic!("the proxy took {LARGE} bytes for a peer that reads none of them");
}

#[test]
fn a_stream_that_is_not_read_holds_up_no_other_of_its_connection() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut connection = Http2::connect(proxy.address()).await;
        let mut stuck = open(&mut connection, &upstream).await;
        let mut other = open(&mut connection, &upstream).await;
        let written = fill(&mut stuck.client).await;
        soon("messages beside a stuck stream", async {
            for round in 0..100 {
                other.client.say(&round.to_string()).await;
                assert_eq!(other.upstream.hear().await, round.to_string());
                other.upstream.say(&round.to_string()).await;
                assert_eq!(other.client.hear().await, round.to_string());
            }
        })
        .await;
        // What waited comes whole once it is read.
        let frame = stuck.client.encode(Frame::binary(vec![1; MESSAGE]));
        let rest = frame[written % frame.len()..].to_vec();
        let Session { mut client, mut upstream } = stuck;
        tokio::join!(client.wire.send(rest), async {
            for _ in 0..written.div_ceil(frame.len()) {
                assert_eq!(upstream.frame().await.payload.len(), MESSAGE);
            }
        });
    });
}

#[test]
fn draining_closes_the_sessions_and_then_the_connection() {
    run(async {
        let upstream = RawUpstream::start().await;
        let mut proxy = Proxy::to(upstream.address()).server("shutdown-grace = \"10s\"").start().await;
        let mut connection = Http2::connect(proxy.address()).await;
        let Session { mut client, mut upstream } = open(&mut connection, &upstream).await;
        proxy.terminate().await;
        for side in [&mut client, &mut upstream] {
            assert_eq!(side.closed().await.0, Some(1001));
            side.send(Frame::close(1001, "")).await;
        }
        client.wire.assert_closed().await;
        connection.ended().await.unwrap();
        assert_eq!(proxy.ended().await.code(), Some(0));
    });
}
