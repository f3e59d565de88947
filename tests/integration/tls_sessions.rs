//! Sessions over TLS: nothing that is written stays in the proxy, and what is not read is not taken.

use std::time::Duration;

use sluicegate_tests::{Frame, Proxy, RawUpstream, Session, WebSocket, config, guest, handshake, run};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::tls_files::{NAME, TlsFiles};
use crate::ways::WAYS;

/// More than all socket buffers and the proxy together hold.
const LARGE: usize = 48 << 20;
const MESSAGE: usize = 64 << 10;

struct Peers {
    files: TlsFiles,
    upstream: RawUpstream,
    proxy: Proxy,
}

impl Peers {
    /// With these keys for a relayed and an inspected route.
    async fn start(keys: &str) -> Self {
        let files = TlsFiles::new();
        let upstream = RawUpstream::start().await;
        let config = [
            config::listener(&files.tls("")),
            config::plugin("forward", &guest("forward"), ""),
            config::upstream("app", &[upstream.address()], ""),
            config::route("app", &format!("path = \"/relayed\"\n{keys}")),
            config::route("app", &format!("path = \"/inspected\"\nplugins = [\"forward\"]\n{keys}")),
        ];
        let proxy = Proxy::start(&config.concat()).await;
        Self { files, upstream, proxy }
    }

    async fn session(&self, way: &str) -> Session {
        let mut wire = self.files.client().connect(self.proxy.address(), NAME).await;
        wire.send(handshake(way, "")).await;
        let (client, upstream) = tokio::join!(WebSocket::upgraded(wire), async {
            WebSocket::accept(self.upstream.next().await).await
        });
        Session { client, upstream }
    }
}

/// Write frames until nothing has been taken for a while: how many bytes went out.
async fn fill(socket: &mut WebSocket) -> usize {
    let frame = socket.encode(Frame::binary(vec![1; MESSAGE]));
    let mut written = 0;
    while written < LARGE {
        let rest = &frame[written % frame.len()..];
        match timeout(Duration::from_millis(300), socket.wire.transport().write(rest)).await {
            Ok(count) => written += count.unwrap(),
            Err(_) => return written,
        }
    }
    panic!("the proxy took {LARGE} bytes for a peer that reads none of them");
}

/// The rest of the frame that [`fill`] left off in; all is read meanwhile.
async fn finish(from: &mut WebSocket, to: &mut WebSocket, written: usize) {
    let frame = from.encode(Frame::binary(vec![1; MESSAGE]));
    let count = written.div_ceil(frame.len());
    let left_off = written % frame.len();
    let rest = if left_off == 0 { &[][..] } else { &frame[left_off..] };
    tokio::join!(from.wire.send(rest), async {
        for _ in 0..count {
            assert_eq!(to.frame().await.payload.len(), MESSAGE);
        }
    });
}

#[test]
fn both_peers_write_without_reading_and_nothing_is_lost() {
    run(async {
        let peers = Peers::start("").await;
        for way in WAYS {
            let Session { mut client, mut upstream } = peers.session(way).await;
            let from_upstream = fill(&mut upstream).await;
            let from_client = fill(&mut client).await;
            finish(&mut client, &mut upstream, from_client).await;
            finish(&mut upstream, &mut client, from_upstream).await;
            client.say("still here").await;
            assert_eq!(upstream.hear().await, "still here");
            upstream.say("so am I").await;
            assert_eq!(client.hear().await, "so am I");
        }
    });
}

#[test]
fn a_client_that_takes_nothing_for_the_send_timeout_is_given_up() {
    run(async {
        let peers = Peers::start("timeouts.send = \"1s\"").await;
        for way in WAYS {
            let Session { client, mut upstream } = peers.session(way).await;
            fill(&mut upstream).await;
            assert_eq!(upstream.closed().await.0, Some(1001), "{way}");
            drop(client);
        }
    });
}

/// Sizes around those of records, so that each is cut differently; every byte comes without another one to push it.
#[test]
fn messages_of_any_size_arrive_both_ways() {
    run(async {
        let peers = Peers::start("limits.message-bytes-max = \"8MiB\"").await;
        for way in WAYS {
            let Session { mut client, mut upstream } = peers.session(way).await;
            for size in [0, 1, 125, 126, 16_383, 16_384, 16_385, 65_535, 65_536, 131_072, 300_000, 5 << 20] {
                let message = Frame::binary((0..size).map(|at| at as u8).collect::<Vec<_>>());
                let (_, heard) = tokio::join!(client.send(message.clone()), upstream.frame());
                assert!(heard == message, "{way}: {size} bytes to the upstream");
                let (_, heard) = tokio::join!(upstream.send(message.clone()), client.frame());
                assert!(heard == message, "{way}: {size} bytes to the client");
            }
        }
    });
}

#[test]
fn a_client_that_ends_without_a_word_is_lost_to_the_upstream() {
    run(async {
        let peers = Peers::start("").await;
        for way in WAYS {
            let Session { mut client, mut upstream } = peers.session(way).await;
            // Of TCP only: no close_notify, so that the end could be anybody's doing (RFC 8446 §6.1).
            let socket = client.wire.stream();
            socket.shutdown().await.unwrap();
            assert_eq!(upstream.closed().await.0, Some(1001), "{way}");
        }
    });
}
