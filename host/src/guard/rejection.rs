//! What the guard refuses, and with which status.

use http::StatusCode;

/// A rule of RFC 9112, RFC 9113 or RFC 9110 that a client broke, or a limit it passed. The text is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    // Lines, RFC 9112 §2.2.
    #[error("bare CR, lines end in CRLF")]
    BareCr,
    #[error("bare LF, lines end in CRLF")]
    BareLf,
    #[error("control byte in a line, only HTAB may stand in a field value")]
    ControlByte,
    #[error("too many empty lines before the request line, 4 are allowed")]
    EmptyLines,

    // Request line, RFC 9112 §3.
    #[error("malformed request line, want METHOD SP target SP HTTP/1.1")]
    RequestLine,
    #[error("method is not a token")]
    Method,
    #[error("request line without HTTP version, want HTTP/1.1")]
    MissingVersion,
    #[error("unsupported HTTP version, want HTTP/1.1 or HTTP/1.0")]
    Version,
    #[error("HTTP/2 preface where another request of HTTP/1.1 was due")]
    Http2,
    #[error("request line too long")]
    RequestLineTooLong,
    #[error("request target is none of /path, http://host/path and, with OPTIONS, *")]
    Target,
    #[error("byte in the request target that must be percent-encoded")]
    TargetByte,
    #[error("CONNECT is not offered")]
    Connect,
    #[error("unknown :protocol, want websocket")]
    Protocol,

    // Field lines, RFC 9112 §5.
    #[error("request head too large")]
    HeadTooLarge,
    #[error("too many field lines")]
    TooManyFields,
    #[error("field line begins with white space")]
    FoldedLine,
    #[error("field line without a colon")]
    MissingColon,
    #[error("white space before the colon of a field line")]
    SpaceBeforeColon,
    #[error("field name is not a token")]
    FieldName,
    #[error("white space around a field value")]
    FieldValue,
    #[error("field of one connection in an HTTP/2 request")]
    ConnectionField,

    // Host, RFC 9112 §3.2.
    #[error("no host field")]
    MissingHost,
    #[error("more than one host field")]
    SeveralHosts,
    #[error("malformed host, want NAME or ADDRESS with an optional :PORT")]
    Host,
    #[error("host field differs from the authority of the request target")]
    HostMismatch,

    // Body framing, RFC 9112 §6.
    #[error("both content-length and transfer-encoding")]
    BothLengths,
    #[error("more than one content-length field")]
    SeveralContentLengths,
    #[error("malformed content-length, want digits and less than 2^63")]
    ContentLength,
    #[error("malformed transfer-encoding, want chunked, once")]
    TransferEncoding,
    #[error("unknown transfer coding, want chunked")]
    TransferCoding,
    #[error("transfer-encoding in HTTP/1.0")]
    TransferEncodingVersion,
    #[error("unknown expectation, want 100-continue, once")]
    Expectation,
    #[error("websocket handshake with a body")]
    HandshakeBody,

    // Chunks, RFC 9112 §7.1.
    #[error("malformed chunk size, want 1 to 15 hexadecimal digits")]
    ChunkSize,
    #[error("chunk extensions too large")]
    ChunkExtensions,
    #[error("chunk data not followed by CRLF")]
    ChunkEnd,
    #[error("trailer section too large")]
    TrailersTooLarge,
    #[error("field of framing, routing or request modification in the trailer section")]
    TrailerField,

    #[error("request head not complete in time")]
    HeaderTimeout,
}

impl Rejection {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeaderTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RequestLineTooLong => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::TransferCoding | Self::Protocol => StatusCode::NOT_IMPLEMENTED,
            Self::Version | Self::Http2 => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// In which part of a request a rule was broken, which decides who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// hyper never saw the request.
    Head(Rejection),
    /// Its exchange is under way.
    Body(Rejection),
}
