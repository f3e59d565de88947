//! What a peer may do wrong on an open WebSocket, and the close code it gets for it.

use crate::CloseCode;

/// A breach of RFC 6455 or RFC 7692, or of a limit, by the sender of a direction.
///
/// After one the direction is finished: RFC 6455 §7.1.7 has the connection failed with
/// [`close_code`](Violation::close_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// RFC 6455 §5.1: a client masks every frame, a server none.
    #[error("frame masked by a server or not masked by a client; clients mask every frame, servers none")]
    Mask,
    /// RFC 6455 §5.2 and RFC 7692 §6: RSV1 only on the first frame of a message, and only if agreed.
    #[error(
        "reserved bits set; only RSV1 on the first frame of a message has a meaning, once compression is agreed"
    )]
    ReservedBits,
    /// RFC 6455 §5.2.
    #[error("reserved opcode {0:#x}; 0x0 to 0x2 and 0x8 to 0xa are defined")]
    ReservedOpcode(u8),
    /// RFC 6455 §5.2: the minimal number of octets must be used.
    #[error("payload length not in its shortest form")]
    LengthNotMinimal,
    /// RFC 6455 §5.2: the most significant bit of a 64-bit length is 0.
    #[error("payload length with its top bit set; 2^63 - 1 is the largest")]
    LengthTopBit,
    /// RFC 6455 §5.5.
    #[error("control frame with more than 125 bytes of payload")]
    ControlTooLong,
    /// RFC 6455 §5.5.
    #[error("control frame in fragments; control frames are whole")]
    ControlFragmented,
    /// RFC 6455 §5.4.
    #[error("continuation frame outside a message; a message begins with a text or binary frame")]
    ContinuationWithoutStart,
    /// RFC 6455 §5.4.
    #[error("new message inside a fragmented one; its rest are continuation frames")]
    MessageInsideMessage,
    /// RFC 6455 §5.5.1: a close frame's body is empty or begins with a 2-byte code.
    #[error("close frame with 1 byte of payload; none, or a code of 2 bytes, is accepted")]
    ClosePayload,
    /// RFC 6455 §7.4.
    #[error("close code {0}; 1000 to 1003, 1007 to 1014 and 3000 to 4999 are accepted")]
    CloseCode(u16),
    /// RFC 6455 §5.5.1.
    #[error("close reason that is not UTF-8")]
    CloseReasonNotUtf8,
    /// RFC 6455 §8.1.
    #[error("text message that is not UTF-8")]
    TextNotUtf8,
    /// RFC 7692 §7.2.2.
    #[error("compressed message that is not a deflate stream")]
    Deflate,
    /// RFC 7692 §7.2.1: a message ends with an empty stored block, less its last 4 octets.
    #[error("compressed message that ends inside a deflate block")]
    DeflateCut,
    #[error("frame of more than {0} bytes")]
    FrameTooLarge(u64),
    #[error("message of more than {0} bytes")]
    MessageTooLarge(u64),
    #[error("message of more than {0} fragments")]
    TooManyFragments(u32),
}

impl Violation {
    /// The code to fail the connection with (RFC 6455 §7.4.1).
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Mask
            | Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::ContinuationWithoutStart
            | Self::MessageInsideMessage
            | Self::ClosePayload
            | Self::CloseCode(_) => CloseCode::PROTOCOL_ERROR,
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 | Self::Deflate | Self::DeflateCut => {
                CloseCode::INVALID_PAYLOAD
            }
            Self::FrameTooLarge(_) | Self::MessageTooLarge(_) => CloseCode::TOO_BIG,
            Self::TooManyFragments(_) => CloseCode::POLICY,
        }
    }
}
