//! Messages, verdicts and legs at random: the receiver reads what was decided. The tests enumerate the
//! pairings of legs with the same peers; here the sequences get longer and stranger.

#![no_main]

// Not all of the peers' abilities are needed here.
#[allow(dead_code, unused_imports)]
#[path = "../../websocket/tests/codec/peers/mod.rs"]
mod peers;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use peers::{Received, Step, Verdict, relay};
use sluicegate_websocket::{Compression, Side};

#[derive(Arbitrary, Debug)]
struct Input {
    from_client: bool,
    received: Option<Leg>,
    sent: Option<Leg>,
    places: [u16; 4],
    steps: Vec<FuzzStep>,
}

#[derive(Arbitrary, Debug)]
struct Leg {
    context_takeover: bool,
    window_bits: u8,
}

#[derive(Arbitrary, Debug)]
struct FuzzStep {
    message: Content,
    compressed: bool,
    fragments: u8,
    ping: Option<[u8; 3]>,
    verdict: FuzzVerdict,
}

#[derive(Arbitrary, Debug)]
enum FuzzVerdict {
    Forward,
    Replace(Content),
    Drop,
    Inject(Content),
    ForwardAmidOthers,
    Unwanted,
}

#[derive(Arbitrary, Debug)]
struct Content {
    text: bool,
    /// Each a word of the vocabulary, and how often it is said.
    words: Vec<(u8, u8)>,
}

impl Content {
    fn received(&self) -> Received {
        const WORDS: [&str; 6] = ["foo", "κόσμε ", "0123456789abcdef", "{\"id\":", "\n", "𝄞"];
        let word =
            |&(word, times): &(u8, u8)| WORDS[usize::from(word) % WORDS.len()].repeat(usize::from(times));
        let text: String = self.words.iter().take(64).map(word).collect();
        if self.text { Received::Text(text) } else { Received::Binary(text.into_bytes()) }
    }
}

fuzz_target!(|input: Input| {
    let sender = if input.from_client { Side::Client } else { Side::Upstream };
    let compression = |leg: Leg| Compression {
        context_takeover: leg.context_takeover,
        window_bits: 8 + leg.window_bits % 8,
    };
    let steps: Vec<Step> = input.steps.iter().take(32).map(step).collect();
    let places: Vec<usize> = input.places.iter().map(|place| usize::from(*place) % 1001).collect();
    relay(sender, input.received.map(compression), input.sent.map(compression), &steps, &places);
});

fn step(step: &FuzzStep) -> Step {
    Step {
        message: step.message.received(),
        compressed: step.compressed,
        fragments: usize::from(step.fragments % 8) + 1,
        ping: step.ping.map(|ping| ping.to_vec()),
        verdict: match &step.verdict {
            FuzzVerdict::Forward => Verdict::Forward,
            FuzzVerdict::Replace(new) => Verdict::Replace(new.received()),
            FuzzVerdict::Drop => Verdict::Drop,
            FuzzVerdict::Inject(new) => Verdict::Inject(new.received()),
            FuzzVerdict::ForwardAmidOthers => Verdict::ForwardAmidOthers,
            FuzzVerdict::Unwanted => Verdict::Unwanted,
        },
    }
}
