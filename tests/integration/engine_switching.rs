//! `connection.inspect`: a side that plugins do not want any more is relayed, and comes back to them where its compression
//! allows that (RFC 7692 §7.1.1), with messages in between that nobody may lose or change.

use serde_json::{Value, json};
use sluicegate_tests::{Peer, run};

use crate::engine_modes::{self, SCRIPTED};
use crate::engine_sessions::{Led, Noise, Parameters, Plan, Round, echoed, text};

const SERVER_NO_TAKEOVER: (&str, Option<u8>) = ("server_no_context_takeover", None);
const CLIENT_NO_TAKEOVER: (&str, Option<u8>) = ("client_no_context_takeover", None);

/// Messages that refer to each other, where compression does.
fn messages(repeated: &str) -> Vec<Value> {
    vec![
        text(repeated),
        json!({"text": repeated, "size": 9000, "pieces": 3}),
        json!({"text": repeated, "compress": false}),
        json!({"binary": "AAEC/w==", "size": 3000}),
        text(repeated),
    ]
}

fn said(send: Value, hear: &[&str]) -> Round {
    Round { send: vec![send], hear: hear.iter().copied().map(text).collect(), pings: 0 }
}

/// What becomes of a side that leaves inspection.
struct Leaving {
    side: &'static str,
    /// What is still wanted of it.
    kinds: &'static str,
    /// Whether a compressed message was replaced before.
    rewritten: bool,
    /// Whether it can come back.
    returns: bool,
}

// === impl Leaving ===

impl Leaving {
    /// One side leaves and is asked back. What it says meanwhile is not obeyed, nor if it does not return.
    fn rounds(&self) -> Vec<Round> {
        let Self { side, kinds, rewritten, returns } = *self;
        let payload = Noise(6).text(2000);
        let once = format!("verdict replace {payload}");
        let twice = format!("verdict replace {once}");
        // Both sides look at it; one that left does not.
        let probe = |seen: bool| said(text(&twice), &[if seen { &payload } else { &once }]);
        let command = |line: &str| json!({"text": format!("{line}\nverdict drop"), "compress": false});
        let (back, answer) = (format!("inspect {side} all"), format!("inspect {returns}"));
        let mut rounds = Vec::new();
        if rewritten {
            rounds.push(probe(true));
        }
        rounds.extend([
            echoed(messages(&payload)),
            said(command(&format!("inspect {side} {kinds}")), &["inspect true"]),
            probe(false),
            echoed(messages(&payload)),
            // A message of the plugin's own among those that are relayed.
            said(text("client mine"), &["mine", "client mine"]),
            echoed(messages(&payload)),
            // What the client says is obeyed as it comes back, if nobody hears it before.
            if side == "client" {
                said(text(&back), &[&answer, &back])
            } else {
                said(command(&back), &[&answer])
            },
            probe(returns),
            echoed(messages(&payload)),
            probe(returns),
        ]);
        rounds
    }
}

#[test]
fn rfc7692_7_1_1_a_side_leaves_inspection_and_comes_back_where_it_can() {
    run(async {
        let (_server, address) = Peer::server("deflate-echo.js", &[]).await;
        let proxy = engine_modes::start(address, "").await;
        let agreements: [Option<Parameters>; 5] = [
            None,
            Some(vec![]),
            Some(vec![SERVER_NO_TAKEOVER]),
            Some(vec![CLIENT_NO_TAKEOVER]),
            Some(vec![SERVER_NO_TAKEOVER, CLIENT_NO_TAKEOVER]),
        ];
        let mut plan = Plan::default();
        for agreed in &agreements {
            for (side, no_takeover) in [("client", CLIENT_NO_TAKEOVER), ("upstream", SERVER_NO_TAKEOVER)] {
                let takeover = agreed.as_ref().is_some_and(|agreed| !agreed.contains(&no_takeover));
                for (kinds, rewritten) in
                    [("none", false), ("none", true), ("binary", false), ("binary", true)]
                {
                    // The window stays known while something is inflated: for those of a kind, or to be written anew.
                    let returns = !takeover || kinds == "binary" || rewritten;
                    let script = format!("{side} {kinds} {rewritten} {returns}");
                    plan.script(&script, Leaving { side, kinds, rewritten, returns }.rounds());
                    plan.session(SCRIPTED, &script, agreed.as_ref(), agreed.as_ref());
                }
            }
        }
        let expected = Led { sessions: 5 * 2 * 4, compressed: 4 * 2 * 4 };
        assert_eq!(plan.lead("sessions-client.js", &proxy).await, expected);
    });
}

#[test]
fn both_sides_leave_inspection_for_good() {
    run(async {
        let (_server, address) = Peer::server("deflate-echo.js", &[]).await;
        let proxy = engine_modes::start(address, "").await;
        let leave = text("inspect client none\ninspect upstream none\nverdict drop");
        let unseen = "verdict drop";
        let rounds = || {
            [
                said(leave.clone(), &["inspect true", "inspect true"]),
                echoed(messages(&Noise(9).text(2000))),
                said(text(unseen), &[unseen]),
                echoed(messages(&Noise(9).text(2000))),
            ]
        };
        let mut plan = Plan::default();
        plan.script("leave", rounds());
        for agreed in [None, Some(vec![]), Some(vec![SERVER_NO_TAKEOVER, CLIENT_NO_TAKEOVER])] {
            plan.session(SCRIPTED, "leave", agreed.as_ref(), agreed.as_ref());
        }
        assert_eq!(plan.lead("sessions-client.js", &proxy).await, Led { sessions: 3, compressed: 2 });
    });
}
