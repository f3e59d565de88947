//! Clients that show who they are, and those that only say so.

use rustls::{HandshakeKind, ProtocolVersion, version};
use sluicegate_tests::{Authority, Proxy, TlsClient, Upstream, Wire, run};

use crate::tls_files::{NAME, TlsFiles};

const FORGED: &str = "GET / HTTP/1.1\r\nHost: chat.example.com\r\nX-Client-Cert-Subject: CN=admin\r\n\
                      X-Client-Cert-Fingerprint: 00\r\nx-client-cert-subject: CN=root\r\n\r\n";

async fn start(keys: &str) -> (Proxy, Upstream) {
    let upstream = Upstream::named("app").await;
    (Proxy::to(upstream.address()).listener(keys).start().await, upstream)
}

/// In TLS 1.3 a client is done before the server has looked at its certificate: it hears of it when it reads.
async fn assert_refused(client: &TlsClient, proxy: &Proxy, alert: &str) {
    let error = match client.try_connect(proxy.address(), NAME).await {
        Err(error) => error,
        Ok(mut wire) => {
            use tokio::io::AsyncReadExt as _;
            wire.transport().read(&mut [0; 1]).await.expect_err("a refusal")
        }
    };
    assert!(error.to_string().contains(alert), "{error}");
}

fn told(upstream: &Upstream) -> (Option<String>, Option<String>) {
    let requests = upstream.requests();
    let head = &requests.last().unwrap().head;
    let field = |name| head.field(name).map(str::to_owned);
    (field("x-client-cert-subject"), field("x-client-cert-fingerprint"))
}

#[test]
fn a_certificate_is_told_to_the_upstream_and_no_other_word_is_believed() {
    run(async {
        let files = TlsFiles::new();
        let (proxy, upstream) = start(&files.tls(&files.clients("required"))).await;
        let ann = files.authority.client("Ann, of course");
        let client = TlsClient::with_certificate(&files.authority, &ann);
        let mut subjects = Vec::new();
        for _ in 0..2 {
            let mut wire = client.connect(proxy.address(), NAME).await;
            assert_eq!(wire.ask(FORGED).await.text(), "app");
            subjects.push((wire.tls().handshake_kind().unwrap(), told(&upstream)));
        }
        let (subject, fingerprint) = subjects[0].1.clone();
        assert_eq!(subject.as_deref(), Some(r"CN=Ann\, of course,O=Sluicegate"));
        let fingerprint = fingerprint.unwrap();
        assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
        // A session that is resumed is the same client's.
        assert_eq!(subjects[1].0, HandshakeKind::Resumed);
        assert_eq!(subjects[0].1, subjects[1].1);
    });
}

#[test]
fn plugins_see_it_whole() {
    run(async {
        let files = TlsFiles::new();
        let keys = files.tls(&files.clients("optional"));
        let upstream = Upstream::named("app").await;
        let proxy = Proxy::to(upstream.address()).listener(&keys).guest("recorder", "").start().await;
        let nobody = files.client();
        assert_eq!(nobody.connect(proxy.address(), NAME).await.ask(FORGED).await.text(), "app");
        let ann = TlsClient::with_certificate(&files.authority, &files.authority.client("Ann"));
        assert_eq!(ann.connect(proxy.address(), NAME).await.ask(FORGED).await.text(), "app");
        let fingerprint = told(&upstream).1.unwrap();
        let line = proxy.log().line(&["shown ClientCertificate"]).await;
        for word in [
            "subject: \"CN=Ann,O=Sluicegate\"",
            "issuer: \"CN=Test CA,O=Sluicegate\"",
            "serial: \"",
            &format!("sha256_fingerprint: {fingerprint:?}"),
            "verified: true",
        ] {
            assert!(line.contains(word), "{word} in {line}");
        }
        assert_eq!(proxy.log().count(&["shown"]), 1);
    });
}

#[test]
fn without_one_that_is_required_nobody_enters() {
    run(async {
        let files = TlsFiles::new();
        let (proxy, upstream) = start(&files.tls(&files.clients("required"))).await;
        for version in [&version::TLS12, &version::TLS13] {
            let nobody = TlsClient::with_version(&files.authority, version);
            let alert =
                if version.version == ProtocolVersion::TLSv1_3 { "CertificateRequired" } else { "alert" };
            assert_refused(&nobody, &proxy, alert).await;
        }
        // By another authority of the same name.
        let stranger = Authority::new("Test CA").client("Ann");
        assert_refused(&TlsClient::with_certificate(&files.authority, &stranger), &proxy, "alert").await;
        // Of a server, and for nothing else.
        let server = files.authority.server(&["chat.example.com"]);
        assert_refused(&TlsClient::with_certificate(&files.authority, &server), &proxy, "alert").await;
        assert_eq!(upstream.requests(), []);
    });
}

#[test]
fn one_that_is_optional_is_shown_or_not_and_never_wrong() {
    run(async {
        let files = TlsFiles::new();
        let (proxy, upstream) = start(&files.tls(&files.clients("optional"))).await;
        assert_eq!(files.client().connect(proxy.address(), NAME).await.ask(FORGED).await.text(), "app");
        assert_eq!(told(&upstream), (None, None));
        let ann = TlsClient::with_certificate(&files.authority, &files.authority.client("Ann"));
        assert_eq!(ann.connect(proxy.address(), NAME).await.ask(FORGED).await.text(), "app");
        assert_eq!(told(&upstream).0.as_deref(), Some("CN=Ann,O=Sluicegate"));
        let stranger = Authority::new("Test CA").client("Ann");
        assert_refused(&TlsClient::with_certificate(&files.authority, &stranger), &proxy, "alert").await;
    });
}

#[test]
fn forged_words_are_removed_without_tls_and_where_nobody_is_asked() {
    run(async {
        let (proxy, upstream) = start("").await;
        assert_eq!(Wire::connect(proxy.address()).await.ask(FORGED).await.text(), "app");
        assert_eq!(told(&upstream), (None, None));
        let files = TlsFiles::new();
        let (proxy, upstream) = start(&files.tls("")).await;
        let ann = TlsClient::with_certificate(&files.authority, &files.authority.client("Ann"));
        assert_eq!(ann.connect(proxy.address(), NAME).await.ask(FORGED).await.text(), "app");
        assert_eq!(told(&upstream), (None, None));
    });
}
