//! Requests that they sent: repetitions, the dialog's checks, and the answers of the owner.

use std::time::Instant;

use super::print::{ALLOW, Head, SDP};
use super::{Bytes, Event, Hop, Leg, Message, Method, Phase, RequestKey};
use crate::dialog::Dialog;
use crate::message::Name;
use crate::transaction::{Due, ServerInvite, ServerNonInvite};

/// Requests of one peer that are kept for their repetitions. The oldest answered one goes first.
const SERVERS_MAX: usize = 64;

/// What tells one transaction of a peer from another (RFC 3261 section 17.2.3). The number is redundant beside a
/// branch of RFC 3261, and tells apart what a client of RFC 2543 sends without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    branch: String,
    sent_by: String,
    cseq: u32,
}

impl Key {
    pub(super) fn of(request: &Message) -> Self {
        let via = request.top_via();
        Self {
            branch: via.and_then(|via| via.branch()).unwrap_or_default().to_owned(),
            sent_by: via.map(|via| via.sent_by()).unwrap_or_default(),
            cseq: request.cseq_number(),
        }
    }

    /// True for a request with this key: the same again, its ACK or its CANCEL.
    pub(super) fn is_of(&self, request: &Message) -> bool {
        let Some(via) = request.top_via() else { return false };
        via.branch().unwrap_or_default() == self.branch
            && self.cseq == request.cseq_number()
            && via.sent_by().eq_ignore_ascii_case(&self.sent_by)
    }
}

/// An INVITE of theirs.
#[derive(Debug)]
pub(super) struct InviteIn {
    pub(super) key: Key,
    pub(super) request_key: RequestKey,
    /// Until its final response.
    pub(super) request: Option<Message>,
    pub(super) hop: Hop,
    pub(super) machine: ServerInvite,
    pub(super) initial: bool,
    /// A re-INVITE gets a 100 when the owner has not answered it by then (RFC 3261 section 17.2.1).
    pub(super) trying_at: Option<Instant>,
    /// And is refused when he has not by then.
    pub(super) answer_by: Option<Instant>,
}

impl InviteIn {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ours = [self.trying_at, self.answer_by].into_iter().flatten().min();
        let ours = ours.filter(|_| self.machine.is_pending());
        [self.machine.poll_timeout(), ours].into_iter().flatten().min()
    }
}

/// Another request of theirs.
#[derive(Debug)]
pub(super) struct Server {
    key: Key,
    pub(super) method: Method,
    request_key: RequestKey,
    /// Until its final response.
    request: Option<Message>,
    hop: Hop,
    pub(super) machine: ServerNonInvite,
}

impl Leg {
    pub(super) fn handle_request(&mut self, now: Instant, request: Message, hop: Hop) {
        let method = match request.method() {
            Some(Method::Ack) => return self.handle_ack(now, &request),
            Some(method) => method.clone(),
            None => return,
        };
        if self.answer_again(&request, &method, &hop) {
            return;
        }
        if method == Method::Cancel {
            return self.handle_cancel(now, &request, &hop);
        }
        let Some(dialog) = self.dialog_of(&request) else {
            // An INVITE without a To tag that is no repetition took two ways here (RFC 3261 section 8.2.2.2).
            let merged = method == Method::Invite && request.to_tag().is_none();
            return self.answer_at_once(now, &request, &hop, if merged { 482 } else { 481 }, &[]);
        };
        let cseq = request.cseq_number();
        if dialog.remote_cseq.is_some_and(|last| cseq <= last) {
            // Out of order (section 12.2.2). But a BYE with the right tags ends the call whatever its number:
            // a conversation that goes on after it would be paid for.
            if method != Method::Bye {
                return self.answer_at_once(now, &request, &hop, 500, &[]);
            }
        } else {
            dialog.remote_cseq = Some(cseq);
        }
        match method {
            Method::Bye => self.handle_bye(now, &request, &hop),
            Method::Invite => self.handle_reinvite(now, request, hop),
            Method::Update => self.handle_update(now, request, hop),
            // We send no reliable provisional response, so there is none to acknowledge (RFC 3262 section 3).
            Method::Prack => self.answer_at_once(now, &request, &hop, 481, &[]),
            Method::Info | Method::Options | Method::Refer => {
                let key = self.keep(now, &request, &hop);
                let message = Box::new(request);
                self.tell(Event::Request { request: key, message });
            }
            _ => {
                let allow = (Name::Allow, ALLOW.to_owned());
                self.answer_at_once(now, &request, &hop, 405, &[allow]);
            }
        }
    }

    /// A repeated request gets the same bytes again, or nothing while it waits for the owner.
    fn answer_again(&mut self, request: &Message, method: &Method, hop: &Hop) -> bool {
        let bytes = if *method == Method::Invite {
            let found = self.invites_in.iter().find(|invite| invite.key.is_of(request));
            found.map(|invite| invite.machine.handle_repeated())
        } else {
            let same = |server: &&Server| server.method == *method && server.key.is_of(request);
            self.servers.iter().find(same).map(|server| server.machine.handle_repeated())
        };
        let Some(bytes) = bytes else { return false };
        if let Some(bytes) = bytes {
            // The way of this repetition: a browser may be on its next socket, a datagram from a new port.
            self.send(bytes, hop.clone());
        }
        true
    }

    fn dialog_of(&mut self, request: &Message) -> Option<&mut Dialog> {
        match &mut self.phase {
            Phase::Ringing(dialog) | Phase::Leaving(dialog) => {
                Some(&mut **dialog).filter(|dialog| dialog.owns_request(request))
            }
            Phase::Calling(calling) => calling.dialog_of(request),
            Phase::Talking(session) => {
                Some(&mut session.dialog).filter(|dialog| dialog.owns_request(request))
            }
            Phase::Over => None,
        }
    }

    /// Keeps a request for the owner to answer.
    pub(super) fn keep(&mut self, now: Instant, request: &Message, hop: &Hop) -> RequestKey {
        if self.servers.len() >= SERVERS_MAX {
            let answered = self.servers.iter().position(|server| !server.machine.is_pending());
            let gone = self.servers.remove(answered.unwrap_or(0));
            self.offer_done(gone.request_key);
        }
        let request_key = self.new_key();
        self.servers.reserve_exact(1);
        self.servers.push(Server {
            key: Key::of(request),
            method: request.method().cloned().unwrap_or(Method::Options),
            request_key,
            request: Some(request.clone()),
            hop: hop.clone(),
            machine: ServerNonInvite::new(now),
        });
        request_key
    }

    /// Answers by the leg itself, and keeps the answer where the request belongs to the dialog.
    pub(super) fn answer_at_once(
        &mut self,
        now: Instant,
        request: &Message,
        hop: &Hop,
        status: u16,
        extra: &[(Name, String)],
    ) {
        let extra = &self.own.refusal(status, "", extra);
        let is_invite = request.method() == Some(&Method::Invite);
        if is_invite || matches!(status, 481 | 482) {
            // Whoever repeats it is refused again: nothing to keep, and nothing that a stranger could keep alive.
            let mut head = Head::reply(request, status, "", &self.own.local_tag);
            head.lines(extra);
            return self.send(head.finish(None), hop.clone());
        }
        let key = self.keep(now, request, hop);
        self.finish(now, key, status, "", extra, None);
    }

    /// Says yes: 200 (202 to a REFER), with `body` as SDP where it answers or makes an offer.
    pub fn accept(
        &mut self,
        now: Instant,
        request: RequestKey,
        body: Option<Bytes>,
        extra: &[(Name, String)],
    ) {
        let invite = self.invites_in.iter().position(|invite| invite.request_key == request);
        if let Some(index) = invite {
            self.accept_reinvite(now, index, body, extra);
        } else if self.answer_is_due(request, &Method::Update) {
            self.accept_update(now, request, body, extra);
        } else {
            let refer = self.answer_is_due(request, &Method::Refer);
            self.finish(now, request, if refer { 202 } else { 200 }, "", extra, body.as_ref());
        }
        self.settle(now);
    }

    /// Says no: 300–699. An empty reason stands for the usual phrase.
    pub fn refuse(
        &mut self,
        now: Instant,
        request: RequestKey,
        status: u16,
        reason: &str,
        extra: &[(Name, String)],
    ) {
        let status = status.clamp(300, 699);
        let pending = |invite: &InviteIn| {
            invite.request_key == request && !invite.initial && invite.machine.is_pending()
        };
        if let Some(index) = self.invites_in.iter().position(pending) {
            self.refuse_invite(now, index, status, reason, extra);
        } else {
            self.finish(now, request, status, reason, extra, None);
        }
        self.offer_done(request);
        self.settle(now);
    }

    fn answer_is_due(&self, key: RequestKey, method: &Method) -> bool {
        let due = |server: &Server| {
            server.request_key == key && server.method == *method && server.request.is_some()
        };
        self.servers.iter().any(due)
    }

    /// The request under `key`, taken out to be answered by [`Leg::finish_with`].
    pub(super) fn take_request(&mut self, key: RequestKey) -> Option<Message> {
        self.servers.iter_mut().find(|server| server.request_key == key)?.request.take()
    }

    fn finish(
        &mut self,
        now: Instant,
        key: RequestKey,
        status: u16,
        reason: &str,
        extra: &[(Name, String)],
        body: Option<&Bytes>,
    ) {
        let Some(request) = self.take_request(key) else { return };
        let mut head = Head::reply(&request, status, reason, &self.own.local_tag);
        let wants_abilities = matches!(request.method(), Some(Method::Options | Method::Update));
        if wants_abilities && status < 300 {
            head.capabilities(&self.own);
        }
        head.lines(extra);
        self.finish_with(now, key, head.finish(body.map(|body| (SDP, body))));
    }

    /// Sends and keeps the final response to the request under `key`.
    pub(super) fn finish_with(&mut self, now: Instant, key: RequestKey, bytes: Bytes) {
        let Some(server) = self.servers.iter_mut().find(|server| server.request_key == key) else {
            return;
        };
        server.machine.finish(now, bytes.clone());
        let hop = server.hop.clone();
        self.send(bytes, hop);
    }

    /// The dialog ends: what still waits for the owner is answered with 487 (RFC 3261 section 15.1.2).
    pub(super) fn refuse_pending(&mut self, now: Instant) {
        let servers = self.servers.iter().filter(|server| server.request.is_some());
        let keys: Vec<RequestKey> = servers.map(|server| server.request_key).collect();
        for key in keys {
            self.finish(now, key, 487, "", &[], None);
        }
        for index in 0..self.invites_in.len() {
            if self.invites_in[index].machine.is_pending() {
                self.refuse_invite(now, index, 487, "", &[]);
            }
        }
    }

    pub(super) fn time_of_servers(&mut self, now: Instant) {
        for index in 0..self.invites_in.len() {
            while let Some(due) = self.invites_in[index].machine.handle_timeout(now) {
                if let Due::Resend(bytes) = due {
                    self.send(bytes, self.invites_in[index].hop.clone());
                }
            }
            if self.invites_in[index].machine.is_pending() {
                self.time_of_pending_reinvite(now, index);
            }
        }
        for index in 0..self.servers.len() {
            let gave_up = self.servers[index].machine.handle_timeout(now).is_some();
            if gave_up {
                let key = self.servers[index].request_key;
                self.offer_done(key);
            }
        }
    }
    fn time_of_pending_reinvite(&mut self, now: Instant, index: usize) {
        let InviteIn { trying_at, answer_by, request_key, request, hop, machine, .. } =
            &mut self.invites_in[index];
        if answer_by.is_some_and(|by| by <= now) {
            let key = *request_key;
            self.refuse_invite_ourselves(now, index, 504, &[]);
            self.offer_withdrawn(key);
        } else if trying_at.is_some_and(|at| at <= now)
            && let Some(request) = request
        {
            *trying_at = None;
            let bytes = Head::reply(request, 100, "", &self.own.local_tag).finish(None);
            machine.provisional(bytes.clone());
            let hop = hop.clone();
            self.send(bytes, hop);
        }
    }
}
