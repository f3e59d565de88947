//! `[server] pid-file`: which process serves, for whoever wants to send it a signal.
//!
//! The file is locked as long as its process takes connections, so a number that a crash left behind is never taken for a process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::Pid;

/// A number has no more digits.
const BYTES_MAX: u64 = 32;
/// Whoever looks for the holder has the file locked, too, for a moment: half a second is enough for many of them.
const ATTEMPTS_MAX: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    #[error("pid-file {}: {error}", file.display())]
    Io { file: PathBuf, error: io::Error },
    #[error("pid-file {}: another process that runs holds it", file.display())]
    Held { file: PathBuf },
    #[error("pid-file {}: no process that runs holds it", file.display())]
    NotHeld { file: PathBuf },
    #[error("pid-file {}: expected the number of a process in it", file.display())]
    NoNumber { file: PathBuf },
}

/// This process's; removed with the value.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

// === impl PidFile ===

impl PidFile {
    /// Take the file, and write this process's number into it.
    pub fn take(path: &Path) -> Result<Self, PidFileError> {
        let failed = |error| PidFileError::Io { file: path.to_owned(), error };
        loop {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
            let mut file = options.open(path).map_err(failed)?;
            match lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(PidFileError::Held { file: path.to_owned() }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Its last holder may have removed it between opening and locking: this one is nobody's then.
            if !is_at(&file, path).map_err(failed)? {
                continue;
            }
            let number = format!("{}\n", std::process::id());
            let written = file.set_len(0).and_then(|()| file.rewind());
            written.and_then(|()| file.write_all(number.as_bytes())).map_err(failed)?;
            return Ok(Self { path: path.to_owned(), file });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody may have removed it, and another process have made its own.
        let removed = match is_at(&self.file, &self.path) {
            Ok(true) => std::fs::remove_file(&self.path),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(file = %self.path.display(), %error, "pid-file not removed");
        }
    }
}

/// The process that holds this file.
pub fn holder(path: &Path) -> Result<Pid, PidFileError> {
    let failed = |error| PidFileError::Io { file: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    match file.try_lock_shared() {
        Ok(()) => return Err(PidFileError::NotHeld { file: path.to_owned() }),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number.and_then(Pid::from_raw).ok_or_else(|| PidFileError::NoNumber { file: path.to_owned() })
}

fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..ATTEMPTS_MAX {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            locked => return locked,
        }
    }
    file.try_lock()
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_holder_and_none_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sluicegate.pid");
        assert!(matches!(holder(&path), Err(PidFileError::Io { .. })));
        let file = PidFile::take(&path).unwrap();
        assert_eq!(holder(&path).unwrap(), rustix::process::getpid());
        assert!(matches!(PidFile::take(&path), Err(PidFileError::Held { .. })));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_crash_left_behind_is_nobodys_and_can_be_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sluicegate.pid");
        std::fs::write(&path, "4711000000000\n").unwrap();
        assert!(matches!(holder(&path), Err(PidFileError::NotHeld { .. })));
        let file = PidFile::take(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
    }

    #[test]
    fn whoever_looks_for_the_holder_is_not_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sluicegate.pid");
        std::fs::write(&path, "4711\n").unwrap();
        let looks = File::open(&path).unwrap();
        looks.lock_shared().unwrap();
        let looked = thread::spawn(move || {
            thread::sleep(3 * PAUSE);
            drop(looks);
        });
        PidFile::take(&path).unwrap();
        looked.join().unwrap();
    }

    #[test]
    fn another_ones_file_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sluicegate.pid");
        let first = PidFile::take(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = PidFile::take(&path).unwrap();
        drop(first);
        assert_eq!(holder(&path).unwrap(), rustix::process::getpid());
        drop(second);
        assert!(!path.exists());
    }
}
