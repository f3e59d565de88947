//! What a close frame carries (RFC 6455 §5.5.1, §7.4): a code, and a reason of at most 123 bytes.

use crate::Violation;
use crate::frame::CONTROL_PAYLOAD_BYTES_MAX;

/// The longest reason: a control frame's payload less the code.
pub const REASON_BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX - 2;

/// A close code that may stand on the wire.
///
/// 1004, 1005, 1006 and 1015 are reserved for telling a program what happened and are never sent
/// (RFC 6455 §7.4.1); 1016 to 2999 are not assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    pub const NORMAL: Self = Self(1000);
    pub const GOING_AWAY: Self = Self(1001);
    pub const PROTOCOL_ERROR: Self = Self(1002);
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    pub const INVALID_PAYLOAD: Self = Self(1007);
    pub const POLICY: Self = Self(1008);
    pub const TOO_BIG: Self = Self(1009);
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    pub const INTERNAL_ERROR: Self = Self(1011);
    pub const SERVICE_RESTART: Self = Self(1012);
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    pub const BAD_GATEWAY: Self = Self(1014);

    /// None for a code that must not be sent: only 1000 to 1003, 1007 to 1014 and 3000 to 4999 may.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Reads a close frame's payload; `None` where it is empty, so that no code was given.
pub(crate) fn parse(payload: &[u8]) -> Result<Option<(CloseCode, &str)>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation::ClosePayload),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let code = CloseCode::new(code).ok_or(Violation::CloseCode(code))?;
            let reason = std::str::from_utf8(reason).map_err(|_| Violation::CloseReasonNotUtf8)?;
            Ok(Some((code, reason)))
        }
    }
}

/// The part of `reason` that fits, cut between two characters.
pub(crate) fn fitting(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    reason.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_section_7_4_codes_on_the_wire() {
        let accepted: Vec<u16> = (0..=u16::MAX).filter(|&code| CloseCode::new(code).is_some()).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(accepted, expected);
    }

    #[test]
    fn rfc6455_section_5_5_1_payload() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03"), Err(Violation::ClosePayload));
        assert_eq!(parse(b"\x03\xe8"), Ok(Some((CloseCode::NORMAL, ""))));
        assert_eq!(parse(b"\x03\xe9bye"), Ok(Some((CloseCode::GOING_AWAY, "bye"))));
        assert_eq!(parse(b"\x03\xed"), Err(Violation::CloseCode(1005)));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Violation::CloseReasonNotUtf8));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(fitting("short"), "short");
        assert_eq!(fitting(&"x".repeat(200)).len(), 123);
        // Two bytes each: 123 would fall into the middle of the 62nd.
        assert_eq!(fitting(&"é".repeat(100)), "é".repeat(61));
        assert_eq!(fitting(&"𝄞".repeat(40)), "𝄞".repeat(30));
    }
}
