//! The chat server over real connections.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_member_is_greeted_and_heard_by_its_room_only() {
    let server = start().await;
    let mut ann = Member::join(server, "/?room=blue&name=Ann").await;
    ann.hears(json!({ "event": "welcome", "server": "one", "room": "blue", "from": "Ann" })).await;
    ann.hears(json!({ "event": "joined", "from": "Ann" })).await;
    let mut bob = Member::join(server, "/any/path?room=blue&name=Bob").await;
    bob.hears(json!({ "event": "welcome", "server": "one", "room": "blue", "from": "Bob" })).await;
    let mut eve = Member::join(server, "/?room=red&name=Eve").await;
    eve.hears(json!({ "event": "welcome", "server": "one", "room": "red", "from": "Eve" })).await;
    eve.hears(json!({ "event": "joined", "from": "Eve" })).await;

    bob.says("hello").await;
    for member in [&mut ann, &mut bob] {
        member.hears(json!({ "event": "joined", "from": "Bob" })).await;
        member.hears(json!({ "event": "message", "from": "Bob", "text": "hello" })).await;
    }
    // Had Bob's words reached the other room, they would come before its own.
    eve.says("anybody?").await;
    eve.hears(json!({ "event": "message", "from": "Eve", "text": "anybody?" })).await;
}

#[tokio::test]
async fn members_are_named_listed_and_missed() {
    let server = start().await;
    let mut ann = Member::join(server, "/").await;
    ann.hears(json!({ "event": "welcome", "server": "one", "room": "lobby", "from": "guest-1" })).await;
    ann.hears(json!({ "event": "joined", "from": "guest-1" })).await;
    ann.says(r#"{ "from": "Ann", "text": "/who" }"#).await;
    ann.hears(json!({ "event": "who", "server": "one", "members": ["Ann"] })).await;
    let mut bob = Member::join(server, "/?name=Bob").await;
    ann.hears(json!({ "event": "joined", "from": "Bob" })).await;
    bob.socket.close(None).await.unwrap();
    ann.hears(json!({ "event": "left", "from": "Bob" })).await;
}

#[tokio::test]
async fn binary_goes_back_to_its_sender_and_close_codes_come_as_asked() {
    let server = start().await;
    let mut ann = Member::join(server, "/?name=Ann").await;
    let binary = Message::Binary(Bytes::from(vec![7; 1 << 20]));
    ann.socket.send(binary.clone()).await.unwrap();
    ann.says("/close 4001").await;
    let mut came = Vec::new();
    while let Some(Ok(message)) = timeout(PATIENCE, ann.socket.next()).await.unwrap() {
        came.push(message);
    }
    assert!(came.contains(&binary));
    let close = CloseFrame { code: 4001.into(), reason: "as you asked".into() };
    assert_eq!(came.last(), Some(&Message::Close(Some(close))));
}

#[tokio::test]
async fn a_text_too_long_for_the_queues_is_refused() {
    let server = start().await;
    let mut ann = Member::join(server, "/?name=Ann").await;
    ann.says(&"x".repeat((64 << 10) + 1)).await;
    loop {
        match timeout(PATIENCE, ann.socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Close(frame) => break assert_eq!(u16::from(frame.unwrap().code), 1009),
            message => assert!(!message.into_text().unwrap().contains("xxx")),
        }
    }
}

#[tokio::test]
async fn the_subprotocol_is_chosen_only_when_offered() {
    let server = start().await;
    for (offered, chosen) in [("chat.v2, chat.v1", Some("chat.v1")), ("", None)] {
        let mut request = format!("ws://{server}/").into_client_request().unwrap();
        if !offered.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
        }
        let (_socket, response) = connect_async(request).await.unwrap();
        let protocol = response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap());
        assert_eq!(protocol, chosen);
        assert_eq!(response.headers()["x-backend"], "one");
    }
}

#[tokio::test]
async fn plain_http_is_answered_on_the_same_address() {
    let server = start().await;
    let health = exchange(server, "GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
    assert!(health.contains("\r\nx-backend: one\r\n") && health.ends_with("\r\n\r\nok\n"), "{health}");
    let page = exchange(server, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(page.contains("content-type: text/html") && page.ends_with("</html>\n"), "{page}");
    let head = exchange(server, "HEAD /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(head.contains("\r\ncontent-length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let headers = exchange(server, "GET /headers HTTP/1.1\r\nhost: a\r\nx-real-ip: 192.0.2.1\r\n\r\n").await;
    assert!(headers.contains("\r\nx-real-ip: 192.0.2.1\r\n"), "{headers}");
    let waited = exchange(server, "GET /wait?ms=1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(waited.ends_with("waited 1 ms\n"), "{waited}");
}

#[tokio::test]
async fn refusals() {
    let server = start().await;
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
    let cases = [
        ("GET /none HTTP/1.1\r\nhost: a\r\n\r\n", "404"),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", "405"),
        ("GET /wait?ms=60001 HTTP/1.1\r\nhost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        (&many, "431"),
    ];
    for (request, status) in cases {
        let response = exchange(server, request).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {response:?}");
    }
}

struct Member {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Member {
    async fn join(server: SocketAddr, target: &str) -> Self {
        let (socket, _) = connect_async(format!("ws://{server}{target}")).await.unwrap();
        Self { socket }
    }

    async fn says(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message is this one.
    async fn hears(&mut self, expected: Value) {
        let message = timeout(PATIENCE, self.socket.next()).await.expect("nothing came").unwrap().unwrap();
        let text = message.into_text().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}

async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { sluicegate_chat::serve(listener, "one").await });
    address
}

/// One request, and all that comes until the server closes.
async fn exchange(server: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut response)).await.expect("no answer").unwrap();
    response
}
