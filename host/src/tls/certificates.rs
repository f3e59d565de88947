//! Certificates and keys: read from their files, checked, and found by the name a client asks for.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::provider;
use crate::config::KeyPair;

/// Something else than certificates was named when it is larger.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What is wrong with a file, and what was expected of it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct FileError {
    pub file: PathBuf,
    pub reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("expected a file that can be read: {0}")]
    Unreadable(io::Error),
    #[error("expected certificates in PEM, found {0}")]
    NoCertificates(Found),
    #[error("expected certificates (RFC 5280), found one that is not: {0}")]
    NoCertificate(String),
    #[error("expected a private key in PEM (PKCS#8, PKCS#1 or SEC 1) without a passphrase, found {0}")]
    NoKey(Found),
    #[error("expected the private key of a certificate, found one that cannot be used: {0}")]
    UnusableKey(rustls::Error),
    #[error("expected the private key of the first certificate in {}, found another's", certificate.display())]
    OtherKey { certificate: PathBuf },
    #[error("expected a certificate that is valid now, found one that was until {0}")]
    Expired(String),
    #[error("expected a certificate that is valid now, found one that will be from {0}")]
    NotYetValid(String),
    #[error("expected certificates of authorities, found one that cannot be: {0}")]
    NoAuthority(rustls::Error),
    #[error("cannot be used for TLS: {0}")]
    Unusable(String),
}

/// What was found in place of PEM.
#[derive(Debug)]
pub struct Found(pem::Error);

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            pem::Error::NoItemsFound => formatter.write_str("none"),
            error => error.fmt(formatter),
        }
    }
}

/// A certificate with its key, and the names it is for.
#[derive(Debug)]
struct Named {
    key: Arc<CertifiedKey>,
    /// Lower-case; a wildcard's first label is `*`.
    names: Vec<String>,
}

/// Which certificate a client is shown.
#[derive(Debug)]
pub struct Resolver {
    all: Vec<Arc<CertifiedKey>>,
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

// === impl Resolver ===

impl Resolver {
    pub fn load(pairs: &[KeyPair]) -> Result<Self, FileError> {
        let loaded: Vec<Named> = pairs.iter().map(load).collect::<Result<_, _>>()?;
        let all = loaded.iter().map(|named| Arc::clone(&named.key)).collect();
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for Named { key, names } in loaded {
            for name in names {
                by_name.entry(name).or_default().push(Arc::clone(&key));
            }
        }
        Ok(Self { all, by_name })
    }

    /// The certificates for a name, or else for all names of its domain (RFC 9525 §6.3); in the order of the file.
    fn named(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let name = name.to_ascii_lowercase();
        let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
        self.by_name.get(&name).or_else(wildcard).map_or(&[], Vec::as_slice)
    }
}

impl ResolvesServerCert for Resolver {
    /// Of several with one name, the first whose kind of key the client knows: an ECDSA and an RSA one may stand side by
    /// side. One that it does not know is given, too, as the handshake fails for the right reason then.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello.server_name().map_or(&[][..], |name| self.named(name));
        let candidates = if named.is_empty() { &self.all } else { named };
        candidates.iter().find(fits).or(candidates.first()).map(Arc::clone)
    }
}

/// A certificate with those it was issued by, and its key.
pub fn load_key(pair: &KeyPair) -> Result<Arc<CertifiedKey>, FileError> {
    load(pair).map(|named| named.key)
}

/// Authorities whose certificates are believed.
pub fn load_authorities(file: &Path) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots.add(certificate).map_err(|error| refused(file, Reason::NoAuthority(error)))?;
    }
    Ok(roots)
}

fn load(pair: &KeyPair) -> Result<Named, FileError> {
    let chain = read_certificates(&pair.certificate)?;
    let names = check(chain.first()).map_err(|reason| refused(&pair.certificate, reason))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&pair.key)?);
    let key = key.map_err(|error| refused(&pair.key, Reason::NoKey(Found(error))))?;
    let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        let certificate = pair.certificate.clone();
        match error {
            rustls::Error::InconsistentKeys(_) => refused(&pair.key, Reason::OtherKey { certificate }),
            rustls::Error::InvalidCertificate(error) => {
                refused(&certificate, Reason::Unusable(error.to_string()))
            }
            error => refused(&pair.key, Reason::UnusableKey(error)),
        }
    })?;
    Ok(Named { key: Arc::new(key), names })
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let bytes = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.and_then(|certificates| match certificates.is_empty() {
        true => Err(pem::Error::NoItemsFound),
        false => Ok(certificates),
    });
    certificates.map_err(|error| refused(file, Reason::NoCertificates(Found(error))))
}

/// The names of a certificate that may be shown now.
fn check(certificate: Option<&CertificateDer<'_>>) -> Result<Vec<String>, Reason> {
    let der = certificate.map(AsRef::as_ref).unwrap_or_default();
    let parsed = X509Certificate::from_der(der);
    let (_, parsed) = parsed.map_err(|error| Reason::NoCertificate(error.to_string()))?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now > validity.not_after.timestamp() {
        return Err(Reason::Expired(validity.not_after.to_string()));
    }
    if now < validity.not_before.timestamp() {
        return Err(Reason::NotYetValid(validity.not_before.to_string()));
    }
    let names = parsed.subject_alternative_name();
    let names = names.map_err(|error| Reason::NoCertificate(error.to_string()))?;
    let names = names.into_iter().flat_map(|extension| &extension.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Ok(names.collect())
}

fn read(file: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| refused(file, Reason::Unreadable(error)))?;
    Ok(bytes)
}

fn refused(file: &Path, reason: Reason) -> FileError {
    FileError { file: file.to_owned(), reason }
}
