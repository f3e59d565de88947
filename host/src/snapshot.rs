//! A validated configuration with everything made ready to serve it: immutable; each exchange keeps the one it began
//! with.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{self, Config, UpstreamIndex};
use crate::plugin::load::Loader;
use crate::plugin::{self, Plugin};
use crate::route::{Ambiguous, Routes};
use crate::tls::{self, Acceptor, Connector};
use crate::upstream::{Registry, Upstream};

/// What exchanges are served by.
#[derive(Debug)]
pub struct Snapshot {
    pub config: Config,
    pub upstreams: Vec<Arc<Upstream>>,
    pub upstream_names: Arc<[String]>,
    /// By listener; none where it speaks no TLS.
    pub acceptors: Vec<Option<Arc<Acceptor>>>,
    routes: Routes,
    /// By route.
    plugins: Vec<Vec<Arc<Plugin>>>,
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
}

/// A route and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'a> {
    pub route: &'a config::Route,
    pub plugins: &'a [Arc<Plugin>],
}

// === impl Snapshot ===

impl Snapshot {
    /// Load `config`'s certificates and plugins; all that cannot be used are told, not only the first.
    pub async fn load(config: Config, loader: &Loader, servers: &Registry) -> Result<Self, Vec<LoadError>> {
        let mut plugins = Vec::new();
        let mut errors = Vec::new();
        let acceptors = config.listeners.iter().map(|listener| {
            let acceptor = listener.tls.as_ref().map(|tls| Acceptor::load(tls).map(Arc::new));
            acceptor.transpose().unwrap_or_else(|error| {
                errors.push(LoadError::Tls { address: listener.address, error });
                None
            })
        });
        let acceptors = acceptors.collect();
        let mut upstreams = Vec::new();
        for upstream in &config.upstreams {
            match upstream.tls.as_ref().map(|tls| Connector::load(tls).map(Arc::new)).transpose() {
                Ok(connector) => {
                    upstreams.push(Arc::new(Upstream::new(upstream, connector.as_ref(), servers)));
                }
                Err(error) => errors.push(LoadError::Upstream { name: upstream.name.clone(), error }),
            }
        }
        let upstream_names: Arc<[_]> =
            config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        for plugin in &config.plugins {
            match loader.load(plugin, &upstream_names).await {
                Ok(plugin) => plugins.push(plugin),
                Err(error) => errors.push(error.into()),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let of_route = |route: &config::Route| {
            route.plugins.iter().filter_map(|index| plugins.get(index.0)).map(Arc::clone).collect()
        };
        Ok(Self {
            plugins: config.routes.iter().map(of_route).collect(),
            routes: Routes::new(&config.routes),
            upstreams,
            acceptors,
            upstream_names,
            config,
        })
    }

    pub fn route(&self, host: &[u8], path: &str) -> Result<Option<Matched<'_>>, Ambiguous> {
        let Some(at) = self.routes.find(host, path)? else { return Ok(None) };
        let route = self.config.routes.get(at);
        let plugins = self.plugins.get(at).map_or(&[][..], Vec::as_slice);
        Ok(route.map(|route| Matched { route, plugins }))
    }

    pub fn upstream(&self, index: UpstreamIndex) -> Option<&Upstream> {
        self.upstreams.get(index.0).map(Arc::as_ref)
    }
}
