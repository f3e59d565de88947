//! Plugins that are swapped again and again: under the load of many sessions, and a thousand times.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sluicegate_tests::{Peer, Proxy, RawUpstream, Session, config, guest, run_within};

use crate::swap_config::Versioned;

/// Sessions under load in the suite; `make soak` has 9,000, as many as 20,000 descriptors allow.
const SESSIONS: usize = 2_000;
/// How often the plugins are swapped under load.
const SWAPS_UNDER_LOAD: u32 = 20;
/// How often without, and how often before that is measured.
const SWAPS: u32 = 1_000;
const WARM_UP_SWAPS: u32 = 100;

const TOLD: &str = "open sessions know of the replaced plugins";

/// What a process has of the things that swaps could leave behind.
#[derive(Debug)]
struct Holdings {
    /// In KiB, without its files': those it shares with other proxies, and its share is larger when they end.
    memory_kib: usize,
    mappings: usize,
    threads: usize,
    descriptors: usize,
}

impl Holdings {
    fn of(proxy: &Proxy) -> Self {
        let process = Path::new("/proc").join(proxy.process_id().to_string());
        let read = |file: &str| fs::read_to_string(process.join(file)).unwrap();
        let count = |folder: &str| fs::read_dir(process.join(folder)).unwrap().count();
        let memory = read("smaps_rollup");
        let kib = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
        };
        Self {
            memory_kib: kib("Pss_Anon:") + kib("Pss_Shmem:"),
            mappings: read("maps").lines().count(),
            threads: count("task"),
            descriptors: count("fd"),
        }
    }
}

/// The plugin three times: handed over with an instance for each session, and with shared ones; and left. Its code is kept
/// where none of another run is, so each version is compiled under load, once.
fn three_ways(upstream: SocketAddr, version: u32) -> String {
    let mut text = String::from("[server]\nplugin-cache = \"cache\"\n");
    text += &(config::listener("") + &config::upstream("app", &[upstream], ""));
    for (name, keys) in [
        ("own", "migrate = true"),
        ("shared", "migrate = true\nisolation = \"shared\""),
        ("kept", "isolation = \"shared\""),
    ] {
        let keys = format!("settings = {{ version = {version} }}\ncall-time-max = \"1s\"\n{keys}");
        text += &config::plugin(name, &guest("version"), &keys);
        text += &config::route("app", &format!("path = \"/{name}\"\nplugins = [\"{name}\"]"));
    }
    text
}

#[test]
fn nothing_is_lost_when_plugins_are_swapped_under_load() {
    let sessions = std::env::var("SLUICEGATE_SOAK_SESSIONS").ok().map(|count| count.parse().unwrap());
    let sessions: usize = sessions.unwrap_or(SESSIONS);
    run_within(Duration::from_secs(600), async {
        let (_server, address) =
            Peer::server("echo-server.js", &[r#"{ "quiet": true, "perMessageDeflate": false }"#]).await;
        let proxy = Proxy::start(&three_ways(address, 1)).await;
        let url = format!("ws://{}", proxy.address());
        let mut client =
            Peer::start("load-client.js", &[&url, &sessions.to_string(), "/own", "/shared", "/kept"]);
        let opened = client.line_within(Duration::from_secs(200)).await;
        assert_eq!(opened, json!({ "opened": sessions }));
        let spoken = client.line_within(Duration::from_secs(120)).await;
        assert_eq!(spoken, json!({ "spoken": sessions }));

        let mut before = None;
        for version in 2..SWAPS_UNDER_LOAD + 2 {
            let told = proxy.log().count(&[TOLD]);
            proxy.write_config(&three_ways(address, version));
            assert!(proxy.reload().await.contains("plugins_changed=3"));
            let line = proxy.log().nth_line(told, &[TOLD]).await;
            let (kept, migrated) = (sessions / 3, sessions - sessions / 3);
            assert!(line.contains(&format!("migrated={migrated} kept={kept} refused=0 failed=0")), "{line}");
            // After the first few there is all that there ever is: sessions in two versions, and what compiling leaves.
            if version == 5 {
                before = Some(Holdings::of(&proxy));
            }
        }
        let (before, after) = (before.unwrap(), Holdings::of(&proxy));
        println!("{sessions} sessions, {SWAPS_UNDER_LOAD} swaps: from {before:?} to {after:?}");
        for line in proxy.log().lines().iter().filter(|line| line.contains("configuration reloaded")) {
            println!("{line}");
        }

        client.say("that is enough").await;
        let last = SWAPS_UNDER_LOAD + 1;
        let done = client.line_within(Duration::from_secs(60)).await;
        println!("{done}");
        assert_eq!(
            done["done"]["versions"],
            json!({ "/own": [last], "/shared": [last], "/kept": [1] }),
            "{done}"
        );
        assert_eq!(done["done"]["sessions"], sessions);
        proxy.log().assert_none(&["session ended early"]);
        proxy.log().assert_none(&["plugin failed"]);
        assert!(
            after.memory_kib < before.memory_kib + before.memory_kib / 10 + 8 * 1024,
            "{before:?}, {after:?}"
        );
    });
}

/// Two versions in turn, with sessions that go along and one that stays.
#[test]
fn a_thousand_swaps_leave_nothing_behind() {
    run_within(Duration::from_secs(300), async {
        let upstream = RawUpstream::start().await;
        let mut versioned = Versioned { plugin: "migrate = true", ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let mut sessions = Vec::new();
        for _ in 0..8 {
            sessions.push(Session::open(&proxy, &upstream).await);
        }
        let mut before = None;
        for swap in 0..WARM_UP_SWAPS + SWAPS {
            if swap == WARM_UP_SWAPS {
                before = Some(Holdings::of(&proxy));
            }
            versioned.plugin =
                if swap % 4 < 2 { "migrate = true\nisolation = \"shared\"" } else { "migrate = true" };
            let line = versioned.swap(&proxy, 1 + swap % 2).await;
            assert!(line.contains("plugins_changed=1"), "{line}");
            let line = proxy.log().nth_line(swap as usize, &[TOLD]).await;
            assert!(line.contains("migrated=8 kept=0"), "{line}");
        }
        let (before, after) = (before.unwrap(), Holdings::of(&proxy));
        println!("{SWAPS} swaps: from {before:?} to {after:?}");
        assert_eq!((after.threads, after.descriptors), (before.threads, before.descriptors));
        assert!(after.mappings < before.mappings + 50, "{before:?}, {after:?}");
        assert!(after.memory_kib < before.memory_kib + 3 * 1024, "{before:?}, {after:?}");
        for session in &mut sessions {
            session.client.say("x").await;
            assert_eq!(
                session.upstream.hear().await,
                format!("v{}#1 x", 1 + (WARM_UP_SWAPS + SWAPS - 1) % 2)
            );
        }
    });
}
