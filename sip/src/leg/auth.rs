//! Answers to 401 and 407, where the leg has credentials.

use super::print::Draft;
use super::{Leg, Message};
use crate::digest::{self, Challenge, SentMethod};

/// Challenges that one request inside the dialog answers.
pub(super) const TRIES_MAX: u8 = 2;

impl Leg {
    /// Puts the answer to the response's challenge into the draft. False where there is none to give, or the peer has
    /// just refused one: then the challenge is a refusal.
    pub(super) fn answer_challenge(&mut self, draft: &mut Draft, response: &Message) -> bool {
        // Any fresh text will do: it keeps the peer from choosing what we hash (RFC 7616 section 5.3).
        let cnonce = format!("{:016x}", self.own.spread(self.own.cseq()));
        let Some(credentials) = &self.own.credentials else { return false };
        let Ok((challenge, name)) = Challenge::of(response, credentials.realm.as_deref()) else {
            return false;
        };
        let refused = draft.headers.iter().any(|(header, _)| *header == name);
        let Some(method) = SentMethod::new(&draft.method) else { return false };
        if refused && !challenge.stale {
            return false;
        }
        let uri = draft.dialog.way().0;
        let request = digest::Request { method, uri, cnonce: &cnonce, nonce_count: 1 };
        let who =
            digest::Credentials { username: &credentials.user, password: &credentials.password };
        let value = challenge.answer(&who, &request);
        draft.set(name, value);
        true
    }
}
