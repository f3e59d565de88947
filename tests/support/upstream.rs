//! Servers behind the proxy.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::message::Request;
use crate::soon;
use crate::wire::{Recording, Wire};

/// An upstream whose connections the test takes and answers one by one.
pub struct RawUpstream {
    listener: TcpListener,
}

/// An upstream that goes on by itself, and records what reaches it.
pub struct Upstream {
    address: SocketAddr,
    seen: Rc<Seen>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: RefCell<Vec<Recording>>,
    requests: RefCell<Vec<Request>>,
}

// === impl RawUpstream ===

impl RawUpstream {
    pub async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// At an address that a test knows beforehand.
    pub async fn at(address: SocketAddr) -> Self {
        Self { listener: TcpListener::bind(address).await.unwrap() }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection.
    pub async fn next(&self) -> Wire {
        let (stream, _) = soon("a connection to the upstream", self.listener.accept()).await.unwrap();
        Wire::new(stream, Recording::default())
    }
}

// === impl Upstream ===

impl Upstream {
    /// A WebSocket server by tungstenite that sends every message back.
    pub async fn echo() -> Self {
        Self::serve(|stream, _, _| async {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// The same, and the first message of each session is the server's name.
    pub async fn greeting(name: &'static str) -> Self {
        Self::serve(move |stream, _, _| async move {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
            if socket.send(name.into()).await.is_err() {
                return;
            }
            while let Some(Ok(message)) = socket.next().await {
                if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// An HTTP/1.1 server that answers each request of a connection with these bytes.
    pub async fn answering(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::http(move |_| response.clone()).await
    }

    /// An HTTP/1.1 server that answers with a text of its own: its name.
    pub async fn named(name: &str) -> Self {
        Self::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())).await
    }

    /// An HTTP/1.1 server: `respond` gives the bytes of the answer.
    pub async fn http(respond: impl Fn(&Request) -> Vec<u8> + 'static) -> Self {
        let respond = Rc::new(respond);
        Self::serve(move |stream, recording, seen| {
            let respond = Rc::clone(&respond);
            async move {
                let mut wire = Wire::new(stream, recording);
                while let Some(request) = wire.request().await {
                    let response = respond(&request);
                    seen.requests.borrow_mut().push(request);
                    if !wire.try_send(response).await {
                        return;
                    }
                }
            }
        })
        .await
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests so far, in the order they were complete. Of an HTTP server.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.borrow_mut().clone()
    }

    /// The only request so far.
    pub fn request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.into_iter().next().unwrap()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.borrow_mut().len()
    }

    /// All bytes that came in so far, connection after connection. Of an HTTP server.
    pub fn bytes(&self) -> Vec<u8> {
        let connections = self.seen.connections.borrow_mut();
        connections.iter().flat_map(|recording| recording.borrow_mut().clone()).collect()
    }

    async fn serve<F>(serve: impl Fn(TcpStream, Recording, Rc<Seen>) -> F + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Rc::new(Seen::default());
        let recordings = Rc::clone(&seen);
        let accepting = tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let recording = Recording::default();
                recordings.connections.borrow_mut().push(Rc::clone(&recording));
                tokio::task::spawn_local(serve(stream, recording, Rc::clone(&recordings)));
            }
        });
        Self { address, seen, accepting }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
