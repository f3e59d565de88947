//! Requests of plugins' own to upstreams: what they come to, and that nobody else waits for them.

use std::net::SocketAddr;

use sluicegate_tests::{
    Frame, Opcode, Peer, Proxy, ProxyBuilder, RawUpstream, Session, Upstream, WebSocket, Wire, config, guest,
    run, soon,
};

const GRANTS: &str = "grants = [\"http:auth\", \"env:HOME\"]";
/// The settings by which requests are decided by `auth`.
const DECIDES: &str = "grants = [\"http:auth\", \"env:HOME\"]\nsettings = { upstream = \"auth\" }";
const TIMEOUT: &str = "the answer was not there by the deadline";

/// One worker, `app` behind it, and `auth` for the plugin.
fn proxy(app: SocketAddr, auth: SocketAddr, keys: &str) -> ProxyBuilder {
    Proxy::to(app).upstream("auth", auth).server("workers = 1").guest("caller", keys)
}

/// A proxy of an echoing server, whose plugin may ask the server of `tests/peers/auth-server.js`.
async fn asking(keys: &str) -> (Proxy, Upstream, Peer) {
    let app = Upstream::echo().await;
    let (auth, address) = Peer::server("auth-server.js", &[]).await;
    (proxy(app.address(), address, keys).start().await, app, auth)
}

async fn ask(socket: &mut WebSocket, command: &str) -> String {
    socket.say(command).await;
    socket.hear().await
}

#[test]
fn an_auth_server_decides_an_upgrade() {
    run(async {
        let (proxy, app, _auth) = asking(DECIDES).await;
        let mut ann = WebSocket::connect_with(proxy.address(), "/", "Authorization: Bearer ann\r\n").await;
        ann.assert_echo("hello").await;
        let refused = WebSocket::refused(proxy.address(), "/", "Authorization: Bearer bob\r\n").await;
        assert_eq!((refused.status(), refused.text()), (401, "who are you?\n"));
        assert_eq!(app.connections(), 1);
    });
}

/// A check that cannot be made is none that was passed.
#[test]
fn without_an_auth_server_nobody_gets_in() {
    run(async {
        let app = Upstream::echo().await;
        let auth = RawUpstream::start().await.address();
        let proxy = proxy(app.address(), auth, DECIDES).start().await;
        let refused = WebSocket::refused(proxy.address(), "/", "").await;
        assert_eq!((refused.status(), refused.text()), (503, "no server answered"));
        assert_eq!(app.connections(), 0);
        proxy.log().line(&["WARN", "caller", "auth", "plugin's request failed"]).await;
    });
}

#[test]
fn a_slow_answer_ends_at_its_deadline_and_delays_nobody_else() {
    run(async {
        let (proxy, _app, _auth) = asking(GRANTS).await;
        let mut waiting = WebSocket::connect(proxy.address(), "/").await;
        let mut other = WebSocket::connect(proxy.address(), "/").await;
        waiting.say("ask auth 2000 GET /slow ").await;
        for round in 0..200 {
            other.assert_echo(&round.to_string()).await;
        }
        assert!(!waiting.wire.has_more(), "it still waits");
        assert_eq!(waiting.hear().await, TIMEOUT);
        // Waiting was not its own running time, of which it has 10 ms.
        waiting.assert_echo("goes on").await;
    });
}

#[test]
fn a_request_waits_no_longer_than_the_plugin_has_said() {
    run(async {
        let (app, auth) = (Upstream::named("home").await, RawUpstream::start().await);
        let proxy = proxy(app.address(), auth.address(), DECIDES).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut silent = auth.next().await;
        assert_eq!(silent.head().await.target(), "/verify");
        let response = client.response().await;
        assert_eq!((response.status(), response.text()), (503, TIMEOUT));
        // Who is not waited for any more need not answer.
        silent.assert_closed().await;
    });
}

#[test]
fn a_call_ends_with_the_client_it_was_made_for() {
    run(async {
        let (app, auth) = (Upstream::named("home").await, RawUpstream::start().await);
        let proxy = proxy(app.address(), auth.address(), DECIDES).start().await;
        let client = Wire::send_to(proxy.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut silent = auth.next().await;
        silent.head().await;
        drop(client);
        silent.assert_closed().await;
    });
}

#[test]
fn messages_keep_their_order_while_one_waits() {
    run(async {
        let (auth, address) = Peer::server("auth-server.js", &[]).await;
        let app = RawUpstream::start().await;
        let proxy = proxy(app.address(), address, GRANTS).start().await;
        let mut session = Session::open(&proxy, &app).await;
        for message in
            ["first", "ask auth 5000 GET /delayed ", "third", "ask auth 5000 GET /fourth ", "fifth"]
        {
            session.client.say(message).await;
        }
        for message in ["first", "200 at last", "third", "200 /fourth", "fifth"] {
            assert_eq!(session.upstream.hear().await, message);
        }
        drop(auth);
    });
}

/// A server whose pong lies unread meanwhile is not gone.
#[test]
fn who_speaks_while_a_hook_waits_is_heard_before_it_is_judged() {
    run(async {
        let (app, auth) = (RawUpstream::start().await, RawUpstream::start().await);
        let ping = "ping = { interval = \"1s\", timeout = \"500ms\" }";
        let proxy = proxy(app.address(), auth.address(), GRANTS).route(ping).start().await;
        let mut session = Session::open(&proxy, &app).await;
        let pings = [session.client.frame().await, session.upstream.frame().await];
        session.client.say("ask auth 9000 GET / ").await;
        let mut asked = auth.next().await;
        asked.head().await;
        let [_, ping] = pings;
        assert_eq!(ping.opcode, Opcode::Ping);
        session.upstream.send(Frame::pong(ping.payload)).await;
        // What the pong had to come within passes while the hook waits: a server that does not answer, and was pinged later,
        // is given up.
        let mut silent = Session::open(&proxy, &app).await;
        let ping = silent.client.frame().await;
        silent.client.send(Frame::pong(ping.payload)).await;
        assert_eq!(silent.client.closed().await.0, Some(1014));
        asked.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(session.upstream.hear().await, "200 ok");
        session.upstream.say("well").await;
        let heard = loop {
            let frame = session.client.frame().await;
            if frame.opcode != Opcode::Ping {
                break frame;
            }
        };
        assert_eq!(heard.as_text(), "well");
    });
}

/// Many messages of one read, of which each hook waits: the session looks at the rest of the world in between.
#[test]
fn a_lifetime_ends_between_messages_whose_hooks_wait() {
    run(async {
        let (app, auth) = (RawUpstream::start().await, RawUpstream::start().await);
        let lifetime = "timeouts = { lifetime = \"1s\" }";
        let proxy = proxy(app.address(), auth.address(), GRANTS).route(lifetime).start().await;
        let mut session = Session::open(&proxy, &app).await;
        let ask = |_| Frame::text("ask auth 400 GET / ");
        session.client.send_all((0..100).map(ask)).await;
        // 40 seconds' worth of them.
        assert_eq!(session.client.closed().await.0, Some(1001));
        let mut offered = 0;
        while session.upstream.frame().await.opcode != Opcode::Close {
            offered += 1;
        }
        assert!((1..20).contains(&offered), "{offered}");
    });
}

#[test]
fn only_what_was_granted_can_be_reached() {
    run(async {
        let (proxy, app, _auth) = asking(GRANTS).await;
        let mut socket = WebSocket::connect(proxy.address(), "/").await;
        for upstream in ["app", "none", ""] {
            let answer = ask(&mut socket, &format!("ask {upstream} 1000 GET / ")).await;
            assert_eq!(answer, "the plugin was not granted this upstream", "{upstream}");
        }
        assert_eq!(app.connections(), 1);
    });
}

#[test]
fn what_cannot_be_sent_or_taken_is_told() {
    run(async {
        let (proxy, _app, _auth) = asking(GRANTS).await;
        let mut socket = WebSocket::connect(proxy.address(), "/").await;
        for (command, answer) in [
            ("ask auth 1000 get / ", "not a method, path, field or body that may be sent"),
            ("ask auth 1000 GET none ", "not a method, path, field or body that may be sent"),
            ("ask auth 9000 GET /large ", "the answer is larger than 1 MiB"),
            ("ask auth 9000 GET /broken ", "no server answered"),
            ("hold 3 auth /mib", "3145728"),
            ("times 16 auth /a", "200 /a"),
            ("times 17 auth /a", "this hook call has made as many calls as it may"),
            ("times 16 auth /b", "200 /b"),
        ] {
            assert_eq!(ask(&mut socket, command).await, answer, "{command}");
        }
    });
}

/// Answers are held beside the guest's own memory.
#[test]
fn a_plugin_that_hoards_answers_is_ended() {
    run(async {
        let (mut proxy, _app, _auth) = asking(GRANTS).await;
        let mut socket = WebSocket::connect(proxy.address(), "/").await;
        socket.say("hold 16 auth /mib").await;
        assert_eq!(socket.closed().await.0, Some(1011));
        proxy.log().line(&["WARN", "caller", "on-message", "16777216 bytes"]).await;
        proxy.assert_running();
    });
}

#[test]
fn a_request_is_framed_by_the_host_and_goes_over_kept_connections() {
    run(async {
        let app = Upstream::echo().await;
        let auth = Upstream::named("auth").await;
        let proxy = proxy(app.address(), auth.address(), GRANTS).start().await;
        let mut socket = WebSocket::connect(proxy.address(), "/").await;
        for body in ["some words", ""] {
            assert_eq!(
                ask(&mut socket, &format!("ask auth 5000 PUT /a?b={} {body}", body.len())).await,
                "200 auth"
            );
        }
        let requests = auth.requests();
        for (request, body) in requests.iter().zip(["some words", ""]) {
            assert_eq!(request.head.first_line, format!("PUT /a?b={} HTTP/1.1", body.len()));
            assert_eq!(request.head.field("host"), Some(auth.address().to_string().as_str()));
            assert!(
                !request.head.has("transfer-encoding") && !request.head.has("connection"),
                "{}",
                request.head
            );
            assert_eq!(request.body, body.as_bytes());
        }
        assert_eq!((requests.len(), auth.connections()), (2, 1));
    });
}

#[test]
fn a_server_that_speaks_http_2_is_asked_over_one_connection() {
    run(async {
        let app = Upstream::echo().await;
        let (_auth, address) = Peer::server("http2-server.js", &[]).await;
        let text = String::from("[server]\nworkers = 1\n")
            + &config::listener("")
            + &config::upstream("app", &[app.address()], "")
            + &config::upstream("auth", &[address], "http-version = \"2\"")
            + &config::plugin("caller", &guest("caller"), GRANTS)
            + &config::route("app", "plugins = [\"caller\"]");
        let proxy = Proxy::start(&text).await;
        let mut socket = WebSocket::connect(proxy.address(), "/").await;
        for words in ["some words", "more"] {
            let answer = ask(&mut socket, &format!("ask auth 5000 POST /echo {words}")).await;
            assert_eq!(answer, format!("200 {words}"));
        }
        assert_eq!(ask(&mut socket, "ask auth 5000 GET /connections ").await, "200 1");
    });
}

#[test]
fn a_server_that_is_gone_is_passed_over() {
    run(async {
        let (app, auth) = (Upstream::echo().await, Upstream::named("auth").await);
        let gone = RawUpstream::start().await.address();
        let text = config::listener("")
            + &config::upstream("app", &[app.address()], "")
            + &config::upstream("auth", &[gone, auth.address()], "")
            + &config::plugin("caller", &guest("caller"), GRANTS)
            + &config::route("app", "plugins = [\"caller\"]");
        let proxy = Proxy::start(&text).await;
        let mut socket = WebSocket::connect(proxy.address(), "/").await;
        for _ in 0..4 {
            assert_eq!(ask(&mut socket, "ask auth 5000 GET / ").await, "200 auth");
        }
        proxy.log().line(&["WARN", "auth", "server passed over"]).await;
    });
}

/// However many sessions ask, an upstream is not drowned.
#[test]
fn the_calls_of_one_plugin_at_a_time_are_bounded() {
    const IN_FLIGHT: usize = 100;
    run(async {
        let (app, auth) = (Upstream::echo().await, RawUpstream::start().await);
        let proxy = proxy(app.address(), auth.address(), GRANTS).start().await;
        let mut sockets = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..IN_FLIGHT {
            let mut socket = WebSocket::connect(proxy.address(), "/").await;
            socket.say("ask auth 30000 GET / ").await;
            let mut request = auth.next().await;
            request.head().await;
            sockets.push(socket);
            asked.push(request);
        }
        let mut late = WebSocket::connect(proxy.address(), "/").await;
        assert_eq!(ask(&mut late, "ask auth 300 GET / ").await, TIMEOUT);
        late.say("ask auth 30000 GET /late ").await;
        asked[0].send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(sockets[0].hear().await, "204 ");
        let mut next = soon("the call that waited", auth.next()).await;
        assert_eq!(next.head().await.target(), "/late");
    });
}
