//! What the proxy may do with a session's messages. But for what plugins change, no peer can tell which it is.

use std::fmt::Display;
use std::net::SocketAddr;

use sluicegate_tests::{Proxy, config, guest};

/// A route without plugins: bytes pass.
pub const RELAY: &str = "/relay";
/// Every message is put together, shown to a plugin, and passed on as it came.
pub const FORWARD: &str = "/forward";
/// Every message is replaced by itself, so that the proxy writes it anew.
pub const REPLACE: &str = "/replace";
/// A plugin does what the messages say.
pub const SCRIPTED: &str = "/scripted";

/// Those that change nothing.
pub const MODES: [&str; 3] = [RELAY, FORWARD, REPLACE];
/// Those that look inside.
pub const INSPECTING: [&str; 2] = [FORWARD, REPLACE];

/// A proxy with a route to `server` for each mode, all with these keys.
pub async fn start(server: SocketAddr, keys: impl Display) -> Proxy {
    let route = |mode: &str, plugin: &str| {
        config::route("app", &format!("path = \"{mode}\"\nplugins = [{plugin}]\n{keys}"))
    };
    let config = [
        config::listener(""),
        config::plugin("forward", &guest("forward"), ""),
        config::plugin("replace", &guest("stamp"), "settings = { mark = \"\" }"),
        config::plugin("scripted", &guest("scripted"), ""),
        config::upstream("app", &[server], ""),
        route(RELAY, ""),
        route(FORWARD, "\"forward\""),
        route(REPLACE, "\"replace\""),
        route(SCRIPTED, "\"scripted\""),
    ];
    Proxy::start(&config.concat()).await
}
