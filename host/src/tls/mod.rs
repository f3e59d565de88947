//! TLS (RFC 8446, RFC 5246) with clients and with upstreams: all that knows rustls.
//!
//! [`server`] makes the handshake with a client; what its configuration is made of is in [`certificates`], and who the
//! client says it is in [`identity`]. [`reload`] looks after the files. [`client`] makes the handshake with a server of an
//! upstream. A [`stream`] is what a leg runs over then.
//!
//! The cryptography is aws-lc's. Suites, groups and signatures are rustls's own choice, which has no weak ones to turn
//! off; neither version knows renegotiation or compression here, and no data is taken before the handshake is over
//! (no 0-RTT, which could be replayed).

pub mod certificates;
mod client;
mod distinguished_name;
pub mod identity;
pub mod reload;
pub mod server;
pub mod stream;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use self::certificates::FileError;
pub use self::client::{Connector, ConnectorError};
pub use self::identity::ClientCertificate;
pub use self::server::{Acceptor, Established, HandshakeError};
pub use self::stream::{HELD_BYTES_MAX, TlsStream};

/// The cryptography of all connections.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}
