//! Clients that go away, or send rubbish, at any time: what was begun for them ends, and nothing else does.

use sluicegate_tests::{Proxy, RawUpstream, Upstream, Wire, handshake, run};

use crate::ways::{BothWays, WAYS};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_request_whose_client_left_is_given_up() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        for request in [GET.to_owned(), handshake("/", "")] {
            for reset in [false, true] {
                let client = Wire::send_to(proxy.address(), &request).await;
                let mut server = upstream.next().await;
                server.head().await;
                if reset {
                    client.reset()
                } else {
                    drop(client)
                }
                server.assert_closed().await;
            }
        }
    });
}

#[test]
fn an_answer_whose_client_left_is_given_up() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut server = upstream.next().await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nthe first of many").await;
        client.head().await;
        drop(client);
        while server.try_send(vec![b'x'; 64 << 10]).await {}
    });
}

#[test]
fn a_request_body_that_breaks_off_does_not_look_complete() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        for framing in ["Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
        {
            let head = "POST / HTTP/1.1\r\nHost: a\r\n";
            let client = Wire::send_to(proxy.address(), format!("{head}{framing}")).await;
            let mut server = upstream.next().await;
            server.head().await;
            drop(client);
            let rest = String::from_utf8(server.rest().await).unwrap();
            assert!(!rest.contains("0\r\n\r\n"), "{rest}");
        }
    });
}

#[test]
fn a_client_that_stops_in_its_request_body_is_408() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).route("timeouts.read = \"500ms\"").start().await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf";
        let mut client = Wire::send_to(proxy.address(), head).await;
        let mut server = upstream.next().await;
        server.head().await;
        assert_eq!(client.response().await.status(), 408);
        client.assert_closed().await;
    });
}

/// Bytes that look random and are the same each time.
struct Rubbish(u64);

impl Rubbish {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.next() % 600;
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Something good, with a few bytes of it changed.
    fn spoil(&mut self, good: &str) -> Vec<u8> {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..1 + self.next() % 4 {
            let at = self.next() as usize % bytes.len();
            bytes[at] = self.next() as u8;
        }
        bytes
    }
}

#[test]
fn rubbish_instead_of_requests_harms_nobody() {
    run(async {
        let upstream = Upstream::named("home").await;
        let mut proxy = Proxy::to(upstream.address()).start().await;
        let mut rubbish = Rubbish(0x5eed);
        for round in 0..300 {
            let bytes = match round % 3 {
                0 => rubbish.bytes(),
                1 => rubbish.spoil(
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
                ),
                _ => rubbish.spoil(&handshake("/", "Sec-WebSocket-Protocol: a, b\r\n")),
            };
            let mut client = Wire::send_to(proxy.address(), bytes).await;
            client.finish().await;
            // Whatever the answer is: there is an end to it.
            client.rest().await;
        }
        assert_eq!(Wire::connect(proxy.address()).await.ask(GET).await.text(), "home");
        proxy.assert_running();
    });
}

#[test]
fn rubbish_instead_of_frames_harms_nobody() {
    run(async {
        let mut both = BothWays::start("").await;
        let mut rubbish = Rubbish(0xf00d);
        for round in 0..200 {
            let mut session = both.session(WAYS[round % 2]).await;
            let (from, to) = match round % 4 {
                0 | 1 => (&mut session.client, &mut session.upstream),
                _ => (&mut session.upstream, &mut session.client),
            };
            from.wire.send(rubbish.bytes()).await;
            from.wire.finish().await;
            to.wire.finish().await;
            from.wire.rest().await;
            to.wire.rest().await;
        }
        let mut session = both.session(WAYS[0]).await;
        session.client.say("still here").await;
        assert_eq!(session.upstream.hear().await, "still here");
        both.proxy.assert_running();
    });
}
