//! The host's functions and resources, bound once for all hooks.

wit_bindgen::generate!({
    path: "../wit",
    inline: "
        package sluicegate:sdk;

        world host {
            import sluicegate:hooks/log@0.1.0;
            import sluicegate:hooks/limits@0.1.0;
            import sluicegate:hooks/clock@0.1.0;
            import sluicegate:hooks/random@0.1.0;
            import sluicegate:hooks/env@0.1.0;
            import sluicegate:hooks/http@0.1.0;
            import sluicegate:hooks/store@0.1.0;
            import sluicegate:hooks/request@0.1.0;
            import sluicegate:hooks/response-head@0.1.0;
            import sluicegate:hooks/connection@0.1.0;
        }
    ",
    generate_all,
    with: {
        "sluicegate:hooks/types@0.1.0": crate::bindings::types,
        "sluicegate:hooks/log@0.1.0/level": crate::log::Level,
        "sluicegate:hooks/http@0.1.0/http-error": crate::http::HttpError,
        "sluicegate:hooks/limits@0.1.0/rate": crate::limits::Rate,
        "sluicegate:hooks/store@0.1.0/store-error": crate::store::StoreError,
        "sluicegate:hooks/request@0.1.0/edit-error": crate::EditError,
        "sluicegate:hooks/request@0.1.0/client-certificate": crate::ClientCertificate,
        "sluicegate:hooks/connection@0.1.0/message-kinds": crate::MessageKinds,
        "sluicegate:hooks/connection@0.1.0/send-error": crate::SendError,
    },
});
