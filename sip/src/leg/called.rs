//! The called side: our INVITE until its end, forks, reliable provisional responses, CANCEL.

use std::time::Instant;

use super::config::{LegConfig, OutgoingInvite, Own};
use super::offer::Session;
use super::outside::{CLIENTS_MAX, InvitePurpose, Purpose};
use super::print::Draft;
use super::{Bytes, Event, Hop, Leg, Message, Method, Phase, Text};
use crate::dialog::Dialog;
use crate::list::{number, quote};
use crate::message::Name;

/// Branches of a forking proxy that one call may have. Further ones are not acknowledged.
const FORKS_MAX: usize = 8;
/// Challenges and 422s that one INVITE answers before it is refused.
const TRIES_MAX: u8 = 3;

/// An outgoing call before its final response.
#[derive(Debug)]
pub(super) struct Calling {
    early: Vec<Early>,
    cancel: Cancel,
}

/// An early dialog.
#[derive(Debug)]
struct Early {
    dialog: Dialog,
    /// The last reliable provisional response (RFC 3262).
    rseq: Option<u32>,
    /// Their answer came reliably, so an UPDATE may bring the next offer (RFC 3311 section 5.1).
    answered: bool,
}

#[derive(Debug)]
enum Cancel {
    No,
    /// Wanted, but nothing came from the other side yet: only what proceeds can be cancelled.
    Waiting {
        reason: Option<String>,
    },
    /// `for_silence`: because it rang too long, not because the owner wished it.
    Sent {
        for_silence: bool,
    },
}

impl Calling {
    /// The early dialog that a request of theirs belongs to.
    pub(super) fn dialog_of(&mut self, request: &Message) -> Option<&mut Dialog> {
        self.early.iter_mut().map(|early| &mut early.dialog).find(|it| it.owns_request(request))
    }

    /// Whether an UPDATE of theirs may bring an offer already.
    pub(super) fn takes_offer(&self, request: &Message) -> bool {
        self.early.iter().any(|early| early.answered && early.dialog.owns_request(request))
    }
}

impl Leg {
    /// Sends the INVITE to the configured next hop.
    #[must_use]
    pub fn outgoing(config: LegConfig, invite: OutgoingInvite, now: Instant) -> Self {
        let call_id = Text::new(&config.call_id);
        let mut own = Own::new(config);
        own.made_call_id = true;
        let display = invite.from_display.map_or_else(String::new, |name| quote(&name) + " ");
        let dialog = Dialog {
            call_id,
            local_tag: Text::new(&own.local_tag),
            remote_tag: Text::EMPTY,
            local: Text::new(&format!("{display}<{}>;tag={}", invite.from_uri, own.local_tag)),
            remote: Text::new(&format!("<{}>", invite.to_uri)),
            target: Text::new(&invite.request_uri),
            routes: invite.route.iter().map(Text::from).collect(),
            remote_cseq: None,
        };
        let mut draft = Draft::bare(dialog, Method::Invite).with_sdp(invite.sdp);
        draft.headers = invite.headers;
        if let Some(seconds) = own.session_expires {
            draft.set(Name::SessionExpires, format!("{seconds};refresher=uac"));
        }
        let mut leg = Self::new(own);
        leg.phase = Phase::Calling(Box::new(Calling { early: Vec::new(), cancel: Cancel::No }));
        leg.send_invite(now, draft, Hop::Flow, InvitePurpose::Initial, 0);
        leg
    }

    /// Gives the call up. Before any sign of the other side it waits for one (RFC 3261 section 9.1); an answer that
    /// crosses is acknowledged and hung up. `reason` is a Reason value. On an answered leg it is [`Leg::bye`].
    pub fn cancel(&mut self, now: Instant, reason: Option<&str>) {
        match &mut self.phase {
            Phase::Calling(calling) if matches!(calling.cancel, Cancel::No) => {
                calling.cancel = Cancel::Waiting { reason: reason.map(ToOwned::to_owned) };
                self.send_wanted_cancel(now, false);
            }
            Phase::Talking(_) => self.bye(now, reason),
            _ => {}
        }
    }

    /// Answers the offer of an `Answered` event whose INVITE made none.
    pub fn acknowledge(&mut self, now: Instant, sdp: Option<Bytes>) {
        let Phase::Talking(session) = &mut self.phase else { return };
        let Some(branch) = session.ack_wanted.take() else { return };
        session.local_sdp.clone_from(&sdp);
        let dialog = session.dialog.clone();
        if let Some(index) = self.invites_out.iter().position(|invite| invite.branch == branch) {
            self.send_ack(index, dialog, sdp);
        }
        self.settle(now);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        matches!(&self.phase, Phase::Calling(calling) if !matches!(calling.cancel, Cancel::No))
    }

    pub(super) fn cancel_after_ringing(&mut self, now: Instant) {
        if let Phase::Calling(calling) = &mut self.phase {
            calling.cancel = Cancel::Waiting { reason: None };
            self.send_wanted_cancel(now, true);
        }
    }

    /// Sends the CANCEL that is wanted, if the INVITE proceeds.
    fn send_wanted_cancel(&mut self, now: Instant, for_silence: bool) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        let Cancel::Waiting { reason } = &mut calling.cancel else { return };
        let proceeding = self.invites_out.iter().find(|invite| invite.machine.is_proceeding());
        let Some(invite) = proceeding else { return };
        let extra = reason.take().map(|reason| (Name::Reason, reason));
        calling.cancel = Cancel::Sent { for_silence };
        let draft = Draft::bare(invite.draft.dialog.clone(), Method::Cancel);
        let (key, hop) = ((invite.cseq, invite.branch), invite.hop.clone());
        let extra = extra.as_slice();
        let remote = &draft.dialog.remote;
        let bytes = invite.draft.print_companion(&self.own, &Method::Cancel, key, remote, extra);
        self.start_client(now, (key.1, bytes, hop), draft, Purpose::Cancel, 0);
        self.wait_for_cancel(now);
    }

    /// A provisional response to the INVITE at `index`.
    pub(super) fn call_progressed(&mut self, now: Instant, index: usize, response: &Message) {
        self.send_wanted_cancel(now, false);
        let cancelled = self.is_cancelled();
        let Phase::Calling(calling) = &mut self.phase else { return };
        let status = response.status().unwrap_or_default();
        if status == 100 {
            if !cancelled {
                self.tell(Event::Trying);
            }
            return;
        }
        let half = &self.invites_out[index].draft.dialog;
        let early = early_of(&mut calling.early, half, response);
        let rseq = response.header(&Name::RSeq).and_then(number::<u32>);
        let sdp = response.sdp();
        if let (true, Some(rseq)) = (response.lists(&Name::Require, "100rel"), rseq) {
            let Some(early) = early else { return };
            // Out of order or repeated: the PRACK that is owed is under way already (RFC 3262 section 4).
            if early.rseq.is_some_and(|last| Some(rseq) != last.checked_add(1)) {
                return;
            }
            // Without its PRACK it is repeated, and taken when there is room.
            if self.clients.len() >= CLIENTS_MAX {
                return;
            }
            early.rseq = Some(rseq);
            early.answered |= sdp.is_some();
            let mut prack = Draft::bare(early.dialog.clone(), Method::Prack);
            let invite_cseq = self.invites_out[index].cseq;
            prack.set(Name::RAck, format!("{rseq} {invite_cseq} INVITE"));
            self.send_request(now, prack, Purpose::Prack, 0);
        }
        if !cancelled {
            let reason = response.reason().to_owned();
            self.tell(Event::Progress { status, sdp, reason });
        }
    }

    /// A 2xx to the INVITE at `index`: the answer, the same again, or that of another branch.
    pub(super) fn call_answered(&mut self, now: Instant, index: usize, response: Message) {
        if self.acked_again(index, &response) || self.invites_out[index].acks.len() >= FORKS_MAX {
            return;
        }
        let invite = &self.invites_out[index];
        let half = &invite.draft.dialog;
        let dialog = half.confirmed_by(&response).unwrap_or_else(|_| {
            // A way that cannot be read is no way; the tags still let us acknowledge and hang up.
            let mut dialog = half.refused_by(&response);
            dialog.remote_tag = Text::new(response.to_tag().unwrap_or_default());
            dialog
        });
        let cancelled = self.is_cancelled();
        match &self.phase {
            Phase::Calling(_) if cancelled => {
                self.send_ack(index, dialog.clone(), None);
                self.tell(Event::AnsweredTooLate);
                self.leave(now, dialog, None);
            }
            Phase::Calling(_) => self.start_talking(now, index, dialog, response),
            // The same answer while the owner still makes the SDP of its ACK.
            Phase::Talking(session)
                if session.ack_wanted.is_some()
                    && session.dialog.remote_tag == dialog.remote_tag => {}
            _ => {
                self.send_ack(index, dialog.clone(), None);
                self.send_request(now, Draft::bare(dialog, Method::Bye), Purpose::StrayBye, 0);
            }
        }
    }

    fn start_talking(&mut self, now: Instant, index: usize, dialog: Dialog, response: Message) {
        let invite = &self.invites_out[index];
        let sdp = response.sdp();
        let offer = (!invite.draft.body.is_empty()).then(|| invite.draft.body.clone());
        let ack_wanted = (offer.is_none() && sdp.is_some()).then_some(invite.branch);
        let mut session = Session::new(dialog.clone(), &response);
        session.local_sdp = offer;
        session.remote_sdp.clone_from(&sdp);
        session.ack_wanted = ack_wanted;
        session.refresh.taken_by_peer(now, &response, self.own.session_expires);
        self.phase = Phase::Talking(Box::new(session));
        if ack_wanted.is_none() {
            self.send_ack(index, dialog, None);
        }
        self.tell(Event::Answered { sdp, message: Box::new(response) });
    }

    /// A final refusal of the INVITE at `index`; its ACK is sent.
    pub(super) fn call_refused(&mut self, now: Instant, index: usize, response: Message) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        let status = response.status().unwrap_or_default();
        match calling.cancel {
            Cancel::No if self.invites_out[index].tries < TRIES_MAX => {
                calling.early.clear();
                let mut draft = self.invites_out[index].draft.clone();
                let again = match status {
                    401 | 407 => self.answer_challenge(&mut draft, &response),
                    422 => super::refresh::lengthen(&mut draft, &response),
                    _ => false,
                };
                if again {
                    let (hop, tries) =
                        (self.invites_out[index].hop.clone(), self.invites_out[index].tries + 1);
                    self.send_invite(now, draft, hop, InvitePurpose::Initial, tries);
                    return;
                }
            }
            Cancel::Sent { for_silence: true } => return self.over(Event::NoAnswer),
            _ => {}
        }
        let reason = response.reason().to_owned();
        self.over(Event::Refused { status, reason, message: Box::new(response) });
    }
}

/// The early dialog of a response, made where it is the first of its branch. `None` for a response without a To tag
/// and for one branch too many.
fn early_of<'a>(
    early: &'a mut Vec<Early>,
    half: &Dialog,
    response: &Message,
) -> Option<&'a mut Early> {
    let tag = response.to_tag()?;
    let known = early.iter().position(|early| &*early.dialog.remote_tag == tag);
    let index = match known {
        Some(index) => index,
        None if early.len() >= FORKS_MAX => return None,
        None => {
            let dialog = half.confirmed_by(response).ok()?;
            early.push(Early { dialog, rseq: None, answered: false });
            early.len() - 1
        }
    };
    early.get_mut(index)
}
