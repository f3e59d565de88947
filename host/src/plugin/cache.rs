//! Compiled plugins on disk, so that a start need not compile what has not changed.
//!
//! What is in the folder is run as machine code, unchecked: only a folder that belongs to this process's user, and that nobody
//! else may write, is used. An entry's name is a hash of everything that went into it, so it is never stale.

use std::fs::{self, DirBuilder};
use std::hash::{Hash, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::component::hex;

/// Entries kept; the ones not used for longest go first.
const ENTRIES_MAX: usize = 200;

/// To be raised when what is asked of a plugin at load changes: an entry was checked by the rules of its time.
const RULES_VERSION: u32 = 1;

/// A folder of compiled plugins.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// What an entry is found by.
#[derive(Debug, Clone)]
pub struct Key(String);

// === impl Cache ===

impl Cache {
    /// Use `folder`, which is made if need be.
    pub fn open(folder: &Path) -> io::Result<Self> {
        if !folder.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let metadata = fs::metadata(folder)?;
        if !metadata.is_dir() || !is_own(&metadata) {
            let text = "not a folder of this process's user that nobody else may write";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// The place the system or the user has for such things; none where neither says.
    pub fn default_folder() -> Option<PathBuf> {
        // systemd's CacheDirectory= is for this service alone; the others are for all of a user's programs.
        // It may be several, with colons between them.
        let own = std::env::var("CACHE_DIRECTORY").ok();
        let own = own.and_then(|folders| folders.split(':').next().map(PathBuf::from));
        let users = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
        own.or_else(|| users.or(home).map(|caches| caches.join("sluicegate")))
            .filter(|folder| folder.is_absolute())
    }

    pub fn get(&self, engine: &Engine, key: &Key) -> Option<Component> {
        let file = self.file(key);
        let metadata = fs::metadata(&file).ok()?;
        if !metadata.is_file() || !is_own(&metadata) {
            return None;
        }
        // SAFETY: the file was written by `put`, by this user: nobody else could write into the folder.
        let component = unsafe { Component::deserialize_file(engine, &file) };
        match component {
            Ok(component) => {
                // What was used last is kept longest.
                let now = fs::File::open(&file).and_then(|file| file.set_modified(SystemTime::now()));
                drop(now);
                Some(component)
            }
            Err(error) => {
                tracing::debug!(file = %file.display(), "compiled plugin cannot be used: {error:#}");
                None
            }
        }
    }

    /// Keep `component`. That it could not be kept costs time at the next start, and nothing else.
    pub fn put(&self, key: &Key, component: &Component) {
        let kept = component.serialize().map_err(io::Error::other).and_then(|bytes| self.write(key, &bytes));
        if let Err(error) = kept {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled plugin cannot be kept");
        }
        self.evict();
    }

    /// Readers see a whole file or none.
    fn write(&self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.folder.join(format!("{}.{}.new", key.0, std::process::id()));
        // On the disk before it has its name: a power cut must not leave a good name on bad code.
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.file(key)).inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    fn evict(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let aged = |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
        let mut entries: Vec<_> = entries.filter_map(Result::ok).filter_map(aged).collect();
        entries.sort();
        for (_, file) in entries.iter().take(entries.len().saturating_sub(ENTRIES_MAX)) {
            drop(fs::remove_file(file));
        }
    }

    fn file(&self, key: &Key) -> PathBuf {
        self.folder.join(&key.0)
    }
}

// === impl Key ===

impl Key {
    /// All that compiled code depends on: the engine, the plugin file, and the settings that are in its image.
    pub fn new(engine: &Engine, kind: &str, file: &[u8], settings: Option<&str>) -> Self {
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        (RULES_VERSION, env!("CARGO_PKG_VERSION"), kind, file, settings).hash(&mut hasher);
        Self(hex(&hasher.0.finalize().into()))
    }
}

/// `Hash` writes into a `Hasher`; one that nobody can find collisions for.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Asked by nobody here: the whole digest is the key.
        0
    }
}

/// Of this process's user, and nobody else's to write.
fn is_own(metadata: &fs::Metadata) -> bool {
    metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_others_may_write_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Cache::open(folder.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(Cache::open(folder.path()).is_ok());
    }

    #[test]
    fn a_new_folder_is_its_users_own() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        Cache::open(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_was_put_is_got_by_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let engine = Engine::default();
        let component = Component::new(&engine, b"\0asm\x0d\0\x01\0").unwrap();
        let key = Key::new(&engine, "plain", b"file", Some("{}"));
        assert!(cache.get(&engine, &key).is_none());
        cache.put(&key, &component);
        assert!(cache.get(&engine, &key).is_some());
        for other in [
            Key::new(&engine, "image", b"file", Some("{}")),
            Key::new(&engine, "plain", b"file", None),
            Key::new(&engine, "plain", b"other", Some("{}")),
            Key::new(&engine, "plain", b"file", Some("{\"a\":1}")),
        ] {
            assert!(cache.get(&engine, &other).is_none());
        }
    }

    #[test]
    fn a_damaged_entry_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let engine = Engine::default();
        let key = Key::new(&engine, "plain", b"file", Some("{}"));
        fs::write(cache.file(&key), b"no code").unwrap();
        assert!(cache.get(&engine, &key).is_none());
    }
}
