//! `types`: words without functions.

use crate::plugin::bindings::sluicegate::hooks::types::Host;
use crate::plugin::state::State;

impl Host for State {}
