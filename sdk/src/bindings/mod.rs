//! What `wit-bindgen` makes of the contract: the host's functions once, and one module for each hook.
//!
//! Each hook is a world of its own, so a plugin exports those it lists and no others. The crate's types stand
//! in for the generated ones (`with`), so nothing is converted at the boundary: a message arrives as the
//! `Message` that the plugin sees. What each world exports is told to the linker only by its export macro.

#![allow(missing_docs, unreachable_pub)] // generated code

mod adapter;
mod host;
mod lift;

pub use adapter::{Installed, LifecycleExport, Place, RequestExport, ResponseExport, SessionExport};
pub(crate) use host::sluicegate::hooks as imports;

/// The crate's types under the names the generated code looks for.
pub mod types {
    pub use crate::{CloseReason, Connection, HeaderField, Message, Request, Response, ResponseHead, Side};
}

/// The world `lifecycle-plugin`.
pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../wit",
        world: "lifecycle-plugin",
        pub_export_macro: true,
        export_macro_name: "export",
        type_section_suffix: "-lifecycle",
    });
}

/// The world `request-plugin`.
pub mod request {
    wit_bindgen::generate!({
        path: "../wit",
        world: "request-plugin",
        pub_export_macro: true,
        export_macro_name: "export",
        type_section_suffix: "-request",
        with: {
            "sluicegate:hooks/types@0.1.0": crate::bindings::types,
            "sluicegate:hooks/limits@0.1.0": crate::bindings::imports::limits,
            "sluicegate:hooks/request@0.1.0": crate::bindings::types,
            "sluicegate:hooks/request-hook@0.1.0/request-verdict": crate::RequestVerdict,
        },
    });
}

/// The world `response-plugin`.
pub mod response {
    wit_bindgen::generate!({
        path: "../wit",
        world: "response-plugin",
        pub_export_macro: true,
        export_macro_name: "export",
        type_section_suffix: "-response",
        with: {
            "sluicegate:hooks/types@0.1.0": crate::bindings::types,
            "sluicegate:hooks/limits@0.1.0": crate::bindings::imports::limits,
            "sluicegate:hooks/request@0.1.0": crate::bindings::types,
            "sluicegate:hooks/response-head@0.1.0": crate::bindings::types,
        },
    });
}

/// The world `session-plugin`.
pub mod session {
    wit_bindgen::generate!({
        path: "../wit",
        world: "session-plugin",
        pub_export_macro: true,
        export_macro_name: "export",
        type_section_suffix: "-session",
        with: {
            "sluicegate:hooks/types@0.1.0": crate::bindings::types,
            "sluicegate:hooks/limits@0.1.0": crate::bindings::imports::limits,
            "sluicegate:hooks/request@0.1.0": crate::bindings::types,
            "sluicegate:hooks/connection@0.1.0": crate::bindings::types,
            "sluicegate:hooks/session-hook@0.1.0/message-verdict": crate::MessageVerdict,
            "sluicegate:hooks/session-hook@0.1.0/closer": crate::Closer,
            "sluicegate:hooks/session-hook@0.1.0/close-info": crate::CloseInfo,
        },
    });
}
