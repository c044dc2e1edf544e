//! A peer inside the dialog who sends more than anybody needs: lists stay bounded, and the call goes on.

use super::solo::{Solo, TAG};
use super::{ANSWER, OFFER, config, ms};
use crate::leg::{Leg, Transport};
use crate::message::{Method, Name};

/// In a call that they made, over UDP, where everything unanswered is repeated.
fn talking() -> Solo {
    let mut solo = Solo::caller(config("me", Transport::Udp), &[], Some(OFFER));
    solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
    solo.next_status(200);
    let ack = solo.request(Method::Ack, 10);
    solo.feed(&ack);
    assert_eq!(solo.take_log(), ["acked"]);
    solo
}

#[test]
fn reinvites_beyond_the_limit_are_refused_and_not_kept() {
    // One that waits for the owner, and one that the leg answers by itself, without an ACK ever.
    for sdp in [OFFER_TOO, OFFER] {
        let mut solo = talking();
        for cseq in 11..311 {
            let reinvite = solo.request(Method::Invite, cseq).sdp(sdp.clone());
            solo.feed(&reinvite);
        }
        let (mut refused, mut answers) = (0, 0);
        while solo.has_sent() {
            let status = solo.next().status();
            refused += usize::from(status == Some(500));
            answers += 1;
        }
        assert!(refused >= 300 - 16 && answers <= 300, "{refused} of {answers}");
        // What is kept repeats itself.
        solo.run(ms(600));
        let mut repeated = 0;
        while solo.has_sent() {
            solo.next();
            repeated += 1;
        }
        assert!(repeated <= 17, "{repeated} messages for one tick");
        solo.act(|leg, now| leg.bye(now, None));
        solo.finish();
    }
}

#[test]
fn reliable_ringing_without_end_is_acknowledged_within_the_limit() {
    let mut solo = Solo::called(config("me", Transport::Udp), Some(OFFER));
    let invite = solo.next_request(&Method::Invite);
    for rseq in 1..301 {
        let ringing = solo
            .response(&invite, 183, TAG)
            .header(Name::Contact, "<sip:peer@198.51.100.7:5070>")
            .header(Name::Require, "100rel")
            .header(Name::RSeq, rseq.to_string());
        solo.feed(&ringing);
    }
    let mut pracks = 0;
    while solo.has_sent() {
        solo.next_request(&Method::Prack);
        pracks += 1;
    }
    assert!(pracks <= 32, "{pracks} under way at once");
    // A response that was not acknowledged is repeated, and taken once there is room.
    solo.run(super::secs(33));
    while solo.has_sent() {
        solo.next();
    }
    let again = solo
        .response(&invite, 183, TAG)
        .header(Name::Contact, "<sip:peer@198.51.100.7:5070>")
        .header(Name::Require, "100rel")
        .header(Name::RSeq, (pracks + 1).to_string());
    solo.feed(&again);
    solo.next_request(&Method::Prack);
    solo.act(|leg, now| leg.cancel(now, None));
    solo.run(super::secs(70));
    solo.finish();
}

#[test]
fn an_offer_that_other_requests_push_out_blocks_no_later_one() {
    let mut solo = talking();
    let update = solo.request(Method::Update, 11).sdp(OFFER_TOO);
    solo.feed(&update);
    for cseq in 12..76 {
        let info = solo.request(Method::Info, cseq);
        solo.feed(&info);
    }
    let later = solo.request(Method::Update, 76).sdp(OFFER_TOO);
    solo.feed(&later);
    assert_eq!(solo.log.last().map(String::as_str), Some("offer UPDATE"));
    solo.act(|leg: &mut Leg, now| leg.bye(now, None));
    solo.finish();
}

#[test]
fn a_reinvite_that_proceeds_for_ever_ends_with_the_call() {
    // The 180 comes before the hang-up of either side, or after it.
    for (early, ours) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut solo = talking();
        solo.act(|leg, now| leg.reoffer(now, ANSWER));
        let reinvite = solo.next_request(&Method::Invite);
        let proceeding = solo.response(&reinvite, 180, TAG);
        if early {
            solo.feed(&proceeding);
        }
        if ours {
            solo.act(|leg, now| leg.bye(now, None));
        } else {
            let bye = solo.request(Method::Bye, 11);
            solo.feed(&bye);
        }
        solo.run(ms(100));
        solo.feed(&proceeding);
        solo.finish();
    }
}

const OFFER_TOO: bytes::Bytes = bytes::Bytes::from_static(b"v=0\r\ns=too\r\n");
