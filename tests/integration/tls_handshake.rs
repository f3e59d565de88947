//! TLS with clients: which certificate they are shown, what is spoken, and how handshakes end that come to nothing.

use rustls::{HandshakeKind, ProtocolVersion, version};
use sluicegate_tests::{Proxy, RawUpstream, TlsClient, Upstream, WebSocket, Wire, handshake, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::tls_files::{NAME, TlsFiles};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: chat.example.com\r\n\r\n";

async fn start(keys: &str) -> (Proxy, Upstream) {
    let upstream = Upstream::named("app").await;
    (Proxy::to(upstream.address()).listener(keys).start().await, upstream)
}

/// The certificate that a client is shown, in DER.
fn shown(wire: &Wire) -> Vec<u8> {
    wire.tls().peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn both_versions_are_spoken_and_http_1_1_is_agreed_on() {
    run(async {
        let files = TlsFiles::new();
        let (proxy, _upstream) = start(&files.tls("")).await;
        for (version, spoken) in
            [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
        {
            let client = TlsClient::with_version(&files.authority, version);
            let mut wire = client.connect(proxy.address(), NAME).await;
            assert_eq!(wire.tls().protocol_version(), Some(spoken));
            assert_eq!(wire.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(wire.ask(REQUEST).await.text(), "app");
        }
    });
}

#[test]
fn a_lowest_version_is_kept_to() {
    run(async {
        let files = TlsFiles::new();
        let (proxy, _upstream) = start(&files.tls(", min-version = \"1.3\"")).await;
        let old = TlsClient::with_version(&files.authority, &version::TLS12);
        let error = old.try_connect(proxy.address(), NAME).await.err().unwrap().to_string();
        assert!(error.contains("ProtocolVersion"), "{error}");
        let new = TlsClient::with_version(&files.authority, &version::TLS13);
        assert_eq!(new.connect(proxy.address(), NAME).await.ask(REQUEST).await.text(), "app");
    });
}

#[test]
fn the_name_asked_for_decides_on_the_certificate() {
    run(async {
        let files = TlsFiles::new();
        files.write("wild", &files.authority.server(&["*.example.com", "example.com"]));
        files.write("other", &files.authority.server(&["other.test"]));
        let pairs = ["wild", "server", "other"].map(|name| files.pair(name, ""));
        let (proxy, _upstream) = start(&format!("tls = {{ certificates = [{}] }}", pairs.join(", "))).await;
        let client = files.client();
        let mut shown_for = Vec::new();
        // An exact name comes before a wildcard, whatever their order.
        for name in ["any.example.com", "example.com", "ANY.Example.com", NAME, "other.test"] {
            shown_for.push(shown(&client.connect(proxy.address(), name).await));
        }
        assert_eq!(shown_for[0], shown_for[1]);
        assert_eq!(shown_for[0], shown_for[2]);
        assert_ne!(shown_for[0], shown_for[3]);
        assert_ne!(shown_for[3], shown_for[4]);
        // A wildcard is for one label (RFC 9525 §6.3), and who has none is shown the first, which is for another name.
        for unknown in ["a.b.example.com", "elsewhere.test"] {
            let error = client.try_connect(proxy.address(), unknown).await.err().unwrap().to_string();
            assert!(error.contains("*.example.com") || error.contains("NotValidForName"), "{error}");
        }
    });
}

#[test]
fn sessions_are_resumed() {
    run(async {
        let files = TlsFiles::new();
        let (proxy, _upstream) = start(&files.tls("")).await;
        for version in [&version::TLS12, &version::TLS13] {
            let client = TlsClient::with_version(&files.authority, version);
            let mut kinds = Vec::new();
            for _ in 0..3 {
                let mut wire = client.connect(proxy.address(), NAME).await;
                // Tickets of TLS 1.3 come after the handshake (RFC 8446 §4.6.1).
                assert_eq!(wire.ask(REQUEST).await.text(), "app");
                kinds.push(wire.tls().handshake_kind().unwrap());
            }
            assert_eq!(kinds[1..], [HandshakeKind::Resumed; 2], "{kinds:?}");
        }
    });
}

#[test]
fn rfc7301_3_2_a_client_without_a_protocol_in_common_is_refused() {
    run(async {
        let files = TlsFiles::new();
        let (proxy, _upstream) = start(&files.tls("")).await;
        let client = files.client();
        let mut silent = client.clone().with_protocols(&[]).connect(proxy.address(), NAME).await;
        assert_eq!(silent.tls().alpn_protocol(), None);
        assert_eq!(silent.ask(REQUEST).await.text(), "app");
        let strange = client.clone().with_protocols(&["ftp"]).try_connect(proxy.address(), NAME).await;
        let error = strange.err().unwrap().to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
    });
}

#[test]
fn plain_http_to_the_port_is_told_so() {
    run(async {
        let files = TlsFiles::new();
        let (proxy, _upstream) = start(&files.tls("")).await;
        let mut wire = Wire::connect(proxy.address()).await;
        let response = wire.ask(REQUEST).await;
        assert_eq!(response.status(), 400);
        assert_eq!(response.text(), "400 Bad Request: plain HTTP was sent to a port that speaks https\n");
        assert_eq!(response.head.field("connection"), Some("close"));
        wire.assert_closed().await;
    });
}

#[test]
fn what_is_no_handshake_ends_the_connection_and_nothing_else() {
    run(async {
        let files = TlsFiles::new();
        let upstream = Upstream::named("app").await;
        let mut proxy =
            Proxy::to(upstream.address()).server("workers = 1").listener(&files.tls("")).start().await;
        for nonsense in
            [&b"\x16\x03\x01\xff\xff\x01"[..], b"\0\0\0\0\0\0\0\0", b"\x16\x03\x01\0\x05hello", b"\x80"]
        {
            let mut wire = Wire::send_to(proxy.address(), nonsense).await;
            wire.finish().await;
            // An alert (RFC 8446 §6) at most.
            assert!(wire.rest().await.len() <= 7);
        }
        // A client that thinks better of it.
        let wire = Wire::connect(proxy.address()).await;
        wire.reset();
        let mut wire = files.client().connect(proxy.address(), NAME).await;
        assert_eq!(wire.ask(REQUEST).await.text(), "app");
        proxy.assert_running();
    });
}

#[test]
fn a_handshake_that_takes_too_long_is_ended_and_one_that_does_not_is_not() {
    run(async {
        let files = TlsFiles::new();
        let keys = format!("{}\ntimeouts = {{ tls-handshake = \"1s\", header = \"60s\" }}", files.tls(""));
        let (proxy, _upstream) = start(&keys).await;
        let mut quick = files.client().connect(proxy.address(), NAME).await;
        for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
            let mut slow = Wire::send_to(proxy.address(), begun).await;
            slow.assert_closed().await;
        }
        // Over the time for a handshake, and it was over before: only requests are waited for.
        assert_eq!(quick.ask(REQUEST).await.text(), "app");
    });
}

#[test]
fn rfc8446_6_1_the_end_is_announced() {
    run(async {
        let files = TlsFiles::new();
        let (proxy, _upstream) = start(&files.tls("")).await;
        let mut wire = files.client().connect(proxy.address(), NAME).await;
        wire.send("GET / HTTP/1.1\r\nHost: chat.example.com\r\nConnection: close\r\n\r\n").await;
        assert_eq!(wire.response().await.text(), "app");
        // An end without close_notify would be an error here.
        assert_eq!(wire.transport().read(&mut [0; 1]).await.unwrap(), 0);
    });
}

#[test]
fn draining_does_not_wait_for_handshakes() {
    run(async {
        let files = TlsFiles::new();
        let keys = format!("{}\ntimeouts = {{ tls-handshake = \"60s\" }}", files.tls(""));
        let (mut proxy, _upstream) = start(&keys).await;
        let mut begun = Wire::send_to(proxy.address(), b"\x16\x03\x01").await;
        let mut open = files.client().connect(proxy.address(), NAME).await;
        assert_eq!(open.ask(REQUEST).await.text(), "app");
        proxy.terminate().await;
        begun.assert_closed().await;
        open.assert_closed().await;
        assert!(proxy.ended().await.success());
    });
}

#[test]
fn a_session_ends_with_its_close_frames_and_an_announced_end() {
    run(async {
        let files = TlsFiles::new();
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).listener(&files.tls("")).start().await;
        let mut wire = files.client().connect(proxy.address(), NAME).await;
        wire.send(handshake("/", "")).await;
        let (mut client, mut server) =
            tokio::join!(WebSocket::upgraded(wire), async { WebSocket::accept(upstream.next().await).await });
        client.say("over TLS").await;
        assert_eq!(server.hear().await, "over TLS");
        server.send(sluicegate_tests::Frame::close(4000, "enough")).await;
        assert_eq!(client.closed().await, (Some(4000), "enough".to_owned()));
        client.send(sluicegate_tests::Frame::close(4000, "")).await;
        assert_eq!(server.closed().await.0, Some(4000));
        assert_eq!(client.wire.transport().read(&mut [0; 1]).await.unwrap(), 0);
        client.wire.transport().shutdown().await.unwrap();
    });
}
