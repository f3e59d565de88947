//! A plugin that knows the contract from its WIT alone.

use std::fs;
use std::process::Command;

use sluicegate_tests::{Proxy, RawUpstream, Session, WebSocket, check, example, run};

/// The example in JavaScript, made and compiled; in front of `upstream`, with this isolation.
fn javascript(upstream: &RawUpstream, isolation: &str) -> String {
    let text = fs::read_to_string(example("javascript/sluicegate.toml")).unwrap();
    let replaced = [
        ("127.0.0.1:8080", "127.0.0.1:0".to_owned()),
        ("127.0.0.1:3000", upstream.address().to_string()),
        ("isolation = \"shared\"", format!("isolation = \"{isolation}\"")),
        ("../../target", example("../target").display().to_string()),
    ];
    replaced.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from} in {text}");
        text.replace(from, to)
    })
}

#[test]
fn a_plugin_in_javascript_decides_on_requests_and_messages() {
    let made = Command::new(example("javascript/sluicegate.sh")).status().unwrap();
    assert!(made.success(), "{made}");
    let checked = check(&example("javascript/sluicegate.toml"));
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    run(async {
        for isolation in ["session", "shared"] {
            let upstream = RawUpstream::start().await;
            let proxy = Proxy::start(&javascript(&upstream, isolation)).await;
            let refused = WebSocket::refused(proxy.address(), "/?user=%3Cann%3E", "").await;
            assert_eq!((refused.status(), refused.text()), (400, "who are you? add ?user=NAME\n"));

            let mut ann = Session::open_at(&proxy, &upstream, "/?user=ann").await;
            let mut bob = Session::open_at(&proxy, &upstream, "/?user=bob").await;
            for (session, name) in [(&mut ann, "ann"), (&mut bob, "bob")] {
                session.client.say(r#"{"type":"chat","from":"eve","text":"hällo"}"#).await;
                let stamped = format!(r#"{{"type":"chat","from":"{name}","text":"hällo"}}"#);
                assert_eq!(session.upstream.hear().await, stamped);
                session.upstream.say("whatever it likes").await;
                assert_eq!(session.client.hear().await, "whatever it likes");
            }
            ann.client.say(r#"["type","chat"]"#).await;
            assert_eq!(ann.client.closed().await, (Some(1008), "not a message of this chat".to_owned()));
            proxy.log().line(&["INFO", "chat-names", "ann said what is not in this chat"]).await;
            bob.client.say(r#"{"type":"chat"}"#).await;
            assert_eq!(bob.upstream.hear().await, r#"{"type":"chat","from":"bob"}"#);
        }
    });
}
