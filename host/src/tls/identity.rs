//! Who a client is by its certificate, as plugins and upstreams are told.

use std::fmt::Write as _;

use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::distinguished_name;

/// A client's certificate. It has been verified: one that cannot be ends the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Distinguished names in the form of RFC 4514, in ASCII.
    pub subject: String,
    pub issuer: String,
    /// In lower-case hexadecimal, two digits a byte.
    pub serial: String,
    /// The SHA-256 of the certificate, in lower-case hexadecimal.
    pub fingerprint: String,
}

impl ClientCertificate {
    /// None where it is no certificate, which the handshake has seen to.
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(Self {
            subject: distinguished_name::text(parsed.subject()),
            issuer: distinguished_name::text(parsed.issuer()),
            serial: hexadecimal(parsed.raw_serial()),
            fingerprint: hexadecimal(&Sha256::digest(certificate)),
        })
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
