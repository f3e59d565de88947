//! Rooms, and who is in them.
//!
//! Nobody waits for anybody: each member has a bounded queue, and one that is full when something is said costs its
//! owner the place. The others do not notice more than a `left`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::message::Event;

/// What may wait for a member, in messages.
const QUEUE_MESSAGES_MAX: usize = 256;

/// A member's queue. It ends when the member has lost its place.
pub(crate) type Inbox = mpsc::Receiver<Utf8Bytes>;

#[derive(Default)]
pub(crate) struct Rooms {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: HashMap<String, Vec<Member>>,
    last_id: u64,
}

struct Member {
    id: u64,
    name: String,
    queue: mpsc::Sender<Utf8Bytes>,
}

/// A place in a room; dropping it leaves.
pub(crate) struct Seat<'a> {
    rooms: &'a Rooms,
    room: String,
    id: u64,
    name: String,
}

impl Rooms {
    /// A place in `room`. Where no name is wished for, the member is a numbered guest.
    pub(crate) fn join(&self, room: String, name: Option<String>) -> (Seat<'_>, Inbox) {
        let (queue, inbox) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        let name = name.unwrap_or_else(|| format!("guest-{id}"));
        let member = Member { id, name: name.clone(), queue };
        state.members.entry(room.clone()).or_default().push(member);
        drop(state);
        (Seat { rooms: self, room, id, name }, inbox)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves no half-changed state behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    pub(crate) fn room(&self) -> &str {
        &self.room
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn rename(&mut self, name: String) {
        if let Some(members) = self.rooms.lock().members.get_mut(&self.room)
            && let Some(member) = members.iter_mut().find(|member| member.id == self.id)
        {
            member.name.clone_from(&name);
        }
        self.name = name;
    }

    /// The names of all members, in the order they came.
    pub(crate) fn members(&self) -> Vec<String> {
        let state = self.rooms.lock();
        let members = state.members.get(&self.room).into_iter().flatten();
        members.map(|member| member.name.clone()).collect()
    }

    /// To everybody in the room, this member included.
    pub(crate) fn say(&self, event: &Event<'_>) {
        let text = event.to_text();
        if let Some(members) = self.rooms.lock().members.get_mut(&self.room) {
            members.retain(|member| member.queue.try_send(text.clone()).is_ok());
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut state = self.rooms.lock();
        if let Some(members) = state.members.get_mut(&self.room) {
            members.retain(|member| member.id != self.id);
            if members.is_empty() {
                state.members.remove(&self.room);
            }
        }
        drop(state);
        self.say(&Event::Left { from: &self.name });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join<'a>(rooms: &'a Rooms, room: &str, name: &str) -> (Seat<'a>, Inbox) {
        rooms.join(room.to_owned(), Some(name.to_owned()))
    }

    #[test]
    fn what_is_said_stays_in_the_room() {
        let rooms = Rooms::default();
        let (ann, mut ann_hears) = join(&rooms, "blue", "Ann");
        let (_bob, mut bob_hears) = join(&rooms, "blue", "Bob");
        let (_eve, mut eve_hears) = join(&rooms, "red", "Eve");
        ann.say(&Event::Message { from: ann.name(), text: "hello" });
        let expected = r#"{"event":"message","from":"Ann","text":"hello"}"#;
        assert_eq!(ann_hears.try_recv().unwrap(), expected);
        assert_eq!(bob_hears.try_recv().unwrap(), expected);
        assert!(eve_hears.try_recv().is_err());
    }

    #[test]
    fn members_come_change_their_name_and_go() {
        let rooms = Rooms::default();
        let (mut ann, mut ann_hears) = join(&rooms, "blue", "Ann");
        let (bob, _bob_hears) = join(&rooms, "blue", "Bob");
        ann.rename("Anna".to_owned());
        assert_eq!(bob.members(), ["Anna", "Bob"]);
        drop(bob);
        assert_eq!(ann.members(), ["Anna"]);
        assert_eq!(ann_hears.try_recv().unwrap(), r#"{"event":"left","from":"Bob"}"#);
        drop(ann);
        assert!(rooms.lock().members.is_empty());
    }

    #[test]
    fn a_slow_reader_loses_its_place_and_nobody_else_does() {
        let rooms = Rooms::default();
        let (ann, mut ann_hears) = join(&rooms, "blue", "Ann");
        let (_slow, mut slow_hears) = join(&rooms, "blue", "Slow");
        for _ in 0..=QUEUE_MESSAGES_MAX {
            ann.say(&Event::Joined { from: "x" });
            ann_hears.try_recv().unwrap();
        }
        assert_eq!(ann.members(), ["Ann"]);
        let mut heard = 0;
        while slow_hears.try_recv().is_ok() {
            heard += 1;
        }
        assert_eq!(heard, QUEUE_MESSAGES_MAX);
        assert!(slow_hears.is_closed());
    }
}
