//! What session hooks do to messages: verdicts, sends, timers, and in which order plugins see what.

use sluicegate_tests::{Frame, Proxy, ProxyBuilder, RawUpstream, Session, run};

async fn session(plugins: impl FnOnce(ProxyBuilder) -> ProxyBuilder) -> (Proxy, Session) {
    let upstream = RawUpstream::start().await;
    let proxy = plugins(Proxy::to(upstream.address())).start().await;
    let session = Session::open_with(
        &proxy,
        &upstream,
        "/",
        "Sec-WebSocket-Protocol: chat\r\n",
        "Sec-WebSocket-Protocol: chat\r\n",
    )
    .await;
    (proxy, session)
}

fn marked(name: &str) -> String {
    format!("settings = {{ mark = \"+{name}\" }}")
}

#[test]
fn messages_of_the_client_go_in_list_order_and_those_of_the_upstream_in_reverse() {
    run(async {
        let (_proxy, mut session) =
            session(|proxy| proxy.guest_as("a", "stamp", &marked("a")).guest_as("b", "stamp", &marked("b")))
                .await;
        session.client.say("x").await;
        assert_eq!(session.upstream.hear().await, "x+a+b");
        session.upstream.say("y").await;
        assert_eq!(session.client.hear().await, "y+b+a");
        session.client.send(Frame::binary([0])).await;
        assert_eq!(session.upstream.frame().await, Frame::binary(*b"\0+a+b"));
    });
}

#[test]
fn sends_go_out_before_the_verdict_and_are_seen_by_the_plugins_after_the_sender() {
    run(async {
        let (_proxy, mut session) = session(|proxy| {
            proxy.guest_as("a", "stamp", &marked("a")).guest("scripted", "").guest_as(
                "b",
                "stamp",
                &marked("b"),
            )
        })
        .await;
        session.client.say("client to you\nupstream to it\nupstream again").await;
        // Its way began at the plugin that sent it: `a` stands between that one and the client, `b` does not.
        assert_eq!(session.client.hear().await, "to you+a");
        // `a` saw the last line on its way to the sender; `b` saw each on its way from there.
        assert_eq!(session.upstream.hear().await, "to it+b");
        assert_eq!(session.upstream.hear().await, "again+a+b");
        assert_eq!(session.upstream.hear().await, "client to you\nupstream to it\nupstream again+a+b");
        // The same from the other side: `b` first, then the sender, then `a`.
        session.upstream.say("upstream back\nverdict drop\nclient on").await;
        assert_eq!(session.upstream.hear().await, "back+b");
        assert_eq!(session.client.hear().await, "on+b+a");
    });
}

/// It would answer its own message for ever.
#[test]
fn a_plugin_never_sees_what_it_sent_or_replaced() {
    run(async {
        let (_proxy, mut session) = session(|proxy| proxy.guest("scripted", "")).await;
        session.client.say("upstream client hello\nverdict replace client replaced").await;
        assert_eq!(session.upstream.hear().await, "client hello");
        assert_eq!(session.upstream.hear().await, "client replaced");
        session.client.say("client the first the client hears").await;
        assert_eq!(session.client.hear().await, "the first the client hears");
    });
}

#[test]
fn a_replacement_is_what_the_next_plugin_sees() {
    run(async {
        let (proxy, mut session) = session(|proxy| proxy.guest("scripted", "").guest("recorder", "")).await;
        session.client.say("verdict replace something else").await;
        assert_eq!(session.upstream.hear().await, "something else");
        proxy.log().line(&["recorder", "on-message Client Text(\"something else\")"]).await;
    });
}

#[test]
fn a_dropped_message_is_seen_by_nobody_after() {
    run(async {
        let (proxy, mut session) = session(|proxy| proxy.guest("scripted", "").guest("recorder", "")).await;
        session.client.say("verdict drop").await;
        session.client.say("passes").await;
        assert_eq!(session.upstream.hear().await, "passes");
        proxy.log().line(&["recorder", "passes"]).await;
        proxy.log().assert_none(&["recorder", "drop"]);
    });
}

#[test]
fn a_plugin_closes_both_sides_after_what_was_sent() {
    run(async {
        for command in ["verdict close 4001 enough of this", "close 4001 enough of this"] {
            let (proxy, mut session) =
                session(|proxy| proxy.guest("recorder", "").guest("scripted", "")).await;
            session.client.say(&format!("client last words\nupstream to both\n{command}")).await;
            assert_eq!(session.client.hear().await, "last words");
            assert_eq!(session.upstream.hear().await, "to both");
            if command.starts_with("close") {
                // Closing through the connection leaves the verdict as it is.
                assert!(session.upstream.hear().await.ends_with(command));
            }
            for side in [&mut session.client, &mut session.upstream] {
                assert_eq!(side.closed().await, (Some(4001), "enough of this".to_owned()));
                side.send(Frame::close(4001, "")).await;
            }
            session.client.wire.assert_closed().await;
            session.upstream.wire.assert_closed().await;
            proxy.log().line(&["on-close Plugin clean=true code=Some(4001) reason=enough of this"]).await;
        }
    });
}

#[test]
fn rfc6455_7_4_a_plugins_impossible_close_code_becomes_1011_and_a_long_reason_is_cut() {
    run(async {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            let (_proxy, mut session) = session(|proxy| proxy.guest("scripted", "")).await;
            session.client.say(&format!("verdict close {code} x")).await;
            assert_eq!(session.client.closed().await.0, Some(1011), "{code}");
            assert_eq!(session.upstream.closed().await.0, Some(1011), "{code}");
        }
        let (_proxy, mut session) = session(|proxy| proxy.guest("scripted", "")).await;
        session.client.say(&format!("verdict close 4000 {}", "é".repeat(100))).await;
        assert_eq!(session.client.closed().await, (Some(4000), "é".repeat(61)));
    });
}

#[test]
fn nothing_is_sent_once_the_session_is_closing() {
    run(async {
        let (proxy, mut session) = session(|proxy| proxy.guest("scripted", "")).await;
        session.client.say("close 1000 done\nclient too late").await;
        assert!(session.upstream.hear().await.starts_with("close 1000"));
        assert_eq!(session.client.closed().await, (Some(1000), "done".to_owned()));
        proxy.log().line(&["scripted", "not sent to Client: the session is closing"]).await;
    });
}

#[test]
fn a_send_larger_than_a_message_may_be_is_refused() {
    run(async {
        let upstream = RawUpstream::start().await;
        let limits = "limits.message-bytes-max = \"50B\"";
        let proxy = Proxy::to(upstream.address()).route(limits).guest("scripted", "").start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        // The answer to this is longer than 50 bytes.
        session.client.say("connection\nclient short").await;
        assert_eq!(session.client.hear().await, "short");
        proxy.log().line(&["not sent to Client: the message is larger than the route allows"]).await;
    });
}

#[test]
fn a_timer_calls_once_and_can_be_replaced_or_cancelled() {
    run(async {
        let (_proxy, mut session) = session(|proxy| proxy.guest("scripted", "")).await;
        session.client.say("timer 50").await;
        assert_eq!(session.upstream.hear().await, "timer 50");
        assert_eq!(session.client.hear().await, "timer");
        session.client.say("timer 50\ncancel-timer\nclient cancelled").await;
        assert_eq!(session.client.hear().await, "cancelled");
        session.client.say("timer 3600000\ntimer 150\nclient replaced").await;
        assert_eq!(session.client.hear().await, "replaced");
        assert_eq!(session.client.hear().await, "timer");
        assert!(!session.client.wire.has_more());
    });
}

#[test]
fn a_plugin_knows_its_connection() {
    run(async {
        let (_proxy, mut session) = session(|proxy| proxy.guest("scripted", "")).await;
        session.client.say("connection").await;
        let known = session.client.hear().await;
        let server = session.upstream.wire.stream().local_addr().unwrap();
        let expected =
            format!("client-address=127.0.0.1 subprotocol=Some(\"chat\") upstream=app server={server}");
        assert_eq!(known, expected);
    });
}

#[test]
fn a_side_that_nobody_wants_is_relayed_and_can_be_wanted_again() {
    run(async {
        let (_proxy, mut session) = session(|proxy| proxy.guest("scripted", "")).await;
        session.client.say("inspect client none\nverdict drop").await;
        assert_eq!(session.client.hear().await, "inspect true");
        // Not seen any more, and not even held back until it is whole.
        session.client.send(Frame::text("verdict drop").unfinished()).await;
        assert_eq!(session.upstream.frame().await, Frame::text("verdict drop").unfinished());
        session.client.send(Frame::continuation("!")).await;
        assert_eq!(session.upstream.frame().await, Frame::continuation("!"));
        session.upstream.say("inspect client binary\nverdict drop").await;
        assert_eq!(session.client.hear().await, "inspect true");
        session.client.say("verdict drop").await;
        assert_eq!(session.upstream.hear().await, "verdict drop");
        session.upstream.say("inspect client all\nverdict drop").await;
        assert_eq!(session.client.hear().await, "inspect true");
        session.client.say("verdict replace seen again").await;
        assert_eq!(session.upstream.hear().await, "seen again");
    });
}

#[test]
fn the_life_of_a_session_as_a_plugin_sees_it() {
    run(async {
        let (proxy, mut session) = session(|proxy| proxy.guest("recorder", "")).await;
        session.client.say("hello").await;
        session.upstream.hear().await;
        session.upstream.send(Frame::binary([1, 2])).await;
        session.client.frame().await;
        session.client.send(Frame::close(1000, "bye")).await;
        session.upstream.closed().await;
        session.upstream.send(Frame::close(1000, "")).await;
        proxy.log().line(&["on-close"]).await;
        let lines = proxy.log().lines();
        let seen: Vec<&str> = lines
            .iter()
            .filter(|line| line.contains("recorder"))
            .map(|line| &line[line.find("on-").or(line.find("open ")).unwrap()..])
            .map(|line| line.split(" plugin=").next().unwrap())
            .collect();
        assert_eq!(
            seen,
            [
                "on-request GET / websocket=true",
                "on-response / 101",
                "open / subprotocol=Some(\"chat\")",
                "on-message Client Text(\"hello\")",
                "on-message Upstream Binary([1, 2])",
                "on-close Client clean=true code=Some(1000) reason=bye",
            ]
        );
    });
}

#[test]
fn a_lost_peer_is_no_clean_close_for_a_plugin() {
    run(async {
        let (proxy, session) = session(|proxy| proxy.guest("recorder", "")).await;
        session.client.wire.reset();
        // The code is what the other side was told.
        proxy.log().line(&["on-close Client clean=false code=Some(1001)"]).await;
    });
}
