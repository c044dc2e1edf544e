//! SIP messages as plain text, read by a few lines of their own: what the gateway's reader lets
//! through must not decide what its tests see.

use std::fmt;

/// A message in parts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sip {
    pub(crate) start: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Sip {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("SIP messages are UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a message has an empty line");
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header has a colon");
                (name.trim().to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        Self { start, headers, body: body.to_owned() }
    }

    /// Of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// Of a request; empty for a response.
    pub(crate) fn method(&self) -> &str {
        if self.status().is_some() { "" } else { self.start.split(' ').next().unwrap() }
    }

    /// The Request-URI.
    pub(crate) fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().filter(move |(each, _)| *each == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn must(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("{name} is missing: {self}"))
    }

    pub(crate) fn call_id(&self) -> &str {
        self.must("call-id")
    }

    /// The tag of From or To.
    pub(crate) fn tag(&self, of: &str) -> Option<&str> {
        param(self.must(of), "tag")
    }

    /// The topmost Via's.
    pub(crate) fn branch(&self) -> &str {
        param(self.must("via"), "branch").expect("a Via has a branch")
    }

    pub(crate) fn cseq(&self) -> (u64, &str) {
        let (number, method) = self.must("cseq").split_once(' ').unwrap();
        (number.parse().unwrap(), method)
    }

    /// A response to a request of `method` in this call.
    pub(crate) fn answers(&self, method: &str, call_id: &str) -> bool {
        self.status().is_some() && self.cseq().1 == method && self.call_id() == call_id
    }

    /// A request of `method` in this call.
    pub(crate) fn asks(&self, method: &str, call_id: &str) -> bool {
        self.method() == method && self.call_id() == call_id
    }

    /// The URI in angle brackets.
    pub(crate) fn uri_in(&self, header: &str) -> &str {
        let value = self.must(header);
        let (_, rest) = value.split_once('<').unwrap_or(("", value));
        rest.split('>').next().unwrap()
    }

    /// The response to this request: what it must copy, a To tag where one is given, and more
    /// lines, each with its line end.
    pub(crate) fn response(
        &self,
        status: u16,
        to_tag: Option<&str>,
        more: &str,
        body: &str,
    ) -> String {
        let mut out = format!("SIP/2.0 {status} Because\r\n");
        for via in self.all("via") {
            out.push_str(&format!("Via: {via}\r\n"));
        }
        let mut to = self.must("to").to_owned();
        if let (Some(tag), None) = (to_tag, self.tag("to")) {
            to.push_str(&format!(";tag={tag}"));
        }
        out.push_str(&format!(
            "From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.must("from"),
            self.call_id(),
            self.must("cseq"),
            body.len()
        ));
        out
    }

    /// What every refusal of the gateway's own says: its code in `X-Sautikit-Error` and a text for
    /// people in `Warning`. Gives status and code.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let warning = self.must("warning");
        let text = warning.strip_prefix("399 ").and_then(|rest| rest.split('"').nth(1));
        assert!(text.is_some_and(|text| text.len() > 10), "{warning}");
        (self.status().unwrap(), self.must("x-sautikit-error").to_owned())
    }

    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.header("retry-after").map(|text| text.parse().unwrap())
    }
}

impl fmt::Display for Sip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.start)?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {value}")?;
        }
        write!(f, "  ({} bytes of body)", self.body.len())
    }
}

impl fmt::Debug for Sip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let outside = value.rsplit('>').next().unwrap();
    outside.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

/// An offer or answer of one audio stream of PCMU and PCMA at an address nobody listens at.
pub(crate) fn sdp(user: &str, port: u16) -> String {
    format!(
        "v=0\r\no={user} 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}
