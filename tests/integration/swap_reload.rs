//! SIGHUP: the configuration is read again and put in service as a whole, or not at all.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use sluicegate_tests::{Proxy, RawUpstream, Session, Upstream, config, eventually, guest, run, scratch};

use crate::swap_config::{Versioned, version_at};
use crate::tls_files::{NAME, TlsFiles};

/// What a client says in a session of the plugin `version`, and what reaches the server.
async fn assert_heard(session: &mut Session, said: &str, heard: &str) {
    session.client.say(said).await;
    assert_eq!(session.upstream.hear().await, heard);
}

#[test]
fn new_exchanges_have_the_new_plugin_and_sessions_keep_theirs() {
    run(async {
        let upstream = RawUpstream::start().await;
        let versioned = Versioned::new(upstream.address());
        let proxy = versioned.start().await;
        assert_eq!(version_at(proxy.address()).await, "v1");
        let mut old = Session::open(&proxy, &upstream).await;
        assert_heard(&mut old, "a", "v1#1 a").await;

        let line = versioned.swap(&proxy, 2).await;
        for words in ["plugins_changed=1", "plugins_unchanged=0", "routes=\"unchanged\"", " ms="] {
            assert!(line.contains(words), "{words} in {line}");
        }
        assert_eq!(version_at(proxy.address()).await, "v2");
        let mut new = Session::open(&proxy, &upstream).await;
        assert_heard(&mut new, "a", "v2#1 a").await;
        assert_heard(&mut old, "b", "v1#2 b").await;
        old.upstream.say("from the server").await;
        assert_eq!(old.client.hear().await, "from the server");
    });
}

#[test]
fn what_has_not_changed_is_not_loaded_again() {
    run(async {
        let upstream = Upstream::named("home").await;
        let versioned = Versioned { server: "plugin-cache = \"off\"", ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let routed = versioned.config(1) + "host = \"chat.example.com\"\n";
        proxy.write_config(&routed);
        let line = proxy.reload().await;
        for words in
            ["plugins_changed=0", "plugins_unchanged=1", "routes=\"changed\"", "upstreams=\"unchanged\""]
        {
            assert!(line.contains(words), "{words} in {line}");
        }
        let line = proxy.reload().await;
        assert!(line.contains("plugins_unchanged=1") && line.contains("routes=\"unchanged\""), "{line}");
    });
}

/// Each leaves what was in service there, and says what is wrong, with the place of it.
#[test]
fn what_is_broken_is_refused_as_a_whole() {
    run(async {
        let upstream = Upstream::named("home").await;
        let versioned = Versioned::new(upstream.address());
        let proxy = versioned.start().await;
        let good = versioned.config(2);
        let broken = proxy.folder().join("broken.wasm");
        fs::write(&broken, "no plugin at all").unwrap();
        let cases = [
            (format!("{good}\n[["), vec!["sluicegate.toml:", "unquoted keys"]),
            (good.replace("plugins = ", "plugin = "), vec!["sluicegate.toml:", "route[0].plugin", "plugins"]),
            (good.replace("servers = ", "server = ") + "path = 1\n", vec!["route[0].path"]),
            (versioned.config_of(&broken, 2), vec!["broken.wasm", "is no WebAssembly"]),
            (
                good.replace("version = 2,", "version = 2, colour = 1,"),
                vec!["refuses its settings", "colour"],
            ),
            (
                good.replace("file = ", "digest = \"sha256:{}\"\nfile = ").replace("{}", &"0".repeat(64)),
                vec!["digest"],
            ),
        ];
        for (config, words) in cases {
            proxy.write_config(&config);
            proxy.refuse_to_reload().await;
            let said = [&["ERROR"], &words[..]].concat();
            proxy.log().line(&said).await;
            assert_eq!(version_at(proxy.address()).await, "v1");
        }
        fs::remove_file(proxy.folder().join("sluicegate.toml")).unwrap();
        proxy.refuse_to_reload().await;
        assert_eq!(version_at(proxy.address()).await, "v1");
        versioned.swap(&proxy, 2).await;
        assert_eq!(version_at(proxy.address()).await, "v2");
    });
}

#[test]
fn certificates_are_loaded_again_and_a_bad_pair_refuses_all() {
    run(async {
        let files = TlsFiles::new();
        let upstream = Upstream::named("home").await;
        let https = |name: &str| {
            let keys = files.tls(", reload-interval = \"1h\"");
            config::listener(&keys)
                + &config::upstream("app", &[upstream.address()], "")
                + &config::route("app", &format!("host = \"{name}\""))
        };
        let proxy = Proxy::start(&https(NAME)).await;
        let shown = async || {
            let wire = files.client().connect(proxy.address(), NAME).await;
            wire.tls().peer_certificates().unwrap()[0].to_vec()
        };
        let first = shown().await;
        fs::write(files.path("server-key.pem"), "no key").unwrap();
        proxy.write_config(&https("*.example.com"));
        proxy.refuse_to_reload().await;
        proxy.log().line(&["ERROR", "listener 127.0.0.1:0", "server-key.pem"]).await;
        assert_eq!(shown().await, first);

        files.write("server", &files.authority.server(&[NAME]));
        let line = proxy.reload().await;
        assert!(line.contains("listeners=\"unchanged\"") && line.contains("routes=\"changed\""), "{line}");
        assert_ne!(shown().await, first);
    });
}

#[test]
fn listeners_come_and_go_and_sessions_stay() {
    run(async {
        let upstream = RawUpstream::start().await;
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let second = free.local_addr().unwrap();
        let versioned = Versioned::new(upstream.address());
        let proxy = versioned.start().await;
        let first = proxy.address();
        let mut session = Session::open(&proxy, &upstream).await;
        let with_second = format!("[[listener]]\naddress = \"{second}\"\n{}", versioned.config(2));
        let with_second = with_second.replacen("[server]", "", 1);

        // Its address is still somebody else's: nothing of the configuration is taken.
        proxy.write_config(&with_second);
        proxy.refuse_to_reload().await;
        proxy.log().line(&["ERROR", &format!("cannot listen on {second}")]).await;
        assert_eq!(version_at(first).await, "v1");

        drop(free);
        let line = proxy.reload().await;
        assert!(line.contains("listeners=\"changed\""), "{line}");
        assert_eq!((version_at(first).await, version_at(second).await), ("v2".into(), "v2".into()));

        let only_second = with_second.replacen(&config::listener(""), "", 1);
        proxy.write_config(&only_second);
        proxy.reload().await;
        eventually("the listener's end", || std::net::TcpStream::connect(first).is_err().then_some(())).await;
        assert_eq!(version_at(second).await, "v2");
        assert_heard(&mut session, "still here", "v1#1 still here").await;
    });
}

#[test]
fn a_plugin_of_the_command_line_is_loaded_again() {
    run(async {
        let upstream = Upstream::named("home").await;
        let folder = scratch();
        let file = folder.path().join("door.wasm");
        fs::copy(guest("forward"), &file).unwrap();
        let (address, plugin) = (upstream.address().to_string(), file.to_str().unwrap());
        let arguments = ["run", "--listen", "127.0.0.1:0", "--upstream", &address, "--plugin", plugin];
        let proxy = Proxy::with_arguments(&arguments).await;
        assert!(proxy.reload().await.contains("plugins_unchanged=1"));
        fs::copy(guest("recorder"), &file).unwrap();
        assert!(proxy.reload().await.contains("plugins_changed=1"));
        assert_eq!(version_at(proxy.address()).await, "home");
        proxy.log().line(&["door", "on-request GET /version"]).await;
    });
}

#[test]
fn what_needs_a_restart_is_told_and_the_rest_is_followed() {
    run(async {
        let upstream = Upstream::named("home").await;
        let versioned = Versioned { server: "workers = 1", ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let more = Versioned { server: "workers = 2\nplugin-cache = \"off\"", ..versioned };
        more.swap(&proxy, 2).await;
        proxy.log().line(&["WARN", "server.workers has changed, which needs a restart"]).await;
        proxy.log().line(&["WARN", "server.plugin-cache has changed, which needs a restart"]).await;
        assert_eq!(version_at(proxy.address()).await, "v2");
        // As long as the file says so; and back to what is running is no change.
        more.swap(&proxy, 3).await;
        proxy.log().nth_line(1, &["WARN", "server.workers has changed, which needs a restart"]).await;
        Versioned { server: "workers = 1", ..more }.swap(&proxy, 4).await;
        assert_eq!(proxy.log().count(&["WARN", "server.workers has changed"]), 2);
    });
}

/// Compiling takes all processors there are, and yet everybody is served.
#[test]
fn clients_are_served_while_plugins_are_compiled_and_the_next_reload_waits() {
    run(async {
        let upstream = Upstream::named("home").await;
        let versioned = Versioned { server: "plugin-cache = \"off\"", ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        proxy.write_config(&versioned.config(2));
        proxy.hang_up().await;
        proxy.log().line(&["as SIGHUP asks for"]).await;
        let mut served = 0;
        while proxy.log().count(&["configuration reloaded"]) == 0 {
            assert!(version_at(proxy.address()).await.starts_with('v'));
            served += 1;
            if served == 5 {
                proxy.write_config(&versioned.config(3));
                proxy.hang_up().await;
            }
        }
        assert!(served > 5, "{served} requests");
        proxy.log().nth_line(1, &["configuration reloaded"]).await;
        assert_eq!(version_at(proxy.address()).await, "v3");
    });
}

#[test]
fn a_plugin_that_needs_more_memory_gets_a_larger_pool() {
    run(async {
        let upstream = RawUpstream::start().await;
        let versioned = Versioned { plugin: "memory-max = \"4MiB\"", ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let mut old = Session::open(&proxy, &upstream).await;
        let larger = Versioned { plugin: "memory-max = \"64MiB\"", ..versioned };
        larger.swap(&proxy, 2).await;
        proxy.log().line(&["a larger pool of plugin instances was made"]).await;
        let mut new = Session::open(&proxy, &upstream).await;
        assert_heard(&mut old, "a", "v1#1 a").await;
        assert_heard(&mut new, "a", "v2#1 a").await;
        drop(old);
        // And it goes on in the larger one.
        let smaller = Versioned { plugin: "memory-max = \"4MiB\"", ..larger };
        smaller.swap(&proxy, 3).await;
        assert_eq!(proxy.log().count(&["a larger pool of plugin instances was made"]), 1);
        assert_heard(&mut new, "b", "v2#2 b").await;
    });
}

/// The pool in use stays, and with it all that was compiled for it.
#[test]
fn a_larger_pool_is_not_kept_for_what_was_refused() {
    run(async {
        let upstream = Upstream::named("home").await;
        let versioned = Versioned { plugin: "memory-max = \"4MiB\"", ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let larger = Versioned { plugin: "memory-max = \"64MiB\"", ..versioned };
        let mistakes = [
            larger.config(1).replace("version = 1,", "version = true,"),
            format!("[[listener]]\naddress = \"{}\"\n", taken.local_addr().unwrap())
                + &larger.config(1).replacen("[server]", "", 1),
        ];
        for mistake in mistakes {
            proxy.write_config(&mistake);
            proxy.refuse_to_reload().await;
            proxy.write_config(&(versioned.config(1) + "host = \"chat.example.com\"\n"));
            let line = proxy.reload().await;
            assert!(line.contains("plugins_unchanged=1"), "{line}");
        }
    });
}

/// What interrupts guests must not stand back behind them, nor behind whoever compiles.
#[test]
fn epochs_are_advanced_with_the_priority_of_workers() {
    run(async {
        let upstream = Upstream::named("home").await;
        let versioned = Versioned { plugin: "memory-max = \"4MiB\"", ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let (worker, preparer) = (niceness(&proxy, "worker-0"), niceness(&proxy, "preparer"));
        assert!(preparer > worker, "{preparer:?} and {worker:?}");
        assert_eq!(niceness(&proxy, "epoch"), worker);
        let larger = Versioned { plugin: "memory-max = \"64MiB\"", ..versioned };
        larger.swap(&proxy, 2).await;
        assert_eq!(niceness(&proxy, "epoch"), worker);
    });
}

/// Of all threads of this name (proc_pid_stat(5)).
fn niceness(proxy: &Proxy, name: &str) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{}/task", proxy.process_id())).unwrap();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    let fields = stats.filter_map(|stat| Some(stat.split_once(&format!("({name}) "))?.1.to_owned()));
    fields.map(|fields| fields.split(' ').nth(16).unwrap().parse().unwrap()).collect()
}

#[test]
fn a_process_that_drains_ignores_it() {
    run(async {
        let upstream = RawUpstream::start().await;
        let versioned =
            Versioned { server: "shutdown-grace = \"20s\"", ..Versioned::new(upstream.address()) };
        let mut proxy = versioned.start().await;
        let Session { mut client, upstream } = Session::open(&proxy, &upstream).await;
        proxy.terminate().await;
        proxy.log().line(&["draining"]).await;
        proxy.hang_up().await;
        proxy.log().line(&["WARN", "configuration not reloaded, as the process drains"]).await;
        assert_eq!(client.hear().await, "v1 drain");
        drop((client, upstream));
        assert_eq!(proxy.ended().await.code(), Some(0));
        proxy.log().assert_none(&["configuration reloaded"]);
    });
}

/// A proxy that watches its files, the first version of a plugin in service there, and the plugin's file.
async fn watching(upstream: &Upstream) -> (Proxy, Versioned, PathBuf) {
    let folder = scratch();
    let file = folder.path().join("version.wasm");
    fs::copy(guest("version"), &file).unwrap();
    let versioned = Versioned { server: "watch = \"100ms\"", ..Versioned::new(upstream.address()) };
    let proxy = Proxy::start_in(folder, &versioned.config_of(&file, 1)).await;
    (proxy, versioned, file)
}

#[test]
fn files_that_change_are_loaded_where_they_are_watched() {
    run(async {
        let upstream = Upstream::named("home").await;
        let (proxy, versioned, file) = watching(&upstream).await;
        proxy.write_config(&versioned.config_of(&file, 2));
        proxy.log().line(&["configuration reloaded", "plugins_changed=1"]).await;
        assert_eq!(version_at(proxy.address()).await, "v2");

        fs::write(&file, "half a plu").unwrap();
        proxy.log().line(&["configuration not changed"]).await;
        assert_eq!(version_at(proxy.address()).await, "v2");
        // And when it is whole again, it is what is in service.
        fs::copy(guest("version"), &file).unwrap();
        proxy.log().line(&["configuration reloaded", "plugins_unchanged=1"]).await;
        proxy.write_config(&versioned.config_of(&file, 3));
        proxy.log().nth_line(1, &["configuration reloaded", "plugins_changed=1"]).await;
        // Each change was loaded once.
        assert_eq!(proxy.log().count(&["configuration reloaded"]), 3);
        assert_eq!(proxy.log().count(&["configuration not changed"]), 1);
    });
}

#[test]
fn a_plugin_that_is_gone_for_a_while_is_loaded_when_it_is_back() {
    run(async {
        let upstream = Upstream::named("home").await;
        let (proxy, _, file) = watching(&upstream).await;
        fs::remove_file(&file).unwrap();
        proxy.log().line(&["ERROR", "expected a file at", "version.wasm"]).await;
        fs::copy(guest("version"), &file).unwrap();
        proxy.log().line(&["configuration reloaded", "plugins_unchanged=1"]).await;
    });
}

#[test]
fn what_was_refused_for_a_certificate_is_tried_again_when_it_is_another() {
    run(async {
        let files = TlsFiles::new();
        let config = |listener: &str, tls: &str| {
            "[server]\nwatch = \"100ms\"\n".to_owned()
                + &config::listener(listener)
                + &format!("[[upstream]]\nname = \"app\"\nservers = [\"https://127.0.0.1:1\"]\n{tls}\n")
                + &config::route("app", "")
        };
        let proxy = Proxy::start(&config("", "tls = { verify = false }")).await;
        let authority = files.path("later.pem");
        fs::write(&authority, "no certificate").unwrap();
        proxy.write_config(&config("", &format!("tls = {{ ca = {authority:?} }}")));
        proxy.log().line(&["ERROR", "upstream `app`", "later.pem"]).await;
        fs::write(authority, files.authority.pem()).unwrap();
        proxy.log().line(&["configuration reloaded"]).await;

        fs::write(files.path("server-key.pem"), "no key").unwrap();
        proxy.write_config(&config(&files.tls(""), "tls = { verify = false }"));
        proxy.log().line(&["ERROR", "listener 127.0.0.1:0", "server-key.pem"]).await;
        files.write("server", &files.authority.server(&[NAME]));
        proxy.log().nth_line(1, &["configuration reloaded"]).await;
    });
}
