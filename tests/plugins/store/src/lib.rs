//! Does with the store what a request's path tells it, and answers with what came of it:
//!
//! | path | what it does |
//! |---|---|
//! | `/get/KEY`, `/delete/KEY` | … |
//! | `/set/KEY/VALUE`, `/increment/KEY/BY` | with `?MS`, what begins with it expires |
//! | `/fill/KEY/BYTES` | sets a value of so many bytes |
//! | `/times/COUNT/KEY` | increments it so many times in one call |
//!
//! Errors are answered with 503 and their name. In a session, each text message increments the key it names, and is
//! replaced by the sum.

use std::time::Duration;

use sluicegate_sdk::prelude::*;
use sluicegate_sdk::store::{self, StoreError};

struct Storing;

struct Open;

impl Plugin for Storing {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

impl RequestHook for Storing {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        if request.is_websocket() {
            return RequestVerdict::Pass;
        }
        match obey(request) {
            Ok(text) => RequestVerdict::respond(200, text),
            Err(error) => RequestVerdict::respond(503, format!("{error:?}")),
        }
    }
}

impl SessionHook for Storing {
    type Session = Open;

    fn open(&self, _: &Request, _: &Connection) -> Result<Open, Response> {
        Ok(Open)
    }
}

impl Session for Open {
    type Plugin = Storing;

    fn on_message(&mut self, _: &Storing, _: &Connection, sender: Side, message: Message) -> MessageVerdict {
        match (sender, message.as_text()) {
            (Side::Client, Some(key)) => {
                MessageVerdict::replace(format!("{:?}", store::increment(key, 1, None)))
            }
            _ => MessageVerdict::Forward,
        }
    }
}

export!(Storing: RequestHook, SessionHook);

fn obey(request: &Request) -> Result<String, StoreError> {
    let expires = request.query().and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    let words: Vec<&str> = request.path().split('/').skip(1).collect();
    match words[..] {
        ["get", key] => Ok(match store::get(key)? {
            Some(value) => String::from_utf8_lossy(&value).into_owned(),
            None => "none".to_owned(),
        }),
        ["delete", key] => store::delete(key).map(|()| "done".to_owned()),
        ["set", key, value] => store::set(key, value, expires).map(|()| "done".to_owned()),
        ["fill", key, bytes] => {
            store::set(key, vec![b'x'; number(bytes)], expires).map(|()| "done".to_owned())
        }
        ["increment", key, by] => Ok(store::increment(key, number(by), expires)?.to_string()),
        ["times", count, key] => {
            let mut sum = 0;
            for _ in 0..number(count) {
                sum = store::increment(key, 1, expires)?;
            }
            Ok(sum.to_string())
        }
        _ => Ok("what?".to_owned()),
    }
}

fn number<T: std::str::FromStr + Default>(text: &str) -> T {
    text.parse().unwrap_or_default()
}
