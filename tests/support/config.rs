//! Pieces of configuration files.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;

/// A listener on a free port of the loopback interface, with further keys.
pub fn listener(keys: &str) -> String {
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{keys}\n")
}

/// An upstream with further keys.
pub fn upstream(name: &str, servers: &[SocketAddr], keys: &str) -> String {
    let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
    format!("[[upstream]]\nname = \"{name}\"\nservers = {servers:?}\n{keys}\n")
}

/// A plugin with further keys.
pub fn plugin(name: &str, file: &Path, keys: &str) -> String {
    format!("[[plugin]]\nname = \"{name}\"\nfile = {file:?}\n{keys}\n")
}

/// A route to an upstream, with further keys.
pub fn route(upstream: impl Display, keys: &str) -> String {
    format!("[[route]]\nupstream = \"{upstream}\"\n{keys}\n")
}

/// An upstream whose servers are written out as TOML, with further keys.
pub fn pool(name: &str, servers: &[String], keys: &str) -> String {
    format!("[[upstream]]\nname = \"{name}\"\nservers = [{}]\n{keys}\n", servers.join(", "))
}

/// A server of [`pool`] with further keys.
pub fn server(address: SocketAddr, keys: &str) -> String {
    format!("{{ address = \"{address}\", {keys} }}")
}
