//! Sessions that nobody inspects (and some that a plugin looks at without changing anything): what peers of other makes
//! send arrives as it was sent.

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sluicegate_tests::{Frame, Opcode, Peer, Proxy, RawUpstream, Session, Upstream, WebSocket, run, soon};
use tokio_tungstenite::tungstenite::protocol::frame::Frame as TungsteniteFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};

/// Text, binary, fragments, a mebibyte and nothing at all: what the clients of `tests/peers` send.
const MESSAGES: u64 = 5;

fn url(proxy: &Proxy) -> String {
    format!("ws://{}/echo?room=1", proxy.address())
}

async fn node_client(proxy: &Proxy, options: Value) -> Value {
    let result = Peer::client("echo-client.js", &[&url(proxy), &options.to_string()]).await;
    assert_eq!(result["echoed"], MESSAGES, "{result}");
    assert_eq!(result["pongs"], 1, "{result}");
    assert_eq!((&result["code"], &result["reason"]), (&json!(3000), &json!("done")));
    result
}

async fn python_client(proxy: &Proxy) -> Value {
    let result = Peer::client("echo_client.py", &[&url(proxy)]).await;
    assert_eq!(result["echoed"], MESSAGES, "{result}");
    assert_eq!((&result["code"], &result["reason"]), (&json!(3000), &json!("done")));
    result
}

async fn tungstenite_client(proxy: &Proxy, subprotocol: Option<&str>) {
    let mut request = ClientRequestBuilder::new(url(proxy).parse().unwrap());
    if let Some(subprotocol) = subprotocol {
        request = request.with_sub_protocol(subprotocol);
    }
    let (mut socket, _) = tokio_tungstenite::client_async(request, tcp(proxy).await).await.unwrap();
    let large = vec![7; 1 << 20];
    for message in
        [Message::text("grüß dich"), Message::binary(vec![0, 255]), Message::binary(large), Message::text("")]
    {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(soon("an echo", socket.next()).await.unwrap().unwrap(), message);
    }
    for (at, piece) in ["in ", "three ", "frames"].into_iter().enumerate() {
        let kind = if at == 0 { Data::Text } else { Data::Continue };
        let frame = TungsteniteFrame::message(piece, OpCode::Data(kind), at == 2);
        socket.send(Message::Frame(frame)).await.unwrap();
    }
    assert_eq!(soon("an echo", socket.next()).await.unwrap().unwrap(), Message::text("in three frames"));
    socket.close(None).await.unwrap();
}

async fn tcp(proxy: &Proxy) -> tokio::net::TcpStream {
    soon("connect", tokio::net::TcpStream::connect(proxy.address())).await.unwrap()
}

/// What the server is told of a session: path and subprotocol at first, code and reason at last.
async fn assert_session(server: &mut Peer, protocol: &str, code: u16) {
    let opened = server.line().await["opened"].take();
    assert_eq!((&opened["path"], &opened["protocol"]), (&json!("/echo?room=1"), &json!(protocol)));
    let closed = server.line().await["closed"].take();
    assert_eq!(closed["code"], code);
}

#[test]
fn clients_of_three_makes_talk_to_a_node_server() {
    run(async {
        let (mut server, address) = Peer::server("echo-server.js", &[]).await;
        let proxy = Proxy::to(address).start().await;
        node_client(&proxy, json!({})).await;
        assert_session(&mut server, "", 3000).await;
        let python = python_client(&proxy).await;
        assert_eq!(python["protocol"], "chat.v1");
        assert_session(&mut server, "chat.v1", 3000).await;
        tungstenite_client(&proxy, None).await;
        assert_session(&mut server, "", 1005).await;
    });
}

#[test]
fn clients_of_three_makes_talk_to_a_python_server() {
    run(async {
        let (_server, address) = Peer::server("echo_server.py", &[]).await;
        let proxy = Proxy::to(address).start().await;
        let node = node_client(&proxy, json!({"protocols": ["chat.v1", "chat.v2"]})).await;
        assert_eq!(node["protocol"], "chat.v2");
        let python = python_client(&proxy).await;
        assert_eq!(python["protocol"], "chat.v2");
        tungstenite_client(&proxy, Some("chat.v2")).await;
    });
}

#[test]
fn clients_of_three_makes_talk_to_a_tungstenite_server() {
    run(async {
        let server = Upstream::echo().await;
        let proxy = Proxy::to(server.address()).start().await;
        node_client(&proxy, json!({})).await;
        python_client(&proxy).await;
        tungstenite_client(&proxy, None).await;
    });
}

#[test]
fn clients_of_three_makes_do_not_notice_a_plugin_that_forwards_everything() {
    run(async {
        let (mut server, address) = Peer::server("echo-server.js", &[]).await;
        let proxy = Proxy::to(address)
            .guest("forward", "")
            .route("limits.message-bytes-max = \"4MiB\"")
            .start()
            .await;
        node_client(&proxy, json!({})).await;
        assert_session(&mut server, "", 3000).await;
        python_client(&proxy).await;
        assert_session(&mut server, "chat.v1", 3000).await;
        tungstenite_client(&proxy, None).await;
        assert_session(&mut server, "", 1005).await;
    });
}

#[test]
fn rfc7692_compression_is_negotiated_end_to_end_where_nobody_inspects() {
    run(async {
        let (mut server, address) =
            Peer::server("echo-server.js", &[r#"{"perMessageDeflate": {"threshold": 0}}"#]).await;
        let proxy = Proxy::to(address).start().await;
        let node = node_client(&proxy, json!({"perMessageDeflate": {"threshold": 0}})).await;
        assert_eq!(node["extensions"], "permessage-deflate");
        let opened = server.line().await;
        assert_eq!(opened["opened"]["extensions"], "permessage-deflate");
    });
}

#[test]
fn rfc7692_compressed_bytes_pass_as_they_came_where_nobody_inspects() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let mut session = Session::open_with(&proxy, &upstream, "/", extension, extension).await;
        assert_eq!(session.upstream.head.field("sec-websocket-extensions"), Some("permessage-deflate"));
        assert_eq!(session.client.head.field("sec-websocket-extensions"), Some("permessage-deflate"));
        // "Hello", compressed (RFC 7692 §7.2.3.1).
        let hello = Frame { rsv1: true, ..Frame::new(Opcode::Text, *b"\xf2\x48\xcd\xc9\xc9\x07\x00") };
        session.client.send(hello.clone()).await;
        assert_eq!(session.upstream.frame().await, hello);
        session.upstream.send(hello.clone()).await;
        assert_eq!(session.client.frame().await, hello);
    });
}

#[test]
fn a_thousand_sessions_at_once() {
    run(async {
        let server = Upstream::echo().await;
        let proxy = Proxy::to(server.address()).start().await;
        let open = |_| WebSocket::connect(proxy.address(), "/");
        let mut sockets = join_all((0..1000).map(open)).await;
        assert_eq!(server.connections(), 1000);
        let echoes = sockets.iter_mut().enumerate().map(|(at, socket)| async move {
            socket.assert_echo(&format!("session {at}")).await;
        });
        join_all(echoes).await;
    });
}

#[test]
fn tungstenite_sees_the_close_it_is_sent() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let connected =
            async { tokio_tungstenite::client_async(url(&proxy), tcp(&proxy).await).await.unwrap().0 };
        let accepted = async { WebSocket::accept(upstream.next().await).await };
        let (mut client, mut server) = tokio::join!(connected, accepted);
        server.send(Frame::close(4999, "go home")).await;
        let Message::Close(Some(close)) = soon("a close", client.next()).await.unwrap().unwrap() else {
            panic!("a close frame was expected");
        };
        assert_eq!((close.code, close.reason.as_str()), (CloseCode::Library(4999), "go home"));
    });
}
