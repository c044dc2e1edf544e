//! The carrier as a program: a caller's leg over real sockets, every kind of number, sound both ways.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod caller;

use std::time::Duration;

use caller::{Caller, Carrier, Outcome};
use sautikit_media::g711::Law;

const RTP_WAIT: Duration = Duration::from_secs(2);

#[test]
fn an_answered_call_has_sound_both_ways_and_one_line() {
    let mut carrier = Carrier::start(&["--answer-after-ms", "50"]);
    let mut caller = Caller::dial(&carrier, "+254722000001", Law::Mu);
    assert_eq!(caller.until_ringing(), 180);
    let answer = caller.until_answered();
    let heard = caller.talk(&answer, RTP_WAIT);
    assert!(heard.packets > 50 && heard.energy > 0.01, "the tone: {heard:?}");
    caller.hang_up();
    let line = carrier.line();
    assert_eq!(line["call_id"], caller.call_id());
    assert_eq!(
        (line["from"].as_str(), line["to"].as_str()),
        (Some("+254700000001"), Some("+254722000001"))
    );
    assert_eq!((line["status"].as_u64(), line["ended_by"].as_str()), (Some(200), Some("caller")));
    let (packets, sent) = (line["packets"].as_u64().unwrap(), line["sent"].as_u64().unwrap());
    assert!(packets > 50 && sent > 50 && line["lost"] == 0, "{line}");
    assert!(line["audio_energy"].as_f64().unwrap() > 0.05, "the caller's tone: {line}");
    assert_eq!(line["digits"], "5");
    let seconds = line["seconds"].as_f64().unwrap();
    assert!((1.9..4.0).contains(&seconds), "{line}");
    assert_eq!(carrier.stop(), Some(0));
}

#[test]
fn numbers_do_what_their_endings_say() {
    let mut carrier = Carrier::start(&["--answer-after-ms", "0"]);
    for (number, outcome) in [
        ("+254722000003", Outcome::Refused(486)),
        ("+254722000004", Outcome::Refused(603)),
        ("+254722000099", Outcome::Answered),
        ("+254722000005", Outcome::Nothing),
        ("+254722000002", Outcome::Ringing),
    ] {
        let mut caller = Caller::dial(&carrier, number, Law::A);
        assert_eq!(caller.outcome(Duration::from_millis(700)), outcome, "{number}");
        caller.hang_up();
        if outcome != Outcome::Nothing {
            let line = carrier.line();
            assert_eq!(line["to"], number);
            let status = match outcome {
                Outcome::Refused(status) => status,
                Outcome::Ringing => 487,
                _ => 200,
            };
            assert_eq!(line["status"], status, "{line}");
        }
    }
    assert_eq!(carrier.stop(), Some(0));
}

#[test]
fn a_number_that_hangs_up_does_so_after_three_seconds() {
    let mut carrier = Carrier::start(&["--answer-after-ms", "0"]);
    let mut caller = Caller::dial(&carrier, "+254722000006", Law::A);
    caller.until_answered();
    assert!(caller.is_hung_up_within(Duration::from_secs(6)));
    let line = carrier.line();
    assert_eq!((line["status"].as_u64(), line["ended_by"].as_str()), (Some(200), Some("carrier")));
    let seconds = line["seconds"].as_f64().unwrap();
    assert!((2.9..4.5).contains(&seconds), "{line}");
    assert_eq!(carrier.stop(), Some(0));
}

#[test]
fn sip_only_answers_at_once_and_sends_no_sound() {
    let mut carrier = Carrier::start(&["--sip-only"]);
    let mut caller = Caller::dial(&carrier, "+254722000001", Law::A);
    let answer = caller.until_answered();
    let heard = caller.talk(&answer, Duration::from_millis(200));
    assert_eq!(heard.packets, 0);
    caller.hang_up();
    let line = carrier.line();
    assert_eq!((line["packets"].as_u64(), line["sent"].as_u64()), (Some(0), Some(0)));
    assert_eq!(carrier.stop(), Some(0));
}

#[test]
fn options_is_answered_and_a_taken_port_is_said() {
    let mut carrier = Carrier::start(&[]);
    assert!(carrier.ping().starts_with("SIP/2.0 200 "));
    let address = carrier.address.to_string();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_sautikit-loadtest"))
        .args(["carrier", "--listen", &address])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(&address) && second.stdout.is_empty(), "{said}");
    assert_eq!(carrier.stop(), Some(0));
}
