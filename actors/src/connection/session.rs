//! A session as a plain value: whose it is, until when it may start something, when it was last
//! heard, and how fast it asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sautikit_core::bucket::TokenBucket;
use sautikit_core::cause::CloseCode;
use sautikit_core::identity::AddressUser;
use sautikit_core::ids::{SessionId, WorkspaceId};
use sautikit_core::limits::{
    LAPSED_SESSION_GRACE, Limits, MESSAGES_BURST_SECONDS, MESSAGES_FACTOR, PING_AFTER,
    PONG_TIMEOUT, REQUEST_BURST_FACTOR, REQUEST_REFUSALS_MAX, REQUEST_REFUSALS_WINDOW,
};
use sautikit_core::token::Claims;

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Ping,
    Close(CloseCode, &'static str),
}

/// Whether a request may be served.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Fine,
    /// Refuse it, and say to wait this long.
    TooFast {
        retry_after: Duration,
    },
    /// It was told too often.
    Close,
}

/// Why a token does not renew a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotRenewed {
    /// It is another workspace's or another identity's.
    AnotherAddress,
}

pub(super) struct Session {
    pub(super) id: SessionId,
    claims: Claims,
    user: Arc<str>,
    expires: Instant,
    heard: Instant,
    received: u64,
    pinged: Option<Instant>,
    pace: TokenBucket,
    /// Of everything that comes, also what is never answered.
    flow: TokenBucket,
    refusals: u32,
    refusals_since: Instant,
    pub(super) registered: bool,
}

impl Session {
    /// A session of a token that was just verified; `wall` is the same instant as `now`, in
    /// seconds since the epoch.
    pub(super) fn new(
        id: SessionId,
        claims: Claims,
        limits: &Limits,
        now: Instant,
        wall: i64,
    ) -> Self {
        let user = AddressUser::of(claims.workspace, claims.identity.as_ref()).to_string();
        let requests = limits.requests_per_second_per_session;
        let messages = requests.get().unwrap_or(0).saturating_mul(MESSAGES_FACTOR);
        Self {
            id,
            user: user.into(),
            expires: expiry(&claims, now, wall),
            claims,
            heard: now,
            received: 0,
            pinged: None,
            pace: TokenBucket::of(requests, REQUEST_BURST_FACTOR),
            flow: TokenBucket::new(messages, messages.saturating_mul(MESSAGES_BURST_SECONDS)),
            refusals: 0,
            refusals_since: now,
            registered: false,
        }
    }

    pub(super) fn workspace(&self) -> WorkspaceId {
        self.claims.workspace
    }

    /// The user part of its address of record.
    pub(super) fn user(&self) -> &Arc<str> {
        &self.user
    }

    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// When the last byte came.
    pub(super) fn last_heard(&self) -> Instant {
        self.heard
    }

    /// Something came, or `received` bytes in all have.
    pub(super) fn heard(&mut self, now: Instant, received: u64) {
        self.heard = now;
        self.received = received;
        self.pinged = None;
    }

    pub(super) fn has_lapsed(&self, now: Instant) -> bool {
        now >= self.expires
    }

    /// Takes the claims of a fresh token of the same address, and says whether it did: an older token
    /// must not shorten a session that a newer one renewed.
    pub(super) fn renew(
        &mut self,
        claims: Claims,
        now: Instant,
        wall: i64,
    ) -> Result<bool, NotRenewed> {
        let same =
            claims.workspace == self.claims.workspace && claims.identity == self.claims.identity;
        if !same {
            return Err(NotRenewed::AnotherAddress);
        }
        let is_newer = claims.expires_at >= self.claims.expires_at;
        if is_newer {
            self.expires = expiry(&claims, now, wall);
            self.claims = claims;
        }
        Ok(is_newer)
    }

    /// Whether one more message of any kind is within what a session may send.
    pub(super) fn may_say_more(&mut self, now: Instant) -> bool {
        self.flow.take(now)
    }

    /// Whether one more request is within the pace.
    pub(super) fn pace(&mut self, now: Instant) -> Pace {
        if self.pace.take(now) {
            return Pace::Fine;
        }
        if now.saturating_duration_since(self.refusals_since) > REQUEST_REFUSALS_WINDOW {
            self.refusals_since = now;
            self.refusals = 0;
        }
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals > REQUEST_REFUSALS_MAX {
            return Pace::Close;
        }
        Pace::TooFast { retry_after: self.pace.retry_after(now) }
    }

    /// When [`Self::handle_timeout`] wants to be called. `calls` are its live legs.
    pub(super) fn poll_timeout(&self, calls: usize) -> Instant {
        let life = match self.pinged {
            Some(pinged) => pinged + PONG_TIMEOUT,
            None => self.heard + PING_AFTER,
        };
        if calls == 0 { life.min(self.expires + LAPSED_SESSION_GRACE) } else { life }
    }

    /// What is due now; `received` bytes came in all, which shows life that no event told of.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        calls: usize,
        received: u64,
    ) -> Option<Due> {
        if received > self.received {
            self.heard(now, received);
        }
        if calls == 0 && now >= self.expires + LAPSED_SESSION_GRACE {
            return Some(Due::Close(CloseCode::Token, "token expired"));
        }
        match self.pinged {
            Some(pinged) if now >= pinged + PONG_TIMEOUT => {
                Some(Due::Close(CloseCode::TooSlow, "no pong"))
            }
            None if now >= self.heard + PING_AFTER => {
                self.pinged = Some(now);
                Some(Due::Ping)
            }
            _ => None,
        }
    }
}

fn expiry(claims: &Claims, now: Instant, wall: i64) -> Instant {
    let left = claims.expires_at.saturating_sub(wall);
    now + Duration::from_secs(u64::try_from(left).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use sautikit_core::limits::Cap;
    use sautikit_core::token::Narrowing;

    use super::*;

    const WALL: i64 = 1_800_000_000;

    fn claims(issued: i64, identity: Option<&str>) -> Claims {
        let workspace = WorkspaceId::from_parts(1, [1; 10]);
        let identity = identity.map(|name| name.parse().unwrap());
        Claims::new(workspace, issued, Narrowing { identity, ..Narrowing::default() })
    }

    fn session(now: Instant) -> Session {
        let id = SessionId::from_parts(1, [2; 10]);
        Session::new(id, claims(WALL, Some("alice")), &Limits::DEFAULT, now, WALL)
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_silent_socket_is_pinged_and_then_closed() {
        let start = Instant::now();
        let mut session = session(start);
        assert_eq!(session.poll_timeout(1), after(start, 30));
        assert_eq!(session.handle_timeout(after(start, 30), 1, 0), Some(Due::Ping));
        assert_eq!(session.poll_timeout(1), after(start, 60));
        let closed = session.handle_timeout(after(start, 60), 1, 0);
        assert_eq!(closed, Some(Due::Close(CloseCode::TooSlow, "no pong")));
    }

    #[test]
    fn any_byte_is_a_sign_of_life() {
        let start = Instant::now();
        let mut session = session(start);
        session.handle_timeout(after(start, 30), 1, 0);
        assert_eq!(session.handle_timeout(after(start, 60), 1, 2), None, "two bytes of a frame");
        assert_eq!(session.poll_timeout(1), after(start, 90));
    }

    #[test]
    fn a_lapsed_session_is_closed_thirty_seconds_later_but_not_under_a_call() {
        let start = Instant::now();
        let mut session = session(start);
        session.heard(after(start, 329), 1);
        assert!(!session.has_lapsed(after(start, 299)));
        assert!(session.has_lapsed(after(start, 300)));
        assert_eq!(session.handle_timeout(after(start, 331), 1, 1), None);
        let closed = session.handle_timeout(after(start, 331), 0, 1);
        assert_eq!(closed, Some(Due::Close(CloseCode::Token, "token expired")));
    }

    #[test]
    fn a_fresh_token_of_the_same_address_moves_the_expiry() {
        let start = Instant::now();
        let mut session = session(start);
        let renewed =
            session.renew(claims(WALL + 200, Some("alice")), after(start, 200), WALL + 200);
        assert_eq!(renewed, Ok(true));
        assert!(!session.has_lapsed(after(start, 499)));
        assert!(session.has_lapsed(after(start, 500)));
    }

    #[test]
    fn an_older_token_shortens_nothing() {
        let start = Instant::now();
        let mut session = session(start);
        assert_eq!(session.renew(claims(WALL - 100, Some("alice")), start, WALL), Ok(false));
        assert!(!session.has_lapsed(after(start, 299)));
    }

    #[test]
    fn another_identitys_token_renews_nothing() {
        let start = Instant::now();
        let mut session = session(start);
        for other in [Some("bob"), None] {
            let renewed = session.renew(claims(WALL + 200, other), start, WALL);
            assert_eq!(renewed, Err(NotRenewed::AnotherAddress));
        }
    }

    #[test]
    fn a_flood_is_told_to_wait_and_then_closed() {
        let start = Instant::now();
        let mut session = session(start);
        for _ in 0..40 {
            assert_eq!(session.pace(start), Pace::Fine);
        }
        for _ in 0..REQUEST_REFUSALS_MAX {
            assert!(matches!(session.pace(start), Pace::TooFast { .. }));
        }
        assert_eq!(session.pace(start), Pace::Close);
    }

    #[test]
    fn without_a_limit_nothing_is_too_fast() {
        let start = Instant::now();
        let limits = Limits { requests_per_second_per_session: Cap::NONE, ..Limits::DEFAULT };
        let id = SessionId::from_parts(1, [2; 10]);
        let mut session = Session::new(id, claims(WALL, None), &limits, start, WALL);
        for _ in 0..10_000 {
            assert_eq!(session.pace(start), Pace::Fine);
        }
    }
}
