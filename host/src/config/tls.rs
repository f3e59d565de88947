//! `tls` of `[[listener]]`, and what goes with it.
//!
//! That the files are there is looked at here; what is in them, where it is used: it changes while the process runs.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::field::{DURATION_MAX, Field};
use super::host::host;
use super::paths;
use super::reader::Section;
use super::types::{ClientCertificates, KeyPair, Listener, Tls, TlsVersion, UpstreamServer, UpstreamTls};

const CERTIFICATE: &str = r#"the path of a file with certificates in PEM, or a list of certificates"#;
const CERTIFICATES: &str = r#"a list of tables such as { certificate = "cert.pem", key = "key.pem" }"#;
const KEY: &str = "the path of a file with the certificate's private key in PEM";
const SERVER_NAME: &str = r#"a host name such as "chat.example.com""#;
const CA: &str = "the path of a file with certificates in PEM";
const HTTPS_PORT: u16 = 443;
const RELOAD_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=DURATION_MAX;

/// `tls`, `hsts` and `redirect-https`.
pub(super) fn read_https(section: &mut Section<'_>, listener: &mut Listener) {
    listener.tls = section.table("tls", read_tls);
    let with_tls = listener.tls.is_some();
    listener.hsts = section.optional("hsts", |field| {
        if !with_tls {
            field.refuse(
                "expected tls beside it: browsers believe it over TLS only (RFC 6797 §8.1), found none",
            );
        }
        field.any_duration()
    });
    listener.redirect_https = section.optional("redirect-https", |field| {
        if with_tls {
            field.refuse("expected a listener without tls, as this one speaks https itself");
        }
        redirect_port(field)
    });
}

fn read_tls(section: &mut Section<'_>) -> Tls {
    let mut tls = Tls::new(read_certificates(section));
    section.set(&mut tls.min_version, "min-version", |field| {
        field.word(&[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)])
    });
    tls.client_certificates = section.table("client-certificates", read_client_certificates).flatten();
    section.set(&mut tls.reload_interval, "reload-interval", |field| field.duration(RELOAD_INTERVAL));
    tls
}

/// One pair by its own keys, or several in a list.
fn read_certificates(section: &mut Section<'_>) -> Vec<KeyPair> {
    let several = section.optional("certificates", |field| {
        let items = field.list(CERTIFICATES)?;
        if items.is_empty() {
            return field.mismatch("at least one certificate");
        }
        let pairs =
            items.iter().filter_map(|item| item.table(|section| read_key_pair(section, CA)).flatten());
        Some(pairs.collect())
    });
    let Some(several) = several else {
        return read_key_pair(section, CERTIFICATE).into_iter().collect();
    };
    for key in ["certificate", "key"] {
        if let Some(field) = section.field(key) {
            field.refuse("expected either certificates or certificate and key, found both");
        }
    }
    several
}

fn read_key_pair(section: &mut Section<'_>, expected: &str) -> Option<KeyPair> {
    let certificate = section.required("certificate", expected, paths::file);
    let key = section.required("key", KEY, paths::file);
    Some(KeyPair { certificate: certificate?, key: key? })
}

fn read_client_certificates(section: &mut Section<'_>) -> Option<ClientCertificates> {
    let ca = section.required("ca", CA, paths::file);
    let mut required = true;
    section.set(&mut required, "verify", |field| field.word(&[("required", true), ("optional", false)]));
    Some(ClientCertificates { ca: ca?, required })
}

/// `tls` of an upstream with these servers.
pub(super) fn read_upstream_tls(
    section: &mut Section<'_>,
    servers: &[UpstreamServer],
) -> Option<UpstreamTls> {
    let https = servers.iter().any(|server| server.https);
    let tls = section.optional("tls", |field| {
        if !https && !servers.is_empty() {
            field.refuse("expected at least one server that begins with https:// beside it, found none");
        }
        field.table(read_connector)
    });
    tls.or_else(|| https.then(UpstreamTls::default))
}

fn read_connector(section: &mut Section<'_>) -> UpstreamTls {
    let ca = section.optional("ca", paths::file);
    let server_name = section.optional("server-name", |field| field.parsed(SERVER_NAME, host));
    let certificate = section.optional("certificate", paths::file);
    let key = section.optional("key", paths::file);
    let certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(KeyPair { certificate, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            section.refuse("expected both certificate and key, or none of them");
            None
        }
    };
    let mut tls = UpstreamTls { ca, server_name, certificate, ..UpstreamTls::default() };
    section.set(&mut tls.verify, "verify", Field::boolean);
    tls
}

fn redirect_port(field: &Field<'_>) -> Option<u16> {
    match field.value().as_bool() {
        Some(true) => Some(HTTPS_PORT),
        Some(false) => None,
        None if field.value().is_integer() => field.whole_number(1..=u16::MAX),
        None => field.mismatch("true, false or the port that speaks https"),
    }
}
