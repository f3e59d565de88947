//! The real binary between real peers. Where a test holds the proxy to an RFC, its name or comment says to which
//! section.

mod backpressure;
mod check;
mod close;
mod command_line;
mod drain;
mod engine_compression;
mod engine_modes;
mod engine_sessions;
mod head_limits;
mod headers;
mod http;
mod message_limits;
mod plugin_budgets;
mod plugin_failures;
mod plugin_requests;
mod plugin_sessions;
mod reference_plugins;
mod relay;
mod routing;
mod smuggling;
mod timeouts;
mod tunnel;
mod upgrade;
mod ways;
