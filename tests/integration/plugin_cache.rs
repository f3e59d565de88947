//! Compiled plugins on disk: used where they can be trusted, made anew where not, missed where there is no place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sluicegate_tests::{Finished, config, guest, run, scratch, sluicegate};

/// `check` with this cache for a plugin with settings, whose compiled form holds its configured memory.
async fn check(folder: &Path, cache: &str, mark: &str) -> Finished {
    let text = format!("[server]\nplugin-cache = \"{cache}\"\n")
        + &config::listener("")
        + "[[route]]\nfiles = { root = \".\" }\nplugins = [\"stamp\"]\n"
        + &config::plugin("stamp", &guest("stamp"), &format!("settings = {{ mark = \"{mark}\" }}"));
    fs::write(folder.join("sluicegate.toml"), text).unwrap();
    let checked = sluicegate(folder, &["check", "--config", "sluicegate.toml"]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    checked
}

fn kept(cache: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(cache).unwrap().map(Result::unwrap).collect()
}

#[test]
fn compiled_plugins_are_kept_by_file_and_settings() {
    run(async {
        let folder = scratch();
        let cache = folder.path().join("cache");
        check(folder.path(), "cache", "a").await;
        assert_eq!(kept(&cache).len(), 1);
        check(folder.path(), "cache", "a").await;
        assert_eq!(kept(&cache).len(), 1);
        check(folder.path(), "cache", "b").await;
        assert_eq!(kept(&cache).len(), 2);
    });
}

#[test]
fn a_spoilt_entry_is_made_anew() {
    run(async {
        let folder = scratch();
        let cache = folder.path().join("cache");
        check(folder.path(), "cache", "a").await;
        let entry = kept(&cache).remove(0).path();
        let good = fs::read(&entry).unwrap();
        for spoilt in [&b"no code at all"[..], &good[..good.len() / 2], b""] {
            fs::write(&entry, spoilt).unwrap();
            check(folder.path(), "cache", "a").await;
            assert_eq!(fs::read(&entry).unwrap().len(), good.len());
        }
    });
}

#[test]
fn a_folder_that_others_may_write_is_not_used() {
    run(async {
        let folder = scratch();
        let cache = folder.path().join("cache");
        fs::create_dir(&cache).unwrap();
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
        let checked = check(folder.path(), "cache", "a").await;
        assert!(checked.stderr.contains("compiled plugins are not kept"), "{}", checked.stderr);
        assert!(kept(&cache).is_empty());
    });
}

#[test]
fn nothing_is_kept_where_nothing_shall_be() {
    run(async {
        let folder = scratch();
        check(folder.path(), "off", "a").await;
        let names: Vec<_> = kept(folder.path()).into_iter().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["sluicegate.toml"]);
    });
}
