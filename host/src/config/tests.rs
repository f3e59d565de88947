//! The files of `tests/config`, and what holds for all of them.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::units::{KIB, MIB};
use super::*;

mod every_key;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/config").join(name)
}

/// The paths of a folder's files with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

/// Errors as they are kept in `.err` files: without the folder in front of every path.
fn errors_text(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let folder = path.parent().unwrap();
    let file_name = path.file_name().unwrap().to_str().unwrap();
    let errors = Config::parse(&text, file_name, folder).expect_err(file_name);
    format!("{errors}\n").replace(&format!("{}/", folder.display()), "")
}

fn full_text() -> String {
    fs::read_to_string(folder("valid/full.toml")).unwrap()
}

fn parse_full(text: &str) -> Result<Config, Errors> {
    Config::parse(text, "full.toml", &folder("valid"))
}

#[test]
fn valid_files() {
    let paths = files(&folder("valid"), "toml");
    assert_eq!(paths.len(), 6);
    for path in paths {
        if let Err(errors) = Config::load(&path) {
            panic!("{errors}");
        }
    }
}

#[test]
fn invalid_files() {
    let folder = folder("invalid");
    let paths = files(&folder, "toml");
    assert_eq!(paths.len(), 35);
    assert_eq!(files(&folder, "err").len(), paths.len());
    for path in paths {
        let expected = fs::read_to_string(path.with_extension("err")).unwrap();
        assert_eq!(errors_text(&path), expected, "{}", path.display());
    }
}

#[test]
fn the_full_file_names_every_key() {
    let errors = errors_text(&folder("invalid/unknown-keys.toml"));
    let accepted = errors.lines().filter_map(|line| line.split_once("accepted: "));
    let keys: BTreeSet<_> = accepted.flat_map(|(_, keys)| keys.split(", ")).collect();
    assert_eq!(keys.len(), 110, "{keys:?}");
    let text = full_text();
    for key in keys {
        let as_value = format!("{key} = ");
        let as_table = [format!("[{key}]"), format!(".{key}]")];
        let is_named = |line: &str| {
            line.starts_with(&as_value)
                || line.contains(&format!("{{ {as_value}"))
                || line.contains(&format!(", {as_value}"))
                || as_table.iter().any(|table| line.contains(table))
        };
        assert!(text.lines().any(is_named), "{key}");
    }
}

/// No key takes a date: each line in turn gets one, and each time an error names that line.
#[test]
fn no_key_takes_just_anything() {
    let text = full_text();
    let mut lines_seen = 0;
    for (index, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once(" = ") else {
            continue;
        };
        // Not the comments, and not the list of servers, which has several lines.
        if !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') || value.starts_with("[ ") {
            continue;
        }
        let mut lines: Vec<_> = text.lines().collect();
        let damaged = format!("{key} = 1979-05-27");
        lines[index] = &damaged;
        let errors = parse_full(&lines.join("\n")).expect_err(line);
        let is_here = |error: &Error| error.position.is_some_and(|position| position.line == index + 1);
        assert!(errors.iter().any(|error| is_here(error) && error.text.ends_with("1979-05-27")), "{errors}");
        lines_seen += 1;
    }
    assert_eq!(lines_seen, 114);
}

/// However the file is cut off, what is left is read or refused, with places inside it.
#[test]
fn cut_off_files() {
    let text = full_text();
    let mut refused = 0;
    for (end, _) in text.char_indices() {
        let Err(errors) = parse_full(&text[..end]) else {
            continue;
        };
        refused += 1;
        let lines = text[..end].split('\n').count();
        for error in &errors {
            let line = error.position.unwrap().line;
            assert!((1..=lines).contains(&line), "{error}");
        }
    }
    assert!(refused > text.len() / 2, "{refused}");
}

#[test]
fn defaults_that_follow_other_keys() {
    let config = Config::load(&folder("valid/timeouts.toml")).unwrap();
    let idle: Vec<_> = config.routes.iter().map(|route| route.timeouts.idle.as_secs()).collect();
    assert_eq!(idle, [300, 7_200, 3_600]);
    let of_requests = |route: &Route| [route.timeouts.request_body, route.timeouts.upstream_header];
    let of_requests: Vec<_> = config.routes.iter().map(of_requests).collect();
    assert_eq!(of_requests, [[300, 300], [20, 40], [60, 60]].map(|both| both.map(Duration::from_secs)));
    let frame_bytes_max: Vec<_> = config.routes.iter().map(|route| route.limits.frame_bytes_max).collect();
    assert_eq!(frame_bytes_max, [MIB, 64 * KIB, MIB]);
    let ping = Ping { interval: Duration::from_secs(1), timeout: Duration::from_secs(10) };
    assert_eq!(config.routes[2].ping, Some(ping));
}

#[test]
fn the_words_of_balance() {
    let config = Config::load(&folder("valid/balance.toml")).unwrap();
    let words: Vec<_> = config.upstreams.iter().map(|upstream| upstream.balance.clone()).collect();
    let room = HeaderName::from_static("x-room");
    let expected = [
        Balance::RoundRobin,
        Balance::RoundRobin,
        Balance::LeastConnections,
        Balance::RandomTwo,
        Balance::IpHash,
        Balance::Hash(HashKey::Header(room)),
        Balance::Hash(HashKey::Cookie("room".into())),
        Balance::Hash(HashKey::Affinity),
    ];
    assert_eq!(words, expected);
    let health = config.upstreams[7].health.clone().unwrap();
    assert_eq!(health, Health::new(Probe::WebSocket { path: "/ws".parse().unwrap() }));
}

#[test]
fn a_secret_is_not_shown() {
    let secret = Secret("0123456789abcdef".into());
    assert!(!format!("{:?}", Sticky { cookie: "a".into(), secret: Some(secret) }).contains("0123"));
}

#[test]
fn the_meanings_of_host() {
    let config = Config::load(&folder("valid/virtual-hosts.toml")).unwrap();
    let meanings: Vec<_> =
        config.routes.iter().map(|route| (route.hosts.join(" "), route.host_header.clone())).collect();
    let game = HostHeader::Name(HeaderValue::from_static("game.internal:7000"));
    let expected = [
        ("chat.example.com".to_owned(), HostHeader::Server),
        ("game.example.com *.game.example.com".to_owned(), game),
        (String::new(), HostHeader::Server),
    ];
    assert_eq!(meanings, expected);
}

#[test]
fn files_that_are_no_text() {
    let path = folder("fixtures/latin-1.toml");
    let errors = Config::load(&path).unwrap_err();
    assert_eq!(errors.to_string(), format!("{}:2:13: expected UTF-8, found other bytes", path.display()));

    let errors = Config::load(Path::new("no-such-file.toml")).unwrap_err().to_string();
    assert!(errors.starts_with("no-such-file.toml: expected a configuration file: No such file"), "{errors}");

    let errors = Config::load(Path::new("/dev/zero")).unwrap_err().to_string();
    assert_eq!(errors, "/dev/zero: expected a configuration file of at most 4194304 bytes, found more");
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let config = Config::load(&folder("valid/full.toml")).unwrap();
    assert_eq!(config.plugins[0].file, folder("valid/../fixtures/origin-check.wasm"));
    assert!(config.plugins[0].file.is_absolute());
}

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

#[test]
fn a_configuration_from_the_command_line() {
    let plugins =
        ["fixtures/origin-check.wasm", "fixtures/room-log.wasm", "invalid/../fixtures/origin-check.wasm"];
    let servers = ["127.0.0.1:9001".to_owned(), "chat.internal:9002".to_owned()];
    let config = Config::from_parts(LISTEN, &servers, &plugins.map(folder)).unwrap();
    assert_eq!(config.server, Server::default());
    assert_eq!(config.store, Store::default());
    assert_eq!(config.listeners, [Listener::new(LISTEN)]);
    let names: Vec<_> = config.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["origin-check", "room-log", "origin-check-2"]);
    assert_eq!(config.plugins[2].file, folder(plugins[2]));
    let servers = servers.map(UpstreamServer::new).to_vec();
    assert_eq!(config.upstreams, [Upstream::new("default".into(), servers)]);
    let mut route = Route::new(Target::Upstream(UpstreamIndex(0)));
    route.plugins = (0..3).map(PluginIndex).collect();
    assert_eq!(config.routes, [route]);
}

#[test]
fn all_errors_of_a_command_line() {
    let servers = ["127.0.0.1:9001".to_owned(), "http://chat".to_owned()];
    let plugins = ["no-such-file.wasm".into(), folder("fixtures/room-log.wasm"), "/".into()];
    let errors = Config::from_parts(LISTEN, &servers, &plugins).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "command line: --upstream: expected HOST:PORT such as \"127.0.0.1:9001\", \"chat.internal:9001\" or \
         \"[::1]:9001\", the port from 1 to 65535, with or without https:// in front, or the path of a socket such as \
         \"unix:/run/app.sock\", found \"http://chat\"\n\
         command line: --plugin: expected a file at \"no-such-file.wasm\": No such file or directory (os error 2)\n\
         command line: --plugin: expected a file at \"/\": found a directory",
    );
    let errors = Config::from_parts(LISTEN, &[], &[]).unwrap_err().to_string();
    assert!(errors.starts_with("command line: --upstream: expected HOST:PORT such as"), "{errors}");
}
