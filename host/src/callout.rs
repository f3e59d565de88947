//! Requests of plugins' own to upstreams.
//!
//! A guest's call has to be fit for any thread, as wasmtime has it, while connections to servers never leave their
//! worker: so a request is handed over to a task of the worker, which makes it, and gives the answer back. It goes to the
//! upstream of that name in the configuration that is in service then.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::body::{BodyError, ResponseBody, Timed};
use crate::config::Timeouts;
use crate::forward::{Answer, Asking, ask};
use crate::headers::remove_hop_by_hop;
use crate::lend::Lender;
use crate::reject;
use crate::upstream::{Choice, Outgoing, Server};
use crate::worker::Worker;

/// The body of an answer.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Calls handed over to a worker that it has not begun with.
const CALLS_WAITING_MAX: usize = 1_024;
/// The least time that connecting may take, all servers together, before one of them is held to be gone.
const CONNECT_TIME_MIN: Duration = Duration::from_secs(1);

/// A request to be made.
#[derive(Debug)]
pub struct Call {
    /// The name of one.
    pub upstream: String,
    pub request: Request<Bytes>,
    /// For the whole answer.
    pub deadline: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the answer was not there, whole, by the deadline")]
    Timeout,
    #[error("the answer's body is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the configuration in service has no such upstream")]
    NoUpstream,
    #[error("{0}")]
    Failed(reject::Error),
    #[error("the answer broke off: {0}")]
    BrokenOff(BodyError),
    #[error("the worker has stopped")]
    Stopped,
}

/// Where calls are handed over to a worker.
#[derive(Debug, Clone)]
pub struct CallOuts {
    calls: mpsc::Sender<Handed>,
}

#[derive(Debug)]
struct Handed {
    call: Call,
    answer: oneshot::Sender<Result<Response<Bytes>, CallError>>,
}

// === impl CallOuts ===

impl CallOuts {
    /// Have `worker` take calls as long as it lives. To be called in its thread.
    pub fn open(worker: &Rc<Worker>) -> Self {
        let (calls, mut handed) = mpsc::channel(CALLS_WAITING_MAX);
        let worker = Rc::downgrade(worker);
        tokio::task::spawn_local(async move {
            while let Some(Handed { call, answer }) = handed.recv().await {
                let Some(worker) = worker.upgrade() else { return };
                tokio::task::spawn_local(serve(worker, call, answer));
            }
        });
        Self { calls }
    }

    /// Make `call`, and wait for its answer; one that nobody waits for any more is given up.
    pub async fn make(&self, call: Call) -> Result<Response<Bytes>, CallError> {
        let deadline = call.deadline;
        let (answer, answered) = oneshot::channel();
        match timeout_at(deadline, self.calls.send(Handed { call, answer })).await {
            Ok(Ok(())) => answered.await.unwrap_or(Err(CallError::Stopped)),
            Ok(Err(_)) => Err(CallError::Stopped),
            Err(_) => Err(CallError::Timeout),
        }
    }
}

async fn serve(
    worker: Rc<Worker>,
    call: Call,
    mut answer: oneshot::Sender<Result<Response<Bytes>, CallError>>,
) {
    let made = timeout_at(call.deadline, make(&worker, call));
    let made = tokio::select! {
        made = made => made.unwrap_or(Err(CallError::Timeout)),
        () = answer.closed() => return,
    };
    // Nobody waits for it, where it cannot be sent.
    drop(answer.send(made));
}

async fn make(worker: &Worker, call: Call) -> Result<Response<Bytes>, CallError> {
    let Call { upstream, request, deadline } = call;
    let snapshot = worker.snapshot();
    let upstream = snapshot.upstreams.iter().find(|known| *known.name == *upstream);
    let upstream = upstream.ok_or(CallError::NoUpstream)?;
    // The deadline ends it all, without blame: that a plugin will not wait says nothing of a server.
    let left = deadline.saturating_duration_since(Instant::now());
    let timeouts = Timeouts { connect: left.max(CONNECT_TIME_MIN), ..Timeouts::default() };
    let (head, body) = request.into_parts();
    let asking = Asking {
        choice: Choice::default(),
        preamble: upstream.own_preamble(),
        idempotent: head.method.is_idempotent(),
        takes_trailers: false,
        body: Lender::new(Timed::new(body, timeouts.request_body)),
        timeouts,
    };
    let nowhere = PathAndQuery::from_static("/");
    let path_and_query = head.uri.path_and_query().unwrap_or(&nowhere);
    let outgoing = |server: &Server| Outgoing {
        method: &head.method,
        path_and_query,
        host: head.headers.get(HOST).unwrap_or(&server.host).clone(),
        headers: &head.headers,
        instead: &[],
    };
    let answer = ask(worker, upstream, asking, outgoing).await;
    let Answer { server, mut parts, body } = answer.map_err(CallError::Failed)?;
    tracing::debug!(upstream = %upstream.name, server = %server.address, status = parts.status.as_u16(), "plugin's request answered");
    remove_hop_by_hop(&mut parts.headers);
    Ok(Response::from_parts(parts, whole(body).await?))
}

/// All of a body, to its end: then its connection can be used again.
async fn whole(mut body: ResponseBody) -> Result<Bytes, CallError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(CallError::BrokenOff)?.into_data() else { continue };
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            return Err(CallError::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}
