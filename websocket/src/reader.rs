//! Inspection's view of a direction: whole messages, unmasked, reassembled, inflated and checked.

mod gathering;
mod scratch;

pub use scratch::Scratch;

use crate::control::{Control, RawControl};
use crate::frame::{Header, Opcode, RSV1};
use crate::framer::{DataPart, Framer, Part};
use crate::history::History;
use crate::inflate::{DISCARD_BYTES, INFLATER_BYTES, Inflater, Sink};
use crate::negotiation::Compression;
use crate::sequence::{ReservedBits, Sequence};
use crate::utf8::{self, Checked};
use crate::{Limits, Scanner, Side, Violation, mask};
use gathering::{Gathering, inflate_checked};

/// Reads one direction's bytes into messages and control frames, checking all of RFC 6455 §5 to §8 and
/// RFC 7692 §7.2.2 on the way. `message_bytes_max` bounds a message's size after inflating.
///
/// Between messages it holds no buffers, but for the end of what a sender with context takeover has said: as much of it as
/// its window takes, and no more than there was.
///
/// ```
/// use sluicegate_websocket::{Event, Limits, Payload, Reader, Scratch, Side};
///
/// let limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 64 };
/// let mut scratch = Scratch::new();
/// let mut reader = Reader::new(Side::Upstream, limits, None);
/// let mut input = &b"\x01\x03Hel\x89\x00\x80\x02lo"[..];
/// let mut seen = Vec::new();
/// while let Some(event) = reader.read(&mut input, &mut scratch)? {
///     match event {
///         Event::Message(message) => {
///             assert_eq!(message.payload, Payload::Text("Hello"));
///             assert_eq!(message.original, b"\x01\x03Hel\x80\x02lo");
///             seen.push("message");
///         }
///         Event::Control(_) => seen.push("ping"),
///         Event::Data(_) => unreachable!("every message is wanted"),
///     }
/// }
/// assert_eq!(seen, ["ping", "message"]);
/// # Ok::<(), sluicegate_websocket::Violation>(())
/// ```
pub struct Reader {
    framer: Framer,
    window: Window,
    wanted: Wanted,
    message: Progress,
}

/// What the sender's compressed messages may refer to.
struct Window {
    compression: Option<Compression>,
    /// Of the messages so far, where the sender has context takeover.
    history: History,
    /// While a compressed message is read.
    inflater: Option<Box<Inflater>>,
}

/// The message that the frames read now belong to.
#[derive(Default)]
enum Progress {
    #[default]
    Between,
    Gathering(Box<Gathering>),
    Passing(Passing),
}

/// An unwanted message.
struct Passing {
    /// What it has inflated to so far, where later messages may refer to it.
    inflated: Option<u64>,
    passed: Passed,
}

/// Where in a message the bytes end that were handed out last.
#[derive(PartialEq)]
enum Passed {
    Nothing,
    WholeFrames,
    PartOfFrame,
}

/// Which messages are handed over whole. The others come as [`Event::Data`], and of them, too, what is
/// compressed is inflated where that keeps the sender's window known (RFC 7692 §7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub text: bool,
    pub binary: bool,
    /// Every compressed message, of either kind: for an [`Outbound`](crate::Outbound) that rewrites.
    pub compressed: bool,
}

impl Wanted {
    pub const ALL: Self = Self { text: true, binary: true, compressed: true };
    pub const NONE: Self = Self { text: false, binary: false, compressed: false };

    fn includes(self, header: &Header) -> bool {
        let kind = if header.opcode == Opcode::Text { self.text } else { self.binary };
        kind || (self.compressed && is_compressed(header))
    }
}

#[allow(clippy::large_enum_variant)] // As `Piece`.
#[derive(Debug)]
pub enum Event<'e> {
    Message(Message<'e>),
    /// In its place among the others: between a message's fragments, too.
    Control(Control),
    /// Bytes of an unwanted message's frames, to be passed on as they are.
    Data(&'e [u8]),
}

/// A whole data message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'e> {
    pub payload: Payload<'e>,
    /// Its frames exactly as received: masked, compressed and fragmented as the sender chose.
    pub original: &'e [u8],
    pub compressed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'e> {
    Text(&'e str),
    Binary(&'e [u8]),
}

impl<'e> Payload<'e> {
    pub fn as_bytes(self) -> &'e [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// What a step of reading came to; [`Reader::read`] makes an event of it.
enum Step<'i> {
    Starved,
    Again,
    Control(RawControl<'i>),
    /// An unfragmented message, wholly in the input.
    Whole(Header, DataPart<'i>),
    /// A message that took several steps; it is in the scratch.
    Gathered,
    Data(&'i [u8]),
    /// The header in the scratch is an unwanted message's.
    DataHeader,
}

impl Reader {
    /// `compression` is what the sender agreed for what it sends on its leg, as
    /// [`Deflate::of`](crate::negotiation::Deflate::of) tells.
    pub fn new(sender: Side, limits: Limits, compression: Option<Compression>) -> Self {
        let reserved = if compression.is_some() { ReservedBits::Compressed } else { ReservedBits::None };
        Self::resume(Framer::new(Sequence::new(sender, limits, reserved)), compression)
    }

    pub(crate) fn resume(mut framer: Framer, compression: Option<Compression>) -> Self {
        framer.sequence.set_inflates(true);
        let window = Window { compression, history: History::default(), inflater: None };
        Self { framer, window, wanted: Wanted::ALL, message: Progress::Between }
    }

    /// Chooses which messages are wanted, from the next one on.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// The next event, `None` when `input` is used up; nothing of it has to be kept. Read until `None`, or
    /// [trim](Scratch::trim) the scratch: only then has it given back what is too large to keep. After an
    /// error, and after a close frame, what follows is swallowed.
    pub fn read<'e, 'i: 'e>(
        &mut self,
        input: &mut &'i [u8],
        scratch: &'e mut Scratch,
    ) -> Result<Option<Event<'e>>, Violation> {
        scratch.trim();
        let event = self.next_event(input, scratch);
        if event.is_err() {
            self.framer.end();
            self.window = Window { compression: None, history: History::default(), inflater: None };
            if let Progress::Gathering(_) = self.message {
                self.message = Progress::Between;
            }
        }
        event
    }

    fn next_event<'e, 'i: 'e>(
        &mut self,
        input: &mut &'i [u8],
        scratch: &'e mut Scratch,
    ) -> Result<Option<Event<'e>>, Violation> {
        let step = loop {
            match self.step(input, scratch)? {
                Step::Again => {}
                step => break step,
            }
        };
        Ok(match step {
            Step::Starved | Step::Again => None,
            Step::Control(control) => Some(Event::Control(control.into_control()?)),
            Step::Whole(header, part) => {
                let message = self.whole_message(&header, &part, scratch)?;
                Some(Event::Message(message))
            }
            Step::Gathered => scratch.gathered()?.map(Event::Message),
            Step::Data(bytes) => Some(Event::Data(bytes)),
            Step::DataHeader => Some(Event::Data(scratch.header.as_ref())),
        })
    }

    fn step<'i>(&mut self, input: &mut &'i [u8], scratch: &mut Scratch) -> Result<Step<'i>, Violation> {
        if self.framer.ended() {
            *input = &[];
            return Ok(Step::Starved);
        }
        let part = match self.framer.next_part(input)? {
            None => return Ok(Step::Starved),
            Some(Part::Control(control)) => return Ok(Step::Control(control)),
            Some(Part::Data(part)) => part,
        };
        if let Some(header) = part.header.filter(|header| header.opcode != Opcode::Continuation) {
            let wanted = self.wanted.includes(&header);
            if wanted && part.cut.is_none() && self.framer.between_messages() {
                return Ok(Step::Whole(header, part));
            }
            self.message = if wanted {
                Progress::Gathering(scratch.begin_gathering(&header))
            } else {
                let inflate = is_compressed(&header) && self.window.takeover();
                Progress::Passing(Passing { inflated: inflate.then_some(0), passed: Passed::Nothing })
            };
        }
        match self.message {
            Progress::Between => Ok(Step::Again),
            Progress::Gathering(_) => self.gather(&part, scratch),
            Progress::Passing(_) => self.pass(part, scratch),
        }
    }

    /// The common case: nothing is kept, and an unmasked and uncompressed payload not even copied.
    fn whole_message<'e, 'i: 'e>(
        &mut self,
        header: &Header,
        part: &DataPart<'i>,
        scratch: &'e mut Scratch,
    ) -> Result<Message<'e>, Violation> {
        let (text, compressed) = (header.opcode == Opcode::Text, is_compressed(header));
        if compressed {
            let limit = self.framer.sequence.limits().message_bytes_max;
            let inflater = self.window.inflater(&mut scratch.inflater);
            let checked = &mut Checked::default();
            let (unmasked, inflated) = (&mut scratch.unmasked, &mut scratch.inflated);
            inflated.clear();
            inflate_checked(inflater, part, unmasked, inflated, text.then_some(checked), limit)?;
            let history = inflater.finish(&mut Sink::Gather(inflated))?;
            self.window.message_ended(history, &mut scratch.inflater);
        } else if let Some(key) = part.key {
            scratch.payload.clear();
            mask::append(&mut scratch.payload, part.payload, key);
        }
        let bytes = match part.key {
            _ if compressed => scratch.inflated.filled(),
            Some(_) => &scratch.payload,
            None => part.payload,
        };
        let payload = if text { Payload::Text(utf8::whole(bytes)?) } else { Payload::Binary(bytes) };
        Ok(Message { payload, original: part.wire, compressed })
    }

    fn gather(&mut self, part: &DataPart<'_>, scratch: &mut Scratch) -> Result<Step<'static>, Violation> {
        let Progress::Gathering(gathering) = &mut self.message else { return Ok(Step::Again) };
        let ended = self.framer.between_messages();
        if gathering.is_compressed() {
            let limit = self.framer.sequence.limits().message_bytes_max;
            let inflater = self.window.inflater(&mut scratch.inflater);
            gathering.push_compressed(part, inflater, &mut scratch.unmasked, limit)?;
            if ended {
                let history = gathering.finish_compressed(inflater)?;
                self.window.message_ended(history, &mut scratch.inflater);
            }
        } else {
            gathering.push(part)?;
        }
        if !ended {
            return Ok(Step::Again);
        }
        if let Progress::Gathering(gathering) = std::mem::take(&mut self.message) {
            scratch.gathering = Some(gathering);
        }
        Ok(Step::Gathered)
    }

    fn pass<'i>(&mut self, part: DataPart<'i>, scratch: &mut Scratch) -> Result<Step<'i>, Violation> {
        let Progress::Passing(passing) = &mut self.message else { return Ok(Step::Again) };
        let ended = self.framer.between_messages();
        if let Some(inflated) = &mut passing.inflated {
            let limit = self.framer.sequence.limits().message_bytes_max;
            let inflater = self.window.inflater(&mut scratch.inflater);
            let through = scratch.discarded.get_or_insert_with(|| Box::new([0; DISCARD_BYTES]));
            let sink = &mut Sink::Discard { through, inflated };
            inflater.inflate(part.payload, part.key, &mut scratch.unmasked, sink, limit)?;
            if ended {
                let history = inflater.finish(sink)?;
                self.window.message_ended(history, &mut scratch.inflater);
            }
        }
        passing.passed = if self.framer.in_payload() { Passed::PartOfFrame } else { Passed::WholeFrames };
        if ended {
            self.message = Progress::Between;
        }
        Ok(match part.cut {
            None => Step::Data(part.wire),
            Some(header) => {
                scratch.header = header;
                Step::DataHeader
            }
        })
    }

    /// Whether a control frame may be sent after the last event.
    pub fn between_frames(&self) -> bool {
        !matches!(&self.message, Progress::Passing(Passing { passed: Passed::PartOfFrame, .. }))
    }

    /// Whether a data message may be sent after the last event.
    pub fn between_messages(&self) -> bool {
        match &self.message {
            Progress::Passing(passing) => passing.passed == Passed::Nothing,
            Progress::Between | Progress::Gathering(_) => true,
        }
    }

    /// How many messages have begun: what a rate is charged for.
    pub fn messages_started(&self) -> u64 {
        self.framer.sequence.messages_started()
    }

    /// Whether a close frame was read, or a violation: what follows is swallowed.
    pub fn is_closed(&self) -> bool {
        self.framer.ended()
    }

    /// Hands the direction over to the relay. Possible between messages of the sender.
    #[allow(clippy::result_large_err)] // It gives itself back, nothing more.
    pub fn into_scanner(self) -> Result<Scanner, Self> {
        match self.message {
            Progress::Between => Ok(Scanner::resume(self.framer, self.window.compression, true)),
            _ => Err(self),
        }
    }

    /// About how much this reader holds on the heap: a message that has begun and its inflater, the sender's history.
    pub fn heap_bytes(&self) -> usize {
        let gathering = match &self.message {
            Progress::Gathering(gathering) => gathering.capacity(),
            Progress::Between | Progress::Passing(_) => 0,
        };
        let inflater = self.window.inflater.as_ref().map_or(0, |_| INFLATER_BYTES);
        gathering + inflater + self.window.history.capacity()
    }
}

impl Window {
    fn takeover(&self) -> bool {
        self.compression.is_some_and(|compression| compression.context_takeover)
    }

    /// The one that reads the message that has begun.
    fn inflater(&mut self, spare: &mut Option<Box<Inflater>>) -> &mut Inflater {
        let Self { compression, history, inflater } = self;
        inflater.get_or_insert_with(|| {
            let mut inflater = spare.take().unwrap_or_else(|| Box::new(Inflater::new()));
            inflater.begin(*compression, std::mem::take(history));
            inflater
        })
    }

    fn message_ended(&mut self, history: History, spare: &mut Option<Box<Inflater>>) {
        self.history = history;
        *spare = self.inflater.take();
    }
}

fn is_compressed(header: &Header) -> bool {
    header.reserved & RSV1 != 0
}
