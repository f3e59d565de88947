//! Whether a file is another one than before, without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What shows that a file is another one now: modification time, inode and size. None: it is not there.
pub type Stamp = Option<(i64, i64, u64, u64)>;

pub fn stamp(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.ino(), metadata.size()))
}
