//! Agreeing on extensions while the handshake passes through (RFC 6455 §9.1, RFC 7692 §5 and §7.1).
//!
//! A session that nobody inspects may use any extension: the header lines go through untouched, and
//! [`check_answer`] says what the upstream chose. For one that is inspected, [`Offers`] keeps of the client's
//! offers what the proxy can read, which is permessage-deflate, and carries the upstream's answer back, so
//! that both legs speak alike. Where the upstream declines, the client leg is not compressed either.

mod grammar;

use std::fmt;

use crate::Side;
use grammar::Extension;

const PERMESSAGE_DEFLATE: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";
const WINDOW_BITS_MAX: u8 = 15;

/// What one leg agreed on (RFC 7692 §7.1): "server" is the end that answered the handshake, which on the
/// client leg is the proxy, "client" the end that sent it. Windows are of 8 to 15 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    pub server_no_context_takeover: bool,
    pub client_no_context_takeover: bool,
    pub server_max_window_bits: u8,
    pub client_max_window_bits: u8,
}

impl Deflate {
    /// How the messages of that sender are compressed on this leg.
    pub fn of(self, sender: Side) -> Compression {
        match sender {
            Side::Client => Compression {
                context_takeover: !self.client_no_context_takeover,
                window_bits: self.client_max_window_bits,
            },
            Side::Upstream => Compression {
                context_takeover: !self.server_no_context_takeover,
                window_bits: self.server_max_window_bits,
            },
        }
    }
}

/// How one direction of one leg is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Whether a message may refer to those before it (RFC 7692 §7.1.1).
    pub context_takeover: bool,
    /// How far back it may refer: 2 to this power of bytes (RFC 7692 §7.1.2).
    pub window_bits: u8,
}

impl Compression {
    /// Whether what was compressed like this can be read by one who expects `other`.
    pub(crate) fn fits(self, other: Self) -> bool {
        self.window_bits <= other.window_bits && (other.context_takeover || !self.context_takeover)
    }
}

/// What was agreed on, as far as it shows in frame headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extensions {
    None,
    Deflate(Deflate),
    /// An extension that is not known here. The reserved bits of data frames are its business.
    Other,
}

impl Extensions {
    pub(crate) fn compression(self, sender: Side) -> Option<Compression> {
        match self {
            Self::Deflate(deflate) => Some(deflate.of(sender)),
            Self::None | Self::Other => None,
        }
    }
}

/// Why a negotiation failed. All but the first are the upstream's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    #[error("the client's extension offer is malformed; `name; parameter=value, …` is accepted")]
    MalformedOffer,
    #[error("the upstream's extension answer is malformed; `name; parameter=value, …` is accepted")]
    MalformedAnswer,
    #[error("the upstream accepted an extension, or a parameter of it, that was not offered")]
    NotOffered,
    #[error("the upstream accepted an extension twice")]
    Repeated,
}

/// What the upstream chose from offers that went to it untouched. The arguments are the values of the
/// `Sec-WebSocket-Extensions` lines.
///
/// ```
/// # use sluicegate_websocket::negotiation::{check_answer, Extensions, NegotiationError};
/// let offers = [&b"permessage-deflate; client_max_window_bits, x-unknown"[..]];
/// let agreed = check_answer(offers, [&b"permessage-deflate; client_max_window_bits=12"[..]])?;
/// assert!(matches!(agreed, Extensions::Deflate(deflate) if deflate.client_max_window_bits == 12));
/// assert_eq!(check_answer(offers, [&b"x-unknown"[..]])?, Extensions::Other);
/// assert_eq!(check_answer(offers, [&b"x-other"[..]]), Err(NegotiationError::NotOffered));
/// # Ok::<(), NegotiationError>(())
/// ```
pub fn check_answer<'a>(
    offers: impl IntoIterator<Item = &'a [u8]>,
    answer: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Extensions, NegotiationError> {
    let answer = grammar::parse(answer).ok_or(NegotiationError::MalformedAnswer)?;
    if answer.is_empty() {
        return Ok(Extensions::None);
    }
    let offers = grammar::parse(offers).ok_or(NegotiationError::MalformedOffer)?;
    if answer.iter().any(|chosen| offers.iter().all(|offer| offer.name != chosen.name)) {
        return Err(NegotiationError::NotOffered);
    }
    let deflate = Offers::among(&offers).agree_parameters(&answer)?;
    let known = answer.iter().all(|chosen| chosen.name == PERMESSAGE_DEFLATE);
    Ok(match deflate {
        Some((_, deflate)) if known => Extensions::Deflate(deflate),
        _ => Extensions::Other,
    })
}

/// What a client offers for a session that is inspected: its permessage-deflate offers, in its order of
/// preference. An offer with an unknown, repeated or wrong parameter is declined (RFC 7692 §7.1).
///
/// ```
/// # use sluicegate_websocket::negotiation::Offers;
/// let offers = Offers::parse([&b"x-unknown, permessage-deflate; client_max_window_bits"[..]])?;
/// assert_eq!(offers.to_upstream().as_deref(), Some("permessage-deflate; client_max_window_bits"));
///
/// let agreement = offers.agree([&b"permessage-deflate; server_no_context_takeover"[..]])?;
/// assert_eq!(agreement.client, agreement.upstream);
/// assert_eq!(agreement.answer.as_deref(), Some("permessage-deflate; server_no_context_takeover"));
/// # Ok::<(), sluicegate_websocket::negotiation::NegotiationError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Offers {
    deflate: Vec<Parameters>,
}

/// What both legs of an inspected session agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    pub client: Option<Deflate>,
    pub upstream: Option<Deflate>,
    /// The value of the `Sec-WebSocket-Extensions` line for the client; without one there is no line.
    pub answer: Option<String>,
}

impl Offers {
    /// Reads the values of the client's `Sec-WebSocket-Extensions` lines.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, NegotiationError> {
        let extensions = grammar::parse(lines).ok_or(NegotiationError::MalformedOffer)?;
        Ok(Self::among(&extensions))
    }

    fn among(extensions: &[Extension]) -> Self {
        let deflate = extensions.iter().filter(|extension| extension.name == PERMESSAGE_DEFLATE);
        Self { deflate: deflate.filter_map(Parameters::offered).collect() }
    }

    /// The value of the line to send to the upstream; without one there is no line.
    pub fn to_upstream(&self) -> Option<String> {
        let offers: Vec<String> = self.deflate.iter().map(Parameters::to_string).collect();
        (!offers.is_empty()).then(|| offers.join(", "))
    }

    /// Takes the upstream's answer to [`to_upstream`](Offers::to_upstream).
    pub fn agree<'a>(
        &self,
        answer: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Agreement, NegotiationError> {
        let answer = grammar::parse(answer).ok_or(NegotiationError::MalformedAnswer)?;
        if answer.iter().any(|chosen| chosen.name != PERMESSAGE_DEFLATE) {
            return Err(NegotiationError::NotOffered);
        }
        let agreed = self.agree_parameters(&answer)?;
        let deflate = agreed.map(|(_, deflate)| deflate);
        let answer = agreed.map(|(parameters, _)| parameters.to_string());
        Ok(Agreement { client: deflate, upstream: deflate, answer })
    }

    /// The answer's permessage-deflate, if there is one, and what follows from it.
    fn agree_parameters(
        &self,
        answer: &[Extension],
    ) -> Result<Option<(Parameters, Deflate)>, NegotiationError> {
        let mut chosen = answer.iter().filter(|chosen| chosen.name == PERMESSAGE_DEFLATE);
        let Some(first) = chosen.next() else { return Ok(None) };
        if chosen.next().is_some() {
            return Err(NegotiationError::Repeated);
        }
        let answer = Parameters::answered(first).ok_or(NegotiationError::NotOffered)?;
        // The answer does not say which offer it accepts.
        let mut accepted = self.deflate.iter().filter(|offer| offer.allows(&answer)).peekable();
        if accepted.peek().is_none() {
            return Err(NegotiationError::NotOffered);
        }
        // A client that names a window in its offer stays within it in any case (RFC 7692 §7.1.2.2), and the
        // upstream may count on that.
        let hint = accepted.filter_map(|offer| offer.client_max_window_bits.flatten()).min();
        let client_bits = answer.client_max_window_bits.flatten().or(hint);
        let deflate = Deflate {
            server_no_context_takeover: answer.server_no_context_takeover,
            client_no_context_takeover: answer.client_no_context_takeover,
            server_max_window_bits: answer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX),
            client_max_window_bits: client_bits.unwrap_or(WINDOW_BITS_MAX),
        };
        Ok(Some((answer, deflate)))
    }
}

/// The parameters of one permessage-deflate element (RFC 7692 §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// May stand without a value, in an offer.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    fn offered(extension: &Extension) -> Option<Self> {
        let mut parameters = Self::default();
        for (name, value) in &extension.parameters {
            parameters.set(name, value.as_deref())?;
        }
        Some(parameters)
    }

    fn answered(extension: &Extension) -> Option<Self> {
        Self::offered(extension).filter(|answer| answer.client_max_window_bits != Some(None))
    }

    /// `None` for a parameter that is unknown, stands twice or has a wrong value.
    fn set(&mut self, name: &str, value: Option<&str>) -> Option<()> {
        let first = match (name, value) {
            (SERVER_NO_CONTEXT_TAKEOVER, None) => {
                !std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            (CLIENT_NO_CONTEXT_TAKEOVER, None) => {
                !std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            (SERVER_MAX_WINDOW_BITS, Some(value)) => {
                self.server_max_window_bits.replace(window_bits(value)?).is_none()
            }
            (CLIENT_MAX_WINDOW_BITS, None) => self.client_max_window_bits.replace(None).is_none(),
            (CLIENT_MAX_WINDOW_BITS, Some(value)) => {
                self.client_max_window_bits.replace(Some(window_bits(value)?)).is_none()
            }
            _ => false,
        };
        first.then_some(())
    }

    /// Whether `answer` may be given to this offer.
    fn allows(&self, answer: &Self) -> bool {
        let takeover = answer.server_no_context_takeover || !self.server_no_context_takeover;
        let server_bits = match self.server_max_window_bits {
            None => true,
            Some(max) => answer.server_max_window_bits.is_some_and(|bits| bits <= max),
        };
        let client_bits = match (self.client_max_window_bits, answer.client_max_window_bits) {
            (None, Some(_)) => false,
            (Some(Some(max)), Some(Some(bits))) => bits <= max,
            _ => true,
        };
        takeover && server_bits && client_bits
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PERMESSAGE_DEFLATE)?;
        if self.server_no_context_takeover {
            write!(f, "; {SERVER_NO_CONTEXT_TAKEOVER}")?;
        }
        if self.client_no_context_takeover {
            write!(f, "; {CLIENT_NO_CONTEXT_TAKEOVER}")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; {SERVER_MAX_WINDOW_BITS}={bits}")?;
        }
        match self.client_max_window_bits {
            None => Ok(()),
            Some(None) => write!(f, "; {CLIENT_MAX_WINDOW_BITS}"),
            Some(Some(bits)) => write!(f, "; {CLIENT_MAX_WINDOW_BITS}={bits}"),
        }
    }
}

/// RFC 7692 §7.1.2: a decimal number from 8 to 15 without leading zeroes.
fn window_bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Deflate = Deflate {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };

    fn lines(value: &str) -> impl Iterator<Item = &[u8]> {
        std::iter::once(value.as_bytes()).filter(|line| !line.is_empty())
    }

    fn offered(offers: &str) -> Option<String> {
        Offers::parse(lines(offers)).unwrap().to_upstream()
    }

    fn agreed(offers: &str, answer: &str) -> Result<Option<Deflate>, NegotiationError> {
        let agreement = Offers::parse(lines(offers))?.agree(lines(answer))?;
        assert_eq!(agreement.client, agreement.upstream);
        assert_eq!(agreement.client.is_some(), agreement.answer.is_some());
        Ok(agreement.client)
    }

    #[test]
    fn rfc7692_section_7_1_offers_are_passed_on_as_they_are() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        ] {
            assert_eq!(offered(offer).as_deref(), Some(offer));
        }
        let quoted = r#"permessage-deflate; server_max_window_bits="10""#;
        let plain = "permessage-deflate; server_max_window_bits=10";
        assert_eq!(offered(quoted).as_deref(), Some(plain));
    }

    #[test]
    fn rfc7692_section_7_1_wrong_offers_are_declined_one_by_one() {
        for wrong in [
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=010",
            "server_max_window_bits=+9",
            "client_max_window_bits=0",
            "client_max_window_bits=15; client_max_window_bits",
            "client_max_window_bits; client_max_window_bits=15",
            "server_max_window_bits=9; server_max_window_bits=9",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "unknown",
            "Server_No_Context_Takeover",
        ] {
            let offer = format!("permessage-deflate; {wrong}");
            assert_eq!(offered(&offer), None, "{wrong}");
            let two = format!("{offer}, permessage-deflate");
            assert_eq!(offered(&two).as_deref(), Some("permessage-deflate"));
        }
    }

    #[test]
    fn other_extensions_cannot_be_inspected() {
        assert_eq!(offered(""), None);
        assert_eq!(offered("x-webkit-deflate-frame"), None);
        let mixed = "x-other; a=1, permessage-deflate, permessage-bzip2";
        assert_eq!(offered(mixed).as_deref(), Some("permessage-deflate"));
        let malformed = Offers::parse([&b"permessage-deflate;"[..]]).map(|offers| offers.deflate);
        assert_eq!(malformed, Err(NegotiationError::MalformedOffer));
    }

    #[test]
    fn rfc7692_section_7_1_answers() {
        let all = Deflate {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: 10,
            client_max_window_bits: 11,
        };
        let offer = "permessage-deflate; client_max_window_bits";
        assert_eq!(agreed(offer, ""), Ok(None));
        assert_eq!(agreed(offer, "permessage-deflate"), Ok(Some(DEFAULTS)));
        // The server may ask for more than was offered, but for the client's window.
        let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                      server_max_window_bits=10; client_max_window_bits=11";
        assert_eq!(agreed(offer, answer), Ok(Some(all)));
        let agreement = Offers::parse(lines(offer)).unwrap().agree(lines(answer)).unwrap();
        assert_eq!(agreement.answer.as_deref(), Some(answer));
    }

    #[test]
    fn rfc7692_section_7_1_answers_that_do_not_follow() {
        for (offer, answer) in [
            ("", "permessage-deflate"),
            ("permessage-deflate; unknown", "permessage-deflate"),
            ("permessage-deflate", "x-other"),
            ("permessage-deflate", "permessage-deflate; client_max_window_bits=15"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits"),
            (
                "permessage-deflate; client_max_window_bits=10",
                "permessage-deflate; client_max_window_bits=11",
            ),
            ("permessage-deflate; server_max_window_bits=10", "permessage-deflate"),
            (
                "permessage-deflate; server_max_window_bits=10",
                "permessage-deflate; server_max_window_bits=11",
            ),
            ("permessage-deflate; server_no_context_takeover", "permessage-deflate"),
            ("permessage-deflate", "permessage-deflate; server_max_window_bits=7"),
            ("permessage-deflate", "permessage-deflate; unknown"),
        ] {
            let error = Err(NegotiationError::NotOffered);
            assert_eq!(agreed(offer, answer), error, "{offer} / {answer}");
            let passed_through = check_answer(lines(offer), lines(answer)).map(|_| None);
            assert_eq!(passed_through, error, "{offer} / {answer}");
        }
        let twice = agreed("permessage-deflate", "permessage-deflate, permessage-deflate");
        assert_eq!(twice, Err(NegotiationError::Repeated));
        let malformed = agreed("permessage-deflate", "permessage-deflate; =");
        assert_eq!(malformed, Err(NegotiationError::MalformedAnswer));
    }

    #[test]
    fn rfc7692_section_7_1_3_the_first_offer_may_be_declined_for_the_second() {
        let offers = "permessage-deflate; server_max_window_bits=10, permessage-deflate";
        let narrow = Deflate { server_max_window_bits: 10, ..DEFAULTS };
        assert_eq!(agreed(offers, "permessage-deflate"), Ok(Some(DEFAULTS)));
        let answer = "permessage-deflate; server_max_window_bits=10";
        assert_eq!(agreed(offers, answer), Ok(Some(narrow)));
    }

    #[test]
    fn rfc7692_section_7_1_2_2_a_client_stays_within_the_window_it_names() {
        let offer = "permessage-deflate; client_max_window_bits=10";
        let narrow = Deflate { client_max_window_bits: 10, ..DEFAULTS };
        assert_eq!(agreed(offer, "permessage-deflate"), Ok(Some(narrow)));
        let narrower = Deflate { client_max_window_bits: 9, ..DEFAULTS };
        let answer = "permessage-deflate; client_max_window_bits=9";
        assert_eq!(agreed(offer, answer), Ok(Some(narrower)));
    }

    #[test]
    fn what_passes_through_may_be_unknown() {
        let check = |offers, answer| check_answer(lines(offers), lines(answer));
        assert_eq!(check("permessage-deflate, x-other", ""), Ok(Extensions::None));
        assert_eq!(check("x-other", "x-other; a=1"), Ok(Extensions::Other));
        let both = "permessage-deflate, x-other";
        assert_eq!(check(both, "permessage-deflate"), Ok(Extensions::Deflate(DEFAULTS)));
        assert_eq!(check(both, both), Ok(Extensions::Other));
        // Nobody needs to understand an offer that was declined.
        assert_eq!(check("mal formed", ""), Ok(Extensions::None));
        assert_eq!(check("mal formed", "x"), Err(NegotiationError::MalformedOffer));
    }

    #[test]
    fn each_sender_has_its_own_parameters() {
        let deflate = Deflate {
            server_no_context_takeover: true,
            server_max_window_bits: 9,
            client_max_window_bits: 12,
            ..DEFAULTS
        };
        let client = Compression { context_takeover: true, window_bits: 12 };
        let upstream = Compression { context_takeover: false, window_bits: 9 };
        assert_eq!(deflate.of(Side::Client), client);
        assert_eq!(deflate.of(Side::Upstream), upstream);
        assert!(client.fits(client) && upstream.fits(client) && !client.fits(upstream));
    }
}
