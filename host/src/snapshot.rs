//! A validated configuration with everything made ready to serve it: immutable; each exchange keeps the one it began
//! with.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{self, Config, UpstreamIndex};
use crate::limits::StoreChanged;
use crate::plugin::load::Loader;
use crate::plugin::usage::Loaded;
use crate::plugin::{self, Plugin};
use crate::route::{Ambiguous, Routes};
use crate::store::Store;
use crate::tls::{self, Acceptor, Connector};
use crate::upstream::{Registry, Upstream};

/// What exchanges are served by.
#[derive(Debug)]
pub struct Snapshot {
    pub config: Config,
    /// Its number; those that were in service before have lower ones.
    pub generation: u64,
    /// What its plugins were loaded with, and those of the next one will be if they can.
    pub loader: Arc<Loader>,
    /// All of them, whether or not a route has them.
    pub plugins: Arc<[Arc<Plugin>]>,
    pub store: Arc<Store>,
    pub upstreams: Vec<Arc<Upstream>>,
    pub upstream_names: Arc<[String]>,
    /// By listener; none where it speaks no TLS.
    pub acceptors: Vec<Option<Arc<Acceptor>>>,
    /// The plugins of this snapshot and of those before it, as far as they are still in use.
    pub loaded: Arc<Loaded>,
    routes: Routes,
    /// By route.
    plugins_of_routes: Vec<Vec<Arc<Plugin>>>,
}

/// What of a configuration cannot be used, though it could be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    Plugin(#[from] plugin::LoadError),
    #[error("listener {address}: {error}")]
    Tls { address: SocketAddr, error: tls::FileError },
    #[error("upstream `{name}`: {error}")]
    Upstream { name: String, error: tls::ConnectorError },
    #[error("{0}")]
    Store(#[from] StoreChanged),
}

/// A route and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'a> {
    pub route: &'a config::Route,
    pub plugins: &'a [Arc<Plugin>],
}

// === impl Snapshot ===

impl Snapshot {
    /// Load `config`'s plugins and certificates; all that cannot be used are told, not only the first. What has not changed
    /// since `before`, which is in service, is taken from there.
    pub async fn load(
        config: Config,
        loader: &Arc<Loader>,
        servers: &Registry,
        before: Option<&Self>,
    ) -> Result<Self, Vec<LoadError>> {
        let store = loader.store(&config.store).map_err(|error| vec![error.into()])?;
        let mut errors = Vec::new();
        let upstream_names: Arc<[_]> =
            config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        let mut plugins = Vec::new();
        let in_service = before.map_or(&[][..], |before| &before.plugins);
        for plugin in &config.plugins {
            match loader.load_or_keep(plugin, &upstream_names, in_service).await {
                Ok(plugin) => plugins.push(plugin),
                Err(error) => errors.push(error.into()),
            }
        }
        let mut upstreams = Vec::new();
        for upstream in &config.upstreams {
            match load_upstream(upstream, servers, before) {
                Ok(upstream) => upstreams.push(upstream),
                Err(error) => {
                    errors.push(LoadError::Upstream { name: upstream.name.clone(), error });
                }
            }
        }
        let mut acceptors = Vec::new();
        for listener in &config.listeners {
            match load_acceptor(listener, before) {
                Ok(acceptor) => acceptors.push(acceptor),
                Err(error) => errors.push(LoadError::Tls { address: listener.address, error }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let loaded = before.map_or_else(Arc::default, |before| Arc::clone(&before.loaded));
        loaded.add(&plugins);
        let of_route = |route: &config::Route| {
            route.plugins.iter().filter_map(|index| plugins.get(index.0)).map(Arc::clone).collect()
        };
        Ok(Self {
            generation: before.map_or(0, |before| before.generation + 1),
            loader: Arc::clone(loader),
            plugins_of_routes: config.routes.iter().map(of_route).collect(),
            plugins: plugins.into(),
            loaded,
            routes: Routes::new(&config.routes),
            store,
            upstreams,
            acceptors,
            upstream_names,
            config,
        })
    }

    pub fn route(&self, host: &[u8], path: &str) -> Result<Option<Matched<'_>>, Ambiguous> {
        let Some(at) = self.routes.find(host, path)? else { return Ok(None) };
        let route = self.config.routes.get(at);
        let plugins = self.plugins_of_routes.get(at).map_or(&[][..], Vec::as_slice);
        Ok(route.map(|route| Matched { route, plugins }))
    }

    pub fn upstream(&self, index: UpstreamIndex) -> Option<&Upstream> {
        self.upstreams.get(index.0).map(Arc::as_ref)
    }
}

/// The same one where it is to be the same and its files are, with its turns and the connections that wait for requests.
fn load_upstream(
    config: &config::Upstream,
    servers: &Registry,
    before: Option<&Snapshot>,
) -> Result<Arc<Upstream>, tls::ConnectorError> {
    let connector = config.tls.as_ref().map(|tls| Connector::load(tls).map(Arc::new)).transpose()?;
    let known = before.and_then(|before| before.upstreams.iter().find(|known| known.config == *config));
    let same_files = |known: &&Arc<Upstream>| match (&known.connector, &connector) {
        (Some(known), Some(connector)) => known.has_files_of(connector),
        (known, connector) => known.is_none() && connector.is_none(),
    };
    Ok(match known.filter(same_files) {
        Some(known) => Arc::clone(known),
        None => Arc::new(Upstream::new(config, connector, servers)),
    })
}

/// None where the listener speaks no TLS.
fn load_acceptor(
    listener: &config::Listener,
    before: Option<&Snapshot>,
) -> Result<Option<Arc<Acceptor>>, tls::FileError> {
    let Some(tls) = &listener.tls else { return Ok(None) };
    let known = before.and_then(|before| {
        let mut listeners = before.config.listeners.iter().zip(&before.acceptors);
        listeners.find(|(known, _)| known.address == listener.address)?.1.as_ref()
    });
    let acceptor = known.map_or_else(|| Acceptor::load(tls), |known| known.successor(tls))?;
    Ok(Some(Arc::new(acceptor)))
}
