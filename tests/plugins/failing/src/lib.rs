//! Fails in the hook and in the way its settings name. In hooks that see a request it fails where that has an `x-fail`
//! field, in `on-message` at the text `fail`, in `on-timer` ten milliseconds after the text `timer`, in `on-close` and the
//! destructor after the text `later`; it lets all else pass.

use std::hint::black_box;
use std::time::Duration;

use sluicegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failing {
    r#in: Hook,
    by: Way,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Hook {
    Configure,
    OnRequest,
    OnResponse,
    Open,
    OnMessage,
    OnTimer,
    OnDrain,
    OnClose,
    /// The destructor of a session.
    Drop,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    Panic,
    Spin,
    Memory,
    Recursion,
    /// No failure as such: writes more log than anybody wants.
    Flood,
    /// Holds concurrency slots, one more and one more.
    Slots,
    /// No failure either: refuses the request or the session.
    Refuse,
    /// The same with a status that is none.
    BadStatus,
}

#[derive(Default)]
struct Open {
    fails_later: bool,
    fails_in_drop: bool,
}

impl Plugin for Failing {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, ConfigureError> {
        settings.fail_in(Hook::Configure);
        Ok(settings)
    }
}

impl RequestHook for Failing {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        match self.asked_to_fail_in(Hook::OnRequest, request) {
            Some(status) => RequestVerdict::respond(status, "refused\n"),
            None => RequestVerdict::Pass,
        }
    }
}

impl ResponseHook for Failing {
    fn on_response(&self, request: &Request, response: &ResponseHead) {
        let edited = response.set_header("x-seen", "failing");
        log::debug!("{edited:?}");
        self.asked_to_fail_in(Hook::OnResponse, request);
    }
}

impl SessionHook for Failing {
    type Session = Open;

    fn open(&self, request: &Request, _: &Connection) -> Result<Open, Response> {
        match self.asked_to_fail_in(Hook::Open, request) {
            Some(status) => Err(Response::text(status, "refused\n")),
            None => Ok(Open::default()),
        }
    }
}

impl Session for Open {
    type Plugin = Failing;

    fn on_message(
        &mut self,
        plugin: &Failing,
        connection: &Connection,
        _: Side,
        message: Message,
    ) -> MessageVerdict {
        match message.as_text() {
            Some("fail") => _ = plugin.fail_in(Hook::OnMessage),
            Some("later") => {
                self.fails_later = true;
                self.fails_in_drop = plugin.r#in == Hook::Drop;
            }
            Some("timer") => connection.set_timer(Duration::from_millis(10)),
            _ => {}
        }
        MessageVerdict::Forward
    }

    fn on_timer(&mut self, plugin: &Failing, _: &Connection) {
        plugin.fail_in(Hook::OnTimer);
    }

    fn on_drain(&mut self, plugin: &Failing, _: &Connection) {
        plugin.fail_in(Hook::OnDrain);
    }

    fn on_close(&mut self, plugin: &Failing, _: &Connection, _: CloseInfo) {
        if self.fails_later {
            plugin.fail_in(Hook::OnClose);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.fails_in_drop {
            fail("in drop");
        }
    }
}

export!(Failing: RequestHook, ResponseHook, SessionHook);

impl Failing {
    fn asked_to_fail_in(&self, hook: Hook, request: &Request) -> Option<u16> {
        request.header("x-fail").and_then(|_| self.fail_in(hook))
    }

    /// The status to refuse with, if that is the way to fail.
    fn fail_in(&self, hook: Hook) -> Option<u16> {
        if self.r#in != hook {
            return None;
        }
        match self.by {
            Way::Panic => fail("as the settings say"),
            Way::Spin => loop {
                black_box(self);
            },
            Way::Memory => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(black_box(vec![1_u8; 1 << 20]));
                }
            }
            Way::Recursion => drop(black_box(deeper(0))),
            Way::Flood => (0..2000).for_each(|line| log::warn!("line {line}")),
            Way::Slots => {
                let mut slots = Vec::new();
                loop {
                    slots.push(limits::acquire("hoard", &slots.len().to_string(), 1));
                }
            }
            Way::Refuse => return Some(403),
            Way::BadStatus => return Some(99),
        }
        None
    }
}

#[expect(clippy::panic, reason = "it is what this plugin is for")]
fn fail(text: &str) {
    panic!("{text}");
}

/// Each call needs the result of the next, and a place of its own on the stack.
#[expect(unconditional_recursion, reason = "it is what this plugin is for")]
fn deeper(depth: u64) -> u64 {
    let place = black_box([depth; 64]);
    deeper(depth + 1) + place.iter().sum::<u64>()
}
