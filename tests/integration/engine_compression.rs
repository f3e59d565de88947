//! permessage-deflate (RFC 7692) between Node's `ws` and Python's `websockets`, under every agreement the two can come to
//! and in every mode: what is heard is what was said, byte for byte, or what plugins made of it.

use serde_json::{Value, json};
use sluicegate_tests::{Frame, Opcode, Peer, RawUpstream, Session, WebSocket, run, switching_protocols};

use crate::engine_modes::{self, MODES, REPLACE, SCRIPTED};
use crate::engine_sessions::{Led, Noise, Parameters, Plan, Round, echoed, text};

const WINDOW_BITS: [u8; 3] = [9, 12, 15];
/// Farther back than a window of 12 bits reaches.
const FAR_BYTES: usize = 5000;
/// Orders in which plugins' verdicts follow each other.
const SHUFFLES: usize = 16;

/// Every offer with every answer that may be given to it and that both peers can give (RFC 7692 §7.1): an offered
/// parameter is taken over, or a narrower window named.
fn agreements() -> Vec<(Parameters, Parameters)> {
    let mut agreements = vec![(Parameters::new(), Parameters::new())];
    let takeover = |name: &'static str| move |offered, answered| (flag(name, offered), flag(name, answered));
    let server =
        takeovers().map(|(offered, answered)| takeover("server_no_context_takeover")(offered, answered));
    let client =
        takeovers().map(|(offered, answered)| takeover("client_no_context_takeover")(offered, answered));
    for choices in [server.to_vec(), client.to_vec(), server_windows(), client_windows()] {
        let with = |(offer, answer): &(Parameters, Parameters)| {
            let (offer, answer) = (offer.clone(), answer.clone());
            let extend = move |choice: &(Parameters, Parameters)| {
                ([&offer[..], &choice.0].concat(), [&answer[..], &choice.1].concat())
            };
            choices.iter().map(extend).collect::<Vec<_>>()
        };
        agreements = agreements.iter().flat_map(with).collect();
    }
    agreements
}

/// Without context takeover: offered or not, answered or not.
fn takeovers() -> [(bool, bool); 3] {
    [(false, false), (false, true), (true, true)]
}

fn flag(name: &'static str, set: bool) -> Parameters {
    if set { vec![(name, None)] } else { vec![] }
}

/// A server may narrow its window unasked.
fn server_windows() -> Vec<(Parameters, Parameters)> {
    let window = |bits| vec![("server_max_window_bits", Some(bits))];
    let mut windows = vec![(vec![], vec![])];
    windows.extend(WINDOW_BITS.map(|answered| (vec![], window(answered))));
    windows.extend(narrower().map(|(offered, answered)| (window(offered), window(answered))));
    windows
}

/// A client narrows its window only if it said it could.
fn client_windows() -> Vec<(Parameters, Parameters)> {
    let window = |bits| vec![("client_max_window_bits", bits)];
    let mut windows = vec![(vec![], vec![]), (window(None), vec![])];
    windows.extend(WINDOW_BITS.map(|answered| (window(None), window(Some(answered)))));
    windows.extend(narrower().map(|(offered, answered)| (window(Some(offered)), window(Some(answered)))));
    windows
}

/// Windows offered, and the same or narrower ones answered.
fn narrower() -> impl Iterator<Item = (u8, u8)> {
    WINDOW_BITS.into_iter().flat_map(|offered| {
        WINDOW_BITS
            .into_iter()
            .filter(move |answered| *answered <= offered)
            .map(move |answered| (offered, answered))
    })
}

/// Texts that repeat each other, nearer and farther back than each window reaches.
fn payloads() -> [String; 3] {
    let mut noise = Noise(7692);
    let [one, two] = [noise.text(1500), noise.text(700)];
    let far = [&one, &noise.text(FAR_BYTES), &one[..], &two].concat();
    [one, two, far]
}

/// Messages that pass: of both kinds, in one and several frames, compressed and not.
fn plain_rounds() -> Vec<Round> {
    let [one, two, far] = payloads();
    let first = vec![
        text(one.clone()),
        json!({"text": far, "pieces": 3}),
        json!({"binary": "AP8B/w==", "size": 2000}),
        json!({"text": one, "compress": false}),
        text(""),
        json!({"binary": "", "size": 0}),
        text(two.clone()),
        text([two, one].concat()),
    ];
    vec![echoed(first), echoed(vec![text(far)])]
}

/// Messages of which plugins forward some, replace some, drop some and add some, in both directions, in an order of the
/// seed's. What the `scripted` plugin obeys on the way to the server it obeys in the echo again.
fn verdict_rounds(seed: usize) -> Vec<Round> {
    let mut noise = Noise(1 + seed as u64);
    let mut exchanges: Vec<(String, Vec<String>)> = Vec::new();
    for payload in payloads() {
        exchanges.extend([
            (payload.clone(), vec![payload.clone()]),
            (format!("verdict replace {payload}"), vec![payload.clone()]),
            (format!("verdict replace verdict replace {payload}"), vec![payload.clone()]),
            (format!("verdict drop {payload}"), vec![]),
            (format!("verdict replace verdict drop {payload}"), vec![]),
            (format!("upstream {payload}\nverdict drop"), vec![payload.clone()]),
            (
                format!("upstream {payload}\nverdict replace 2 {payload}"),
                vec![payload.clone(), format!("2 {payload}")],
            ),
            (format!("verdict replace client {payload}"), vec![payload.clone(), format!("client {payload}")]),
        ]);
    }
    noise.shuffle(&mut exchanges);
    let send = exchanges.iter().map(|(sent, _)| text(sent)).collect();
    let hear = exchanges.iter().flat_map(|(_, heard)| heard.iter().map(text)).collect();
    // Added before the original on its way to the server, and once more when that comes back.
    let added = vec![text("x"), text("upstream x"), text("x")];
    vec![
        Round { send, hear, pings: 0 },
        Round { send: vec![text("upstream x")], hear: added, pings: 0 },
        echoed(vec![text("and on")]),
    ]
}

/// All agreements in all modes, and sessions where only one end, or neither, has permessage-deflate.
fn matrix() -> (Plan, Led) {
    let mut plan = Plan::default();
    plan.script("plain", plain_rounds());
    for seed in 0..SHUFFLES {
        plan.script(&format!("verdicts {seed}"), verdict_rounds(seed));
    }
    let agreements = agreements();
    assert_eq!(agreements.len(), 3 * 3 * 10 * 11);
    let mut sessions = 0;
    for mode in [&MODES[..], &[SCRIPTED]].concat() {
        let mut session = |offer: Option<&Parameters>, answer: Option<&Parameters>| {
            let script = if mode == SCRIPTED {
                format!("verdicts {}", sessions % SHUFFLES)
            } else {
                "plain".to_owned()
            };
            plan.session(mode, &script, offer, answer);
            sessions += 1;
        };
        for (offer, answer) in &agreements {
            session(Some(offer), Some(answer));
        }
        session(Some(&vec![]), None);
        session(Some(&vec![("server_max_window_bits", Some(8))]), None);
        session(None, None);
    }
    (plan, Led { sessions, compressed: 4 * agreements.len() })
}

async fn lead_matrix(client: &str, server: &str) {
    let (_server, address) = Peer::server(server, &[]).await;
    let proxy = engine_modes::start(address, "limits.message-bytes-max = \"4MiB\"").await;
    let (plan, expected) = matrix();
    assert_eq!(plan.lead(client, &proxy).await, expected);
}

#[test]
fn rfc7692_7_1_every_agreement_of_node_and_python() {
    run(lead_matrix("sessions-client.js", "deflate_echo.py"));
}

#[test]
fn rfc7692_7_1_every_agreement_of_python_and_node() {
    run(lead_matrix("sessions_client.py", "deflate-echo.js"));
}

/// Where the length takes another form (RFC 6455 §5.2), around the reads of the proxy, and up to the largest.
const SIZES: [usize; 11] = [0, 1, 125, 126, 127, 1000, 65_535, 65_536, 65_537, 300_000, 1 << 20];

/// Of each size, both kinds, in one frame and in several; of what compresses well and what does not.
fn messages_of_all_sizes() -> Vec<Value> {
    let noise = Noise(6455).text(40_000);
    let mut messages = Vec::new();
    for size in SIZES {
        for unit in ["sluicegate", &noise] {
            for pieces in [1, 3] {
                let compress = messages.len() % 3 != 0;
                messages.push(json!({"text": unit, "size": size, "pieces": pieces, "compress": compress}));
                messages.push(
                    json!({"binary": "AAEC/w==", "size": size, "pieces": pieces, "compress": compress}),
                );
            }
        }
    }
    messages
}

#[test]
fn rfc7692_messages_of_all_sizes_pass_compressed() {
    run(async {
        let (_server, address) = Peer::server("deflate-echo.js", &[]).await;
        let proxy = engine_modes::start(address, "").await;
        let mut plan = Plan::default();
        plan.script("all sizes", [echoed(messages_of_all_sizes())]);
        let takeover = vec![];
        let none = vec![("server_no_context_takeover", None), ("client_no_context_takeover", None)];
        for mode in MODES {
            for agreed in [&takeover, &none] {
                plan.session(mode, "all sizes", Some(agreed), Some(agreed));
            }
        }
        assert_eq!(plan.lead("sessions-client.js", &proxy).await, Led { sessions: 6, compressed: 6 });
    });
}

/// "Hello", and "Hello" again out of the window of the first (RFC 7692 §7.2.3.1 and §7.2.3.2).
fn hello_twice() -> [Frame; 2] {
    let compressed = |bytes: &[u8]| Frame { rsv1: true, ..Frame::new(Opcode::Text, bytes) };
    [compressed(b"\xf2\x48\xcd\xc9\xc9\x07\x00"), compressed(b"\xf2\x00\x11\x00\x00")]
}

const BOTH_8: &str = "; server_max_window_bits=8; client_max_window_bits=8";

fn extension(parameters: &str) -> String {
    format!("Sec-WebSocket-Extensions: permessage-deflate{parameters}\r\n")
}

/// Few can compress with a window of 8 bits: what is compressed so passes, and what is written anew is not compressed.
#[test]
fn rfc7692_7_1_2_a_window_of_8_bits_is_read_and_never_written() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = engine_modes::start(upstream.address(), "").await;
        for (offered, answered, senders) in [
            (BOTH_8, BOTH_8, &[true, false][..]),
            ("; client_max_window_bits", BOTH_8, &[true, false]),
            // A client keeps to the window it names, whatever is answered.
            ("; client_max_window_bits=8", "", &[true]),
        ] {
            for mode in MODES {
                let (asked, answer) = (extension(offered), extension(answered));
                let Session { mut client, mut upstream } =
                    Session::open_with(&proxy, &upstream, mode, &asked, &answer).await;
                for by_client in senders {
                    let (from, to) =
                        if *by_client { (&mut client, &mut upstream) } else { (&mut upstream, &mut client) };
                    for hello in hello_twice() {
                        from.send(hello.clone()).await;
                        let arrives = if mode == REPLACE { Frame::text("Hello") } else { hello };
                        assert_eq!(to.frame().await, arrives, "{mode} {offered}");
                    }
                }
            }
        }
    });
}

#[test]
fn rfc7692_7_1_2_an_offer_of_8_bits_may_be_declined_and_not_widened() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = engine_modes::start(upstream.address(), "").await;
        for mode in MODES {
            let mut session = Session::open_with(&proxy, &upstream, mode, &extension(BOTH_8), "").await;
            assert_eq!(session.client.head.field("sec-websocket-extensions"), None);
            session.client.say("uncompressed").await;
            assert_eq!(session.upstream.hear().await, "uncompressed");

            let asked = extension(BOTH_8);
            let widened = async {
                let mut server = upstream.next().await;
                let request = server.head().await;
                server.send(switching_protocols(&request, &extension("; server_max_window_bits=9"))).await;
                server.assert_closed().await;
            };
            let (response, ()) = tokio::join!(WebSocket::refused(proxy.address(), mode, &asked), widened);
            assert_eq!(response.status(), 502, "{mode}");
        }
    });
}
