//! The command line without a file, `plugin inspect`, and the exit codes of everything else.

use sluicegate_tests::{
    Proxy, Upstream, WebSocket, Wire, component, guest, plugin, run, scratch, sluicegate,
};

#[test]
fn run_without_a_file_listens_forwards_and_takes_turns() {
    run(async {
        let (one, two) = (Upstream::named("one").await, Upstream::named("two").await);
        let upstreams = format!("{},{}", one.address(), two.address());
        let proxy =
            Proxy::with_arguments(&["run", "--listen", "127.0.0.1:0", "--upstream", &upstreams]).await;
        let mut client = Wire::connect(proxy.address()).await;
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text().to_owned());
        }
        assert_eq!(seen, ["one", "two", "one", "two"]);
    });
}

#[test]
fn run_without_a_file_takes_plugins_in_order() {
    run(async {
        let echo = Upstream::echo().await;
        let (forward, scripted) = (guest("forward"), guest("scripted"));
        let upstream = echo.address().to_string();
        let arguments = ["run", "--listen", "127.0.0.1:0", "--upstream", &upstream];
        let plugins = ["--plugin", forward.to_str().unwrap(), "--plugin", scripted.to_str().unwrap()];
        let proxy = Proxy::with_arguments(&[&arguments[..], &plugins[..]].concat()).await;
        let mut client = WebSocket::connect(proxy.address(), "/").await;
        client.say("verdict replace seen").await;
        assert_eq!(client.hear().await, "seen");
    });
}

#[test]
fn wrong_arguments_are_exit_code_2() {
    run(async {
        let folder = scratch();
        for (arguments, word) in [
            (&["run"][..], "--listen"),
            (&["run", "--listen", "127.0.0.1:0"], "--upstream"),
            (&["run", "--listen", "here", "--upstream", "127.0.0.1:1"], "here"),
            (&["run", "--listen", "127.0.0.1:0", "--upstream", "nowhere"], "nowhere"),
            (
                &["run", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--plugin", "none.wasm"],
                "none.wasm",
            ),
            (&["run", "--config", "a.toml", "--upstream", "127.0.0.1:1"], "--config"),
            (&["check"], "--config"),
            (&["serve"], "serve"),
            (&["plugin", "inspect", "none.wasm"], "none.wasm"),
        ] {
            let finished = sluicegate(folder.path(), arguments).await;
            assert_eq!(finished.code, Some(2), "{arguments:?}: {}", finished.stderr);
            assert!(finished.stderr.contains(word), "{arguments:?}: {}", finished.stderr);
        }
    });
}

#[test]
fn an_address_that_is_taken_is_exit_code_1() {
    run(async {
        let taken = Upstream::named("here first").await.address();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let folder = scratch();
        let arguments = ["run", "--listen", &address, "--upstream", &taken.to_string()];
        let finished = sluicegate(folder.path(), &arguments).await;
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert!(finished.stderr.contains(&address), "{}", finished.stderr);
    });
}

#[test]
fn plugin_inspect_tells_hooks_imports_and_digest() {
    run(async {
        let folder = scratch();
        let file = plugin("origin-check");
        let finished = sluicegate(folder.path(), &["plugin", "inspect", file.to_str().unwrap()]).await;
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
        let size = std::fs::metadata(&file).unwrap().len();
        let lines: Vec<&str> = finished.stdout.lines().map(str::trim).collect();
        for expected in [
            "sluicegate:hooks/lifecycle@0.1.0",
            "sluicegate:hooks/request-hook@0.1.0",
            "sluicegate:hooks/request@0.1.0",
            &format!("size    {size} bytes"),
        ] {
            assert!(lines.contains(&expected), "{expected} in\n{}", finished.stdout);
        }
        assert!(!finished.stdout.contains("session-hook"), "{}", finished.stdout);
        assert!(lines.iter().any(|line| line.starts_with("digest  sha256:")), "{}", finished.stdout);
        // What it does not know it shows, too.
        let file = component("unknown-hook", folder.path());
        let finished = sluicegate(folder.path(), &["plugin", "inspect", file.to_str().unwrap()]).await;
        assert!(finished.stdout.contains("sluicegate:hooks/byte-hook@0.1.0"), "{}", finished.stdout);
    });
}

#[test]
fn help_and_version() {
    run(async {
        let folder = scratch();
        for (arguments, words) in [
            (&["--help"][..], &["run", "check", "plugin"][..]),
            (&["--version"], &["sluicegate"]),
            (&["run", "--help"], &["--config", "--listen", "--upstream", "--plugin"]),
        ] {
            let finished = sluicegate(folder.path(), arguments).await;
            assert_eq!(finished.code, Some(0));
            assert!(words.iter().all(|word| finished.stdout.contains(word)), "{}", finished.stdout);
        }
    });
}
