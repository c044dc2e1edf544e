//! The small grammar that header values share: lists, parameters, quoted strings, tokens.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

/// A header value or URI that does not follow its grammar. Says which rule, for the reason
/// phrase and the log; never holds the peer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// A token's character (RFC 3261 §25.1).
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Without spaces and tabs at both ends.
pub fn trim(text: &str) -> &str {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    // Nearly always there is nothing to trim.
    if is_space(text.as_bytes().first()) || is_space(text.as_bytes().last()) {
        text.trim_matches([' ', '\t'])
    } else {
        text
    }
}

/// Splits at the first `at`, an ASCII byte. (`str::split_once` costs several times as much on
/// the short texts of a header.)
pub(crate) fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let position = memchr::memchr(at, text.as_bytes())?;
    Some((text.get(..position)?, text.get(position.saturating_add(1)..)?))
}

/// A number of ASCII digits only: no sign, no space; `None` where it does not fit.
pub fn number<N: std::str::FromStr>(digits: &str) -> Option<N> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The first `wanted` outside of quoted strings (and, if `angles`, outside of `<…>`).
fn find_outside_quotes(text: &str, wanted: u8, angles: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let opening = if angles { b'<' } else { b'"' };
    let mut from = 0_usize;
    loop {
        let rest = bytes.get(from..)?;
        let at = from.saturating_add(memchr::memchr3(wanted, b'"', opening, rest)?);
        let found = *bytes.get(at)?;
        if found == wanted {
            return Some(at);
        }
        let quoted = text.get(at..)?;
        let length = if found == b'"' {
            quoted_end(quoted)?
        } else {
            memchr::memchr(b'>', quoted.as_bytes())?.saturating_add(1)
        };
        from = at.saturating_add(length);
    }
}

fn split_outside_quotes(text: &str, wanted: u8, angles: bool) -> (&str, Option<&str>) {
    match find_outside_quotes(text, wanted, angles) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at.saturating_add(1)..)),
        None => (text, None),
    }
}

/// The values of a header line that may hold several, split at commas outside of quotes and
/// angle brackets, trimmed. An empty element comes out as an empty string.
#[derive(Clone, Debug)]
pub struct Values<'a>(Option<&'a str>);

impl<'a> Values<'a> {
    pub fn new(line: &'a str) -> Self {
        Self(Some(line))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (value, rest) = split_outside_quotes(self.0?, b',', true);
        self.0 = rest;
        Some(trim(value))
    }
}

/// Parameters as they follow a header value or URI: `a=b;c;d="x;y"`, without the first
/// semicolon. Names compare without case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Checks `text`: every parameter has a name that is a token, and a value, where there is
    /// an equals sign, that is a quoted string or holds neither space nor quote.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let params = Self(text);
        if trim(text).is_empty() {
            return Ok(Self(""));
        }
        for (name, value) in params {
            if !name.bytes().all(is_param_byte) || name.is_empty() {
                return Err(Malformed("Malformed parameter"));
            }
            match value {
                Some(quoted) if quoted.starts_with('"') => match quoted_end(quoted) {
                    Some(end) if end == quoted.len() => {}
                    _ => return Err(Malformed("Unbalanced quotes in a parameter")),
                },
                Some(value) if value.is_empty() || value.bytes().any(is_no_value_byte) => {
                    return Err(Malformed("Malformed parameter value"));
                }
                _ => {}
            }
        }
        Ok(params)
    }

    /// Parameters of a value that was checked before.
    pub(crate) const fn unchecked(text: &'a str) -> Self {
        Self(text)
    }

    /// The value of `name`: `Some("")` where it stands without one; quotes are kept.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or_default())
    }

    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How often `name` occurs: a second `tag` is an attempt to be read in two ways.
    pub fn count(self, name: &str) -> usize {
        self.into_iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).count()
    }

    pub fn as_str(self) -> &'a str {
        self.0
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = (&'a str, Option<&'a str>);
    type IntoIter = ParamsIter<'a>;

    fn into_iter(self) -> ParamsIter<'a> {
        ParamsIter((!self.0.is_empty()).then_some(self.0))
    }
}

/// Yields (name, value), both trimmed.
#[derive(Clone, Debug)]
pub struct ParamsIter<'a>(Option<&'a str>);

impl<'a> Iterator for ParamsIter<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        let (param, rest) = split_outside_quotes(self.0?, b';', false);
        self.0 = rest;
        let (name, value) = match cut(param, b'=') {
            Some((name, value)) => (name, Some(trim(value))),
            None => (param, None),
        };
        Some((trim(name), value))
    }
}

/// URI parameter names may hold what tokens may not (RFC 3261 §25.1 `param-unreserved`).
const fn is_param_byte(byte: u8) -> bool {
    is_token_byte(byte) || matches!(byte, b'[' | b']' | b'/' | b':' | b'&' | b'$' | b'(' | b')')
}

const fn is_no_value_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'"' | b'<' | b'>' | b',')
}

/// `text` begins with a quote: where its quoted string ends (after the closing quote).
pub(crate) fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.checked_add(1),
            _ => {}
        }
    }
    None
}

/// Without the quotes and escapes of a quoted string; other text as it is.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

/// As a quoted string: quotes and backslashes escaped, control characters as spaces.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(if c.is_control() { ' ' } else { c });
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str) -> Vec<&str> {
        Values::new(line).collect()
    }

    #[test]
    fn commas_split_outside_of_quotes_and_angles_only() {
        assert_eq!(values("a , b"), ["a", "b"]);
        assert_eq!(
            values(r#""a, \" b" <sip:c,d@e>;x="1,2", f"#),
            [r#""a, \" b" <sip:c,d@e>;x="1,2""#, "f"]
        );
        assert_eq!(values("a,,b,"), ["a", "", "b", ""]);
        assert_eq!(values(r#"<sip:a"b,c@d>, e"#), [r#"<sip:a"b,c@d>"#, "e"]);
    }

    #[test]
    fn parameters_are_found_without_case_and_with_spaces() {
        let params = Params::parse(r#"tag    = 1918 ; q = 0.33;lr;X="a;b""#).unwrap();
        assert_eq!(params.get("TAG"), Some("1918"));
        assert_eq!(params.get("q"), Some("0.33"));
        assert_eq!(params.get("lr"), Some(""));
        assert_eq!(params.get("x"), Some(r#""a;b""#));
        assert_eq!(params.get("b"), None);
        assert_eq!(params.count("lr"), 1);
    }

    #[test]
    fn empty_and_torn_parameters_are_refused() {
        for text in [";", "a;;b", "a;", "=b", "a=", "a=b c", r#"a="b"#, r#"a="b"c"#, "a b"] {
            assert!(Params::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quoting_and_unquoting_meet() {
        for text in ["", "plain", r#"say "hi" \o/"#, "Café"] {
            assert_eq!(unquote(&quote(text)), text);
        }
        assert_eq!(quote("a\r\nb"), "\"a  b\"");
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number::<u32>("0068"), Some(68));
        for text in ["", "+1", "-1", " 1", "1 ", "4294967296", "٣"] {
            assert_eq!(number::<u32>(text), None, "{text}");
        }
    }
}
