//! WASI with nothing in it: no files, no sockets, no environment. Toolchains of many languages import it unasked.
//!
//! The one thing a guest can do with it that takes no time of its own is to wait, for a clock: so that is bounded here.

use std::mem;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_io::bindings::wasi::io::poll;

use crate::plugin::state::{OutOfTime, State};

pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<_, HasPolls>(linker, |state| Polls { state })?;
    linker.allow_shadowing(false);
    Ok(())
}

struct HasPolls;

impl HasData for HasPolls {
    type Data<'a> = Polls<'a>;
}

/// `wasi:io/poll`
struct Polls<'a> {
    state: &'a mut State,
}

impl Polls<'_> {
    /// The table that pollables are in, while the guest waits, and how long it may.
    fn begin(&mut self) -> (ResourceTable, Duration, Instant) {
        (mem::take(&mut self.state.table), self.state.poll_time_left, Instant::now())
    }

    fn end(&mut self, table: ResourceTable, begun: Instant) {
        self.state.table = table;
        self.state.poll_time_left = self.state.poll_time_left.saturating_sub(begun.elapsed());
    }
}

impl poll::Host for Polls<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let (mut table, left, begun) = self.begin();
        let ready = self.state.wait(timeout(left, poll::Host::poll(&mut table, pollables))).await?;
        self.end(table, begun);
        ready.map_err(|_| OutOfTime)?
    }
}

impl poll::HostPollable for Polls<'_> {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let (mut table, left, begun) = self.begin();
        let ready = self.state.wait(timeout(left, poll::HostPollable::block(&mut table, pollable))).await?;
        self.end(table, begun);
        ready.map_err(|_| OutOfTime)?
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(&mut self.state.table, pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(&mut self.state.table, pollable)
    }
}
