//! One of each, by side.

use sluicegate_websocket::Side;

/// A value for the client's side and one for the upstream's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerSide<T> {
    pub client: T,
    pub upstream: T,
}

pub const SIDES: [Side; 2] = [Side::Client, Side::Upstream];

impl<T> PerSide<T> {
    pub fn of(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Upstream => &self.upstream,
        }
    }

    pub fn map<U>(&self, map: impl Fn(&T) -> U) -> PerSide<U> {
        PerSide { client: map(&self.client), upstream: map(&self.upstream) }
    }

    pub fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }
}
