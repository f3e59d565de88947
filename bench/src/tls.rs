//! One certificate that every proxy shows, and what both ends of TLS speak: version 1.3, X25519, AES-128-GCM, no session
//! resumed. The key exchange and cipher are what all peers have, so that none is charged for a dearer one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Outcome;

/// A self-signed ECDSA P-256 certificate for `localhost`, in PEM.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// In one file, as HAProxy wants it.
    pub both: PathBuf,
}

// === impl Certificate ===

impl Certificate {
    pub fn write(folder: &Path) -> Outcome<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let parameters = CertificateParams::new(vec!["localhost".to_owned()])?;
        let certificate = parameters.self_signed(&key)?.pem();
        let key = key.serialize_pem();
        let files = Self {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            both: folder.join("certificate-and-key.pem"),
        };
        fs::write(&files.certificate, &certificate)?;
        fs::write(&files.key, &key)?;
        fs::write(&files.both, certificate + &key)?;
        Ok(files)
    }

    pub fn client(&self) -> Outcome<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate)?)?;
        let provider = CryptoProvider {
            kx_groups: vec![kx_group::X25519],
            cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
            ..default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// The server's end, for a proxy made of nothing but rustls.
pub fn server(certificate: &Path, key: &Path) -> Outcome<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(certificate)?;
    Ok(ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_file(key)?)?)
}
