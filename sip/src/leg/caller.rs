//! The caller's side: the INVITE that we answer, its CANCEL and its ACK.

use std::net::SocketAddr;
use std::time::Instant;

use super::config::{LegConfig, Own};
use super::offer::Session;
use super::print::{Head, SDP};
use super::requests::{InviteIn, Key};
use super::unserved::Unserved;
use super::{Bytes, Event, Hop, Leg, Message, Method, Phase, reason_of, reply_hop};
use crate::dialog::Dialog;
use crate::message::Name;
use crate::transaction::ServerInvite;

impl Leg {
    /// Takes an INVITE without a To tag. Nothing is sent until a verb says so, except where it cannot be served as it
    /// is: then the leg answers and tells [`Event::Declined`].
    #[must_use]
    pub fn incoming(
        config: LegConfig,
        mut invite: Message,
        source: Option<SocketAddr>,
        now: Instant,
    ) -> Self {
        if let Some(source) = source {
            invite.set_source(source);
        }
        let mut leg = Self::new(Own::new(config));
        let hop = reply_hop(&invite, source, leg.own.transport);
        let dialog = Dialog::of_invite(&invite, &leg.own.local_tag);
        let served = match dialog {
            Ok(dialog) => Unserved::beyond_us(&invite).map_or(Ok(dialog), Err),
            Err(malformed) => Err(malformed.into()),
        };
        let key = leg.new_key();
        leg.invites_in.reserve_exact(1);
        leg.invites_in.push(InviteIn {
            key: Key::of(&invite),
            request_key: key,
            hop,
            machine: ServerInvite::new(leg.own.transport.reliability()),
            initial: true,
            trying_at: None,
            answer_by: None,
            request: Some(invite),
        });
        match served {
            Ok(dialog) => leg.phase = Phase::Ringing(Box::new(dialog)),
            Err(unserved) => leg.decline(now, &unserved),
        }
        leg
    }

    fn decline(&mut self, now: Instant, unserved: &Unserved) {
        let Unserved { status, text, extra } = unserved;
        let extra = self.own.refusal(*status, text, extra);
        self.refuse_invite(now, 0, *status, text, &extra);
        self.over(Event::Declined { status: *status });
    }

    /// Sends 100.
    pub fn trying(&mut self, now: Instant) {
        self.provisional(now, 100, None, &[]);
    }

    /// Sends 101–199, with our answer where there is early media.
    pub fn progress(
        &mut self,
        now: Instant,
        status: u16,
        sdp: Option<Bytes>,
        extra: &[(Name, String)],
    ) {
        self.provisional(now, status.clamp(101, 199), sdp, extra);
    }

    fn provisional(
        &mut self,
        now: Instant,
        status: u16,
        sdp: Option<Bytes>,
        extra: &[(Name, String)],
    ) {
        if !matches!(self.phase, Phase::Ringing(_)) {
            return;
        }
        let Some(index) = self.first_invite() else { return };
        let InviteIn { request, hop, machine, .. } = &mut self.invites_in[index];
        let Some(request) = request else { return };
        let mut head = Head::reply(request, status, "", &self.own.local_tag);
        if status > 100 {
            head.capabilities(&self.own);
        }
        head.lines(extra);
        let bytes = head.finish(sdp.as_ref().map(|sdp| (SDP, sdp)));
        machine.provisional(bytes.clone());
        let hop = hop.clone();
        self.send(bytes, hop);
        self.settle(now);
    }

    /// Sends 200 with our answer, or with our offer where the INVITE had none. Does nothing once the caller has gone.
    pub fn answer(&mut self, now: Instant, sdp: Option<Bytes>, extra: &[(Name, String)]) {
        let Some(index) = self.first_invite() else { return };
        let Phase::Ringing(dialog) = &self.phase else { return };
        let Some(request) = self.invites_in[index].request.take() else { return };
        let mut session = Session::new((**dialog).clone(), &request);
        session.remote_sdp = request.sdp();
        session.local_sdp.clone_from(&sdp);
        let mut head = Head::reply(&request, 200, "", &self.own.local_tag);
        head.capabilities(&self.own);
        session.refresh.taken_by_us(now, &request, self.own.session_expires, &mut head);
        head.lines(extra);
        let bytes = head.finish(sdp.as_ref().map(|sdp| (SDP, sdp)));
        let offers = session.remote_sdp.is_none();
        self.phase = Phase::Talking(Box::new(session));
        self.invites_in[index].machine.accept(now, bytes.clone());
        let hop = self.invites_in[index].hop.clone();
        self.await_ack(now, request.cseq_number(), true, offers, (bytes, hop));
        self.settle(now);
    }

    /// Sends 300–699. An empty reason stands for the usual phrase.
    pub fn reject(&mut self, now: Instant, status: u16, reason: &str, extra: &[(Name, String)]) {
        if !matches!(self.phase, Phase::Ringing(_)) {
            return;
        }
        if let Some(index) = self.first_invite() {
            self.refuse_invite(now, index, status.clamp(300, 699), reason, extra);
        }
        self.phase = Phase::Over;
        self.settle(now);
    }

    /// The INVITE that waits for its final response.
    fn first_invite(&self) -> Option<usize> {
        self.invites_in.iter().position(|invite| invite.initial && invite.machine.is_pending())
    }

    /// Refuses the INVITE at `index` by the leg's own judgement.
    pub(super) fn refuse_invite_ourselves(
        &mut self,
        now: Instant,
        index: usize,
        status: u16,
        extra: &[(Name, String)],
    ) {
        let extra = self.own.refusal(status, "", extra);
        self.refuse_invite(now, index, status, "", &extra);
    }

    /// Sends a refusal of the INVITE at `index` and keeps it for its repetitions.
    pub(super) fn refuse_invite(
        &mut self,
        now: Instant,
        index: usize,
        status: u16,
        reason: &str,
        extra: &[(Name, String)],
    ) {
        let InviteIn { request, hop, machine, .. } = &mut self.invites_in[index];
        let Some(request) = request.take() else { return };
        let mut head = Head::reply(&request, status, reason, &self.own.local_tag);
        head.lines(extra);
        let bytes = head.finish(None);
        machine.refuse(now, bytes.clone());
        let hop = hop.clone();
        self.send(bytes, hop);
    }

    /// CANCEL: its INVITE has the same branch and number (RFC 3261 section 9.2).
    pub(super) fn handle_cancel(&mut self, now: Instant, request: &Message, hop: &Hop) {
        let Some(index) = self.invites_in.iter().position(|invite| invite.key.is_of(request))
        else {
            return self.answer_at_once(now, request, hop, 481, &[]);
        };
        self.answer_at_once(now, request, hop, 200, &[]);
        if !self.invites_in[index].machine.is_pending() {
            return;
        }
        self.refuse_invite(now, index, 487, "", &[]);
        let InviteIn { initial, request_key, .. } = self.invites_in[index];
        if initial {
            self.over(Event::Canceled { reason: reason_of(request) });
        } else {
            self.offer_withdrawn(request_key);
        }
    }

    /// The ACK of a 2xx belongs to the dialog, that of a refusal to its transaction.
    pub(super) fn handle_ack(&mut self, now: Instant, ack: &Message) {
        let cseq = ack.cseq_number();
        if let Phase::Talking(session) = &mut self.phase
            && session.dialog.owns_request(ack)
            && let Some(index) = self.unacked.iter().position(|unacked| unacked.cseq == cseq)
        {
            let unacked = self.unacked.remove(index);
            let sdp = ack.sdp();
            if unacked.offers && sdp.is_some() {
                session.remote_sdp.clone_from(&sdp);
            }
            if unacked.initial {
                self.tell(Event::Acked { sdp });
                self.leave_if_wanted(now);
            } else if unacked.offers {
                self.own_offer_acked(sdp);
            }
            return;
        }
        let refused = |invite: &&mut InviteIn| invite.machine.is_refused() && invite.key.is_of(ack);
        if let Some(invite) = self.invites_in.iter_mut().find(refused) {
            invite.machine.handle_ack(now);
        }
    }

    /// BYE in a dialog that is not confirmed yet (RFC 3261 section 15.1.2).
    pub(super) fn caller_left_early(&mut self, now: Instant, bye: &Message) {
        if let Some(index) = self.first_invite() {
            self.refuse_invite(now, index, 487, "", &[]);
        }
        debug_assert!(bye.method() == Some(&Method::Bye));
        self.over(Event::Canceled { reason: reason_of(bye) });
    }
}
