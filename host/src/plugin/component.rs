//! A plugin file before it is compiled: made a component, and what it asks for and offers.

use sha2::{Digest as _, Sha256};

use super::host;
use super::load::LoadErrorKind;

/// The hooks a plugin may export.
pub const HOOKS: [&str; 4] = [
    "sluicegate:hooks/lifecycle@0.1.0",
    "sluicegate:hooks/request-hook@0.1.0",
    "sluicegate:hooks/response-hook@0.1.0",
    "sluicegate:hooks/session-hook@0.1.0",
];

/// What begins the names of this project's interfaces.
const PACKAGE: &str = "sluicegate:hooks/";

/// What a plugin file asks for and offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Of this package: hooks.
    pub exports: Vec<String>,
    pub imports: Vec<String>,
    pub bytes: usize,
    pub digest: [u8; 32],
}

/// What a file is and holds, without running it.
pub fn describe(file: Vec<u8>) -> Result<Description, LoadErrorKind> {
    let (bytes, digest) = (file.len(), Sha256::digest(&file).into());
    let Interfaces { exports, imports } = interfaces(&to_component(file)?)?;
    Ok(Description { exports, imports, bytes, digest })
}

/// The names of a component's exports and imports.
pub(super) struct Interfaces {
    pub exports: Vec<String>,
    pub imports: Vec<String>,
}

pub(super) fn interfaces(component: &[u8]) -> Result<Interfaces, LoadErrorKind> {
    let decoded =
        wit_component::decode(component).map_err(|error| LoadErrorKind::Compile(format!("{error:#}")))?;
    let wit_component::DecodedWasm::Component(resolve, world) = decoded else {
        return Err(LoadErrorKind::NotWasm);
    };
    let world = resolve.worlds.get(world).ok_or(LoadErrorKind::NotWasm)?;
    Ok(Interfaces {
        exports: world.exports.keys().map(|key| resolve.name_world_key(key)).collect(),
        imports: world.imports.keys().map(|key| resolve.name_world_key(key)).collect(),
    })
}

/// Nothing unknown, in either direction, is skipped: it may be the origin check. Whether the component has `lifecycle`.
pub(super) fn check(exports: &[String], imports: &[String]) -> Result<bool, LoadErrorKind> {
    const LIFECYCLE: &str = "sluicegate:hooks/lifecycle@0.1.0";
    let mut hooks = exports.iter().filter(|export| export.starts_with(PACKAGE));
    if let Some(unknown) = hooks.clone().find(|export| !HOOKS.contains(&export.as_str())) {
        return Err(LoadErrorKind::UnknownHook { export: unknown.clone() });
    }
    if hooks.all(|export| export == LIFECYCLE) {
        return Err(LoadErrorKind::NoHook);
    }
    let known = |import: &&String| host::INTERFACES.contains(&import.as_str()) || import.starts_with("wasi:");
    if let Some(unknown) = imports.iter().find(|import| !known(import)) {
        return Err(LoadErrorKind::UnknownImport { import: unknown.clone() });
    }
    Ok(exports.iter().any(|export| export == LIFECYCLE))
}

/// Lower-case hexadecimal, as `digest` is written.
pub fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn check_digest(file: &[u8], expected: Option<[u8; 32]>) -> Result<(), LoadErrorKind> {
    let Some(expected) = expected else { return Ok(()) };
    let found: [u8; 32] = Sha256::digest(file).into();
    if found == expected {
        Ok(())
    } else {
        Err(LoadErrorKind::Digest { found: hex(&found), expected: hex(&expected) })
    }
}

/// A component as it is; of a core module with a component's type in it, make the component.
pub fn to_component(file: Vec<u8>) -> Result<Vec<u8>, LoadErrorKind> {
    match file.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Ok(file),
        Some(b"\0asm\x01\0\0\0") => {
            let mut encoder = wit_component::ComponentEncoder::default();
            let encoded = encoder.validate(true).module(&file).and_then(|encoder| encoder.encode());
            encoded.map_err(|error| LoadErrorKind::NoComponent(format!("{error:#}")))
        }
        _ => Err(LoadErrorKind::NotWasm),
    }
}
