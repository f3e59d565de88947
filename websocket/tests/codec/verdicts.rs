//! Random verdicts on random messages, for every pairing of what the two legs agreed: the receiver always
//! reads exactly what was decided, with an inflater of its own leg's window and nothing more.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sluicegate_websocket::{Compression, Event, Outbound, Reader, Scratch, Side};

use crate::peers::{KEY, LIMITS, Received, Relay, Sender, Step, Verdict, relay};
use crate::support::{message, places};

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        6 => Just(Verdict::Forward),
        2 => message().prop_map(Verdict::Replace),
        1 => Just(Verdict::Drop),
        1 => message().prop_map(Verdict::Inject),
        1 => Just(Verdict::ForwardAmidOthers),
        2 => Just(Verdict::Unwanted),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ping = prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..126));
    (message(), prop::bool::weighted(0.8), 1..4usize, ping, verdict()).prop_map(
        |(message, compressed, fragments, ping, verdict)| Step {
            message,
            compressed,
            fragments,
            ping,
            verdict,
        },
    )
}

fn compressions() -> impl Iterator<Item = Option<Compression>> {
    let some = [true, false].into_iter().flat_map(|context_takeover| {
        [8, 9, 10, 15].map(|window_bits| Some(Compression { context_takeover, window_bits }))
    });
    std::iter::once(None).chain(some)
}

fn runner() -> TestRunner {
    // Deterministic: 162 pairings have this many sequences each, the same ones every time.
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::default()))
}

#[test]
fn every_pairing_of_the_legs() {
    let mut pairings = 0;
    for sender in [Side::Client, Side::Upstream] {
        for (received, sent) in
            compressions().flat_map(|received| compressions().map(move |sent| (received, sent)))
        {
            let steps = (prop::collection::vec(step(), 0..16), places());
            runner()
                .run(&steps, |(steps, places)| {
                    relay(sender, received, sent, &steps, &places);
                    Ok(())
                })
                .unwrap_or_else(|error| panic!("{sender:?}, {received:?} to {sent:?}: {error}"));
            pairings += 1;
        }
    }
    assert_eq!(pairings, 2 * 9 * 9);
}

#[test]
fn an_untouched_direction_stays_verbatim_until_a_compressed_message_is_touched() {
    let compression = Some(Compression { context_takeover: true, window_bits: 15 });
    let mut sender = Sender::new(Side::Upstream, compression);
    let mut relay = Relay::new(Side::Upstream, compression, compression);
    let mut scratch = Scratch::new();
    let mut send = |compressed: bool, verdict: Verdict| {
        let message = Received::Text("the same words again and again".into());
        let frame = sender.frames(&message, compressed, 1).concat();
        relay.out.clear();
        let mut input = &frame[..];
        match relay.reader.read(&mut input, &mut scratch) {
            Ok(Some(Event::Message(message))) => relay.decide(&message, &verdict),
            other => panic!("{other:?}"),
        }
        (relay.out == frame, relay.outbound.rewrites(), relay.outbound.holds_compressor())
    };
    assert_eq!(send(true, Verdict::Forward), (true, false, false));
    assert_eq!(send(false, Verdict::Drop), (false, false, false), "never touched the window");
    assert_eq!(send(true, Verdict::Forward), (true, false, false));
    assert_eq!(send(true, Verdict::Drop), (false, true, false));
    assert_eq!(send(false, Verdict::Forward), (true, true, false), "uncompressed goes verbatim");
    assert_eq!(send(true, Verdict::Forward), (false, true, true), "and compressed anew");
}

#[test]
fn without_context_takeover_the_next_original_is_good_again() {
    let compression = Some(Compression { context_takeover: false, window_bits: 15 });
    let mut sender = Sender::new(Side::Client, compression);
    let mut reader = Reader::new(Side::Client, LIMITS, compression);
    let mut outbound = Outbound::new(Side::Upstream, compression, compression);
    let (mut scratch, mut out) = (Scratch::new(), Vec::new());
    let words = "the same words again and again".repeat(100);
    for _ in 0..3 {
        let dropped = sender.frames(&Received::Text(words.clone()), true, 1).concat();
        let kept = sender.frames(&Received::Text(words.clone()), true, 2).concat();
        let mut input = &dropped[..];
        match reader.read(&mut input, &mut scratch) {
            Ok(Some(Event::Message(message))) => outbound.discard(&message),
            other => panic!("{other:?}"),
        }
        let mut input = &kept[..];
        out.clear();
        match reader.read(&mut input, &mut scratch) {
            Ok(Some(Event::Message(message))) => outbound.forward(&message, &mut out, &mut || KEY),
            other => panic!("{other:?}"),
        }
        assert!(out == kept, "verbatim");
        assert_eq!((reader.heap_bytes(), outbound.holds_compressor()), (0, false));
    }
}
