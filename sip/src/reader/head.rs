//! The head of a message: start line and header lines.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;
use std::sync::Arc;

use sautikit_core::limits::{SIP_HEADERS_MAX, SIP_LINE_MAX_BYTES};

use super::Fault;
use crate::list::{cut, is_token, number};
use crate::message::{Headers, Method, Name, Start, Text};

/// What could be read, and the first thing that is wrong with it: an answer needs the one
/// and says the other.
pub(super) struct Head {
    pub(super) start_line: Start,
    pub(super) headers: Headers,
    pub(super) fault: Option<Fault>,
}

impl Head {
    /// `bytes` end before the empty line. `None` where the first line is none of SIP's.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(bytes),
        };
        // A carrier's reason phrase or Server line in Latin-1 must not cost a call, so a
        // response is read with replacement characters; a request is refused.
        let is_response = bytes.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"SIP/"));
        let damaged = matches!(text, Cow::Owned(_)) && !is_response;
        let mut head = match Self::split(&Arc::from(&*text), Pass::First) {
            Ok(head) => head,
            Err(Untidy) => Self::split(&Arc::from(tidy(&text)), Pass::Tidied).ok().flatten(),
        }?;
        if damaged {
            head.fault = Some(Fault::bad("Headers are not UTF-8"));
        }
        Some(head)
    }

    fn split(head: &Arc<str>, pass: Pass) -> Result<Option<Self>, Untidy> {
        let mut lines = Lines { head, next: Some(0), pass };
        let Some((first, first_fault)) = lines.next().transpose()? else { return Ok(None) };
        let Some((start_line, start_fault)) = start_line(&first) else { return Ok(None) };
        let mut fault = first_fault.or(start_fault);
        let mut headers = Headers::with_capacity(24);
        for (before, line) in lines.enumerate() {
            let (line, line_fault) = line?;
            fault = fault.or(line_fault);
            // Torn lines count too: 64 KiB of them are not to be looked at one by one.
            if before >= SIP_HEADERS_MAX {
                fault = fault.or(Some(Fault::too_large("Too many headers")));
                break;
            }
            if line.len() > SIP_LINE_MAX_BYTES {
                fault = fault.or(Some(Fault::too_large("Header line too long")));
                continue;
            }
            match line.header() {
                Some(header) => headers.push(header),
                None => fault = fault.or(Some(Fault::bad("Malformed header line"))),
            }
        }
        Ok(Some(Self { start_line, headers, fault }))
    }
}

/// The head has folded lines or escaped control characters: rare, and read in a second way.
struct Untidy;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    First,
    /// What is still wrong now is a fault.
    Tidied,
}

/// One line, without its line break.
struct Line<'a> {
    head: &'a Arc<str>,
    start: usize,
    end: usize,
    /// Holds a control character: it is refused, and must not come back in the answer.
    is_dirty: bool,
}

impl Line<'_> {
    fn as_str(&self) -> &str {
        self.head.get(self.start..self.end).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// A piece of this line as a text.
    fn text(&self, piece: &str) -> Text {
        if self.is_dirty {
            return Text::new(piece);
        }
        let offset = (piece.as_ptr() as usize).saturating_sub(self.head.as_ptr() as usize);
        Text::slice(self.head, offset..offset.saturating_add(piece.len()))
    }

    /// `Name : value`; spaces may stand before the colon (RFC 3261 §25.1 HCOLON).
    fn header(&self) -> Option<(Name, Text)> {
        let (name, value) = cut(self.as_str(), b':')?;
        let name = name.trim_end_matches([' ', '\t']);
        if !is_token(name) {
            return None;
        }
        let name = Name::known(name).unwrap_or_else(|| Name::Other(self.text(name)));
        Some((name, self.text(crate::list::trim(value))))
    }
}

struct Lines<'a> {
    head: &'a Arc<str>,
    next: Option<usize>,
    pass: Pass,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<(Line<'a>, Option<Fault>), Untidy>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.next?;
        let rest = self.head.as_bytes().get(start..)?;
        let mut fault = None;
        let length = match memchr::memchr(b'\n', rest) {
            Some(at) => {
                let next = start.saturating_add(at).saturating_add(1);
                self.next = Some(next);
                let is_folded = matches!(self.head.as_bytes().get(next), Some(b' ' | b'\t'));
                if is_folded && self.pass == Pass::First {
                    return Some(Err(Untidy));
                }
                match at.checked_sub(1) {
                    Some(before) if rest.get(before) == Some(&b'\r') => before,
                    _ => {
                        fault = Some(Fault::bad("Line feed without carriage return"));
                        at
                    }
                }
            }
            None => {
                self.next = None;
                rest.len()
            }
        };
        let line = rest.get(..length).unwrap_or_default();
        // No early exit, so that it runs on many bytes at once.
        let is_dirty = line.iter().fold(false, |found, &byte| found | is_control(byte));
        if is_dirty {
            let is_escaped = |(at, byte): (usize, &u8)| {
                !is_control(*byte) || at.checked_sub(1).and_then(|at| line.get(at)) == Some(&b'\\')
            };
            if self.pass == Pass::First && line.iter().enumerate().all(is_escaped) {
                return Some(Err(Untidy));
            }
            fault = fault.or(Some(Fault::bad("Control character in a header")));
        }
        let end = start.saturating_add(length);
        Some(Ok((Line { head: self.head, start, end, is_dirty }, fault)))
    }
}

const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// Unfolds lines (RFC 3261 §7.3.1: a line break before a space or tab is one space), and
/// replaces a control character that a quoted string may hold behind a backslash (§25.1
/// `quoted-pair`; line breaks never) by a question mark: no text of ours holds one. What was
/// folded at its first line, or escaped outside of quotes, stays as it is and is refused.
fn tidy(head: &str) -> String {
    let mut tidied = String::with_capacity(head.len());
    let mut quoted = false;
    let mut chars = head.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\r' && chars.peek() == Some(&'\n') {
            chars.next();
            if !tidied.is_empty() && matches!(chars.peek(), Some(' ' | '\t')) {
                while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
                tidied.push(' ');
            } else {
                quoted = false;
                tidied.push_str("\r\n");
            }
            continue;
        }
        tidied.push(c);
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                let is_escape = |c: &char| !matches!(c, '\r' | '\n');
                if let Some(escaped) = chars.next_if(is_escape) {
                    tidied.push(if escaped.is_ascii_control() { '?' } else { escaped });
                }
            }
            _ => {}
        }
    }
    tidied
}

/// The start line and what is wrong with it; `None` where it is none at all.
fn start_line(line: &Line<'_>) -> Option<(Start, Option<Fault>)> {
    let text = line.as_str();
    if text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("SIP/")) {
        return status_line(line).map(|start| (start, None));
    }
    let (method, rest) = cut(text, b' ')?;
    if !is_token(method) || line.len() > SIP_LINE_MAX_BYTES {
        return None;
    }
    let method = Method::known(method).unwrap_or_else(|| Method::Other(line.text(method)));
    // Exactly one space on each side, none at the end: others would read it differently.
    let (uri, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
    let fault = if uri.is_empty() || uri.contains([' ', '\t']) {
        Some(Fault::bad("Malformed request line"))
    } else if version.eq_ignore_ascii_case("SIP/2.0") {
        None
    } else if is_version(version) {
        Some(Fault::VERSION)
    } else {
        Some(Fault::bad("Malformed request line"))
    };
    Some((Start::Request { method, uri: line.text(uri) }, fault))
}

/// `SIP/7.0`
fn is_version(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_sip = text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("SIP/"));
    let numbers = text.get(4..).and_then(|numbers| cut(numbers, b'.'));
    is_sip && numbers.is_some_and(|(major, minor)| digits(major) && digits(minor))
}

/// `SIP/2.0 200 OK`; the reason may be empty, even without its space.
fn status_line(line: &Line<'_>) -> Option<Start> {
    let (version, rest) = cut(line.as_str(), b' ')?;
    let (digits, reason) = cut(rest, b' ').unwrap_or((rest, ""));
    let status = number::<u16>(digits).filter(|status| (100..700).contains(status))?;
    let is_known = version.eq_ignore_ascii_case("SIP/2.0") && digits.len() == 3;
    is_known.then(|| Start::Response { status, reason: line.text(reason) })
}
