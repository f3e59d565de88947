//! The engines of a process: one at first, and another when a configuration comes along that needs a larger pool. The old
//! one lives as long as a snapshot or a plugin that was made with it.

use wasmtime::{Engine, EngineWeak};

use super::engine::{self, PoolSize};
use super::ticker::Ticker;

/// Address space that all pools together may reserve, of the 128 TiB a process has.
const RESERVED_BYTES_MAX: u64 = 96 << 40;

/// Why there is no engine for a configuration.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "its plugins need a pool of {wanted_gib} GiB of address space, and open sessions still hold pools of {held_gib} GiB: \
         expected a smaller memory-max, or another try when they have ended"
    )]
    NoSpace { wanted_gib: u64, held_gib: u64 },
    #[error("cannot start the plugin engine: {0}")]
    Failed(String),
}

/// Those that are alive.
pub struct Engines {
    ticker: Ticker,
    /// All with the address space they reserve.
    all: Vec<(EngineWeak, u64)>,
}

// === impl Engines ===

impl Engines {
    pub fn new(ticker: Ticker) -> Self {
        Self { ticker, all: Vec::new() }
    }

    /// A new one. It ends with its last user: a configuration that is refused leaves nothing of it behind.
    pub fn make(&mut self, size: PoolSize) -> Result<Engine, EngineError> {
        let wanted = size.reserved_bytes();
        let held = self.held_bytes();
        if held.saturating_add(wanted) > RESERVED_BYTES_MAX {
            return Err(EngineError::NoSpace { wanted_gib: wanted >> 30, held_gib: held >> 30 });
        }
        let engine = engine::new(size).map_err(|error| EngineError::Failed(format!("{error:#}")))?;
        self.ticker.advance(&engine);
        self.all.push((engine.weak(), wanted));
        Ok(engine)
    }

    fn held_bytes(&mut self) -> u64 {
        self.all.retain(|(engine, _)| engine.upgrade().is_some());
        self.all.iter().map(|(_, bytes)| bytes).fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engines").field("alive", &self.all.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: PoolSize = PoolSize { instances_max: 4, memory_bytes_max: 1 << 16 };

    #[test]
    fn an_engine_is_gone_with_its_last_user() {
        let mut engines = Engines::new(Ticker::start().unwrap());
        let first = engines.make(SMALL).unwrap();
        let second = engines.make(PoolSize { memory_bytes_max: 1 << 20, ..SMALL }).unwrap();
        assert!(!Engine::same(&first, &second));
        assert_eq!(engines.held_bytes(), 4 * ((1 << 16) + (1 << 20)));
        drop(first);
        // The thread that advances its epoch holds it for moments.
        while engines.held_bytes() > 4 << 20 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_does_not_fit_the_address_space_is_refused_with_what_holds_it() {
        let mut engines = Engines::new(Ticker::start().unwrap());
        let engine = engines.make(SMALL).unwrap();
        engines.all.push((engine.weak(), RESERVED_BYTES_MAX - (1 << 30)));
        let error = engines.make(PoolSize { instances_max: 32, memory_bytes_max: 1 << 30 }).unwrap_err();
        assert!(error.to_string().contains("need a pool of 32 GiB of address space"), "{error}");
        assert!(error.to_string().contains("hold pools of 98303 GiB"), "{error}");
    }
}
