//! The head of an upstream's answer, made by a test.

use std::cell::{Cell, RefCell};

use super::fields::Fields;
use crate::error::EditError;
use crate::response::HeaderField;
use crate::text::Texts;

/// The state behind a [`crate::ResponseHead`].
#[derive(Debug)]
pub(crate) struct ResponseHead {
    status: Cell<u16>,
    fields: RefCell<Fields>,
}

impl ResponseHead {
    pub(crate) fn status(&self) -> u16 {
        self.status.get()
    }

    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.fields.borrow().joined(name)
    }

    pub(crate) fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.fields.borrow().values(name)
    }

    pub(crate) fn headers(&self) -> Vec<HeaderField> {
        self.fields.borrow().all()
    }

    pub(crate) fn set_status(&self, status: u16) -> Result<(), EditError> {
        if self.status.get() == 101 {
            return Err(EditError::Forbidden);
        }
        if !(200..=599).contains(&status) || [204, 205, 304].contains(&status) {
            return Err(EditError::Invalid);
        }
        self.status.set(status);
        Ok(())
    }

    pub(crate) fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.fields.borrow_mut().set(name, value)
    }

    pub(crate) fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.fields.borrow_mut().append(name, value)
    }

    pub(crate) fn remove_header(&self, name: &str) -> Result<(), EditError> {
        self.fields.borrow_mut().remove(name)
    }
}

/// In tests: making an answer's head. Not in a WebAssembly build.
impl crate::ResponseHead {
    /// A 200 without header fields, to be made different.
    ///
    /// ```
    /// use sluicegate_sdk::ResponseHead;
    ///
    /// assert_eq!(ResponseHead::builder().build().status(), 200);
    /// ```
    #[must_use]
    pub fn builder() -> ResponseHeadBuilder {
        ResponseHeadBuilder { status: 200, fields: Fields::default() }
    }
}

/// Makes a [`ResponseHead`](crate::ResponseHead) for a test.
///
/// ```
/// use sluicegate_sdk::ResponseHead;
///
/// let response = ResponseHead::builder().status(404).header("server", "x").build();
/// assert_eq!(response.header("server"), Some("x"));
/// ```
#[derive(Clone, Debug)]
pub struct ResponseHeadBuilder {
    status: u16,
    fields: Fields,
}

impl ResponseHeadBuilder {
    /// The status code.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// One more header field line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push(name, value.as_ref());
        self
    }

    /// The answer's head.
    #[must_use]
    pub fn build(self) -> crate::ResponseHead {
        crate::ResponseHead {
            host: ResponseHead { status: Cell::new(self.status), fields: RefCell::new(self.fields) },
            texts: Texts::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_101_stays() {
        let response = crate::ResponseHead::builder().status(101).build();
        assert_eq!(response.set_status(200), Err(EditError::Forbidden));
    }

    #[test]
    fn a_status_that_would_change_the_framing_is_refused() {
        let response = crate::ResponseHead::builder().build();
        for status in [0, 101, 199, 204, 205, 304, 600] {
            assert_eq!(response.set_status(status), Err(EditError::Invalid), "{status}");
        }
        assert_eq!(response.set_status(599), Ok(()));
        assert_eq!(response.status(), 599);
    }
}
