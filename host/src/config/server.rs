//! `[server]` and `[[listener]]`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::field::Field;
use super::reader::Section;
use super::types::{Listener, PluginCache, Server};
use super::units::KIB;

pub(super) const WORKERS_MAX: usize = 1_024;
const HEADER_BYTES: RangeInclusive<usize> = KIB..=64 * KIB;
const HEADERS: RangeInclusive<usize> = 1..=1_000;

const ADDRESS: &str = r#"an IP address and port such as "127.0.0.1:8080" or "[::]:80""#;

pub(super) fn read_server(section: &mut Section<'_>) -> Server {
    let mut server = Server::default();
    section.set(&mut server.workers, "workers", |field| field.whole_number(1..=WORKERS_MAX));
    section.set(&mut server.shutdown_grace, "shutdown-grace", Field::any_duration);
    section.set(&mut server.plugin_cache, "plugin-cache", plugin_cache);
    server
}

fn plugin_cache(field: &Field<'_>) -> Option<PluginCache> {
    field.parsed(r#""off" or the path of a folder"#, |text| match text {
        "" => None,
        "off" => Some(PluginCache::Off),
        path => Some(PluginCache::Folder(field.source().resolve(path))),
    })
}

pub(super) fn read_listeners(root: &mut Section<'_>) -> Vec<Listener> {
    let mut taken = HashMap::new();
    root.at_least_one("listener", |section| read_listener(section, &mut taken))
}

/// `taken`: the addresses of the listeners before, and where they are.
fn read_listener(section: &mut Section<'_>, taken: &mut HashMap<SocketAddr, String>) -> Listener {
    let path = section.path().to_owned();
    let address = section.required("address", ADDRESS, |field| {
        let address = field.parsed(ADDRESS, |text| text.parse().ok())?;
        refuse_taken(field, address, path, taken);
        Some(address)
    });
    let mut listener = Listener::new(address.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into()));
    section.table("timeouts", |timeouts| {
        timeouts.set(&mut listener.header_timeout, "header", Field::any_duration);
        timeouts.set(&mut listener.keep_alive_timeout, "keep-alive", Field::any_duration);
    });
    section.table("limits", |limits| {
        limits.set(&mut listener.header_bytes_max, "header-bytes-max", |field| field.size(HEADER_BYTES));
        limits.set(&mut listener.headers_max, "headers-max", |field| field.whole_number(HEADERS));
    });
    listener
}

/// Port 0 is a different port each time.
fn refuse_taken(
    field: &Field<'_>,
    address: SocketAddr,
    path: String,
    taken: &mut HashMap<SocketAddr, String>,
) {
    if address.port() == 0 {
        return;
    }
    match taken.entry(address) {
        Entry::Vacant(entry) => drop(entry.insert(path)),
        Entry::Occupied(other) => {
            field.refuse(format!("{} has the address {address} too: expected another", other.get()));
        }
    }
}
