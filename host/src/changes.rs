//! What one configuration has that another has not: what the log tells of a reload.

use std::sync::Arc;

use crate::config::{Config, Route, Server, Target, UpstreamIndex};
use crate::plugin::Plugin;
use crate::snapshot::Snapshot;

/// From one snapshot to the next.
#[derive(Debug, PartialEq, Eq)]
pub struct Changes {
    pub plugins_new: usize,
    pub plugins_changed: usize,
    pub plugins_unchanged: usize,
    pub plugins_removed: usize,
    pub routes: bool,
    pub upstreams: bool,
    pub listeners: bool,
}

// === impl Changes ===

impl Changes {
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let is_kept = |plugin: &&Arc<Plugin>| old.plugins.iter().any(|known| Arc::ptr_eq(known, plugin));
        let is_known = |plugin: &&Arc<Plugin>| named(&old.plugins, plugin).is_some();
        let plugins_unchanged = new.plugins.iter().filter(is_kept).count();
        let plugins_known = new.plugins.iter().filter(is_known).count();
        Self {
            plugins_new: new.plugins.len() - plugins_known,
            plugins_changed: plugins_known - plugins_unchanged,
            plugins_unchanged,
            plugins_removed: old.plugins.len() - plugins_known,
            routes: !same_routes(&old.config, &new.config),
            upstreams: old.config.upstreams != new.config.upstreams,
            listeners: old.config.listeners != new.config.listeners,
        }
    }
}

/// The plugins of `one` that the `other` does not have, or has in another version.
pub fn missing<'a>(one: &'a Snapshot, other: &'a Snapshot) -> impl Iterator<Item = &'a Arc<Plugin>> {
    one.plugins.iter().filter(|plugin| !other.plugins.iter().any(|kept| Arc::ptr_eq(kept, plugin)))
}

/// The keys of `[server]` that a running process cannot follow; what they say is taken back to what is running.
pub fn needs_restart(running: &Server, wanted: &mut Server) -> Vec<&'static str> {
    let mut keys = Vec::new();
    let mut look = |key, differs: bool| {
        if differs {
            keys.push(key);
        }
    };
    look("workers", running.workers != wanted.workers);
    look("plugin-cache", running.plugin_cache != wanted.plugin_cache);
    look("pid-file", running.pid_file != wanted.pid_file);
    wanted.workers = running.workers;
    wanted.plugin_cache.clone_from(&running.plugin_cache);
    wanted.pid_file.clone_from(&running.pid_file);
    keys
}

fn named<'a>(plugins: &'a [Arc<Plugin>], like: &Plugin) -> Option<&'a Arc<Plugin>> {
    plugins.iter().find(|plugin| plugin.config.name == like.config.name)
}

/// Routes name plugins and upstreams by their places in lists, which may have moved.
fn same_routes(old: &Config, new: &Config) -> bool {
    old.routes.len() == new.routes.len()
        && old.routes.iter().zip(&new.routes).all(|(a, b)| described(old, a) == described(new, b))
}

fn described<'a>(config: &'a Config, route: &'a Route) -> (Route, Vec<&'a str>, Option<&'a str>) {
    let plugins = route.plugins.iter().filter_map(|index| config.plugins.get(index.0));
    let plugins = plugins.map(|plugin| plugin.name.as_str()).collect();
    let mut rest = Route { plugins: Vec::new(), ..route.clone() };
    let Target::Upstream(index) = route.target else { return (rest, plugins, None) };
    rest.target = Target::Upstream(UpstreamIndex(0));
    (rest, plugins, config.upstreams.get(index.0).map(|upstream| upstream.name.as_str()))
}
