use sluicegate_sdk::testing::RequestBuilder;

use super::*;

const RULES: &str = r#"{ "rules": [
    { "header": { "name": "x-tenant", "value": "b" }, "upstream": "b" },
    { "cookie": { "name": "beta", "value": "yes" }, "upstream": "beta" },
    { "query": { "name": "region", "value": "eu" }, "upstream": "eu" },
    { "subprotocol": "chat.v2", "upstream": "v2" }
] }"#;

fn router(settings: &str) -> Router {
    testing::configure(settings).unwrap()
}

fn refusal(settings: &str) -> String {
    testing::configure::<Router>(settings).err().unwrap().to_string()
}

fn routed(router: &Router, request: RequestBuilder) -> Option<String> {
    let request = request.build();
    assert_eq!(router.on_request(&request), RequestVerdict::Pass);
    request.routed_to().map(str::to_owned)
}

#[test]
fn each_condition_chooses_its_upstream() {
    let router = router(RULES);
    let request = Request::builder;
    for (request, upstream) in [
        (request().header("x-tenant", "b"), Some("b")),
        (request().header("cookie", "theme=dark; beta=yes"), Some("beta")),
        (request().path("/ws?region=eu"), Some("eu")),
        (request().subprotocols(["chat.v1", "chat.v2"]), Some("v2")),
        (request().header("x-tenant", "B"), None),
        (request().header("x-tenant", "b").header("x-tenant", "c"), None),
        (request().header("cookie", "beta=no"), None),
        (request().path("/ws?region=europe"), None),
        (request().subprotocols(["chat.v20"]), None),
        (request(), None),
    ] {
        assert_eq!(routed(&router, request.clone()).as_deref(), upstream, "{request:?}");
    }
}

#[test]
fn the_first_rule_that_matches_is_taken() {
    let request = Request::builder().path("/?region=eu").header("x-tenant", "b");
    assert_eq!(routed(&router(RULES), request).as_deref(), Some("b"));
}

#[test]
fn a_client_is_in_a_share_or_not_whatever_it_asks_for() {
    let router = router(r#"{ "rules": [{ "percent": 50, "upstream": "canary" }] }"#);
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"] {
        let request = |path| Request::builder().client_address(address).path(path);
        assert_eq!(routed(&router, request("/a")), routed(&router, request("/b")));
    }
}

#[test]
fn requests_of_one_room_have_one_affinity() {
    let router = router(r#"{ "affinity": "query:room" }"#);
    for (path, affinity) in [("/ws?room=blue", Some("blue")), ("/ws", None)] {
        let request = Request::builder().path(path).build();
        assert_eq!(router.on_request(&request), RequestVerdict::Pass);
        assert_eq!(request.affinity(), affinity);
    }
}

#[test]
fn an_unknown_upstream_is_loud() {
    let request = Request::builder().header("x-tenant", "b").upstreams(["a"]).build();
    let verdict = router(RULES).on_request(&request);
    assert_eq!(verdict.response().map(|response| response.status), Some(502));
    let expected = "cannot route: upstream `b`: no upstream of this name may be chosen here";
    assert_eq!(testing::logs(), [(log::Level::Error, expected.to_owned())]);
}

#[test]
fn a_rule_has_one_condition() {
    let expected = "rules[0]: give exactly one of `header`, `cookie`, `query`, `subprotocol` and `percent`";
    assert_eq!(refusal(r#"{ "rules": [{ "upstream": "b" }] }"#), expected);
    assert_eq!(refusal(r#"{ "rules": [{ "percent": 5, "subprotocol": "x", "upstream": "b" }] }"#), expected);
}

#[test]
fn settings_that_make_no_sense_are_refused_with_words() {
    assert_eq!(
        refusal(r#"{ "rules": [{ "percent": 101, "upstream": "b" }] }"#),
        "rules[0]: percent: 101 is no share; give more than 0 and at most 100"
    );
    assert_eq!(refusal(r#"{ "rules": [{ "percent": 5 }] }"#), "rules[0]: missing field `upstream`");
    assert_eq!(
        refusal(r#"{ "affinity": "room" }"#),
        "affinity: `room` names no part of a request; write header:NAME, cookie:NAME or query:NAME"
    );
}
