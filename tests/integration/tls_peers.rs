//! wss with clients of other makes: curl, Node, Python and a browser.

use serde_json::json;
use sluicegate_tests::{Peer, Proxy, RawUpstream, Upstream, WebSocket, run, soon};
use tokio::process::Command;

use crate::engine_clients::demo;
use crate::tls_files::{NAME, TlsFiles};

/// With a certificate for the address, too, which is what some peers connect to.
fn files() -> TlsFiles {
    let files = TlsFiles::new();
    files.write("server", &files.authority.server(&[NAME, "127.0.0.1"]));
    files
}

#[test]
fn curl_sees_the_101() {
    run(async {
        let files = files();
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).listener(&files.tls("")).start().await;
        let port = proxy.address().port();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--http1.1", "--max-time", "20", "--cacert"])
            .arg(files.path("ca.pem"))
            .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")])
            .args([
                "-H",
                "Connection: Upgrade",
                "-H",
                "Upgrade: websocket",
                "-H",
                "Sec-WebSocket-Version: 13",
            ])
            .args(["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
            .arg(format!("https://{NAME}:{port}/"))
            .kill_on_drop(true);
        let (output, ()) = tokio::join!(soon("the end of curl", curl.output()), async {
            let mut server = WebSocket::accept(upstream.next().await).await;
            server.send(sluicegate_tests::Frame::close(1000, "")).await;
            // What the proxy answers for curl, which knows no frames.
            drop(server.wire.rest().await);
        });
        let output = output.unwrap();
        let (told, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(told.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{told}{errors}");
        assert!(told.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{told}");
    });
}

#[test]
fn node_and_python_talk_over_wss() {
    run(async {
        let files = files();
        let upstream = Upstream::echo().await;
        let proxy = Proxy::to(upstream.address()).listener(&files.tls("")).guest("forward", "").start().await;
        let url = format!("wss://{}", proxy.address());
        let options = json!({ "ca": files.authority.pem() }).to_string();
        let told = Peer::client("echo-client.js", &[&url, &options]).await;
        assert_eq!((&told["echoed"], &told["pongs"], &told["code"]), (&json!(5), &json!(1), &json!(3000)));
        let authority = files.path("ca.pem");
        let told = Peer::client("echo_client.py", &[&url, authority.to_str().unwrap()]).await;
        assert_eq!((&told["echoed"], &told["code"]), (&json!(5), &json!(3000)));
    });
}

#[test]
fn rfc8441_a_browser_talks_in_the_demo_over_http_2() {
    run(async {
        let files = files();
        let origin = "https://chat.test";
        let proxy = demo(origin, &files.tls("")).await;
        let told = Peer::client("browser.js", &[origin, &proxy.address().to_string()]).await;
        assert_eq!(told["said"], "hello from a browser", "{told}");
        assert_eq!(told["masked"], "what the *** is a sluicegate?", "{told}");
        assert_eq!(told["closed"], "Closed with code 4000: as you asked", "{told}");
        assert_eq!((&told["protocol"], &told["opened"]), (&json!("h2"), &json!([200, 200])), "{told}");
        assert_eq!(told["errors"], json!([]));
    });
}
