//! The two ways a session's bytes go through the proxy, which must look the same from outside.

use sluicegate_tests::{Proxy, RawUpstream, Session, config, guest};

/// Paths whose sessions are relayed unread, and shown to a plugin that lets everything pass.
pub const WAYS: [&str; 2] = ["/relayed", "/inspected"];

/// A proxy with a route for each of [`WAYS`], both with these keys.
pub struct BothWays {
    pub proxy: Proxy,
    upstream: RawUpstream,
}

impl BothWays {
    pub async fn start(keys: &str) -> Self {
        Self::start_with("", keys).await
    }

    /// With keys of `[server]`, too.
    pub async fn start_with(server: &str, keys: &str) -> Self {
        let upstream = RawUpstream::start().await;
        let config = [
            format!("[server]\n{server}\n"),
            config::listener(""),
            config::plugin("forward", &guest("forward"), ""),
            config::upstream("app", &[upstream.address()], ""),
            config::route("app", &format!("path = \"/relayed\"\n{keys}")),
            config::route("app", &format!("path = \"/inspected\"\nplugins = [\"forward\"]\n{keys}")),
        ];
        Self { proxy: Proxy::start(&config.concat()).await, upstream }
    }

    pub async fn session(&self, way: &str) -> Session {
        Session::open_at(&self.proxy, &self.upstream, way).await
    }
}
