//! What a plugin was granted, held against what it imports.

use std::env::{self, VarError};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use super::load::LoadErrorKind;
use crate::config::{self, Grants, Isolation};

/// A plugin that is asked much must not have an upstream drown in its requests.
const IN_FLIGHT_MAX: usize = 100;

/// An interface that a plugin may import only on grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    Store,
    Http,
    Env,
}

const INTERFACES: [Interface; 3] = [Interface::Store, Interface::Http, Interface::Env];

/// The variables a plugin was granted, as they were when it was loaded.
pub struct Environment {
    variables: Vec<(String, Option<String>)>,
    /// Whether the log was told that another was asked for.
    told: AtomicBool,
}

/// The upstreams a plugin was granted.
#[derive(Debug)]
pub struct Reach {
    upstreams: Vec<String>,
    /// Its requests at a time, of all its instances; the next ones wait for their turn.
    pub in_flight: Semaphore,
}

/// Refuse a plugin that imports what it was not granted. `upstreams`: the names of those it could be granted.
pub fn check(plugin: &config::Plugin, imports: &[String], upstreams: &[String]) -> Result<(), LoadErrorKind> {
    let is_missing =
        |interface: &Interface| interface.is_in(imports) && interface.granted(&plugin.grants).is_empty();
    let missing: Vec<_> = INTERFACES.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|interface| format!("`{}`", interface.name())).collect();
    let grants = INTERFACES.iter().flat_map(|interface| match interface.granted(&plugin.grants) {
        granted if granted.is_empty() && missing.contains(interface) => vec![interface.example(upstreams)],
        granted => granted,
    });
    let grants: Vec<_> = grants.collect();
    let notes = missing.iter().filter_map(|interface| interface.note(upstreams));
    let (verb, preposition) = match plugin.grants == Grants::default() {
        true => ("add", "to"),
        false => ("write", "in"),
    };
    let advice = format!("{verb} grants = {grants:?} {preposition} [[plugin]] {:?}", plugin.name);
    let advice = advice + &notes.collect::<String>();
    Err(LoadErrorKind::NotGranted { imports: names.join(" and "), advice })
}

/// Tell the log of grants that may not be meant.
pub fn warn(plugin: &config::Plugin, imports: &[String]) {
    let name = &plugin.name;
    for interface in INTERFACES.iter().filter(|interface| !interface.is_in(imports)) {
        for grant in interface.granted(&plugin.grants) {
            tracing::warn!(plugin = name, grant, "granted to a plugin that does not ask for it");
        }
    }
    let waits = [Interface::Store, Interface::Http].iter().any(|interface| interface.is_in(imports));
    if waits && plugin.isolation == Isolation::Shared {
        tracing::warn!(
            plugin = name,
            "isolation is shared, so a call that waits for the store or an upstream delays all sessions of its instance"
        );
    }
}

// === impl Interface ===

impl Interface {
    /// As it is named in a component.
    const fn name(self) -> &'static str {
        match self {
            Self::Store => "sluicegate:hooks/store@0.1.0",
            Self::Http => "sluicegate:hooks/http@0.1.0",
            Self::Env => "sluicegate:hooks/env@0.1.0",
        }
    }

    fn is_in(self, imports: &[String]) -> bool {
        imports.iter().any(|import| import == self.name())
    }

    /// What of `grants` is about it, as it is written in the file.
    fn granted(self, grants: &Grants) -> Vec<String> {
        match self {
            Self::Store => grants.store.then(|| "store".to_owned()).into_iter().collect(),
            Self::Http => grants.http.iter().map(|upstream| format!("http:{upstream}")).collect(),
            Self::Env => grants.env.iter().map(|name| format!("env:{name}")).collect(),
        }
    }

    /// A grant that would do.
    fn example(self, upstreams: &[String]) -> String {
        match self {
            Self::Store => "store".to_owned(),
            Self::Http => format!("http:{}", upstreams.first().map_or("UPSTREAM", String::as_str)),
            Self::Env => "env:NAME".to_owned(),
        }
    }

    /// What its example leaves open.
    fn note(self, upstreams: &[String]) -> Option<String> {
        match self {
            Self::Store => None,
            Self::Http => match upstreams {
                [] => Some("; UPSTREAM is the name of one [[upstream]], and there is none yet".to_owned()),
                [_] => None,
                all => Some(format!("; \"http:…\" takes any of {}", all.join(", "))),
            },
            Self::Env => Some("; NAME is the variable it reads".to_owned()),
        }
    }
}

// === impl Reach ===

impl Reach {
    pub fn of(plugin: &config::Plugin) -> Self {
        Self { upstreams: plugin.grants.http.clone(), in_flight: Semaphore::new(IN_FLIGHT_MAX) }
    }

    pub fn may_reach(&self, upstream: &str) -> bool {
        self.upstreams.iter().any(|known| known == upstream)
    }
}

// === impl Environment ===

/// The names alone: what they hold may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.variables.iter().map(|(name, _)| name)).finish()
    }
}

impl Environment {
    pub fn load(plugin: &config::Plugin) -> Self {
        let value = |variable: &String| match env::var(variable) {
            Ok(value) => Some(value),
            Err(error) => {
                let why = match error {
                    VarError::NotPresent => "is not set",
                    VarError::NotUnicode(_) => "is no UTF-8",
                };
                tracing::warn!(
                    plugin = plugin.name,
                    variable,
                    "environment variable granted to a plugin {why}"
                );
                None
            }
        };
        let variables = plugin.grants.env.iter().map(|name| (name.clone(), value(name))).collect();
        Self { variables, told: AtomicBool::new(false) }
    }

    pub fn get(&self, plugin: &str, variable: &str) -> Option<String> {
        let known = self.variables.iter().find(|(name, _)| name == variable);
        if known.is_none() && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                plugin,
                ?variable,
                "plugin asks for an environment variable that it was not granted (told once)"
            );
        }
        known?.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(granted: Grants, imports: &[Interface], upstreams: &[&str]) -> Option<String> {
        let plugin =
            config::Plugin { grants: granted, ..config::Plugin::new("p".to_owned(), "p.wasm".into()) };
        let imports: Vec<_> = imports.iter().map(|interface| interface.name().to_owned()).collect();
        let upstreams: Vec<_> = upstreams.iter().map(|name| (*name).to_owned()).collect();
        match check(&plugin, &imports, &upstreams) {
            Err(LoadErrorKind::NotGranted { advice, .. }) => Some(advice),
            other => other.map(|()| None).unwrap(),
        }
    }

    #[test]
    fn what_is_granted_or_not_imported_is_fine() {
        let all = Grants { store: true, http: vec!["a".to_owned()], env: vec!["A".to_owned()] };
        assert_eq!(advice(all.clone(), &INTERFACES, &["a"]), None);
        assert_eq!(advice(all, &[], &["a"]), None);
        assert_eq!(advice(Grants::default(), &[], &[]), None);
    }

    #[test]
    fn the_whole_line_to_write_is_told() {
        let store = Grants { store: true, ..Grants::default() };
        let cases = [
            (
                Grants::default(),
                &[Interface::Store][..],
                &[][..],
                r#"add grants = ["store"] to [[plugin]] "p""#,
            ),
            (Grants::default(), &[Interface::Http], &["a"], r#"add grants = ["http:a"] to [[plugin]] "p""#),
            (
                store.clone(),
                &[Interface::Store, Interface::Http],
                &["a", "b"],
                r#"write grants = ["store", "http:a"] in [[plugin]] "p"; "http:…" takes any of a, b"#,
            ),
            (
                store,
                &[Interface::Env],
                &["a"],
                r#"write grants = ["store", "env:NAME"] in [[plugin]] "p"; NAME is the variable it reads"#,
            ),
            (
                Grants::default(),
                &[Interface::Http],
                &[],
                r#"add grants = ["http:UPSTREAM"] to [[plugin]] "p"; UPSTREAM is the name of one [[upstream]], and there is none yet"#,
            ),
        ];
        for (granted, imports, upstreams, expected) in cases {
            assert_eq!(advice(granted, imports, upstreams).as_deref(), Some(expected));
        }
    }
}
