//! Requests that we sent: their transactions, and which response means what.

use std::time::{Duration, Instant};

use super::{
    Bytes, Due, Event, GIVE_UP, Hop, Leg, Message, Method, Phase, RequestKey, Text, Timer,
};
use crate::leg::print::Draft;
use crate::message::Name;
use crate::transaction::client_invite::Heard as HeardInvite;
use crate::transaction::client_non_invite::Heard;
use crate::transaction::{ClientInvite, ClientNonInvite};

/// Requests of ours at once; more is an owner that floods, or a peer that wants a PRACK for each of too many.
pub(super) const CLIENTS_MAX: usize = 32;
/// How long an INVITE may ring without a sign of life: RFC 3261's timer C.
pub(super) const RING_MAX: Duration = Duration::from_secs(181);

/// An INVITE of ours.
#[derive(Debug)]
pub(super) struct InviteOut {
    pub(super) branch: u32,
    pub(super) cseq: u32,
    pub(super) draft: Draft,
    pub(super) hop: Hop,
    pub(super) machine: ClientInvite,
    pub(super) purpose: InvitePurpose,
    /// Challenges and 422s answered so far.
    pub(super) tries: u8,
    /// When ringing has lasted too long, or a CANCEL has had no effect.
    pub(super) give_up: Option<Instant>,
    /// The ACK of each 2xx, by its To tag: a forking proxy may let several through.
    pub(super) acks: Vec<SentAck>,
}

#[derive(Debug)]
pub(super) struct SentAck {
    pub(super) tag: Text,
    pub(super) bytes: Bytes,
    pub(super) hop: Hop,
}

/// What an INVITE of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvitePurpose {
    /// Makes the call.
    Initial,
    /// Changes it.
    Reoffer,
    /// Only shows that both ends live.
    Refresh,
}

impl InviteOut {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.machine.poll_timeout(), self.give_up].into_iter().flatten().min()
    }
}

/// Another request of ours.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) branch: u32,
    pub(super) draft: Draft,
    pub(super) hop: Hop,
    pub(super) machine: ClientNonInvite,
    pub(super) purpose: Purpose,
    pub(super) tries: u8,
}

/// What a request of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Cancel,
    Bye,
    /// BYE of an answer that nobody wants: a fork.
    StrayBye,
    Prack,
    Refresh,
    /// By [`Leg::request`].
    Owner(RequestKey),
}

impl Leg {
    /// Sends an INVITE under a new number and branch.
    pub(super) fn send_invite(
        &mut self,
        now: Instant,
        draft: Draft,
        hop: Hop,
        purpose: InvitePurpose,
        tries: u8,
    ) {
        let (cseq, branch) = (self.own.next_cseq(), self.own.next_branch());
        let bytes = draft.print(&self.own, cseq, branch);
        let machine = ClientInvite::new(bytes.clone(), self.own.transport.reliability(), now);
        self.send(bytes, hop.clone());
        let (give_up, acks) = (None, Vec::new());
        self.invites_out.reserve_exact(1);
        self.invites_out.push(InviteOut {
            branch,
            cseq,
            draft,
            hop,
            machine,
            purpose,
            tries,
            give_up,
            acks,
        });
    }

    /// Sends another request in its dialog under a new number and branch.
    pub(super) fn send_request(&mut self, now: Instant, draft: Draft, purpose: Purpose, tries: u8) {
        let (cseq, branch) = (self.own.next_cseq(), self.own.next_branch());
        let bytes = draft.print(&self.own, cseq, branch);
        let hop = draft.dialog.hop(self.own.transport);
        self.start_client(now, (branch, bytes, hop), draft, purpose, tries);
    }

    pub(super) fn start_client(
        &mut self,
        now: Instant,
        (branch, bytes, hop): (u32, Bytes, Hop),
        draft: Draft,
        purpose: Purpose,
        tries: u8,
    ) {
        let machine = ClientNonInvite::new(bytes.clone(), self.own.transport.reliability(), now);
        self.send(bytes, hop.clone());
        self.clients.reserve_exact(1);
        self.clients.push(Client { branch, draft, hop, machine, purpose, tries });
    }

    /// Sends a request of the owner's in the confirmed dialog, such as an INFO that carries a digit. Its end comes as
    /// [`Event::Response`] under the key. `None` outside of a conversation, or with too many under way.
    pub fn request(
        &mut self,
        now: Instant,
        method: Method,
        body: Option<(&str, Bytes)>,
        extra: &[(Name, String)],
    ) -> Option<RequestKey> {
        let Phase::Talking(session) = &self.phase else { return None };
        if self.clients.len() >= CLIENTS_MAX || session.leaving.is_some() {
            return None;
        }
        let mut draft = Draft::bare(session.dialog.clone(), method);
        draft.headers = extra.to_vec();
        if let Some((content_type, bytes)) = body {
            draft.content_type = Text::new(content_type);
            draft.body = bytes;
        }
        let key = self.new_key();
        self.send_request(now, draft, Purpose::Owner(key), 0);
        Some(key)
    }

    /// Finds the transaction of a response by branch and method (RFC 3261 section 17.1.3). A response that names
    /// another call or another tag of ours is a forgery.
    pub(super) fn handle_response(&mut self, now: Instant, response: Message) {
        let branch = response.branch().and_then(|branch| self.own.own_branch(branch));
        let Some(branch) = branch else { return };
        // A second Via means that it was meant for somebody behind us (RFC 3261 section 8.1.3.3).
        let alone = response.values(&Name::Via).nth(1).is_none();
        if !alone || response.from_tag() != Some(&*self.own.local_tag) {
            return;
        }
        let (cseq, method) = response.cseq();
        if method == Method::Invite {
            let found = self.invites_out.iter().position(|invite| {
                invite.branch == branch
                    && invite.cseq == cseq
                    && &*invite.draft.dialog.call_id == response.call_id()
            });
            if let Some(index) = found {
                self.invite_response(now, index, response);
            }
        } else {
            let found = self.clients.iter().position(|client| {
                client.branch == branch
                    && client.draft.method == method
                    && &*client.draft.dialog.call_id == response.call_id()
            });
            if let Some(index) = found {
                self.client_response(now, index, response);
            }
        }
    }

    fn invite_response(&mut self, now: Instant, index: usize, response: Message) {
        let status = response.status().unwrap_or_default();
        let own = &self.own;
        let InviteOut { machine, draft, hop, cseq, branch, .. } = &mut self.invites_out[index];
        let heard = machine.handle_response(now, status, || {
            let remote = draft.dialog.refused_by(&response).remote;
            draft.print_companion(own, &Method::Ack, (*cseq, *branch), &remote, &[])
        });
        let hop = hop.clone();
        match heard {
            HeardInvite::Stray => {}
            HeardInvite::Provisional => {
                let ended = matches!(self.phase, Phase::Leaving(_) | Phase::Over);
                // A CANCEL on its way keeps the shorter wait, and so does the end of the call.
                if ended {
                    self.invites_out[index].give_up.get_or_insert(now + GIVE_UP);
                } else if !self.is_cancelled() {
                    self.invites_out[index].give_up = Some(now + RING_MAX);
                }
                if self.invites_out[index].purpose == InvitePurpose::Initial {
                    self.call_progressed(now, index, &response);
                }
            }
            HeardInvite::Answer => {
                self.invites_out[index].give_up = None;
                match self.invites_out[index].purpose {
                    InvitePurpose::Initial => self.call_answered(now, index, response),
                    _ => self.reoffer_answered(now, index, &response),
                }
            }
            HeardInvite::Refusal { ack } => {
                self.send(ack, hop);
                self.invites_out[index].give_up = None;
                match self.invites_out[index].purpose {
                    InvitePurpose::Initial => self.call_refused(now, index, response),
                    _ => self.reoffer_refused(now, index, status, Some(&response)),
                }
            }
            HeardInvite::RefusalAgain { ack } => self.send(ack, hop),
        }
    }

    /// Prints, sends and keeps the ACK of a 2xx.
    pub(super) fn send_ack(
        &mut self,
        index: usize,
        dialog: crate::dialog::Dialog,
        sdp: Option<Bytes>,
    ) {
        let invite = &self.invites_out[index];
        let mut draft = Draft::bare(dialog, Method::Ack).with_sdp(sdp);
        // RFC 3261 section 22.1: the ACK carries the INVITE's credentials.
        let is_credential =
            |name: &Name| matches!(name, Name::Authorization | Name::ProxyAuthorization);
        draft.headers =
            invite.draft.headers.iter().filter(|(name, _)| is_credential(name)).cloned().collect();
        let cseq = invite.cseq;
        let branch = self.own.next_branch();
        let bytes = draft.print(&self.own, cseq, branch);
        let hop = draft.dialog.hop(self.own.transport);
        let tag = draft.dialog.remote_tag.clone();
        self.send(bytes.clone(), hop.clone());
        let acks = &mut self.invites_out[index].acks;
        acks.reserve_exact(1);
        acks.push(SentAck { tag, bytes, hop });
    }

    /// True if this 2xx was acknowledged before: then it is so again.
    pub(super) fn acked_again(&mut self, index: usize, response: &Message) -> bool {
        let tag = response.to_tag().unwrap_or_default();
        let sent = self.invites_out[index].acks.iter().find(|ack| &*ack.tag == tag);
        let Some((bytes, hop)) = sent.map(|ack| (ack.bytes.clone(), ack.hop.clone())) else {
            return false;
        };
        self.send(bytes, hop);
        true
    }

    fn client_response(&mut self, now: Instant, index: usize, response: Message) {
        let status = response.status().unwrap_or_default();
        let client = &mut self.clients[index];
        if client.machine.handle_response(now, status) != Heard::Final {
            return;
        }
        let (purpose, tries) = (client.purpose, client.tries);
        if matches!(status, 401 | 407)
            && purpose != Purpose::Cancel
            && tries < super::auth::TRIES_MAX
        {
            let mut draft = client.draft.clone();
            if self.answer_challenge(&mut draft, &response) {
                self.send_request(now, draft, purpose, tries + 1);
                return;
            }
        }
        self.client_done(now, purpose, status, Some(response));
    }

    /// The dialog has ended: requests of the owner's are neither repeated nor waited for.
    pub(super) fn forget_requests(&mut self) {
        for client in &mut self.clients {
            if let Purpose::Owner(request) = client.purpose
                && client.machine.is_pending()
            {
                client.machine.terminate();
                let event = Event::Response { request, status: 481, message: None };
                self.outputs.push_back(super::Output::Event(event));
            }
        }
    }

    /// The end of a request of ours; without a response nobody answered.
    fn client_done(
        &mut self,
        now: Instant,
        purpose: Purpose,
        status: u16,
        response: Option<Message>,
    ) {
        match purpose {
            Purpose::Cancel | Purpose::StrayBye | Purpose::Prack => {}
            Purpose::Bye => {
                if matches!(self.phase, Phase::Leaving(_)) {
                    self.over(Event::Ended);
                }
            }
            Purpose::Refresh => self.refresh_done(now, status, response.as_ref()),
            Purpose::Owner(request) => {
                let message = response.map(Box::new);
                self.tell(Event::Response { request, status, message });
                // RFC 3261 section 12.2.1.2: the peer has lost the dialog. A mere 408 of an INFO may be the
                // carrier's way to say that it does not know the method.
                if status == 481 {
                    self.expire(now);
                }
            }
        }
    }

    pub(super) fn time_of_invites_out(&mut self, now: Instant) {
        for index in 0..self.invites_out.len() {
            while let Some(due) = self.invites_out[index].machine.handle_timeout(now) {
                match due {
                    Due::Resend(bytes) => self.send(bytes, self.invites_out[index].hop.clone()),
                    Due::GaveUp(_) => self.invite_unanswered(now, index),
                }
            }
            let overdue = self.invites_out[index].give_up.is_some_and(|at| at <= now);
            if !overdue {
                continue;
            }
            self.invites_out[index].give_up = None;
            let initial = self.invites_out[index].purpose == InvitePurpose::Initial;
            if initial && !self.is_cancelled() {
                self.cancel_after_ringing(now);
            } else {
                self.invites_out[index].machine.terminate();
                self.invite_unanswered(now, index);
            }
        }
    }

    fn invite_unanswered(&mut self, now: Instant, index: usize) {
        match self.invites_out[index].purpose {
            InvitePurpose::Initial => {
                if matches!(self.phase, Phase::Calling(_)) {
                    self.over(Event::NoAnswer);
                }
            }
            _ => self.reoffer_refused(now, index, 408, None),
        }
    }

    pub(super) fn time_of_clients(&mut self, now: Instant) {
        for index in 0..self.clients.len() {
            while let Some(due) = self.clients[index].machine.handle_timeout(now) {
                match due {
                    Due::Resend(bytes) => self.send(bytes, self.clients[index].hop.clone()),
                    Due::GaveUp(Timer::F) => {
                        let purpose = self.clients[index].purpose;
                        self.client_done(now, purpose, 408, None);
                    }
                    Due::GaveUp(_) => {}
                }
            }
        }
    }

    /// The call is over, and a re-INVITE with it: whoever lets it proceed holds nothing of ours for minutes.
    pub(super) fn wait_for_reinvites(&mut self, now: Instant) {
        for invite in &mut self.invites_out {
            if invite.purpose != InvitePurpose::Initial && invite.machine.is_proceeding() {
                invite.give_up = Some(now + GIVE_UP);
            }
        }
    }

    /// How long an INVITE waits for its end after a CANCEL (RFC 3261 section 9.1).
    pub(super) fn wait_for_cancel(&mut self, now: Instant) {
        for invite in &mut self.invites_out {
            if invite.purpose == InvitePurpose::Initial && invite.machine.is_pending() {
                invite.give_up = Some(now + GIVE_UP);
            }
        }
    }
}
