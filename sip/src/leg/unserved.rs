//! The INVITE that no leg can serve as it is.

use super::refresh::{self, LEAST};
use crate::dialog::Dialog;
use crate::list::Malformed;
use crate::message::{Message, Name};
use crate::respond::{fault_headers, protocol_fault};

/// Why an INVITE cannot be served, whoever calls whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    pub status: u16,
    /// What is wrong, where it is more than the status says.
    pub(super) text: String,
    /// What the answer must have, such as Unsupported.
    pub(super) extra: Vec<(Name, String)>,
}

impl Unserved {
    /// Judges an INVITE without a To tag, as [`Leg::incoming`](super::Leg::incoming) does: for whoever wants to know
    /// before anything is reserved for the call.
    #[must_use]
    pub fn of(invite: &Message) -> Option<Self> {
        match Dialog::of_invite(invite, "") {
            Ok(_) => Self::beyond_us(invite),
            Err(malformed) => Some(malformed.into()),
        }
    }

    /// What a well-formed INVITE asks for and nobody here does.
    pub(super) fn beyond_us(invite: &Message) -> Option<Self> {
        let of = |status, name, value: String| {
            Some(Self { status, text: String::new(), extra: vec![(name, value)] })
        };
        // Whoever insists on reliable provisional responses gets none from us (RFC 3262 section 3).
        if invite.lists(&Name::Require, "100rel") {
            return of(420, Name::Unsupported, "100rel".to_owned());
        }
        let too_short = refresh::asked(invite).is_some_and(|(seconds, _)| seconds < LEAST);
        if too_short { of(422, Name::MinSe, LEAST.to_string()) } else { None }
    }

    /// The code of the answer: its `X-Sautikit-Error`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        protocol_fault(self.status).map_or("request.malformed", |(code, _)| code)
    }

    /// The headers of the answer: its code, a text for people in the name of `host`, and what it must have.
    #[must_use]
    pub fn headers(&self, host: &str) -> Vec<(Name, String)> {
        let mut headers = fault_headers(self.status, host, &self.text);
        headers.extend_from_slice(&self.extra);
        headers
    }
}

impl From<Malformed> for Unserved {
    fn from(malformed: Malformed) -> Self {
        Self { status: 400, text: malformed.to_string(), extra: Vec::new() }
    }
}
