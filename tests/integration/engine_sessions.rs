//! Sessions for peers of other makes (`tests/peers/sessions-client.js`, `sessions_client.py`) to lead: what they say, and
//! what they must hear.

use std::fs;

use serde_json::{Map, Value, json};
use sluicegate_tests::{Peer, Proxy, scratch};

/// A client's offer, or a server's answer: parameters of permessage-deflate with their values (RFC 7692 §7.1).
pub type Parameters = Vec<(&'static str, Option<u8>)>;

/// What peers of other makes are to do.
#[derive(Default)]
pub struct Plan {
    scripts: Map<String, Value>,
    sessions: Vec<Value>,
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub struct Led {
    pub sessions: usize,
    /// How many of them had agreed on permessage-deflate.
    pub compressed: usize,
}

/// Messages to send, messages to hear, pings to see: all of it before the next round begins.
#[derive(Default)]
pub struct Round {
    pub send: Vec<Value>,
    pub hear: Vec<Value>,
    pub pings: usize,
}

// === impl Plan ===

impl Plan {
    pub fn script(&mut self, name: &str, rounds: impl IntoIterator<Item = Round>) {
        let round = |round: Round| json!({"send": round.send, "hear": round.hear, "pings": round.pings});
        self.scripts.insert(name.to_owned(), rounds.into_iter().map(round).collect());
    }

    /// A session in which the client offers this and the server is to answer that; none: no permessage-deflate.
    pub fn session(
        &mut self,
        mode: &str,
        script: &str,
        offer: Option<&Parameters>,
        answer: Option<&Parameters>,
    ) {
        let offer = offer.map(|offer| -> Map<String, Value> {
            let value = |(name, value): &(&str, Option<u8>)| {
                (name.to_string(), value.map_or(true.into(), Value::from))
            };
            offer.iter().map(value).collect()
        });
        let query = answer.map_or("off".to_owned(), |answer| written(answer).join("&"));
        let path = format!("{mode}?{query}");
        let answer = answer.map_or_else(String::new, header);
        self.sessions.push(json!({"path": path, "offer": offer, "answer": answer, "script": script}));
    }

    /// Have this client lead all sessions.
    pub async fn lead(self, client: &str, proxy: &Proxy) -> Led {
        let folder = scratch();
        let file = folder.path().join("plan.json");
        let Self { scripts, sessions } = self;
        fs::write(&file, json!({"scripts": scripts, "sessions": sessions}).to_string()).unwrap();
        let mut client = Peer::start(client, &[&format!("ws://{}", proxy.address()), file.to_str().unwrap()]);
        loop {
            let told = client.line().await;
            assert!(told["failed"].is_null(), "{}", told["failed"]);
            if let Value::Object(done) = &told["done"] {
                let count = |name| done[name].as_u64().unwrap().try_into().unwrap();
                return Led { sessions: count("led"), compressed: count("compressed") };
            }
        }
    }
}

/// A sequence that does not repeat itself, but that its seed gives again (xorshift).
pub struct Noise(pub u64);

// === impl Noise ===

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Letters and digits, which only a repetition makes compress well.
    pub fn text(&mut self, length: usize) -> String {
        let letter = |_| char::from_digit((self.next() % 36) as u32, 36).unwrap();
        (0..length).map(letter).collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, (self.next() % (at as u64 + 1)) as usize);
        }
    }
}

/// A text message.
pub fn text(text: impl Into<String>) -> Value {
    json!({"text": text.into()})
}

/// Messages that are sent and come back.
pub fn echoed(messages: Vec<Value>) -> Round {
    Round { hear: messages.clone(), send: messages, pings: 0 }
}

/// The elements of the header's value, sorted as clients do before they compare.
fn header(parameters: &Parameters) -> String {
    let mut elements = written(parameters);
    elements.push("permessage-deflate".to_owned());
    elements.sort();
    elements.join("; ")
}

fn written(parameters: &Parameters) -> Vec<String> {
    let write = |(name, value): &(&str, Option<u8>)| match value {
        Some(value) => format!("{name}={value}"),
        None => (*name).to_owned(),
    };
    parameters.iter().map(write).collect()
}
