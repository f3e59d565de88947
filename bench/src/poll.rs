//! Waiting for many sockets on one thread, without a runtime: what generates load must cost little itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

const EVENTS_MAX: usize = 1024;

pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// What is waited for; with neither, only for its being broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    pub reading: bool,
    pub writing: bool,
}

/// Something that can go on; closed and broken ones can, too.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    pub token: usize,
    pub readable: bool,
    pub writable: bool,
}

// === impl Poll ===

impl Poll {
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(EVENTS_MAX) })
    }

    pub fn add(&self, source: impl AsFd, token: usize, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token as u64), interest.flags())?)
    }

    pub fn change(&self, source: impl AsFd, token: usize, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, EventData::new_u64(token as u64), interest.flags())?)
    }

    /// Replaces `ready` by what became ready, nothing if `timeout` passed; the timeout counts in whole milliseconds.
    pub fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        self.events.clear();
        ready.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) => ready.extend(self.events.iter().map(Ready::from_event)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Ready {
    fn from_event(event: &Event) -> Self {
        // Copied, as the kernel's struct is packed.
        let (flags, data) = (event.flags, event.data);
        let broken = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        Self {
            token: data.u64() as usize,
            readable: broken || flags.contains(EventFlags::IN),
            writable: broken || flags.contains(EventFlags::OUT),
        }
    }
}

impl Interest {
    pub const READ: Self = Self { reading: true, writing: false };

    fn flags(self) -> EventFlags {
        let reading = if self.reading { EventFlags::IN } else { EventFlags::empty() };
        reading | if self.writing { EventFlags::OUT } else { EventFlags::empty() }
    }
}
