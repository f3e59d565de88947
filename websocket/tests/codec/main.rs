//! The codec as its user sees it, against RFC 6455, RFC 7692 and decoders that share no code with it.

// Tests fail by panicking; that is their way of saying so.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod cuts;
mod handover;
mod memory;
mod peers;
mod rfc6455;
mod rfc7692;
mod support;
mod tungstenite;
mod verdicts;
