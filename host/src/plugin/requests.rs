//! The request and response hooks of one exchange.

use std::sync::Arc;

use http::StatusCode;

use super::instance::{Failure, RequestVerdict};
use super::{Lent, Plugin, Response};
use crate::config::{OnFailure, UpstreamIndex};
use crate::request::{Attributes, RequestHead};

/// What the hooks of a request decided.
#[derive(Debug)]
pub enum Decision {
    Pass,
    Respond { plugin: Arc<str>, response: Response },
}

/// Run the request hooks in list order until one responds. `lent.request` is edited in place.
pub async fn on_request(
    plugins: &[Arc<Plugin>],
    worker: usize,
    lent: &mut Lent,
) -> Result<Decision, Failure> {
    for plugin in plugins.iter().filter(|plugin| plugin.has_request_hook()) {
        let policy = plugin.config.on_failure.on_request;
        let before = (policy == OnFailure::Pass).then(|| Edits::of(lent.request()));
        // In boxes, as all exchanges have room for what is awaited here, and most have no plugin.
        match (Box::pin(call_request(plugin, worker, lent)).await, before) {
            (Ok(verdict), _) => {
                if let RequestVerdict::Respond(response) = verdict {
                    return Ok(Decision::Respond { plugin: plugin.name(), response });
                }
            }
            (Err(failure), Some(before)) if failure.may_pass(policy) => {
                failure.passed_over();
                before.restore(lent.request());
            }
            (Err(failure), _) => return Err(failure),
        }
    }
    Ok(Decision::Pass)
}

/// Run the response hooks, the one nearest the upstream first. `lent.response` is edited in place.
pub async fn on_response(plugins: &[Arc<Plugin>], worker: usize, lent: &mut Lent) -> Result<(), Failure> {
    for plugin in plugins.iter().rev().filter(|plugin| plugin.has_response_hook()) {
        let policy = plugin.config.on_failure.on_response;
        let before = lent.response.as_ref().filter(|_| policy == OnFailure::Pass);
        let before: Option<(StatusCode, _)> =
            before.map(|response| (response.status, response.headers.clone()));
        match (Box::pin(call_response(plugin, worker, lent)).await, before) {
            (Ok(()), _) => {}
            (Err(failure), Some((status, headers))) if failure.may_pass(policy) => {
                failure.passed_over();
                if let Some(response) = &mut lent.response {
                    (response.status, response.headers) = (status, headers);
                }
            }
            (Err(failure), _) => return Err(failure),
        }
    }
    Ok(())
}

/// An instance is taken for one call; one that failed is not put back.
async fn call_request(
    plugin: &Arc<Plugin>,
    worker: usize,
    lent: &mut Lent,
) -> Result<RequestVerdict, Failure> {
    let admitted = plugin.admit("on-request")?;
    let mut instance = plugin.take(worker).await?;
    let verdict = instance.on_request(lent).await?;
    plugin.put_back(worker, instance);
    plugin.passed(admitted);
    Ok(verdict)
}

async fn call_response(plugin: &Arc<Plugin>, worker: usize, lent: &mut Lent) -> Result<(), Failure> {
    let admitted = plugin.admit("on-response")?;
    let mut instance = plugin.take(worker).await?;
    instance.on_response(lent).await?;
    plugin.put_back(worker, instance);
    plugin.passed(admitted);
    Ok(())
}

/// What a plugin may change of a request, kept in case it fails half-way and is passed over.
struct Edits {
    headers: http::HeaderMap,
    path_and_query: http::uri::PathAndQuery,
    upstream: Option<UpstreamIndex>,
    affinity: Option<String>,
    attributes: Attributes,
    held: usize,
}

impl Edits {
    fn of(request: &RequestHead) -> Self {
        Self {
            headers: request.headers.clone(),
            path_and_query: request.path_and_query.clone(),
            upstream: request.upstream,
            affinity: request.affinity.clone(),
            attributes: request.attributes.clone(),
            held: request.held.len(),
        }
    }

    fn restore(self, request: &mut RequestHead) {
        request.headers = self.headers;
        request.path_and_query = self.path_and_query;
        request.upstream = self.upstream;
        request.affinity = self.affinity;
        request.attributes = self.attributes;
        request.held.truncate(self.held);
    }
}
