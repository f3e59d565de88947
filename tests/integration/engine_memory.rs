//! What peers can make the proxy hold: never more than a bound for each session, whatever they send and however little
//! they read (RFC 6455 §10.4).

use std::fs;
use std::io::ErrorKind;

use futures_util::future::join_all;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};
use sluicegate_tests::{Frame, Proxy, Session, WebSocket, run, soon};
use tokio::io::Interest;

use crate::engine_modes::{INSPECTING, MODES, RELAY, SCRIPTED};
use crate::engine_peers::{DEFLATE, Peers, close_code, directed, loss_code};

/// How many sessions do it at once.
const SESSIONS: usize = 16;
/// The most that one of them may hold: what waits for a reader, one read, one message with its original.
const SESSION_KIB_MAX: u64 = 1024;

/// The most memory the proxy has had since that was forgotten.
fn peak_kib(proxy: &Proxy) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// `5` resets the peak to what there is now (proc(5), `clear_refs`).
fn forget_peak(proxy: &Proxy) {
    fs::write(format!("/proc/{}/clear_refs", proxy.process_id()), "5").unwrap();
}

/// Sessions whose peers do this at once, after those of one have done it.
async fn assert_bounded(peers: &Peers, mode: &str, extensions: &str, act: impl AsyncFn(Session)) {
    act(peers.session(mode, extensions).await).await;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(peers.session(mode, extensions).await);
    }
    forget_peak(&peers.proxy);
    let before = peak_kib(&peers.proxy);
    join_all(sessions.into_iter().map(|session| act(session))).await;
    // The kernel counts by and by: it may seem less than before.
    let grown = peak_kib(&peers.proxy).saturating_sub(before);
    assert!(grown < SESSION_KIB_MAX * SESSIONS as u64, "{mode}: {grown} KiB");
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
            let refused = async |session| {
                let (mut from, mut to) = directed(session, by_client);
                from.send(bomb.clone()).await;
                assert_eq!(to.closed().await.0, loss_code(by_client));
                to.send(Frame::close(1000, "")).await;
                assert_eq!(from.closed().await.0, Some(1009));
            };
            for mode in INSPECTING {
                assert_bounded(&peers, mode, DEFLATE, refused).await;
            }
            // Nobody sets it off where nobody looks inside.
            let passed = async |session| {
                let (mut from, mut to) = directed(session, by_client);
                from.send(bomb.clone()).await;
                assert_eq!(&to.frame().await, bomb);
            };
            assert_bounded(&peers, RELAY, DEFLATE, passed).await;
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
                    let code = close_code(&mut upstream).await;
                    upstream.send(Frame::close(1000, "")).await;
                    code
                };
                let ((), code) = tokio::join!(flood(&mut client, &bytes), heard);
                assert_eq!((code, client.closed().await.0), (Some(1001), Some(1008)), "{mode}");
            };
            assert_bounded(&peers, mode, "", act).await;
        }
    });
}

/// Write this again and again, until the proxy says something or takes no more.
async fn flood(socket: &mut WebSocket, bytes: &[u8]) {
    let mut at = 0;
    loop {
        let stream = socket.wire.stream();
        let ready = stream.ready(Interest::READABLE | Interest::WRITABLE);
        if soon("a word of the proxy", ready).await.unwrap().is_readable() {
            return;
        }
        match stream.try_write(&bytes[at..]) {
            Ok(written) => at = (at + written) % bytes.len(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
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
                let act = async |session| {
                    let (mut from, _silent) = directed(session, by_client);
                    let message = from.encode(Frame::binary(vec![1; 60 << 10]));
                    flood(&mut from, &message).await;
                    assert_eq!(from.closed().await.0, loss_code(!by_client), "{mode}");
                };
                assert_bounded(&peers, mode, "", act).await;
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
        let by_upstream = async |Session { client: _silent, mut upstream }| {
            let message = upstream.encode(command.clone());
            flood(&mut upstream, &message).await;
            assert_eq!(upstream.closed().await.0, Some(1001));
        };
        assert_bounded(&peers, SCRIPTED, "", by_upstream).await;
        // The client has the plugin flood it, and looks at nothing that comes.
        let by_client = async |Session { mut client, mut upstream }| {
            let message = client.encode(command.clone());
            while client.wire.try_send(&message).await {}
            assert_eq!(upstream.closed().await.0, Some(1001));
        };
        assert_bounded(&peers, SCRIPTED, "", by_client).await;
    });
}

/// A plugin's messages cannot be put into the middle of another that nobody inspects. They wait for its end, which may
/// never come; of those that would wait without a bound, the plugin is told.
#[test]
fn what_plugins_send_amid_a_message_that_does_not_end_is_bounded() {
    run(async {
        let peers = Peers::start("").await;
        // How long a message is, how many a call sends, and how many calls there are.
        for (length, sends, calls) in [(60 << 10, 1, 100), (1000, 50, 200), (0, 100, 500)] {
            let sends = format!("client {}\n", "x".repeat(length)).repeat(sends);
            let command = Frame::text(sends + "verdict drop");
            let act = async |Session { mut client, mut upstream }| {
                client.say("inspect upstream none\nverdict drop").await;
                assert_eq!(client.hear().await, "inspect true");
                let endless = Frame::binary(vec![1; 1000]).bytes();
                upstream.wire.send(&endless[..500]).await;
                assert_eq!(client.wire.take(500).await, endless[..500]);
                let command = client.encode(command.clone());
                for _ in 0..calls {
                    client.wire.send(&command).await;
                }
                client.say("all of it").await;
                assert_eq!(upstream.hear().await, "all of it");
            };
            assert_bounded(&peers, SCRIPTED, "", act).await;
        }
    });
}
