//! `response-head`

use http::StatusCode;
use wasmtime::component::Resource;
use wasmtime::format_err;

use super::request::{all_headers, append_header, header_lines, header_value, remove_header, set_header};
use crate::plugin::bindings::sluicegate::hooks::request::EditError;
use crate::plugin::bindings::sluicegate::hooks::response_head::{Host, HostResponseHead};
use crate::plugin::bindings::sluicegate::hooks::types::HeaderField;
use crate::plugin::state::{LentResponse, State};
use crate::request::ResponseHead;

type Handle = Resource<LentResponse>;
type Edited = wasmtime::Result<Result<(), EditError>>;

impl Host for State {}

impl State {
    fn response(&mut self) -> wasmtime::Result<&mut ResponseHead> {
        let lent = self.lent.response.as_deref_mut();
        lent.ok_or_else(|| format_err!("the response was used outside of the call it was lent for"))
    }
}

impl HostResponseHead for State {
    fn status(&mut self, _: Handle) -> wasmtime::Result<u16> {
        Ok(self.response()?.status.as_u16())
    }

    fn header(&mut self, _: Handle, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        header_value(&self.response()?.headers, &name)
    }

    fn header_lines(&mut self, _: Handle, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        header_lines(&self.response()?.headers, &name)
    }

    fn headers(&mut self, _: Handle) -> wasmtime::Result<Vec<HeaderField>> {
        Ok(all_headers(&self.response()?.headers))
    }

    fn set_status(&mut self, _: Handle, status: u16) -> Edited {
        let response = self.response()?;
        Ok(match (response.status, status) {
            // Whether there is a body, and how it is framed, was settled by the upstream's status.
            (StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _)
            | (_, 204 | 205 | 304) => Err(EditError::Forbidden),
            (_, 200..=599) => StatusCode::from_u16(status)
                .map(|status| response.status = status)
                .map_err(|_| EditError::Invalid),
            _ => Err(EditError::Invalid),
        })
    }

    fn set_header(&mut self, _: Handle, name: String, value: Vec<u8>) -> Edited {
        Ok(set_header(&mut self.response()?.headers, &name, &value))
    }

    fn append_header(&mut self, _: Handle, name: String, value: Vec<u8>) -> Edited {
        Ok(append_header(&mut self.response()?.headers, &name, &value))
    }

    fn remove_header(&mut self, _: Handle, name: String) -> Edited {
        Ok(remove_header(&mut self.response()?.headers, &name))
    }

    fn drop(&mut self, _: Handle) -> wasmtime::Result<()> {
        Ok(())
    }
}
