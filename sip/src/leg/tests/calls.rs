//! Whole calls between two legs.

use super::network::{
    Dice, Pair, Side,
    Side::{Alice, Bob},
};
use super::{ANSWER, OFFER, config, ms, secs};
use crate::leg::{LegConfig, Transport};
use crate::message::Method;

/// INVITE, 180, 200, ACK, talk, BYE. Each side hangs up on every second seed.
fn whole_call(mut pair: Pair, seed: u64) {
    assert!(pair.run_until(secs(32), |pair| pair.bob.is_some()), "INVITE never came");
    pair.act(Bob, |bob, now| {
        bob.trying(now);
        bob.progress(now, 180, None, &[]);
    });
    pair.run(secs(2));
    pair.act(Bob, |bob, now| bob.answer(now, Some(ANSWER), &[]));
    let talking = |pair: &Pair| pair.has(Alice, "answered with sdp") && pair.has(Bob, "acked");
    assert!(pair.run_until(secs(32), talking), "never answered: {:?}", pair.log);
    pair.run(secs(20));
    let (hangs, hears) = if seed.is_multiple_of(2) { (Alice, Bob) } else { (Bob, Alice) };
    pair.act(hangs, |leg, now| leg.bye(now, None));
    let over = |pair: &Pair| pair.has(hangs, "ended") && pair.has(hears, "bye");
    assert!(pair.run_until(secs(32), over), "never over: {:?}", pair.log);
    pair.finish();
    let count = |what: &str| pair.log.iter().flatten().filter(|line| *line == what).count();
    for what in ["answered with sdp", "acked", "ended", "bye"] {
        assert_eq!(count(what), 1, "{what} is told once: {:?}", pair.log);
    }
}

#[test]
fn call_completes_at_thirty_percent_loss_over_a_thousand_seeds() {
    for seed in 0..1000 {
        let outcome = std::panic::catch_unwind(|| {
            let pair = Pair::new(Transport::Udp).bad(seed, 30, 20, (5, 400));
            whole_call(pair, seed);
        });
        if outcome.is_err() {
            panic!("seed {seed} fails");
        }
    }
}

#[test]
fn call_on_a_clean_network_takes_seven_messages() {
    let mut pair = Pair::new(Transport::Udp);
    pair.run(ms(10));
    pair.act(Bob, |bob, now| {
        bob.trying(now);
        bob.progress(now, 180, None, &[]);
    });
    pair.run(ms(100));
    pair.act(Bob, |bob, now| bob.answer(now, Some(ANSWER), &[]));
    pair.run(secs(5));
    assert_eq!(pair.sdp[Alice as usize], Some(ANSWER));
    pair.act(Alice, |alice, now| alice.bye(now, None));
    pair.finish();
    assert_eq!(pair.sent, 7, "INVITE 100 180 200 ACK BYE 200");
    pair.assert_logs(&["trying", "progress 180", "answered with sdp", "ended"], &["acked", "bye"]);
}

#[test]
fn call_on_a_socket_repeats_nothing() {
    for transport in [Transport::Wss, Transport::Tcp] {
        let mut pair = Pair::new(transport).talking();
        assert_eq!(pair.sent, 3, "INVITE 200 ACK");
        pair.act(Bob, |bob, now| bob.bye(now, None));
        pair.finish();
        assert_eq!(pair.sent, 5);
        pair.assert_logs(&["bye"], &["ended"]);
    }
}

#[test]
fn refusal_is_acknowledged_and_told_once() {
    for seed in 0..200 {
        let mut pair = Pair::new(Transport::Udp).bad(seed, 30, 20, (5, 400));
        if !pair.run_until(secs(32), |pair| pair.bob.is_some()) {
            panic!("seed {seed}");
        }
        pair.act(Bob, |bob, now| bob.reject(now, 486, "", &[]));
        assert!(pair.run_until(secs(32), |pair| pair.has(Alice, "refused 486")), "seed {seed}");
        pair.run(secs(66));
        assert!(pair.is_idle(), "seed {seed}");
        pair.assert_logs(&["refused 486"], &[]);
    }
}

#[test]
fn cancelled_call_leaves_nothing_behind_at_thirty_percent_loss() {
    for seed in 0..200 {
        let mut pair = Pair::new(Transport::Udp).bad(seed, 30, 20, (5, 400));
        pair.run_until(secs(32), |pair| pair.bob.is_some());
        pair.act(Bob, |bob, now| bob.progress(now, 180, None, &[]));
        pair.run(ms(700));
        pair.act(Alice, |alice, now| alice.cancel(now, None));
        let over = |pair: &Pair| pair.has(Alice, "refused 487") && pair.has(Bob, "canceled");
        assert!(pair.run_until(secs(64), over), "seed {seed}: {:?}", pair.log);
        pair.run(secs(66));
        assert!(pair.is_idle(), "seed {seed}");
    }
}

#[test]
fn delayed_offer_goes_through_the_answer_and_its_ack() {
    let (alice, bob) = (config("alice", Transport::Udp), config("bob", Transport::Udp));
    let mut pair = Pair::with(alice, bob, None);
    pair.run(ms(20));
    pair.act(Bob, |bob, now| bob.answer(now, Some(OFFER), &[]));
    pair.run(secs(1));
    assert_eq!(pair.sdp[Alice as usize], Some(OFFER));
    assert!(!pair.has(Bob, "acked"), "the ACK waits for our answer");
    pair.act(Alice, |alice, now| alice.acknowledge(now, Some(ANSWER)));
    pair.run(secs(1));
    pair.assert_logs(&["answered with sdp"], &["acked with sdp"]);
    assert_eq!(pair.sdp[Bob as usize], Some(ANSWER));
    pair.act(Alice, |alice, now| alice.bye(now, None));
    pair.finish();
}

#[test]
fn silence_ends_the_call_by_timer_b() {
    let mut pair = Pair::new(Transport::Udp).bad(1, 100, 0, (10, 10));
    pair.run(ms(10));
    pair.bob = None;
    pair.run(ms(31_900));
    pair.assert_logs(&[], &[]);
    pair.run(secs(1));
    pair.assert_logs(&["no answer"], &[]);
    assert!(pair.is_idle());
}

/// One thing that an owner may do at any time, sensible or not.
fn whim(pair: &mut Pair, side: Side, dice: &mut Dice) {
    let pending = pair.pending[side as usize].take();
    let choice = dice.below(12);
    pair.act(side, |leg, now| match (choice, pending) {
        (0, _) => leg.bye(now, None),
        (1, _) => leg.cancel(now, Some("SIP;cause=487")),
        (2, _) => leg.reject(now, 486, "", &[]),
        (3 | 4, _) => leg.answer(now, Some(ANSWER), &[]),
        (5, _) => leg.progress(now, 183, Some(ANSWER), &[]),
        (6, _) => leg.reoffer(now, OFFER),
        (7, _) => leg.acknowledge(now, Some(ANSWER)),
        (8, _) => drop(leg.request(now, Method::Info, None, &[])),
        (9, Some(key)) => leg.refuse(now, key, 488, "", &[]),
        (_, Some(key)) => leg.accept(now, key, Some(ANSWER), &[]),
        (_, None) => leg.trying(now),
    });
}

/// The events after which a leg tells nothing more.
const LAST: [&str; 8] =
    ["refused", "no answer", "unreachable", "declined", "canceled", "bye", "ended", "reject"];

#[test]
fn whatever_the_owners_do_both_legs_end_and_say_so_once() {
    for seed in 0..500 {
        let mut dice = Dice::seeded(seed + 77);
        let timed = |who| LegConfig { session_expires: Some(90), ..config(who, Transport::Udp) };
        let sdp = (seed % 3 > 0).then_some(OFFER);
        let mut pair = Pair::with(timed("alice"), timed("bob"), sdp).bad(seed, 25, 20, (5, 400));
        for _ in 0..dice.below(30) {
            pair.run(ms(dice.below(2000)));
            let side = if dice.below(2) == 0 { Alice } else { Bob };
            if side == Alice || pair.bob.is_some() {
                whim(&mut pair, side, &mut dice);
            }
        }
        pair.act(Alice, |leg, now| leg.bye(now, None));
        pair.run_until(secs(33), |pair| pair.bob.is_some());
        if pair.bob.is_some() {
            pair.act(Bob, |leg, now| leg.bye(now, None));
        }
        pair.run(secs(140));
        assert!(pair.is_idle(), "seed {seed}: {:?} {:?} {:?}", pair.log, pair.alice, pair.bob);
        for log in &pair.log {
            let last = |line: &&String| LAST.iter().any(|last| line.starts_with(last));
            assert!(log.iter().filter(last).count() <= 1, "seed {seed}: {log:?}");
            let after = log.iter().position(|line| last(&line)).map(|at| &log[at + 1..]);
            assert!(after.is_none_or(<[String]>::is_empty), "seed {seed}: {log:?}");
        }
        let ends = pair.log[Alice as usize]
            .iter()
            .filter(|line| LAST.iter().any(|last| line.starts_with(last)));
        assert_eq!(ends.count(), 1, "seed {seed}: {:?}", pair.log);
    }
}
