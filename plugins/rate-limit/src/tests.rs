use super::*;

fn plugin(settings: &str) -> RateLimit {
    testing::configure(settings).unwrap()
}

fn refusal(settings: &str) -> String {
    testing::configure::<RateLimit>(settings).err().unwrap().to_string()
}

fn from(address: &str) -> Request {
    Request::builder().client_address(address).build()
}

/// The status and `retry-after` of a refusal.
fn refused(verdict: &RequestVerdict) -> Option<(u16, String)> {
    let response = verdict.response()?;
    Some((response.status, response.header("retry-after").unwrap().into_owned()))
}

fn too_many(retry_after: &str) -> Option<(u16, String)> {
    Some((429, retry_after.to_owned()))
}

#[test]
fn requests_over_the_rate_are_refused_until_it_allows_more() {
    let plugin = plugin(r#"{ "requests": { "rate": "10/m", "burst": 2 } }"#);
    let ask = || refused(&plugin.on_request(&from("192.0.2.1")));
    assert_eq!((ask(), ask()), (None, None));
    assert_eq!(ask(), too_many("6"));
    testing::advance(Duration::from_millis(5001));
    assert_eq!(ask(), too_many("1"));
    testing::advance(Duration::from_millis(999));
    assert_eq!(ask(), None);
}

#[test]
fn each_address_has_its_own_rate() {
    let plugin = plugin(r#"{ "requests": { "rate": "1/s" } }"#);
    for address in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(refused(&plugin.on_request(&from(address))), None);
        assert_eq!(refused(&plugin.on_request(&from(address))), too_many("1"));
    }
}

#[test]
fn a_key_from_the_request_stands_in_for_the_address() {
    let plugin = plugin(r#"{ "requests": { "rate": "1/s" }, "key": "header:x-user" }"#);
    let ask = |request: testing::RequestBuilder| refused(&plugin.on_request(&request.build()));
    let by = |address| Request::builder().client_address(address);
    assert_eq!(ask(by("192.0.2.1").header("x-user", "ada")), None);
    assert_eq!(ask(by("192.0.2.2").header("x-user", "ada")), too_many("1"));
    assert_eq!(ask(by("192.0.2.1").header("x-user", "bob")), None);
    assert_eq!(ask(by("192.0.2.1")), None);
    assert_eq!(ask(by("192.0.2.1")), too_many("1"));
}

#[test]
fn connections_are_counted_while_they_last() {
    let plugin = plugin(r#"{ "connections": { "max": 2 } }"#);
    let ask = |request: &Request| refused(&plugin.on_request(request));
    let (first, second, third) = (from("192.0.2.1"), from("192.0.2.1"), from("192.0.2.1"));
    assert_eq!((ask(&first), ask(&second)), (None, None));
    assert_eq!(ask(&third), too_many("1"));
    assert_eq!(ask(&from("192.0.2.2")), None);
    drop(first);
    assert_eq!(ask(&third), None);
    assert_eq!(third.held(), 1);
}

#[test]
fn a_connection_that_cannot_be_counted_does_not_pass() {
    let plugin = plugin(r#"{ "connections": { "max": 2 } }"#);
    let request = Request::builder().sent(true).build();
    let verdict = plugin.on_request(&request);
    assert_eq!(verdict.response().map(|response| response.status), Some(500));
    assert_eq!(testing::logs().len(), 1);
}

#[test]
fn messages_over_the_rate_are_dropped() {
    let plugin = plugin(r#"{ "messages": { "rate": "2/s" } }"#);
    let connection = Connection::builder().build();
    let mut session = plugin.open(&from("192.0.2.1"), &connection).unwrap();
    let mut say = |sender| session.on_message(&plugin, &connection, sender, "hi".into());
    assert_eq!(say(Side::Client), MessageVerdict::Forward);
    assert_eq!(say(Side::Client), MessageVerdict::Forward);
    assert_eq!(say(Side::Client), MessageVerdict::Drop);
    assert_eq!(say(Side::Upstream), MessageVerdict::Forward);
    testing::advance(Duration::from_millis(500));
    assert_eq!(say(Side::Client), MessageVerdict::Forward);
}

#[test]
fn sessions_of_one_key_share_one_rate() {
    let plugin = plugin(r#"{ "messages": { "rate": "1/s", "action": "close" } }"#);
    let connection = Connection::builder().build();
    let mut first = plugin.open(&from("192.0.2.1"), &connection).unwrap();
    let mut second = plugin.open(&from("192.0.2.1"), &connection).unwrap();
    let forward = first.on_message(&plugin, &connection, Side::Client, "hi".into());
    assert_eq!(forward, MessageVerdict::Forward);
    let close = second.on_message(&plugin, &connection, Side::Client, "hi".into());
    assert_eq!(close, MessageVerdict::close(1008, "too many messages"));
}

#[test]
fn only_what_is_counted_is_inspected() {
    for (settings, client) in [
        (r#"{ "messages": { "rate": "1/s" } }"#, MessageKinds::ALL),
        (r#"{ "requests": { "rate": "1/s" } }"#, MessageKinds::NONE),
    ] {
        let connection = Connection::builder().build();
        plugin(settings).open(&from("192.0.2.1"), &connection).unwrap();
        assert_eq!(connection.inspected(Side::Client), client);
        assert_eq!(connection.inspected(Side::Upstream), MessageKinds::NONE);
    }
}

#[test]
fn a_session_goes_on_in_the_next_version() {
    let plugin = plugin(r#"{ "messages": { "rate": "1/s" } }"#);
    let connection = Connection::builder().build();
    let mut before = plugin.open(&from("192.0.2.1"), &connection).unwrap();
    before.on_message(&plugin, &connection, Side::Client, "hi".into());
    let state = before.export_state(&plugin).unwrap();
    let connection = Connection::builder().build();
    let mut after = MessageRate::import_state(&plugin, &connection, state).unwrap();
    assert_eq!(connection.inspected(Side::Upstream), MessageKinds::NONE);
    let verdict = after.on_message(&plugin, &connection, Side::Client, "hi".into());
    assert_eq!(verdict, MessageVerdict::Drop);
}

#[test]
fn settings_that_make_no_sense_are_refused_with_words() {
    assert_eq!(
        refusal("{}"),
        "nothing is limited; give at least one of `requests`, `connections` and `messages`"
    );
    assert_eq!(
        refusal(r#"{ "connections": { "max": 0 } }"#),
        "connections.max: 0 would refuse everybody; give at least 1"
    );
    assert_eq!(
        refusal(r#"{ "messages": { "rate": "1/s", "burst": 0 } }"#),
        "messages.burst: 0 would refuse everything; give at least 1"
    );
    assert_eq!(
        refusal(r#"{ "requests": { "rate": "fast" } }"#),
        "requests.rate: `fast` is not a rate; write a number of at least 1 and a unit: 10/s, 100/m or 1000/h"
    );
}
