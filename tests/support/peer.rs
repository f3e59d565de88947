//! WebSocket peers of other makes: Node's `ws` and Python's `websockets`, as processes of their own.
//!
//! A peer (`tests/peers`) writes one JSON value per line to standard output, and ends with its standard input.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::files::workspace;
use crate::soon;

/// A running peer; killed with the value.
pub struct Peer {
    name: String,
    output: Lines<BufReader<ChildStdout>>,
    child: Child,
    input: ChildStdin,
}

// === impl Peer ===

impl Peer {
    /// A script of `tests/peers`: `*.js` by Node, `*.py` by Python.
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let installed = workspace().join("target/peers");
        assert!(installed.is_dir(), "{} is missing: `tests/peers/setup.sh` makes it", installed.display());
        let mut command = match script.rsplit_once('.') {
            Some((_, "js")) => Command::new("node"),
            Some((_, "py")) => Command::new(installed.join("venv/bin/python")),
            _ => panic!("no interpreter is known for {script}"),
        };
        let mut child = command
            .arg(workspace().join("tests/peers").join(script))
            .args(arguments)
            .env("NODE_PATH", installed.join("node_modules"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{script}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let input = child.stdin.take().unwrap();
        Self { name: script.to_owned(), output, child, input }
    }

    /// A server, which first tells its port.
    pub async fn server(script: &str, arguments: &[&str]) -> (Self, SocketAddr) {
        let mut peer = Self::start(script, arguments);
        let port = peer.line().await["port"].as_u64().unwrap();
        (peer, SocketAddr::from(([127, 0, 0, 1], port.try_into().unwrap())))
    }

    /// A client run to its end: the one value it tells.
    pub async fn client(script: &str, arguments: &[&str]) -> Value {
        let mut peer = Self::start(script, arguments);
        let value = peer.line().await;
        let status = soon(format_args!("the end of {script}"), peer.child.wait()).await.unwrap();
        assert!(status.success(), "{script} ended with {status}");
        value
    }

    /// Say a line to it.
    pub async fn say(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next value it tells, which may take this long.
    pub async fn line_within(&mut self, time_max: Duration) -> Value {
        let line = timeout(time_max, self.output.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("waited {time_max:?} in vain for a line by {}", self.name));
        let line = line.unwrap().unwrap_or_else(|| panic!("{} ended early", self.name));
        serde_json::from_str(&line).unwrap()
    }

    /// The next value it tells.
    pub async fn line(&mut self) -> Value {
        let line = soon(format_args!("a line by {}", self.name), self.output.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("{} ended early", self.name));
        serde_json::from_str(&line).unwrap()
    }
}
