//! Offers inside the dialog: re-INVITE and UPDATE of both sides, and their glare.

use std::time::{Duration, Instant};

use super::outside::InvitePurpose;
use super::print::{Draft, Head, SDP};
use super::refresh::{self, LEAST, Refresh};
use super::requests::{InviteIn, Key};
use super::{Bytes, Event, GIVE_UP, Hop, Leg, Message, Method, Phase, RequestKey};
use crate::dialog::Dialog;
use crate::message::Name;
use crate::transaction::ServerInvite;

/// How often one offer is sent again after 491, 422 or a challenge.
const OFFER_TRIES_MAX: u8 = 5;
/// A re-INVITE that takes longer than this gets a 100 (RFC 3261 section 17.2.1).
const TRYING_AFTER: Duration = Duration::from_millis(200);

/// INVITEs of one peer that are kept, for 32 s each: a sane one sends the next when the last is done.
const INVITES_IN_MAX: usize = 16;

/// A conversation.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) dialog: Dialog,
    pub(super) local_sdp: Option<Bytes>,
    pub(super) remote_sdp: Option<Bytes>,
    /// Their Allow names UPDATE.
    pub(super) takes_update: bool,
    pub(super) refresh: Refresh,
    /// Hang up as soon as the ACK is here, with this reason.
    pub(super) leaving: Option<Option<String>>,
    /// The branch of our INVITE whose 2xx made an offer that the owner has not answered.
    pub(super) ack_wanted: Option<u32>,
    exchange: Exchange,
    wanted: Option<Wanted>,
}

/// One offer at a time (RFC 3264 section 4).
#[derive(Debug)]
enum Exchange {
    Free,
    /// Our re-INVITE.
    Ours,
    /// Their re-INVITE or UPDATE.
    Theirs(RequestKey),
    /// Our offer in a 2xx to their re-INVITE; its ACK brings the answer.
    OursInAnswer,
}

/// An offer of ours that waits for its turn.
#[derive(Debug)]
struct Wanted {
    sdp: Bytes,
    not_before: Instant,
    tries: u8,
}

impl Session {
    /// `message` is theirs: the INVITE, or the 2xx to ours.
    pub(super) fn new(dialog: Dialog, message: &Message) -> Self {
        Self {
            dialog,
            local_sdp: None,
            remote_sdp: None,
            takes_update: message.lists(&Name::Allow, "UPDATE"),
            refresh: Refresh::default(),
            leaving: None,
            ack_wanted: None,
            exchange: Exchange::Free,
            wanted: None,
        }
    }

    pub(super) const fn is_free(&self) -> bool {
        matches!(self.exchange, Exchange::Free) && self.ack_wanted.is_none()
    }

    /// Whether an offer of ours may go out now. `unacked`: a 2xx of ours waits for its ACK.
    const fn may_offer(&self, unacked: bool) -> bool {
        !unacked && self.is_free() && self.leaving.is_none()
    }

    /// The next deadline. An offer that may not go out yet has none: what it waits for wakes it.
    pub(super) fn poll_timeout(&self, unacked: bool) -> Option<Instant> {
        let wanted = self.wanted.as_ref().filter(|_| self.may_offer(unacked));
        let turn = wanted.map(|wanted| wanted.not_before);
        [self.refresh.poll_timeout(), turn].into_iter().flatten().min()
    }
}

impl Leg {
    /// Makes a new offer by re-INVITE. It waits while another offer of either side is under way; of two that wait the
    /// later counts. [`Event::OfferAnswered`] or [`Event::OfferRefused`] follows.
    pub fn reoffer(&mut self, now: Instant, sdp: Bytes) {
        if let Phase::Talking(session) = &mut self.phase {
            session.wanted = Some(Wanted { sdp, not_before: now, tries: 0 });
        }
        self.settle(now);
    }

    pub(super) fn send_wanted_offer(&mut self, now: Instant) {
        let unacked = !self.unacked.is_empty();
        let Phase::Talking(session) = &mut self.phase else { return };
        if !session.may_offer(unacked) {
            return;
        }
        if session.wanted.as_ref().is_some_and(|wanted| wanted.not_before <= now)
            && let Some(wanted) = session.wanted.take()
        {
            self.send_reinvite(now, Some(wanted.sdp), InvitePurpose::Reoffer, wanted.tries);
        }
    }

    pub(super) fn send_reinvite(
        &mut self,
        now: Instant,
        sdp: Option<Bytes>,
        purpose: InvitePurpose,
        tries: u8,
    ) {
        let Phase::Talking(session) = &mut self.phase else { return };
        session.exchange = Exchange::Ours;
        let mut draft = Draft::bare(session.dialog.clone(), Method::Invite).with_sdp(sdp);
        session.refresh.ask(&mut draft);
        let hop = session.dialog.hop(self.own.transport);
        self.send_invite(now, draft, hop, purpose, tries);
    }

    /// A 2xx to our re-INVITE.
    pub(super) fn reoffer_answered(&mut self, now: Instant, index: usize, response: &Message) {
        if self.acked_again(index, response) || !self.invites_out[index].acks.is_empty() {
            return;
        }
        let (purpose, offer) =
            (self.invites_out[index].purpose, self.invites_out[index].draft.body.clone());
        let wish = self.own.session_expires;
        let dialog = match &mut self.phase {
            Phase::Talking(session) => {
                session.dialog.retarget(response);
                session.dialog.clone()
            }
            // We have hung up meanwhile; the other side still wants its ACK.
            Phase::Leaving(dialog) => (**dialog).clone(),
            _ => return,
        };
        self.send_ack(index, dialog, None);
        let Phase::Talking(session) = &mut self.phase else { return };
        session.exchange = Exchange::Free;
        session.refresh.taken_by_peer(now, response, wish);
        let answer = response.sdp();
        if answer.is_some() {
            session.local_sdp = (!offer.is_empty()).then_some(offer);
        }
        let changed = answer.is_some() && answer != session.remote_sdp;
        match answer {
            // A refresh that changed nothing is nobody's business.
            Some(_) if purpose == InvitePurpose::Refresh && !changed => {}
            Some(sdp) => {
                session.remote_sdp = Some(sdp.clone());
                self.tell(Event::OfferAnswered { sdp });
            }
            None if purpose == InvitePurpose::Refresh => {}
            None => self.tell(Event::OfferRefused { status: 488 }),
        }
    }

    /// Our re-INVITE was refused, or never answered.
    pub(super) fn reoffer_refused(
        &mut self,
        now: Instant,
        index: usize,
        status: u16,
        response: Option<&Message>,
    ) {
        let (purpose, tries) = (self.invites_out[index].purpose, self.invites_out[index].tries);
        let pause = self.glare_pause(u32::from(tries));
        let mut draft = self.invites_out[index].draft.clone();
        let Phase::Talking(session) = &mut self.phase else { return };
        session.exchange = Exchange::Free;
        if tries < OFFER_TRIES_MAX && matches!(status, 401 | 407) {
            let hop = self.invites_out[index].hop.clone();
            if response.is_some_and(|response| self.answer_challenge(&mut draft, response)) {
                if let Phase::Talking(session) = &mut self.phase {
                    session.exchange = Exchange::Ours;
                }
                return self.send_invite(now, draft, hop, purpose, tries + 1);
            }
        }
        if purpose == InvitePurpose::Refresh {
            return self.refresh_done(now, status, response);
        }
        let Phase::Talking(session) = &mut self.phase else { return };
        match status {
            // A later wish of the owner's takes this one's place.
            491 | 422 if tries < OFFER_TRIES_MAX => {
                if status == 422
                    && let Some(response) = response
                {
                    session.refresh.raise(response);
                }
                let (sdp, not_before) = (draft.body, now + pause);
                session.wanted.get_or_insert(Wanted { sdp, not_before, tries: tries + 1 });
            }
            // RFC 3261 section 14.1: the dialog is gone.
            408 | 481 => self.expire(now),
            _ => self.tell(Event::OfferRefused { status }),
        }
    }

    /// How long to wait after 491 (RFC 3261 section 14.1): the side that made the Call-ID 2.1–4 s, the other up to 2 s, in
    /// steps of 10 ms.
    pub(super) fn glare_pause(&self, salt: u32) -> Duration {
        let spread = self.own.spread(salt) >> 32;
        let steps = if self.own.made_call_id { 210 + spread % 191 } else { spread % 201 };
        Duration::from_millis(10 * steps)
    }

    pub(super) fn handle_reinvite(&mut self, now: Instant, request: Message, hop: Hop) {
        if self.invites_in.len() >= INVITES_IN_MAX {
            let retry = self.retry_after();
            return self.answer_at_once(now, &request, &hop, 500, &[retry]);
        }
        let too_short = refresh::asked(&request).is_some_and(|(seconds, _)| seconds < LEAST);
        let delayed_open = self.unacked.iter().any(|unacked| unacked.offers);
        let verdict = match &self.phase {
            // Section 14.2: our final response to the first INVITE is still owed.
            Phase::Ringing(_) => 500,
            Phase::Talking(session) if session.leaving.is_some() => 487,
            Phase::Talking(_) if too_short => 422,
            Phase::Talking(session) => match session.exchange {
                Exchange::Free if session.ack_wanted.is_none() && !delayed_open => 0,
                Exchange::Theirs(_) => 500,
                _ => 491,
            },
            Phase::Calling(_) => 491,
            Phase::Leaving(_) | Phase::Over => 481,
        };
        let index = self.keep_reinvite(now, request, hop);
        match verdict {
            0 => self.offer_came(now, index),
            422 => {
                self.refuse_invite_ourselves(now, index, 422, &[(Name::MinSe, LEAST.to_string())]);
            }
            500 => self.refuse_invite_ourselves(now, index, 500, &[self.retry_after()]),
            status => self.refuse_invite_ourselves(now, index, status, &[]),
        }
    }

    fn keep_reinvite(&mut self, now: Instant, request: Message, hop: Hop) -> usize {
        let request_key = self.new_key();
        self.invites_in.push(InviteIn {
            key: Key::of(&request),
            request_key,
            request: Some(request),
            hop,
            machine: ServerInvite::new(self.own.transport.reliability()),
            initial: false,
            trying_at: Some(now + TRYING_AFTER),
            answer_by: Some(now + GIVE_UP),
        });
        self.invites_in.len() - 1
    }

    fn offer_came(&mut self, now: Instant, index: usize) {
        let key = self.invites_in[index].request_key;
        let Some(request) = &self.invites_in[index].request else { return };
        let Phase::Talking(session) = &mut self.phase else { return };
        session.dialog.retarget(request);
        if request.header(&Name::Allow).is_some() {
            session.takes_update = request.lists(&Name::Allow, "UPDATE");
        }
        session.exchange = Exchange::Theirs(key);
        let Some(sdp) = request.sdp() else {
            return self.tell(Event::OfferWanted { request: key });
        };
        // A refresh repeats their SDP (RFC 4028 section 7.4): so do we, and nobody is asked.
        if session.remote_sdp.as_ref() == Some(&sdp) && session.local_sdp.is_some() {
            let local = session.local_sdp.clone();
            return self.accept_reinvite(now, index, local, &[]);
        }
        self.tell(Event::Offer { request: key, sdp, method: Method::Invite });
    }

    pub(super) fn accept_reinvite(
        &mut self,
        now: Instant,
        index: usize,
        sdp: Option<Bytes>,
        extra: &[(Name, String)],
    ) {
        let Phase::Talking(session) = &mut self.phase else { return };
        let Some(request) = self.invites_in[index].request.take() else { return };
        let mut head = Head::reply(&request, 200, "", &self.own.local_tag);
        head.capabilities(&self.own);
        session.refresh.taken_by_us(now, &request, self.own.session_expires, &mut head);
        head.lines(extra);
        let bytes = head.finish(sdp.as_ref().map(|sdp| (SDP, sdp)));
        let theirs = request.sdp();
        let offers = theirs.is_none() && sdp.is_some();
        session.exchange = if offers { Exchange::OursInAnswer } else { Exchange::Free };
        session.local_sdp = sdp;
        if theirs.is_some() {
            session.remote_sdp = theirs;
        }
        self.invites_in[index].machine.accept(now, bytes.clone());
        let hop = self.invites_in[index].hop.clone();
        self.await_ack(now, request.cseq_number(), false, offers, (bytes, hop));
    }

    /// The ACK of a 2xx in which we made an offer.
    pub(super) fn own_offer_acked(&mut self, answer: Option<Bytes>) {
        let Phase::Talking(session) = &mut self.phase else { return };
        session.exchange = Exchange::Free;
        self.tell(match answer {
            Some(sdp) => Event::OfferAnswered { sdp },
            None => Event::OfferRefused { status: 488 },
        });
    }

    pub(super) fn handle_update(&mut self, now: Instant, request: Message, hop: Hop) {
        let offer = request.sdp();
        let too_short = refresh::asked(&request).is_some_and(|(seconds, _)| seconds < LEAST);
        let verdict = match &self.phase {
            _ if too_short => 422,
            // RFC 3311 section 5.2: their first offer is not answered yet, or ours is not.
            Phase::Ringing(_) if offer.is_some() => 500,
            Phase::Calling(calling) if offer.is_some() && !calling.takes_offer(&request) => 491,
            Phase::Talking(session) if offer.is_some() => match session.exchange {
                Exchange::Free if session.ack_wanted.is_none() => 0,
                Exchange::Theirs(_) => 500,
                _ => 491,
            },
            Phase::Leaving(_) | Phase::Over => 481,
            _ => 0,
        };
        match verdict {
            0 => {}
            422 => {
                let least = (Name::MinSe, LEAST.to_string());
                return self.answer_at_once(now, &request, &hop, 422, &[least]);
            }
            500 => {
                let retry = self.retry_after();
                return self.answer_at_once(now, &request, &hop, 500, &[retry]);
            }
            status => return self.answer_at_once(now, &request, &hop, status, &[]),
        }
        let key = self.keep(now, &request, &hop);
        if let Phase::Talking(session) = &mut self.phase {
            session.dialog.retarget(&request);
            if offer.is_some() {
                session.exchange = Exchange::Theirs(key);
            }
        }
        match offer {
            Some(sdp) => self.tell(Event::Offer { request: key, sdp, method: Method::Update }),
            None => self.accept_update(now, key, None, &[]),
        }
    }

    pub(super) fn accept_update(
        &mut self,
        now: Instant,
        key: RequestKey,
        sdp: Option<Bytes>,
        extra: &[(Name, String)],
    ) {
        let Some(request) = self.take_request(key) else { return };
        let mut head = Head::reply(&request, 200, "", &self.own.local_tag);
        head.capabilities(&self.own);
        if let Phase::Talking(session) = &mut self.phase {
            session.refresh.taken_by_us(now, &request, self.own.session_expires, &mut head);
            if let Some(theirs) = request.sdp() {
                session.remote_sdp = Some(theirs);
                session.local_sdp.clone_from(&sdp);
            }
        }
        head.lines(extra);
        let bytes = head.finish(sdp.as_ref().map(|sdp| (SDP, sdp)));
        self.finish_with(now, key, bytes);
        self.offer_done(key);
    }

    /// The offer under `key` is answered or refused.
    pub(super) fn offer_done(&mut self, key: RequestKey) {
        if let Phase::Talking(session) = &mut self.phase
            && matches!(session.exchange, Exchange::Theirs(current) if current == key)
        {
            session.exchange = Exchange::Free;
        }
    }

    pub(super) fn offer_withdrawn(&mut self, key: RequestKey) {
        self.offer_done(key);
        self.tell(Event::OfferWithdrawn { request: key });
    }

    fn retry_after(&self) -> (Name, String) {
        (Name::RetryAfter, (self.own.spread(self.last_request) % 11).to_string())
    }
}
