//! Where the binary, the plugins and the test components are.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The binary under test: `SLUICEGATE_BIN`, or what `cargo build` leaves.
pub(crate) fn binary() -> PathBuf {
    let given = std::env::var_os("SLUICEGATE_BIN").map(PathBuf::from);
    built(given.unwrap_or_else(|| workspace().join("target/debug/sluicegate")), "cargo build")
}

/// A reference plugin, by the name of its folder below `plugins`.
pub fn plugin(name: &str) -> PathBuf {
    built(workspace().join(format!("target/plugins/{name}.wasm")), "make plugins")
}

/// A test plugin, by the name of its folder below `tests/plugins`.
pub fn guest(name: &str) -> PathBuf {
    built(
        workspace().join(format!("target/plugins/test-{name}.wasm")),
        "sluicegate plugin build tests/plugins/*",
    )
}

/// A configuration of `examples`.
pub fn example(path: &str) -> PathBuf {
    workspace().join("examples").join(path)
}

/// A component written by hand in `tests/components`, made binary in `folder`.
pub fn component(name: &str, folder: &Path) -> PathBuf {
    let source = workspace().join(format!("tests/components/{name}.wat"));
    let file = folder.join(format!("{name}.wasm"));
    fs::write(&file, wat::parse_file(source).unwrap()).unwrap();
    file
}

/// A folder that is removed with the value.
pub fn scratch() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn built(file: PathBuf, command: &str) -> PathBuf {
    assert!(file.is_file(), "{} is missing: `{command}` makes it", file.display());
    file
}
