//! Session timers, and challenges.

use super::network::{
    Pair,
    Side::{Alice, Bob},
};
use super::solo::{Solo, TAG};
use super::{ANSWER, OFFER, config, ms, secs};
use crate::leg::{Credentials, LegConfig, LegState, Transport};
use crate::message::{Message, Method, Name};

fn timed(seconds: u32) -> LegConfig {
    LegConfig { session_expires: Some(seconds), ..config("me", Transport::Udp) }
}

/// Answers an INVITE with these headers and returns the 200.
fn answered(config: LegConfig, extra: &[(Name, &str)]) -> (Solo, Message) {
    let mut solo = Solo::caller(config, extra, Some(OFFER));
    solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
    let ok = solo.next_status(200);
    let ack = solo.request(Method::Ack, 10);
    solo.feed(&ack);
    assert_eq!(solo.take_log(), ["acked"]);
    (solo, ok)
}

/// Our INVITE, answered with these headers.
fn called(config: LegConfig, extra: &[(Name, &str)]) -> Solo {
    let mut solo = Solo::called(config, Some(OFFER));
    let invite = solo.next_request(&Method::Invite);
    let ok = solo.success(&invite, TAG, Some(ANSWER));
    solo.feed(&ok.headers(extra.iter().map(|(name, value)| (name, *value))));
    solo.next_request(&Method::Ack);
    solo.take_log();
    solo
}

#[test]
fn answer_to_a_timer_names_us_as_the_refresher() {
    let jssip = [
        (Name::Supported, "timer,ice,replaces,outbound"),
        (Name::SessionExpires, "90"),
        (Name::Allow, "INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY"),
    ];
    let (mut solo, ok) = answered(config("me", Transport::Wss), &jssip);
    assert_eq!(ok.header(&Name::SessionExpires), Some("90;refresher=uas"));
    assert_eq!(ok.header(&Name::Require), None);
    for _ in 0..40 {
        solo.run(secs(45));
        let update = solo.next_request(&Method::Update);
        assert_eq!(update.header(&Name::SessionExpires), Some("90;refresher=uac"));
        assert!(update.body.is_empty());
        let ok = solo.success(&update, TAG, None);
        solo.feed(&ok.header(Name::SessionExpires, "90;refresher=uac"));
    }
    assert_eq!(solo.take_log(), Vec::<String>::new(), "half an hour at 90 s");
}

#[test]
fn peer_without_update_is_refreshed_by_a_reinvite_that_repeats_our_sdp() {
    let sipjs = [
        (Name::Supported, "outbound"),
        (Name::Allow, "ACK,CANCEL,INVITE,MESSAGE,BYE,OPTIONS,INFO,NOTIFY,REFER"),
    ];
    let (mut solo, ok) = answered(timed(600), &sipjs);
    assert_eq!(ok.header(&Name::SessionExpires), Some("600;refresher=uas"));
    solo.run(ms(300_100));
    let refresh = solo.next_request(&Method::Invite);
    assert_eq!(refresh.sdp(), Some(ANSWER));
    solo.feed(&solo.success(&refresh, TAG, Some(OFFER)));
    solo.next_request(&Method::Ack);
    solo.run(secs(1));
    solo.assert_quiet();
    assert_eq!(solo.take_log(), Vec::<String>::new(), "nothing changed");
    solo.run(ms(300_000));
    solo.next_request(&Method::Invite);
}

#[test]
fn caller_who_insists_refreshes_and_is_hung_up_when_he_does_not() {
    let extra = [(Name::Supported, "timer"), (Name::SessionExpires, "180;refresher=uac")];
    let (mut solo, ok) = answered(timed(1800), &extra);
    assert_eq!(ok.header(&Name::SessionExpires), Some("180;refresher=uac"));
    assert_eq!(ok.header(&Name::Require), Some("timer"));
    solo.run(secs(100));
    let update = solo
        .request(Method::Update, 11)
        .header(Name::Supported, "timer")
        .header(Name::SessionExpires, "180;refresher=uac");
    solo.feed(&update);
    let ok = solo.next_status(200);
    assert_eq!(ok.header(&Name::SessionExpires), Some("180;refresher=uac"));
    solo.run(secs(147));
    solo.assert_quiet();
    solo.run(secs(2));
    solo.next_request(&Method::Bye);
    assert_eq!(solo.take_log(), ["expired"]);
    solo.finish();
}

#[test]
fn interval_below_ninety_seconds_is_refused_with_422() {
    let extra = [(Name::Supported, "timer"), (Name::SessionExpires, "60")];
    let mut solo = Solo::caller(timed(1800), &extra, Some(OFFER));
    assert_eq!(solo.next_status(422).header(&Name::MinSe), Some("90"));
    assert_eq!(solo.take_log(), ["declined 422"]);
}

#[test]
fn interval_that_is_too_short_for_them_is_lengthened() {
    let mut solo = Solo::called(timed(90), Some(OFFER));
    let first = solo.next_request(&Method::Invite);
    assert_eq!(first.header(&Name::SessionExpires), Some("90;refresher=uac"));
    solo.feed(&solo.response(&first, 422, TAG).header(Name::MinSe, "600"));
    solo.next_request(&Method::Ack);
    let second = solo.next_request(&Method::Invite);
    assert_eq!(second.header(&Name::SessionExpires), Some("600;refresher=uac"));
    assert_eq!(second.header(&Name::MinSe), Some("600"));
    assert_eq!(second.cseq_number(), first.cseq_number() + 1);
    assert_eq!(second.from_tag(), first.from_tag());
    assert_ne!(second.branch(), first.branch());
    assert_eq!(solo.take_log(), Vec::<String>::new());
}

#[test]
fn dead_peer_is_found_by_the_refresh_that_nobody_answers() {
    let mut solo = called(timed(1800), &[(Name::SessionExpires, "1800;refresher=uac")]);
    solo.run(secs(899));
    solo.assert_quiet();
    solo.run(secs(34));
    assert_eq!(solo.leg.state(), LegState::Leaving);
    assert_eq!(solo.take_log(), ["expired"]);
    solo.run(secs(33));
    assert_eq!(solo.take_log(), ["ended"]);
    solo.finish();
}

#[test]
fn peer_that_knows_no_timer_is_looked_after_all_the_same() {
    let mut solo = called(timed(600), &[]);
    solo.run(ms(300_100));
    let update = solo.next_request(&Method::Update);
    solo.feed(&solo.response(&update, 501, TAG));
    solo.run(ms(100));
    let reinvite = solo.next_request(&Method::Invite);
    assert_eq!(reinvite.sdp(), Some(OFFER));
    solo.feed(&solo.response(&reinvite, 488, TAG));
    solo.next_request(&Method::Ack);
    solo.run(secs(200));
    assert_eq!(solo.leg.state(), LegState::Talking, "a refusal is a sign of life");
    assert_eq!(solo.take_log(), Vec::<String>::new());
}

#[test]
fn refresher_of_the_called_side_is_watched() {
    let mut solo = called(timed(600), &[(Name::SessionExpires, "300;refresher=uas")]);
    solo.run(secs(267));
    solo.assert_quiet();
    solo.run(secs(2));
    solo.next_request(&Method::Bye);
    assert_eq!(solo.take_log(), ["expired"]);
}

#[test]
fn timer_of_both_sides_keeps_a_long_call_alive_at_ten_percent_loss() {
    for seed in 0..50 {
        let timed = |who| LegConfig { session_expires: Some(90), ..config(who, Transport::Udp) };
        let mut pair = Pair::with(timed("alice"), timed("bob"), Some(OFFER)).talking().bad(
            seed,
            10,
            20,
            (5, 400),
        );
        pair.run(secs(3600));
        assert_eq!(pair.log, [Vec::<String>::new(), Vec::new()], "seed {seed}");
        pair.act(Bob, |bob, now| bob.bye(now, None));
        pair.run_until(secs(60), |pair| pair.has(Alice, "bye"));
        pair.run(secs(66));
        assert!(pair.is_idle(), "seed {seed}");
    }
}

fn with_credentials() -> LegConfig {
    let credentials = Credentials {
        user: "trunk".to_owned(),
        password: "secret".to_owned(),
        realm: Some("carrier".to_owned()),
    };
    LegConfig { credentials: Some(credentials), ..config("me", Transport::Udp) }
}

const CHALLENGE: &str = "Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256";

#[test]
fn challenge_is_answered_once_and_the_ack_carries_the_same() {
    let mut solo = Solo::called(with_credentials(), Some(OFFER));
    let first = solo.next_request(&Method::Invite);
    solo.feed(&solo.response(&first, 407, TAG).header(Name::ProxyAuthenticate, CHALLENGE));
    solo.next_request(&Method::Ack);
    let second = solo.next_request(&Method::Invite);
    let answer = second.header(&Name::ProxyAuthorization).unwrap().to_owned();
    assert!(answer.contains("username=\"trunk\"") && !answer.contains("secret"));
    assert_eq!(second.cseq_number(), 2);
    solo.feed(&solo.success(&second, TAG, Some(ANSWER)));
    let ack = solo.next_request(&Method::Ack);
    assert_eq!(ack.header(&Name::ProxyAuthorization), Some(&*answer));
    assert_eq!(solo.take_log(), ["answered with sdp"]);
    solo.act(|leg, now| leg.bye(now, None));
    let bye = solo.next_request(&Method::Bye);
    solo.feed(&solo.response(&bye, 407, TAG).header(Name::ProxyAuthenticate, CHALLENGE));
    let again = solo.next_request(&Method::Bye);
    assert!(again.header(&Name::ProxyAuthorization).is_some());
    assert!(again.cseq_number() > bye.cseq_number());
    solo.feed(&solo.response(&again, 200, TAG));
    assert_eq!(solo.take_log(), ["ended"]);
    solo.finish();
}

#[test]
fn wrong_password_and_strange_realm_are_refusals() {
    let mut solo = Solo::called(with_credentials(), Some(OFFER));
    for _ in 0..2 {
        let invite = solo.next_request(&Method::Invite);
        solo.feed(&solo.response(&invite, 401, TAG).header(Name::WwwAuthenticate, CHALLENGE));
        solo.next_request(&Method::Ack);
    }
    solo.assert_quiet();
    assert_eq!(solo.take_log(), ["refused 401"]);

    let mut solo = Solo::called(with_credentials(), Some(OFFER));
    let invite = solo.next_request(&Method::Invite);
    let other = "Digest realm=\"elsewhere\", nonce=\"n1\"";
    solo.feed(&solo.response(&invite, 401, TAG).header(Name::WwwAuthenticate, other));
    solo.next_request(&Method::Ack);
    solo.assert_quiet();
    assert_eq!(solo.take_log(), ["refused 401"]);
}
