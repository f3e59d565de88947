//! Who answers the plugin's calls: the proxy, or natively the stand-in of [`testing`](crate::testing).
//!
//! Both have the same functions with the same signatures, those of the contract.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::imports::{
    clock, connection::Connection, env, http, limits, log, random, request::Request,
    response_head::ResponseHead, store,
};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::{
    Connection, Request, ResponseHead, clock, env, http, limits, log, random,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::store;
