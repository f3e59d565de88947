//! What a plugin may reach beyond its own exchange: nothing that the configuration does not grant.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use sluicegate_tests::{
    Finished, Proxy, ProxyBuilder, Upstream, WebSocket, component, config, guest, run, scratch, sluicegate,
};

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// `check` of a route with one plugin and the upstreams `app` and `auth`.
async fn check(file: &Path, keys: &str) -> Finished {
    let folder = scratch();
    let text = config::listener("")
        + &config::upstream("app", &[NOWHERE], "")
        + &config::upstream("auth", &[NOWHERE], "")
        + &config::plugin("sample", file, keys)
        + &config::route("app", "plugins = [\"sample\"]");
    fs::write(folder.path().join("sluicegate.toml"), text).unwrap();
    sluicegate(folder.path(), &["check", "--config", "sluicegate.toml"]).await
}

/// Why the plugin is refused: all after its name and file.
async fn refusal(file: &Path, keys: &str) -> String {
    let checked = check(file, keys).await;
    assert_eq!(checked.code, Some(2), "{}", checked.stderr);
    let line = checked.stderr.lines().find(|line| line.starts_with("plugin `sample` (")).unwrap_or_default();
    line.split_once("): ").unwrap_or_else(|| panic!("a reason in {}", checked.stderr)).1.to_owned()
}

#[test]
fn a_plugin_that_was_not_granted_what_it_asks_for_does_not_load() {
    run(async {
        let folder = scratch();
        assert_eq!(
            refusal(&component("granted-store", folder.path()), "").await,
            "imports `sluicegate:hooks/store@0.1.0`, which it was not granted: \
             add grants = [\"store\"] to [[plugin]] \"sample\""
        );
        let caller = guest("caller");
        assert_eq!(
            refusal(&caller, "").await,
            "imports `sluicegate:hooks/http@0.1.0` and `sluicegate:hooks/env@0.1.0`, which it was not granted: \
             add grants = [\"http:app\", \"env:NAME\"] to [[plugin]] \"sample\"; \
             \"http:…\" takes any of app, auth; NAME is the variable it reads"
        );
        // What is there already stays in the line to write.
        assert_eq!(
            refusal(&caller, "grants = [\"env:HOME\", \"store\"]").await,
            "imports `sluicegate:hooks/http@0.1.0`, which it was not granted: \
             write grants = [\"store\", \"http:app\", \"env:HOME\"] in [[plugin]] \"sample\"; \
             \"http:…\" takes any of app, auth"
        );
    });
}

/// The compiled form on disk was checked against other grants.
#[test]
fn a_grant_that_is_taken_back_is_missed_at_the_next_start() {
    run(async {
        let caller = guest("caller");
        let granted = check(&caller, "grants = [\"http:app\", \"env:HOME\"]").await;
        assert_eq!(granted.code, Some(0), "{}", granted.stderr);
        let refusal = refusal(&caller, "grants = [\"http:app\"]").await;
        assert!(
            refusal.starts_with("imports `sluicegate:hooks/env@0.1.0`, which it was not granted"),
            "{refusal}"
        );
    });
}

#[test]
fn grants_that_may_not_be_meant_are_told() {
    run(async {
        let checked = check(&guest("caller"), "grants = [\"store\", \"http:auth\", \"env:HOME\"]").await;
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        let warning = checked.stderr.lines().find(|line| line.contains("does not ask for it"));
        assert!(
            warning.is_some_and(|line| line.contains("WARN") && line.contains("\"store\"")),
            "{}",
            checked.stderr
        );

        let keys = "grants = [\"http:auth\", \"env:SLUICEGATE_NEVER_SET\"]\nisolation = \"shared\"";
        let checked = check(&guest("caller"), keys).await;
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        for words in ["isolation is shared", "environment variable granted to a plugin is not set"] {
            let told = checked.stderr.lines().any(|line| line.contains("WARN") && line.contains(words));
            assert!(told, "{words} in {}", checked.stderr);
        }
        let keys = "grants = [\"http:auth\", \"env:HOME\"]";
        let checked = check(&guest("caller"), keys).await;
        assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    });
}

#[test]
fn what_waits_may_not_be_called_in_configure() {
    run(async {
        let keys = "grants = [\"http:auth\", \"env:HOME\"]\nsettings = { too-early = \"auth\" }";
        let refusal = refusal(&guest("caller"), keys).await;
        assert_eq!(refusal, "fails in configure: http.request was called in configure, where it may not be");
    });
}

fn caller(upstream: &Upstream, keys: &str) -> ProxyBuilder {
    Proxy::to(upstream.address())
        .guest("caller", &format!("grants = [\"http:app\", \"env:SLUICEGATE_TOKEN\"]\n{keys}"))
}

async fn answer(proxy: &Proxy, command: &str) -> String {
    let mut socket = WebSocket::connect(proxy.address(), "/").await;
    socket.say(command).await;
    socket.hear().await
}

#[test]
fn variables_are_read_by_name_and_no_others() {
    run(async {
        let upstream = Upstream::echo().await;
        let proxy = caller(&upstream, "").variable("SLUICEGATE_TOKEN", "s3cret").start().await;
        assert_eq!(answer(&proxy, "variable SLUICEGATE_TOKEN").await, "s3cret");
        for _ in 0..2 {
            assert_eq!(answer(&proxy, "variable PATH").await, "none");
        }
        assert_eq!(proxy.log().count(&["WARN", "caller", "\"PATH\"", "not granted"]), 1);
    });
}

/// Neither a secret nor the value of another day.
#[test]
fn an_image_that_may_hold_a_variable_is_not_kept_on_disk() {
    run(async {
        let upstream = Upstream::echo().await;
        let folder = scratch();
        let cache = folder.path().join("cache");
        for value in ["first-s3cret", "second-s3cret"] {
            let proxy = caller(&upstream, "settings = { remember = \"SLUICEGATE_TOKEN\" }")
                .server(&format!("plugin-cache = {cache:?}"))
                .variable("SLUICEGATE_TOKEN", value)
                .start()
                .await;
            assert_eq!(answer(&proxy, "remembered").await, value);
            assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
        }
        // That of one that does not ask for it is.
        let proxy = caller(&upstream, "").server(&format!("plugin-cache = {cache:?}")).start().await;
        assert_eq!(answer(&proxy, "remembered").await, "none");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
    });
}
