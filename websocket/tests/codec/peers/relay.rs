//! One direction of a session with a verdict on every message. It panics where the receiver reads anything
//! else than was decided.

use sluicegate_websocket::{Compression, Event, Message, Outbound, Payload, Reader, Scratch, Side, Wanted};

use super::{KEY, LIMITS, Received, Receiver, Sender, cut};

/// A message, how it is sent, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Step {
    pub message: Received,
    pub compressed: bool,
    pub fragments: usize,
    /// Sent among its fragments.
    pub ping: Option<Vec<u8>>,
    pub verdict: Verdict,
}

impl Step {
    fn is_untouched(&self) -> bool {
        let verdict =
            matches!(self.verdict, Verdict::Forward | Verdict::ForwardAmidOthers | Verdict::Unwanted);
        // A ping leaves a message that is read whole, but in order.
        verdict && self.ping.is_none()
    }
}

#[derive(Clone, Debug)]
pub enum Verdict {
    Forward,
    Replace(Received),
    Drop,
    /// Sent before it, which goes on unchanged.
    Inject(Received),
    /// Goes on unchanged, after which so many others compress that none of its words is remembered.
    ForwardAmidOthers,
    /// Not offered: passes unread if it can.
    Unwanted,
}

/// Both legs of one direction and what stands between.
pub struct Relay {
    pub reader: Reader,
    pub outbound: Outbound,
    pub out: Vec<u8>,
}

impl Relay {
    /// `received` and `sent` are what the sender's and the receiver's leg agreed for this direction.
    pub fn new(sender: Side, received: Option<Compression>, sent: Option<Compression>) -> Self {
        Self {
            reader: Reader::new(sender, LIMITS, received),
            outbound: Outbound::new(sender.other(), received, sent),
            out: Vec::new(),
        }
    }

    fn want(&mut self, next: Option<&Verdict>) {
        let wanted = !matches!(next, Some(Verdict::Unwanted));
        let compressed = self.outbound.rewrites();
        self.reader.want(Wanted { text: wanted, binary: wanted, compressed });
    }

    pub fn decide(&mut self, message: &Message<'_>, verdict: &Verdict) {
        let (out, keys) = (&mut self.out, &mut || KEY);
        match verdict {
            Verdict::Forward | Verdict::Unwanted => self.outbound.forward(message, out, keys),
            Verdict::Replace(new) => self.outbound.replace(message, payload(new), out, keys),
            Verdict::Drop => self.outbound.discard(message),
            Verdict::Inject(new) => {
                self.outbound.inject(payload(new), out, keys);
                self.outbound.forward(message, out, keys);
            }
            Verdict::ForwardAmidOthers => {
                self.outbound.forward(message, out, keys);
                compress_for_others();
            }
        }
    }
}

/// As many receivers as a thread has compressors have something compressed.
fn compress_for_others() {
    let received = Some(Compression { context_takeover: true, window_bits: 15 });
    let sent = Some(Compression { context_takeover: true, window_bits: 9 });
    let message = Message { payload: Payload::Text("others' words"), original: &[], compressed: true };
    let mut others: Vec<Outbound> = (0..64).map(|_| Outbound::new(Side::Client, received, sent)).collect();
    for other in &mut others {
        other.forward(&message, &mut Vec::new(), &mut || KEY);
        assert!(other.holds_compressor());
    }
}

/// Sends all messages, cut at these places, and has the receiver read what comes of them.
pub fn relay(
    sender: Side,
    received: Option<Compression>,
    sent: Option<Compression>,
    steps: &[Step],
    places: &[usize],
) {
    let (stream, expected) = sent_and_expected(Sender::new(sender, received), steps);
    let mut relay = Relay::new(sender, received, sent);
    let mut scratch = Scratch::new();
    let mut verdicts = steps.iter().map(|step| &step.verdict);
    let mut next = verdicts.next();
    relay.want(next);
    for mut input in cut(&stream, places) {
        while let Some(event) = relay.reader.read(&mut input, &mut scratch).expect("well-formed") {
            match event {
                Event::Control(control) => {
                    relay.outbound.pass_control(&control, &mut relay.out);
                    continue;
                }
                Event::Data(bytes) => relay.out.extend_from_slice(bytes),
                Event::Message(message) => {
                    relay.decide(&message, next.expect("as many verdicts as messages"));
                }
            }
            if relay.reader.between_messages() {
                next = verdicts.next();
                relay.want(next);
            }
        }
    }
    assert!(next.is_none(), "every message is read");
    if steps.iter().all(Step::is_untouched) && fits(received, sent) {
        assert!(relay.out == stream, "every byte is the sender's");
    }
    assert_eq!(Receiver::new(sender.other(), sent).receive(&relay.out), expected);
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
