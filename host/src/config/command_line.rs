//! A configuration without a file: what `run --listen --upstream --plugin` says, with defaults for the rest.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::error::{Error, Errors};
use super::names::to_name;
use super::paths::existing_file;
use super::text::quoted;
use super::types::{
    Config, Listener, Plugin, PluginIndex, Route, Server, Store, Target, Upstream, UpstreamIndex, UpstreamTls,
};
use super::upstream::{SERVER_ADDRESS, server_address};

const UPSTREAM_NAME: &str = "default";

impl Config {
    /// One listener, one upstream of these `HOST:PORT`s, and a route for everything with the plugins in this order.
    /// A plugin's name is its file's, without the extension.
    pub fn from_parts(listen: SocketAddr, upstream: &[String], plugins: &[PathBuf]) -> Result<Self, Errors> {
        let mut errors = Vec::new();
        if upstream.is_empty() {
            errors.push(error("--upstream", format!("expected {SERVER_ADDRESS}, found nothing")));
        }
        let mut servers = Vec::new();
        for address in upstream {
            match server_address(address) {
                Some(server) => servers.push(server),
                None => errors.push(error(
                    "--upstream",
                    format!("expected {SERVER_ADDRESS}, found {}", quoted(address)),
                )),
            }
        }
        let mut loaded: Vec<Plugin> = Vec::new();
        for file in plugins {
            match existing_file(file) {
                Ok(path) => loaded.push(Plugin::new(unique_name(file, &loaded), path)),
                Err(text) => errors.push(error("--plugin", text)),
            }
        }
        if let Some(errors) = Errors::new(errors) {
            return Err(errors);
        }
        let tls = servers.iter().any(|server| server.https).then(UpstreamTls::default);
        let mut route = Route::new(Target::Upstream(UpstreamIndex(0)));
        route.plugins = (0..loaded.len()).map(PluginIndex).collect();
        Ok(Self {
            server: Server::default(),
            store: Store::default(),
            listeners: vec![Listener::new(listen)],
            plugins: loaded,
            upstreams: vec![Upstream { tls, ..Upstream::new(UPSTREAM_NAME.to_owned(), servers) }],
            routes: vec![route],
        })
    }
}

fn error(option: &str, text: String) -> Error {
    Error { file: "command line".to_owned(), position: None, key: option.to_owned(), text }
}

/// The file's name, with a number behind it where another plugin has that name.
fn unique_name(file: &Path, others: &[Plugin]) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = Some(to_name(&stem)).filter(|name| !name.is_empty()).unwrap_or_else(|| "plugin".to_owned());
    let is_free = |name: &String| others.iter().all(|other| other.name != *name);
    let numbered = (2..).map(|number: usize| {
        let number = format!("-{number}");
        let length = name.len().min(super::names::NAME_BYTES_MAX - number.len());
        format!("{}{number}", name.get(..length).unwrap_or_default())
    });
    std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or(name)
}
