//! Files and folders that must be there when the configuration is read. Found again later, they may be gone or changed.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::field::Field;

/// A regular file.
pub(super) fn file(field: &Field<'_>) -> Option<PathBuf> {
    resolved(field, "the path of a file", existing_file)
}

/// A folder.
pub(super) fn directory(field: &Field<'_>) -> Option<PathBuf> {
    resolved(field, "the path of a directory", |path| existing(path, "directory", Metadata::is_dir))
}

/// A regular file below `root`.
pub(super) fn file_below(root: &Path, field: &Field<'_>) -> Option<PathBuf> {
    let expected = r#"the path of a file below root, without ".." and "/" in front, such as "index.html""#;
    let path = field.parsed(expected, |text| is_below(Path::new(text)).then(|| root.join(text)))?;
    existing_file(&path).map_err(|text| field.refuse(text)).ok()
}

/// The absolute path of a file that is there; what is wrong with it otherwise.
pub(super) fn existing_file(path: &Path) -> Result<PathBuf, String> {
    existing(path, "file", Metadata::is_file)
}

fn resolved(
    field: &Field<'_>,
    expected: &str,
    existing: impl FnOnce(&Path) -> Result<PathBuf, String>,
) -> Option<PathBuf> {
    let path = field.parsed(expected, |text| (!text.is_empty()).then(|| field.source().resolve(text)))?;
    existing(&path).map_err(|text| field.refuse(text)).ok()
}

fn existing(path: &Path, kind: &str, is_kind: fn(&Metadata) -> bool) -> Result<PathBuf, String> {
    let absolute = fs::metadata(path).and_then(|metadata| match is_kind(&metadata) {
        true => std::path::absolute(path),
        false => Err(io::Error::other(format!("found {}", found_text(&metadata)))),
    });
    absolute.map_err(|error| format!("expected a {kind} at {path:?}: {error}"))
}

fn found_text(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() {
        "a directory"
    } else if metadata.is_file() {
        "a file"
    } else {
        "something else"
    }
}

fn is_below(path: &Path) -> bool {
    path.file_name().is_some() && path.components().all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_means_neither_absolute_nor_upwards() {
        for below in ["index.html", "app/index.html"] {
            assert!(is_below(Path::new(below)), "{below:?}");
        }
        for refused in ["", ".", "..", "/index.html", "../index.html", "app/../../x", "./index.html"] {
            assert!(!is_below(Path::new(refused)), "{refused:?}");
        }
    }
}
