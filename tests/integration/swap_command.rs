//! `sluicegate reload`, and the file that says which process serves.

use std::fs;

use sluicegate_tests::{
    Finished, Proxy, RawUpstream, Session, Upstream, eventually, run, scratch, sluicegate,
};

use crate::swap_config::{Versioned, version_at};

const PID_FILE: &str = "pid-file = \"sluicegate.pid\"";

async fn reload(proxy: &Proxy, arguments: &[&str]) -> Finished {
    sluicegate(proxy.folder(), &[&["reload"], arguments].concat()).await
}

#[test]
fn a_good_configuration_is_put_in_service() {
    run(async {
        let upstream = Upstream::named("home").await;
        let versioned = Versioned { server: PID_FILE, ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let id = proxy.process_id().to_string();
        let ways: [&[&str]; 4] = [
            &["--config", "sluicegate.toml"],
            &["--pid-file", "sluicegate.pid"],
            &["--pid", &id],
            &["--config", "sluicegate.toml", "--pid", &id],
        ];
        for (version, arguments) in (2..).zip(ways) {
            proxy.write_config(&versioned.config(version));
            let before = proxy.log().count(&["configuration reloaded"]);
            let reloaded = reload(&proxy, arguments).await;
            assert_eq!(reloaded.code, Some(0), "{}", reloaded.stderr);
            assert_eq!(
                reloaded.stdout,
                format!("process {id} is told to reload; its log says what came of it\n")
            );
            proxy.log().nth_line(before, &["configuration reloaded"]).await;
            assert_eq!(version_at(proxy.address()).await, format!("v{version}"));
        }
    });
}

#[test]
fn of_a_bad_configuration_the_process_is_not_told() {
    run(async {
        let upstream = Upstream::named("home").await;
        let versioned = Versioned { server: PID_FILE, ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let good = versioned.config(2);
        for (bad, words) in [
            (good.replace("plugins = ", "plugin = "), "route[0].plugin"),
            (good.replace("version = 2,", "version = true,"), "refuses its settings"),
            (good.replace(PID_FILE, ""), "expected [server] pid-file in it, or --pid-file or --pid"),
        ] {
            proxy.write_config(&bad);
            let refused = reload(&proxy, &["--config", "sluicegate.toml"]).await;
            assert_eq!(refused.code, Some(2), "{}", refused.stderr);
            assert!(refused.stderr.contains(words), "{words} in {}", refused.stderr);
        }
        for usage in [&[][..], &["--pid", "0"], &["--pid", "1", "--pid-file", "sluicegate.pid"]] {
            assert_eq!(reload(&proxy, usage).await.code, Some(2), "{usage:?}");
        }
        proxy.log().assert_none(&["reloading"]);
    });
}

/// Its variables are not those of whoever asks for the reload.
#[test]
fn what_may_be_up_to_the_environment_is_for_the_process_to_decide() {
    run(async {
        let upstream = Upstream::named("home").await;
        let grants = "grants = [\"env:SLUICEGATE_NEVER_SET\"]";
        let versioned = Versioned { server: PID_FILE, plugin: grants, ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let bad = versioned.config(2).replace("version = 2,", "version = true,");
        proxy.write_config(&bad);
        let told = reload(&proxy, &["--config", "sluicegate.toml"]).await;
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        for words in ["refuses its settings", "variables of the environment here"] {
            assert!(told.stderr.contains(words), "{words} in {}", told.stderr);
        }
        proxy.log().line(&["configuration not changed"]).await;
        // Nothing else is up to it.
        proxy.write_config(&(bad + "plugin = \"version\"\n"));
        assert_eq!(reload(&proxy, &["--config", "sluicegate.toml"]).await.code, Some(2));
        proxy.write_config(&versioned.config_of(&proxy.folder().join("none.wasm"), 2));
        assert_eq!(reload(&proxy, &["--config", "sluicegate.toml"]).await.code, Some(2));
    });
}

#[test]
fn the_file_is_there_as_long_as_the_process() {
    run(async {
        let upstream = Upstream::named("home").await;
        let versioned = Versioned { server: PID_FILE, ..Versioned::new(upstream.address()) };
        let mut proxy = versioned.start().await;
        let file = proxy.folder().join("sluicegate.pid");
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", proxy.process_id()));

        let second = sluicegate(proxy.folder(), &["run", "--config", "sluicegate.toml"]).await;
        assert_eq!(second.code, Some(1), "{}", second.stderr);
        assert!(second.stderr.contains("another process that runs holds it"), "{}", second.stderr);
        assert!(file.is_file());

        proxy.terminate().await;
        assert_eq!(proxy.ended().await.code(), Some(0));
        eventually("the file's end", || (!file.exists()).then_some(())).await;
        let nobody = reload(&proxy, &["--pid-file", "sluicegate.pid"]).await;
        assert_eq!(nobody.code, Some(1), "{}", nobody.stderr);
        // As a crash would leave it.
        fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        let nobody = reload(&proxy, &["--pid-file", "sluicegate.pid"]).await;
        assert_eq!(nobody.code, Some(1), "{}", nobody.stderr);
        assert!(nobody.stderr.contains("no process that runs holds it"), "{}", nobody.stderr);
    });
}

#[test]
fn a_successor_can_take_the_file_when_draining_has_begun() {
    run(async {
        let upstream = RawUpstream::start().await;
        let folder = scratch();
        let file = folder.path().join("sluicegate.pid");
        let keys = format!("pid-file = {file:?}\nshutdown-grace = \"60s\"");
        let start = async || Proxy::to(upstream.address()).server(&keys).start().await;
        let mut first = start().await;
        let session = Session::open(&first, &upstream).await;
        first.terminate().await;
        first.log().line(&["draining"]).await;
        let second = start().await;
        first.assert_running();
        drop(session);
        assert_eq!(first.ended().await.code(), Some(0));
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", second.process_id()));
    });
}
