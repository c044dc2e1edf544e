//! Attempts to be read as somebody else, and to smuggle a line.

use bytes::Bytes;
use sautikit_sip::message::{Message, Method, Name, print};
use sautikit_sip::respond::respond;

use crate::{accept, refuse, request};

#[test]
fn an_address_in_a_display_name_is_nobody() {
    for from in [
        r#"From: "<sip:victim@gw>" <sip:asha@gw>;tag=1"#,
        r#"From: "\"<sip:victim@gw>" <sip:asha@gw>;tag=1"#,
        r#"From: "\\\"<sip:victim@gw>;tag=v" <sip:asha@gw>;tag=1"#,
        r#"From: "a, <sip:victim@gw>, b"<sip:asha@gw>;tag=1"#,
        r#"From: "victim@gw" <sip:asha@gw>;x="<sip:victim@gw>;tag=v";tag=1"#,
    ] {
        let message = accept(&request("INVITE", "sip:juma@gw", &[from]));
        assert_eq!(message.from().unwrap().uri.user, Some("asha"), "{from}");
        assert_eq!(message.from_tag(), Some("1"), "{from}");
    }
}

#[test]
fn two_readings_of_one_address_are_refused() {
    for from in [
        r#"From: "\\" <sip:victim@gw>" <sip:asha@gw>;tag=1"#,
        "From: <sip:victim@gw> <sip:asha@gw>;tag=1",
        "From: <sip:victim@gw>, <sip:asha@gw>;tag=1",
        "From: <sip:asha@gw>;tag=1;TAG=2",
        "From: sip:victim@gw <sip:asha@gw>;tag=1",
        "From: <sip:victim@gw@evil>;tag=1",
        "From: <sip:asha@gw>>;tag=1",
        "From: <<sip:asha@gw>;tag=1",
        "From: <sip:asha@gw\">;tag=1",
    ] {
        assert_eq!(refuse(&request("INVITE", "sip:juma@gw", &[from])).0, 400, "{from}");
    }
}

#[test]
fn line_breaks_and_control_characters_in_the_head_are_refused() {
    for from in [
        "From: \"a\0b\" <sip:asha@gw>;tag=1",
        "From: \"a\x07b\" <sip:asha@gw>;tag=1",
        "From: \"a\x7fb\" <sip:asha@gw>;tag=1",
        "From: <sip:as\0ha@gw>;tag=1",
        "From: \"a\rb\" <sip:asha@gw>;tag=1",
        "From: a\\\0b <sip:asha@gw>;tag=1",
        "Subject: \\\x01",
        "Reason: SIP\x0b;cause=200",
    ] {
        assert_eq!(refuse(&request("INVITE", "sip:juma@gw", &[from])).0, 400, "{from:?}");
    }
    let text = String::from_utf8(request("INVITE", "sip:juma@gw", &[]).to_vec()).unwrap();
    for torn in [
        text.replace("\r\nContact", "\nContact"),
        text.replace("\r\nContact", "\rContact"),
        text.replace("\r\nContact", "\n\rContact"),
        text.replace("Contact:", "Contact"),
        text.replace("Contact:", ": x\r\nContact:"),
        text.replace("Contact:", "Con tact:"),
        text.replace("Contact:", "Cont\u{e4}ct:"),
    ] {
        assert_eq!(refuse(&Bytes::from(torn.clone())).0, 400, "{torn:?}");
    }
    let mut latin = text.replace("Asha", "Ash?").into_bytes();
    latin.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xe1);
    assert_eq!(refuse(&Bytes::from(latin)).0, 400);
}

#[test]
fn nothing_that_came_in_can_break_a_line_on_its_way_out() {
    let folded = "From: \"x\r\n Evil: 1\" <sip:a%0d%0aEvil:2@gw>;tag=1";
    let message = accept(&request("INVITE", "sip:a%0d%0ab@gw", &[folded]));
    let display = message.from().unwrap().display().unwrap().into_owned();
    let user = message.from().unwrap().uri.user_unescaped().unwrap().into_owned();
    assert!(user.contains('\r'));
    let out = Message::request(Method::Invite, format!("sip:{user}@carrier"))
        .header(Name::From, format!("\"{display}\" <sip:{user}@gw>"))
        .header(Name::Reason, format!("SIP;text=\"{user}\0\""))
        .print();
    let answer = respond(&message, 400, &user, Some(&user), &[(Name::Warning, &user)], None);
    for bytes in [out, answer, print(&message)] {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(!text.contains('\0') && !text.replace("\r\n", "").contains(['\r', '\n']));
        assert!(text.lines().all(|line| !line.starts_with("Evil")), "{text}");
    }
}

#[test]
fn an_answer_repeats_no_more_than_it_must() {
    let (_, answer) = refuse(&request(
        "MESSAGE",
        "sip:gw",
        &["P-Asserted-Identity: <sip:victim@gw>", "Authorization: Bearer secret"],
    ));
    assert_eq!(answer.header(&Name::PAssertedIdentity), None);
    assert_eq!(answer.header(&Name::Authorization), None);
}
