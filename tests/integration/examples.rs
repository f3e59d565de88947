//! Every configuration in `examples` is right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sluicegate_tests::check;

/// The configurations in a folder and those below it; `Cargo.toml` is none, and other people's packages are not ours.
fn configurations(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() && name != "node_modules" {
            found.extend(configurations(&path));
        } else if path.extension().is_some_and(|found| found == "toml") && name != "Cargo.toml" {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_example_passes_check() {
    let paths = configurations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples"));
    assert_eq!(paths.len(), 20, "{paths:?}");
    for path in paths {
        // Makes what the configuration names, as `examples/run.sh` has it.
        let script = path.with_extension("sh");
        if script.exists() {
            let made = Command::new(&script).status().unwrap();
            assert!(made.success(), "{}: {made}", script.display());
        }
        let checked = check(&path);
        assert_eq!(checked.code, Some(0), "{}: {}", path.display(), checked.stderr);
    }
}
