//! TLS with the servers of an upstream: whom they are believed to be, and what they are shown.

use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificates::{FileError, load_authorities, load_key};
use super::provider;
use super::stream::TlsStream;
use crate::config::{HttpVersion, UpstreamTls};
use crate::leg::Leg;

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

const NO_HTTP_2: &str = "server does not agree on HTTP/2 (ALPN h2)";

/// Why an upstream cannot be spoken to over TLS.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("expected roots that this system trusts, or a ca in the upstream's tls; found none{0}")]
    NoRoots(String),
    #[error("{0}")]
    Unusable(#[from] rustls::Error),
    #[error("expected a server-name that a certificate can be for, found {0:?}")]
    Name(String),
    #[error("{0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// An upstream's side of TLS: sessions with its servers are resumed where these allow it.
#[derive(Debug)]
pub struct Connector {
    /// The same but for the protocol that is asked for.
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    /// `server-name`, where it is not each server's own.
    name: Option<ServerName<'static>>,
    files: Files,
}

/// What was in the files it is made of. (A key belongs to its certificate, which is checked.)
#[derive(Debug, PartialEq, Eq)]
struct Files {
    /// Empty where servers are not verified.
    roots: Vec<TrustAnchor<'static>>,
    /// What the proxy shows, with those it was issued by.
    chain: Vec<CertificateDer<'static>>,
}

// === impl Connector ===

impl Connector {
    pub fn load(tls: &UpstreamTls) -> Result<Self, ConnectorError> {
        let (verifier, roots) = verifier(tls)?;
        let builder =
            ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut chain = Vec::new();
        let mut config = match &tls.certificate {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = load_key(pair)?;
                chain.clone_from(&key.cert);
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
            }
        };
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        let http2 = Arc::new(config.clone());
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        let name = tls.server_name.as_deref().map(|name| {
            let name = bare(name);
            ServerName::try_from(name.to_owned()).map_err(|_| ConnectorError::Name(name.to_owned()))
        });
        Ok(Self { http1: Arc::new(config), http2, name: name.transpose()?, files: Files { roots, chain } })
    }

    /// Whether the files of one and the other say the same.
    pub fn has_files_of(&self, other: &Self) -> bool {
        self.files == other.files
    }

    /// The handshake with the server at `address`, which is `HOST:PORT`. HTTP/2 it must agree to (RFC 9113 §3.2); one
    /// that knows nothing of ALPN is taken to speak HTTP/1.1.
    pub async fn connect(&self, stream: TcpStream, address: &str, version: HttpVersion) -> io::Result<Leg> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(address).ok_or(io::ErrorKind::InvalidInput)?,
        };
        let config = match version {
            HttpVersion::Http1 => &self.http1,
            HttpVersion::Http2 => &self.http2,
        };
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        if version == HttpVersion::Http2 && stream.get_ref().1.alpn_protocol() != Some(HTTP_2) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, NO_HTTP_2));
        }
        Ok(Leg::Tls(Box::new(TlsStream::new(stream.into()))))
    }
}

/// What the certificate of the server at `HOST:PORT` has to be for.
fn server_name(address: &str) -> Option<ServerName<'static>> {
    let (host, _) = address.rsplit_once(':')?;
    ServerName::try_from(bare(host).to_owned()).ok()
}

/// IPv6 without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

type Verifier = (Arc<dyn ServerCertVerifier>, Vec<TrustAnchor<'static>>);

fn verifier(tls: &UpstreamTls) -> Result<Verifier, ConnectorError> {
    if !tls.verify {
        tracing::warn!("an upstream's servers are not verified, as its tls has verify = false");
        return Ok((Arc::new(Anybody(provider())), Vec::new()));
    }
    let roots = match &tls.ca {
        Some(file) => load_authorities(file)?,
        None => system_roots()?,
    };
    let roots = Arc::new(roots);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider()).build()?;
    Ok((verifier, roots.roots.clone()))
}

/// Those the system's administrator trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
fn system_roots() -> Result<RootCertStore, ConnectorError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors = found.errors.iter().map(|error| format!(": {error}"));
        return Err(ConnectorError::NoRoots(errors.collect()));
    }
    Ok(roots)
}

/// `verify = false`: encrypted, and nobody knows with whom. Signatures are still checked, so that it is the same server
/// throughout.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_hosts_of_addresses() {
        for (address, name) in
            [("chat.internal:443", "chat.internal"), ("127.0.0.1:8443", "127.0.0.1"), ("[::1]:8443", "::1")]
        {
            assert_eq!(server_name(address).unwrap().to_str(), name);
        }
        assert_eq!(server_name("chat"), None);
    }
}
