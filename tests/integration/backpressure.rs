//! Peers that read slowly or not at all: whoever sends to them is no longer read, nothing is lost, and nothing else
//! stops.

use std::time::Duration;

use sluicegate_tests::{Frame, Proxy, RawUpstream, Session, Upstream, WebSocket, Wire, run, soon};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::ways::{BothWays, WAYS};

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

/// How many frames these bytes began.
fn frames(socket: &WebSocket, written: usize) -> usize {
    written.div_ceil(socket.encode(Frame::binary(vec![1; MESSAGE])).len())
}

async fn read_all(socket: &mut WebSocket, frames: usize) {
    for _ in 0..frames {
        assert_eq!(socket.frame().await.payload.len(), MESSAGE);
    }
}

/// Write the rest of the frame that [`fill`] left off in.
async fn finish(socket: &mut WebSocket, written: usize) {
    let frame = socket.encode(Frame::binary(vec![1; MESSAGE]));
    socket.wire.send(&frame[written % frame.len()..]).await;
}

#[test]
fn both_peers_write_without_reading_and_nothing_deadlocks() {
    run(async {
        let both = BothWays::start("").await;
        for way in WAYS {
            let Session { mut client, mut upstream } = both.session(way).await;
            let from_client = fill(&mut client).await;
            let from_upstream = fill(&mut upstream).await;
            // Both are stuck. One begins to read: its direction flows again, whatever the other does.
            let count = frames(&client, from_client);
            tokio::join!(finish(&mut client, from_client), read_all(&mut upstream, count));
            let count = frames(&upstream, from_upstream);
            tokio::join!(finish(&mut upstream, from_upstream), read_all(&mut client, count));
            client.say("still here").await;
            assert_eq!(upstream.hear().await, "still here");
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
        let both = BothWays::start("timeouts.send = \"1s\"").await;
        for way in WAYS {
            let Session { client, mut upstream } = both.session(way).await;
            fill(&mut upstream).await;
            // To the upstream the client is lost.
            assert_eq!(upstream.closed().await.0, Some(1001), "{way}");
            drop(client);
        }
    });
}

#[test]
fn an_answer_to_a_client_that_does_not_read_is_not_read_either_and_given_up() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).route("timeouts.send = \"1s\"").start().await;
        let client = Wire::send_to(proxy.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut server = upstream.next().await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        let mut written = 0;
        // Ends when the proxy gives the exchange up.
        while server.try_send(vec![b'x'; MESSAGE]).await {
            written += MESSAGE;
            assert!(written < LARGE, "the proxy goes on for a client that takes nothing");
        }
        drop(client);
    });
}
