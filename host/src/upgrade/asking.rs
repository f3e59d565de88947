//! A handshake with a server: its head is written, and a 101 that comes whole in one read is read here. Whatever else a server
//! answers is hyper's to read, from its first byte.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sluicegate_websocket::negotiation::Offers;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::config::Timeouts;
use crate::leg::Leg;
use crate::reject::Error;
use crate::request::RequestHead;
use crate::stall::Stall;
use crate::upstream::NoAnswer;
use crate::wire::{self, Head, write_field};

/// The first read; most heads of a 101 are a few hundred bytes.
const READ_BYTES: usize = 4096;

/// What the client offered, and how the session is to be negotiated.
pub enum Offered {
    /// No plugin has a session hook: offers and answer go untouched.
    Relay,
    Inspect(Offers),
}

/// What a server said to a handshake.
pub enum Reply {
    Switched(Switched),
    /// Anything but 101, with the connection that brings its body.
    Other(Box<(Client, Response<Incoming>)>),
}

/// A 101, and the stream behind it.
pub struct Switched {
    pub headers: HeaderMap,
    pub leg: Leg,
    /// What came in the same reads.
    pub early: Bytes,
}

pub type Client = http1::Connection<TokioIo<Replay>, Empty<Bytes>>;

/// A connection on which a request was sent that hyper is to read the answer of: what hyper writes has been written, and what
/// was read of it comes first.
pub struct Replay {
    stream: Stall<Leg>,
    read: Bytes,
    /// hyper has asked; what comes earlier is no answer to it.
    is_asked: bool,
    /// How sending or reading went, where it failed.
    unsent: Option<io::Error>,
    unread: Option<io::Error>,
}

// === impl Reply ===

impl Reply {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Switched(_) => StatusCode::SWITCHING_PROTOCOLS,
            Self::Other(other) => other.1.status(),
        }
    }
}

/// The head of a client's handshake as a server is to have it.
pub fn head(request: &RequestHead, host: &HeaderValue, offered: &Offered) -> Vec<u8> {
    let fields = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let mut head = Vec::with_capacity(fields.sum::<usize>() + request.path_and_query.as_str().len() + 256);
    head.extend_from_slice(request.method.as_str().as_bytes());
    // As a plugin may have put it.
    let slash = if request.path_and_query.as_str().starts_with('/') { "" } else { "/" };
    for part in [" ", slash, request.path_and_query.as_str(), " HTTP/1.1\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    write_field(&mut head, &header::HOST, host);
    for (name, value) in &request.headers {
        let is_written_here = match *name {
            header::HOST | header::CONNECTION | header::UPGRADE | header::TRANSFER_ENCODING => true,
            header::SEC_WEBSOCKET_EXTENSIONS => matches!(offered, Offered::Inspect(_)),
            _ => false,
        };
        if !is_written_here {
            write_field(&mut head, name, value);
        }
    }
    if let Offered::Inspect(offers) = offered
        && let Some(line) = offers.to_upstream().and_then(|line| HeaderValue::try_from(line).ok())
    {
        write_field(&mut head, &header::SEC_WEBSOCKET_EXTENSIONS, &line);
    }
    head.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    head
}

/// Send the head of a handshake, and wait for the head of its answer.
pub async fn ask(leg: Leg, head: Vec<u8>, timeouts: Timeouts) -> Result<Reply, Error> {
    let mut stream = Stall::new(leg, Rc::new(Cell::new(timeouts.send)));
    let answer = async {
        let (mut unsent, mut unread, mut read) = (None, None, Bytes::new());
        match send(&mut stream, &head).await {
            Ok(()) => match receive(&mut stream).await {
                Ok(received) => read = received,
                Err(error) => unread = Some(error),
            },
            Err(error) => unsent = Some(error),
        }
        if let Some(Head { fields: headers, rest: early, .. }) = switched(&read) {
            return Ok(Reply::Switched(Switched { headers, leg: stream.into_inner(), early }));
        }
        Box::pin(ask_hyper(Replay { stream, read, is_asked: false, unsent, unread })).await
    };
    timeout(timeouts.upstream_header, answer).await.map_err(|_| Error::ReadTimeout)?
}

async fn send(stream: &mut Stall<Leg>, mut head: &[u8]) -> io::Result<()> {
    while !head.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, head)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => head = head.get(written..).unwrap_or_default(),
        }
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
}

/// One read. The memory it is read to is nobody's while it is waited for.
async fn receive(stream: &mut Stall<Leg>) -> io::Result<Bytes> {
    poll_fn(|cx| {
        let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
        let mut scratch = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut scratch))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(scratch.filled())))
    })
    .await
}

/// The head of a 101; none: these bytes are something else, or not all of it.
fn switched(read: &Bytes) -> Option<Head> {
    let is_101 = |head: &Head| {
        // A reason may be any text, or none (RFC 9112 §4).
        let reason = head.line.strip_prefix(b"HTTP/1.1 101 ");
        reason.is_some_and(|reason| !reason.iter().any(u8::is_ascii_control))
    };
    wire::read_head(read).filter(is_101)
}

/// Have hyper read the answer of a request that was sent.
async fn ask_hyper(replay: Replay) -> Result<Reply, Error> {
    let (mut sender, mut connection) =
        http1::handshake(TokioIo::new(replay)).await.map_err(NoAnswer::from)?;
    // Of the request it has to know no more than that its method is GET.
    let response = drive(&mut connection, sender.send_request(Request::new(Empty::new()))).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return take_over(connection, response).await.map(Reply::Switched);
    }
    Ok(Reply::Other(Box::new((connection, response))))
}

/// The connection and the answer it brings, both polled here: there is no task to hand a session over from.
async fn drive(
    connection: &mut Client,
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<Response<Incoming>, NoAnswer> {
    let mut answer = std::pin::pin!(answer);
    let mut running = true;
    let answer = poll_fn(|cx| {
        if running && connection.poll_without_shutdown(cx).is_ready() {
            running = false;
        }
        answer.as_mut().poll(cx)
    });
    Ok(answer.await?)
}

/// The stream behind a 101, with the bytes that came in the same reads.
async fn take_over(mut connection: Client, response: Response<Incoming>) -> Result<Switched, Error> {
    let (parts, body) = response.into_parts();
    drop(body);
    poll_fn(|cx| connection.poll_without_shutdown(cx)).await.map_err(NoAnswer::from)?;
    let http1::Parts { io, read_buf, .. } = connection.into_parts();
    let Replay { stream, read, .. } = io.into_inner();
    let early = if read.is_empty() { read_buf } else { [read_buf, read].concat().into() };
    Ok(Switched { headers: parts.headers, leg: stream.into_inner(), early })
}

// === impl Replay ===

impl Replay {
    fn pretend_to_write(&mut self, cx: &Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        self.is_asked = true;
        // For its reading half, which may have waited for that.
        cx.waker().wake_by_ref();
        Poll::Ready(self.unsent.take().map_or(Ok(length), Err))
    }
}

impl AsyncRead for Replay {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_asked {
            return Poll::Pending;
        }
        if !this.read.is_empty() {
            let length = this.read.len().min(out.remaining());
            out.put_slice(&this.read.split_to(length));
            return Poll::Ready(Ok(()));
        }
        match this.unread.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut this.stream).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for Replay {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().pretend_to_write(cx, bytes.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().pretend_to_write(cx, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::task::yield_now;

    use super::*;

    const HEAD: &[u8] = b"GET /chat HTTP/1.1\r\nhost: a\r\n\r\n";
    const SWITCHING: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX-A: 1\r\nx-a: 2\r\n\r\n";

    /// Ask a server that answers with these bytes, read apart, and ends or does not.
    async fn ask_server(answer: &[&[u8]], ends: bool) -> Result<Reply, Error> {
        let (ours, mut server) = duplex(4 * 1024);
        let serve = async {
            let mut asked = vec![0; HEAD.len()];
            server.read_exact(&mut asked).await.unwrap();
            assert_eq!(asked, HEAD);
            for part in answer {
                server.write_all(part).await.unwrap();
                for _ in 0..4 {
                    yield_now().await;
                }
            }
            (!ends).then_some(server)
        };
        tokio::join!(ask(Leg::Memory(ours), HEAD.to_vec(), Timeouts::default()), serve).0
    }

    fn switched_by(reply: Result<Reply, Error>) -> (Vec<(String, Vec<u8>)>, Bytes) {
        let Ok(Reply::Switched(Switched { headers, early, .. })) = reply else { panic!("no 101") };
        let field =
            |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.as_bytes().to_vec());
        (headers.iter().map(field).collect(), early)
    }

    #[tokio::test]
    async fn a_101_says_the_same_however_it_comes() {
        let fields = [("upgrade", "websocket"), ("x-a", "1"), ("x-a", "2")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let bytes = [SWITCHING, b"\x81\x02hi"].concat();
        for cut in 0..=SWITCHING.len() {
            let (begin, end) = bytes.split_at(cut);
            let (found, early) = switched_by(ask_server(&[begin, end], true).await);
            assert_eq!(found, fields, "cut at {cut}");
            // What came later is still in the stream.
            let expected: &[u8] = if cut == SWITCHING.len() { b"" } else { b"\x81\x02hi" };
            assert_eq!(early, expected, "cut at {cut}");
        }
        let hinted = [b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n", SWITCHING, b"\x81\x02hi"].concat();
        let (found, early) = switched_by(ask_server(&[&hinted], true).await);
        assert_eq!((found, &*early), (fields.to_vec(), &b"\x81\x02hi"[..]));
    }

    #[tokio::test]
    async fn any_other_answer_comes_with_its_body() {
        let bytes: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnone";
        for cut in 0..bytes.len() {
            let (begin, end) = bytes.split_at(cut);
            let Ok(Reply::Other(other)) = ask_server(&[begin, end], true).await else {
                panic!("cut at {cut}")
            };
            let (mut connection, response) = *other;
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            let body = tokio::select! {
                body = response.into_body().collect() => body.unwrap().to_bytes(),
                Err(error) = &mut connection => panic!("cut at {cut}: {error}"),
            };
            assert_eq!(body, "none", "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn no_answer_is_a_loss_and_nonsense_is_not() {
        let is_loss = async |answer: &[u8]| match ask_server(&[answer], true).await {
            Err(Error::NoAnswer(error)) => error.is_loss(),
            _ => panic!("{}", answer.escape_ascii()),
        };
        assert!(is_loss(b"").await);
        assert!(is_loss(b"HTTP/1.1 101 Swi").await);
        assert!(!is_loss(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n").await);
    }

    #[test]
    fn a_server_is_sent_what_the_client_said_and_the_upgrade_of_this_hop() {
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
        let sent = |offered: &Offered| {
            String::from_utf8(head(&request, &HeaderValue::from_static("a"), offered)).unwrap()
        };
        let end = "connection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        let begin = "GET /chat?a=b HTTP/1.1\r\nhost: a\r\norigin: https://a\r\n";
        assert_eq!(sent(&Offered::Relay), format!("{begin}sec-websocket-extensions: x-mine\r\n{end}"));
        let offers = Offers::parse([&b"x-mine"[..]]).unwrap();
        assert_eq!(sent(&Offered::Inspect(offers)), format!("{begin}{end}"));
    }
}
