//! What crosses, is lost, comes twice, or is not from the peer at all.

use super::network::{
    Pair,
    Side::{Alice, Bob},
};
use super::solo::{Solo, TAG};
use super::{ANSWER, OFFER, config, ms, secs};
use crate::leg::{Event, Hop, Input, Leg, LegState, Output, Transport, Unserved};
use crate::message::{Message, Method, Name};

fn calling() -> (Solo, Message) {
    let mut solo = Solo::called(config("me", Transport::Udp), Some(OFFER));
    let invite = solo.next_request(&Method::Invite);
    (solo, invite)
}

fn ringing() -> Solo {
    Solo::caller(config("me", Transport::Udp), &[], Some(OFFER))
}

/// Our called leg in a conversation, with the INVITE that made it.
fn talking() -> (Solo, Message) {
    let (mut solo, invite) = calling();
    solo.feed(&solo.success(&invite, TAG, Some(ANSWER)));
    solo.next_request(&Method::Ack);
    assert_eq!(solo.take_log(), ["answered with sdp"]);
    (solo, invite)
}

#[test]
fn cancel_before_any_sign_of_the_other_side_waits_for_one() {
    let (mut solo, invite) = calling();
    solo.act(|leg, now| leg.cancel(now, Some("SIP;cause=200;text=\"Call completed elsewhere\"")));
    solo.assert_quiet();
    solo.feed(&solo.response(&invite, 100, TAG));
    let cancel = solo.next_request(&Method::Cancel);
    assert_eq!(cancel.branch(), invite.branch());
    assert_eq!(cancel.cseq_number(), invite.cseq_number());
    assert_eq!(cancel.uri(), invite.uri());
    assert_eq!(cancel.to_tag(), None);
    assert!(cancel.header(&Name::Reason).unwrap().contains("elsewhere"));
    solo.feed(&solo.response(&cancel, 200, TAG));
    solo.feed(&solo.response(&invite, 487, TAG));
    let ack = solo.next_request(&Method::Ack);
    assert_eq!(ack.branch(), invite.branch());
    assert_eq!(ack.to_tag(), Some(TAG));
    assert_eq!(solo.take_log(), ["refused 487"]);
    solo.finish();
}

#[test]
fn answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let (mut solo, invite) = calling();
    solo.feed(&solo.response(&invite, 180, TAG));
    solo.act(|leg, now| leg.cancel(now, None));
    solo.next_request(&Method::Cancel);
    let ok = solo.success(&invite, TAG, Some(ANSWER));
    solo.feed(&ok);
    let ack = solo.next_request(&Method::Ack);
    let bye = solo.next_request(&Method::Bye);
    assert_ne!(ack.branch(), invite.branch());
    assert_eq!(ack.cseq_number(), invite.cseq_number());
    assert_eq!(bye.uri(), Some("sip:peer@198.51.100.7:5070"));
    solo.feed(&ok);
    solo.next_request(&Method::Ack);
    solo.feed(&solo.response(&bye, 200, TAG));
    assert_eq!(solo.take_log(), ["progress 180", "answered too late", "ended"]);
    solo.finish();
}

#[test]
fn answer_instead_of_the_awaited_provisional_is_hung_up_too() {
    let (mut solo, invite) = calling();
    solo.act(|leg, now| leg.cancel(now, None));
    solo.feed(&solo.success(&invite, TAG, Some(ANSWER)));
    solo.next_request(&Method::Ack);
    let bye = solo.next_request(&Method::Bye);
    solo.feed(&solo.response(&bye, 200, TAG));
    assert_eq!(solo.take_log(), ["answered too late", "ended"]);
    solo.finish();
}

#[test]
fn cancel_without_effect_ends_after_64_t1() {
    let (mut solo, invite) = calling();
    solo.feed(&solo.response(&invite, 180, TAG));
    solo.act(|leg, now| leg.cancel(now, None));
    let cancel = solo.next_request(&Method::Cancel);
    solo.feed(&solo.response(&cancel, 200, TAG));
    solo.feed(&solo.response(&invite, 180, TAG));
    solo.run(ms(32_100));
    assert_eq!(solo.take_log(), ["progress 180", "no answer"]);
    solo.finish();
}

#[test]
fn ringing_for_ever_is_cancelled_after_three_silent_minutes() {
    let (mut solo, invite) = calling();
    solo.feed(&solo.response(&invite, 180, TAG));
    solo.run(secs(100));
    solo.feed(&solo.response(&invite, 180, TAG));
    solo.run(secs(180));
    solo.assert_quiet();
    solo.run(secs(2));
    solo.next_request(&Method::Cancel);
    solo.feed(&solo.response(&invite, 487, TAG));
    assert_eq!(solo.take_log(), ["progress 180", "progress 180", "no answer"]);
    solo.finish();
}

#[test]
fn cancel_that_crosses_our_answer_changes_nothing() {
    let mut solo = ringing();
    solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
    let ok = solo.next_status(200);
    let mut cancel = Solo::their_invite(&[], None);
    cancel.start = crate::message::Start::Request {
        method: Method::Cancel,
        uri: "sip:+254722000001@gw.example".into(),
    };
    cancel.headers.retain(|(name, _)| *name != Name::CSeq);
    cancel.headers.push((Name::CSeq, "10 CANCEL".into()));
    solo.feed_message(&cancel);
    let answer = solo.next_status(200);
    assert_eq!(answer.cseq().1, Method::Cancel);
    assert_eq!(answer.to_tag(), ok.to_tag());
    assert_eq!(solo.leg.state(), LegState::Talking);
    assert_eq!(solo.take_log(), Vec::<String>::new());
}

#[test]
fn answer_verb_after_the_caller_left_does_nothing() {
    let mut pair = Pair::new(Transport::Udp);
    pair.run(ms(10));
    pair.act(Bob, |bob, now| bob.progress(now, 180, None, &[]));
    pair.run(ms(10));
    pair.act(Alice, |alice, now| alice.cancel(now, None));
    pair.run(ms(10));
    assert!(pair.has(Bob, "canceled"));
    pair.act(Bob, |bob, now| bob.answer(now, Some(ANSWER), &[]));
    pair.finish();
    pair.assert_logs(&["progress 180", "refused 487"], &["canceled"]);
}

#[test]
fn forked_answer_is_acknowledged_and_hung_up_while_the_first_goes_on() {
    let (mut solo, invite) = talking();
    let fork = solo.success(&invite, "fork", Some(ANSWER));
    solo.feed(&fork);
    let ack = solo.next_request(&Method::Ack);
    let bye = solo.next_request(&Method::Bye);
    assert_eq!(ack.to_tag(), Some("fork"));
    assert_eq!((bye.to_tag(), bye.uri()), (Some("fork"), Some("sip:fork@198.51.100.7:5070")));
    solo.feed(&fork);
    assert_eq!(solo.next_request(&Method::Ack).to_tag(), Some("fork"));
    solo.assert_quiet();
    solo.feed(&solo.response(&bye, 200, "fork"));
    assert_eq!(solo.take_log(), Vec::<String>::new());
    assert_eq!(solo.leg.state(), LegState::Talking);
    solo.act(|leg, now| leg.bye(now, None));
    assert_eq!(solo.next_request(&Method::Bye).to_tag(), Some(TAG));
}

#[test]
fn flood_of_forks_is_bounded() {
    let (mut solo, invite) = talking();
    for fork in 0..100 {
        solo.feed(&solo.success(&invite, &format!("f{fork}"), Some(ANSWER)));
    }
    for _ in 0..7 {
        solo.next_request(&Method::Ack);
        solo.next_request(&Method::Bye);
    }
    solo.assert_quiet();
}

#[test]
fn lost_ack_is_sent_again_for_each_repeated_answer() {
    let (mut solo, invite) = calling();
    let ok = solo.success(&invite, TAG, Some(ANSWER));
    solo.feed(&ok);
    let first = solo.next_request(&Method::Ack);
    solo.feed(&ok);
    assert_eq!(solo.next_request(&Method::Ack), first);
    assert_eq!(solo.take_log(), ["answered with sdp"]);
}

#[test]
fn lost_answer_is_repeated_until_its_ack_on_every_transport() {
    for transport in [Transport::Udp, Transport::Wss] {
        let mut solo = Solo::caller(config("me", transport), &[], Some(OFFER));
        solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
        let first = solo.next_status(200);
        solo.run(ms(3600));
        for _ in 0..3 {
            assert_eq!(solo.next_status(200), first);
        }
        let ack = solo.request(Method::Ack, 10);
        solo.feed(&ack);
        solo.run(secs(31));
        solo.assert_quiet();
        assert_eq!(solo.take_log(), ["acked"]);
    }
}

#[test]
fn missing_ack_hangs_up_after_64_t1() {
    let mut solo = ringing();
    solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
    solo.run(ms(31_900));
    for _ in 0..11 {
        solo.next_status(200);
    }
    solo.assert_quiet();
    solo.run(ms(200));
    let bye = solo.next_request(&Method::Bye);
    solo.feed(&solo.response(&bye, 481, TAG));
    assert_eq!(solo.take_log(), ["ack missing", "ended"]);
    solo.finish();
}

#[test]
fn bye_waits_for_the_ack_of_our_answer() {
    let mut solo = ringing();
    solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
    solo.next_status(200);
    solo.act(|leg, now| leg.bye(now, Some("Q.850;cause=16")));
    solo.assert_quiet();
    assert_eq!(solo.leg.state(), LegState::Leaving);
    let ack = solo.request(Method::Ack, 10);
    solo.feed(&ack);
    let bye = solo.next_request(&Method::Bye);
    assert_eq!(bye.header(&Name::Reason), Some("Q.850;cause=16"));
    solo.feed(&solo.response(&bye, 200, TAG));
    assert_eq!(solo.take_log(), ["acked", "ended"]);
    solo.finish();
}

#[test]
fn both_hang_up_at_once() {
    let mut pair = Pair::new(Transport::Udp).talking();
    pair.act(Alice, |alice, now| alice.bye(now, None));
    pair.act(Bob, |bob, now| bob.bye(now, None));
    pair.finish();
    pair.assert_logs(&["ended"], &["ended"]);
}

#[test]
fn bye_that_comes_twice_is_answered_twice_and_told_once() {
    let (mut solo, _) = talking();
    let bye = solo.request(Method::Bye, 5);
    solo.feed(&bye);
    let first = solo.next_status(200);
    solo.run(secs(20));
    solo.feed(&bye);
    assert_eq!(solo.next_status(200), first);
    assert_eq!(solo.take_log(), ["bye"]);
    let later = solo.request(Method::Bye, 6);
    solo.feed(&later);
    solo.next_status(481);
    solo.finish();
}

#[test]
fn bye_over_an_open_reinvite_refuses_it_and_ends_the_call() {
    let (mut solo, _) = talking();
    let reinvite = solo.request(Method::Invite, 5).sdp("v=0\r\ns=new\r\n".into());
    solo.feed(&reinvite);
    let bye = solo.request(Method::Bye, 6);
    solo.feed(&bye);
    solo.next_status(200);
    let refused = solo.next_status(487);
    assert_eq!(refused.cseq(), (5, Method::Invite));
    assert_eq!(solo.take_log(), ["offer INVITE", "bye"]);
    let key = solo.pending.unwrap();
    solo.act(|leg, now| leg.accept(now, key, Some(ANSWER), &[]));
    solo.run(ms(100));
    solo.assert_quiet();
    solo.finish();
}

#[test]
fn our_reinvite_that_crosses_their_bye_ends_in_peace() {
    let mut pair = Pair::new(Transport::Udp).talking();
    pair.act(Alice, |alice, now| alice.reoffer(now, OFFER));
    pair.act(Bob, |bob, now| bob.bye(now, None));
    pair.finish();
    pair.assert_logs(&["bye"], &["ended"]);
}

#[test]
fn late_reinvite_or_info_after_the_end_gets_481() {
    let (mut solo, _) = talking();
    let bye = solo.request(Method::Bye, 5);
    solo.feed(&bye);
    solo.next_status(200);
    for method in [Method::Invite, Method::Info, Method::Update] {
        let late = solo.request(method, 6);
        solo.feed(&late);
        solo.next_status(481);
    }
    solo.finish();
}

#[test]
fn bye_before_the_answer_is_a_cancel() {
    let mut solo = ringing();
    solo.act(|leg, now| leg.progress(now, 180, None, &[]));
    solo.next_status(180);
    let bye = solo.request(Method::Bye, 11);
    solo.feed(&bye);
    assert_eq!(solo.next_status(200).cseq().1, Method::Bye);
    assert_eq!(solo.next_status(487).cseq().1, Method::Invite);
    assert_eq!(solo.take_log(), ["canceled"]);
    solo.finish();
}

#[test]
fn bye_with_a_low_number_still_ends_the_call() {
    let (mut solo, _) = talking();
    let info = solo.request(Method::Info, 50);
    solo.feed(&info);
    let old = solo.request(Method::Info, 49);
    solo.feed(&old);
    solo.next_status(500);
    let bye = solo.request(Method::Bye, 2);
    solo.feed(&bye);
    assert_eq!(solo.next_status(200).cseq().1, Method::Bye);
    assert_eq!(solo.take_log(), ["request INFO", "bye"]);
}

#[test]
fn forged_messages_change_nothing() {
    let (mut solo, invite) = calling();
    // A branch that is not ours, another tag, another call, another number.
    let swaps = [
        (Name::Via, "SIP/2.0/UDP me.example:5060;branch=z9hG4bKme.99"),
        (Name::From, "<sip:+254700000001@gw.example>;tag=guess"),
        (Name::CallId, "other"),
        (Name::CSeq, "77 INVITE"),
    ];
    for (name, value) in swaps {
        let mut forged = solo.success(&invite, TAG, Some(ANSWER)).build();
        forged.headers.retain(|(key, _)| *key != name);
        forged.headers.insert(0, (name, value.into()));
        solo.feed_message(&forged);
    }
    solo.assert_quiet();
    assert_eq!(solo.take_log(), Vec::<String>::new());

    let (mut solo, _) = talking();
    for (name, value) in [
        (Name::From, "<sip:peer@peer.example>;tag=guess"),
        (Name::To, "<sip:+254722000001@gw.example>;tag=guess"),
    ] {
        let mut forged = solo.request(Method::Bye, 9).build();
        forged.headers.retain(|(key, _)| *key != name);
        forged.headers.push((name, value.into()));
        solo.feed_message(&forged);
        solo.next_status(481);
    }
    assert_eq!(solo.leg.state(), LegState::Talking);
}

#[test]
fn invite_that_took_two_ways_is_one_call() {
    let mut solo = ringing();
    let mut twin = Solo::their_invite(&[], Some(OFFER));
    twin.headers[0].1 = "SIP/2.0/UDP other-proxy.example;branch=z9hG4bKtwin".into();
    solo.feed_message(&twin);
    solo.next_status(482);
    assert_eq!(solo.leg.state(), LegState::Ringing);
}

#[test]
fn repeated_invite_is_answered_from_the_kept_bytes_in_every_state() {
    let mut solo = Solo::caller(config("me", Transport::Wss), &[], Some(OFFER));
    let again = |solo: &mut Solo| {
        solo.feed_message(&Solo::their_invite(&[], Some(OFFER)));
    };
    again(&mut solo);
    solo.assert_quiet();
    solo.act(|leg, now| leg.progress(now, 183, Some(ANSWER), &[]));
    let early = solo.next_status(183);
    again(&mut solo);
    assert_eq!(solo.next_status(183), early);
    solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
    let ok = solo.next_status(200);
    again(&mut solo);
    assert_eq!(solo.next_status(200), ok);
    let ack = solo.request(Method::Ack, 10);
    solo.feed(&ack);
    again(&mut solo);
    assert_eq!(solo.next_status(200), ok);
    assert_eq!(solo.take_log(), ["acked"]);
}

#[test]
fn datagrams_are_answered_where_they_came_from() {
    let source = "203.0.113.9:4444".parse().unwrap();
    for (rport, hop) in [(true, "203.0.113.9:4444"), (false, "203.0.113.9:5060")] {
        let mut invite = Solo::their_invite(&[], Some(OFFER));
        if !rport {
            invite.headers[0].1 = "SIP/2.0/UDP peer.example;branch=z9hG4bKfirst".into();
        }
        let now = super::origin();
        let mut leg = Leg::incoming(config("me", Transport::Udp), invite, Some(source), now);
        leg.trying(now);
        let Some(Output::Send { bytes, hop: to }) = leg.poll_output() else { panic!("no 100") };
        assert_eq!(to, Hop::Addr(hop.parse().unwrap()));
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(";received=203.0.113.9"), "{text}");
        assert_eq!(text.contains(";rport=4444"), rport);
    }
}

#[test]
fn bye_follows_the_route_set_in_both_roles() {
    // Called: Record-Route of the 200 is reversed.
    let (mut solo, invite) = calling();
    let ok = solo
        .success(&invite, TAG, Some(ANSWER))
        .header(Name::RecordRoute, "<sip:p2.example;lr>, <sip:p1.example:5070;transport=tcp;lr>");
    solo.feed(&ok);
    let to_p1 =
        Hop::Uri { host: "p1.example".to_owned(), port: Some(5070), transport: Transport::Tcp };
    let (ack, hop) = solo.next_with_hop();
    assert_eq!((ack.method(), &hop), (Some(&Method::Ack), &to_p1));
    solo.act(|leg, now| leg.bye(now, None));
    let (bye, hop) = solo.next_with_hop();
    assert_eq!(hop, to_p1);
    assert_eq!(bye.uri(), Some("sip:peer@198.51.100.7:5070"));
    let routes: Vec<&str> = bye.values(&Name::Route).collect();
    assert_eq!(routes, ["<sip:p1.example:5070;transport=tcp;lr>", "<sip:p2.example;lr>"]);

    // Caller: that of the INVITE is kept in order; a strict router becomes the Request-URI.
    let record = [(Name::RecordRoute, "<sip:strict.example>, <sip:p2.example;lr>")];
    let mut solo = Solo::caller(config("me", Transport::Udp), &record, Some(OFFER));
    solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
    assert_eq!(solo.next_status(200).values(&Name::RecordRoute).count(), 2);
    let ack = solo.request(Method::Ack, 10);
    solo.feed(&ack);
    solo.act(|leg, now| leg.bye(now, None));
    let (bye, hop) = solo.next_with_hop();
    assert_eq!(bye.uri(), Some("sip:strict.example"));
    let routes: Vec<&str> = bye.values(&Name::Route).collect();
    assert_eq!(routes, ["<sip:p2.example;lr>", "<sip:peer@198.51.100.7:5070>"]);
    assert!(matches!(hop, Hop::Uri { host, .. } if host == "strict.example"));
}

#[test]
fn browser_is_reached_by_its_socket_whatever_its_contact_says() {
    let contact = [(Name::Contact, "<sip:3nf@tcd.invalid;transport=ws;ob>")];
    let mut solo = Solo::caller(config("me", Transport::Wss), &contact, Some(OFFER));
    solo.act(|leg, now| leg.answer(now, Some(ANSWER), &[]));
    solo.next_status(200);
    let ack = solo.request(Method::Ack, 10);
    solo.feed(&ack);
    solo.act(|leg, now| leg.bye(now, None));
    let (bye, hop) = solo.next_with_hop();
    assert_eq!(hop, Hop::Flow);
    assert_eq!(bye.uri(), Some("sip:3nf@tcd.invalid;transport=ws;ob"));
}

#[test]
fn transport_that_fails_ends_a_call_that_was_not_answered() {
    let (mut solo, _) = calling();
    solo.leg.handle(solo.now, Input::TransportFailed);
    solo.act(|_, _| ());
    assert_eq!(solo.take_log(), ["unreachable"]);
    assert!(solo.leg.is_idle());

    let (mut solo, _) = talking();
    solo.leg.handle(solo.now, Input::TransportFailed);
    solo.act(|_, _| ());
    assert_eq!(solo.leg.state(), LegState::Talking);
}

#[test]
fn answer_may_come_before_any_ringing() {
    let (mut solo, invite) = calling();
    solo.feed(&solo.success(&invite, TAG, Some(ANSWER)));
    solo.next_request(&Method::Ack);
    solo.feed(&solo.response(&invite, 180, TAG));
    assert_eq!(solo.take_log(), ["answered with sdp"]);
}

#[test]
fn reliable_ringing_is_acknowledged_once_with_and_without_sdp() {
    for sdp in [None, Some(ANSWER)] {
        let (mut solo, invite) = calling();
        let ringing = |solo: &Solo, rseq: &str| {
            solo.response(&invite, 180, TAG)
                .header(Name::Require, "100rel")
                .header(Name::RSeq, rseq)
                .header(Name::Contact, "<sip:peer@198.51.100.7:5070>")
                .header(Name::RecordRoute, "<sip:p1.example;lr>")
                .sdp(sdp.clone().unwrap_or_default())
        };
        solo.feed(&ringing(&solo, "7"));
        let (prack, hop) = solo.next_with_hop();
        assert_eq!(prack.method(), Some(&Method::Prack));
        assert_eq!(prack.header(&Name::RAck), Some("7 1 INVITE"));
        assert_eq!(prack.cseq_number(), 2);
        assert_eq!(prack.uri(), Some("sip:peer@198.51.100.7:5070"));
        assert!(matches!(hop, Hop::Uri { host, .. } if host == "p1.example"));
        solo.feed(&ringing(&solo, "7"));
        solo.feed(&ringing(&solo, "9"));
        solo.assert_quiet();
        solo.feed(&solo.response(&prack, 200, TAG));
        solo.feed(&ringing(&solo, "8"));
        assert_eq!(solo.next_request(&Method::Prack).header(&Name::RAck), Some("8 1 INVITE"));
        assert_eq!(solo.take_log(), ["progress 180", "progress 180"]);
        solo.feed(&solo.success(&invite, TAG, Some(ANSWER)));
        let ack = solo.next_request(&Method::Ack);
        assert_eq!(ack.cseq_number(), 1, "the ACK has the INVITE's number");
        solo.act(|leg, now| leg.bye(now, None));
        assert!(solo.next_request(&Method::Bye).cseq_number() > 3);
    }
}

#[test]
fn caller_who_insists_on_100rel_is_declined() {
    let require = [(Name::Require, "100rel")];
    let mut solo = Solo::caller(config("me", Transport::Udp), &require, Some(OFFER));
    let answer = solo.next_status(420);
    assert_eq!(answer.header(&Name::Unsupported), Some("100rel"));
    assert_eq!(solo.take_log(), ["declined 420"]);
    solo.finish();
}

#[test]
fn browsers_are_told_why_the_leg_refuses_them_and_carriers_what_sip_wants() {
    let require = [(Name::Require, "100rel")];
    let short = [(Name::Supported, "timer"), (Name::SessionExpires, "30")];
    let lost = [(Name::Contact, "<mailto:peer@peer.example>")];
    for (extra, status, code) in [
        (&require[..], 420, "request.extension"),
        (&short, 422, "request.session_interval"),
        (&lost, 400, "request.malformed"),
    ] {
        let mut solo = Solo::caller(config("me", Transport::Ws), extra, Some(OFFER));
        let answer = solo.next_status(status);
        assert_eq!(answer.header(&Name::XSautikitError), Some(code));
        let warning = answer.header(&Name::Warning).unwrap();
        assert!(warning.starts_with("399 me.example:5060 \""), "{warning}");
        let invite = Solo::their_invite(extra, Some(OFFER));
        let unserved = Unserved::of(&invite).unwrap();
        assert_eq!(unserved.status, status);
        for (name, value) in unserved.headers("me.example:5060") {
            assert_eq!(answer.header(&name), Some(&*value), "told before, and told the same");
        }
        let mut solo = Solo::caller(config("me", Transport::Udp), extra, Some(OFFER));
        assert_eq!(solo.next_status(status).header(&Name::XSautikitError), None);
    }
    assert_eq!(Unserved::of(&Solo::their_invite(&[], Some(OFFER))), None);
}

#[test]
fn bye_after_a_restart_stands_above_what_the_dead_process_sent() {
    let (mut solo, _) = talking();
    let stored = solo.act(|leg, _| leg.dialog_for_recovery()).unwrap();
    let reason = Some("SIP;cause=503;text=\"Recovered\"");
    let leg = Leg::resume_bye(config("new", Transport::Udp), &stored, 1000, reason, solo.now);
    let mut after = Solo::of(leg, solo.now);
    let (bye, hop) = after.next_with_hop();
    assert_eq!(bye.cseq(), (stored.local_cseq + 1001, Method::Bye));
    assert_eq!((bye.from_tag(), bye.to_tag()), (Some("tag-me"), Some(TAG)));
    assert_eq!(bye.call_id(), "call-1");
    assert!(matches!(hop, Hop::Uri { host, port: Some(5070), .. } if host == "198.51.100.7"));
    after.feed(&after.response(&bye, 200, TAG));
    assert_eq!(after.take_log(), ["ended"]);
    after.finish();
}

#[test]
fn an_answer_to_an_invite_of_a_dead_process_is_acknowledged_and_hung_up() {
    let mut dead = Solo::called(config("me", Transport::Udp), Some(OFFER));
    let invite = dead.next();
    let answer = dead.success(&invite, TAG, None).build();
    let mut after = Solo::of(
        Leg::end_stray(config("new", Transport::Udp), &answer, 9, dead.now).unwrap(),
        dead.now,
    );
    let (ack, hop) = after.next_with_hop();
    assert_eq!(ack.cseq(), (invite.cseq_number(), Method::Ack));
    assert_eq!((ack.from_tag(), ack.to_tag()), (invite.from_tag(), Some(TAG)));
    assert!(matches!(hop, Hop::Uri { host, port: Some(5070), .. } if host == "198.51.100.7"));
    let bye = after.next();
    assert_eq!(bye.cseq(), (invite.cseq_number() + 10, Method::Bye));
    assert_eq!((bye.call_id(), bye.to_tag()), (invite.call_id(), Some(TAG)));
    // Repeated, it has been answered already.
    after.feed_message(&answer);
    after.feed(&after.response(&bye, 200, TAG));
    assert_eq!(after.take_log(), ["ended"]);
    after.finish();
    let refusals = [180, 486].map(|status| dead.response(&invite, status, TAG).build());
    for other in refusals.iter().chain([&invite]) {
        let leg = Leg::end_stray(config("new", Transport::Udp), other, 9, dead.now);
        assert!(leg.is_none(), "{other:?}");
    }
}

#[test]
fn ten_thousand_invites_without_an_ack_leave_no_leg_behind() {
    let now = super::origin();
    let invite = Solo::their_invite(&[], Some(OFFER));
    let mut legs: Vec<Leg> = (0..10_000)
        .map(|_| {
            let mut leg = Leg::incoming(config("me", Transport::Wss), invite.clone(), None, now);
            leg.reject(now, 403, "", &[]);
            leg
        })
        .collect();
    for leg in &mut legs {
        leg.handle_timeout(now + secs(32));
        while leg.poll_output().is_some() {}
        assert!(leg.is_idle() && leg.poll_timeout().is_none());
    }
}

#[test]
fn flood_of_requests_in_the_dialog_is_bounded() {
    let (mut solo, _) = talking();
    for number in 0..1000 {
        let info = solo.request(Method::Info, 100 + number);
        solo.feed(&info);
    }
    let bye = solo.request(Method::Bye, 5000);
    solo.feed(&bye);
    solo.finish();
}

#[test]
fn reason_of_a_hang_up_reaches_the_owner_and_cannot_add_a_line() {
    let (mut solo, _) = talking();
    solo.act(|leg, now| leg.bye(now, Some("Q.850;cause=16\r\nEvil: 1")));
    let bye = solo.next_request(&Method::Bye);
    assert_eq!(bye.header(&Name::Reason), Some("Q.850;cause=16  Evil: 1"));

    let (mut solo, _) = talking();
    let bye = solo.request(Method::Bye, 5).header(Name::Reason, "Q.850;cause=31").build();
    solo.leg.handle(solo.now, Input::Message { message: bye, source: None });
    let mut reasons = Vec::new();
    while let Some(output) = solo.leg.poll_output() {
        if let Output::Event(Event::Bye { reason }) = output {
            reasons.push(reason);
        }
    }
    assert_eq!(reasons, [Some("Q.850;cause=31".to_owned())]);
}
