//! A direction that goes from the relay to inspection and back, between messages, as often as it can.

use proptest::prelude::*;
use sluicegate_websocket::negotiation::{Deflate, Extensions};
use sluicegate_websocket::{Boundary, Event, Piece, Reader, Scanner, Scratch, Side, Violation, Wanted};

use crate::peers::{LIMITS, Received, Sender, cut};
use crate::support::{message, places, received};

const TAKEOVER: Deflate = Deflate {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const NO_TAKEOVER: Deflate =
    Deflate { server_no_context_takeover: true, client_no_context_takeover: true, ..TAKEOVER };

enum Direction {
    Scanned(Scanner),
    Read(Box<Reader>),
}

/// Relays a stream, changing over after every message where `changes` says so.
struct Relay<'a> {
    direction: Direction,
    scratch: Scratch,
    changes: std::iter::Cycle<std::slice::Iter<'a, bool>>,
    /// All bytes but those of control frames, of which there are none here.
    out: Vec<u8>,
    read: Vec<Received>,
}

impl Relay<'_> {
    fn feed(&mut self, mut input: &[u8]) -> Result<(), Violation> {
        loop {
            let started = self.out.len();
            let ended = match &mut self.direction {
                Direction::Scanned(scanner) => {
                    match scanner.next_until(&mut input, Boundary::Message)? {
                        None => return Ok(()),
                        Some(Piece::Data(bytes)) => self.out.extend_from_slice(bytes),
                        Some(Piece::Control(control)) => panic!("{control:?}"),
                    }
                    scanner.between_messages()
                }
                Direction::Read(reader) => {
                    match reader.read(&mut input, &mut self.scratch)? {
                        None => return Ok(()),
                        Some(Event::Message(message)) => {
                            self.out.extend_from_slice(message.original);
                            self.read.push(received(message.payload));
                        }
                        Some(other) => panic!("{other:?}"),
                    }
                    true
                }
            };
            assert!(self.out.len() > started);
            if ended && self.changes.next() == Some(&true) {
                self.change();
            }
        }
    }

    fn change(&mut self) {
        let scanned = Direction::Scanned(Scanner::new(Side::Client, LIMITS, Extensions::None));
        self.direction = match std::mem::replace(&mut self.direction, scanned) {
            Direction::Read(reader) => match reader.into_scanner() {
                Ok(scanner) => Direction::Scanned(scanner),
                Err(_) => panic!("a reader that has yielded a message is between messages"),
            },
            Direction::Scanned(scanner) => {
                let can_be_read = scanner.can_be_read();
                match scanner.into_reader() {
                    Ok(reader) => {
                        assert!(can_be_read);
                        Direction::Read(Box::new(reader))
                    }
                    Err(scanner) => {
                        assert!(!can_be_read);
                        Direction::Scanned(scanner)
                    }
                }
            }
        };
    }
}

fn deflate() -> impl Strategy<Value = Option<Deflate>> {
    prop::sample::select(vec![None, Some(TAKEOVER), Some(NO_TAKEOVER)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_is_lost_between_the_two(
        deflate in deflate(),
        messages in prop::collection::vec((message(), any::<bool>(), 1..3usize), 1..12),
        changes in prop::collection::vec(any::<bool>(), 1..5),
        places in places(),
    ) {
        let side = Side::Client;
        let mut sender = Sender::new(side, deflate.map(|deflate| deflate.of(side)));
        let frames = messages.iter().map(|(message, compressed, fragments)| {
            sender.frames(message, *compressed, *fragments).concat()
        });
        let stream = frames.collect::<Vec<_>>().concat();
        let extensions = deflate.map_or(Extensions::None, Extensions::Deflate);
        let mut relay = Relay {
            direction: Direction::Scanned(Scanner::new(side, LIMITS, extensions)),
            scratch: Scratch::new(),
            changes: changes.iter().cycle(),
            out: Vec::new(),
            read: Vec::new(),
        };
        for part in cut(&stream, &places) {
            relay.feed(part).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
        }
        prop_assert!(relay.out == stream);
        // What was read is among what was sent, in order.
        let mut sent = messages.iter().map(|(message, ..)| message);
        prop_assert!(relay.read.iter().all(|read| sent.any(|sent| sent == read)));
        let started = match relay.direction {
            Direction::Scanned(scanner) => scanner.messages_started(),
            Direction::Read(reader) => reader.messages_started(),
        };
        prop_assert_eq!(started, messages.len() as u64);
    }
}

fn hello(sender: &mut Sender, compressed: bool) -> Vec<u8> {
    sender.frames(&Received::Text("hello, hello".into()), compressed, 1).concat()
}

#[test]
fn a_window_that_nobody_kept_is_lost() {
    let compression = Some(TAKEOVER.of(Side::Upstream));
    let mut sender = Sender::new(Side::Upstream, compression);
    let mut scanner = Scanner::new(Side::Upstream, LIMITS, Extensions::Deflate(TAKEOVER));
    crate::support::scan(&mut scanner, [&hello(&mut sender, false)[..]]);
    assert!(scanner.can_be_read(), "an uncompressed message touches no window");
    crate::support::scan(&mut scanner, [&hello(&mut sender, true)[..]]);
    assert!(!scanner.can_be_read());
    assert!(scanner.into_reader().is_err());

    let mut reader = Reader::new(Side::Upstream, LIMITS, compression);
    crate::support::read(&mut reader, [&hello(&mut sender, false)[..]]);
    let scanner = reader.into_scanner().ok().expect("between messages");
    assert!(scanner.can_be_read(), "nothing compressed has been read");
    let mut sender = Sender::new(Side::Upstream, compression);
    let mut reader = scanner.into_reader().ok().expect("readable");
    crate::support::read(&mut reader, [&hello(&mut sender, true)[..]]);
    let scanner = reader.into_scanner().ok().expect("between messages");
    assert!(!scanner.can_be_read(), "its window went with the reader");
}

#[test]
fn a_window_is_kept_while_nothing_is_wanted() {
    let compression = Some(TAKEOVER.of(Side::Upstream));
    let mut sender = Sender::new(Side::Upstream, compression);
    let mut reader = Reader::new(Side::Upstream, LIMITS, compression);
    reader.want(Wanted::NONE);
    let unread = [hello(&mut sender, true), hello(&mut sender, true)].concat();
    let outcome = crate::support::read(&mut reader, unread.chunks(3));
    assert_eq!(outcome.events, [crate::support::Seen::Data(unread)]);
    reader.want(Wanted::ALL);
    let outcome = crate::support::read(&mut reader, [&hello(&mut sender, true)[..]]);
    assert_eq!(outcome.messages(), [Received::Text("hello, hello".into())]);
}

#[test]
fn an_unknown_extension_cannot_be_read() {
    let scanner = Scanner::new(Side::Client, LIMITS, Extensions::Other);
    assert!(!scanner.can_be_read());
    assert!(scanner.into_reader().is_err());
}

#[test]
fn a_handover_takes_a_begun_header_along() {
    let hello = hello(&mut Sender::new(Side::Client, None), false);
    let mut scanner = Scanner::new(Side::Client, LIMITS, Extensions::None);
    crate::support::scan(&mut scanner, [&hello[..3]]);
    let mut reader = scanner.into_reader().ok().expect("between messages");
    let outcome = crate::support::read(&mut reader, [&hello[3..]]);
    assert_eq!(outcome.messages(), [Received::Text("hello, hello".into())]);
    assert_eq!(outcome.events.len(), 1);
}

#[test]
fn a_message_that_has_begun_is_not_handed_over() {
    let hello = hello(&mut Sender::new(Side::Client, None), false);
    let mut scanner = Scanner::new(Side::Client, LIMITS, Extensions::None);
    crate::support::scan(&mut scanner, [&hello[..8]]);
    assert!(scanner.into_reader().is_err());
    let mut reader = Reader::new(Side::Client, LIMITS, None);
    crate::support::read(&mut reader, [&hello[..8]]);
    assert!(reader.into_scanner().is_err());
}
