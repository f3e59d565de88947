//! Names of servers: looked up by the system's resolver, in a thread that may block.

use std::io;
use std::net::SocketAddr;

use tokio::net::lookup_host;

/// All addresses of a `NAME:PORT`, in the resolver's order; at least one.
pub async fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<SocketAddr> = lookup_host(name).await?.collect();
    match addresses.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "name has no address")),
        false => Ok(addresses),
    }
}
