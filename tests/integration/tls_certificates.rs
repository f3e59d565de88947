//! Certificates on disk: those that `check` refuses, and those that are replaced while the proxy serves.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use futures_util::future::join_all;
use sluicegate_tests::{
    Authority, Proxy, TlsClient, Upstream, WebSocket, eventually, handshake, run, sluicegate,
};
use tokio::process::Command;

use crate::tls_files::{NAME, TlsFiles};

/// Sessions that stay open while certificates are replaced, and connections that are made meanwhile.
const SESSIONS: usize = 500;
const CONNECTS: usize = 1_000;
/// How many handshakes there are at once.
const AT_ONCE: usize = 20;
/// How often certificates are replaced.
const SWAPS: usize = 8;

/// What `check` and `run` say of a listener with these keys, without the folder.
async fn refusal(files: &TlsFiles, keys: &str) -> String {
    let folder = files.folder();
    let text =
        format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{keys}\n[[route]]\nfiles = {{ root = \".\" }}\n");
    fs::write(folder.join("sluicegate.toml"), text).unwrap();
    let mut texts = Vec::new();
    for command in ["check", "run"] {
        let ended = sluicegate(folder, &[command, "--config", "sluicegate.toml"]).await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        texts.push(ended.stderr.trim_end().replace(&format!("{}/", folder.display()), ""));
    }
    assert_eq!(texts[0], texts[1]);
    texts.swap_remove(0)
}

#[test]
fn pairs_that_cannot_serve_are_refused_with_the_file_named() {
    run(async {
        let files = TlsFiles::new();
        let prefix = "listener 127.0.0.1:0: ";
        let tls = files.tls("");

        let good = files.authority.server(&[NAME]);
        fs::write(files.path("server-key.pem"), &good.key).unwrap();
        assert_eq!(
            refusal(&files, &tls).await,
            format!(
                "{prefix}server-key.pem: expected the private key of the first certificate in server.pem, found another's"
            )
        );

        files.write("server", &files.authority.expired_server(&[NAME]));
        let text = refusal(&files, &tls).await;
        let expected =
            "server.pem: expected a certificate that is valid now, found one that was until Jan  1";
        assert!(text.starts_with(&format!("{prefix}{expected}")), "{text}");

        files.write("server", &files.authority.future_server(&[NAME]));
        let text = refusal(&files, &tls).await;
        let expected =
            "server.pem: expected a certificate that is valid now, found one that will be from Jan  1";
        assert!(text.starts_with(&format!("{prefix}{expected}")), "{text}");

        let contents = [
            ("", "server.pem: expected certificates in PEM, found none"),
            (&good.key, "server.pem: expected certificates in PEM, found none"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "server.pem: expected certificates in PEM, found "),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "server.pem: expected certificates (RFC 5280), found one that is not: ",
            ),
        ];
        for (content, expected) in contents {
            fs::write(files.path("server.pem"), content).unwrap();
            let text = refusal(&files, &tls).await;
            assert!(text.starts_with(&format!("{prefix}{expected}")), "{text}");
        }

        files.write("server", &good);
        for (content, found) in [(good.certificate.as_str(), "none"), ("", "none")] {
            fs::write(files.path("server-key.pem"), content).unwrap();
            let expected =
                "expected a private key in PEM (PKCS#8, PKCS#1 or SEC 1) without a passphrase, found";
            assert_eq!(refusal(&files, &tls).await, format!("{prefix}server-key.pem: {expected} {found}"));
        }
    });
}

#[test]
fn authorities_that_cannot_be_believed_are_refused() {
    run(async {
        let files = TlsFiles::new();
        let keys = files.tls(&files.clients("required"));
        fs::write(files.path("ca.pem"), "nothing\n").unwrap();
        assert_eq!(
            refusal(&files, &keys).await,
            "listener 127.0.0.1:0: ca.pem: expected certificates in PEM, found none"
        );
    });
}

#[test]
fn the_example_makes_its_certificate_and_is_fine() {
    run(async {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/nginx-guide");
        let made = Command::new("bash").arg(folder.join("tls.sh")).status().await.unwrap();
        assert!(made.success());
        let checked = sluicegate(&folder, &["check", "--config", "tls.toml"]).await;
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    });
}

/// Replace the folder `live`, a link, by one with another certificate, which happens in one step: on a busy machine much
/// time can pass between two.
fn swap(files: &TlsFiles, round: usize) {
    let folder = files.path(&format!("round-{round}"));
    fs::create_dir(&folder).unwrap();
    files.authority.server(&[NAME]).write(&folder, "server");
    symlink(&folder, files.path("next")).unwrap();
    fs::rename(files.path("next"), files.path("live")).unwrap();
}

async fn shown(client: &TlsClient, proxy: &Proxy) -> Vec<u8> {
    let wire = client.connect(proxy.address(), NAME).await;
    wire.tls().peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn certificates_are_replaced_under_open_sessions_and_connects_without_a_failure() {
    run(async {
        let files = TlsFiles::new();
        let upstream = Upstream::echo().await;
        swap(&files, 0);
        let keys = format!("tls = {}", files.pair("live/server", ", reload-interval = \"100ms\""));
        let proxy = Proxy::to(upstream.address()).listener(&keys).start().await;
        let client = files.client();
        let open = async || {
            let mut wire = client.connect(proxy.address(), NAME).await;
            wire.send(handshake("/", "")).await;
            WebSocket::upgraded(wire).await
        };
        let mut sessions = Vec::new();
        while sessions.len() < SESSIONS {
            sessions.extend(join_all((0..AT_ONCE).map(|_| open())).await);
        }
        // Every connection of another make, so that each sees a certificate.
        let fresh = async || shown(&files.client(), &proxy).await;
        let mut seen = vec![fresh().await];
        let connecting = async {
            let mut made = 0;
            while made < CONNECTS {
                for certificate in join_all((0..AT_ONCE).map(|_| fresh())).await {
                    made += 1;
                    if !seen.contains(&certificate) {
                        seen.push(certificate);
                    }
                }
            }
            made
        };
        let swapping = async {
            for loaded in 1..=SWAPS {
                swap(&files, loaded);
                let all = || (proxy.log().count(&["certificates loaded anew"]) >= loaded).then_some(());
                eventually("the next certificate", all).await;
            }
        };
        let (made, ()) = tokio::join!(connecting, swapping);
        assert_eq!(made, CONNECTS);
        proxy.log().assert_none(&["certificates not loaded"]);
        // The last that was put there is the one in use.
        let last = fresh().await;
        assert_ne!(last, seen[0]);
        for (at, session) in sessions.iter_mut().enumerate() {
            session.assert_echo(&format!("session {at} is still open")).await;
        }
    });
}

#[test]
fn a_broken_pair_leaves_the_old_one_in_service() {
    run(async {
        let files = TlsFiles::new();
        let upstream = Upstream::named("app").await;
        let keys = files.tls(", reload-interval = \"100ms\"");
        let proxy = Proxy::to(upstream.address()).listener(&keys).start().await;
        let before = shown(&files.client(), &proxy).await;
        let refused = ["certificates not loaded, those in use stay", "server-key.pem", "found another's"];

        fs::write(files.path("server-key.pem"), files.authority.server(&[NAME]).key).unwrap();
        proxy.log().line(&refused).await;
        assert_eq!(shown(&files.client(), &proxy).await, before);

        files.write("server", &files.authority.expired_server(&[NAME]));
        proxy.log().line(&["certificates not loaded", "valid now"]).await;
        assert_eq!(shown(&files.client(), &proxy).await, before);

        fs::remove_file(files.path("server.pem")).unwrap();
        proxy.log().line(&["certificates not loaded", "expected a file that can be read"]).await;
        assert_eq!(shown(&files.client(), &proxy).await, before);

        files.write("server", &files.authority.server(&[NAME]));
        proxy.log().line(&["certificates loaded anew"]).await;
        assert_ne!(shown(&files.client(), &proxy).await, before);
        // What is wrong is said once, and not at each look.
        assert_eq!(proxy.log().count(&refused), 1);
    });
}

#[test]
fn another_authority_ends_the_sessions_that_could_be_resumed() {
    run(async {
        let files = TlsFiles::new();
        let upstream = Upstream::named("app").await;
        let keys = files.tls(&format!("{}, reload-interval = \"100ms\"", files.clients("required")));
        let proxy = Proxy::to(upstream.address()).listener(&keys).start().await;
        let ann = TlsClient::with_certificate(&files.authority, &files.authority.client("Ann"));
        let request = "GET / HTTP/1.1\r\nHost: chat.example.com\r\n\r\n";
        assert_eq!(ann.connect(proxy.address(), NAME).await.ask(request).await.text(), "app");

        let other = Authority::new("Other CA");
        replace(&files.path("ca.pem"), &other.pem());
        proxy.log().line(&["certificates loaded anew"]).await;
        let mut wire = ann.connect(proxy.address(), NAME).await;
        wire.try_send(request).await;
        assert_eq!(wire.rest().await, b"");
        assert_eq!(upstream.requests().len(), 1);
    });
}

fn replace(file: &Path, content: &str) {
    let next = file.with_extension("next");
    fs::write(&next, content).unwrap();
    fs::rename(next, file).unwrap();
}
