//! Messages of our own, line by line.

use bytes::Bytes;

use super::{Message, Method, Name, Start, Text, print};
use crate::list::trim;
use crate::name_addr::NameAddr;
use crate::respond::reason_phrase;

/// Builds a message in the order in which it is printed. Values are cleaned by [`Text`]: no
/// CR, LF or NUL can pass.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder(Message);

impl Message {
    /// A request with a start line only; the caller adds every header.
    pub fn request(method: Method, uri: impl Into<Text>) -> Builder {
        let uri = uri.into();
        Builder(Self {
            start: Start::Request { method, uri },
            headers: Vec::with_capacity(20),
            body: Bytes::new(),
        })
    }

    /// A response with what RFC 3261 §8.2.6 copies from the request: Via, From, To, Call-ID,
    /// CSeq, to a 100 Timestamp too, and to what can make a dialog Record-Route. An empty
    /// reason stands for the usual phrase.
    pub fn response_to(request: &Self, status: u16, reason: &str) -> Builder {
        let reason = if reason.is_empty() {
            Text::from_static(reason_phrase(status))
        } else {
            Text::new(reason)
        };
        let makes_dialog = (101..300).contains(&status)
            && matches!(request.method(), Some(Method::Invite | Method::Subscribe | Method::Refer));
        let mut headers = Vec::with_capacity(16);
        for (name, value) in &request.headers {
            let copied = match name {
                Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq => true,
                Name::Timestamp => status == 100,
                Name::RecordRoute => makes_dialog,
                _ => false,
            };
            if copied {
                headers.push((name.clone(), value.clone()));
            }
        }
        Builder(Self { start: Start::Response { status, reason }, headers, body: Bytes::new() })
    }
}

impl Builder {
    pub fn header(mut self, name: Name, value: impl Into<Text>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// One line each.
    pub fn headers<N, V>(mut self, headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Name>,
        V: Into<Text>,
    {
        for (name, value) in headers {
            self.0.headers.push((name.into(), value.into()));
        }
        self
    }

    /// Puts the line before all others, as a new topmost Via needs it.
    pub fn header_first(mut self, name: Name, value: impl Into<Text>) -> Self {
        self.0.headers.insert(0, (name, value.into()));
        self
    }

    /// Adds `;tag=` to the To where it has none yet.
    pub fn to_tag(mut self, tag: &str) -> Self {
        for (name, value) in &mut self.0.headers {
            if *name == Name::To && NameAddr::parse(value).is_ok_and(|to| to.tag().is_none()) {
                *value = Text::from(format!("{};tag={tag}", trim(value)));
            }
        }
        self
    }

    /// An empty body gets no Content-Type.
    pub fn body(mut self, content_type: impl Into<Text>, body: impl Into<Bytes>) -> Self {
        self.0.body = body.into();
        if !self.0.body.is_empty() {
            self.0.headers.push((Name::ContentType, content_type.into()));
        }
        self
    }

    pub fn sdp(self, sdp: Bytes) -> Self {
        self.body(Text::from_static("application/sdp"), sdp)
    }

    pub fn build(self) -> Message {
        self.0
    }

    pub fn print(&self) -> Bytes {
        print(&self.0)
    }
}

impl From<&Self> for Name {
    fn from(name: &Self) -> Self {
        name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_copies_what_the_request_brought() {
        let invite = Message::request(Method::Invite, "sip:b@gw")
            .header(Name::Via, Text::from_static("SIP/2.0/WS x.invalid;branch=z9hG4bK1"))
            .header(Name::Via, Text::from_static("SIP/2.0/UDP y;branch=z9hG4bK0"))
            .header(Name::RecordRoute, Text::from_static("<sip:p;lr>"))
            .header(Name::Timestamp, Text::from_static("54"))
            .header(Name::From, Text::from_static("<sip:a@gw>;tag=1"))
            .header(Name::To, Text::from_static("<sip:b@gw>"))
            .header(Name::CallId, Text::from_static("c1"))
            .header(Name::CSeq, Text::from_static("1 INVITE"))
            .build();
        let ringing = Message::response_to(&invite, 180, "").to_tag("t9").to_tag("again").build();
        assert_eq!(ringing.reason(), "Ringing");
        assert_eq!(ringing.headers_of(&Name::Via).count(), 2);
        assert_eq!(ringing.to_tag(), Some("t9"));
        assert_eq!(ringing.header(&Name::RecordRoute), Some("<sip:p;lr>"));
        assert_eq!(ringing.header(&Name::Timestamp), None);
        assert_eq!(ringing.cseq(), (1, Method::Invite));
        let trying = Message::response_to(&invite, 100, "").build();
        assert_eq!(trying.header(&Name::Timestamp), Some("54"));
        assert_eq!(trying.header(&Name::RecordRoute), None);
        assert_eq!(trying.to_tag(), None);
    }

    #[test]
    fn no_value_can_add_a_line() {
        let printed = Message::request(Method::Info, "sip:b@gw\r\nEvil: 1")
            .header(Name::Reason, "x\r\nEvil: 2\0")
            .headers([(&Name::Subject, String::from("a\nEvil: 3"))])
            .sdp(Bytes::new())
            .print();
        let text = String::from_utf8(printed.to_vec()).unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("Evil")).count(), 0);
        assert!(!text.contains('\0') && !text.contains("Content-Type"));
    }
}
