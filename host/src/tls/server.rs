//! TLS with clients: what a listener shows and demands, and the handshake.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{
    NoClientAuth, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier,
    danger::ClientCertVerifier,
};
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::TrustAnchor;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::certificates::{FileError, Reason, Resolver, load_authorities};
use super::identity::ClientCertificate;
use super::stream::TlsStream;
use super::{provider, reload};
use crate::config::{ClientCertificates, Tls, TlsVersion};
use crate::file_stamp::Stamp;
use crate::leg::Leg;

const HTTP_2: &[u8] = b"h2";
/// What is offered by ALPN (RFC 7301): the first that the client knows, too. A client that names none speaks HTTP/1.1, or
/// begins with the preface of the other.
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];
/// Sessions kept for clients that resume without tickets; each some hundred bytes.
const SESSIONS_MAX: usize = 4_096;

const TLS_1_2_AND_1_3: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
const TLS_1_3: [&SupportedProtocolVersion; 1] = [&version::TLS13];

/// A listener's side of TLS. What it shows can be replaced while it serves.
#[derive(Debug)]
pub struct Acceptor {
    tls: Tls,
    pub(super) current: ArcSwap<Current>,
}

/// What is in use.
#[derive(Debug)]
pub struct Current {
    config: Arc<ServerConfig>,
    /// Whose client certificates are believed.
    authorities: Vec<TrustAnchor<'static>>,
    resumption: Resumption,
    /// Of the files it was made of, when they were read.
    stamps: Vec<Stamp>,
}

/// What clients resume sessions by.
#[derive(Debug, Clone)]
struct Resumption {
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// A connection whose handshake is over.
pub struct Established {
    pub leg: Leg,
    pub client_certificate: Option<Arc<ClientCertificate>>,
    /// It was agreed on.
    pub is_http2: bool,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("no TLS handshake within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    #[error("{0}")]
    Failed(#[from] io::Error),
    /// The stream is at its beginning: the request has not been read.
    #[error("plain HTTP to a port that speaks https")]
    PlainHttp(TcpStream),
}

// === impl Acceptor ===

impl Acceptor {
    pub fn load(tls: &Tls) -> Result<Self, FileError> {
        let current = ArcSwap::from_pointee(Current::load(tls, None)?);
        Ok(Self { tls: tls.clone(), current })
    }

    /// One that is to follow this one, perhaps with other settings. Clients resume their sessions if they still may.
    pub fn successor(&self, tls: &Tls) -> Result<Self, FileError> {
        let before = self.current.load();
        let before = (self.tls.client_certificates == tls.client_certificates).then_some(&**before);
        let current = ArcSwap::from_pointee(Current::load(tls, before)?);
        Ok(Self { tls: tls.clone(), current })
    }

    /// Take what is in the files now. Where it cannot be used, all stays as it is. Connections that are open, and those
    /// in a handshake, keep what they began with.
    pub fn reload(&self) -> Result<(), FileError> {
        let next = Current::load(&self.tls, Some(&self.current.load()))?;
        self.current.store(Arc::new(next));
        Ok(())
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    pub(super) fn stamps(&self) -> Vec<Stamp> {
        self.current.load().stamps.clone()
    }

    /// Make the handshake, if it takes no longer than `time_max`.
    pub async fn accept(&self, stream: TcpStream, time_max: Duration) -> Result<Established, HandshakeError> {
        let accepted = timeout(time_max, self.handshake(stream)).await;
        accepted.unwrap_or(Err(HandshakeError::TimedOut(time_max)))
    }

    async fn handshake(&self, stream: TcpStream) -> Result<Established, HandshakeError> {
        let mut first = [0];
        let length = stream.peek(&mut first).await?;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        // A method (RFC 9110 §9.1): no record begins with a letter (RFC 8446 §5.1).
        if first[0].is_ascii_uppercase() {
            return Err(HandshakeError::PlainHttp(stream));
        }
        let config = Arc::clone(&self.current.load().config);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let client_certificate = certificate.map(|certificate| {
            let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "unreadable client certificate");
            ClientCertificate::read(certificate).map(Arc::new).ok_or_else(unreadable)
        });
        let client_certificate = client_certificate.transpose()?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        let leg = Leg::Tls(Box::new(TlsStream::new(stream.into())));
        Ok(Established { leg, client_certificate, is_http2 })
    }
}

// === impl Current ===

impl Current {
    fn load(tls: &Tls, before: Option<&Self>) -> Result<Self, FileError> {
        let unusable = |error: rustls::Error| {
            let file = tls.certificates.first().map(|pair| pair.certificate.clone()).unwrap_or_default();
            FileError { file, reason: Reason::Unusable(error.to_string()) }
        };
        let stamps = reload::stamps(tls);
        let resolver = Resolver::load(&tls.certificates)?;
        let (verifier, authorities) = match &tls.client_certificates {
            Some(clients) => verifier(clients)?,
            None => (Arc::new(NoClientAuth) as Arc<dyn ClientCertVerifier>, Vec::new()),
        };
        // A session is resumed without its certificate being verified again, so none outlives its authorities.
        let resumption = match before.filter(|before| before.authorities == authorities) {
            Some(before) => before.resumption.clone(),
            None => Resumption::new().map_err(unusable)?,
        };
        let versions: &[_] = match tls.min_version {
            TlsVersion::Tls12 => &TLS_1_2_AND_1_3,
            TlsVersion::Tls13 => &TLS_1_3,
        };
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions);
        let mut config = builder
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.ticketer = Arc::clone(&resumption.tickets);
        config.session_storage = Arc::clone(&resumption.sessions);
        Ok(Self { config: Arc::new(config), authorities, resumption, stamps })
    }
}

// === impl Resumption ===

impl Resumption {
    fn new() -> Result<Self, rustls::Error> {
        Ok(Self { tickets: Ticketer::new()?, sessions: ServerSessionMemoryCache::new(SESSIONS_MAX) })
    }
}

type Verifier = (Arc<dyn ClientCertVerifier>, Vec<TrustAnchor<'static>>);

fn verifier(clients: &ClientCertificates) -> Result<Verifier, FileError> {
    let roots = Arc::new(load_authorities(&clients.ca)?);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider());
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| {
        let reason = Reason::Unusable(error.to_string());
        FileError { file: clients.ca.clone(), reason }
    })?;
    Ok((verifier, roots.roots.clone()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::config::KeyPair;

    fn acceptor() -> Acceptor {
        let folder = tempfile::tempdir().unwrap();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["chat.example.com".to_owned()]).unwrap();
        let pair =
            KeyPair { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        std::fs::write(&pair.certificate, cert.pem()).unwrap();
        std::fs::write(&pair.key, signing_key.serialize_pem()).unwrap();
        Acceptor::load(&Tls::new(vec![pair])).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_ends_at_its_time_and_not_before() {
        let acceptor = acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            client.write_all(begun).await.unwrap();
            let began = Instant::now();
            let accepted = acceptor.accept(stream, Duration::from_secs(10)).await;
            assert!(matches!(accepted, Err(HandshakeError::TimedOut(_))));
            assert_eq!(began.elapsed(), Duration::from_secs(10));
        }
    }
}
