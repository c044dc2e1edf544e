//! A dialog (RFC 3261 section 12): who talks to whom, under which tags, and by which way.

use crate::leg::{Hop, Transport};
use crate::list::Malformed;
use crate::message::Message;
use crate::name_addr::{NameAddr, tag_of};
use crate::names::Name;
use crate::text::Text;
use crate::uri::{Scheme, Uri};

/// More proxies than that in one route set are an attack or a loop.
const ROUTES_MAX: usize = 20;

/// Both ends and the way between them. Before the first response it is the half that the INVITE made.
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    pub(crate) call_id: Text,
    pub(crate) local_tag: Text,
    /// Empty while unknown, and for a peer of RFC 2543 that sets none.
    pub(crate) remote_tag: Text,
    /// Our From in requests: address and tag, as printed.
    pub(crate) local: Text,
    /// Their To in requests: address and tag, as they wrote it.
    pub(crate) remote: Text,
    /// Their Contact's URI: the Request-URI of what we send.
    pub(crate) target: Text,
    /// Route values in the order in which they are printed.
    pub(crate) routes: Vec<Text>,
    /// The highest CSeq that they used.
    pub(crate) remote_cseq: Option<u32>,
}

impl Dialog {
    /// The dialog that answering this INVITE makes (section 12.1.1). `local_tag` is ours.
    pub(crate) fn of_invite(invite: &Message, local_tag: &str) -> Result<Self, Malformed> {
        let contact = invite
            .contact()
            .filter(|contact| contact.uri.is_sip())
            .ok_or(Malformed("INVITE without a usable Contact"))?;
        Ok(Self {
            call_id: text_of(invite, &Name::CallId),
            local_tag: Text::new(local_tag),
            remote_tag: Text::new(invite.from_tag().unwrap_or_default()),
            local: tagged(invite.header(&Name::To).unwrap_or_default(), local_tag),
            remote: text_of(invite, &Name::From),
            target: Text::new(contact.uri.as_str()),
            routes: routes_of(invite, false)?,
            remote_cseq: Some(invite.cseq_number()),
        })
    }

    /// The dialog that this response to our INVITE makes (section 12.1.2); `self` is the INVITE's half.
    pub(crate) fn confirmed_by(&self, response: &Message) -> Result<Self, Malformed> {
        let mut dialog = self.clone();
        dialog.remote_tag = Text::new(response.to_tag().unwrap_or_default());
        dialog.remote = text_of(response, &Name::To);
        dialog.routes = routes_of(response, true)?;
        dialog.retarget(response);
        Ok(dialog)
    }

    /// The dialog of a 2xx to an INVITE that nobody here remembers: its From is ours. `None` where its
    /// tags or its Contact leave nothing to send to.
    pub(crate) fn of_stray(answer: &Message) -> Option<Self> {
        let contact = answer.contact().filter(|contact| contact.uri.is_sip())?;
        Some(Self {
            call_id: text_of(answer, &Name::CallId),
            local_tag: Text::new(answer.from_tag()?),
            remote_tag: Text::new(answer.to_tag()?),
            local: text_of(answer, &Name::From),
            remote: text_of(answer, &Name::To),
            target: Text::new(contact.uri.as_str()),
            routes: routes_of(answer, true).ok()?,
            remote_cseq: None,
        })
    }

    /// The same half with the To of a refusal, for its ACK (section 17.1.1.3).
    pub(crate) fn refused_by(&self, response: &Message) -> Self {
        let mut dialog = self.clone();
        dialog.remote = text_of(response, &Name::To);
        dialog
    }

    /// Takes the Contact of a target refresh (section 12.2), where there is one.
    pub(crate) fn retarget(&mut self, message: &Message) {
        if let Some(contact) = message.contact().filter(|contact| contact.uri.is_sip()) {
            self.target = Text::new(contact.uri.as_str());
        }
    }

    /// True for a message of theirs in this dialog.
    pub(crate) fn owns_request(&self, request: &Message) -> bool {
        request.to_tag() == Some(&*self.local_tag)
            && request.from_tag().unwrap_or_default() == &*self.remote_tag
            && request.call_id() == &*self.call_id
    }

    /// Request-URI and Route values, strict routers respected (section 12.2.1.1).
    pub(crate) fn way(&self) -> (&str, impl Iterator<Item = WayPoint<'_>>) {
        let strict = self.routes.first().and_then(|first| {
            let route = NameAddr::parse(first).ok()?;
            (!route.uri.is_loose_router()).then(|| route.uri.as_str())
        });
        let skipped = usize::from(strict.is_some());
        let rest = self.routes.iter().skip(skipped).map(|route| WayPoint::Route(route));
        let last = strict.map(|_| WayPoint::Target(&self.target));
        (strict.unwrap_or(&self.target), rest.chain(last))
    }

    /// Where a request goes on the wire: the first route, else the target.
    pub(crate) fn hop(&self, transport: Transport) -> Hop {
        if transport.is_websocket() {
            // A browser's Contact names no host that exists (RFC 7118 section 5.2.1).
            return Hop::Flow;
        }
        let uri = match self.routes.first() {
            Some(first) => NameAddr::parse(first).ok().map(|route| route.uri),
            None => Uri::parse(&self.target).ok(),
        };
        let Some(uri) = uri else { return Hop::Flow };
        let named = uri.param("transport").and_then(Transport::parse);
        let secure = matches!(uri.scheme, Scheme::Sips);
        Hop::Uri {
            host: uri.host.to_owned(),
            port: uri.port,
            transport: named.unwrap_or(if secure { Transport::Tls } else { transport }),
        }
    }

    /// What a BYE after a restart needs.
    pub(crate) fn recovery(&self, local_cseq: u32, transport: Transport) -> RecoveryDialog {
        RecoveryDialog {
            call_id: self.call_id.to_string(),
            local_tag: self.local_tag.to_string(),
            remote_tag: self.remote_tag.to_string(),
            local: self.local.to_string(),
            remote: self.remote.to_string(),
            target: self.target.to_string(),
            route_set: self.routes.iter().map(ToString::to_string).collect(),
            local_cseq,
            transport,
        }
    }

    pub(crate) fn recovered(stored: &RecoveryDialog) -> Self {
        Self {
            call_id: Text::new(&stored.call_id),
            local_tag: Text::new(&stored.local_tag),
            remote_tag: Text::new(&stored.remote_tag),
            local: Text::new(&stored.local),
            remote: Text::new(&stored.remote),
            target: Text::new(&stored.target),
            routes: stored.route_set.iter().map(Text::from).collect(),
            remote_cseq: None,
        }
    }
}

/// One Route line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WayPoint<'a> {
    /// A value as the peer wrote it.
    Route(&'a str),
    /// The remote target, which a strict router left to the end; to be put in angle brackets.
    Target(&'a str),
}

/// A dialog as plain values: what a BYE needs when the process that made it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryDialog {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag, for the router.
    pub local_tag: String,
    /// Their tag.
    pub remote_tag: String,
    /// Our From value, tag included.
    pub local: String,
    /// Their To value, tag included.
    pub remote: String,
    /// The remote target: a URI.
    pub target: String,
    /// Route values in the order in which they are printed.
    pub route_set: Vec<String>,
    /// The CSeq of our latest request when this was taken.
    pub local_cseq: u32,
    /// The transport of the leg.
    pub transport: Transport,
}

fn text_of(message: &Message, name: &Name) -> Text {
    message
        .headers
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.clone())
        .unwrap_or_default()
}

/// The value with our tag, which it does not have yet.
fn tagged(value: &str, tag: &str) -> Text {
    // A bare address would take the tag for a parameter of its own; all its parameters are the header's
    // (RFC 3261 section 20), so appending is right in both forms.
    if tag_of(value).is_some() {
        return Text::new(value);
    }
    Text::new(&format!("{value};tag={tag}"))
}

fn routes_of(message: &Message, reversed: bool) -> Result<Vec<Text>, Malformed> {
    let mut routes: Vec<Text> = Vec::new();
    for value in message.values(&Name::RecordRoute) {
        if routes.len() == ROUTES_MAX {
            return Err(Malformed("too many Record-Route values"));
        }
        NameAddr::parse(value)?;
        routes.push(Text::new(value));
    }
    if reversed {
        routes.reverse();
    }
    Ok(routes)
}
