//! The real binary between real peers. Where a test holds the proxy to an RFC, its name or comment says to which
//! section.

mod backpressure;
mod close;
mod headers;
mod http;
mod head_limits;
mod message_limits;
mod relay;
mod routing;
mod smuggling;
mod timeouts;
mod tunnel;
mod upgrade;
mod ways;
