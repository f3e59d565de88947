//! `[[upstream]]`.

use std::ops::RangeInclusive;

use super::field::Field;
use super::host::is_host_and_port;
use super::names::Names;
use super::reader::Section;
use super::types::{ProxyProtocol, Upstream, UpstreamServer};

/// What the address of a server is.
pub(super) const SERVER_ADDRESS: &str = concat!(
    r#"HOST:PORT such as "127.0.0.1:9001", "chat.internal:9001" or "[::1]:9001", "#,
    "the port from 1 to 65535",
);

const SERVERS: &str = r#"a list of servers such as ["127.0.0.1:9001"]"#;
const WEIGHT: RangeInclusive<u32> = 1..=1_000;

pub(super) fn read_upstream(section: &mut Section<'_>, names: &mut Names) -> Upstream {
    let name = names.add(section);
    let servers = section.required("servers", SERVERS, read_servers).unwrap_or_default();
    // One policy exists so far; the word may be given, and says nothing.
    section.optional("balance", |field| field.word(&[("round-robin", ())]));
    let proxy_protocol = section.optional("proxy-protocol", |field| {
        field.word(&[("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)])
    });
    Upstream { name, servers, proxy_protocol }
}

fn read_servers(field: &Field<'_>) -> Option<Vec<UpstreamServer>> {
    let servers = field.list(SERVERS)?;
    if servers.is_empty() {
        return field.mismatch("at least one server");
    }
    Some(servers.iter().filter_map(read_server).collect())
}

fn read_server(field: &Field<'_>) -> Option<UpstreamServer> {
    if !field.value().is_table() {
        return server_address(field).map(UpstreamServer::new);
    }
    field.table(|section| {
        let address = section.required("address", SERVER_ADDRESS, server_address);
        let mut server = UpstreamServer::new(address.unwrap_or_default());
        section.set(&mut server.weight, "weight", |field| field.whole_number(WEIGHT));
        server
    })
}

fn server_address(field: &Field<'_>) -> Option<String> {
    field.parsed(SERVER_ADDRESS, |text| is_host_and_port(text).then(|| text.to_owned()))
}
