//! What a leg puts on the wire, printed once and straight into its bytes.

use bytes::Bytes;

use crate::dialog::{Dialog, WayPoint};
use crate::leg::config::Own;
use crate::message::{Message, Method, Name, Text};
use crate::respond::reason_phrase;

/// What we understand beyond RFC 3261.
const SUPPORTED: &str = "100rel, timer";
/// The body of a session description.
pub(super) const SDP: &str = "application/sdp";

/// The head of a message on its way to bytes. Control characters in values become spaces.
pub(super) struct Head(Vec<u8>);

impl Head {
    fn with_start(room: usize, parts: [&str; 5]) -> Self {
        let mut head = Self(Vec::with_capacity(room));
        for part in parts {
            head.clean(part);
        }
        head.0.extend_from_slice(b"\r\n");
        head
    }

    /// A response with what RFC 3261 section 8.2.6 copies from the request. `tag` goes into a To without one.
    pub(super) fn reply(request: &Message, status: u16, reason: &str, tag: &str) -> Self {
        let reason = if reason.is_empty() { reason_phrase(status) } else { reason };
        let code = status.to_string();
        let mut head = Self::with_start(1024, ["SIP/2.0 ", &code, " ", reason, ""]);
        let makes_dialog =
            (101..300).contains(&status) && request.method() == Some(&Method::Invite);
        for (name, value) in &request.headers {
            match name {
                Name::Via | Name::From | Name::CallId | Name::CSeq => {
                    head.line(name.as_str(), value)
                }
                Name::To if status == 100 || request.to_tag().is_some() => head.line("To", value),
                Name::To => head.pieces("To", [value, ";tag=", tag]),
                Name::Timestamp if status == 100 => head.line("Timestamp", value),
                Name::RecordRoute if makes_dialog => head.line("Record-Route", value),
                _ => {}
            }
        }
        head
    }

    /// One header.
    pub(super) fn line(&mut self, name: &str, value: &str) {
        self.pieces(name, [value]);
    }

    /// One header whose value is made of pieces.
    pub(super) fn pieces<const N: usize>(&mut self, name: &str, pieces: [&str; N]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        for piece in pieces {
            self.clean(piece);
        }
        self.0.extend_from_slice(b"\r\n");
    }

    pub(super) fn lines(&mut self, extra: &[(Name, String)]) {
        for (name, value) in extra {
            // An unknown name is a peer's or a caller's text, and no token if it holds a colon or a space.
            if matches!(name, Name::Other(text) if !crate::list::is_token(text)) {
                continue;
            }
            self.line(name.as_str(), value);
        }
    }

    fn clean(&mut self, value: &str) {
        let control = |byte: u8| (byte < 0x20 && byte != b'\t') || byte == 0x7f;
        // No early exit, so that it runs on many bytes at once.
        if value.bytes().fold(false, |found, byte| found | control(byte)) {
            self.0.extend(value.bytes().map(|byte| if control(byte) { b' ' } else { byte }));
        } else {
            self.0.extend_from_slice(value.as_bytes());
        }
    }

    /// Contact, Allow and Supported, as what makes or refreshes a dialog carries them.
    pub(super) fn capabilities(&mut self, own: &Own) {
        self.pieces("Contact", ["<", &own.contact, ">"]);
        self.line("Allow", ALLOW);
        self.line("Supported", SUPPORTED);
    }

    /// Ends the head and adds the body.
    pub(super) fn finish(mut self, body: Option<(&str, &Bytes)>) -> Bytes {
        let body = body.filter(|(_, bytes)| !bytes.is_empty());
        if let Some((content_type, _)) = body {
            self.line("Content-Type", content_type);
        }
        let bytes = body.map_or(&[][..], |(_, bytes)| bytes);
        self.line("Content-Length", &bytes.len().to_string());
        self.0.extend_from_slice(b"\r\n");
        self.0.extend_from_slice(bytes);
        Bytes::from(self.0)
    }
}

/// The methods that a leg takes in its dialog.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO";

/// A request of ours before it has its number and branch: what sending it anew (after a challenge, a 422 or
/// a 491) and acknowledging or cancelling it needs.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) dialog: Dialog,
    pub(super) method: Method,
    pub(super) headers: Vec<(Name, String)>,
    pub(super) content_type: Text,
    pub(super) body: Bytes,
}

impl Draft {
    /// Without a body and without headers of its own.
    pub(super) const fn bare(dialog: Dialog, method: Method) -> Self {
        Self {
            dialog,
            method,
            headers: Vec::new(),
            content_type: Text::from_static(SDP),
            body: Bytes::new(),
        }
    }

    pub(super) fn with_sdp(mut self, sdp: Option<Bytes>) -> Self {
        self.body = sdp.unwrap_or_default();
        self
    }

    /// Puts a header in the place of one of the same name.
    pub(super) fn set(&mut self, name: Name, value: String) {
        self.headers.retain(|(key, _)| *key != name);
        self.headers.push((name, value));
    }

    /// Prints it under this number and branch.
    pub(super) fn print(&self, own: &Own, cseq: u32, branch: u32) -> Bytes {
        let mut head = self.start(own, &self.method, cseq, branch, &self.dialog.remote);
        if matches!(self.method, Method::Invite | Method::Update) {
            head.capabilities(own);
        }
        head.lines(&self.headers);
        let content_type = &*self.content_type;
        head.finish(Some((content_type, &self.body)))
    }

    /// The ACK of a refusal, or a CANCEL: of the same transaction, so with its branch, number and way.
    pub(super) fn print_companion(
        &self,
        own: &Own,
        method: &Method,
        (cseq, branch): (u32, u32),
        remote: &str,
        extra: &[(Name, String)],
    ) -> Bytes {
        let mut head = self.start(own, method, cseq, branch, remote);
        head.lines(extra);
        head.finish(None)
    }

    fn start(&self, own: &Own, method: &Method, cseq: u32, branch: u32, remote: &str) -> Head {
        let (uri, way) = self.dialog.way();
        let room = 1024 + self.body.len();
        let mut head = Head::with_start(room, [method.as_str(), " ", uri, " SIP/2.0", ""]);
        own.via(&mut head, branch);
        if !self.headers.iter().any(|(name, _)| *name == Name::MaxForwards) {
            head.line("Max-Forwards", "70");
        }
        for point in way {
            match point {
                WayPoint::Route(value) => head.line("Route", value),
                WayPoint::Target(uri) => head.pieces("Route", ["<", uri, ">"]),
            }
        }
        head.line("From", &self.dialog.local);
        head.line("To", remote);
        head.line("Call-ID", &self.dialog.call_id);
        head.pieces("CSeq", [&cseq.to_string(), " ", method.as_str()]);
        if !own.user_agent.is_empty() {
            head.line("User-Agent", &own.user_agent);
        }
        head
    }
}
