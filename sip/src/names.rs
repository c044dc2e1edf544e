//! Method and header names.

use std::fmt;

use crate::text::Text;

/// A request method (RFC 3261 §7.1). Compared by case, as the RFC demands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Prack,
    Update,
    Info,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    /// Any other token.
    Other(Text),
}

impl Method {
    pub(crate) fn known(name: &str) -> Option<Self> {
        Some(match name {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "REGISTER" => Self::Register,
            "OPTIONS" => Self::Options,
            "PRACK" => Self::Prack,
            "UPDATE" => Self::Update,
            "INFO" => Self::Info,
            "REFER" => Self::Refer,
            "NOTIFY" => Self::Notify,
            "SUBSCRIBE" => Self::Subscribe,
            "MESSAGE" => Self::Message,
            "PUBLISH" => Self::Publish,
            _ => return None,
        })
    }

    /// Whatever is no known method is `Other`, a token or not.
    pub fn parse(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(Text::new(name)))
    }

    /// As [`Method::parse`], without a copy.
    pub fn from_text(name: &Text) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(name.clone()))
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Register => "REGISTER",
            Self::Options => "OPTIONS",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! names {
    ($($variant:ident $canonical:literal = $($lower:literal)|+,)*) => {
        /// A header name. Known names are compared by variant, others without case
        /// (RFC 3261 §7.3.1); compact forms are read as their long ones.
        #[derive(Clone, Debug)]
        pub enum Name {
            $($variant,)*
            /// Any other token, in the sender's spelling.
            Other(Text),
        }

        impl Name {
            /// In the spelling that is printed.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $canonical,)*
                    Self::Other(name) => name,
                }
            }

            pub(crate) fn known(name: &str) -> Option<Self> {
                // Lower case on the stack; a longer name is in no table.
                let mut buffer = [0_u8; 24];
                let lower = buffer.get_mut(..name.len())?;
                lower.copy_from_slice(name.as_bytes());
                lower.make_ascii_lowercase();
                match std::str::from_utf8(lower).ok()? {
                    $($($lower)|+ => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        const ALL: &[(Name, &str, &[&str])] =
            &[$((Name::$variant, $canonical, &[$($lower),+]),)*];
    };
}

names! {
    Via "Via" = "via" | "v",
    From "From" = "from" | "f",
    To "To" = "to" | "t",
    CallId "Call-ID" = "call-id" | "i",
    CSeq "CSeq" = "cseq",
    Contact "Contact" = "contact" | "m",
    MaxForwards "Max-Forwards" = "max-forwards",
    ContentLength "Content-Length" = "content-length" | "l",
    ContentType "Content-Type" = "content-type" | "c",
    ContentEncoding "Content-Encoding" = "content-encoding" | "e",
    Subject "Subject" = "subject" | "s",
    Supported "Supported" = "supported" | "k",
    ReferTo "Refer-To" = "refer-to" | "r",
    ReferredBy "Referred-By" = "referred-by" | "b",
    Event "Event" = "event" | "o",
    AllowEvents "Allow-Events" = "allow-events" | "u",
    SessionExpires "Session-Expires" = "session-expires" | "x",
    Identity "Identity" = "identity" | "y",
    AcceptContact "Accept-Contact" = "accept-contact" | "a",
    RejectContact "Reject-Contact" = "reject-contact" | "j",
    RequestDisposition "Request-Disposition" = "request-disposition" | "d",
    Accept "Accept" = "accept",
    Allow "Allow" = "allow",
    Authorization "Authorization" = "authorization",
    ContentDisposition "Content-Disposition" = "content-disposition",
    Date "Date" = "date",
    Diversion "Diversion" = "diversion",
    ErrorInfo "Error-Info" = "error-info",
    Expires "Expires" = "expires",
    FlowTimer "Flow-Timer" = "flow-timer",
    InfoPackage "Info-Package" = "info-package",
    MinExpires "Min-Expires" = "min-expires",
    MinSe "Min-SE" = "min-se",
    PAssertedIdentity "P-Asserted-Identity" = "p-asserted-identity",
    PPreferredIdentity "P-Preferred-Identity" = "p-preferred-identity",
    Path "Path" = "path",
    Privacy "Privacy" = "privacy",
    ProxyAuthenticate "Proxy-Authenticate" = "proxy-authenticate",
    ProxyAuthorization "Proxy-Authorization" = "proxy-authorization",
    ProxyRequire "Proxy-Require" = "proxy-require",
    RAck "RAck" = "rack",
    RSeq "RSeq" = "rseq",
    Reason "Reason" = "reason",
    RecordRoute "Record-Route" = "record-route",
    RecvInfo "Recv-Info" = "recv-info",
    RemotePartyId "Remote-Party-ID" = "remote-party-id",
    Replaces "Replaces" = "replaces",
    Require "Require" = "require",
    RetryAfter "Retry-After" = "retry-after",
    Route "Route" = "route",
    Server "Server" = "server",
    Timestamp "Timestamp" = "timestamp",
    Unsupported "Unsupported" = "unsupported",
    UserAgent "User-Agent" = "user-agent",
    Warning "Warning" = "warning",
    WwwAuthenticate "WWW-Authenticate" = "www-authenticate",
    XSautikitCallId "X-Sautikit-Call-Id" = "x-sautikit-call-id",
    XSautikitError "X-Sautikit-Error" = "x-sautikit-error",
    XSautikitRate "X-Sautikit-Rate" = "x-sautikit-rate",
}

impl Name {
    /// Compact and long forms, in any case; whatever is not known is `Other`.
    pub fn parse(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(Text::new(name)))
    }

    /// As [`Name::parse`], without a copy.
    pub fn from_text(name: &Text) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(name.clone()))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => a.eq_ignore_ascii_case(b),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_case_and_in_compact_form() {
        for (name, canonical, forms) in ALL {
            assert_eq!(Name::parse(canonical), *name, "{canonical}");
            assert_eq!(name.as_str(), *canonical);
            assert_eq!(forms[0], canonical.to_ascii_lowercase());
            for form in *forms {
                assert_eq!(Name::parse(&form.to_ascii_uppercase()), *name, "{form}");
            }
        }
    }

    #[test]
    fn unknown_names_keep_their_spelling_and_compare_without_case() {
        assert_eq!(Name::parse("X-Thing").as_str(), "X-Thing");
        assert_eq!(Name::parse("X-Thing"), Name::parse("x-thING"));
        assert_ne!(Name::parse("X-Thing"), Name::parse("X-Thin"));
        assert_ne!(Name::parse(""), Name::Via);
    }

    #[test]
    fn methods_are_compared_by_case() {
        assert_eq!(Method::parse("INVITE"), Method::Invite);
        assert_eq!(Method::parse("invite"), Method::Other(Text::from_static("invite")));
        assert_eq!(Method::parse("NEWMETHOD").as_str(), "NEWMETHOD");
    }
}
