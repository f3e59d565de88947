//! Certificates made for one test, and the client's end of TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::soon;
use crate::wire::Wire;

/// Somebody who issues certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, both in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

/// What the client's end believes, shows and speaks. Clones resume each other's sessions.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

/// A server that speaks TLS, whose connections the test takes one by one.
pub struct TlsServer {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

// === impl Authority ===

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = common_name(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate of a server with these names.
    pub fn server(&self, names: &[&str]) -> Issued {
        self.issue(server(names))
    }

    /// The same, long past its end.
    pub fn expired_server(&self, names: &[&str]) -> Issued {
        let mut parameters = server(names);
        parameters.not_before = date_time_ymd(2001, 1, 1);
        parameters.not_after = date_time_ymd(2002, 1, 1);
        self.issue(parameters)
    }

    /// The same, not valid yet.
    pub fn future_server(&self, names: &[&str]) -> Issued {
        let mut parameters = server(names);
        parameters.not_before = date_time_ymd(4000, 1, 1);
        self.issue(parameters)
    }

    /// A certificate of a client with this name.
    pub fn client(&self, name: &str) -> Issued {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = common_name(name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(parameters)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        roots
    }

    fn issue(&self, parameters: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::OrganizationName, "Sluicegate");
    names.push(DnType::CommonName, name);
    names
}

// === impl Issued ===

impl Issued {
    /// Leave it as `NAME.pem` and `NAME-key.pem`: their paths.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}-key.pem")));
        fs::write(&certificate, &self.certificate).unwrap();
        fs::write(&key, &self.key).unwrap();
        (certificate, key)
    }

    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()];
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }
}

// === impl TlsClient ===

impl TlsClient {
    /// Believes this authority, has no certificate, speaks any version and `http/1.1`.
    pub fn new(authority: &Authority) -> Self {
        Self::of(authority, None, &[&version::TLS13, &version::TLS12])
    }

    /// The same with only this version.
    pub fn with_version(authority: &Authority, version: &'static SupportedProtocolVersion) -> Self {
        Self::of(authority, None, &[version])
    }

    /// The same with a certificate of its own.
    pub fn with_certificate(authority: &Authority, issued: &Issued) -> Self {
        Self::of(authority, Some(issued), &[&version::TLS13, &version::TLS12])
    }

    fn of(
        authority: &Authority,
        issued: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder =
            builder.with_protocol_versions(versions).unwrap().with_root_certificates(authority.roots());
        let mut config = match issued {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let (chain, key) = issued.der();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { config: Arc::new(config) }
    }

    /// Names these protocols in its ALPN.
    pub fn with_protocols(mut self, protocols: &[&str]) -> Self {
        let config = Arc::make_mut(&mut self.config);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// The handshake with a server of this name, which must come about.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> Wire {
        self.try_connect(address, name).await.unwrap()
    }

    pub async fn try_connect(&self, address: SocketAddr, name: &str) -> std::io::Result<Wire> {
        self.handshake(address, &[], name).await.map(Wire::over_tls)
    }

    /// The same with bytes that come before the handshake.
    pub async fn connect_after(&self, first: &[u8], address: SocketAddr, name: &str) -> Wire {
        self.handshake(address, first, name).await.map(Wire::over_tls).unwrap()
    }

    async fn handshake(
        &self,
        address: SocketAddr,
        first: &[u8],
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut stream = soon("connect", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        stream.write_all(first).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        soon("a handshake", TlsConnector::from(Arc::clone(&self.config)).connect(name, stream)).await
    }
}

// === impl TlsServer ===

impl TlsServer {
    /// With a certificate of this authority for these names.
    pub async fn start(authority: &Authority, names: &[&str]) -> Self {
        Self::with(authority, names, Arc::new(NoClientAuth)).await
    }

    /// The same, and clients have to show one of this authority, too.
    pub async fn asking(authority: &Authority, names: &[&str]) -> Self {
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider);
        Self::with(authority, names, verifier.build().unwrap()).await
    }

    async fn with(authority: &Authority, names: &[&str], clients: Arc<dyn ClientCertVerifier>) -> Self {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder =
            builder.with_safe_default_protocol_versions().unwrap().with_client_cert_verifier(clients);
        let (chain, key) = authority.server(names).der();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection, if its handshake comes about.
    pub async fn next(&self) -> std::io::Result<Wire> {
        self.handshake(self.accept().await).await
    }

    /// The same after a line that comes before the handshake.
    pub async fn next_after_line(&self) -> (String, Wire) {
        let mut stream = self.accept().await;
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(soon("a line", stream.read_u8()).await.unwrap());
        }
        (String::from_utf8(line).unwrap(), self.handshake(stream).await.unwrap())
    }

    async fn accept(&self) -> TcpStream {
        soon("a connection to the server", self.listener.accept()).await.unwrap().0
    }

    async fn handshake(&self, stream: TcpStream) -> std::io::Result<Wire> {
        soon("a handshake", self.acceptor.accept(stream)).await.map(Wire::over_tls)
    }
}
