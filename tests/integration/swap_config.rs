//! Configurations of tests that replace them, and how to tell which version of a plugin answers.

use std::net::SocketAddr;
use std::path::Path;

use sluicegate_tests::{Proxy, Wire, config, guest};

/// A route with the plugin `version` in front of `upstream`.
pub struct Versioned {
    pub upstream: SocketAddr,
    /// Keys of `[server]`.
    pub server: &'static str,
    /// Keys of the plugin.
    pub plugin: &'static str,
    /// Further settings of the plugin.
    pub settings: &'static str,
}

// === impl Versioned ===

impl Versioned {
    pub fn new(upstream: SocketAddr) -> Self {
        Self { upstream, server: "", plugin: "", settings: "" }
    }

    /// With this version in service.
    pub fn config(&self, version: u32) -> String {
        self.config_of(&guest("version"), version)
    }

    /// The same of another file.
    pub fn config_of(&self, file: &Path, version: u32) -> String {
        let settings = format!("settings = {{ version = {version}, {} }}", self.settings);
        let plugin = config::plugin("version", file, &format!("{settings}\n{}", self.plugin));
        [
            &format!("[server]\n{}\n", self.server),
            &config::listener(""),
            &config::upstream("app", &[self.upstream], ""),
            &plugin,
            &config::route("app", "plugins = [\"version\"]"),
        ]
        .map(String::as_str)
        .concat()
    }

    pub async fn start(&self) -> Proxy {
        Proxy::start(&self.config(1)).await
    }

    /// Put this version in service: the line of the log that says what has changed.
    pub async fn swap(&self, proxy: &Proxy, version: u32) -> String {
        proxy.write_config(&self.config(version));
        proxy.reload().await
    }
}

/// Which version answers requests now.
pub async fn version_at(address: SocketAddr) -> String {
    let request = "GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    Wire::send_to(address, request).await.response().await.text().to_owned()
}
