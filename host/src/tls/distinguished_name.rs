//! Distinguished names as text (RFC 4514).
//!
//! Of two texts that RFC 4514 allows, this is the one in ASCII without control characters: it goes into header fields and
//! log lines. OpenSSL (`-nameopt RFC2253`) and nginx (`$ssl_client_s_dn`) write it the same way.

use x509_parser::der_parser::asn1_rs::ToDer as _;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

use super::identity::hexadecimal;

/// The short names of RFC 4514 §3, and OpenSSL's for the address that many a certificate has.
const SHORT_NAMES: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// "Starting with the last element of the sequence and moving backwards toward the first" (RFC 4514 §2.1).
pub(super) fn text(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name.iter_rdn().map(relative).collect();
    let parts: Vec<&str> = parts.iter().rev().map(String::as_str).collect();
    parts.join(",")
}

fn relative(part: &RelativeDistinguishedName<'_>) -> String {
    let attributes: Vec<String> = part.iter().map(attribute).collect();
    attributes.join("+")
}

/// A type without a short name has its number and the value's encoding (RFC 4514 §2.4).
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let number = attribute.attr_type().to_id_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == number).map(|(_, short)| *short);
    match (short, attribute.as_str()) {
        (Some(short), Ok(value)) => format!("{short}={}", escaped(value)),
        _ => {
            let encoded = attribute.attr_value().to_der_vec().unwrap_or_default();
            format!("{}=#{}", short.unwrap_or(&number), hexadecimal(&encoded))
        }
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' ' | b'#' if at == 0 => text.extend(['\\', char::from(byte)]),
            b' ' if at == last => text.push_str("\\ "),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                text.push('\\');
                text.push_str(&hexadecimal(&[byte]).to_ascii_uppercase());
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    /// The subject of a certificate with these attributes.
    fn subject(attributes: &[(rcgen::DnType, &str)]) -> String {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in attributes {
            parameters.distinguished_name.push(kind.clone(), *value);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        text(X509Certificate::from_der(certificate.der()).unwrap().1.subject())
    }

    #[test]
    fn rfc4514_2_1_the_last_comes_first() {
        use rcgen::DnType::{CommonName, CountryName, OrganizationName};
        let name = subject(&[(CountryName, "DE"), (OrganizationName, "Sluice"), (CommonName, "ann")]);
        assert_eq!(name, "CN=ann,O=Sluice,C=DE");
        assert_eq!(subject(&[]), "");
    }

    #[test]
    fn rfc4514_2_4_what_would_be_misread_is_escaped() {
        let name = |value| subject(&[(rcgen::DnType::CommonName, value)]);
        assert_eq!(name("James \"Jim\" Smith, III"), r#"CN=James \"Jim\" Smith\, III"#);
        assert_eq!(name(" #a+b;c<d>e\\ "), r"CN=\ #a\+b\;c\<d\>e\\\ ");
        assert_eq!(name("#1"), r"CN=\#1");
        assert_eq!(name("Lučić"), r"CN=Lu\C4\8Di\C4\87");
        assert_eq!(name("a\r\nX: y\0"), r"CN=a\0D\0AX: y\00");
    }

    #[test]
    fn rfc4514_2_4_a_type_without_a_name_has_its_number_and_encoding() {
        let kind = rcgen::DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 1466, 0]);
        assert_eq!(subject(&[(kind, "Hi")]), "1.3.6.1.4.1.1466.0=#0c024869");
    }
}
