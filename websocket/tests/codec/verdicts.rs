//! Random verdicts on random messages, for every pairing of what the two legs agreed: the receiver always
//! reads exactly what was decided, with an inflater of its own leg's window and nothing more.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use sluicegate_websocket::{Compression, Event, Message, Outbound, Payload, Reader, Scratch, Side, Wanted};

use crate::support::{KEY, LIMITS, Received, Receiver, Sender, cut, message, places};

/// A message, how it is sent, and what becomes of it.
#[derive(Clone, Debug)]
struct Step {
    message: Received,
    compressed: bool,
    fragments: usize,
    /// Sent among its fragments.
    ping: Option<Vec<u8>>,
    verdict: Verdict,
}

impl Step {
    fn is_untouched(&self) -> bool {
        let verdict =
            matches!(self.verdict, Verdict::Forward | Verdict::ForwardAndRelease | Verdict::Unwanted);
        // A ping leaves a message that is read whole, but in order.
        verdict && self.ping.is_none()
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Forward,
    Replace(Received),
    Drop,
    /// Sent before it, which goes on unchanged.
    Inject(Received),
    /// Goes on unchanged, after which the compressor is freed.
    ForwardAndRelease,
    /// Not offered: passes unread if it can.
    Unwanted,
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        6 => Just(Verdict::Forward),
        2 => message().prop_map(Verdict::Replace),
        1 => Just(Verdict::Drop),
        1 => message().prop_map(Verdict::Inject),
        1 => Just(Verdict::ForwardAndRelease),
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
                .run(&steps, |(steps, places)| relay(sender, received, sent, &steps, &places))
                .unwrap_or_else(|error| panic!("{sender:?}, {received:?} to {sent:?}: {error}"));
            pairings += 1;
        }
    }
    assert_eq!(pairings, 2 * 9 * 9);
}

/// Both legs of one direction and what stands between.
struct Relay {
    reader: Reader,
    outbound: Outbound,
    out: Vec<u8>,
}

impl Relay {
    fn want(&mut self, next: Option<&Verdict>) {
        let wanted = !matches!(next, Some(Verdict::Unwanted));
        let compressed = self.outbound.rewrites();
        self.reader.want(Wanted { text: wanted, binary: wanted, compressed });
    }

    fn decide(&mut self, message: &Message<'_>, verdict: &Verdict) {
        let (out, keys) = (&mut self.out, &mut || KEY);
        match verdict {
            Verdict::Forward | Verdict::Unwanted => self.outbound.forward(message, out, keys),
            Verdict::Replace(new) => self.outbound.replace(message, payload(new), out, keys),
            Verdict::Drop => self.outbound.discard(message),
            Verdict::Inject(new) => {
                self.outbound.inject(payload(new), out, keys);
                self.outbound.forward(message, out, keys);
            }
            Verdict::ForwardAndRelease => {
                self.outbound.forward(message, out, keys);
                self.outbound.release();
            }
        }
    }
}

fn relay(
    sender: Side,
    received: Option<Compression>,
    sent: Option<Compression>,
    steps: &[Step],
    places: &[usize],
) -> Result<(), TestCaseError> {
    let (stream, expected) = sent_and_expected(Sender::new(sender, received), steps);
    let mut relay = Relay {
        reader: Reader::new(sender, LIMITS, received),
        outbound: Outbound::new(sender.other(), received, sent),
        out: Vec::new(),
    };
    let mut scratch = Scratch::new();
    let mut verdicts = steps.iter().map(|step| &step.verdict);
    let mut next = verdicts.next();
    relay.want(next);
    for mut input in cut(&stream, places) {
        loop {
            let event = relay.reader.read(&mut input, &mut scratch);
            match event.map_err(|violation| TestCaseError::fail(violation.to_string()))? {
                None => break,
                Some(Event::Control(control)) => {
                    relay.outbound.pass_control(&control, &mut relay.out);
                    continue;
                }
                Some(Event::Data(bytes)) => relay.out.extend_from_slice(bytes),
                Some(Event::Message(message)) => {
                    relay.decide(&message, next.expect("as many verdicts as messages"));
                }
            }
            if relay.reader.between_messages() {
                next = verdicts.next();
                relay.want(next);
            }
        }
    }
    prop_assert!(next.is_none(), "every message was read");
    if steps.iter().all(Step::is_untouched) && fits(received, sent) {
        prop_assert!(relay.out == stream, "every byte is the sender's");
    }
    prop_assert_eq!(Receiver::new(sender.other(), sent).receive(&relay.out), expected);
    Ok(())
}

fn sent_and_expected(mut sender: Sender, steps: &[Step]) -> (Vec<u8>, Vec<Received>) {
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    for Step { message, compressed, fragments, ping, verdict } in steps {
        let mut frames = sender.frames(message, *compressed, *fragments);
        if let Some(ping) = ping {
            frames.insert(frames.len() / 2, sender.ping(ping));
            expected.push(Received::Ping(ping.clone()));
        }
        stream.extend(frames.concat());
        match verdict {
            Verdict::Replace(new) => expected.push(new.clone()),
            Verdict::Inject(new) => expected.extend([new.clone(), message.clone()]),
            Verdict::Drop => {}
            _ => expected.push(message.clone()),
        }
    }
    (stream, expected)
}

/// Whether the receiver can read all that the sender may send.
fn fits(received: Option<Compression>, sent: Option<Compression>) -> bool {
    match (received, sent) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(received), Some(sent)) => {
            received.window_bits <= sent.window_bits && (sent.context_takeover || !received.context_takeover)
        }
    }
}

fn payload(message: &Received) -> Payload<'_> {
    match message {
        Received::Text(text) => Payload::Text(text),
        Received::Binary(bytes) => Payload::Binary(bytes),
        other => panic!("{other:?} is no data message"),
    }
}

#[test]
fn an_untouched_direction_stays_verbatim_until_a_compressed_message_is_touched() {
    let compression = Some(Compression { context_takeover: true, window_bits: 15 });
    let mut sender = Sender::new(Side::Upstream, compression);
    let mut relay = Relay {
        reader: Reader::new(Side::Upstream, LIMITS, compression),
        outbound: Outbound::new(Side::Client, compression, compression),
        out: Vec::new(),
    };
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
        (relay.out == frame, relay.outbound.rewrites(), relay.outbound.heap_bytes() > 0)
    };
    assert_eq!(send(true, Verdict::Forward), (true, false, false));
    assert_eq!(send(false, Verdict::Drop), (false, false, false), "never touched the window");
    assert_eq!(send(true, Verdict::Forward), (true, false, false));
    assert_eq!(send(true, Verdict::Drop), (false, true, false));
    assert_eq!(send(false, Verdict::Forward), (true, true, false), "uncompressed goes verbatim");
    assert_eq!(send(true, Verdict::Forward), (false, true, true), "and compressed anew");
    let (_, rewrites, holds_compressor) = send(true, Verdict::ForwardAndRelease);
    assert_eq!((rewrites, holds_compressor), (true, false));
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
        assert_eq!((reader.heap_bytes(), outbound.heap_bytes()), (0, 0));
    }
}
