//! Asks upstreams and the environment, as its settings and the messages tell it.
//!
//! With `upstream` a request passes where `GET /verify` there, with the request's `authorization`, is answered with 200;
//! with any other status that is the answer, and where there is none, 503 with the reason.
//!
//! A text message of one of these commands is replaced by its answer, any other passes:
//!
//! | command | answer |
//! |---|---|
//! | `ask UPSTREAM MS METHOD PATH BODY` | status and body, or the reason why there is none, with this deadline |
//! | `times N UPSTREAM PATH` | what the last of N requests came to |
//! | `hold N UPSTREAM PATH` | how many bytes N answers have that are held at once |
//! | `variable NAME` | the variable's value, or `none` |
//! | `remembered` | the variable of the setting `remember` as it was in `configure` |

use std::time::Duration;

use sluicegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    upstream: Option<String>,
    remember: Option<String>,
    /// Ask this upstream in `configure`, which may not be.
    too_early: Option<String>,
}

struct Caller {
    upstream: Option<String>,
    remembered: Option<String>,
}

struct Open;

impl Plugin for Caller {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, ConfigureError> {
        if let Some(upstream) = settings.too_early {
            let _ = http::Request::get("/").send(&upstream);
        }
        let remembered = settings.remember.and_then(|name| env::get(&name));
        Ok(Self { upstream: settings.upstream, remembered })
    }
}

impl RequestHook for Caller {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        let Some(upstream) = &self.upstream else { return RequestVerdict::Pass };
        let authorization = request.header("authorization").unwrap_or_default();
        let asked = http::Request::get("/verify").header("authorization", authorization);
        match asked.timeout(Duration::from_millis(500)).send(upstream) {
            Ok(answer) if answer.status() == 200 => RequestVerdict::Pass,
            Ok(answer) => RequestVerdict::respond(answer.status(), answer.text()),
            Err(error) => RequestVerdict::respond(503, error.to_string()),
        }
    }
}

impl SessionHook for Caller {
    type Session = Open;

    fn open(&self, _: &Request, connection: &Connection) -> Result<Open, Response> {
        connection.inspect(Side::Upstream, MessageKinds::NONE);
        Ok(Open)
    }
}

impl Session for Open {
    type Plugin = Caller;

    fn on_message(&mut self, caller: &Caller, _: &Connection, _: Side, message: Message) -> MessageVerdict {
        let words: Vec<&str> = message.as_text().unwrap_or_default().splitn(6, ' ').collect();
        let answer = match words[..] {
            ["ask", upstream, ms, method, path, body] => ask(upstream, ms, method, path, body),
            ["times", times, upstream, path] => {
                // Each of them is made, and the last one told.
                (0..number(times)).fold(String::new(), |_, _| ask(upstream, "5000", "GET", path, ""))
            }
            ["hold", times, upstream, path] => {
                let send = |_| http::Request::get(path).send(upstream).ok();
                let held: Vec<_> = (0..number(times)).filter_map(send).collect();
                held.iter().map(|answer| answer.body().len()).sum::<usize>().to_string()
            }
            ["variable", name] => env::get(name).unwrap_or_else(|| "none".to_owned()),
            ["remembered"] => caller.remembered.clone().unwrap_or_else(|| "none".to_owned()),
            _ => return MessageVerdict::Forward,
        };
        MessageVerdict::replace(answer)
    }
}

export!(Caller: RequestHook, SessionHook);

fn ask(upstream: &str, ms: &str, method: &str, path: &str, body: &str) -> String {
    let request = http::Request::new(method, path).body(body).timeout(Duration::from_millis(number(ms)));
    match request.send(upstream) {
        Ok(answer) => format!("{} {}", answer.status(), answer.text()),
        Err(error) => error.to_string(),
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}
