use sluicegate_sdk::prelude::*;

struct Sample;

impl Plugin for Sample {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

impl RequestHook for Sample {
    fn on_request(&self, _: &Request) -> RequestVerdict {
        RequestVerdict::Pass
    }
}

impl ResponseHook for Sample {
    fn on_response(&self, _: &Request, _: &ResponseHead) {}
}

export!(Sample: ResponseHook);

fn main() {}
