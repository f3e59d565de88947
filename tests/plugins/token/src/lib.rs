//! Lets requests in that have a token: the least a request hook can do, and so what one costs.

use sluicegate_sdk::prelude::*;

struct Token;

impl Plugin for Token {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

impl RequestHook for Token {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        match request.header("x-token") {
            Some("s3cret") => RequestVerdict::Pass,
            _ => RequestVerdict::respond(401, "no token\n"),
        }
    }
}

export!(Token: RequestHook);
