use super::*;

fn plugin(settings: &str) -> OriginCheck {
    testing::configure(settings).unwrap()
}

fn refusal(settings: &str) -> String {
    testing::configure::<OriginCheck>(settings).err().unwrap().to_string()
}

fn status(plugin: &OriginCheck, request: &Request) -> Option<u16> {
    plugin.on_request(request).response().map(|response| response.status)
}

#[test]
fn an_allowed_origin_passes_and_others_are_forbidden() {
    let plugin = plugin(r#"{ "allow": ["https://chat.example.com", "https://*.example.org"] }"#);
    for (origin, expected) in [
        ("https://chat.example.com", None),
        ("https://a.example.org", None),
        ("https://example.org", Some(403)),
        ("https://evil.example", Some(403)),
        ("null", Some(403)),
        ("", Some(403)),
    ] {
        let request = Request::builder().header("origin", origin).build();
        assert_eq!(status(&plugin, &request), expected, "{origin}");
    }
}

#[test]
fn two_origins_are_refused_even_where_both_are_allowed() {
    let plugin = plugin(r#"{ "allow": ["https://a.example"], "missing": "pass" }"#);
    let request = Request::builder()
        .header("origin", "https://a.example")
        .header("origin", "https://a.example")
        .build();
    assert_eq!(status(&plugin, &request), Some(403));
}

#[test]
fn a_strange_origin_is_not_a_missing_one() {
    let plugin = plugin(r#"{ "allow": ["https://a.example"], "missing": "pass" }"#);
    let request = Request::builder().header("origin", [0xff]).build();
    assert_eq!(status(&plugin, &request), Some(403));
}

#[test]
fn a_missing_origin_is_refused_unless_the_operator_says_otherwise() {
    let request = Request::builder().build();
    assert_eq!(status(&plugin(r#"{ "allow": ["https://a.example"] }"#), &request), Some(403));
    assert_eq!(status(&plugin(r#"{ "allow": ["https://a.example"], "missing": "pass" }"#), &request), None);
}

#[test]
fn settings_that_make_no_sense_are_refused_with_words() {
    assert_eq!(refusal(r#"{ "alow": [] }"#), "alow: unknown field `alow`, expected `allow` or `missing`");
    assert!(refusal(r#"{ "allow": [] }"#).starts_with("allow: an empty list lets nobody in"));
    assert!(refusal(r#"{ "allow": ["example.com"] }"#).starts_with("allow: `example.com` is not an origin"));
    assert_eq!(
        refusal(r#"{ "allow": ["null"], "missing": "ignore" }"#),
        "missing: unknown variant `ignore`, expected `refuse` or `pass`"
    );
}
