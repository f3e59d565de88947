//! `health` of an `[[upstream]]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};

use super::field::{DURATION_MAX, Field};
use super::host::{host, is_host_and_port};
use super::reader::Section;
use super::types::{Health, Probe};

const PATH: &str = r#"a path such as "/health""#;
const HOST: &str = r#"a host name such as "chat.example.com""#;

/// More often is an attack.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=DURATION_MAX;
const STATUS: RangeInclusive<u16> = 200..=599;
const COUNT: RangeInclusive<u32> = 1..=100;

pub(super) fn read_health(section: &mut Section<'_>) -> Option<Health> {
    let http = section.field("http");
    let websocket = section.field("websocket");
    match (&http, &websocket) {
        (None, None) => section.refuse("expected one of http and websocket, found neither"),
        (Some(_), Some(websocket)) => websocket.refuse("expected one of http and websocket, found both"),
        _ => {}
    }
    let websocket = websocket.and_then(|field| field.table(read_websocket)).flatten();
    let http = http.and_then(|field| field.table(read_http)).flatten();
    let host = section.optional("host", |field| field.parsed(HOST, host_value));
    let interval = section.optional("interval", |field| field.duration(INTERVAL));
    let timeout = section.optional("timeout", Field::any_duration);
    let rise = section.optional("rise", |field| field.whole_number(COUNT));
    let fall = section.optional("fall", |field| field.whole_number(COUNT));
    let default = Health::new(http.or(websocket)?);
    Some(Health {
        host,
        interval: interval.unwrap_or(default.interval),
        timeout: timeout.unwrap_or(default.timeout),
        rise: rise.unwrap_or(default.rise),
        fall: fall.unwrap_or(default.fall),
        ..default
    })
}

fn read_http(section: &mut Section<'_>) -> Option<Probe> {
    let path = section.required("path", PATH, path);
    let status = section.optional("status", |field| {
        let status = field.whole_number(STATUS)?;
        StatusCode::from_u16(status).ok()
    });
    Some(Probe::Http { path: path?, status: status.unwrap_or(StatusCode::OK) })
}

fn read_websocket(section: &mut Section<'_>) -> Option<Probe> {
    section.required("path", PATH, path).map(|path| Probe::WebSocket { path })
}

fn path(field: &Field<'_>) -> Option<PathAndQuery> {
    field.parsed(PATH, |text| text.parse().ok().filter(|_| text.starts_with('/') && !text.contains('#')))
}

fn host_value(text: &str) -> Option<HeaderValue> {
    let is_name = host(text).is_some() || is_host_and_port(text);
    is_name.then(|| HeaderValue::from_str(text).ok())?
}
