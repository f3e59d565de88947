//! Numbers to enums, called by the generated bindings. The cases stand in the contract's order, which a
//! published interface never changes; the other direction is `as i32`.

use crate::http::HttpError;
use crate::store::StoreError;
use crate::{Closer, EditError, SendError, Side};

impl Side {
    pub(crate) fn _lift(discriminant: u8) -> Self {
        match discriminant {
            0 => Self::Client,
            _ => Self::Upstream,
        }
    }
}

impl Closer {
    pub(crate) fn _lift(discriminant: u8) -> Self {
        match discriminant {
            0 => Self::Client,
            1 => Self::Upstream,
            2 => Self::Plugin,
            _ => Self::Proxy,
        }
    }
}

impl EditError {
    pub(crate) fn _lift(discriminant: u8) -> Self {
        match discriminant {
            0 => Self::TooLate,
            1 => Self::Invalid,
            2 => Self::Forbidden,
            3 => Self::UnknownUpstream,
            _ => Self::TooMany,
        }
    }
}

impl SendError {
    pub(crate) fn _lift(discriminant: u8) -> Self {
        match discriminant {
            0 => Self::Closing,
            1 => Self::TooLarge,
            _ => Self::Backlog,
        }
    }
}

impl HttpError {
    pub(crate) fn _lift(discriminant: u8) -> Self {
        match discriminant {
            0 => Self::NotGranted,
            1 => Self::Invalid,
            2 => Self::Timeout,
            3 => Self::Unreachable,
            4 => Self::TooLarge,
            5 => Self::TooMany,
            _ => Self::Other,
        }
    }
}

impl StoreError {
    pub(crate) fn _lift(discriminant: u8) -> Self {
        match discriminant {
            0 => Self::Unavailable,
            1 => Self::TooLarge,
            2 => Self::NotANumber,
            _ => Self::Other,
        }
    }
}
