//! One connection to one address of a server.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};

use crate::config::HttpVersion;
use crate::leg::Leg;
use crate::tls::Connector;

/// What can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// How a server is spoken to over TLS.
#[derive(Debug, Clone)]
pub struct Security {
    pub connector: Arc<Connector>,
    /// The server as the configuration names it, which its certificate has to be for.
    pub address: Arc<str>,
}

/// Connect, and say `preamble`, which comes before all else, TLS too.
pub async fn dial(
    endpoint: &Endpoint,
    preamble: &[u8],
    security: Option<&Security>,
    version: HttpVersion,
) -> io::Result<Leg> {
    let mut stream = match endpoint {
        Endpoint::Tcp(address) => TcpStream::connect(address).await?,
        Endpoint::Unix(path) => {
            let mut stream = UnixStream::connect(path).await?;
            stream.write_all(preamble).await?;
            return Ok(Leg::Unix(stream));
        }
    };
    stream.set_nodelay(true)?;
    stream.write_all(preamble).await?;
    match security {
        // In a box, as it takes much more room than a connection without TLS.
        Some(Security { connector, address }) => Box::pin(connector.connect(stream, address, version)).await,
        None => Ok(Leg::Tcp(stream)),
    }
}
