//! Certificates of one test, and the keys of a listener that shows them.

use std::fs;
use std::path::{Path, PathBuf};

use sluicegate_tests::{Authority, Issued, TlsClient, scratch};
use tempfile::TempDir;

/// The name of the server.
pub const NAME: &str = "chat.example.com";

pub struct TlsFiles {
    folder: TempDir,
    pub authority: Authority,
}

impl TlsFiles {
    /// A certificate for [`NAME`] by a new authority, whose own is `ca.pem`.
    pub fn new() -> Self {
        let files = Self { folder: scratch(), authority: Authority::new("Test CA") };
        files.write("server", &files.authority.server(&[NAME]));
        fs::write(files.path("ca.pem"), files.authority.pem()).unwrap();
        files
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Leave a certificate as `NAME.pem` and `NAME-key.pem`.
    pub fn write(&self, name: &str, issued: &Issued) {
        issued.write(self.folder.path(), name);
    }

    /// The table of one of these, with further keys.
    pub fn pair(&self, name: &str, more: &str) -> String {
        let (certificate, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}-key.pem")));
        format!("{{ certificate = {certificate:?}, key = {key:?}{more} }}")
    }

    /// `tls` of a listener that shows the certificate for [`NAME`], with further keys, each after a comma.
    pub fn tls(&self, more: &str) -> String {
        format!("tls = {}", self.pair("server", more))
    }

    /// `client-certificates` of this authority.
    pub fn clients(&self, verify: &str) -> String {
        format!(", client-certificates = {{ ca = {:?}, verify = {verify:?} }}", self.path("ca.pem"))
    }

    /// A client that believes the authority.
    pub fn client(&self) -> TlsClient {
        TlsClient::new(&self.authority)
    }
}
