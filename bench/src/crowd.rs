//! Many clients' connections on one thread.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::Outcome;
use crate::poll::{Interest, Poll, Ready};
use crate::session::Session;

const READ_BYTES: usize = 256 * 1024;

pub struct Crowd {
    pub sessions: Vec<Session>,
    poll: Poll,
    ready: Vec<Ready>,
    buffer: Vec<u8>,
    /// Whose peers did not take all that was sent to them.
    blocked: Vec<bool>,
}

/// What woke it.
pub enum Woken {
    /// What was given to [`Crowd::watch`].
    Watched,
    /// This session has new input.
    Session(usize),
}

// === impl Crowd ===

impl Crowd {
    pub fn new(sessions: Vec<Session>) -> Outcome<Self> {
        let poll = Poll::new()?;
        for (index, session) in sessions.iter().enumerate() {
            session.stream.set_nonblocking(true)?;
            poll.add(&session.stream, index, Interest::READ)?;
        }
        let blocked = vec![false; sessions.len()];
        Ok(Self { sessions, poll, ready: Vec::new(), buffer: vec![0; READ_BYTES], blocked })
    }

    /// Wakes [`wait`](Self::wait) when it can be read.
    pub fn watch(&self, source: impl AsFd) -> io::Result<()> {
        self.poll.add(source, usize::MAX, Interest::READ)
    }

    pub fn send(&mut self, index: usize, bytes: &[u8]) -> io::Result<()> {
        self.sessions[index].send(bytes)?;
        self.note_blocked(index)
    }

    /// Waits until something happens or `timeout` is over, which counts in whole milliseconds.
    pub fn wait(&mut self, timeout: Duration, woken: &mut Vec<Woken>) -> io::Result<()> {
        woken.clear();
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(&mut ready, Some(timeout))?;
        for event in &ready {
            if event.token == usize::MAX {
                woken.push(Woken::Watched);
                continue;
            }
            let session = &mut self.sessions[event.token];
            if event.readable {
                match session.receive(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    received => {
                        received?;
                        woken.push(Woken::Session(event.token));
                    }
                }
            }
            if event.writable && self.blocked[event.token] {
                session.flush()?;
                self.note_blocked(event.token)?;
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn note_blocked(&mut self, index: usize) -> io::Result<()> {
        let session = &self.sessions[index];
        let blocked = session.is_blocked();
        if blocked != self.blocked[index] {
            self.blocked[index] = blocked;
            self.poll.change(&session.stream, index, Interest { reading: true, writing: blocked })?;
        }
        Ok(())
    }
}
