//! Puts its version and the session's count of messages before each message of the client, as `v1#3 text`, and hands the
//! count over to its next version. The first message of a session may be a command, for later:
//!
//! | command | what it does |
//! |---|---|
//! | `timer MS` | sets the timer; when it has come, sends `v1 timer` to the client |
//! | `attribute NAME` | begins each later message with that attribute, too |
//!
//! By its settings a version can be one that hands nothing over, refuses what it is handed, or fails.

use std::time::Duration;

use sluicegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Version {
    version: u32,
    /// Whether it gives its sessions to the next version.
    #[serde(default = "yes")]
    export: bool,
    /// Whether it takes those of the last one.
    #[serde(default = "yes")]
    import: bool,
    /// `export` or `import`: there it panics.
    #[serde(default)]
    fail: String,
    /// Sent to the client by a session that is taken over.
    #[serde(default)]
    greeting: Option<String>,
}

fn yes() -> bool {
    true
}

/// What a session knows, whatever version runs it.
#[derive(Default, Deserialize, Serialize)]
struct Open {
    messages: u64,
    attribute: Option<String>,
}

impl Plugin for Version {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, ConfigureError> {
        Ok(settings)
    }
}

impl RequestHook for Version {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        if let Err(error) = request.set_attribute("opened-by", &format!("v{} ", self.version)) {
            log::error!("attribute not set: {error}");
        }
        match request.path() {
            "/version" => RequestVerdict::respond(200, format!("v{}", self.version)),
            _ => RequestVerdict::Pass,
        }
    }
}

impl SessionHook for Version {
    type Session = Open;

    fn open(&self, _: &Request, connection: &Connection) -> Result<Open, Response> {
        connection.inspect(Side::Upstream, MessageKinds::NONE);
        Ok(Open::default())
    }
}

impl Session for Open {
    type Plugin = Version;

    fn on_message(
        &mut self,
        plugin: &Version,
        connection: &Connection,
        _: Side,
        message: Message,
    ) -> MessageVerdict {
        self.messages += 1;
        let text = message.as_text().unwrap_or_default();
        match text.split_once(' ') {
            Some(("timer", ms)) => {
                connection.set_timer(Duration::from_millis(ms.parse().unwrap_or_default()))
            }
            Some(("attribute", name)) => self.attribute = Some(name.to_owned()),
            _ => {}
        }
        let attribute =
            self.attribute.as_deref().and_then(|name| connection.attribute(name)).unwrap_or_default();
        MessageVerdict::replace(format!("{attribute}v{}#{} {text}", plugin.version, self.messages))
    }

    fn on_timer(&mut self, plugin: &Version, connection: &Connection) {
        send(connection, &format!("v{} timer", plugin.version));
    }

    fn on_drain(&mut self, plugin: &Version, connection: &Connection) {
        send(connection, &format!("v{} drain", plugin.version));
    }

    fn on_close(&mut self, plugin: &Version, _: &Connection, closed: CloseInfo) {
        log::info!("on-close v{}#{} {:?}", plugin.version, self.messages, closed.code);
    }

    fn export_state(&self, plugin: &Version) -> Option<Vec<u8>> {
        assert!(plugin.fail != "export", "asked to fail");
        if plugin.export { state::export(self) } else { None }
    }

    fn import_state(plugin: &Version, connection: &Connection, state: Vec<u8>) -> Result<Self, String> {
        assert!(plugin.fail != "import", "asked to fail");
        if !plugin.import {
            return Err(format!("v{} takes no sessions over", plugin.version));
        }
        if let Some(greeting) = &plugin.greeting {
            send(connection, greeting);
        }
        state::import(&state)
    }
}

fn send(connection: &Connection, text: &str) {
    if let Err(error) = connection.send(Side::Client, text) {
        log::warn!("not sent: {error}");
    }
}

export!(Version: RequestHook, SessionHook);
