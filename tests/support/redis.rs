//! A Redis of the test's own.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::files::scratch;
use crate::{eventually, soon};

/// A Redis at a socket in a folder of its own, which keeps nothing on disk; killed with the value.
pub struct Redis {
    server: Option<Child>,
    folder: TempDir,
}

// === impl Redis ===

impl Redis {
    pub async fn start() -> Self {
        let mut redis = Self::absent();
        redis.restart().await;
        redis
    }

    /// One that is not there yet.
    pub fn absent() -> Self {
        Self { server: None, folder: scratch() }
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Start it, or start it anew, without memory of anything.
    pub async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// The same with further arguments.
    pub async fn restart_with(&mut self, arguments: &[&str]) {
        self.kill().await;
        let socket = self.socket();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket", socket.to_str().unwrap()]);
        command.args(["--save", "", "--appendonly", "no"]).args(arguments);
        command.current_dir(self.folder.path()).stdout(Stdio::null()).kill_on_drop(true);
        let server = command.spawn().unwrap_or_else(|error| panic!("redis-server: {error}"));
        self.server = Some(server);
        eventually("a Redis", || UnixStream::connect(&socket).ok()).await;
    }

    /// End it at once, if it is there.
    pub async fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            soon("the end of Redis", server.kill()).await.unwrap();
        }
    }

    /// Have it take connections, and answer nothing.
    pub async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    pub async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    /// What it answers to a command, as `redis-cli` writes it.
    pub async fn ask(&self, command: &[&str]) -> String {
        let mut client = Command::new("redis-cli");
        client.arg("-s").arg(self.socket()).args(command);
        let output = soon("an answer of Redis", client.output()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    async fn signal(&self, signal: &str) {
        let id = self.server.as_ref().and_then(Child::id).expect("a running Redis").to_string();
        let status = Command::new("kill").args([signal, &id]).status().await.unwrap();
        assert!(status.success());
    }
}
