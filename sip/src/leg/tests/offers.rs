//! Offers inside a conversation.

use bytes::Bytes;

use super::network::{
    Pair,
    Side::{Alice, Bob},
};
use super::solo::{Solo, TAG};
use super::{ANSWER, OFFER, config, ms, secs};
use crate::leg::Transport;
use crate::message::{Message, Method, Name};

const HOLD: Bytes = Bytes::from_static(b"v=0\r\ns=hold\r\n");
const HELD: Bytes = Bytes::from_static(b"v=0\r\ns=held\r\n");

fn accept(pair: &mut Pair, side: super::network::Side, sdp: Option<Bytes>) {
    let key = pair.pending[side as usize].take().expect("a request waits");
    pair.act(side, |leg, now| leg.accept(now, key, sdp, &[]));
}

fn talking() -> Solo {
    let mut solo = Solo::called(config("me", Transport::Udp), Some(OFFER));
    let invite = solo.next_request(&Method::Invite);
    solo.feed(&solo.success(&invite, TAG, Some(ANSWER)));
    solo.next_request(&Method::Ack);
    solo.take_log();
    solo
}

fn reoffered(solo: &mut Solo) -> Message {
    solo.act(|leg, now| leg.reoffer(now, HOLD));
    solo.next_request(&Method::Invite)
}

#[test]
fn hold_is_offered_and_answered_from_either_side_at_thirty_percent_loss() {
    for seed in 0..200 {
        let mut pair = Pair::new(Transport::Udp).talking().bad(seed, 30, 20, (5, 400));
        let (asks, hears) = if seed % 2 == 0 { (Alice, Bob) } else { (Bob, Alice) };
        pair.act(asks, |leg, now| leg.reoffer(now, HOLD));
        let came = pair.run_until(secs(32), |pair| pair.pending[hears as usize].is_some());
        assert!(came, "seed {seed}");
        assert_eq!(pair.sdp[hears as usize], Some(HOLD));
        pair.run(ms(300));
        accept(&mut pair, hears, Some(HELD));
        let answered = pair.run_until(secs(32), |pair| pair.has(asks, "offer answered"));
        assert!(answered, "seed {seed}");
        assert_eq!(pair.sdp[asks as usize], Some(HELD));
        pair.run(secs(33));
        assert!(!pair.has(hears, "ack missing"), "seed {seed}");
        pair.act(hears, |leg, now| leg.bye(now, None));
        pair.run(secs(66));
        assert!(pair.is_idle(), "seed {seed}");
    }
}

#[test]
fn glare_is_refused_with_491_and_resolved_by_different_pauses() {
    let mut pair = Pair::new(Transport::Udp).talking();
    pair.act(Alice, |alice, now| alice.reoffer(now, HOLD));
    pair.act(Bob, |bob, now| bob.reoffer(now, HELD));
    pair.run(ms(50));
    assert_eq!(pair.pending, [None, None], "both were refused");
    for _ in 0..2 {
        let next = |pair: &Pair| pair.pending.iter().any(Option::is_some);
        assert!(pair.run_until(secs(5), next));
        let side = if pair.pending[0].is_some() { Alice } else { Bob };
        accept(&mut pair, side, Some(ANSWER));
        pair.run(ms(50));
    }
    assert!(pair.has(Alice, "offer answered") && pair.has(Bob, "offer answered"));
    pair.act(Alice, |alice, now| alice.bye(now, None));
    pair.finish();
}

#[test]
fn second_offer_waits_for_the_first_and_the_latest_wish_counts() {
    let mut solo = talking();
    let first = reoffered(&mut solo);
    solo.act(|leg, now| leg.reoffer(now, HELD));
    solo.act(|leg, now| leg.reoffer(now, OFFER));
    solo.assert_quiet();
    solo.feed(&solo.success(&first, TAG, Some(HELD)));
    solo.next_request(&Method::Ack);
    let second = solo.next_request(&Method::Invite);
    assert_eq!(second.sdp(), Some(OFFER));
    assert_eq!(solo.take_log(), ["offer answered"]);
}

#[test]
fn offer_before_the_ack_of_our_answer_waits_for_it_without_spinning() {
    let mut solo = Solo::caller(config("me", Transport::Udp), &[], Some(OFFER));
    solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
    solo.next_status(200);
    solo.act(|leg, now| leg.reoffer(now, HOLD));
    solo.assert_quiet();
    assert_eq!(solo.leg.poll_timeout(), Some(solo.now + ms(500)), "only the 200 comes again");
    let ack = solo.request(Method::Ack, 10);
    solo.feed(&ack);
    assert_eq!(solo.next_request(&Method::Invite).sdp(), Some(HOLD));
}

#[test]
fn refused_offer_leaves_the_session_as_it_was() {
    let mut solo = talking();
    let reinvite = reoffered(&mut solo);
    solo.feed(&solo.response(&reinvite, 488, TAG));
    let ack = solo.next_request(&Method::Ack);
    assert_eq!(ack.branch(), reinvite.branch());
    assert_eq!(solo.take_log(), ["offer refused 488"]);
    let their_refresh = solo.request(Method::Invite, 5).sdp(ANSWER);
    solo.feed(&their_refresh);
    assert_eq!(solo.next_status(200).sdp(), Some(OFFER), "our last SDP that they accepted");
}

#[test]
fn dialog_that_they_have_lost_is_hung_up() {
    let mut solo = talking();
    let reinvite = reoffered(&mut solo);
    solo.feed(&solo.response(&reinvite, 481, TAG));
    solo.next_request(&Method::Ack);
    let bye = solo.next_request(&Method::Bye);
    solo.feed(&solo.response(&bye, 481, TAG));
    assert_eq!(solo.take_log(), ["expired", "ended"]);
    solo.finish();
}

#[test]
fn their_reinvite_without_an_offer_gets_ours_and_the_ack_brings_the_answer() {
    let mut solo = talking();
    let reinvite = solo.request(Method::Invite, 5);
    solo.feed(&reinvite);
    assert_eq!(solo.take_log(), ["offer wanted"]);
    let key = solo.pending.unwrap();
    solo.act(|leg, now| leg.accept(now, key, Some(HOLD), &[]));
    assert_eq!(solo.next_status(200).sdp(), Some(HOLD));
    let crossing = solo.request(Method::Invite, 6).sdp(OFFER);
    solo.feed(&crossing);
    solo.next_status(491);
    let ack = solo.request(Method::Ack, 5).sdp(HELD);
    solo.feed(&ack);
    assert_eq!(solo.take_log(), ["offer answered"]);
}

#[test]
fn their_second_offer_before_our_answer_gets_500_with_retry_after() {
    let mut solo = talking();
    let first = solo.request(Method::Invite, 5).sdp(HOLD);
    solo.feed(&first);
    for method in [Method::Invite, Method::Update] {
        let number = if method == Method::Invite { 6 } else { 7 };
        let second = solo.request(method, number).sdp(HELD);
        solo.feed(&second);
        let refused = solo.next_status(500);
        assert!(refused.header(&Name::RetryAfter).unwrap().parse::<u32>().unwrap() <= 10);
    }
    let key = solo.pending.unwrap();
    solo.act(|leg, now| leg.accept(now, key, Some(HELD), &[]));
    assert_eq!(solo.next_status(200).cseq_number(), 5);
}

#[test]
fn reinvite_that_repeats_their_sdp_is_answered_with_ours_by_the_leg() {
    let mut solo = talking();
    let refresh = solo.request(Method::Invite, 5).sdp(ANSWER);
    solo.feed(&refresh);
    let ok = solo.next_status(200);
    assert_eq!(ok.sdp(), Some(OFFER));
    assert!(ok.lists(&Name::Allow, "UPDATE"));
    let ack = solo.request(Method::Ack, 5);
    solo.feed(&ack);
    assert_eq!(solo.take_log(), Vec::<String>::new());
}

#[test]
fn offer_that_the_owner_never_answers_is_withdrawn_and_the_call_goes_on() {
    let mut pair = Pair::new(Transport::Udp).talking();
    pair.act(Alice, |alice, now| alice.reoffer(now, HOLD));
    pair.run(ms(20));
    let key = pair.pending[Bob as usize].take().unwrap();
    pair.run(secs(33));
    pair.assert_logs(&["offer refused 504"], &["offer INVITE", "offer withdrawn"]);
    pair.act(Bob, |bob, now| bob.accept(now, key, Some(HELD), &[]));
    pair.act(Bob, |bob, now| bob.bye(now, None));
    pair.run(secs(70));
    assert!(pair.is_idle());
}

#[test]
fn slow_owner_of_a_reinvite_is_covered_by_a_100() {
    let mut solo = talking();
    let reinvite = solo.request(Method::Invite, 5).sdp(HOLD);
    solo.feed(&reinvite);
    solo.run(ms(199));
    solo.assert_quiet();
    solo.run(ms(2));
    let trying = solo.next_status(100);
    solo.feed(&reinvite);
    assert_eq!(solo.next_status(100), trying);
}

#[test]
fn cancelled_reinvite_is_withdrawn_and_the_call_goes_on() {
    let mut solo = talking();
    let reinvite = solo.request(Method::Invite, 5).sdp(HOLD).build();
    let mut cancel = Message::request(Method::Cancel, "sip:me@192.0.2.1:5060").build();
    cancel.headers.clone_from(&reinvite.headers);
    cancel.headers.retain(|(name, _)| !matches!(name, Name::CSeq | Name::ContentType));
    cancel.headers.push((Name::CSeq, "5 CANCEL".into()));
    solo.feed_message(&reinvite);
    solo.feed_message(&cancel);
    solo.next_status(200);
    assert_eq!(solo.next_status(487).cseq().1, Method::Invite);
    assert_eq!(solo.take_log(), ["offer INVITE", "offer withdrawn"]);
    let next = reoffered(&mut solo);
    assert_eq!(next.sdp(), Some(HOLD));
}

#[test]
fn update_brings_an_offer_or_only_a_refresh() {
    let mut solo = talking();
    let update = solo.request(Method::Update, 5);
    solo.feed(&update);
    assert_eq!(solo.next_status(200).sdp(), None);
    assert_eq!(solo.take_log(), Vec::<String>::new());
    let update = solo.request(Method::Update, 6).sdp(HOLD);
    solo.feed(&update);
    assert_eq!(solo.take_log(), ["offer UPDATE"]);
    let key = solo.pending.unwrap();
    solo.act(|leg, now| leg.accept(now, key, Some(HELD), &[]));
    let ok = solo.next_status(200);
    assert_eq!(ok.sdp(), Some(HELD));
    assert!(ok.contact().is_some());
    solo.feed(&update);
    assert_eq!(solo.next_status(200), ok);
    let next = reoffered(&mut solo);
    assert_eq!(next.sdp(), Some(HOLD));
}

#[test]
fn update_while_our_offer_is_open_is_glare() {
    let mut solo = talking();
    reoffered(&mut solo);
    let update = solo.request(Method::Update, 5).sdp(HELD);
    solo.feed(&update);
    solo.next_status(491);
}

#[test]
fn requests_in_the_dialog_are_the_owners_to_answer() {
    let mut solo = talking();
    for (number, method, status) in
        [(5, Method::Info, 200), (6, Method::Options, 200), (7, Method::Refer, 202)]
    {
        let request = solo.request(method, number);
        solo.feed(&request);
        solo.feed(&request);
        solo.assert_quiet();
        let key = solo.pending.take().unwrap();
        solo.act(|leg, now| leg.accept(now, key, None, &[]));
        let first = solo.next_status(status);
        solo.feed(&request);
        assert_eq!(solo.next_status(status), first);
    }
    assert_eq!(solo.take_log(), ["request INFO", "request OPTIONS", "request REFER"]);
    let refused = solo.request(Method::Info, 8);
    solo.feed(&refused);
    let key = solo.pending.take().unwrap();
    solo.act(|leg, now| leg.refuse(now, key, 415, "", &[(Name::Accept, "a/b".to_owned())]));
    assert_eq!(solo.next_status(415).header(&Name::Accept), Some("a/b"));
    let unknown = solo.request(Method::Message, 9);
    solo.feed(&unknown);
    assert!(solo.next_status(405).lists(&Name::Allow, "INFO"));
}

#[test]
fn request_of_the_owner_brings_its_response() {
    let mut solo = talking();
    let digit = Some(("application/dtmf-relay", Bytes::from_static(b"Signal=5\r\n")));
    solo.act(|leg, now| leg.request(now, Method::Info, digit, &[])).unwrap();
    let info = solo.next_request(&Method::Info);
    assert_eq!(info.content_type().as_deref(), Some("application/dtmf-relay"));
    solo.feed(&solo.response(&info, 200, TAG));
    assert_eq!(solo.take_log(), ["response 200"]);
    solo.act(|leg, now| leg.request(now, Method::Info, None, &[])).unwrap();
    solo.run(secs(33));
    assert_eq!(solo.take_log(), ["response 408"]);
}
