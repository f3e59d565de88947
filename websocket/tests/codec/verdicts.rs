//! Random verdicts on random messages, for every pairing of what the two legs agreed: the receiver always
//! reads exactly what was decided, with an inflater of its own leg's window and nothing more.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sluicegate_websocket::{
    Compression, Event, Message, Outbound, Payload, Reader, Scratch, Side, Wanted,
};

use crate::support::sender::Frame;
use crate::support::{
    KEY, LIMITS, Received, Receiver, Sender, cut, message, places, received, received_control,
};

/// What the sender does next, and what becomes of it.
#[derive(Clone, Debug)]
enum Step {
    Message { sent: Received, compressed: bool, fragments: usize, verdict: Verdict },
    Ping(Vec<u8>),
}

#[derive(Clone, Debug)]
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
    let message = (message(), prop::bool::weighted(0.8), 1..4usize, verdict()).prop_map(
        |(sent, compressed, fragments, verdict)| Step::Message { sent, compressed, fragments, verdict },
    );
    let ping = prop::collection::vec(any::<u8>(), 0..126).prop_map(Step::Ping);
    prop_oneof![9 => message, 1 => ping]
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
    TestRunner::new_with_rng(config, prop::test_runner::TestRng::deterministic_rng(Default::default()))
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

fn relay(
    from: Side,
    on_senders_leg: Option<Compression>,
    on_receivers_leg: Option<Compression>,
    steps: &[Step],
    places: &[usize],
) -> Result<(), TestCaseError> {
    let (stream, expected) = sent_and_expected(from, on_senders_leg, steps);
    let mut verdicts = steps.iter().filter_map(|step| match step {
        Step::Message { sent, verdict, .. } => Some((sent, verdict)),
        Step::Ping(_) => None,
    });
    let mut relay = Relay {
        reader: Reader::new(from, LIMITS, on_senders_leg),
        outbound: Outbound::new(from.other(), on_senders_leg, on_receivers_leg),
        out: Vec::new(),
    };
    let mut scratch = Scratch::new();
    let mut next = verdicts.next();
    let mut passing = false;
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
                Some(Event::Data(bytes)) => {
                    relay.out.extend_from_slice(bytes);
                    passing = true;
                }
                Some(Event::Message(message)) => {
                    let (sent, verdict) = next.expect("no more messages than were sent");
                    prop_assert_eq!(&received(message.payload), sent);
                    relay.decide(&message, verdict);
                }
            }
            if !passing || relay.reader.between_messages() {
                passing = false;
                next = verdicts.next();
                relay.want(next);
            }
        }
    }
    let forwarded = steps.iter().all(|step| !matches!(step, Step::Message { verdict: Verdict::Replace(_) | Verdict::Drop | Verdict::Inject(_), .. }));
    if forwarded && fits(on_senders_leg, on_receivers_leg) && !steps.iter().any(|step| matches!(step, Step::Ping(_))) {
        prop_assert!(relay.out == stream, "untouched, every byte is the sender's");
    }
    let mut receiver = Receiver::new(from.other(), on_receivers_leg);
    prop_assert_eq!(receiver.receive(&relay.out), expected);
    Ok(())
}
