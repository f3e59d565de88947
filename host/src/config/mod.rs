//! The configuration: from the file to the validated types of `types.rs`, which document its keys.
//!
//! The file is read through a cursor over its spanned document (`reader.rs`, `field.rs`) and not through types that
//! derive `Deserialize`: serde stops at the first error, and an operator wants all of them, each with its line.
//!
//! What cannot be read is recorded and replaced by a default or an empty value, so that reading can go on;
//! such a configuration is thrown away at the second [`Source::check`], never handed out.

mod command_line;
mod defaults;
mod error;
mod field;
mod grants;
mod health;
mod host;
mod names;
mod paths;
mod plugin;
mod reader;
mod route;
mod server;
mod settings;
mod source;
mod store;
mod suggest;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod types;
mod units;
mod upstream;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::de::DeTable;

use self::names::Names;
use self::reader::Section;
use self::route::Known;
use self::source::{Place, Source};

pub use self::error::{Error, Errors, Position};
pub use self::types::{
    Balance, ClientCertificates, Config, FailurePolicy, Grants, HashKey, Health, HostHeader, Http2,
    HttpVersion, IdleCounts, Isolation, KeyPair, Limits, Listener, OnFailure, Ping, Plugin, PluginCache,
    PluginIndex, Probe, ProxyProtocol, Queue, Rate, RealIpHeader, Retry, Route, Secret, Server, Sticky,
    Store, StoreUrl, Target, Timeouts, Tls, TlsVersion, Upstream, UpstreamIndex, UpstreamKeepAlive,
    UpstreamServer, UpstreamTls,
};

/// Something else than a configuration was named when it is larger.
const FILE_BYTES_MAX: u64 = 4 << 20;

impl Config {
    /// Reads a file. Relative paths in it are relative to its folder.
    pub fn load(path: &Path) -> Result<Self, Errors> {
        let file_name = path.display().to_string();
        let refused = |position, text| Error { file: file_name.clone(), position, key: String::new(), text };
        let bytes = read_file(path).map_err(|text| refused(None, text))?;
        let text = str::from_utf8(&bytes).map_err(|error| {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let position = Position::START.after(&String::from_utf8_lossy(valid));
            refused(Some(position), "expected UTF-8, found other bytes".to_owned())
        })?;
        Self::parse(text, &file_name, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads a configuration from its text. `file_name` is what errors call it; relative paths in it are relative
    /// to `base_dir`.
    pub fn parse(text: &str, file_name: &str, base_dir: &Path) -> Result<Self, Errors> {
        let source = Source::new(file_name, text, base_dir);
        let (document, syntax_errors) = DeTable::parse_recoverable(text);
        for error in syntax_errors {
            let offset = error.span().map_or(0, |span| span.start);
            let text = syntax_text(error.message());
            Place::document(&source).at(offset).refuse(text);
        }
        // Of a text that is no TOML the rest would be guesswork.
        source.check()?;
        let config = reader::read_document(&source, document.get_ref(), read_config);
        source.check()?;
        Ok(config)
    }
}

fn read_config(root: &mut Section<'_>) -> Config {
    let server = root.table("server", server::read_server).unwrap_or_default();
    let store = root.table("store", store::read_store).unwrap_or_default();
    let listeners = server::read_listeners(root);
    let mut known = Known { plugins: Names::new("plugin"), upstreams: Names::new("upstream") };
    let mut granted = Vec::new();
    let plugins =
        root.tables("plugin", |section| plugin::read_plugin(section, &mut known.plugins, &mut granted));
    let upstreams = root.tables("upstream", |section| upstream::read_upstream(section, &mut known.upstreams));
    grants::check_upstreams(&granted, &known.upstreams);
    let routes = route::read_routes(root, &known);
    Config { server, store, listeners, plugins, upstreams, routes }
}

/// The parser's words, where they say what would be accepted.
fn syntax_text(message: &str) -> &str {
    match message.trim_end_matches(", expected nothing") {
        // What it makes of an address, and of a duration, without quotes.
        "invalid float" => "invalid number, expected a number or a string in quotes",
        "string values must be quoted, expected literal string" => {
            "invalid value, expected a number, true, false or a string in quotes"
        }
        text => text,
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("expected a configuration file: {error}")),
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => {
            Err(format!("expected a configuration file of at most {FILE_BYTES_MAX} bytes, found more"))
        }
        Ok(_) => Ok(bytes),
    }
}
