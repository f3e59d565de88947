//! The binary under test as a running proxy.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::thread;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::command::command;
use crate::files::{guest, plugin, scratch};
use crate::log::Log;
use crate::{config, soon};

/// A running proxy; killed with the value.
pub struct Proxy {
    child: Child,
    address: SocketAddr,
    log: Log,
    /// Holds the configuration file.
    folder: TempDir,
}

/// A proxy in front of one upstream, called `app`.
pub struct ProxyBuilder {
    upstreams: String,
    server: String,
    store: String,
    listener: String,
    route: String,
    plugin_names: Vec<String>,
    plugins: String,
    environment: Vec<(String, String)>,
}

// === impl Proxy ===

impl Proxy {
    /// A proxy with this configuration, whose first listener has port 0.
    pub async fn start(config: &str) -> Self {
        let folder = scratch();
        Self::start_in(folder, config).await
    }

    /// The same with the configuration file put into a folder that has other files in it.
    pub async fn start_in(folder: TempDir, config: &str) -> Self {
        Self::start_with(folder, config, &[]).await
    }

    async fn start_with(folder: TempDir, config: &str, environment: &[(String, String)]) -> Self {
        let file = folder.path().join("sluicegate.toml");
        fs::write(&file, config).unwrap();
        Self::run_with(folder, &["run", "--config", file.to_str().unwrap()], environment).await
    }

    /// A proxy with these arguments.
    pub async fn with_arguments(arguments: &[&str]) -> Self {
        Self::run(scratch(), arguments).await
    }

    /// A proxy in front of one upstream, still to be given its plugins and keys.
    pub fn to(upstream: SocketAddr) -> ProxyBuilder {
        ProxyBuilder {
            upstreams: config::upstream("app", &[upstream], ""),
            server: String::new(),
            store: String::new(),
            listener: String::new(),
            route: String::new(),
            plugin_names: Vec::new(),
            plugins: String::new(),
            environment: Vec::new(),
        }
    }

    async fn run(folder: TempDir, arguments: &[&str]) -> Self {
        Self::run_with(folder, arguments, &[]).await
    }

    async fn run_with(folder: TempDir, arguments: &[&str], environment: &[(String, String)]) -> Self {
        let mut command = command(folder.path(), arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let address = tokio::select! {
            line = log.line(&["listening", "address="]) => listening_address(&line),
            status = child.wait() => panic!("the proxy ended with {status:?}:\n{}", log.lines().join("\n")),
        };
        Self { child, address, log, folder }
    }

    /// The address of its first listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn process_id(&self) -> u32 {
        self.child.id().expect("a running proxy")
    }

    /// The folder its configuration file is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Write another configuration into its file; nothing is said of it to the process.
    pub fn write_config(&self, config: &str) {
        let unfinished = self.folder().join("unfinished");
        fs::write(&unfinished, config).unwrap();
        fs::rename(unfinished, self.folder().join("sluicegate.toml")).unwrap();
    }

    /// Send SIGHUP.
    pub async fn hang_up(&self) {
        self.signal("-HUP").await;
    }

    /// Have it reload: the line of its log that says what has changed.
    pub async fn reload(&self) -> String {
        self.reloaded_after(&["configuration reloaded"]).await
    }

    /// The same where it should refuse; all it says is in the log then.
    pub async fn refuse_to_reload(&self) {
        self.reloaded_after(&["ERROR", "configuration not changed"]).await;
    }

    /// Send SIGTERM.
    pub async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    async fn reloaded_after(&self, words: &[&str]) -> String {
        let before = self.log.count(words);
        self.hang_up().await;
        self.log.nth_line(before, words).await
    }

    async fn signal(&self, signal: &str) {
        let id = self.process_id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().await.unwrap();
        assert!(status.success());
    }

    /// Wait for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        soon("the end of the proxy", self.child.wait()).await.unwrap()
    }

    /// Still there: what peers and plugins do must never end it.
    pub fn assert_running(&mut self) {
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none(), "the proxy ended with {status:?}");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- log of the proxy\n{}\n---", self.log.lines().join("\n"));
        }
    }
}

/// Of a line such as `… listening address=127.0.0.1:4711`.
fn listening_address(line: &str) -> SocketAddr {
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("an address in {line:?}"))
}

// === impl ProxyBuilder ===

impl ProxyBuilder {
    /// One more upstream, for plugins to choose.
    pub fn upstream(mut self, name: &str, address: SocketAddr) -> Self {
        self.upstreams += &config::upstream(name, &[address], "");
        self
    }

    /// Keys of `[server]`.
    pub fn server(mut self, keys: &str) -> Self {
        self.server += &format!("{keys}\n");
        self
    }

    /// Keys of `[store]`.
    pub fn store(mut self, keys: &str) -> Self {
        self.store += &format!("{keys}\n");
        self
    }

    /// Keys of the listener.
    pub fn listener(mut self, keys: &str) -> Self {
        self.listener += &format!("{keys}\n");
        self
    }

    /// Keys of the route.
    pub fn route(mut self, keys: &str) -> Self {
        self.route += &format!("{keys}\n");
        self
    }

    /// A reference plugin, next in the route's list, with further keys.
    pub fn plugin(self, name: &str, keys: &str) -> Self {
        self.listed(name, &plugin(name), keys)
    }

    /// A test plugin, next in the route's list, with further keys.
    pub fn guest(self, name: &str, keys: &str) -> Self {
        self.listed(name, &guest(name), keys)
    }

    /// A test plugin under another name, so that it can be listed more than once.
    pub fn guest_as(self, name: &str, file: &str, keys: &str) -> Self {
        self.listed(name, &guest(file), keys)
    }

    /// A variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub async fn start(self) -> Proxy {
        let environment = self.environment.clone();
        Proxy::start_with(scratch(), &self.config(), &environment).await
    }

    /// The text of its configuration.
    pub fn config(self) -> String {
        let Self { upstreams, server, store, listener, route, plugin_names, plugins, environment: _ } = self;
        let listener = config::listener(&listener);
        let route = config::route("app", &format!("plugins = {plugin_names:?}\n{route}"));
        format!("[server]\n{server}\n[store]\n{store}\n{listener}\n{upstreams}\n{plugins}\n{route}")
    }

    fn listed(mut self, name: &str, file: &Path, keys: &str) -> Self {
        self.plugin_names.push(name.to_owned());
        self.plugins += &config::plugin(name, file, keys);
        self
    }
}
