//! How many plugin instances a configuration needs, and how many this machine lets a process have.

use super::engine::PoolSize;
use crate::config::Config;

/// Descriptors of a process that its connections cannot have.
const OTHER_DESCRIPTORS: u64 = 100;
/// Instances of plugins between requests, and those that a reload makes before the old ones are gone.
const SPARE_INSTANCES: u64 = 1_000;
/// Linux's default for `vm.max_map_count`.
const MAPPINGS_MAX_USUAL: u64 = 65_530;
/// Mappings of a process that its plugin instances cannot have.
const OTHER_MAPPINGS: u64 = 5_000;
/// An instance that lives takes three: its memory's image, the rest of what it may touch, and what it may not. Its stack takes
/// two, with the guard page, from the start on.
const MAPPINGS_PER_INSTANCE: u64 = 5;
/// Address space to reserve for one pool at most, of the 128 TiB a process has.
const RESERVED_BYTES_MAX: u64 = 1 << 45;
/// The smallest memory there is.
const PAGE_BYTES: u64 = 1 << 16;

impl PoolSize {
    /// As many instances as the process can have sessions (two descriptors each), for each plugin of the longest list.
    pub fn of(config: &Config, descriptors: u64) -> Self {
        let memory_bytes_max =
            config.plugins.iter().map(|plugin| plugin.memory_bytes_max).max().unwrap_or(1 << 16);
        let plugins = config.routes.iter().map(|route| route.plugins.len()).max().unwrap_or(0) as u64;
        let sessions = descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2;
        let wanted = sessions * plugins + SPARE_INSTANCES;
        let possible = RESERVED_BYTES_MAX / (memory_bytes_max as u64).max(PAGE_BYTES);
        let mappable = mappings_max().saturating_sub(OTHER_MAPPINGS) / MAPPINGS_PER_INSTANCE;
        if mappable < wanted && sessions * plugins > 0 {
            tracing::info!(
                instances_max = mappable,
                wanted = wanted * MAPPINGS_PER_INSTANCE + OTHER_MAPPINGS,
                "vm.max_map_count bounds how many plugin instances there can be"
            );
        }
        let asked = config.server.plugin_instances_max.map_or(u64::MAX, u64::from);
        let instances_max = wanted.min(possible).min(mappable).min(asked);
        let instances_max = u32::try_from(instances_max).unwrap_or(u32::MAX);
        Self { instances_max, memory_bytes_max }
    }

    /// Whether what needs a pool of the `other` size can do with this one.
    pub fn holds(&self, other: &Self) -> bool {
        self.instances_max >= other.instances_max && self.memory_bytes_max >= other.memory_bytes_max
    }

    /// Address space that a pool of this size takes for memories, about.
    pub fn reserved_bytes(&self) -> u64 {
        u64::from(self.instances_max).saturating_mul((self.memory_bytes_max as u64).max(PAGE_BYTES))
    }
}

/// Mappings the kernel lets a process have.
fn mappings_max() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(MAPPINGS_MAX_USUAL)
}
