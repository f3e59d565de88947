//! Routes answered with files (nginx's `root` and `try_files`).

use std::path::Path;

use http::{Request, Response};
use tower_http::services::{ServeDir, ServeFile};

/// The body of a file on its way out.
pub type FileBody = tower_http::services::fs::ServeFileSystemResponseBody;

/// Answer with the file below `root` that the path names, with `fallback` where there is none (404 without one).
/// Directories are answered with their `index.html`; conditional and range requests as RFC 9110 §13 and §14 ask.
pub async fn serve(
    root: &Path,
    fallback: Option<&Path>,
    request: Request<()>,
) -> std::io::Result<Response<FileBody>> {
    match fallback {
        Some(fallback) => ServeDir::new(root).fallback(ServeFile::new(fallback)).try_call(request).await,
        None => ServeDir::new(root).try_call(request).await,
    }
}
