//! Logs every call of its hooks.

use sluicegate_sdk::prelude::*;

struct Recorder;

struct Open;

impl Plugin for Recorder {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

impl RequestHook for Recorder {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        log::info!("on-request {} {} websocket={}", request.method(), request.path(), request.is_websocket());
        if let Some(shown) = request.client_certificate() {
            log::info!("shown {shown:?}");
        }
        RequestVerdict::Pass
    }
}

impl ResponseHook for Recorder {
    fn on_response(&self, request: &Request, response: &ResponseHead) {
        log::info!("on-response {} {}", request.path(), response.status());
    }
}

impl SessionHook for Recorder {
    type Session = Open;

    fn open(&self, request: &Request, connection: &Connection) -> Result<Open, Response> {
        log::info!("open {} subprotocol={:?}", request.path(), connection.subprotocol());
        Ok(Open)
    }
}

impl Session for Open {
    type Plugin = Recorder;

    fn on_message(&mut self, _: &Recorder, _: &Connection, sender: Side, message: Message) -> MessageVerdict {
        log::info!("on-message {sender:?} {message:?}");
        MessageVerdict::Forward
    }

    fn on_drain(&mut self, _: &Recorder, connection: &Connection) {
        let sent = connection.send(Side::Client, "the proxy will close this session");
        log::info!("on-drain {sent:?}");
    }

    fn on_close(&mut self, _: &Recorder, _: &Connection, closed: CloseInfo) {
        let CloseInfo { closer, clean, code, reason } = closed;
        log::info!("on-close {closer:?} clean={clean} code={code:?} reason={reason}");
    }
}

export!(Recorder: RequestHook, ResponseHook, SessionHook);
