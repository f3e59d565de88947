//! A session's time-outs, on a clock that goes from one deadline to the next and over streams that have none.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::sleep;

use super::*;
use crate::drain::Draining;

const SECOND: Duration = Duration::from_secs(1);
/// With the mask 0, which leaves the payload as it is.
const CLIENT_SAYS_HI: &[u8] = b"\x81\x82\0\0\0\0hi";
const CLIENT_PINGS: &[u8] = b"\x89\x80\0\0\0\0";
const UPSTREAM_SAYS_HI: &[u8] = b"\x81\x02hi";
const GOING_AWAY: &[u8] = b"\x88\x02\x03\xe9";

/// Both ends of a session that is relayed.
struct Peers {
    client: DuplexStream,
    upstream: DuplexStream,
    session: JoinHandle<Ended>,
    opened: Instant,
}

fn timeouts(idle_s: u64) -> config::Timeouts {
    config::Timeouts { idle: Duration::from_secs(idle_s), ..config::Timeouts::default() }
}

fn open(timeouts: config::Timeouts, ping: Option<config::Ping>) -> Peers {
    let [(client, client_leg), (upstream, upstream_leg)] = [duplex(1024), duplex(1024)];
    let (mut session, early) = Session::new(Opened {
        client: Leg::Memory(client_leg),
        upstream: Leg::Memory(upstream_leg),
        client_early: Bytes::new(),
        upstream_early: Bytes::new(),
        agreed: Agreed::Relay(Extensions::None),
        chain: None,
        settings: Settings {
            timeouts,
            limits: config::Limits::default(),
            ping,
            held: Vec::new(),
            serving: Serving::of_nobody(),
            swap: None,
        },
    });
    let drain = Rc::<Draining>::default().watch();
    let session = spawn_local(async move {
        session.begin(early).await;
        session.run(drain).await
    });
    Peers { client, upstream, session, opened: Instant::now() }
}

/// Up to its end.
async fn read_all(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Both sides are told after `expected_s` seconds of the session, and not before.
async fn assert_closed_at(peers: &mut Peers, expected_s: u64) {
    let mut frame = [0; 4];
    peers.upstream.read_exact(&mut frame[..2]).await.unwrap();
    assert_eq!(peers.opened.elapsed().as_secs(), expected_s);
    peers.upstream.read_exact(&mut frame[2..]).await.unwrap();
    // Masked for the upstream, which is the server.
    assert_eq!(frame[..2], [0x88, 0x82]);
    peers.client.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, GOING_AWAY);
    assert_eq!(peers.opened.elapsed().as_secs(), expected_s);
}

async fn run(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn idle_counts_from_the_last_byte_of_either_side() {
    run(async {
        let mut peers = open(timeouts(60), None);
        sleep(40 * SECOND).await;
        peers.client.write_all(CLIENT_SAYS_HI).await.unwrap();
        peers.upstream.read_exact(&mut [0; CLIENT_SAYS_HI.len()]).await.unwrap();
        sleep(59 * SECOND).await;
        peers.upstream.write_all(UPSTREAM_SAYS_HI).await.unwrap();
        peers.client.read_exact(&mut [0; UPSTREAM_SAYS_HI.len()]).await.unwrap();
        assert_closed_at(&mut peers, 40 + 59 + 60).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_messages_count_pings_do_not() {
    run(async {
        let idle_counts = config::IdleCounts::Messages;
        let mut peers = open(config::Timeouts { idle_counts, ..timeouts(60) }, None);
        sleep(10 * SECOND).await;
        peers.client.write_all(CLIENT_SAYS_HI).await.unwrap();
        peers.upstream.read_exact(&mut [0; CLIENT_SAYS_HI.len()]).await.unwrap();
        sleep(30 * SECOND).await;
        peers.client.write_all(CLIENT_PINGS).await.unwrap();
        peers.upstream.read_exact(&mut [0; CLIENT_PINGS.len()]).await.unwrap();
        assert_closed_at(&mut peers, 10 + 60).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_whoever_speaks() {
    run(async {
        let lifetime = Some(100 * SECOND);
        let mut peers = open(config::Timeouts { lifetime, ..timeouts(60) }, None);
        for _ in 0..9 {
            sleep(11 * SECOND).await;
            peers.client.write_all(CLIENT_SAYS_HI).await.unwrap();
            peers.upstream.read_exact(&mut [0; CLIENT_SAYS_HI.len()]).await.unwrap();
        }
        assert_closed_at(&mut peers, 100).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_at_the_end_of_the_message_that_is_passing() {
    run(async {
        let lifetime = Some(100 * SECOND);
        let mut peers = open(config::Timeouts { lifetime, ..timeouts(3_600) }, None);
        sleep(99 * SECOND).await;
        let (begin, rest) = UPSTREAM_SAYS_HI.split_at(3);
        peers.upstream.write_all(begin).await.unwrap();
        peers.client.read_exact(&mut [0; 3]).await.unwrap();
        // Less than peers have for their part of the end.
        sleep(4 * SECOND).await;
        peers.upstream.write_all(rest).await.unwrap();
        peers.client.read_exact(&mut [0; 1]).await.unwrap();
        let mut frame = [0; 4];
        peers.client.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame, GOING_AWAY);
        assert_eq!(peers.opened.elapsed().as_secs(), 99 + 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn send_counts_from_when_a_receiver_takes_nothing() {
    run(async {
        let send = 30 * SECOND;
        let mut peers = open(config::Timeouts { send, ..timeouts(3_600) }, None);
        sleep(10 * SECOND).await;
        // More than fits between the session and the client, who reads some of it once.
        let frame = [&b"\x82\x7f\0\0\0\0\0\x01\0\0"[..], &[0; 1 << 16]].concat();
        let (mut reading, mut writing) = tokio::io::split(peers.upstream);
        let flood = spawn_local(async move { writing.write_all(&frame).await });
        sleep(20 * SECOND).await;
        peers.client.read_exact(&mut [0; 500]).await.unwrap();
        let mut told = [0; 2];
        reading.read_exact(&mut told).await.unwrap();
        assert_eq!(told, [0x88, 0x82]);
        assert_eq!(peers.opened.elapsed().as_secs(), 10 + 20 + 30);
        flood.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ping_comes_after_its_interval_and_the_end_after_its_timeout() {
    run(async {
        let ping = config::Ping { interval: 20 * SECOND, timeout: 5 * SECOND };
        let Peers { mut client, mut upstream, session, opened } = open(timeouts(3_600), Some(ping));
        let mut frame = [0; 10];
        client.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[..2], [0x89, 8]);
        assert_eq!(opened.elapsed().as_secs(), 20);
        // The client answers, the upstream does not.
        let pong = [&[0x8a, 0x88, 0, 0, 0, 0], &frame[2..]].concat();
        client.write_all(&pong).await.unwrap();
        client.read_exact(&mut frame[..4]).await.unwrap();
        assert_eq!(frame[0], 0x88);
        assert_eq!(opened.elapsed().as_secs(), 20 + 5);
        drop(client);
        assert!(!read_all(&mut upstream).await.is_empty());
        assert_eq!(session.await.unwrap().cause.note, "no sign of life after a ping");
    })
    .await;
}
