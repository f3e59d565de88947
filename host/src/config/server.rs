//! `[server]` and `[[listener]]`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::field::{DURATION_MAX, Field};
use super::reader::Section;
use super::tls;
use super::types::{Listener, PluginCache, RealIpHeader, Server};
use super::units::KIB;

pub(super) const WORKERS_MAX: usize = 1_024;
const HEADER_BYTES: RangeInclusive<usize> = KIB..=64 * KIB;
const HEADERS: RangeInclusive<usize> = 1..=1_000;
const WATCH_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=DURATION_MAX;
const INSTANCES: RangeInclusive<u32> = 1..=1_000_000;
const STREAMS: RangeInclusive<u32> = 1..=1_000;

const NETWORK: &str = r#"a network such as "10.0.0.0/8" or an address such as "::1""#;

const ADDRESS: &str = r#"an IP address and port such as "127.0.0.1:8080" or "[::]:80""#;

pub(super) fn read_server(section: &mut Section<'_>) -> Server {
    let mut server = Server::default();
    section.set(&mut server.workers, "workers", |field| field.whole_number(1..=WORKERS_MAX));
    section.set(&mut server.shutdown_grace, "shutdown-grace", Field::any_duration);
    section.set(&mut server.plugin_cache, "plugin-cache", plugin_cache);
    server.pid_file = section.optional("pid-file", |field| {
        field.parsed("the path of a file", |text| (!text.is_empty()).then(|| field.source().resolve(text)))
    });
    server.watch = section.optional("watch", |field| field.duration(WATCH_INTERVAL));
    let instances_max = section.optional("plugin-instances-max", |field| field.whole_number(INSTANCES));
    server.plugin_instances_max = instances_max;
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
    section.set(&mut listener.trusted_proxies, "trusted-proxies", read_networks);
    section.set(&mut listener.proxy_protocol, "proxy-protocol", |field| {
        let wanted = field.boolean()?;
        if wanted && listener.trusted_proxies.is_empty() {
            field.refuse("expected trusted-proxies beside it, as PROXY headers of others are not taken");
        }
        Some(wanted)
    });
    section.set(&mut listener.real_ip_header, "real-ip-header", |field| {
        field
            .word(&[("x-forwarded-for", RealIpHeader::XForwardedFor), ("forwarded", RealIpHeader::Forwarded)])
    });
    section.set(&mut listener.forwarded_header, "forwarded-header", Field::boolean);
    section.table("timeouts", |timeouts| {
        timeouts.set(&mut listener.header_timeout, "header", Field::any_duration);
        timeouts.set(&mut listener.keep_alive_timeout, "keep-alive", Field::any_duration);
        timeouts.set(&mut listener.tls_handshake_timeout, "tls-handshake", Field::any_duration);
    });
    section.table("limits", |limits| {
        limits.set(&mut listener.header_bytes_max, "header-bytes-max", |field| field.size(HEADER_BYTES));
        limits.set(&mut listener.headers_max, "headers-max", |field| field.whole_number(HEADERS));
    });
    section.table("http2", |http2| {
        http2.set(&mut listener.http2.max_concurrent_streams, "max-concurrent-streams", |field| {
            field.whole_number(STREAMS)
        });
    });
    tls::read_https(section, &mut listener);
    listener
}

fn read_networks(field: &Field<'_>) -> Option<Vec<IpNet>> {
    let networks = field.list(r#"a list of networks such as ["10.0.0.0/8", "::1"]"#)?;
    Some(networks.iter().filter_map(read_network).collect())
}

/// A network whose address has bits beyond its prefix is a mistake in one of the two.
fn read_network(field: &Field<'_>) -> Option<IpNet> {
    let network = field
        .parsed(NETWORK, |text| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)))?;
    if network != network.trunc() {
        return field.mismatch(format_args!("{:?}, the network's own address", network.trunc().to_string()));
    }
    Some(network)
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
