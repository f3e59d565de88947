//! What epoll.rs does, with io_uring: all that a turn decides goes to the kernel with the one system call that waits for more.

use std::collections::VecDeque;
use std::io;
use std::mem::{replace, take};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, IntoRawFd as _, RawFd};
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::squeue::Flags;
use io_uring::types::{BufRingEntry, CancelBuilder, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::net::{listen, sockopt};
use slab::Slab;

use crate::Outcome;

const BACKLOG: i32 = 4096;
const OPERATIONS_MAX: u32 = 1024;
/// More than a turn has: for want of room, a failed send would pass for a done one.
const EVENTS_MAX: u32 = 8192;
/// With fewer than what a turn receives, the kernel gives up receiving, and has to be told anew.
const BUFFERS: u16 = 256;
const BUFFER_BYTES: usize = 64 * 1024;
const BUFFER_GROUP: u16 = 0;

/// What an event is about, in its lowest bits; above these is a token or an index.
const KIND_BITS: u32 = 3;
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const SEND_REST: u64 = 3;
/// Of what may as well fail.
const CLEAN_UP: u64 = 4;

struct Forwarder {
    ring: IoUring,
    listener: TcpListener,
    backend: u16,
    pool: Pool,
    pairs: Slab<Pair>,
    /// Not dealt with yet.
    events: VecDeque<cqueue::Entry>,
    /// Of this turn.
    sends: Vec<Send>,
}

/// An end's token is its pair's index, doubled, and its own; the other's differs in the lowest bit.
struct Pair {
    ends: [End; 2],
    /// That the kernel has still to end. Until then the pair stays, and its tokens are nobody else's.
    operations: usize,
    is_closed: bool,
}

#[derive(Default)]
struct End {
    socket: RawFd,
    is_received_from: bool,
    has_ended: bool,
    /// By one of the turn's sends.
    is_sent_to: bool,
    /// What it did not take at once, the first being sent; the other end is not received from until it has all.
    rest: VecDeque<Vec<u8>>,
}

/// One that does not wait: once submitted, it is done or has failed. That it is done needs no event.
struct Send {
    token: usize,
    buffer: u16,
    length: usize,
    failure: Option<i32>,
}

/// Buffers that the kernel takes for what it receives, from a ring of its own.
struct Pool {
    ring: *mut BufRingEntry,
    tail: u16,
    bytes: *mut u8,
}

#[repr(align(4096))]
struct Aligned([u8; BUFFERS as usize * size_of::<BufRingEntry>()]);

pub fn run(port: u16, backend: u16) -> Outcome<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listen(&listener, BACKLOG)?;
    // What is accepted has it from here.
    sockopt::set_tcp_nodelay(&listener, true)?;
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(EVENTS_MAX)
        .build(OPERATIONS_MAX)?;
    let pool = Pool::new(&ring)?;
    let (pairs, events, sends) = (Slab::new(), VecDeque::new(), Vec::new());
    let mut forwarder = Forwarder { ring, listener, backend, pool, pairs, events, sends };
    forwarder.accept()?;
    loop {
        forwarder.turn()?;
    }
}

// === impl Forwarder ===

impl Forwarder {
    fn turn(&mut self) -> io::Result<()> {
        self.submit()?;
        for event in self.ring.completion() {
            match unpack(&event) {
                (SEND, index) => self.sends[index].failure = Some(event.result()),
                _ => self.events.push_back(event),
            }
        }
        self.settle()?;
        while let Some(event) = self.events.pop_front() {
            match unpack(&event) {
                (ACCEPT, _) => self.accepted(&event)?,
                (RECEIVE, token) if self.end(token ^ 1).is_sent_to => {
                    // What comes next must not overtake a send that fails.
                    self.events.push_front(event);
                    break;
                }
                (RECEIVE, token) => self.received(token, &event)?,
                (SEND_REST, token) => self.sent_rest(token, event.result())?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Everything, or it would not be known which sends are done.
    fn submit(&mut self) -> io::Result<()> {
        loop {
            match self.ring.submit_and_wait(usize::from(self.events.is_empty())) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ if self.ring.submission().is_empty() => return Ok(()),
                _ => {}
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let listener = Fd(self.listener.as_raw_fd());
        self.push(opcode::AcceptMulti::new(listener).flags(libc::SOCK_CLOEXEC).build(), ACCEPT, 0)
    }

    fn accepted(&mut self, event: &cqueue::Entry) -> io::Result<()> {
        if !cqueue::more(event.flags()) {
            self.accept()?;
        }
        let client = event.result();
        if client < 0 {
            return Ok(());
        }
        // On this machine a connection is there at once.
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.backend));
        let Ok(server) = server.and_then(|server| server.set_nodelay(true).map(|()| server)) else {
            return self.clean_up(opcode::Close::new(Fd(client)).build());
        };
        let ends = [client, server.into_raw_fd()].map(|socket| End { socket, ..End::default() });
        let index = self.pairs.insert(Pair { ends, operations: 0, is_closed: false });
        self.receive(2 * index)?;
        self.receive(2 * index + 1)
    }

    fn receive(&mut self, token: usize) -> io::Result<()> {
        self.pairs[token / 2].operations += 1;
        let end = self.end(token);
        end.is_received_from = true;
        let entry = opcode::RecvMulti::new(Fd(end.socket), BUFFER_GROUP).build();
        self.push(entry, RECEIVE, token)
    }

    /// What one end says, to the other. An error is the end of both.
    fn received(&mut self, token: usize, event: &cqueue::Entry) -> io::Result<()> {
        let is_closed = self.pairs[token / 2].is_closed;
        match (cqueue::buffer_select(event.flags()), event.result()) {
            (Some(buffer), length @ 1..) => {
                let (length, to) = (length as usize, self.end(token ^ 1));
                if !is_closed && to.rest.is_empty() {
                    self.send(Send { token: token ^ 1, buffer, length, failure: None })?;
                } else {
                    let bytes = self.pool.bytes(buffer, length).to_vec();
                    self.end(token ^ 1).rest.push_back(bytes);
                    self.pool.give_back(buffer);
                }
            }
            (_, 0) => self.end(token).has_ended = true,
            // The pool was empty, or the other end has to catch up.
            (_, error) if [-libc::ENOBUFS, -libc::ECANCELED].contains(&error) => {}
            _ => self.close(token / 2)?,
        }
        if cqueue::more(event.flags()) {
            return Ok(());
        }
        self.end(token).is_received_from = false;
        self.pairs[token / 2].operations -= 1;
        self.go_on(token)
    }

    fn send(&mut self, send: Send) -> io::Result<()> {
        let Send { token, buffer, length, .. } = send;
        self.pairs[token / 2].operations += 1;
        let end = self.end(token);
        end.is_sent_to = true;
        let entry = opcode::Send::new(Fd(end.socket), self.pool.start(buffer), length as u32);
        // Having sent less than all is a failure, too.
        let entry = entry.flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL).build();
        self.sends.push(send);
        self.push(entry.flags(Flags::SKIP_SUCCESS), SEND, self.sends.len() - 1)
    }

    /// The sends that have been submitted.
    fn settle(&mut self) -> io::Result<()> {
        let mut sends = take(&mut self.sends);
        for Send { token, buffer, length, failure } in sends.drain(..) {
            self.pairs[token / 2].operations -= 1;
            self.end(token).is_sent_to = false;
            match failure {
                None => {}
                Some(error) if error < 0 && error != -libc::EAGAIN => self.close(token / 2)?,
                Some(sent) => {
                    let rest = self.pool.bytes(buffer, length)[sent.max(0) as usize..].to_vec();
                    self.end(token).rest.push_back(rest);
                    let receive = CancelBuilder::user_data(pack(RECEIVE, token ^ 1));
                    self.clean_up(opcode::AsyncCancel2::new(receive).build())?;
                    self.send_rest(token)?;
                }
            }
            self.pool.give_back(buffer);
            self.go_on(token ^ 1)?;
        }
        self.sends = sends;
        Ok(())
    }

    fn send_rest(&mut self, token: usize) -> io::Result<()> {
        let Pair { ends, operations, is_closed } = &mut self.pairs[token / 2];
        let End { socket, rest, .. } = &ends[token % 2];
        let Some(bytes) = rest.front().filter(|_| !*is_closed) else { return Ok(()) };
        *operations += 1;
        let entry = opcode::Send::new(Fd(*socket), bytes.as_ptr(), bytes.len() as u32);
        self.push(entry.flags(libc::MSG_WAITALL).build(), SEND_REST, token)
    }

    fn sent_rest(&mut self, token: usize, result: i32) -> io::Result<()> {
        self.pairs[token / 2].operations -= 1;
        let bytes = self.end(token).rest.pop_front();
        if bytes.is_some_and(|bytes| bytes.len() as i32 != result) {
            self.close(token / 2)?;
        }
        self.send_rest(token)?;
        self.go_on(token ^ 1)
    }

    /// After an operation has ended: receives from this end if nothing speaks against it, closes both, or forgets them.
    fn go_on(&mut self, token: usize) -> io::Result<()> {
        let has_all = self.end(token ^ 1).rest.is_empty();
        if has_all && self.end(token).has_ended {
            self.close(token / 2)?;
        }
        let Pair { is_closed, operations, .. } = self.pairs[token / 2];
        if is_closed && operations == 0 {
            self.pairs.remove(token / 2);
        } else if !is_closed && has_all && !self.end(token).is_received_from {
            self.receive(token)?;
        }
        Ok(())
    }

    /// In the order of what was pushed, so nothing that was meant for these sockets meets others of the same numbers.
    fn close(&mut self, index: usize) -> io::Result<()> {
        let pair = &mut self.pairs[index];
        if replace(&mut pair.is_closed, true) {
            return Ok(());
        }
        for socket in pair.ends.each_ref().map(|end| Fd(end.socket)) {
            self.clean_up(opcode::AsyncCancel2::new(CancelBuilder::fd(socket).all()).build())?;
            self.clean_up(opcode::Close::new(socket).build())?;
        }
        Ok(())
    }

    fn clean_up(&mut self, entry: squeue::Entry) -> io::Result<()> {
        self.push(entry.flags(Flags::SKIP_SUCCESS), CLEAN_UP, 0)
    }

    fn push(&mut self, entry: squeue::Entry, kind: u64, value: usize) -> io::Result<()> {
        let entry = entry.user_data(pack(kind, value));
        // SAFETY: it points to a buffer, which is given back after its send, or to the first of a rest, which stays
        // until its send's event.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }

    fn end(&mut self, token: usize) -> &mut End {
        &mut self.pairs[token / 2].ends[token % 2]
    }
}

fn pack(kind: u64, value: usize) -> u64 {
    (value as u64) << KIND_BITS | kind
}

fn unpack(event: &cqueue::Entry) -> (u64, usize) {
    let data = event.user_data();
    (data % (1 << KIND_BITS), (data >> KIND_BITS) as usize)
}

// === impl Pool ===

impl Pool {
    fn new(ring: &IoUring) -> io::Result<Self> {
        let entries = Box::leak(Box::new(Aligned([0; _]))).0.as_mut_ptr().cast();
        let bytes = vec![0; usize::from(BUFFERS) * BUFFER_BYTES].leak().as_mut_ptr();
        let submitter = ring.submitter();
        // SAFETY: there is room for so many entries, and it stays.
        unsafe { submitter.register_buf_ring_with_flags(entries as u64, BUFFERS, BUFFER_GROUP, 0)? };
        let mut pool = Self { ring: entries, tail: 0, bytes };
        (0..BUFFERS).for_each(|buffer| pool.give_back(buffer));
        Ok(pool)
    }

    fn start(&self, buffer: u16) -> *mut u8 {
        // SAFETY: there are so many.
        unsafe { self.bytes.add(usize::from(buffer) * BUFFER_BYTES) }
    }

    /// Of a buffer that has been received.
    fn bytes(&self, buffer: u16, length: usize) -> &[u8] {
        // SAFETY: the kernel does not write to it before it is given back, which takes `self` for itself alone.
        unsafe { slice::from_raw_parts(self.start(buffer), length) }
    }

    fn give_back(&mut self, buffer: u16) {
        let start = self.start(buffer);
        // SAFETY: the kernel does not look at this entry until the tail is past it.
        let entry = unsafe { &mut *self.ring.add(usize::from(self.tail % BUFFERS)) };
        entry.set_addr(start as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: it is in the ring, and only this writes it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
