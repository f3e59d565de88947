use sluicegate_sdk::prelude::*;

struct Sample;

impl Plugin for Sample {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

impl ResponseHook for Sample {
    fn on_response(&self, _: &Request, _: &ResponseHead) {}
}

export!(Sample: RequestHook, ResponseHook);

fn main() {}
