//! `request`

use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Version, header};
use wasmtime::component::Resource;
use wasmtime::format_err;

use crate::config::UpstreamIndex;
use crate::limits::Slot;
use crate::plugin::bindings::sluicegate::hooks::request::{ClientCertificate, EditError, Host, HostRequest};
use crate::plugin::bindings::sluicegate::hooks::types::HeaderField;
use crate::plugin::state::{LentRequest, State};
use crate::request::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX, HEADERS_MAX, RequestHead, attribute, field_value};

type Handle = Resource<LentRequest>;
type Edited = wasmtime::Result<Result<(), EditError>>;

impl Host for State {}

impl State {
    fn request(&mut self) -> wasmtime::Result<&mut RequestHead> {
        let lent = self.lent.request.as_deref_mut();
        lent.ok_or_else(|| format_err!("the request was used outside of the call it was lent for"))
    }

    fn edit(&mut self, edit: impl FnOnce(&mut RequestHead) -> Result<(), EditError>) -> Edited {
        let request = self.request()?;
        Ok(if request.editable { edit(request) } else { Err(EditError::TooLate) })
    }
}

impl HostRequest for State {
    fn method(&mut self, _: Handle) -> wasmtime::Result<String> {
        Ok(self.request()?.method.to_string())
    }

    fn scheme(&mut self, _: Handle) -> wasmtime::Result<String> {
        Ok(self.request()?.scheme.to_owned())
    }

    fn authority(&mut self, _: Handle) -> wasmtime::Result<String> {
        Ok(String::from_utf8_lossy(self.request()?.authority.as_bytes()).into_owned())
    }

    fn path(&mut self, _: Handle) -> wasmtime::Result<String> {
        Ok(self.request()?.path_and_query.path().to_owned())
    }

    fn query(&mut self, _: Handle) -> wasmtime::Result<Option<String>> {
        Ok(self.request()?.path_and_query.query().map(str::to_owned))
    }

    fn version(&mut self, _: Handle) -> wasmtime::Result<String> {
        let version = match self.request()?.version {
            Version::HTTP_2 => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        };
        Ok(version.to_owned())
    }

    fn header(&mut self, _: Handle, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        header_value(&self.request()?.headers, &name)
    }

    fn header_lines(&mut self, _: Handle, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        header_lines(&self.request()?.headers, &name)
    }

    fn headers(&mut self, _: Handle) -> wasmtime::Result<Vec<HeaderField>> {
        Ok(all_headers(&self.request()?.headers))
    }

    fn client_address(&mut self, _: Handle) -> wasmtime::Result<String> {
        Ok(self.request()?.client.ip().to_canonical().to_string())
    }

    fn client_certificate(&mut self, _: Handle) -> wasmtime::Result<Option<ClientCertificate>> {
        let certificate = self.request()?.client_certificate.as_deref();
        Ok(certificate.map(|certificate| ClientCertificate {
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            sha256_fingerprint: certificate.fingerprint.clone(),
            // Any other ends the handshake.
            verified: true,
        }))
    }

    fn is_websocket(&mut self, _: Handle) -> wasmtime::Result<bool> {
        Ok(self.request()?.websocket.is_some())
    }

    fn subprotocols(&mut self, _: Handle) -> wasmtime::Result<Vec<String>> {
        Ok(self.request()?.websocket.clone().unwrap_or_default())
    }

    fn attribute(&mut self, _: Handle, name: String) -> wasmtime::Result<Option<String>> {
        Ok(attribute(&self.request()?.attributes, &name).map(str::to_owned))
    }

    fn set_header(&mut self, _: Handle, name: String, value: Vec<u8>) -> Edited {
        self.edit(|request| set_header(&mut request.headers, &name, &value))
    }

    fn append_header(&mut self, _: Handle, name: String, value: Vec<u8>) -> Edited {
        self.edit(|request| append_header(&mut request.headers, &name, &value))
    }

    fn remove_header(&mut self, _: Handle, name: String) -> Edited {
        self.edit(|request| remove_header(&mut request.headers, &name))
    }

    fn set_path(&mut self, _: Handle, path_and_query: String) -> Edited {
        self.edit(|request| {
            let clean = path_and_query.starts_with('/') && !path_and_query.contains('#');
            let parsed = path_and_query.parse::<PathAndQuery>().ok().filter(|_| clean);
            request.path_and_query = parsed.ok_or(EditError::Invalid)?;
            Ok(())
        })
    }

    fn route_to(&mut self, _: Handle, upstream: String) -> Edited {
        self.edit(|request| {
            let known = request.upstream_names.iter().position(|name| *name == upstream);
            request.upstream = Some(UpstreamIndex(known.ok_or(EditError::UnknownUpstream)?));
            Ok(())
        })
    }

    fn set_affinity(&mut self, _: Handle, key: String) -> Edited {
        self.edit(|request| {
            if key.len() > ATTRIBUTE_BYTES_MAX {
                return Err(EditError::TooMany);
            }
            request.affinity = Some(key);
            Ok(())
        })
    }

    fn set_attribute(&mut self, _: Handle, name: String, value: String) -> Edited {
        // Not an edit of what is sent: allowed at any time.
        let attributes = &mut self.request()?.attributes;
        if name.len().saturating_add(value.len()) > ATTRIBUTE_BYTES_MAX {
            return Ok(Err(EditError::TooMany));
        }
        if let Some((_, known)) = attributes.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if attributes.len() < ATTRIBUTES_MAX {
            attributes.push((name, value));
        } else {
            return Ok(Err(EditError::TooMany));
        }
        Ok(Ok(()))
    }

    fn hold(&mut self, _: Handle, slot: Resource<Slot>) -> Edited {
        let slot = self.table.delete(slot)?;
        self.edit(|request| {
            if request.held.len() >= ATTRIBUTES_MAX {
                return Err(EditError::TooMany);
            }
            request.held.push(slot);
            Ok(())
        })
    }

    fn drop(&mut self, _: Handle) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// No field has a name that is not one: none, rather than an error, as nothing can be missed by it.
pub(super) fn header_value(headers: &HeaderMap, name: &str) -> wasmtime::Result<Option<Vec<u8>>> {
    Ok(name.parse::<HeaderName>().ok().and_then(|name| field_value(headers, &name)))
}

pub(super) fn header_lines(headers: &HeaderMap, name: &str) -> wasmtime::Result<Vec<Vec<u8>>> {
    let Ok(name) = name.parse::<HeaderName>() else { return Ok(Vec::new()) };
    Ok(headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect())
}

pub(super) fn all_headers(headers: &HeaderMap) -> Vec<HeaderField> {
    let field = |(name, value): (&HeaderName, &HeaderValue)| HeaderField {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    };
    headers.iter().map(field).collect()
}

pub(super) fn set_header(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), EditError> {
    let (name, value) = (editable(name)?, valid(value)?);
    let full = headers.len() >= HEADERS_MAX && !headers.contains_key(&name);
    if full || headers.try_insert(name, value).is_err() {
        return Err(EditError::TooMany);
    }
    Ok(())
}

pub(super) fn append_header(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), EditError> {
    let (name, value) = (editable(name)?, valid(value)?);
    if headers.len() >= HEADERS_MAX || headers.try_append(name, value).is_err() {
        return Err(EditError::TooMany);
    }
    Ok(())
}

pub(super) fn remove_header(headers: &mut HeaderMap, name: &str) -> Result<(), EditError> {
    headers.remove(editable(name)?);
    Ok(())
}

fn valid(value: &[u8]) -> Result<HeaderValue, EditError> {
    HeaderValue::from_bytes(value).map_err(|_| EditError::Invalid)
}

/// Framing, hop-by-hop and handshake fields are the host's own: an edit could make two servers read one
/// message differently, or open a tunnel nobody agreed to.
pub(super) fn editable(name: &str) -> Result<HeaderName, EditError> {
    let name = name.parse::<HeaderName>().map_err(|_| EditError::Invalid)?;
    let hosts_own = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::SEC_WEBSOCKET_ACCEPT,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_PROTOCOL,
        header::SEC_WEBSOCKET_VERSION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let forbidden = hosts_own.contains(&name) || matches!(name.as_str(), "keep-alive" | "proxy-connection");
    if forbidden { Err(EditError::Forbidden) } else { Ok(name) }
}
