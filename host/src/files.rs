//! Routes answered with files (nginx's `root` and `try_files`).

use std::io;
use std::path::Path;

use http::{Request, Response};
use tower_http::services::{ServeDir, ServeFile};

use crate::reject::Error;

/// The body of a file on its way out.
pub type FileBody = tower_http::services::fs::ServeFileSystemResponseBody;

/// Answer with the file below `root` that the path names, with `fallback` where there is none (404 without one).
/// Directories are answered with their `index.html`; conditional and range requests as RFC 9110 §13 and §14 ask.
pub async fn serve(
    root: &Path,
    fallback: Option<&Path>,
    request: Request<()>,
) -> io::Result<Response<FileBody>> {
    match fallback {
        Some(fallback) => ServeDir::new(root).fallback(ServeFile::new(fallback)).try_call(request).await,
        None => ServeDir::new(root).try_call(request).await,
    }
}

/// What is not there, or not to be read, is not found: a client need not know which.
pub fn error(error: io::Error) -> Error {
    use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    match error.kind() {
        NotFound | PermissionDenied | NotADirectory | IsADirectory | InvalidFilename => Error::NoFile,
        _ => Error::File(error),
    }
}
