//! The real binary between real peers. Where a test holds the proxy to an RFC, its name or comment says to which
//! section.

mod relay;
mod close;
mod tunnel;
mod upgrade;
