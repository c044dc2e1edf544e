//! The browser's leg: its handshake, its checks, what it seals, how it ends.

use super::*;

#[test]
fn the_browser_is_told_how_its_stream_arrives_and_its_reports_are_read() {
    let mut wire = Wire::new();
    wire.connect(A);
    assert_eq!(wire.call.stats(wire.now).browser.reported_loss, None);
    wire.run(12_000);
    let browser = wire.call.stats(wire.now).browser;
    assert_eq!(browser.reported_loss, Some(0.0));
    // Carried without delay: what is measured is the step of this clock at most.
    assert!(browser.rtt_ms.unwrap() < 50.0, "{browser:?}");
    let round_trip = wire.peer.stats().round_trip.unwrap();
    assert!(round_trip < Duration::from_millis(50), "ours answer the browser's: {round_trip:?}");
}

#[test]
fn a_handshake_without_a_nomination_piles_nothing_up() {
    let mut wire = Wire::new();
    let answer = wire.answer(A);
    wire.peer.accept_answer(wire.now, &answer).unwrap();
    wire.run(1_000);
    let is_greeting = |bytes: &&Vec<u8>| bytes.len() > 13 && bytes[0] == 22 && bytes[13] == 1;
    let greeting = wire.from_browser.iter().find(is_greeting).unwrap().clone();
    // A leg that is sent greetings by a browser that nominates nothing.
    let mut wire = Wire::new();
    wire.answer(A);
    for _ in 0..1_000 {
        wire.now += STEP;
        wire.call.handle_browser(wire.now, (wire.peer_addr, true), &greeting);
        assert!(wire.call.poll_output(wire.now).is_none(), "there is nowhere to answer to");
    }
    assert!(wire.call.waiting_records() > 0 && wire.call.waiting_records() < 64);
}

/// Lets time pass as a worker does; the most that the call was asked at one moment, 100 at most.
fn asked_at_once(wire: &mut Wire, ms: u64) -> usize {
    let end = wire.now + Duration::from_millis(ms);
    let mut most = 0;
    while wire.now < end {
        wire.now += STEP;
        let mut asked = 0;
        while asked < 100 && wire.call.poll_timeout().is_some_and(|at| at <= wire.now) {
            wire.call.handle_timeout(wire.now);
            while wire.call.poll_output(wire.now).is_some() {}
            asked += 1;
        }
        most = most.max(asked);
    }
    most
}

#[test]
fn nothing_stays_due_however_a_leg_ended() {
    let mut closed_by_the_page = Wire::new();
    closed_by_the_page.connect(A);
    closed_by_the_page.peer.close(closed_by_the_page.now);
    closed_by_the_page.run(50);
    let mut closed_by_us = Wire::new();
    closed_by_us.connect(A);
    closed_by_us.call.close(closed_by_us.now);
    let mut never_came = Wire::new();
    never_came.answer(A);
    let mut awaited = Wire::with(|offer| offer.replace("a=setup:actpass", "a=setup:passive"));
    awaited.answer(A);
    for wire in [&mut closed_by_the_page, &mut closed_by_us, &mut never_came, &mut awaited] {
        assert!(asked_at_once(wire, 60_000) < 5);
    }
}

#[test]
fn a_forged_check_is_no_sign_of_life() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.trunk.sending = false;
    let check = forged_check(&wire);
    wire.now += Duration::from_secs(10);
    wire.call.handle_browser(wire.now, (wire.peer_addr, true), &check);
    let age = wire.call.stats(wire.now).browser.last_packet_age;
    assert!(age >= Some(Duration::from_secs(10)), "{age:?}");
}

#[test]
fn a_browser_that_moves_is_followed_by_its_media() {
    let mut wire = Wire::new();
    wire.connect(A);
    // Another path, proven before, of which no check says that it is the one now.
    wire.peer_addr = addr("192.0.2.99:4444");
    wire.run(100);
    let before = wire.peer.stats().packets_received;
    wire.run(1_000);
    assert!(wire.peer.stats().packets_received > before + 40, "{:?}", wire.peer.stats());
}

#[test]
fn only_what_was_offered_is_answered() {
    let group = |offer: String| {
        let at = offer.find("a=group:BUNDLE ").unwrap();
        let end = at + offer[at..].find("\r\n").unwrap();
        format!("{}a=group:BUNDLE other{}", &offer[..at], &offer[end..])
    };
    assert!(!text(&Wire::with(group).answer(A)).contains("BUNDLE"));

    let mut wire = Wire::new();
    wire.connect(A);
    let offer = wire.peer.reoffer(wire.now, Direction::SendRecv, true).unwrap();
    let offer = text(&offer).replace(":126 telephone-event/8000", ":101 telephone-event/8000");
    let offer = offer.replacen(" 126\r\n", " 101\r\n", 1).replacen(" 126 ", " 101 ", 1);
    let answer = wire.call.reoffer_from_browser(wire.now, offer.as_bytes()).unwrap();
    assert_eq!(Sdp::parse(&answer).unwrap().audio().unwrap().formats, ["8", "101"]);
}

#[test]
fn what_is_not_sealed_by_the_browser_is_neither_heard_nor_a_sign_of_life() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.peer.set_silent(true);
    wire.run(200);
    let (before, heard) = (wire.call.stats(wire.now).browser, wire.trunk.heard.len());
    let forged = Packet {
        marker: false,
        payload_type: 8,
        sequence: 9,
        timestamp: 1,
        ssrc: 77,
        payload: &[1; 176],
    };
    wire.now += Duration::from_secs(1);
    wire.call.handle_browser(wire.now, (wire.peer_addr, true), &forged.to_bytes());
    wire.call.handle_browser(wire.now, (wire.peer_addr, true), &rtcp::goodbye(77));
    let after = wire.call.stats(wire.now).browser;
    assert_eq!(after.packets_received, before.packets_received);
    assert!(after.last_packet_age >= Some(Duration::from_secs(1)), "{after:?}");
    assert_eq!(wire.trunk.heard.len(), heard);
}

#[test]
fn a_browser_that_waits_for_the_handshake_is_greeted() {
    let mut wire = Wire::with(|offer| offer.replace("a=setup:actpass", "a=setup:passive"));
    let answer = wire.answer(A);
    assert_eq!(Sdp::parse(&answer).unwrap().audio().unwrap().setup, Some("active"));
    wire.peer.accept_answer(wire.now, &answer).unwrap();
    wire.call.talking(wire.now);
    wire.run(1_500);
    assert!(wire.peer.stats().packets_received > 20 && wire.trunk.heard.len() > 20);
}

#[test]
fn another_certificate_or_mid_is_another_browser() {
    let mut wire = Wire::new();
    wire.connect(A);
    let offer = wire.peer.reoffer(wire.now, Direction::SendOnly, false).unwrap();
    let offer = text(&offer).to_owned();
    let at = offer.find("a=fingerprint:sha-256 ").unwrap() + 22;
    let flipped = if &offer[at..=at] == "0" { "1" } else { "0" };
    let stranger = format!("{}{flipped}{}", &offer[..at], &offer[at + 1..]);
    for changed in [stranger, offer.replace("a=mid:", "a=mid:x")] {
        assert_ne!(changed, offer);
        let refused = wire.call.reoffer_from_browser(wire.now, changed.as_bytes()).unwrap_err();
        assert_eq!(refused.sip_status(), 488);
    }
    let before = wire.peer.stats().packets_received;
    wire.run(500);
    assert!(wire.peer.stats().packets_received > before + 20, "the call goes on");
}

/// A binding request for our ufrag that nominates itself, by somebody without the password.
fn forged_check(wire: &Wire) -> Vec<u8> {
    let name = format!("{}:xxxx", wire.call.ufrag().unwrap());
    let mut check = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    check.extend([7; 12]);
    check.extend([0, 6]);
    check.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
    check.extend(name.as_bytes());
    check.resize(check.len().next_multiple_of(4), 0);
    check.extend([0, 0x25, 0, 0, 0, 0x24, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 8, 0, 20]);
    check.extend([1; 20]);
    let length = u16::try_from(check.len() - 20).unwrap();
    check[2..4].copy_from_slice(&length.to_be_bytes());
    check
}

#[test]
fn a_strangers_check_takes_nothing_away() {
    let mut wire = Wire::new();
    wire.connect(A);
    let (before, heard) = (wire.peer.stats().packets_received, wire.trunk.heard.len());
    let check = forged_check(&wire);
    for _ in 0..50 {
        wire.call.handle_browser(wire.now, (addr("198.18.0.1:5"), false), &check);
        wire.run(20);
    }
    let peer = wire.peer.stats();
    assert!(peer.packets_received > before + 40, "{peer:?}");
    assert!(wire.trunk.heard.len() > heard + 40);
}
