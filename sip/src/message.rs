//! A SIP message: start line, headers in their order, body.
//!
//! A message that came from the [reader](crate::reader) has exactly one well-formed From, To,
//! Call-ID and CSeq and at least one well-formed Via, and its CSeq names its method; so the
//! getters of these never come back empty. Of a message that was built by hand they return
//! what is there.

use bytes::Bytes;

use crate::list::{Params, Values, cut, number, trim};
use crate::name_addr::{NameAddr, tag_of};
pub use crate::names::{Method, Name};
pub use crate::text::Text;
use crate::via::Via;

mod build;
mod print;

pub use build::Builder;
pub use print::print;

/// One header line each, in the order of the message; a line may hold several values.
pub type Headers = Vec<(Name, Text)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub start: Start,
    pub headers: Headers,
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    Request { method: Method, uri: Text },
    Response { status: u16, reason: Text },
}

impl Message {
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The request's method; `None` for a response.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The Request-URI; `None` for a response.
    pub fn uri(&self) -> Option<&str> {
        match &self.start {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        }
    }

    /// The response's status; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The response's reason phrase; empty for a request.
    pub fn reason(&self) -> &str {
        match &self.start {
            Start::Request { .. } => "",
            Start::Response { reason, .. } => reason,
        }
    }

    /// The first line of that name, with all its values.
    pub fn header(&self, name: &Name) -> Option<&str> {
        self.headers_of(name).next()
    }

    /// All lines of that name.
    pub fn headers_of<'m>(&'m self, name: &Name) -> impl Iterator<Item = &'m str> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of that name, over all its lines, split at commas outside of quotes and
    /// angle brackets. For lists only: not for Authorization, Date or WWW-Authenticate.
    pub fn values<'m>(&'m self, name: &Name) -> impl Iterator<Item = &'m str> {
        self.headers_of(name).flat_map(Values::new).filter(|value| !value.is_empty())
    }

    /// Whether a list (Supported, Require, Allow) holds `wanted`, without regard to case.
    pub fn lists(&self, name: &Name, wanted: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(wanted))
    }

    pub fn call_id(&self) -> &str {
        self.header(&Name::CallId).unwrap_or_default()
    }

    /// Sequence number and method.
    pub fn cseq(&self) -> (u32, Method) {
        self.header(&Name::CSeq)
            .and_then(parse_cseq)
            .map_or((0, Method::Other(Text::EMPTY)), |(number, name)| (number, Method::parse(name)))
    }

    /// The CSeq's number alone.
    pub fn cseq_number(&self) -> u32 {
        self.header(&Name::CSeq).and_then(parse_cseq).map_or(0, |(number, _)| number)
    }

    pub fn from(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.header(&Name::From)?).ok()
    }

    pub fn to(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.header(&Name::To)?).ok()
    }

    /// `None` is the null tag of RFC 2543.
    pub fn from_tag(&self) -> Option<&str> {
        tag_of(self.header(&Name::From)?)
    }

    /// `None` means that the request is outside of any dialog.
    pub fn to_tag(&self) -> Option<&str> {
        tag_of(self.header(&Name::To)?)
    }

    pub fn top_via(&self) -> Option<Via<'_>> {
        Via::parse(self.values(&Name::Via).next()?).ok()
    }

    /// The branch of the topmost Via; `None` from a client of RFC 2543.
    pub fn branch(&self) -> Option<&str> {
        self.top_via()?.branch()
    }

    /// The first Contact that is an address; `None` for `*`.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.values(&Name::Contact).next()?).ok()
    }

    /// All Contacts that are addresses, in order.
    pub fn contacts(&self) -> impl Iterator<Item = NameAddr<'_>> {
        self.values(&Name::Contact).filter_map(|value| NameAddr::parse(value).ok())
    }

    /// Absent counts as 70.
    pub fn max_forwards(&self) -> u8 {
        self.header(&Name::MaxForwards).and_then(number).unwrap_or(70)
    }

    /// The media type of the body, lower case, without parameters; `None` without a body.
    pub fn content_type(&self) -> Option<String> {
        if self.body.is_empty() {
            return None;
        }
        let value = self.header(&Name::ContentType)?;
        let media_type = value.split(';').next().unwrap_or_default();
        Some(trim(media_type).to_ascii_lowercase())
    }

    /// The body where it is SDP. Without a Content-Type a body that begins as SDP counts.
    pub fn sdp(&self) -> Option<Bytes> {
        let is_sdp = match self.header(&Name::ContentType) {
            Some(value) => {
                let media_type = value.split(';').next().unwrap_or_default();
                trim(media_type).eq_ignore_ascii_case("application/sdp")
            }
            None => self.body.starts_with(b"v=0"),
        };
        (is_sdp && !self.body.is_empty()).then(|| self.body.clone())
    }

    /// Writes `received` and `rport` into the topmost Via where they belong (RFC 3261 §18.2.1,
    /// RFC 3581 §4). For requests that came by datagram, before a leg sees them.
    pub fn set_source(&mut self, source: std::net::SocketAddr) {
        let Some((_, line)) = self.headers.iter_mut().find(|(name, _)| *name == Name::Via) else {
            return;
        };
        let mut values = Values::new(line);
        let Some(via) = values.next().and_then(|top| Via::parse(top).ok()) else { return };
        let mut text = via.with_source(source);
        for value in values {
            text.push_str(", ");
            text.push_str(value);
        }
        if text != line.as_str() {
            *line = Text::from(text);
        }
    }
}

/// `314159 INVITE`: the number and the method's name.
pub(crate) fn parse_cseq(value: &str) -> Option<(u32, &str)> {
    let (digits, method) = trim(value).split_once([' ', '\t'])?;
    Some((number(digits)?, trim(method)))
}

/// `value` with the parameters of `text` split off: `("presence", id=7)`.
pub fn value_and_params(value: &str) -> (&str, Params<'_>) {
    match cut(value, b';') {
        Some((value, params)) => (trim(value), Params::parse(params).unwrap_or_default()),
        None => (trim(value), Params::default()),
    }
}
