//! BYE, ours and theirs, and what makes the leg hang up by itself.

use std::time::Instant;

use super::config::{LegConfig, Own};
use super::outside::Purpose;
use super::print::Draft;
use super::{Event, Hop, Leg, Message, Method, Phase, RecoveryDialog, reason_of};
use crate::dialog::Dialog;
use crate::message::Name;

impl Leg {
    /// Hangs up. `reason` is a Reason value (RFC 3326). A called leg that is not answered is cancelled, a caller's leg
    /// that is not answered gets 480; where our 2xx still waits for its ACK, BYE waits too (RFC 3261 section 15).
    pub fn bye(&mut self, now: Instant, reason: Option<&str>) {
        match &mut self.phase {
            Phase::Ringing(_) => self.reject(now, 480, "", &[]),
            Phase::Calling(_) => self.cancel(now, reason),
            Phase::Talking(session) => {
                if session.leaving.is_none() {
                    session.leaving = Some(reason.map(ToOwned::to_owned));
                    self.acknowledge(now, None);
                    if !self.unacked.iter().any(|unacked| unacked.initial) {
                        self.leave_if_wanted(now);
                    }
                }
            }
            Phase::Leaving(_) | Phase::Over => {}
        }
        self.settle(now);
    }

    /// Sends the BYE of a dialog whose process is gone. `cseq_above` is how far its number stands above the stored one:
    /// more than that process can have sent since. Tag and Call-ID of `config` do not matter.
    #[must_use]
    pub fn resume_bye(
        mut config: LegConfig,
        stored: &RecoveryDialog,
        cseq_above: u32,
        reason: Option<&str>,
        now: Instant,
    ) -> Self {
        config.local_tag.clone_from(&stored.local_tag);
        config.transport = stored.transport;
        let mut own = Own::new(config);
        own.skip_cseq(stored.local_cseq.saturating_add(cseq_above));
        let mut leg = Self::new(own);
        leg.leave(now, Dialog::recovered(stored), reason);
        leg
    }

    /// Acknowledges and hangs up what was answered to an INVITE of a process that is gone: who picked up
    /// would listen to nobody until his own timers end it. `None` where it is no such answer. `cseq_above`, and tag and
    /// Call-ID of `config`, are as in [`Leg::resume_bye`].
    #[must_use]
    pub fn end_stray(
        mut config: LegConfig,
        answer: &Message,
        cseq_above: u32,
        now: Instant,
    ) -> Option<Self> {
        let (cseq, method) = answer.cseq();
        if method != Method::Invite || !(200..300).contains(&answer.status()?) {
            return None;
        }
        let dialog = Dialog::of_stray(answer)?;
        config.local_tag = dialog.local_tag.to_string();
        config.call_id = dialog.call_id.to_string();
        let mut own = Own::new(config);
        own.skip_cseq(cseq.saturating_add(cseq_above));
        let mut leg = Self::new(own);
        let branch = leg.own.next_branch();
        let ack = Draft::bare(dialog.clone(), Method::Ack).print(&leg.own, cseq, branch);
        leg.send(ack, dialog.hop(leg.own.transport));
        leg.leave(now, dialog, None);
        Some(leg)
    }

    /// The BYE that waited for an ACK.
    pub(super) fn leave_if_wanted(&mut self, now: Instant) {
        let Phase::Talking(session) = &mut self.phase else { return };
        if let Some(reason) = session.leaving.take() {
            let dialog = session.dialog.clone();
            self.leave(now, dialog, reason.as_deref());
        }
    }

    /// Sends BYE. What the owner still has to answer is refused.
    pub(super) fn leave(&mut self, now: Instant, dialog: Dialog, reason: Option<&str>) {
        self.refuse_pending(now);
        self.wait_for_reinvites(now);
        self.unacked.clear();
        let mut draft = Draft::bare(dialog.clone(), Method::Bye);
        if let Some(reason) = reason {
            draft.set(Name::Reason, reason.to_owned());
        }
        self.phase = Phase::Leaving(Box::new(dialog));
        self.send_request(now, draft, Purpose::Bye, 0);
    }

    /// The session is dead: BYE, in case that somebody still listens.
    pub(super) fn expire(&mut self, now: Instant) {
        let Phase::Talking(session) = &self.phase else { return };
        let dialog = session.dialog.clone();
        self.tell(Event::Expired);
        self.leave(now, dialog, Some("SIP;cause=408;text=\"Session expired\""));
    }

    /// RFC 3261 section 13.3.1.4: without an ACK the dialog exists, and is to be hung up.
    pub(super) fn ack_missing(&mut self, now: Instant) {
        let Phase::Talking(session) = &mut self.phase else { return };
        let dialog = session.dialog.clone();
        let reason = session.leaving.take().flatten();
        self.tell(Event::AckMissing);
        self.leave(now, dialog, reason.as_deref());
    }

    pub(super) fn handle_bye(&mut self, now: Instant, request: &Message, hop: &Hop) {
        self.answer_at_once(now, request, hop, 200, &[]);
        match &self.phase {
            Phase::Ringing(_) => self.caller_left_early(now, request),
            Phase::Talking(_) => {
                self.refuse_pending(now);
                self.wait_for_reinvites(now);
                self.unacked.clear();
                self.over(Event::Bye { reason: reason_of(request) });
            }
            // Both hung up at once. Our BYE goes on until it is answered, but nothing hangs on it.
            Phase::Leaving(_) => self.over(Event::Ended),
            // One early branch leaves; the others still ring.
            Phase::Calling(_) | Phase::Over => {}
        }
    }
}
