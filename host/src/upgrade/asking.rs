//! A handshake with a server.

use std::future::poll_fn;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use sluicegate_websocket::negotiation::Offers;
use tokio::time::timeout;

use crate::config::Timeouts;
use crate::leg::Leg;
use crate::lend::Loan;
use crate::reject::Error;
use crate::request::RequestHead;
use crate::upstream::{AnswerBody, Channel, Failure, NoAnswer, Outgoing};

/// What the client offered, and how the session is to be negotiated.
pub enum Offered {
    /// No plugin has a session hook: offers and answer go untouched.
    Relay,
    Inspect(Offers),
}

/// What a server said to a handshake.
pub enum Reply {
    Switched(Switched),
    /// Anything but 101.
    Other(Box<Response<AnswerBody>>),
}

/// A 101, and the stream behind it.
pub struct Switched {
    pub headers: HeaderMap,
    pub leg: Leg,
    /// What came in the same reads.
    pub early: Bytes,
}

// === impl Offered ===

impl Offered {
    /// What makes a request a handshake again, after the client's hop ended here; none: left out.
    pub fn fields(&self) -> Vec<(HeaderName, Option<HeaderValue>)> {
        let mut fields = vec![
            (header::CONNECTION, Some(HeaderValue::from_static("Upgrade"))),
            (header::UPGRADE, Some(HeaderValue::from_static("websocket"))),
        ];
        if let Self::Inspect(offers) = self {
            let line = offers.to_upstream().and_then(|line| HeaderValue::try_from(line).ok());
            fields.push((header::SEC_WEBSOCKET_EXTENSIONS, line));
        }
        fields
    }
}

// === impl Reply ===

impl Reply {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Switched(_) => StatusCode::SWITCHING_PROTOCOLS,
            Self::Other(response) => response.status(),
        }
    }
}

/// Send a handshake, and wait for the head of its answer. `fields`: as [`Offered::fields`] has them.
pub async fn ask(
    leg: Leg,
    request: &RequestHead,
    host: &HeaderValue,
    fields: &[(HeaderName, Option<HeaderValue>)],
    timeouts: Timeouts,
) -> Result<Reply, Error> {
    let RequestHead { method, path_and_query, headers, .. } = request;
    let outgoing = Outgoing { method, path_and_query, host: host.clone(), headers, instead: fields };
    let mut channel = Channel::new(leg);
    let mut asked = channel.ask(&outgoing, Loan::none(), timeouts.send);
    let head = timeout(timeouts.upstream_header, poll_fn(|cx| asked.poll_head(cx))).await;
    let head = head.map_err(|_| Error::ReadTimeout)?.map_err(NoAnswer::from)?;
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Reply::Other(Box::new(asked.answered(head).response)));
    }
    drop(asked);
    let (leg, early) = channel.into_parts().ok_or(NoAnswer::from(Failure::Closed))?;
    Ok(Reply::Switched(Switched { headers: head.headers, leg, early }))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::yield_now;

    use super::*;

    const SWITCHING: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX-A: 1\r\nx-a: 2\r\n\r\n";

    async fn asked_of(leg: Leg, request: &RequestHead, offered: &Offered) -> Result<Reply, Error> {
        let host = HeaderValue::from_static("a");
        ask(leg, request, &host, &offered.fields(), Timeouts::default()).await
    }

    async fn head(server: &mut DuplexStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(server.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// Ask a server that answers with these bytes, read apart, and ends.
    async fn ask_server(answer: &[&[u8]]) -> Result<Reply, Error> {
        let (ours, mut server) = duplex(4 * 1024);
        let serve = async {
            assert!(head(&mut server).await.starts_with("GET / HTTP/1.1\r\n"));
            for part in answer {
                server.write_all(part).await.unwrap();
                for _ in 0..4 {
                    yield_now().await;
                }
            }
            drop(server);
        };
        let request = RequestHead::default();
        tokio::join!(asked_of(Leg::Memory(ours), &request, &Offered::Relay), serve).0
    }

    /// The fields of a 101, and all that comes behind it, in the same read or later.
    async fn switched_by(reply: Result<Reply, Error>) -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
        let Ok(Reply::Switched(Switched { headers, mut leg, early })) = reply else { panic!("no 101") };
        let field =
            |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.as_bytes().to_vec());
        let mut behind = early.to_vec();
        leg.read_to_end(&mut behind).await.unwrap();
        (headers.iter().map(field).collect(), behind)
    }

    #[tokio::test]
    async fn a_101_says_the_same_however_it_comes() {
        let fields = [("upgrade", "websocket"), ("x-a", "1"), ("x-a", "2")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let hinted = b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n";
        for bytes in [[SWITCHING, b"\x81\x02hi"].concat(), [hinted, SWITCHING, b"\x81\x02hi"].concat()] {
            for cut in 0..=bytes.len() {
                let (begin, end) = bytes.split_at(cut);
                let (found, behind) = switched_by(ask_server(&[begin, end]).await).await;
                assert_eq!(found, fields, "cut at {cut}");
                assert_eq!(behind, b"\x81\x02hi", "cut at {cut}");
            }
        }
    }

    #[tokio::test]
    async fn any_other_answer_comes_with_its_body() {
        let bytes: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnone";
        for cut in 0..bytes.len() {
            let (begin, end) = bytes.split_at(cut);
            let Ok(Reply::Other(response)) = ask_server(&[begin, end]).await else { panic!("cut at {cut}") };
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "none", "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn no_answer_is_a_loss_and_nonsense_is_not() {
        let is_loss = async |answer: &[u8]| match ask_server(&[answer]).await {
            Err(Error::NoAnswer(error)) => error.is_loss(),
            _ => panic!("{}", answer.escape_ascii()),
        };
        assert!(is_loss(b"").await);
        assert!(is_loss(b"HTTP/1.1 101 Swi").await);
        assert!(!is_loss(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n").await);
    }

    #[tokio::test]
    async fn a_server_is_sent_what_the_client_said_and_the_upgrade_of_this_hop() {
        let mut request =
            RequestHead { path_and_query: "/chat?a=b".parse().unwrap(), ..RequestHead::default() };
        for (name, value) in [
            ("origin", "https://a"),
            ("host", "client"),
            ("sec-websocket-extensions", "x-mine"),
            ("upgrade", "h2c"),
        ] {
            request.headers.append(name, HeaderValue::from_static(value));
        }
        let sent = async |offered: &Offered| {
            let (ours, mut server) = duplex(4 * 1024);
            tokio::select! {
                _ = asked_of(Leg::Memory(ours), &request, offered) => panic!("nobody has answered"),
                head = head(&mut server) => head,
            }
        };
        let end = "connection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        let begin = "GET /chat?a=b HTTP/1.1\r\nhost: a\r\norigin: https://a\r\n";
        assert_eq!(sent(&Offered::Relay).await, format!("{begin}sec-websocket-extensions: x-mine\r\n{end}"));
        let offers = Offers::parse([&b"x-mine"[..]]).unwrap();
        assert_eq!(sent(&Offered::Inspect(offers)).await, format!("{begin}{end}"));
    }
}
