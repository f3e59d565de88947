//! Does what the text messages tell it, one command in each line:
//!
//! | command | what it does |
//! |---|---|
//! | `client TEXT`, `upstream TEXT` | sends a message to that side |
//! | `attribute NAME` | sends the attribute's value, or `none`, to the client |
//! | `connection` | sends what it knows of the connection to the client |
//! | `timer MS`, `cancel-timer` | sets the timer; when it has come, sends `timer` to the client |
//! | `inspect SIDE KINDS` | of that side it wants `none`, `text`, `binary` or `all` from now on; tells the client |
//! | `close CODE REASON` | closes through the connection |
//! | `verdict drop`, `verdict replace TEXT`, `verdict close CODE REASON` | what becomes of this message |
//!
//! A message whose first line is no command passes; that `send` was refused is told in the log.

use std::time::Duration;

use sluicegate_sdk::prelude::*;

struct Scripted;

struct Open;

impl Plugin for Scripted {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

impl SessionHook for Scripted {
    type Session = Open;

    fn open(&self, _: &Request, _: &Connection) -> Result<Open, Response> {
        Ok(Open)
    }
}

impl Session for Open {
    type Plugin = Scripted;

    fn on_message(
        &mut self,
        _: &Scripted,
        connection: &Connection,
        _: Side,
        message: Message,
    ) -> MessageVerdict {
        let mut verdict = MessageVerdict::Forward;
        for line in message.as_text().unwrap_or_default().lines() {
            let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
            match command {
                "verdict" => verdict = parse_verdict(rest),
                _ => obey(connection, command, rest),
            }
        }
        verdict
    }

    fn on_timer(&mut self, _: &Scripted, connection: &Connection) {
        send(connection, Side::Client, "timer");
    }
}

export!(Scripted: SessionHook);

fn obey(connection: &Connection, command: &str, rest: &str) {
    match command {
        "client" => send(connection, Side::Client, rest),
        "upstream" => send(connection, Side::Upstream, rest),
        "attribute" => {
            send(connection, Side::Client, connection.attribute(rest).unwrap_or("none"));
        }
        "connection" => send(connection, Side::Client, &describe(connection)),
        "timer" => connection.set_timer(Duration::from_millis(rest.parse().unwrap_or_default())),
        "cancel-timer" => connection.cancel_timer(),
        "inspect" => inspect(connection, rest),
        "close" => {
            let (code, reason) = code_and_reason(rest);
            connection.close(CloseReason::new(code, reason));
        }
        _ => {}
    }
}

fn parse_verdict(text: &str) -> MessageVerdict {
    let (verdict, rest) = text.split_once(' ').unwrap_or((text, ""));
    match verdict {
        "drop" => MessageVerdict::Drop,
        "replace" => MessageVerdict::replace(rest),
        "close" => {
            let (code, reason) = code_and_reason(rest);
            MessageVerdict::close(code, reason)
        }
        _ => MessageVerdict::Forward,
    }
}

fn code_and_reason(text: &str) -> (u16, &str) {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    (code.parse().unwrap_or_default(), reason)
}

fn send(connection: &Connection, to: Side, text: &str) {
    if let Err(error) = connection.send(to, text) {
        log::warn!("not sent to {to:?}: {error}");
    }
}

fn inspect(connection: &Connection, rest: &str) {
    let (side, kinds) = rest.split_once(' ').unwrap_or((rest, ""));
    let side = if side == "client" { Side::Client } else { Side::Upstream };
    let kinds = match kinds {
        "none" => MessageKinds::NONE,
        "text" => MessageKinds::TEXT,
        "binary" => MessageKinds::BINARY,
        _ => MessageKinds::ALL,
    };
    let can = connection.inspect(side, kinds);
    send(connection, Side::Client, &format!("inspect {can}"));
}

fn describe(connection: &Connection) -> String {
    format!(
        "client-address={} subprotocol={:?} upstream={} server={}",
        connection.client_address(),
        connection.subprotocol(),
        connection.upstream(),
        connection.server()
    )
}
