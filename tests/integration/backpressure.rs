//! Peers that read slowly or not at all: whoever sends to them is no longer read, nothing is lost, and nothing else
//! stops.

use std::time::Duration;

use sluicegate_tests::{Frame, Proxy, RawUpstream, Session, Upstream, WebSocket, run, soon};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// More than all socket buffers and the proxy together hold.
const LARGE: usize = 48 << 20;
const MESSAGE: usize = 64 << 10;

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

/// Write the rest of the frame that [`fill`] left off in.
async fn finish(socket: &mut WebSocket, written: usize) {
    let frame = socket.encode(Frame::binary(vec![1; MESSAGE]));
    socket.wire.send(&frame[written % frame.len()..]).await;
}

#[test]
fn both_peers_write_without_reading_and_nothing_deadlocks() {
    run(async {
        for inspected in [false, true] {
            let upstream = RawUpstream::start().await;
            let proxy = Proxy::to(upstream.address());
            let proxy = if inspected { proxy.guest("forward", "") } else { proxy }.start().await;
            let Session { mut client, upstream: mut server } = Session::open(&proxy, &upstream).await;
            let from_client = fill(&mut client).await;
            let from_server = fill(&mut server).await;
            // Both are stuck. One begins to read: its direction flows again, whatever the other does.
            let frames = from_client.div_ceil(client.encode(Frame::binary(vec![1; MESSAGE])).len());
            let sending = finish(&mut client, from_client);
            let reading = async {
                for _ in 0..frames {
                    assert_eq!(server.frame().await.payload.len(), MESSAGE);
                }
            };
            tokio::join!(sending, reading);
            let frames = from_server.div_ceil(server.encode(Frame::binary(vec![1; MESSAGE])).len());
            let reading = async {
                for _ in 0..frames {
                    assert_eq!(client.frame().await.payload.len(), MESSAGE);
                }
            };
            tokio::join!(finish(&mut server, from_server), reading);
            client.say("still here").await;
            assert_eq!(server.hear().await, "still here");
        }
    });
}

#[test]
fn a_peer_that_does_not_read_does_not_hold_up_others_of_its_worker() {
    run(async {
        let (raw, echo) = (RawUpstream::start().await, Upstream::echo().await);
        let config = format!(
            "[server]\nworkers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [[upstream]]\nname = \"raw\"\nservers = [\"{}\"]\n[[upstream]]\nname = \"echo\"\nservers = [\"{}\"]\n\
             [[route]]\nupstream = \"raw\"\n[[route]]\npath = \"/echo\"\nupstream = \"echo\"\n",
            raw.address(),
            echo.address()
        );
        let proxy = Proxy::start(&config).await;
        let mut stuck = Session::open(&proxy, &raw).await;
        let mut other = WebSocket::connect(proxy.address(), "/echo").await;
        fill(&mut stuck.client).await;
        fill(&mut stuck.upstream).await;
        soon("echoes beside a stuck session", async {
            for round in 0..100 {
                other.assert_echo(&round.to_string()).await;
            }
        })
        .await;
    });
}

#[test]
fn a_peer_that_takes_nothing_for_the_send_timeout_is_given_up() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).route("timeouts.send = \"500ms\"").start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        let frame = session.upstream.encode(Frame::binary(vec![1; MESSAGE]));
        let mut written = 0;
        // The end of the session ends this; the close frame or reset comes when the client has taken nothing.
        while session.upstream.wire.try_send(&frame).await {
            written += frame.len();
            assert!(written < LARGE, "the proxy goes on for a client that takes nothing");
        }
    });
}
