//! Peers that send what they like: frames with any first byte, whole or not, on either side of the proxy.

use sluicegate_tests::{Frame, Opcode, Proxy, RawUpstream, Session, WebSocket};

use crate::engine_modes;

/// Bits of a frame's first byte (RFC 6455 §5.2).
pub const FIN: u8 = 0x80;
pub const RSV: [u8; 3] = [0x40, 0x20, 0x10];
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

pub const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
pub const DEFLATE_WITHOUT_TAKEOVER: &str = "Sec-WebSocket-Extensions: permessage-deflate; \
                                            server_no_context_takeover; client_no_context_takeover\r\n";

/// Frames as bytes: of each the first one, and the payload.
#[derive(Clone, Debug)]
pub struct Frames(pub Vec<(u8, Vec<u8>)>);

/// A proxy with all modes before an upstream whose sessions the test takes.
pub struct Peers {
    pub proxy: Proxy,
    pub upstream: RawUpstream,
}

// === impl Frames ===

impl Frames {
    pub fn of<const N: usize>(frames: [(u8, &[u8]); N]) -> Self {
        Self(frames.map(|(first, payload)| (first, payload.to_vec())).into())
    }

    /// As their sender has to send them: masked or not (RFC 6455 §5.1).
    pub fn bytes(&self, by_client: bool) -> Vec<u8> {
        let encode = |(first, payload): &(u8, Vec<u8>)| {
            let frame = Frame::binary(payload.clone());
            let mut bytes = if by_client { frame.masked().bytes() } else { frame.bytes() };
            bytes[0] = *first;
            bytes
        };
        self.0.iter().flat_map(encode).collect()
    }
}

// === impl Peers ===

impl Peers {
    pub async fn start(keys: &str) -> Self {
        let upstream = RawUpstream::start().await;
        Self { proxy: engine_modes::start(upstream.address(), keys).await, upstream }
    }

    pub async fn session(&self, mode: &str, extensions: &str) -> Session {
        Session::open_with(&self.proxy, &self.upstream, mode, extensions, extensions).await
    }

    /// Who sends these bytes is told `code`; the other side, too, that it goes on no more. Either side sends them once.
    pub async fn assert_told(
        &self,
        code: u16,
        modes: &[&str],
        extensions: &str,
        bytes: impl Fn(bool) -> Vec<u8>,
    ) {
        for mode in modes {
            for by_client in [true, false] {
                let case = format!("{mode}, by client: {by_client}, {:x?}", bytes(by_client));
                let (mut from, mut to) = directed(self.session(mode, extensions).await, by_client);
                from.wire.send(bytes(by_client)).await;
                assert_eq!(close_code(&mut to).await, loss_code(by_client), "{case}");
                to.send(Frame::close(1000, "")).await;
                assert_eq!(close_code(&mut from).await, Some(code), "{case}");
                from.send(Frame::close(code, "")).await;
                from.wire.assert_closed().await;
                to.wire.assert_closed().await;
            }
        }
    }

    /// The same for frames.
    pub async fn assert_frames_told(&self, code: u16, modes: &[&str], extensions: &str, frames: Frames) {
        self.assert_told(code, modes, extensions, |by_client| frames.bytes(by_client)).await;
    }

    /// Either side sends these frames once, and they arrive as they are.
    pub async fn assert_passes(&self, modes: &[&str], extensions: &str, frames: Frames) {
        for mode in modes {
            for by_client in [true, false] {
                let (mut from, mut to) = directed(self.session(mode, extensions).await, by_client);
                let bytes = frames.bytes(by_client);
                from.wire.send(&bytes).await;
                let arrived = to.wire.take(bytes.len()).await;
                assert_eq!(arrived, bytes, "{mode}, by client: {by_client}, {frames:?}");
            }
        }
    }
}

/// Who speaks, and who listens.
pub fn directed(session: Session, by_client: bool) -> (WebSocket, WebSocket) {
    let Session { client, upstream } = session;
    if by_client { (client, upstream) } else { (upstream, client) }
}

/// What the other side is told when this one is lost.
pub fn loss_code(by_client: bool) -> Option<u16> {
    Some(if by_client { 1001 } else { 1014 })
}

/// Of the close frame that comes next but for whole messages before it.
pub async fn close_code(socket: &mut WebSocket) -> Option<u16> {
    loop {
        let frame = socket.frame().await;
        if frame.opcode == Opcode::Close {
            return frame.close_code();
        }
    }
}
