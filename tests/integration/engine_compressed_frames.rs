//! Frames that permessage-deflate has a say in (RFC 7692 §6 to §8).

use sluicegate_tests::run;

use crate::engine_modes::{FORWARD, INSPECTING, RELAY, REPLACE};
use crate::engine_peers::{CLOSE, DEFLATE, DEFLATE_WITHOUT_TAKEOVER, FIN, Frames, PING, Peers, RSV, TEXT};

/// "Hello" in every way RFC 7692 §7.2.3 compresses it.
pub fn hellos() -> Vec<Frames> {
    let first = FIN | RSV[0] | TEXT;
    vec![
        Frames::of([(first, b"\xf2\x48\xcd\xc9\xc9\x07\x00")]),
        Frames::of([(first & !FIN, b"\xf2\x48\xcd"), (FIN, b"\xc9\xc9\x07\x00")]),
        Frames::of([(first, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")]),
        Frames::of([(first, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00")]),
        Frames::of([(first, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")]),
    ]
}

#[test]
fn rfc7692_7_2_3_the_examples_pass_and_are_read() {
    run(async {
        let peers = Peers::start("").await;
        for frames in hellos() {
            peers.assert_passes(&[RELAY, FORWARD], DEFLATE, frames.clone()).await;
            let mut session = peers.session(REPLACE, DEFLATE_WITHOUT_TAKEOVER).await;
            session.upstream.wire.send(frames.bytes(false)).await;
            assert_eq!(session.client.hear().await, "Hello");
        }
    });
}

#[test]
fn rfc7692_6_only_the_first_frame_of_a_message_says_that_it_is_compressed() {
    run(async {
        let peers = Peers::start("").await;
        for frames in [
            Frames::of([(RSV[0] | TEXT, b"\xf2\x48\xcd"), (FIN | RSV[0], b"\xc9\xc9\x07\x00")]),
            Frames::of([(TEXT, b"Hel"), (FIN | RSV[0], b"lo")]),
            Frames::of([(FIN | RSV[0] | PING, &[])]),
            Frames::of([(FIN | RSV[0] | CLOSE, &[])]),
            Frames::of([(FIN | RSV[0] | RSV[1] | TEXT, &[])]),
        ] {
            peers.assert_frames_told(1002, &[RELAY, FORWARD], DEFLATE, frames).await;
        }
    });
}

#[test]
fn rfc7692_7_2_2_what_does_not_inflate_is_1007_where_it_is_inspected() {
    run(async {
        let peers = Peers::start("").await;
        let compressed = |payload| Frames::of([(FIN | RSV[0] | TEXT, payload)]);
        for frames in [
            // Ends inside a block.
            compressed(b"\xf2\x48\xcd\xc9".as_slice()),
            Frames::of([(RSV[0] | TEXT, b"\xf2\x48"), (FIN, b"\xcd")]),
            // A block of no known type, and one that is longer than it says.
            compressed(b"\x07\x00"),
            compressed(b"\x00\x05\x00\x00\x00\x48\x65\x6c\x6c\x6f\x00"),
            // Refers to what was never sent.
            compressed(b"\xf2\x00\x11\x00\x00"),
            // Inflates to what is no text.
            compressed(b"\x00\x01\x00\xfe\xff\xff\x00"),
        ] {
            for extensions in [DEFLATE, DEFLATE_WITHOUT_TAKEOVER] {
                peers.assert_frames_told(1007, &INSPECTING, extensions, frames.clone()).await;
                peers.assert_passes(&[RELAY], extensions, frames.clone()).await;
            }
        }
    });
}

#[test]
fn rfc7692_7_1_1_without_context_takeover_nothing_is_remembered() {
    run(async {
        let peers = Peers::start("").await;
        let first = FIN | RSV[0] | TEXT;
        let twice =
            || Frames::of([(first, b"\xf2\x48\xcd\xc9\xc9\x07\x00"), (first, b"\xf2\x00\x11\x00\x00")]);
        peers.assert_passes(&[RELAY, FORWARD], DEFLATE, twice()).await;
        peers.assert_frames_told(1007, &INSPECTING, DEFLATE_WITHOUT_TAKEOVER, twice()).await;
    });
}

/// RFC 7692 §8: what counts is what a message inflates to, where it is inflated.
#[test]
fn rfc7692_8_a_message_may_inflate_to_the_limit_and_not_beyond() {
    run(async {
        let peers = Peers::start("limits.message-bytes-max = \"1KiB\"").await;
        let compressed = |length| {
            let bytes = miniz_oxide::deflate::compress_to_vec(&vec![b'x'; length], 6);
            // The last block ends on some bit; an empty stored one follows, but for the four bytes that go without saying.
            Frames(vec![(FIN | RSV[0] | TEXT, [bytes, vec![0]].concat())])
        };
        for extensions in [DEFLATE, DEFLATE_WITHOUT_TAKEOVER] {
            peers.assert_passes(&[RELAY, FORWARD], extensions, compressed(1024)).await;
            peers.assert_frames_told(1009, &INSPECTING, extensions, compressed(1025)).await;
            // Where it is not, it is what is on the wire.
            peers.assert_passes(&[RELAY], extensions, compressed(100_000)).await;
        }
    });
}
