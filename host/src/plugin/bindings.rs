//! The Rust side of `wit/`, generated; nothing else is in here.
//!
//! Resources lent to a guest carry no number of their own: a guest has at most one request, response head and
//! connection in its hands, and finds it in the store it runs in ([`super::state::State`]).

#![allow(missing_docs, reason = "generated")]
#![allow(clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    exports: { default: async },
    imports: {
        "sluicegate:hooks/limits.take": async | trappable,
        "sluicegate:hooks/limits.acquire": async | trappable,
        "sluicegate:hooks/store.get": async | trappable,
        "sluicegate:hooks/store.set": async | trappable,
        "sluicegate:hooks/store.delete": async | trappable,
        "sluicegate:hooks/store.increment": async | trappable,
        "sluicegate:hooks/http.send": async | trappable,
        default: trappable,
    },
    ownership: Borrowing { duplicate_if_necessary: true },
    with: {
        "sluicegate:hooks/request.request": super::state::LentRequest,
        "sluicegate:hooks/response-head.response-head": super::state::LentResponse,
        "sluicegate:hooks/connection.connection": super::state::LentConnection,
        "sluicegate:hooks/limits.slot": crate::limits::Slot,
        "sluicegate:hooks/http.request": super::host::http::Request,
        "sluicegate:hooks/http.response": super::host::http::Response,
    },
});
