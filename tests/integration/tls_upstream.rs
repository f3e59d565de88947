//! TLS with the servers behind the proxy.

use std::fs;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sluicegate_tests::{
    Authority, Frame, Proxy, TlsServer, Upstream, WebSocket, Wire, config, run, scratch, sluicegate,
};

use crate::tls_files::{NAME, TlsFiles};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: chat.example.com\r\n\r\n";

/// A proxy in front of a server, with these keys in the upstream's `tls`.
async fn start(server: &TlsServer, keys: &str) -> Proxy {
    let address = server.address();
    let upstream =
        format!("[[upstream]]\nname = \"app\"\nservers = [\"https://{address}\"]\ntls = {{ {keys} }}\n");
    Proxy::start(&[config::listener(""), upstream, config::route("app", "")].concat()).await
}

fn ca(files: &TlsFiles) -> String {
    format!("ca = {:?}", files.path("ca.pem"))
}

/// What the log says of the only server.
async fn passed_over(proxy: &Proxy, why: &str) {
    let response = Wire::connect(proxy.address()).await.ask(REQUEST).await;
    assert_eq!(response.status(), 502);
    assert_eq!(response.text(), "502 Bad Gateway\n");
    proxy.log().line(&["server passed over", why]).await;
}

#[test]
fn a_server_of_the_right_name_and_authority_is_spoken_to() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &["127.0.0.1"]).await;
        let proxy = start(&server, &ca(&files)).await;
        let (response, request) =
            tokio::join!(async { Wire::connect(proxy.address()).await.ask(REQUEST).await }, async {
                let mut wire = server.next().await.unwrap();
                assert_eq!(wire.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
                let request = wire.request().await.unwrap();
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await;
                request
            });
        assert_eq!(response.text(), "secret");
        // What the client came by, not what the proxy goes on by.
        assert_eq!(request.head.field("x-forwarded-proto"), Some("http"));
    });
}

#[test]
fn a_server_nobody_vouches_for_is_refused() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &["127.0.0.1"]).await;
        // Those that the system trusts, and another authority of the same name.
        let other = TlsFiles::new();
        for keys in [String::new(), ca(&other)] {
            let proxy = start(&server, &keys).await;
            let (_, refused) = tokio::join!(passed_over(&proxy, "invalid peer certificate"), server.next());
            assert!(refused.is_err());
        }
    });
}

#[test]
fn a_server_of_another_name_is_refused_unless_it_is_the_one_asked_for() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &[NAME]).await;
        let proxy = start(&server, &ca(&files)).await;
        let (_, refused) = tokio::join!(passed_over(&proxy, "not valid for name"), server.next());
        assert!(refused.is_err());

        let proxy = start(&server, &format!("{}, server-name = {NAME:?}", ca(&files))).await;
        let (response, ()) =
            tokio::join!(async { Wire::connect(proxy.address()).await.ask(REQUEST).await }, answer(&server));
        assert_eq!(response.status(), 200);
    });
}

#[test]
fn anybody_is_spoken_to_where_that_is_asked_for() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &["elsewhere.test"]).await;
        let proxy = start(&server, "verify = false").await;
        let (response, ()) =
            tokio::join!(async { Wire::connect(proxy.address()).await.ask(REQUEST).await }, answer(&server));
        assert_eq!(response.status(), 200);
        proxy.log().line(&["WARN", "not verified"]).await;
    });
}

#[test]
fn the_proxy_shows_its_own_certificate_where_it_is_asked() {
    run(async {
        let files = TlsFiles::new();
        files.write("proxy", &files.authority.client("proxy"));
        let server = TlsServer::asking(&files.authority, &["127.0.0.1"]).await;
        let pair = files.pair("proxy", "");
        let pair = pair.trim_matches(['{', '}', ' ']);
        let proxy = start(&server, &format!("{}, {pair}", ca(&files))).await;
        let (response, shown) =
            tokio::join!(async { Wire::connect(proxy.address()).await.ask(REQUEST).await }, async {
                let mut wire = server.next().await.unwrap();
                wire.request().await.unwrap();
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                wire.tls().peer_certificates().unwrap()[0].to_vec()
            });
        assert_eq!(response.status(), 200);
        assert_eq!(shown, CertificateDer::from_pem_file(files.path("proxy.pem")).unwrap().to_vec());

        let proxy = start(&server, &ca(&files)).await;
        let response = async { Wire::connect(proxy.address()).await.ask(REQUEST).await };
        let (response, refused) = tokio::join!(response, server.next());
        assert_eq!(response.status(), 502);
        assert!(refused.is_err());
    });
}

#[test]
fn a_session_over_tls_on_both_sides() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &["127.0.0.1"]).await;
        let upstream = format!(
            "[[upstream]]\nname = \"app\"\nservers = [\"wss://{}\"]\ntls = {{ {} }}\n",
            server.address(),
            ca(&files)
        );
        let parts = [config::listener(&files.tls("")), upstream, config::route("app", "")];
        let proxy = Proxy::start(&parts.concat()).await;
        let mut wire = files.client().connect(proxy.address(), NAME).await;
        wire.send(sluicegate_tests::handshake("/", "")).await;
        let (mut client, mut server) = tokio::join!(WebSocket::upgraded(wire), async {
            WebSocket::accept(server.next().await.unwrap()).await
        });
        let large = "x".repeat(900 << 10);
        for text in ["a", &large, "b"] {
            let (_, heard) = tokio::join!(client.say(text), server.hear());
            assert!(heard == text);
            let (_, heard) = tokio::join!(server.say(text), client.hear());
            assert!(heard == text);
        }
        client.send(Frame::close(1000, "")).await;
        assert_eq!(server.closed().await.0, Some(1000));
    });
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &["127.0.0.1"]).await;
        let text = format!(
            "{}[[upstream]]\nname = \"app\"\nservers = [\"https://{}\"]\ntls = {{ {} }}\nproxy-protocol = \"v1\"\n{}",
            config::listener(""),
            server.address(),
            ca(&files),
            config::route("app", "")
        );
        let proxy = Proxy::start(&text).await;
        let (response, line) =
            tokio::join!(async { Wire::connect(proxy.address()).await.ask(REQUEST).await }, async {
                let (line, mut wire) = server.next_after_line().await;
                wire.request().await.unwrap();
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                line
            });
        assert_eq!(response.status(), 200);
        assert!(line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{line}");
    });
}

#[test]
fn connections_over_tls_are_kept() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &["127.0.0.1"]).await;
        let proxy = start(&server, &ca(&files)).await;
        let mut client = Wire::connect(proxy.address()).await;
        let ((), ()) = tokio::join!(
            async {
                for _ in 0..3 {
                    assert_eq!(client.ask(REQUEST).await.status(), 200);
                }
            },
            async {
                let mut wire = server.next().await.unwrap();
                for _ in 0..3 {
                    wire.request().await.unwrap();
                    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        );
    });
}

#[test]
fn connections_are_kept_over_a_reload_unless_the_files_are_others() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &["127.0.0.1"]).await;
        let proxy = start(&server, &ca(&files)).await;
        let mut client = Wire::connect(proxy.address()).await;
        let answer = async |wire: &mut Wire| {
            wire.request().await.unwrap();
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        };
        let first = async {
            let mut wire = server.next().await.unwrap();
            answer(&mut wire).await;
            wire
        };
        let (mut wire, response) = tokio::join!(first, client.ask(REQUEST));
        assert_eq!(response.status(), 200);

        // Written anew, and the same.
        fs::write(files.path("ca.pem"), files.authority.pem()).unwrap();
        proxy.reload().await;
        let ((), response) = tokio::join!(answer(&mut wire), client.ask(REQUEST));
        assert_eq!(response.status(), 200);

        fs::write(files.path("ca.pem"), Authority::new("Other CA").pem()).unwrap();
        proxy.reload().await;
        let (response, refused) = tokio::join!(client.ask(REQUEST), server.next());
        assert!(refused.is_err());
        assert_eq!(response.status(), 502);
    });
}

#[test]
fn health_is_asked_for_over_tls() {
    run(async {
        let files = TlsFiles::new();
        let server = TlsServer::start(&files.authority, &["127.0.0.1"]).await;
        let text = format!(
            "{}[[upstream]]\nname = \"app\"\nservers = [\"https://{}\"]\ntls = {{ {} }}\n\
             health = {{ http = {{ path = \"/health\" }}, interval = \"100ms\", rise = 1, fall = 1 }}\n{}",
            config::listener(""),
            server.address(),
            ca(&files),
            config::route("app", "")
        );
        let proxy = Proxy::start(&text).await;
        for (status, said) in [("503 Service Unavailable", "server is down"), ("200 OK", "server is up")] {
            let mut wire = server.next().await.unwrap();
            let request = wire.request().await.unwrap();
            assert_eq!(request.head.field("host"), Some(server.address().to_string().as_str()));
            wire.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
            proxy.log().line(&[said]).await;
        }
    });
}

#[test]
fn what_cannot_be_used_is_refused_with_the_upstream_and_the_file_named() {
    run(async {
        let files = TlsFiles::new();
        let folder = scratch();
        fs::write(files.path("server-key.pem"), Authority::new("Other").server(&[NAME]).key).unwrap();
        let pair = files.pair("server", "");
        let text = format!(
            "{}[[upstream]]\nname = \"app\"\nservers = [\"https://127.0.0.1:1\"]\ntls = {pair}\n{}",
            config::listener(""),
            config::route("app", "")
        );
        fs::write(folder.path().join("sluicegate.toml"), text).unwrap();
        let checked = sluicegate(folder.path(), &["check", "--config", "sluicegate.toml"]).await;
        assert_eq!(checked.code, Some(2));
        let expected = format!(
            "upstream `app`: {}: expected the private key of the first certificate in {}, found another's",
            files.path("server-key.pem").display(),
            files.path("server.pem").display()
        );
        assert_eq!(checked.stderr.trim_end(), expected);
    });
}

#[test]
fn plain_servers_stay_plain() {
    run(async {
        let upstream = Upstream::named("plain").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        assert_eq!(Wire::connect(proxy.address()).await.ask(REQUEST).await.text(), "plain");
    });
}

async fn answer(server: &TlsServer) {
    let mut wire = server.next().await.unwrap();
    wire.request().await.unwrap();
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
}
