//! `plugin build`: compile plugin crates for wasm32-unknown-unknown, and make components of them.
//!
//! Two toolchains will do: the one cargo finds, where it has the target (rustup brings it, as `rust-toolchain.toml` names
//! it), or Debian's packages, which bring the sources of the standard library to be built along.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::Failed;
use crate::plugin::component::to_component;

const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's packages, and where they put what is needed.
const DEBIAN_PACKAGES: &str = "rustc-web cargo-web rust-web-src lld-19";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "wasm-ld-19";

/// What builds the crates of one workspace.
enum Toolchain {
    /// cargo as it is found.
    Found,
    Debian,
}

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

/// A plugin crate.
struct Plugin {
    package: String,
    /// Its file's name, without the ending.
    library: String,
    folder: PathBuf,
}

pub(super) fn run(folders: Vec<PathBuf>) -> Result<(), Failed> {
    let folders = if folders.is_empty() { vec![PathBuf::from(".")] } else { folders };
    let mut workspaces: BTreeMap<PathBuf, Vec<Plugin>> = BTreeMap::new();
    for folder in folders {
        let (target_directory, plugin) = find(&folder)?;
        workspaces.entry(target_directory).or_default().push(plugin);
    }
    for (target_directory, plugins) in workspaces {
        build(&target_directory, &plugins)?;
    }
    Ok(())
}

/// Which package is in `folder`, and where its workspace builds.
fn find(folder: &Path) -> Result<(PathBuf, Plugin), Failed> {
    let usage = |text: &str| Failed::Usage(format!("{}: {text}", folder.display()));
    let folder = folder.canonicalize().map_err(|error| usage(&format!("no such folder: {error}")))?;
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(usage("no Cargo.toml here; a plugin is a crate"));
    }
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(&manifest)
        .current_dir(&folder)
        .output()
        .map_err(|error| Failed::Other(format!("cannot run cargo: {error}")))?;
    if !output.status.success() {
        return Err(usage(&String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failed::Other(format!("cannot read what cargo metadata says: {error}")))?;
    let package = metadata.packages.into_iter().find(|package| package.manifest_path == manifest);
    let package = package.ok_or_else(|| usage("this Cargo.toml has no package"))?;
    let is_plugin = |target: &&Target| target.crate_types.iter().any(|kind| kind == "cdylib");
    let library = package.targets.iter().find(is_plugin).map(|target| target.name.replace('-', "_"));
    let library = library.ok_or_else(|| usage("not a plugin: its [lib] needs crate-type = [\"cdylib\"]"))?;
    Ok((metadata.target_directory, Plugin { package: package.name, library, folder }))
}

fn build(target_directory: &Path, plugins: &[Plugin]) -> Result<(), Failed> {
    let Some(folder) = plugins.first().map(|plugin| plugin.folder.as_path()) else { return Ok(()) };
    // The host's own builds are not to be disturbed by those of another compiler.
    let wasm_directory = target_directory.join("wasm");
    let mut cargo = match toolchain(folder)? {
        Toolchain::Found => Command::new("cargo"),
        Toolchain::Debian => debian(),
    };
    cargo
        .args(["build", "--release", "--target", TARGET, "--target-dir"])
        .arg(&wasm_directory)
        .current_dir(folder);
    for plugin in plugins {
        cargo.args(["--package", &plugin.package]);
    }
    // Debugging information is ten times the code, and nothing here reads it.
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "false").env("CARGO_PROFILE_RELEASE_STRIP", "true");
    let status = cargo.status().map_err(|error| Failed::Other(format!("cannot run cargo: {error}")))?;
    if !status.success() {
        return Err(Failed::Other("the plugins did not build; cargo said why above".to_owned()));
    }
    for plugin in plugins {
        let module = wasm_directory.join(TARGET).join("release").join(format!("{}.wasm", plugin.library));
        let component = target_directory.join("plugins").join(format!("{}.wasm", plugin.package));
        componentize(&module, &component)?;
        println!("{}", component.display());
    }
    Ok(())
}

fn componentize(module: &Path, component: &Path) -> Result<(), Failed> {
    let failed =
        |file: &Path, error: &dyn std::fmt::Display| Failed::Other(format!("{}: {error}", file.display()));
    let bytes = std::fs::read(module).map_err(|error| failed(module, &error))?;
    let bytes = to_component(bytes).map_err(|kind| failed(module, &kind))?;
    let folder = component.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    std::fs::write(component, bytes).map_err(|error| failed(component, &error))
}

/// Whichever of the two is there.
fn toolchain(folder: &Path) -> Result<Toolchain, Failed> {
    let found = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    if found.is_some_and(|directory| Path::new(directory.trim()).is_dir()) {
        return Ok(Toolchain::Found);
    }
    let debian = [DEBIAN_RUSTC, DEBIAN_CARGO, "/usr/bin/wasm-ld-19"];
    if debian.iter().all(|file| Path::new(file).is_file()) && has_sources() {
        return Ok(Toolchain::Debian);
    }
    Err(Failed::Usage(format!(
        "no compiler for {TARGET} here: with rustup, `rustup target add {TARGET}`; on Debian, \
         `apt-get install {DEBIAN_PACKAGES}`"
    )))
}

/// Whether Debian's compiler has the sources of the standard library beside it.
fn has_sources() -> bool {
    let sysroot = Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]).output();
    let sysroot = sysroot.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std").is_dir()
}

fn debian() -> Command {
    let mut cargo = Command::new(DEBIAN_CARGO);
    cargo
        .env("RUSTC", DEBIAN_RUSTC)
        // Building the standard library along is not a stable feature of cargo yet.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER)
        .args(["-Z", "build-std=std,panic_abort"]);
    cargo
}
