//! Each test is a story in virtual time: what happened on the left, what had to be done on the
//! right.

use std::time::{Duration, Instant};

use rust_decimal::Decimal;

use super::*;

fn rate(per_minute: i64, increment: u32) -> Rate {
    Rate::new(Decimal::from(per_minute), increment, Minor::ZERO, Minor::ZERO).unwrap()
}

struct Story {
    call: Call,
    start: Instant,
    now: Instant,
}

impl Story {
    fn new(candidates: usize) -> Self {
        Self::with(rate(300, 1), candidates)
    }

    fn with(rate: Rate, candidates: usize) -> Self {
        // The one clock reading: a base to count from; nothing is measured.
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let terms = Terms {
            rate,
            candidates,
            ring_for: Duration::from_secs(60),
            longest: Duration::from_secs(14_400),
        };
        Self { call: Call::new(terms), start, now: start }
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = self.start + Duration::from_millis(millis);
        self
    }

    fn when(&mut self, input: Input) -> Vec<Output> {
        self.call.handle(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.call.poll_output()).collect()
    }

    /// Lets time pass, timer by timer, until `millis`; says what was done and when.
    fn run_until(&mut self, millis: u64) -> Vec<(u64, Output)> {
        let end = self.start + Duration::from_millis(millis);
        let mut done = Vec::new();
        while let Some(due) = self.call.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.call.handle_timeout(self.now, None);
            let at = u64::try_from((self.now - self.start).as_millis()).unwrap();
            done.extend(self.drain().into_iter().map(|output| (at, output)));
        }
        self.now = end;
        done
    }

    /// Held, prepared and dialled.
    fn dialled(&mut self) -> Vec<Output> {
        self.drain();
        self.when(Input::Held(HoldAnswer::Held(Minor::new(5))));
        self.when(Input::Prepared)
    }

    /// Held, dialled, answered at 1 s with `held` in all.
    fn talk(&mut self, held: i64) -> Vec<Output> {
        self.dialled();
        self.at(1000).when(Input::PeerAnswered);
        self.when(Input::AnswerCommitted(Ok(Minor::new(held))))
    }
}

fn closing(outputs: &[Output]) -> &Closing {
    outputs
        .iter()
        .find_map(|output| match output {
            Output::Close(closing) => Some(closing),
            _ => None,
        })
        .expect("the call was not closed")
}

#[test]
fn the_first_hold_is_one_increment_and_comes_before_the_dial() {
    let mut story = Story::new(1);
    assert_eq!(story.drain(), [Output::Hold(Minor::new(5))]);
    assert_eq!(story.when(Input::Held(HoldAnswer::Held(Minor::new(5)))), [Output::Prepare]);
    assert_eq!(story.when(Input::Prepared), [Output::Dial(0)]);
}

#[test]
fn an_offer_that_cannot_be_served_is_refused_before_any_trunk_hears_of_it() {
    let mut story = Story::new(1);
    story.drain();
    story.when(Input::Held(HoldAnswer::Held(Minor::new(5))));
    let done = story.when(Input::MediaRefused(Refusal::MediaNotAcceptable));
    assert_eq!(done, [Output::RefuseCaller(Refusal::MediaNotAcceptable), Output::Release]);
    assert!(story.call.is_over());
}

#[test]
fn without_money_the_caller_is_refused_and_nothing_is_dialled() {
    let mut story = Story::new(1);
    story.drain();
    let done = story.when(Input::Held(HoldAnswer::Insufficient));
    assert_eq!(done, [Output::RefuseCaller(Refusal::InsufficientFunds), Output::Release]);
    assert!(story.call.is_over());
}

#[test]
fn the_caller_hears_of_the_answer_only_when_it_is_durable() {
    let mut story = Story::new(1);
    story.dialled();
    story.when(Input::PeerRinging);
    let done = story.when(Input::PeerAnswered);
    assert!(
        matches!(done.as_slice(), [Output::CommitAnswer { least, .. }] if *least == Minor::new(5))
    );
    let done = story.when(Input::AnswerCommitted(Ok(Minor::new(905))));
    assert_eq!(done, [Output::AnswerCaller]);
}

#[test]
fn five_and_a_bit_seconds_cost_six() {
    let mut story = Story::new(1);
    story.talk(905);
    let done = story.at(6_010).when(Input::CallerHungUp);
    assert!(matches!(done[..2], [Output::EndCaller { .. }, Output::EndPeer]));
    let closing = closing(&done);
    assert_eq!(closing.status, CallStatus::Completed);
    assert_eq!(closing.hangup_by, HangupBy::Caller);
    assert_eq!(closing.talked, Some(Talked { millis: 5_010, seconds: 6, cost: Minor::new(30) }));
    assert!(!story.call.is_over());
    story.when(Input::Closed);
    assert!(story.call.is_over());
}

#[test]
fn both_sides_hanging_up_at_once_close_the_call_once() {
    let mut story = Story::new(1);
    story.talk(905);
    story.at(3_000).when(Input::CallerHungUp);
    assert!(story.when(Input::PeerHungUp).is_empty());
    assert!(story.when(Input::CallerHungUp).is_empty());
}

#[test]
fn a_cancel_while_ringing_costs_nothing() {
    let mut story = Story::new(1);
    story.dialled();
    story.when(Input::PeerRinging);
    let done = story.at(4_000).when(Input::CallerCanceled);
    let closing = closing(&done);
    assert_eq!(closing.status, CallStatus::Canceled);
    assert_eq!(closing.talked, None);
}

#[test]
fn a_gateway_that_stops_refuses_a_call_that_rings() {
    let mut story = Story::new(1);
    story.dialled();
    story.when(Input::PeerRinging);
    let done = story.at(4_000).when(Input::HangUp(HangupBy::Shutdown));
    assert_eq!(done[..2], [Output::RefuseCaller(Refusal::Draining), Output::EndPeer]);
    let closing = closing(&done);
    assert_eq!((closing.status, closing.failure_code), (CallStatus::Failed, Some(503)));
    assert_eq!((closing.hangup_by, closing.talked), (HangupBy::Shutdown, None));
}

#[test]
fn a_cancel_that_crosses_the_answer_is_canceled_and_costs_nothing() {
    let mut story = Story::new(1);
    story.dialled();
    story.when(Input::PeerAnswered);
    let done = story.when(Input::CallerCanceled);
    assert!(matches!(done[..2], [Output::EndCaller { .. }, Output::EndPeer]));
    assert_eq!(closing(&done).status, CallStatus::Canceled);
    assert!(story.when(Input::AnswerCommitted(Ok(Minor::new(5)))).is_empty());
}

#[test]
fn an_answer_that_cannot_be_committed_ends_both_sides_and_costs_nothing() {
    let mut story = Story::new(1);
    story.dialled();
    story.when(Input::PeerAnswered);
    let done = story.when(Input::AnswerCommitted(Err(CommitFailed::Unavailable)));
    assert_eq!(done[..2], [Output::RefuseCaller(Refusal::WalletUnavailable), Output::EndPeer]);
    assert_eq!(closing(&done).talked, None);
}

#[test]
fn a_carrier_that_hangs_up_before_the_answer_is_durable_is_billed_its_second() {
    let mut story = Story::new(1);
    story.dialled();
    story.when(Input::PeerAnswered);
    assert!(story.at(20).when(Input::PeerHungUp).is_empty());
    let done = story.at(30).when(Input::AnswerCommitted(Ok(Minor::new(5))));
    let talked = closing(&done).talked.unwrap();
    assert_eq!((talked.seconds, talked.cost), (1, Minor::new(5)));
}

#[test]
fn busy_is_passed_on_and_not_failed_over() {
    let mut story = Story::new(2);
    story.dialled();
    let done = story.when(Input::PeerRefused { code: 486 });
    assert_eq!(done[0], Output::PassRefusal { code: 486 });
    assert_eq!(closing(&done).status, CallStatus::Busy);
}

#[test]
fn a_503_tries_the_next_trunk_but_not_once_the_phone_rang() {
    let mut story = Story::new(2);
    story.dialled();
    assert_eq!(story.when(Input::PeerRefused { code: 503 }), [Output::Dial(1)]);
    let mut story = Story::new(2);
    story.dialled();
    story.when(Input::PeerRinging);
    let done = story.when(Input::PeerRefused { code: 503 });
    assert_eq!(closing(&done).failure_code, Some(503));
}

#[test]
fn a_silent_trunk_is_left_after_four_seconds_while_another_is_left() {
    let mut story = Story::new(2);
    story.dialled();
    assert_eq!(story.run_until(20_000), [(4_000, Output::Abandon), (4_000, Output::Dial(1))]);
    let done = story.when(Input::PeerUnreachable);
    assert_eq!(done[0], Output::RefuseCaller(Refusal::NoRoute));
}

#[test]
fn ringing_ends_after_a_minute_as_no_answer() {
    let mut story = Story::new(1);
    story.dialled();
    story.at(1_000).when(Input::PeerRinging);
    let done: Vec<_> = story.run_until(90_000).into_iter().collect();
    assert_eq!(done[0], (60_000, Output::EndPeer));
    assert!(matches!(&done[2].1, Output::Close(closing) if closing.status == CallStatus::NoAnswer));
}

#[test]
fn the_hold_is_asked_for_again_while_ninety_seconds_are_paid() {
    let mut story = Story::new(1);
    // 905 minor pay 181 seconds: the next question comes when 90 of them are left.
    story.talk(905);
    let done = story.run_until(92_500);
    let [(at, Output::Extend { wanted, least })] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!(*at, 92_000);
    assert_eq!(*least, Minor::new(5));
    assert_eq!(*wanted, Minor::new((91 + 180) * 5 - 905));
}

#[test]
fn without_money_the_call_is_warned_and_cut_on_the_last_paid_second() {
    let mut story = Story::new(1);
    // 300 minor pay 60 seconds, and the wallet has no more.
    story.talk(300);
    let mut cut = None;
    while cut.is_none() {
        let next = story.call.poll_timeout().expect("a talking call has a deadline");
        let due = u64::try_from((next - story.start).as_millis()).unwrap().max(1_000);
        for (at, output) in story.run_until(due) {
            match output {
                Output::Extend { .. } => {
                    let more = story.when(Input::Extended(ExtendAnswer::Insufficient));
                    assert!(more.is_empty(), "asked again at once at {at}");
                }
                Output::Warn { seconds_left } => assert_eq!((at, seconds_left), (31_000, 30)),
                Output::Close(closing) => cut = Some((at, closing)),
                _ => {}
            }
        }
    }
    let (at, closing) = cut.unwrap();
    assert_eq!(at, 61_000);
    assert_eq!(closing.hangup_by, HangupBy::Balance);
    assert_eq!(closing.talked, Some(Talked { millis: 60_000, seconds: 60, cost: Minor::new(300) }));
}

#[test]
fn the_warning_counts_what_the_wallet_still_has_beside_the_hold() {
    let mut story = Story::new(1);
    // Ten seconds are held, and the wallet has money for forty more.
    story.talk(50);
    let left = |held: i64, left: i64| {
        let (held, left) = (Minor::new(held), Minor::new(left));
        Input::Extended(ExtendAnswer::Extended { held, left })
    };
    story.when(left(50, 200));
    let mut done = story.run_until(8_000);
    story.when(left(120, 130));
    done.extend(story.run_until(24_000));
    let warning = |(at, output)| match output {
        Output::Warn { seconds_left } => Some((at, seconds_left)),
        _ => None,
    };
    let warnings: Vec<_> = done.into_iter().filter_map(warning).collect();
    assert_eq!(warnings, [(21_000, 30)], "thirty of fifty seconds are left, and it is said once");
}

#[test]
fn a_top_up_in_the_last_seconds_lets_the_call_go_on() {
    let mut story = Story::new(1);
    let done = story.talk(300);
    assert!(matches!(done.last(), Some(Output::Extend { .. })));
    story.when(Input::Extended(ExtendAnswer::Insufficient));
    for (_, output) in story.run_until(58_000) {
        if matches!(output, Output::Extend { .. }) {
            story.call.handle(story.now, Input::Extended(ExtendAnswer::Insufficient));
        }
    }
    story.when(Input::Extended(ExtendAnswer::Extended {
        held: Minor::new(1_300),
        left: Minor::ZERO,
    }));
    let done = story.run_until(62_000);
    assert!(!done.iter().any(|(_, output)| matches!(output, Output::Close(_))), "{done:?}");
}

#[test]
fn the_longest_call_is_cut_and_billed_to_its_limit() {
    let mut story = Story::with(rate(0, 1), 1);
    story.talk(0);
    let done = story.run_until(20_000_000);
    let (at, _) = done[0];
    assert_eq!(at, 14_401_000);
    let outputs: Vec<_> = done.into_iter().map(|(_, output)| output).collect();
    assert_eq!(closing(&outputs).hangup_by, HangupBy::MaxDuration);
}

#[test]
fn a_hold_with_part_of_an_increment_asks_for_the_rest_of_it() {
    let rate = rate(300, 1);
    let least = |held| talking::growth(&rate, Minor::new(held), 0).1;
    assert_eq!(least(10), Minor::new(5));
    assert_eq!(least(38), Minor::new(2), "38 and 2 pay the eighth second");
    let minutes = self::rate(300, 60);
    assert_eq!(talking::growth(&minutes, Minor::new(450), 0).1, Minor::new(150));
}

#[test]
fn a_lost_socket_ends_the_call_after_thirty_seconds_billed_to_its_last_byte() {
    let mut story = Story::new(1);
    story.talk(905);
    story.at(8_000);
    let last_byte = story.start + Duration::from_millis(5_000);
    story.when(Input::CallerLost { last_byte });
    let done = story.run_until(60_000);
    assert_eq!(done[0].0, 38_000);
    let outputs: Vec<_> = done.into_iter().map(|(_, output)| output).collect();
    assert_eq!(closing(&outputs).hangup_by, HangupBy::ConnectionLost);
    assert_eq!(closing(&outputs).talked.unwrap().millis, 4_000);
}

#[test]
fn a_lost_socket_ends_at_once_what_is_not_answered() {
    let mut story = Story::new(1);
    story.dialled();
    story.at(1_000).when(Input::PeerRinging);
    let last_byte = story.start + Duration::from_millis(500);
    let done = story.when(Input::CallerLost { last_byte });
    assert!(done.contains(&Output::EndPeer), "{done:?}");
    let closing = closing(&done);
    assert_eq!(
        (closing.status, closing.hangup_by),
        (CallStatus::Canceled, HangupBy::ConnectionLost)
    );
    assert!(closing.talked.is_none());
}

#[test]
fn a_lost_socket_is_billed_to_the_later_of_its_last_byte_and_the_last_packet() {
    for (heard, talked) in [(3_000, 4_000), (20_000, 19_000)] {
        let mut story = Story::new(1);
        story.talk(905);
        story.at(8_000);
        let last_byte = story.start + Duration::from_millis(5_000);
        story.when(Input::CallerLost { last_byte });
        let heard = story.start + Duration::from_millis(heard);
        story.call.handle_timeout(story.start + Duration::from_millis(38_000), Some(heard));
        let done = story.drain();
        assert_eq!(closing(&done).talked.unwrap().millis, talked);
    }
}

#[test]
fn silence_is_billed_to_the_last_packet() {
    let mut story = Story::new(1);
    story.talk(905);
    story.at(50_000);
    let last_packet = story.start + Duration::from_millis(20_000);
    let done = story.when(Input::MediaSilent { last_packet });
    assert_eq!(closing(&done).talked.unwrap().seconds, 19);
}

#[test]
fn the_sign_of_life_never_exceeds_what_the_hold_pays() {
    let mut story = Story::new(1);
    story.talk(50);
    let sign = story.call.sign_of_life().unwrap();
    let millis = sign.millis(story.start + Duration::from_secs(60));
    assert_eq!((millis, sign.held()), (10_000, Minor::new(50)));
}

#[test]
fn a_lost_caller_gives_no_sign_of_life_beyond_its_last_byte_and_an_ended_call_none() {
    let mut story = Story::new(1);
    story.talk(905);
    let at = |story: &Story, ms| story.start + Duration::from_millis(ms);
    let last_byte = at(&story, 5_000);
    story.at(8_000).when(Input::CallerLost { last_byte });
    let sign = story.call.sign_of_life().unwrap();
    assert_eq!(sign.millis(at(&story, 3_000)), 2_000);
    assert_eq!(sign.millis(at(&story, 20_000)), 4_000);
    story.run_until(60_000);
    assert!(story.call.sign_of_life().is_none());
}

#[test]
fn an_answer_that_cannot_be_served_hangs_the_carrier_up_and_costs_nothing() {
    let mut story = Story::new(2);
    story.dialled();
    let done = story.when(Input::AnswerUnusable(Refusal::MediaNotAcceptable));
    assert_eq!(done[..2], [Output::EndPeer, Output::RefuseCaller(Refusal::MediaNotAcceptable)]);
    let closing = closing(&done);
    assert_eq!((closing.failure_code, closing.hangup_by), (Some(488), HangupBy::Gateway));
    assert_eq!(closing.talked, None);
}
