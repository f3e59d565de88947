//! One connection to one address of a server.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};

use crate::leg::Leg;

/// What can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Connect, and say `preamble`, which comes before all else.
pub async fn dial(endpoint: &Endpoint, preamble: &[u8]) -> io::Result<Leg> {
    let mut leg = match endpoint {
        Endpoint::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Leg::Tcp(stream)
        }
        Endpoint::Unix(path) => Leg::Unix(UnixStream::connect(path).await?),
    };
    leg.write_all(preamble).await?;
    Ok(leg)
}
