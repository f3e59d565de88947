//! Edits requests and answers as the request tells it: each `x-edit` line is a command for `on-request`, each
//! `x-edit-response` line one for `on-response`. What the host refuses is told in further lines, `x-refused`.
//!
//! | command | in |
//! |---|---|
//! | `set-header NAME VALUE`, `append-header NAME VALUE`, `remove-header NAME` | both |
//! | `set-path PATH`, `route-to UPSTREAM`, `set-attribute NAME VALUE` | `on-request` |
//! | `respond STATUS TEXT` | `on-request`: answers |
//! | `set-status STATUS` | `on-response` |
//! | `show-attribute NAME`, `late-edit` | `on-response`: in a line `x-attribute`; edits the request, in `x-refused` |

use sluicegate_sdk::prelude::*;

struct Edit;

impl Plugin for Edit {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

impl RequestHook for Edit {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        for (command, name, value) in commands(request, "x-edit") {
            let done = match command.as_str() {
                "set-header" => request.set_header(&name, value),
                "append-header" => request.append_header(&name, value),
                "remove-header" => request.remove_header(&name),
                "set-path" => request.set_path(&name),
                "route-to" => request.route_to(&name),
                "set-attribute" => request.set_attribute(&name, &value),
                "respond" => {
                    let status = name.parse().unwrap_or_default();
                    return Response::text(status, value).with_header("x-by", "edit").into();
                }
                _ => Ok(()),
            };
            if let Err(error) = done {
                let refusal = request.append_header("x-refused", refusal(&command, error));
                log::debug!("told: {refusal:?}");
            }
        }
        RequestVerdict::Pass
    }
}

impl ResponseHook for Edit {
    fn on_response(&self, request: &Request, response: &ResponseHead) {
        for (command, name, value) in commands(request, "x-edit-response") {
            let done = match command.as_str() {
                "set-header" => response.set_header(&name, value),
                "append-header" => response.append_header(&name, value),
                "remove-header" => response.remove_header(&name),
                "set-status" => response.set_status(name.parse().unwrap_or_default()),
                "show-attribute" => {
                    response.append_header("x-attribute", request.attribute(&name).unwrap_or_default())
                }
                "late-edit" => request.set_header("x-late", "1"),
                _ => Ok(()),
            };
            if let Err(error) = done {
                let refusal = response.append_header("x-refused", refusal(&command, error));
                log::debug!("told: {refusal:?}");
            }
        }
    }
}

export!(Edit: RequestHook, ResponseHook);

/// Command, name and value of each line of this header.
fn commands(request: &Request, header: &str) -> Vec<(String, String, String)> {
    let lines = request.header_lines(header).into_iter();
    let parse = |line: Vec<u8>| {
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        (next(), next(), next())
    };
    lines.map(parse).collect()
}

fn refusal(command: &str, error: EditError) -> String {
    format!("{command}: {error:?}")
}
