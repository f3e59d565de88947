//! `sluicegate check`, and `run` with what `check` refuses: exit code 2, and a text that says what would be accepted.

use std::fs;
use std::path::Path;

use sluicegate_tests::{component, config, guest, plugin, run, scratch, sluicegate};

/// The hooks there are, as the texts list them.
const HOOKS: &str = "sluicegate:hooks/lifecycle@0.1.0, sluicegate:hooks/request-hook@0.1.0, \
                     sluicegate:hooks/response-hook@0.1.0, sluicegate:hooks/session-hook@0.1.0";

/// A route with one plugin.
fn with_plugin(file: &Path, keys: &str) -> String {
    config::listener("")
        + "[[route]]\nfiles = { root = \".\" }\nplugins = [\"sample\"]\n"
        + &config::plugin("sample", file, keys)
}

/// What `check` says of a configuration that it refuses, without the folder it is in.
async fn refusal(folder: &Path, text: &str) -> String {
    fs::write(folder.join("sluicegate.toml"), text).unwrap();
    let checked = sluicegate(folder, &["check", "--config", "sluicegate.toml"]).await;
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(2), ""), "{}", checked.stderr);
    // `run` refuses what `check` refuses, with the same words.
    let ran = sluicegate(folder, &["run", "--config", "sluicegate.toml"]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let words = |stderr: &str| {
        // The log, where plugins have their say, goes there, too.
        let lines =
            stderr.lines().filter(|line| !line.contains(" INFO ") && !line.contains(" ERROR plugin: "));
        lines.collect::<Vec<_>>().join("\n").replace(&format!("{}/", folder.display()), "")
    };
    assert_eq!(words(&checked.stderr), words(&ran.stderr));
    words(&checked.stderr)
}

/// What is said of a plugin that is refused: all after its name and file.
async fn plugin_refusal(file: &Path, keys: &str) -> String {
    let folder = scratch();
    let text = refusal(folder.path(), &with_plugin(file, keys)).await;
    let rest = text.strip_prefix("plugin `sample` (").and_then(|rest| rest.split_once("): "));
    rest.unwrap_or_else(|| panic!("the plugin's name and file in {text:?}")).1.to_owned()
}

#[test]
fn a_good_configuration_is_fine() {
    run(async {
        let folder = scratch();
        let settings = "settings = { allow = [\"https://chat.example.com\"] }";
        fs::write(folder.path().join("sluicegate.toml"), with_plugin(&plugin("origin-check"), settings))
            .unwrap();
        let checked = sluicegate(folder.path(), &["check", "--config", "sluicegate.toml"]).await;
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        assert!(checked.stdout.starts_with("sluicegate.toml: fine"), "{}", checked.stdout);
    });
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    run(async {
        let folder = scratch();
        let text = "[[listener]]\naddres = \"127.0.0.1:0\"\n\n[[plugin]]\nname = \"filter\"\nfile = \"none.wasm\"\n\n\
                    [[upstream]]\nname = \"chat\"\nservers = [\"127.0.0.1:1\"]\n\n\
                    [[route]]\nupstream = \"chta\"\nplugins = [\"filtre\"]\ntimeouts = { read = \"soon\" }\n";
        let refused = refusal(folder.path(), text).await;
        // Which keys a table has is another test's business.
        let told = refused.lines().map(|line| line.split("? accepted: address").next().unwrap_or_default());
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "sluicegate.toml:1:1: listener[0].address: expected an IP address and port such as \"127.0.0.1:8080\" or \
                 \"[::]:80\", found nothing",
                "sluicegate.toml:2:1: listener[0].addres: unknown key, did you mean \"address\"",
                "sluicegate.toml:6:8: plugin[0].file: expected a file at \"none.wasm\": No such file or directory (os error 2)",
                "sluicegate.toml:13:12: route[0].upstream: unknown upstream \"chta\", did you mean \"chat\"? accepted: chat",
                "sluicegate.toml:14:12: route[0].plugins[0]: unknown plugin \"filtre\", did you mean \"filter\"? accepted: filter",
                "sluicegate.toml:15:21: route[0].timeouts.read: expected a duration such as \"30s\" or \"500ms\", found \"soon\"",
            ]
        );
    });
}

#[test]
fn a_configuration_that_is_not_there() {
    run(async {
        let folder = scratch();
        let checked = sluicegate(folder.path(), &["check", "--config", "none.toml"]).await;
        assert_eq!(checked.code, Some(2));
        assert!(checked.stderr.starts_with("none.toml: expected a configuration file"), "{}", checked.stderr);
    });
}

#[test]
fn settings_are_refused_in_the_plugins_own_words() {
    run(async {
        let file = plugin("origin-check");
        assert_eq!(
            plugin_refusal(&file, "settings = { allow = [] }").await,
            "refuses its settings: allow: an empty list lets nobody in; give an origin such as `https://chat.example.com`"
        );
        assert_eq!(
            plugin_refusal(&file, "settings = { alow = [\"https://a.example\"] }").await,
            "refuses its settings: alow: unknown field `alow`, expected `allow` or `missing`"
        );
        assert_eq!(plugin_refusal(&file, "").await, "refuses its settings: missing field `allow`");
    });
}

#[test]
fn what_is_no_plugin_is_refused() {
    run(async {
        let folder = scratch();
        let text = folder.path().join("text.wasm");
        fs::write(&text, "not WebAssembly").unwrap();
        assert_eq!(
            plugin_refusal(&text, "").await,
            "is no WebAssembly: a component or a core module built for wasm32-unknown-unknown was expected"
        );
        for name in ["other-world", "plain-module"] {
            let refusal = plugin_refusal(&component(name, folder.path()), "").await;
            let expected = "exports none of the hooks of this proxy, so it is a component for something else; \
                            expected one of ";
            assert_eq!(refusal, expected.to_owned() + HOOKS, "{name}");
        }
    });
}

/// Never skipped silently: it may be the origin check.
#[test]
fn a_plugin_with_an_unknown_hook_or_import_is_refused() {
    run(async {
        let folder = scratch();
        assert_eq!(
            plugin_refusal(&component("unknown-hook", folder.path()), "").await,
            format!(
                "exports `sluicegate:hooks/byte-hook@0.1.0`, which this proxy does not know; it knows {HOOKS}"
            )
        );
        let refusal = plugin_refusal(&component("unknown-import", folder.path()), "").await;
        let expected = "imports `sluicegate:hooks/filesystem@0.1.0`, which this proxy does not have; it has ";
        assert!(refusal.starts_with(expected), "{refusal}");
        for known in ["types", "request", "response-head", "connection", "log", "limits", "clock", "random"] {
            assert!(refusal.contains(&format!("sluicegate:hooks/{known}@0.1.0")), "{known} in {refusal}");
        }
        plugin_refusal(&component("other-functions", folder.path()), "").await;
    });
}

#[test]
fn a_plugin_of_another_digest_is_refused_and_the_right_one_is_told() {
    run(async {
        let file = guest("forward");
        let zeros = "0".repeat(64);
        let refusal = plugin_refusal(&file, &format!("digest = \"sha256:{zeros}\"")).await;
        let found = refusal.strip_prefix("its digest is ").and_then(|rest| rest.split_once(','));
        let (found, rest) = found.unwrap_or_else(|| panic!("the digest in {refusal}"));
        assert_eq!(rest, format!(" the configuration asks for sha256:{zeros}"));

        let folder = scratch();
        let text = with_plugin(&file, &format!("digest = \"{found}\""));
        fs::write(folder.path().join("sluicegate.toml"), text).unwrap();
        let checked = sluicegate(folder.path(), &["check", "--config", "sluicegate.toml"]).await;
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    });
}

#[test]
fn a_plugin_that_fails_in_configure_is_refused() {
    run(async {
        for (by, words) in [
            ("panic", "fails in configure: it panicked"),
            ("spin", "ran longer than its configure-time-max"),
            ("memory", "fails in configure: it panicked"),
            ("recursion", "fails in configure: wasm trap: call stack exhausted"),
        ] {
            let keys =
                format!("settings = {{ in = \"configure\", by = \"{by}\" }}\nconfigure-time-max = \"500ms\"");
            let refusal = plugin_refusal(&guest("failing"), &keys).await;
            assert!(refusal.starts_with(words), "{by}: {refusal}");
        }
    });
}

#[test]
fn all_plugins_that_cannot_be_loaded_are_told() {
    run(async {
        let folder = scratch();
        let bad = component("unknown-hook", folder.path());
        let text = config::listener("")
            + "[[route]]\nfiles = { root = \".\" }\nplugins = [\"one\", \"two\"]\n"
            + &config::plugin("one", &bad, "")
            + &config::plugin("two", &plugin("origin-check"), "settings = { allow = [] }");
        let refusal = refusal(folder.path(), &text).await;
        assert_eq!(refusal.lines().count(), 2, "{refusal}");
        assert!(refusal.contains("plugin `one`") && refusal.contains("plugin `two`"), "{refusal}");
    });
}
