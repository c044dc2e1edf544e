use sautikit_sip::leg::{LegConfig, Transport};

use super::super::schedule::Ramp;
use super::*;

/// A gateway in virtual time: rings after 10 ms and answers after 30.
struct Gateway {
    load: Load,
    now: Instant,
    start: Instant,
    /// By our tag, with what is planned.
    legs: HashMap<String, (Leg, usize, Instant, u16)>,
    /// The status that calls end with.
    status: u16,
    /// Sessions that messages were sent on.
    used: Vec<usize>,
    /// What was asked of the audio.
    asked: Vec<Output>,
}

const TICK: Duration = Duration::from_millis(1);

impl Gateway {
    fn new(rate: f64, calls: u64, sessions: usize, expected: &[u16]) -> Self {
        let start = Instant::now();
        let plan = Plan {
            start,
            schedule: Schedule::new(rate, Ramp::default(), None, Some(calls)),
            hold: Duration::from_secs(1),
            called: "+254722xxxx01".parse().unwrap(),
            callers: vec!["+254700000001".into()],
            expected: expected.to_vec(),
            audio: false,
        };
        let browsers = (0..sessions).map(|n| Browser::new(&format!("load{n}"), "sip.example"));
        let load = Load::new(plan, browsers.collect());
        let (legs, used, asked) = (HashMap::new(), Vec::new(), Vec::new());
        Self { load, now: start, start, legs, status: 200, used, asked }
    }

    /// One whose calls have audio.
    fn with_audio(rate: f64, calls: u64) -> Self {
        let mut gateway = Self::new(rate, calls, 2, &[]);
        gateway.load.plan.audio = true;
        gateway
    }

    /// What was asked of the audio since the last time, by name and call.
    fn asked(&mut self) -> Vec<(&'static str, u64)> {
        let asked = std::mem::take(&mut self.asked).into_iter().map(|output| match output {
            Output::Audio { call, ask: Ask::Offer } => ("offer", call),
            Output::Audio { call, ask: Ask::Answer(_) } => ("answer", call),
            Output::Audio { call, ask: Ask::Quiet } => ("quiet", call),
            Output::Audio { call, ask: Ask::Close } => ("close", call),
            Output::Send { .. } => panic!("{output:?}"),
        });
        asked.collect()
    }

    fn offer(&mut self, call: u64) {
        self.load.offered(self.now, call, Ok(Bytes::from_static(OFFER.as_bytes())));
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.load.handle_timeout(self.now);
            self.deliver();
            self.answer();
            self.now += TICK;
        }
    }

    /// What the browsers sent, to the gateway's legs.
    fn deliver(&mut self) {
        let outputs: Vec<_> = self.load.outputs().collect();
        for output in outputs {
            let Output::Send { session, bytes } = output else {
                self.asked.push(output);
                continue;
            };
            self.used.push(session);
            let Ok(Read::Message(message)) = read_any(&bytes, Framing::WebSocket) else {
                panic!("unreadable: {bytes:?}");
            };
            let known = message.to_tag().map(ToOwned::to_owned);
            if let Some(tag) = known {
                if let Some((leg, ..)) = self.legs.get_mut(&tag) {
                    leg.handle(self.now, Input::Message { message, source: None });
                }
            } else if message.method() == Some(&Method::Invite) {
                let tag = format!("g{}", self.legs.len());
                let leg = Leg::incoming(config(&tag), message, None, self.now);
                self.legs.insert(tag, (leg, session, self.now, self.status));
            }
        }
    }

    fn answer(&mut self) {
        let now = self.now;
        let mut out = Vec::new();
        for (leg, session, since, status) in self.legs.values_mut() {
            let age = now.saturating_duration_since(*since);
            if age == Duration::from_millis(10) {
                leg.progress(now, 180, None, &[]);
            } else if age == Duration::from_millis(30) && *status == 200 {
                leg.answer(now, Some(Bytes::from_static(OFFER.as_bytes())), &[]);
            } else if age == Duration::from_millis(30) {
                let code = (Name::XSautikitError, "wallet.insufficient_funds".to_owned());
                leg.reject(now, *status, "", &[code]);
            }
            while let Some(output) = leg.poll_output() {
                if let LegOutput::Send { bytes, .. } = output {
                    out.push((*session, bytes));
                }
            }
        }
        for (session, bytes) in out {
            self.load.handle_message(now, session, &bytes);
        }
    }
}

fn config(tag: &str) -> LegConfig {
    LegConfig {
        local_tag: tag.to_owned(),
        call_id: String::new(),
        branch_prefix: tag.to_owned(),
        contact: "sip:gateway@sip.example;transport=ws".to_owned(),
        via_sent_by: "sip.example".to_owned(),
        transport: Transport::Ws,
        user_agent: String::new(),
        session_expires: None,
        credentials: None,
    }
}

#[test]
fn calls_are_made_held_and_hung_up_by_the_sessions_in_turn() {
    let mut gateway = Gateway::new(10.0, 20, 5, &[]);
    gateway.run(Duration::from_millis(950));
    assert_eq!(gateway.load.tally.live(), 10);
    assert!(!gateway.load.is_over());
    gateway.run(Duration::from_secs(4));
    let tally = &gateway.load.tally;
    assert!(gateway.load.is_over());
    assert_eq!((tally.attempted, tally.answered, tally.completed), (20, 20, 20));
    assert_eq!((tally.failures(), tally.live()), (0, 0));
    assert!(
        tally.talked >= Duration::from_secs(20) && tally.talked < Duration::from_millis(20_100)
    );
    let ringing = tally.ringing.percentiles().unwrap();
    let answer = tally.answer.percentiles().unwrap();
    assert!(
        (ringing.p50 - 10.0).abs() < 1.1 && (answer.p50 - 30.0).abs() < 1.1,
        "{ringing:?} {answer:?}"
    );
    for session in 0..5 {
        assert!(gateway.used.contains(&session));
    }
}

#[test]
fn a_generator_that_was_held_up_counts_from_the_intended_time() {
    let mut gateway = Gateway::new(100.0, 10, 1, &[]);
    // Nothing runs for half a second: all ten calls are late.
    gateway.now = gateway.start + Duration::from_millis(500);
    gateway.run(Duration::from_secs(3));
    let tally = &gateway.load.tally;
    assert_eq!(tally.completed, 10);
    let (late, answer) = (tally.late.percentiles().unwrap(), tally.answer.percentiles().unwrap());
    assert!((late.max - 500.0).abs() < 2.0, "{late:?}");
    assert!((answer.max - 530.0).abs() < 2.0, "{answer:?}");
}

#[test]
fn a_refusal_is_a_failure_with_its_code_unless_it_was_expected() {
    for (expected, failures, refused) in [(&[][..], 3, 0), (&[402][..], 0, 3)] {
        let mut gateway = Gateway::new(10.0, 3, 2, expected);
        gateway.status = 402;
        gateway.run(Duration::from_secs(1));
        let tally = &gateway.load.tally;
        assert_eq!((tally.failures(), tally.refused, tally.answered), (failures, refused, 0));
        let named = tally.failed.get("402 wallet.insufficient_funds").copied().unwrap_or(0);
        assert_eq!(named, failures);
        assert!(gateway.load.is_over());
    }
}

#[test]
fn a_gateway_that_hangs_up_early_has_failed() {
    let mut gateway = Gateway::new(10.0, 1, 1, &[]);
    gateway.run(Duration::from_millis(200));
    let now = gateway.now;
    for (leg, ..) in gateway.legs.values_mut() {
        leg.bye(now, None);
    }
    gateway.run(Duration::from_secs(2));
    let tally = &gateway.load.tally;
    assert_eq!(tally.failed.get("hung up by the gateway"), Some(&1), "{:?}", tally.failed);
    assert!(gateway.load.is_over());
}

#[test]
fn a_lost_session_loses_its_calls_and_makes_no_more() {
    let mut gateway = Gateway::new(10.0, 6, 2, &[]);
    gateway.run(Duration::from_millis(250));
    gateway.load.session_lost(gateway.now, 0);
    gateway.run(Duration::from_secs(3));
    let tally = &gateway.load.tally;
    assert_eq!((tally.completed, tally.failed["session lost"]), (3, 3));
    assert_eq!(tally.sessions_lost, 1);
    assert_eq!((gateway.load.user(0), gateway.load.user(1)), (None, Some("load1")));
}

#[test]
fn stopping_ends_what_is_under_way_and_begins_nothing() {
    let mut gateway = Gateway::new(100.0, 1000, 2, &[]);
    gateway.run(Duration::from_millis(500));
    gateway.load.stop(gateway.now);
    gateway.run(Duration::from_millis(200));
    let attempted = gateway.load.tally.attempted;
    gateway.run(Duration::from_secs(1));
    assert_eq!(gateway.load.tally.attempted, attempted);
    assert!(attempted < 60);
    assert!(gateway.load.is_over());
    assert_eq!(gateway.load.tally.failures(), 0);
}

#[test]
fn a_renewal_carries_the_token_and_its_answer_is_counted() {
    let mut gateway = Gateway::new(0.0, 0, 1, &[]);
    gateway.load.refresh(0, Some(&Token::new("a.b.c")));
    let sent: Vec<_> = gateway.load.outputs().collect();
    let [Output::Send { bytes, .. }] = &sent[..] else { panic!("{sent:?}") };
    let Ok(Read::Message(message)) = read_any(bytes, Framing::WebSocket) else {
        panic!("unreadable");
    };
    assert_eq!(message.header(&Name::Authorization), Some("Bearer a.b.c"));
    for status in [200, 401] {
        let bytes = respond(&message, status, "", None, &[], None);
        gateway.load.handle_message(gateway.now, 0, &bytes);
    }
    let tally = &gateway.load.tally;
    assert_eq!((tally.renewed, tally.renewals_refused), (1, 1));
}

#[test]
fn audio_is_made_ahead_connected_silenced_before_the_bye_and_waited_for() {
    let mut gateway = Gateway::with_audio(1.0, 2);
    gateway.run(Duration::from_millis(10));
    assert_eq!(gateway.asked(), [("offer", 0)]);
    assert!(gateway.used.is_empty(), "no INVITE without an offer");
    gateway.offer(0);
    gateway.run(Duration::from_millis(590));
    assert_eq!(gateway.asked(), [("answer", 0), ("offer", 1)]);
    gateway.offer(1);
    gateway.run(Duration::from_millis(400));
    assert_eq!(gateway.asked(), [("quiet", 0)], "100 ms before the BYE");
    gateway.run(Duration::from_millis(100));
    assert_eq!(gateway.asked(), [("answer", 1), ("close", 0)]);
    let sound = Sound { sent: 7, ..Sound::default() };
    gateway.load.heard(0, Some(sound));
    gateway.run(Duration::from_secs(2));
    assert_eq!(gateway.asked(), [("quiet", 1), ("close", 1)]);
    assert!(!gateway.load.is_over(), "the last figures are not there");
    gateway.load.heard(1, None);
    assert!(gateway.load.is_over());
    let late = gateway.load.tally.late.percentiles().unwrap();
    assert!(late.max >= 9.0, "the first call waited for its offer: {late:?}");
    let seen = gateway.load.take_seen();
    assert_eq!((seen[0].sound, seen[1].sound), (Some(sound), None));
    for (seen, called) in seen.into_iter().zip(["+254722000001", "+254722000101"]) {
        assert_eq!(seen.called, called);
        let Outcome::Answered(answered) = &seen.outcome else { panic!("{seen:?}") };
        let talked = answered.talked.unwrap();
        assert!(talked.abs_diff(Duration::from_secs(1)) < Duration::from_millis(3), "{talked:?}");
    }
}

#[test]
fn a_call_without_an_offer_fails_and_one_that_comes_too_late_is_closed() {
    let mut gateway = Gateway::with_audio(10.0, 2);
    gateway.load.offered(gateway.now, 0, Err("no socket".into()));
    gateway.run(Duration::from_millis(150));
    assert_eq!(gateway.load.tally.failed["no audio to offer: no socket"], 1);
    gateway.load.stop(gateway.now);
    gateway.run(Duration::from_millis(10));
    gateway.asked();
    gateway.offer(1);
    gateway.run(Duration::from_millis(10));
    assert_eq!(gateway.asked(), [("close", 1)]);
    assert_eq!(gateway.load.tally.live(), 0);
}

#[test]
fn what_each_call_was_is_kept_for_the_proof() {
    let mut gateway = Gateway::new(10.0, 3, 2, &[]);
    gateway.run(Duration::from_millis(60));
    gateway.status = 486;
    gateway.run(Duration::from_millis(100));
    gateway.load.session_lost(gateway.now, 0);
    gateway.run(Duration::from_millis(200));
    let seen = gateway.load.take_seen();
    let outcomes: Vec<_> = seen.iter().map(|seen| &seen.outcome).collect();
    let [Outcome::Answered(lost), Outcome::Unanswered, Outcome::Unclear] = outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(lost.talked, None, "nobody knows how long the gateway thinks it talked");
}
