//! `"Display" <uri>;params`, the form of From, To, Contact, Route and their like
//! (RFC 3261 §20.10).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use crate::list::{Malformed, Params, cut, is_token_byte, quoted_end, trim, unquote};
use crate::uri::Uri;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As written, quotes and escapes included; `None` where there is none.
    raw_display: Option<&'a str>,
    pub uri: Uri<'a>,
    /// The header's parameters. Without angle brackets all parameters are the header's.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Never looks for `<` inside a quoted display name, and never takes a display name for
    /// the address: `"<sip:victim@gw>" <sip:alice@gw>` is alice.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let Parts { raw_display, is_bare, uri, params } = Parts::of(text)?;
        let uri = Uri::parse(uri)?;
        // An opaque URI of another scheme (`http://a/?b`) may hold them.
        if is_bare && uri.is_sip() && uri.as_str().contains(['?', ',']) {
            return Err(Malformed("This URI needs angle brackets"));
        }
        Ok(Self { raw_display, uri, params: Params::parse(params)? })
    }

    /// Without quotes and escapes. Whatever it says, it is no identity.
    pub fn display(&self) -> Option<Cow<'a, str>> {
        self.raw_display.map(unquote)
    }

    /// The value of the header parameter `name`, `Some("")` where it stands without one.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }

    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag")
    }
}

/// The tag of a From or To, as [`NameAddr::tag`] of the whole value: one inside of a display name or a URI
/// is none. The URI, which a message that was read has been asked for already, is not looked at.
pub(crate) fn tag_of(text: &str) -> Option<&str> {
    Params::unchecked(Parts::of(text).ok()?.params).get("tag")
}

/// An address value taken apart, but for what its parts hold.
struct Parts<'a> {
    raw_display: Option<&'a str>,
    is_bare: bool,
    uri: &'a str,
    params: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, Malformed> {
        let text = trim(text);
        if text.starts_with('"') {
            let end = quoted_end(text).ok_or(Malformed("Unbalanced quotes"))?;
            let (display, rest) =
                text.split_at_checked(end).ok_or(Malformed("Unbalanced quotes"))?;
            let rest = trim(rest)
                .strip_prefix('<')
                .ok_or(Malformed("Display name without an address in angle brackets"))?;
            return Self::bracketed(Some(display), rest);
        }
        match cut(text, b'<') {
            Some((display, rest)) => {
                let display = trim(display);
                // Letters beyond ASCII are tolerated unquoted; commas and quotes are not.
                if !display.bytes().all(|b| is_token_byte(b) || b >= 0x80 || b" \t".contains(&b)) {
                    return Err(Malformed("Display name must be quoted"));
                }
                Self::bracketed((!display.is_empty()).then_some(display), rest)
            }
            None => Self::bare(text),
        }
    }

    fn bracketed(raw_display: Option<&'a str>, rest: &'a str) -> Result<Self, Malformed> {
        let (uri, rest) = cut(rest, b'>').ok_or(Malformed("Unbalanced angle brackets"))?;
        let params = match trim(rest).strip_prefix(';') {
            Some(params) if trim(params).is_empty() => return Err(Malformed("Empty parameter")),
            Some(params) => params,
            None if trim(rest).is_empty() => "",
            None => return Err(Malformed("Text after an address")),
        };
        Ok(Self { raw_display, is_bare: false, uri, params })
    }

    /// RFC 3261 §20: without brackets, what follows the first semicolon belongs to the
    /// header, and the URI can hold neither comma nor question mark.
    fn bare(text: &'a str) -> Result<Self, Malformed> {
        let (uri, params) = match cut(text, b';') {
            Some((_, params)) if trim(params).is_empty() => {
                return Err(Malformed("Empty parameter"));
            }
            Some(parts) => parts,
            None => (text, ""),
        };
        Ok(Self { raw_display: None, is_bare: true, uri: trim(uri), params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_inside_the_display_name_is_only_a_name() {
        for (text, display) in [
            (r#""<sip:victim@gw>" <sip:alice@gw>;tag=1"#, "<sip:victim@gw>"),
            (r#""\"<sip:victim@gw>" <sip:alice@gw>;tag=1"#, "\"<sip:victim@gw>"),
            (r#""a\\" <sip:alice@gw>;tag=1"#, "a\\"),
            (r#""sip:victim@gw;tag=2"<sip:alice@gw>;tag=1"#, "sip:victim@gw;tag=2"),
        ] {
            let addr = NameAddr::parse(text).unwrap();
            assert_eq!(addr.uri.user, Some("alice"), "{text}");
            assert_eq!(addr.display().unwrap(), display);
            assert_eq!(addr.tag(), Some("1"));
        }
    }

    #[test]
    fn a_tag_alone_is_that_of_the_whole_value() {
        for text in [
            r#""<sip:victim@gw>;tag=1" <sip:alice@gw;tag=2>;x="tag=3;tag=4";Tag=5"#,
            "sip:alice@gw;tag=6",
            "sip:alice@gw;x;tag=7;tag=8",
            "Alice <sip:alice@gw;tag=9>",
            "<sip:alice@gw> ; tag=10 ;y",
            "<sip:alice@gw>;tag",
            "<sip:alice@gw>;",
            "\"<sip:alice@gw>;tag=11",
        ] {
            let whole = NameAddr::parse(text).ok().and_then(|addr| addr.tag());
            assert_eq!(tag_of(text), whole, "{text}");
        }
    }

    #[test]
    fn what_could_be_read_as_two_addresses_is_refused() {
        for text in [
            r#""\\" <sip:victim@gw>" <sip:alice@gw>"#,
            "<sip:victim@gw> <sip:alice@gw>",
            "<sip:victim@gw>, <sip:alice@gw>",
            "sip:victim@gw <sip:alice@gw>",
            "<sip:victim@gw><sip:alice@gw>",
            "\"victim <sip:alice@gw>",
            "\"victim\" sip:alice@gw",
            "Bell, Alexander <sip:alice@gw>",
            "<sip:alice@gw",
            "< sip:alice@gw>",
            "<sip:alice@gw>;;;;",
            "<sip:alice@gw>;",
            "sip:alice@gw;",
            "sip:alice@gw?Route=%3Csip:evil%3E",
            "alice",
            "",
        ] {
            assert!(NameAddr::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parameters_belong_to_the_uri_only_inside_brackets() {
        let bare = NameAddr::parse("sip:+19725552222@gw1.example.net;unknownparam").unwrap();
        assert_eq!(bare.param("unknownparam"), Some(""));
        assert!(bare.uri.params.is_empty());
        let inside = NameAddr::parse("<sip:+19725552222@gw1.example.net;unknownparam>").unwrap();
        assert_eq!(inside.uri.param("unknownparam"), Some(""));
        assert!(inside.params.is_empty());
    }

    #[test]
    fn what_browsers_send_is_read() {
        let text = "<sip:3nf@tcd.invalid;transport=ws;ob>;reg-id=1;+sip.instance=\"<urn:uuid:0c67c3f0-1111-4a5b-8c3d-000000000000>\";expires=600";
        let contact = NameAddr::parse(text).unwrap();
        assert_eq!(contact.uri.param("transport"), Some("ws"));
        assert_eq!(contact.param("expires"), Some("600"));
        assert_eq!(
            contact.param("+sip.instance"),
            Some("\"<urn:uuid:0c67c3f0-1111-4a5b-8c3d-000000000000>\"")
        );
        let tight = NameAddr::parse("caller<sip:caller@example.com>;tag=323").unwrap();
        assert_eq!(tight.display().unwrap(), "caller");
    }
}
