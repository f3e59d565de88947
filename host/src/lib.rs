//! Sluicegate: a reverse proxy for WebSocket and HTTP applications, programmed with WebAssembly.

mod body;
pub mod cli;
pub mod config;
mod connection;
mod drain;
mod exchange;
mod files;
mod forward;
mod forwarded;
mod guard;
mod handshake;
mod headers;
mod leg;
mod lend;
pub mod limits;
pub mod plugin;
mod proxy_protocol;
mod reject;
pub mod request;
mod route;
pub mod server;
mod session;
pub mod snapshot;
mod stall;
mod upgrade;
mod upstream;
mod worker;
