use super::*;

fn filter(settings: &str) -> MessageFilter {
    testing::configure(settings).unwrap()
}

fn refusal(settings: &str) -> String {
    testing::configure::<MessageFilter>(settings).err().unwrap().to_string()
}

fn verdict(filter: &MessageFilter, message: impl Into<Message>) -> MessageVerdict {
    let connection = Connection::builder().build();
    let mut session = filter.open(&Request::builder().build(), &connection).unwrap();
    session.on_message(filter, &connection, Side::Client, message.into())
}

#[test]
fn a_denied_message_is_dropped_and_others_pass() {
    let filter = filter(r#"{ "deny": ["(?i)\\bdarn\\b"] }"#);
    assert_eq!(verdict(&filter, "Darn!"), MessageVerdict::Drop);
    assert_eq!(verdict(&filter, "darning socks"), MessageVerdict::Forward);
    assert_eq!(verdict(&filter, "darn".as_bytes().to_vec()), MessageVerdict::Forward);
}

#[test]
fn a_denied_message_may_close_the_session() {
    let filter = filter(r#"{ "deny": ["darn"], "action": "close" }"#);
    assert_eq!(verdict(&filter, "darn"), MessageVerdict::close(1008, "message not allowed"));
}

#[test]
fn each_match_may_be_replaced() {
    let settings = r#"{ "deny": ["darn", "\\d{4}"], "action": "replace", "replacement": "[cut]" }"#;
    let cleaned = verdict(&filter(settings), "darn, my number is 1234");
    assert_eq!(cleaned, MessageVerdict::replace("[cut], my number is [cut]"));
    let settings = r#"{ "deny": ["darn"], "action": "replace" }"#;
    assert_eq!(verdict(&filter(settings), "darn!"), MessageVerdict::replace("***!"));
}

#[test]
fn only_text_of_the_named_side_is_inspected() {
    let (none, text) = (MessageKinds::NONE, MessageKinds::TEXT);
    for (from, client, upstream) in [("client", text, none), ("upstream", none, text), ("both", text, text)] {
        let filter = filter(&format!(r#"{{ "deny": ["darn"], "from": "{from}" }}"#));
        let connection = Connection::builder().build();
        let session = filter.open(&Request::builder().build(), &connection).unwrap();
        assert_eq!(connection.inspected(Side::Client), client, "{from}");
        assert_eq!(connection.inspected(Side::Upstream), upstream, "{from}");

        let state = session.export_state(&filter).unwrap();
        let connection = Connection::builder().build();
        Filtered::import_state(&filter, &connection, state).unwrap();
        assert_eq!(connection.inspected(Side::Client), client, "{from}, imported");
        assert_eq!(connection.inspected(Side::Upstream), upstream, "{from}, imported");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_with_words() {
    assert_eq!(refusal("{}"), "missing field `deny`");
    assert_eq!(
        refusal(r#"{ "deny": ["a"], "replacement": "b" }"#),
        "replacement: goes with `action = \"replace\"` only"
    );
    assert_eq!(
        refusal(r#"{ "deny": ["a"], "action": "mask" }"#),
        "action: unknown variant `mask`, expected one of `drop`, `close`, `replace`"
    );
    assert!(refusal(r#"{ "deny": ["["] }"#).starts_with("deny[0]: "));
}
