//! Where in a request a key stands: the texts `header:NAME`, `cookie:NAME` and `query:NAME` of settings.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use crate::request::Request;

/// The part of a request that tells one user, room or tenant from another, as settings name it.
///
/// ```
/// use sluicegate_sdk::{Request, RequestKey};
///
/// let room: RequestKey = "query:room".parse()?;
/// let request = Request::builder().path("/ws?room=blue").build();
/// assert_eq!(room.of(&request), Some("blue"));
/// # Ok::<(), sluicegate_sdk::RequestKeyError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum RequestKey {
    /// `header:NAME`: the field's value, all its lines joined.
    Header(String),
    /// `cookie:NAME`: the value of the first cookie of this name.
    Cookie(String),
    /// `query:NAME`: the first parameter of this name, decoded.
    Query(String),
}

impl RequestKey {
    /// What stands there in this request; `None` where it has no such part.
    ///
    /// ```
    /// use sluicegate_sdk::{Request, RequestKey};
    ///
    /// let key = RequestKey::Header("x-user".to_owned());
    /// assert_eq!(key.of(&Request::builder().header("x-user", "ada").build()), Some("ada"));
    /// assert_eq!(key.of(&Request::builder().build()), None);
    /// ```
    #[must_use]
    pub fn of<'a>(&self, request: &'a Request) -> Option<&'a str> {
        match self {
            Self::Header(name) => request.header(name),
            Self::Cookie(name) => request.cookie(name),
            Self::Query(name) => request.query_parameter(name),
        }
    }
}

impl FromStr for RequestKey {
    type Err = RequestKeyError;

    fn from_str(text: &str) -> Result<Self, RequestKeyError> {
        let error = || RequestKeyError { text: text.to_owned() };
        let (part, name) = text.split_once(':').ok_or_else(error)?;
        if name.is_empty() {
            return Err(error());
        }
        match part {
            "header" => Ok(Self::Header(name.to_owned())),
            "cookie" => Ok(Self::Cookie(name.to_owned())),
            "query" => Ok(Self::Query(name.to_owned())),
            _ => Err(error()),
        }
    }
}

impl<'de> Deserialize<'de> for RequestKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A text that is not a [`RequestKey`].
///
/// ```
/// use sluicegate_sdk::RequestKey;
///
/// let error = "room".parse::<RequestKey>().unwrap_err();
/// assert_eq!(error.to_string(), "`room` names no part of a request; write header:NAME, cookie:NAME or query:NAME");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestKeyError {
    text: String,
}

impl fmt::Display for RequestKeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "`{}` names no part of a request; write header:NAME, cookie:NAME or query:NAME",
            self.text
        )
    }
}

impl Error for RequestKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_looked_up_in_its_place() {
        let request =
            Request::builder().path("/?a=query").header("a", "header").header("cookie", "a=cookie").build();
        for part in ["header", "cookie", "query"] {
            let key: RequestKey = format!("{part}:a").parse().unwrap();
            assert_eq!(key.of(&request), Some(part));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "header", "header:", "path:x", "Header:x"] {
            assert!(text.parse::<RequestKey>().is_err(), "{text}");
        }
    }
}
