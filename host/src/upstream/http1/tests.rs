use bytes::BytesMut;
use http::HeaderMap;
use http::header::HeaderValue;
use http::uri::PathAndQuery;
use http_body_util::BodyExt as _;
use proptest::collection::vec;
use proptest::sample::select;
use proptest::{prop_assert_eq, proptest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{LocalSet, yield_now};

use super::*;
use crate::body::testing::{incoming, incoming_framed};
use crate::body::{Received, Timed};
use crate::lend::Lender;

const MINUTE: Duration = Duration::from_secs(60);

fn channel() -> (DuplexStream, Channel) {
    let (server, leg) = duplex(16 * 1024);
    (server, Channel::new(Leg::Memory(leg)))
}

fn ask(channel: &mut Channel, body: impl Into<Received>) -> Asked {
    let (host, headers) = (HeaderValue::from_static("a"), HeaderMap::new());
    let path_and_query = &PathAndQuery::from_static("/");
    let outgoing = Outgoing { method: &Method::POST, path_and_query, host, headers: &headers, instead: &[] };
    channel.ask(&outgoing, Lender::new(Timed::new(body, MINUTE)).lend(), MINUTE)
}

async fn answered(mut asked: Asked) -> Result<Arrived, Failure> {
    let head = poll_fn(|cx| asked.poll_head(cx)).await?;
    Ok(asked.answered(head))
}

async fn read(server: &mut DuplexStream, end: &[u8]) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        seen.push(server.read_u8().await.unwrap());
    }
    String::from_utf8(seen).unwrap()
}

async fn whole(body: AnswerBody) -> Bytes {
    body.collect().await.unwrap().to_bytes()
}

async fn run(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn one_request_after_another() {
    run(async {
        let (mut server, mut channel) = channel();
        for length in [0, 5, 5_000] {
            let body = Bytes::from("x".repeat(length));
            server
                .write_all(b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
                .await
                .unwrap();
            let arrived = answered(ask(&mut channel, body.clone())).await.unwrap();
            assert!(arrived.persists && arrived.sending.is_none());
            let head = read(&mut server, b"\r\n\r\n").await;
            assert_eq!(head.contains(&format!("content-length: {length}\r\n")), length > 0, "{head}");
            let mut seen = vec![0; length];
            server.read_exact(&mut seen).await.unwrap();
            assert_eq!(seen, body);
            server.write_all(b"lo").await.unwrap();
            assert_eq!(whole(arrived.response.into_body()).await, "hello");
            assert!(channel.is_quiet());
        }
        server.write_all(b"HTTP/1.1 408 x\r\n\r\n").await.unwrap();
        assert!(!channel.is_quiet());
    })
    .await;
}

#[tokio::test]
async fn a_body_that_has_ended_takes_nothing_of_the_next_answer() {
    run(async {
        let (mut server, mut channel) = channel();
        let mut ended = Vec::new();
        for answer in ["HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"] {
            server.write_all(answer.as_bytes()).await.unwrap();
            let arrived = answered(ask(&mut channel, Received::Nothing)).await.unwrap();
            let mut body = arrived.response.into_body();
            if !body.is_end_stream() {
                body.frame().await.unwrap().unwrap();
            }
            ended.push(body);
        }
        let mut next = ask(&mut channel, Received::Nothing);
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        for body in &mut ended {
            assert!(body.is_end_stream() && body.frame().await.is_none());
        }
        assert!(poll_fn(|cx| next.poll_head(cx)).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_ended_is_not_quiet() {
    run(async {
        let (server, channel) = channel();
        assert!(channel.is_quiet());
        drop(server);
        assert!(!channel.is_quiet());
    })
    .await;
}

#[tokio::test]
async fn a_body_of_unknown_length_goes_out_in_chunks_and_one_may_come_without_an_end() {
    run(async {
        let (mut server, mut channel) = channel();
        let (mut client, body) = incoming_framed("transfer-encoding: chunked").await;
        let said = [b"5\r\nhello\r\n1770\r\n", &[b'x'; 6_000][..], b"\r\n0\r\n\r\n"].concat();
        let serve = async {
            let seen = read(&mut server, b"\r\n0\r\n\r\n").await;
            let (head, chunks) = seen.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with("\r\ntransfer-encoding: chunked"), "{head}");
            assert!(chunks.starts_with("5\r\nhello\r\n"), "{chunks}");
            assert_eq!(chunks.matches('x').count(), 6_000);
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await.unwrap();
            drop(server);
        };
        let answered = answered(ask(&mut channel, body));
        let (arrived, (), said) = tokio::join!(answered, serve, client.write_all(&said));
        said.unwrap();
        let arrived = arrived.unwrap();
        assert!(!arrived.persists);
        assert_eq!(whole(arrived.response.into_body()).await, "hello");
    })
    .await;
}

#[tokio::test]
async fn an_answer_may_begin_before_its_request_has_ended() {
    run(async {
        let (mut server, mut channel) = channel();
        let (mut client, body) = incoming(10).await;
        client.write_all(b"01234").await.unwrap();
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh").await.unwrap();
        let arrived = answered(ask(&mut channel, body)).await.unwrap();
        let sending = arrived.sending.unwrap();
        // Nobody reads the answer meanwhile.
        client.write_all(b"56789").await.unwrap();
        assert!(read(&mut server, b"0123456789").await.starts_with("POST / "));
        assert!(sending.ended().await);
        server.write_all(b"i").await.unwrap();
        assert_eq!(whole(arrived.response.into_body()).await, "hi");
        assert!(arrived.persists && channel.is_quiet());
    })
    .await;
}

#[tokio::test]
async fn an_answer_ends_with_its_request_where_that_breaks_off() {
    run(async {
        let (mut server, mut channel) = channel();
        let (client, body) = incoming(10).await;
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh").await.unwrap();
        let arrived = answered(ask(&mut channel, body)).await.unwrap();
        let mut body = arrived.response.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        let (failed, ()) = tokio::join!(body.frame(), async { drop(client) });
        assert!(matches!(failed, Some(Err(Failure::Request))));
        assert!(!arrived.sending.unwrap().ended().await);
    })
    .await;
}

#[tokio::test]
async fn a_request_is_given_up_with_its_answer() {
    run(async {
        let (mut server, mut channel) = channel();
        let (_client, body) = incoming(10).await;
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh").await.unwrap();
        let arrived = answered(ask(&mut channel, body)).await.unwrap();
        drop((arrived, channel));
        yield_now().await;
        let mut seen = Vec::new();
        server.read_to_end(&mut seen).await.unwrap();
        assert!(seen.starts_with(b"POST / "));
    })
    .await;
}

#[tokio::test]
async fn what_breaks_off_is_no_answer() {
    run(async {
        for (said, has_head) in [
            (&b""[..], false),
            (b"HTTP/1.1 200 OK\r\n", false),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", true),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", true),
        ] {
            let (mut server, mut channel) = channel();
            server.write_all(said).await.unwrap();
            server.shutdown().await.unwrap();
            let asked = ask(&mut channel, Received::Nothing);
            let failure = match answered(asked).await {
                Ok(arrived) if has_head => arrived.response.into_body().collect().await.err(),
                Ok(_) => None,
                Err(failure) => Some(failure).filter(|_| !has_head),
            };
            assert!(matches!(failure, Some(Failure::Closed)), "{}", said.escape_ascii());
        }
    })
    .await;
}

/// What a server could say, well or badly.
const SAID: [&str; 14] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 404 x\r\n",
    "HTTP/1.1 103 x\r\n\r\n",
    "content-length: 3\r\n",
    "content-length: 3, 3\r\n",
    "transfer-encoding: chunked\r\n",
    "connection: close\r\n",
    "\r\n",
    "\n",
    "abc",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nx: y\r\n\r\n",
    "\r",
];

/// The status and the body of the first answer, as far as they come before an error.
fn hear(parts: &[&[u8]]) -> (Option<u16>, Vec<u8>, bool) {
    let (mut received, mut search) = (BytesMut::new(), Search::default());
    let (mut head, mut data) = (None::<Head>, Vec::new());
    for part in parts {
        received.extend_from_slice(part);
        if head.is_none() {
            match search.next(&mut received, false) {
                Ok(found) => head = found,
                Err(_) => break,
            }
        }
        while let Some(head) = &mut head {
            match head.content.next(&mut received) {
                Ok(Piece::Data(piece)) => data.extend_from_slice(&piece),
                Ok(Piece::Trailers(_)) => {}
                Ok(Piece::End | Piece::Nothing) | Err(_) => break,
            }
        }
    }
    let has_ended = head.as_ref().is_some_and(|head| head.content.has_ended());
    (head.map(|head| head.status.as_u16()), data, has_ended)
}

proptest! {
    #[test]
    fn an_answer_is_heard_alike_however_it_is_cut(said in vec(select(&SAID[..]), 0..12)) {
        let said = said.concat();
        let bytes: Vec<&[u8]> = said.as_bytes().chunks(1).collect();
        prop_assert_eq!(hear(&[said.as_bytes()]), hear(&bytes));
    }
}
