//! What peers can make the proxy hold: never more than a bound for each session, whatever they send and however little
//! they read (RFC 6455 §10.4).

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};
use sluicegate_tests::{Frame, Opcode, Proxy, RawUpstream, Session, WebSocket, run, soon};
use tokio::io::Interest;

use crate::engine_modes::{self, INSPECTING, MODES, RELAY, SCRIPTED};

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
/// How many sessions do it at once.
const SESSIONS: usize = 16;
/// The most that one of them may hold: what waits for a reader, one read, one message with its original.
const SESSION_KIB_MAX: u64 = 1024;

/// The most memory the proxy has had so far.
fn peak_kib(proxy: &Proxy) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

struct Peers {
    proxy: Proxy,
    upstream: RawUpstream,
}

impl Peers {
    async fn start(keys: &str) -> Self {
        let upstream = RawUpstream::start().await;
        Self { proxy: engine_modes::start(upstream.address(), keys).await, upstream }
    }

    async fn sessions(&self, mode: &str, extensions: &str) -> Vec<Session> {
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions
                .push(Session::open_with(&self.proxy, &self.upstream, mode, extensions, extensions).await);
        }
        sessions
    }

    /// Sessions that do this to each other at once, after one has done it.
    async fn assert_bounded(&self, mode: &str, extensions: &str, act: impl AsyncFn(Session)) {
        let mut sessions = self.sessions(mode, extensions).await;
        act(sessions.pop().unwrap()).await;
        let before = peak_kib(&self.proxy);
        join_all(sessions.into_iter().map(|session| act(session))).await;
        // The kernel counts by and by: it may seem less than before.
        let grown = peak_kib(&self.proxy).saturating_sub(before);
        assert!(grown < SESSION_KIB_MAX * SESSIONS as u64, "{mode}: {grown} KiB");
    }
}

/// A message of zeroes, compressed a thousand times.
fn bomb(length: usize) -> Frame {
    let zeroes = vec![0; length];
    let mut compressor = CompressorOxide::new(create_comp_flags_from_zip_params(9, -15, 0));
    let mut bytes = vec![0; length / 100 + 100];
    let (status, read, written) = compress(&mut compressor, &zeroes, &mut bytes, TDEFLFlush::Sync);
    assert_eq!((status, read), (TDEFLStatus::Okay, length));
    bytes.truncate(written - 4);
    assert!(length > 1000 * bytes.len(), "{} bytes", bytes.len());
    Frame { rsv1: true, ..Frame::binary(bytes) }
}

#[test]
fn rfc7692_8_a_bomb_is_1009_and_never_goes_off() {
    run(async {
        let peers = Peers::start("").await;
        let bomb = &bomb(64 << 20);
        for by_client in [true, false] {
            for mode in INSPECTING {
                let act = async |Session { mut client, mut upstream }| {
                    let (from, to) =
                        if by_client { (&mut client, &mut upstream) } else { (&mut upstream, &mut client) };
                    from.send(bomb.clone()).await;
                    assert_eq!(to.closed().await.0, Some(if by_client { 1001 } else { 1014 }));
                    to.send(Frame::close(1000, "")).await;
                    assert_eq!(from.closed().await.0, Some(1009));
                };
                peers.assert_bounded(mode, DEFLATE, act).await;
            }
            // Nobody sets it off where nobody looks inside.
            let act = async |Session { mut client, mut upstream }| {
                let (from, to) =
                    if by_client { (&mut client, &mut upstream) } else { (&mut upstream, &mut client) };
                from.send(bomb.clone()).await;
                assert_eq!(&to.frame().await, bomb);
            };
            peers.assert_bounded(RELAY, DEFLATE, act).await;
        }
    });
}

#[test]
fn rfc6455_10_4_a_million_empty_fragments_are_1008_and_cost_nothing() {
    run(async {
        let peers = Peers::start("").await;
        for mode in MODES {
            let act = async |Session { mut client, mut upstream }| {
                let mut bytes = client.encode(Frame::text("").unfinished());
                let fragment = client.encode(Frame::continuation("").unfinished());
                bytes.extend(fragment.repeat(1_000_000));
                let heard = async {
                    loop {
                        let frame = upstream.frame().await;
                        if frame.opcode == Opcode::Close {
                            upstream.send(Frame::close(1000, "")).await;
                            return frame.close_code();
                        }
                    }
                };
                let (_, code) = tokio::join!(flood(&mut client, &bytes), heard);
                assert_eq!((code, client.closed().await.0), (Some(1001), Some(1008)), "{mode}");
            };
            peers.assert_bounded(mode, "", act).await;
        }
    });
}

/// Write this again and again, until the proxy says something or takes no more.
async fn flood(socket: &mut WebSocket, bytes: &[u8]) {
    let mut at = 0;
    loop {
        let stream = socket.wire.stream();
        let ready =
            soon("a word of the proxy", stream.ready(Interest::READABLE | Interest::WRITABLE)).await.unwrap();
        if ready.is_readable() {
            return;
        }
        match stream.try_write(&bytes[at..]) {
            Ok(written) => at = (at + written) % bytes.len(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[test]
fn a_peer_that_never_reads_is_given_up_and_holds_little_memory_until_then() {
    run(async {
        let peers = Peers::start("timeouts.send = \"1s\"").await;
        for mode in MODES {
            for by_client in [true, false] {
                let act = async |Session { mut client, mut upstream }| {
                    let from = if by_client { &mut client } else { &mut upstream };
                    let message = from.encode(Frame::binary(vec![1; 60 << 10]));
                    flood(from, &message).await;
                    let expected = if by_client { 1014 } else { 1001 };
                    assert_eq!(from.closed().await.0, Some(expected), "{mode}");
                };
                peers.assert_bounded(mode, "", act).await;
            }
        }
    });
}

/// What plugins send counts as well.
#[test]
fn a_peer_that_never_reads_what_plugins_send_it_is_given_up_and_holds_little_memory_until_then() {
    run(async {
        let peers = Peers::start("timeouts.send = \"1s\"").await;
        let command = Frame::text(format!("client {}\nverdict drop", "x".repeat(60 << 10)));
        for by_client in [true, false] {
            let act = async |Session { mut client, mut upstream }| {
                if by_client {
                    // It floods itself by way of the plugin.
                    let message = client.encode(command.clone());
                    flood_blindly(&mut client, &message).await;
                    assert_eq!(upstream.closed().await.0, Some(1001));
                } else {
                    let message = upstream.encode(command.clone());
                    flood(&mut upstream, &message).await;
                    assert_eq!(upstream.closed().await.0, Some(1001));
                }
            };
            peers.assert_bounded(SCRIPTED, "", act).await;
        }
    });
}

/// Write this again and again, without a look at what comes back, until the proxy takes no more.
async fn flood_blindly(socket: &mut WebSocket, bytes: &[u8]) {
    let write = async { while socket.wire.try_send(bytes).await {} };
    tokio::time::timeout(Duration::from_secs(60), write).await.expect("the proxy takes no end of it");
}
