//! What people run behind a proxy: socket.io, MQTT over WebSocket, a browser.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::{env, fs};

use serde_json::json;
use sluicegate_tests::{Peer, Proxy, eventually, plugin, run, scratch};
use tokio::process::{Child, Command};

use crate::engine_modes::{self, MODES};

#[test]
fn socket_io_by_websocket_and_by_polling_with_an_upgrade() {
    run(async {
        let (_server, address) = Peer::server("socket-io-server.js", &MODES).await;
        let proxy = engine_modes::start(address, "").await;
        let url = format!("http://{}", proxy.address());
        let told = Peer::client("socket-io-client.js", &[&[url.as_str()], &MODES[..]].concat()).await;
        let transports = |mode| json!({"mode": mode, "transports": ["websocket", "websocket"]});
        assert_eq!(told, json!(MODES.map(transports)));
    });
}

/// A broker on a free port; ended with the value.
struct Broker {
    address: SocketAddr,
    _process: Child,
}

impl Broker {
    async fn start(folder: &Path) -> Self {
        // It does not tell the port it took, so it has to be given one.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // It takes an interface's name where it should take an address, and would not start without a listener of MQTT's
        // own, which is a file here.
        let config = format!(
            "listener 0 {}\nlistener {} lo\nprotocol websockets\nallow_anonymous true\nuser root\nlog_type none\n",
            folder.join("socket").display(),
            address.port(),
        );
        let file = folder.join("mosquitto.conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(file).stdin(Stdio::null()).kill_on_drop(true);
        // It is in a folder for administrators.
        command.env("PATH", env::var("PATH").unwrap() + ":/usr/sbin");
        let process = command.spawn().expect("mosquitto, which `tests/peers/setup.sh` installs");
        eventually("the broker", || TcpStream::connect(address).ok()).await;
        Self { address, _process: process }
    }
}

#[test]
fn mqtt_over_websocket() {
    run(async {
        let folder = scratch();
        let broker = Broker::start(folder.path()).await;
        let proxy = engine_modes::start(broker.address, "").await;
        let url = format!("ws://{}", proxy.address());
        let told = Peer::client("mqtt-client.js", &[&[url.as_str()], &MODES[..]].concat()).await;
        let both_versions = |mode| {
            [4, 5].map(|version| json!({"mode": mode, "version": version, "heard": 12, "will": "gone"}))
        };
        assert_eq!(told, json!(MODES.map(both_versions).concat()));
    });
}

/// The name the browser knows the proxy by, whatever its port is.
const ORIGIN: &str = "http://chat.test";

/// The demo's configuration, with its addresses and files those of this test, and these keys of its listener.
pub async fn demo(origin: &str, listener: &str) -> Proxy {
    let mut config = include_str!("../../examples/demo/sluicegate.toml").to_owned();
    let mut replace = |old: &str, new: &str| {
        assert!(config.contains(old), "{old} in the demo's configuration");
        config = config.replace(old, new);
    };
    for name in ["origin-check", "rate-limit", "router", "message-filter"] {
        replace(&format!("../../target/plugins/{name}.wasm"), plugin(name).to_str().unwrap());
    }
    replace("\"http://localhost:8080\"", &format!("{origin:?}"));
    replace("\"127.0.0.1:8080\"", &format!("\"127.0.0.1:0\"\n{listener}"));
    for port in ["9001", "9002", "9003"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        replace(&format!("127.0.0.1:{port}"), &listener.local_addr().unwrap().to_string());
        tokio::task::spawn_local(async move { sluicegate_chat::serve(listener, port).await });
    }
    Proxy::start(&config).await
}

#[test]
fn a_browser_talks_in_the_demo_and_its_words_are_masked() {
    run(async {
        let proxy = demo(ORIGIN, "").await;
        let told = Peer::client("browser.js", &[ORIGIN, &proxy.address().to_string()]).await;
        assert_eq!(told["said"], "hello from a browser", "{told}");
        assert_eq!(told["masked"], "what the *** is a sluicegate?", "{told}");
        assert_eq!((&told["protocol"], &told["opened"]), (&json!("http/1.1"), &json!([101, 101])), "{told}");
        assert_eq!(told["server"], told["other_server"], "both in one room");
        assert_eq!(told["closed"], "Closed with code 4000: as you asked", "{told}");
        assert_eq!(told["errors"], json!([]));
    });
}
