//! The path of messages nobody wants: headers are read, bytes pass as they came.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use sluicegate_websocket::{Boundary, Control, ControlKind, Piece, Side};

use super::Session;
use super::closing::Cause;
use super::incoming::Mode;
use super::outgoing::Outgoing;
use crate::leg::Leg;

impl Session {
    /// Pass `input` of a relayed sender on. What is left of it, where inspection begins amid.
    pub(super) fn relay<'i>(&mut self, cx: &mut Context<'_>, sender: Side, input: &'i [u8]) -> &'i [u8] {
        let mut rest = input;
        while !rest.is_empty() {
            let wants_boundary = self.wants_boundary(sender);
            let Mode::Relay(scanner) = &mut self.incoming.of_mut(sender).mode else { break };
            let piece = match wants_boundary {
                Some(boundary) => scanner.next_until(&mut rest, boundary),
                None => scanner.next(&mut rest),
            };
            match piece {
                Ok(Some(Piece::Data(bytes))) => {
                    let receiver = sender.other();
                    let outgoing = self.outgoing.of_mut(receiver);
                    if let Err(error) = pass(outgoing, self.legs.of_mut(receiver), cx, bytes) {
                        self.lose_receiver(receiver, error);
                    }
                }
                Ok(Some(Piece::Control(control))) => self.pass_control(sender, &control),
                Ok(None) => break,
                Err(violation) => {
                    self.break_off(sender, Cause::violation(sender, violation));
                    return &[];
                }
            }
            if wants_boundary.is_some() {
                self.at_boundary(sender);
            }
        }
        if !self.incoming.of_mut(sender).within_rate() {
            self.break_off(sender, Cause::too_many_messages(sender));
        }
        rest
    }

    /// The same, outside of polling.
    pub(super) async fn relay_now<'i>(&mut self, sender: Side, input: &'i [u8]) -> &'i [u8] {
        poll_fn(|cx| Poll::Ready(self.relay(cx, sender, input))).await
    }

    /// A control frame of `sender` goes on in its place, but for the answer to a ping of the proxy's own.
    pub(super) fn pass_control(&mut self, sender: Side, control: &Control) {
        let incoming = self.incoming.of_mut(sender);
        if control.kind() == ControlKind::Pong
            && incoming.pinged.take_if(|(nonce, _)| control.payload() == nonce.as_slice()).is_some()
        {
            return;
        }
        if control.kind() == ControlKind::Close {
            self.close_received(sender, control);
            if self.close_after_last_words(sender.other()) {
                return;
            }
        }
        self.outgoing.of_mut(sender.other()).append(|outbound, out| outbound.pass_control(control, out));
    }

    /// Something of the proxy's own waits to be put between this sender's frames or messages.
    fn wants_boundary(&self, sender: Side) -> Option<Boundary> {
        let receiver = sender.other();
        let wish = self.incoming.of(sender).has_wish();
        if wish || self.closing.is_due(receiver) || self.outgoing.of(receiver).holds() {
            Some(Boundary::Message)
        } else if self.timers.ping_is_due(receiver) {
            Some(Boundary::Frame)
        } else {
            None
        }
    }
}

/// Write data frames straight through.
fn pass(outgoing: &mut Outgoing, leg: &mut Leg, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
    if outgoing.outbound.is_closed() {
        return Ok(());
    }
    outgoing.write_through(cx, leg, bytes)
}
