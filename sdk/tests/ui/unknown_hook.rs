use sluicegate_sdk::prelude::*;

struct Sample;

impl Plugin for Sample {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

export!(Sample: MessageHook);

fn main() {}
