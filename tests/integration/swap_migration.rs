//! Open sessions and the next version of their plugin: handed over with their state, or left with the one they have.

use sluicegate_tests::{Frame, Proxy, RawUpstream, Session, run};

use crate::swap_config::{Versioned, version_at};

/// Both isolations.
const ISOLATIONS: [&str; 2] =
    ["migrate = true\nisolation = \"session\"", "migrate = true\nisolation = \"shared\""];

const TOLD: &str = "open sessions know of the replaced plugins";

/// What a client says, and what reaches the server.
async fn assert_heard(session: &mut Session, said: &str, heard: &str) {
    session.client.say(said).await;
    assert_eq!(session.upstream.hear().await, heard);
}

async fn sessions(proxy: &Proxy, upstream: &RawUpstream, count: usize) -> Vec<Session> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(Session::open(proxy, upstream).await);
    }
    sessions
}

/// A session in the first version of a plugin with these keys.
async fn one_session(plugin: &'static str) -> (Versioned, Proxy, Session) {
    let upstream = RawUpstream::start().await;
    let versioned = Versioned { plugin, ..Versioned::new(upstream.address()) };
    let proxy = versioned.start().await;
    let session = Session::open(&proxy, &upstream).await;
    (versioned, proxy, session)
}

#[test]
fn sessions_run_the_new_version_and_keep_their_state() {
    run(async {
        for plugin in ISOLATIONS {
            let upstream = RawUpstream::start().await;
            let versioned = Versioned { plugin, ..Versioned::new(upstream.address()) };
            let proxy = versioned.start().await;
            // More than are reached in one turn.
            let mut sessions = sessions(&proxy, &upstream, 40).await;
            for session in &mut sessions {
                assert_heard(session, "attribute opened-by", "v1 v1#1 attribute opened-by").await;
            }
            for version in 2..5 {
                versioned.swap(&proxy, version).await;
                let line = proxy.log().nth_line(version as usize - 2, &[TOLD]).await;
                assert!(line.contains("migrated=40 kept=0 refused=0 failed=0"), "{line}");
                for session in &mut sessions {
                    // What a request hook said of the exchange is as it was.
                    assert_heard(session, "x", &format!("v1 v{version}#{version} x")).await;
                    // And so is what is inspected of the server's messages.
                    session.upstream.say("y").await;
                    assert_eq!(session.client.hear().await, "y");
                }
            }
            drop(sessions);
            // They end in the version they have then, and no other heard of an end.
            proxy.log().nth_line(39, &["on-close v4#4"]).await;
            proxy.log().assert_none(&["on-close v1"]);
        }
    });
}

#[test]
fn timers_go_on() {
    run(async {
        for plugin in ISOLATIONS {
            let (versioned, proxy, mut session) = one_session(plugin).await;
            assert_heard(&mut session, "timer 2000", "v1#1 timer 2000").await;
            versioned.swap(&proxy, 2).await;
            proxy.log().line(&[TOLD, "migrated=1"]).await;
            assert_eq!(session.client.hear().await, "v2 timer");
        }
    });
}

#[test]
fn a_message_under_way_is_the_new_versions_when_it_is_whole() {
    run(async {
        for plugin in ISOLATIONS {
            let (versioned, proxy, mut session) = one_session(plugin).await;
            session.client.send(Frame::text("one ").unfinished()).await;
            session.client.send(Frame::ping("")).await;
            // The ping passed, so the fragment before it has come.
            assert_eq!(session.upstream.frame().await, Frame::ping(""));
            versioned.swap(&proxy, 2).await;
            proxy.log().line(&[TOLD, "migrated=1"]).await;
            session.client.send(Frame::continuation("two")).await;
            assert_eq!(session.upstream.hear().await, "v2#1 one two");
        }
    });
}

#[test]
fn what_the_new_version_asks_for_while_it_takes_over_is_done() {
    run(async {
        for plugin in ISOLATIONS {
            let (versioned, proxy, mut session) = one_session(plugin).await;
            let greeting = Versioned { settings: "greeting = \"new here\"", ..versioned };
            greeting.swap(&proxy, 2).await;
            assert_eq!(session.client.hear().await, "new here");
            assert_heard(&mut session, "x", "v2#1 x").await;
        }
    });
}

/// Whatever the reason, a session that is not handed over goes on as it was.
#[test]
fn a_session_that_is_not_taken_over_keeps_its_version() {
    run(async {
        for plugin in ISOLATIONS {
            for (first, second, told) in [
                ("export = false", "", "migrated=0 kept=1 refused=0 failed=0"),
                ("", "import = false, greeting = \"never said\"", "migrated=0 kept=0 refused=1 failed=0"),
                ("", "fail = \"import\"", "migrated=0 kept=0 refused=0 failed=1"),
            ] {
                let upstream = RawUpstream::start().await;
                let versioned = Versioned { plugin, settings: first, ..Versioned::new(upstream.address()) };
                let proxy = versioned.start().await;
                let mut session = Session::open(&proxy, &upstream).await;
                assert_heard(&mut session, "a", "v1#1 a").await;
                let next = Versioned { settings: second, ..versioned };
                next.swap(&proxy, 2).await;
                proxy.log().line(&[TOLD, told]).await;
                assert_heard(&mut session, "b", "v1#2 b").await;
                assert_eq!(version_at(proxy.address()).await, "v2");
                // A later version may do better, where the old one can be asked.
                let better = Versioned { settings: first, ..next };
                better.swap(&proxy, 3).await;
                let line = proxy.log().nth_line(1, &[TOLD]).await;
                let migrates = first.is_empty();
                assert!(line.contains(if migrates { "migrated=1" } else { "kept=1" }), "{line}");
                let heard = if migrates { "v3#3 c" } else { "v1#3 c" };
                assert_heard(&mut session, "c", heard).await;
            }
        }
    });
}

#[test]
fn one_that_fails_while_it_hands_over_is_treated_as_any_that_fails() {
    run(async {
        for (on_failure, isolation) in [("refuse", "session"), ("refuse", "shared"), ("pass", "session")] {
            let upstream = RawUpstream::start().await;
            let keys = format!("migrate = true\nisolation = \"{isolation}\"\non-failure = \"{on_failure}\"");
            let versioned = Versioned {
                plugin: keys.leak(),
                settings: "fail = \"export\"",
                ..Versioned::new(upstream.address())
            };
            let mut proxy = versioned.start().await;
            let mut session = Session::open(&proxy, &upstream).await;
            versioned.swap(&proxy, 2).await;
            proxy.log().line(&[TOLD, "failed=1"]).await;
            proxy.log().line(&["WARN", "hook=\"export-state\""]).await;
            if on_failure == "pass" {
                assert_heard(&mut session, "x", "x").await;
            } else {
                assert_eq!(session.client.closed().await.0, Some(1011));
                assert_eq!(session.upstream.closed().await.0, Some(1011));
            }
            proxy.assert_running();
        }
    });
}

#[test]
fn a_plugin_that_is_listed_no_more_stays_with_its_sessions() {
    run(async {
        let upstream = RawUpstream::start().await;
        let plugin = "migrate = true\nmax-age = \"100ms\"";
        let versioned = Versioned { plugin, ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        let config = versioned.config(1);
        let (plugins, _) = config.split_at(config.find("[[plugin]]").unwrap());
        proxy.write_config(&format!("{plugins}\n[[route]]\nupstream = \"app\"\n"));
        assert!(proxy.reload().await.contains("plugins_removed=1"));
        assert_heard(&mut session, "x", "v1#1 x").await;
        let mut new = Session::open(&proxy, &upstream).await;
        assert_heard(&mut new, "x", "x").await;
        // Back again, it is a version like any other.
        versioned.swap(&proxy, 2).await;
        proxy.log().line(&[TOLD, "migrated=1"]).await;
        assert_heard(&mut session, "y", "v2#2 y").await;
    });
}

#[test]
fn sessions_of_a_replaced_version_end_when_it_is_too_old() {
    run(async {
        let upstream = RawUpstream::start().await;
        let versioned = Versioned { plugin: "max-age = \"500ms\"", ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let mut old = Session::open(&proxy, &upstream).await;
        versioned.swap(&proxy, 2).await;
        let mut new = Session::open(&proxy, &upstream).await;
        assert_eq!(old.client.hear().await, "v1 drain");
        for side in [&mut old.client, &mut old.upstream] {
            assert_eq!(side.closed().await.0, Some(1001));
            side.send(Frame::close(1001, "")).await;
        }
        proxy
            .log()
            .line(&["session ended early", "a replaced version of a plugin reached its max-age"])
            .await;
        proxy.log().line(&["on-close v1#0 Some(1001)"]).await;
        assert_heard(&mut new, "x", "v2#1 x").await;
    });
}

/// Its end is not put amid a message that is passing.
#[test]
fn the_end_of_a_version_waits_for_the_end_of_a_message() {
    run(async {
        let upstream = RawUpstream::start().await;
        let versioned = Versioned { plugin: "max-age = \"100ms\"", ..Versioned::new(upstream.address()) };
        let proxy = versioned.start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        // The plugin looks at none of the server's messages, so they pass as they come.
        session.upstream.send(Frame::text("half ").unfinished()).await;
        assert_eq!(session.client.frame().await, Frame::text("half ").unfinished());
        versioned.swap(&proxy, 2).await;
        assert_eq!(session.upstream.closed().await.0, Some(1001));
        session.upstream.send(Frame::continuation("whole")).await;
        assert_eq!(session.client.frame().await, Frame::continuation("whole"));
        assert_eq!(session.client.hear().await, "v1 drain");
        assert_eq!(session.client.closed().await.0, Some(1001));
    });
}
