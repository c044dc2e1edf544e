//! Offers inside the dialog (RFC 3264 section 8, RFC 3261 section 14). The relay answers each end for
//! itself; where the ends have their media between themselves, each is asked about the other's.

use std::time::Instant;

use bytes::Bytes;
use sautikit_core::cause::Refusal;
use sautikit_sip::leg::{Leg, RequestKey};
use sautikit_sip::message::Name;
use sautikit_sip::respond::{fault_headers, reason_phrase};

use super::super::answers::refusal_headers;
use super::{AnswerFor, Bridge, Do, Side};

/// The exchange under way between ends with media of their own, and what each last said.
pub(super) struct Offers {
    caller: Bytes,
    peer: Option<Bytes>,
    /// Whose offer the other end is asked about.
    relaying: Option<Relaying>,
    /// Who is told what the other end said in an ACK. Its answer goes nowhere: whoever made it would
    /// answer that in turn, without end.
    passing_to: Option<Side>,
}

struct Relaying {
    from: Side,
    request: RequestKey,
    offer: Bytes,
}

impl Offers {
    pub(super) fn new(caller: &Bytes) -> Self {
        Self { caller: caller.clone(), peer: None, relaying: None, passing_to: None }
    }

    const fn is_busy(&self) -> bool {
        self.relaying.is_some() || self.passing_to.is_some()
    }

    /// What this end last described itself as; true if that is news.
    fn says(&mut self, side: Side, sdp: Bytes) -> bool {
        let news = match side {
            Side::Caller => self.caller != sdp,
            Side::Peer => self.peer.as_ref() != Some(&sdp),
        };
        match side {
            Side::Caller => self.caller = sdp,
            Side::Peer => self.peer = Some(sdp),
        }
        news
    }
}

impl Bridge {
    /// Remembered only where the ends need each other's word: it keeps a whole datagram alive.
    pub(super) fn peer_says(&mut self, sdp: &Bytes) {
        if self.maker.ends_own_media {
            self.offers.peer = Some(sdp.clone());
        }
    }

    pub(super) fn offered(&mut self, now: Instant, from: Side, request: RequestKey, sdp: Bytes) {
        if !self.maker.ends_own_media {
            self.todo.push_back(Do::Reoffer { side: from, request, sdp });
            return;
        }
        if self.offers.is_busy() {
            self.reoffered(now, from, request, Err(491));
            return;
        }
        self.offers.relaying = Some(Relaying { from, request, offer: sdp.clone() });
        if let Some(leg) = self.leg(from.other()) {
            leg.reoffer(now, sdp);
        }
    }

    /// The other end answered an offer of `from`, or refused it.
    pub(super) fn relayed(&mut self, now: Instant, from: Side, result: Result<Bytes, u16>) {
        self.offers.passing_to.take_if(|to| *to == from.other());
        let Some(relaying) = self.offers.relaying.take_if(|relaying| relaying.from == from) else {
            return;
        };
        if let Ok(answer) = &result {
            self.offers.says(from, relaying.offer);
            self.offers.says(from.other(), answer.clone());
        }
        self.reoffered(now, from, relaying.request, result);
    }

    /// Whoever made the offer took it back; the other end's answer will find nobody.
    pub(super) fn offer_withdrawn(&mut self, request: RequestKey) {
        self.offers.relaying.take_if(|relaying| relaying.request == request);
    }

    /// Answers an end's offer, or refuses it.
    pub(super) fn reoffered(
        &mut self,
        now: Instant,
        side: Side,
        request: RequestKey,
        result: Result<Bytes, u16>,
    ) {
        let extra = match result {
            Err(status) if side == Side::Caller => self.why_not(status),
            _ => Vec::new(),
        };
        let Some(leg) = self.leg(side) else { return };
        match result {
            Ok(sdp) => leg.accept(now, request, Some(sdp), &[]),
            Err(status) => leg.refuse(now, request, status, reason_phrase(status), &extra),
        }
    }

    /// What a browser is told of a refusal of the gateway's own; the other end's is passed on bare.
    fn why_not(&self, status: u16) -> Vec<(Name, String)> {
        match status {
            _ if self.maker.ends_own_media && status != 491 => Vec::new(),
            488 => refusal_headers(Refusal::MediaNotAcceptable, &self.maker.domain, 0),
            _ => fault_headers(status, &self.maker.domain, ""),
        }
    }

    /// A re-INVITE without an offer: the offer is ours to make, and its answer comes in the ACK.
    pub(super) fn offer_wanted(&mut self, now: Instant, from: Side, request: RequestKey) {
        let result = match from {
            _ if self.offers.is_busy() => Err(491),
            Side::Peer if self.maker.ends_own_media => Ok(self.offers.caller.clone()),
            Side::Caller if self.maker.ends_own_media => self.offers.peer.clone().ok_or(488),
            Side::Peer => {
                self.todo.push_back(Do::OfferToTrunk { request });
                return;
            }
            // The relay answers browsers and offers them nothing; the session goes on as it was.
            Side::Caller => Err(488),
        };
        self.reoffered(now, from, request, result);
    }

    /// An end answered: the other end's offer, or one of ours that it wanted.
    pub(super) fn offer_answered(&mut self, now: Instant, by: Side, sdp: Bytes) {
        let asked = |relaying: &Relaying| relaying.from == by.other();
        if self.offers.relaying.as_ref().is_some_and(asked) {
            return self.relayed(now, by.other(), Ok(sdp));
        }
        if !self.maker.ends_own_media {
            self.todo.push_back(Do::MediaAnswer { purpose: AnswerFor::Update, sdp });
            return;
        }
        if self.offers.passing_to.take_if(|to| *to == by).is_some() {
            self.offers.says(by, sdp);
            return;
        }
        // Only what changed is worth a new exchange with the other end.
        if self.offers.says(by, sdp.clone())
            && let Some(leg) = self.leg(by.other())
        {
            leg.reoffer(now, sdp);
            self.offers.passing_to = Some(by.other());
        }
    }

    fn leg(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::Caller => Some(&mut self.caller),
            Side::Peer => self.peers.last_mut().map(|peer| &mut peer.leg),
        }
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Peer,
            Self::Peer => Self::Caller,
        }
    }
}
