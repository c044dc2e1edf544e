//! After the sections of RFC 4475: what is odd and right, what is wrong, and how.

use bytes::Bytes;
use sautikit_sip::message::{Method, Name, print};
use sautikit_sip::reader::{Framing, Read, read};
use sautikit_sip::uri::{Scheme, Uri};

use crate::{accept, is_dropped, refuse, request, wire};

fn status(bytes: &Bytes) -> u16 {
    refuse(bytes).0
}

// 3.1.1.1
#[test]
fn compact_names_folds_and_odd_spaces_are_one_message() {
    let message = accept(&wire(
        r#"
INVITE sip:juma@desk.example.com;mystery SIP/2.0
tO :
| sip:juma@desk.example.com ;   tag    = 771ab
f	:   "A. Wanjiru \\\""       <sip:asha@example.com>
|  ;
|  tag = q2w3
MaX-fOrWaRdS: 0068
I: folded.77@192.0.2.1
Content-Length   : 4
cseq: 0009
|  INVITE
V  : SIP  /   2.0
| /UDP
|    192.0.2.2;branch=oldstyle
s :
X-Strange: ;;,,;,;
Content-Type: text/plain
Route:
| <sip:edge.example.com;lr;a=b;c>
v:  SIP  / 2.0  / TCP     mill.example.com   ;
|  branch  =   z9hG4bKaa  ,
| SIP  /    2.0   / UDP  192.168.7.1   ; branch=
| z9hG4bKbb
m:"Say \"hi\"" <sip:asha@example.com> ; p =
|      v ;
|  r ; q = 0.33
"#,
        "bodyAND MORE",
    ));
    assert_eq!(message.uri(), Some("sip:juma@desk.example.com;mystery"));
    assert_eq!(message.to().unwrap().uri.user, Some("juma"));
    assert_eq!(message.to_tag(), Some("771ab"));
    assert_eq!(message.from().unwrap().display().unwrap(), "A. Wanjiru \\\"");
    assert_eq!(message.from_tag(), Some("q2w3"));
    assert_eq!(message.max_forwards(), 68);
    assert_eq!(message.cseq(), (9, Method::Invite));
    assert_eq!(message.call_id(), "folded.77@192.0.2.1");
    assert_eq!(message.header(&Name::Subject), Some(""));
    assert_eq!(message.header(&Name::parse("x-strange")), Some(";;,,;,;"));
    assert_eq!(message.values(&Name::Via).count(), 3);
    assert_eq!(message.branch(), Some("oldstyle"));
    let contact = message.contact().unwrap();
    assert_eq!(contact.display().unwrap(), "Say \"hi\"");
    assert_eq!((contact.param("p"), contact.param("q")), (Some("v"), Some("0.33")));
    assert_eq!(message.body, "body");
}

// 3.1.1.2
#[test]
fn every_character_that_a_token_may_hold_is_read() {
    let method = "*Odd-Method_9`.%that'~!+";
    let uri =
        "sip:1_odd.URI~(so-be!it)&isn't+it$/mad?,/;;*:&a+b=1,odd!*pa$s_too.(no'n)@example.com";
    let message = accept(&request(
        method,
        uri,
        &[
            "To: \"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f\" <sip:1_odd~@example.com>",
            "From: tok`en1~' t_2 <sip:asha@example.com>;_a`b'c~=d.e!f%g*h;tag=_tok`en",
            "Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~",
            "Call-ID: word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
        ],
    ));
    assert_eq!(message.method().unwrap().as_str(), method);
    let uri = Uri::parse(message.uri().unwrap()).unwrap();
    assert_eq!(
        (uri.host, uri.user.unwrap().len(), uri.password.unwrap().len()),
        ("example.com", 40, 27)
    );
    assert_eq!(message.from().unwrap().display().unwrap(), "tok`en1~' t_2");
    assert_eq!(message.from_tag(), Some("_tok`en"));
    assert_eq!(message.branch(), Some("z9hG4bK-.!%66*_+`'~"));
    // Escaped control characters are in the grammar, and never in our hands.
    assert_eq!(message.to().unwrap().display().unwrap(), "BEL:? NUL:? DEL:?");
    assert_eq!(status(&request(method, uri.as_str(), &[])), 405);
}

// 3.1.1.3, 3.1.1.4, 3.1.1.5
#[test]
fn escapes_are_kept_apart_from_what_they_stand_for() {
    let message = accept(&request(
        "REGISTER",
        "sip:gw.example.com",
        &[
            "To: sip:%75se%72@example.com",
            "From: <sip:I%20have%20spaces@example.net>;tag=9",
            "Contact: <sip:nul-%00@h.example.com>, <sip:%00%00@h.example.com>",
        ],
    ));
    assert_eq!(message.to().unwrap().uri.user_unescaped().unwrap(), "user");
    assert_eq!(message.from().unwrap().uri.user_unescaped().unwrap(), "I have spaces");
    let users: Vec<_> =
        message.contacts().map(|contact| contact.uri.user_unescaped().unwrap()).collect();
    assert_eq!(users, ["nul-\0", "\0\0"]);
    assert!(!print(&message).contains(&0));
    let inside = accept(&request("INVITE", "sip:sips%3Aasha%40example.com@example.net", &[]));
    let uri = Uri::parse(inside.uri().unwrap()).unwrap();
    assert_eq!((uri.host, uri.scheme), ("example.net", Scheme::Sip));
    // A method has no escapes: this is no REGISTER.
    let odd = accept(&request("RE%47IST%45R", "sip:gw.example.com", &[]));
    assert_ne!(odd.method(), Some(&Method::Register));
    assert_eq!(status(&request("RE%47IST%45R", "sip:gw.example.com", &[])), 405);
}

// 3.1.1.6, 3.1.1.9
#[test]
fn a_tight_display_name_and_a_semicolon_in_the_user_are_read() {
    let message = accept(&request(
        "OPTIONS",
        "sip:asha;part=u%40example.net@example.com",
        &["From: asha<sip:asha@example.com>;tag=323"],
    ));
    assert_eq!(message.from().unwrap().display().unwrap(), "asha");
    let uri = Uri::parse(message.uri().unwrap()).unwrap();
    assert_eq!(uri.user, Some("asha;part=u%40example.net"));
}

// 3.1.1.7
#[test]
fn long_values_within_the_limits_are_read_and_beyond_them_answered_513() {
    let long = "long".repeat(60);
    let via = |n: usize| format!("SIP/2.0/TCP p{n}.example.com;branch=z9hG4bK{n}{long}");
    let lines = |count: usize| {
        (0..count).map(|n| format!("Via: {}", via(n))).collect::<Vec<_>>().join("\n")
    };
    let head = |vias: &str, extra: &str| {
        format!(
            "INVITE sip:{long}@{long}.example.com SIP/2.0\n{vias}\nFrom: \"{long}\" <sip:a@b>;tag={long}\n\
             To: <sip:c@d>\nCall-ID: {long}\nCSeq: 1 INVITE\nUnknown-{long}: {long}{extra}"
        )
    };
    let message = accept(&wire(&head(&lines(34), ""), ""));
    assert_eq!(message.values(&Name::Via).count(), 34);
    assert_eq!(message.from_tag(), Some(long.as_str()));
    assert_eq!(accept(&wire(&head(&lines(70), ""), "")).values(&Name::Via).count(), 70);
    assert_eq!(status(&wire(&head(&lines(71), ""), "")), 513);
    let one_line = (0..71).map(|n| format!("SIP/2.0/TCP p{n}")).collect::<Vec<_>>().join(",");
    assert_eq!(status(&wire(&head(&format!("Via: {one_line}"), ""), "")), 513);
    let subject = |length| format!("\nSubject: {}", "x".repeat(length));
    accept(&wire(&head(&lines(1), &subject(8000)), ""));
    assert_eq!(status(&wire(&head(&lines(1), &subject(8192)), "")), 513);
    let accept_lines = |count| "\nAccept: text/plain".repeat(count);
    accept(&wire(&head(&lines(1), &accept_lines(94)), ""));
    assert_eq!(status(&wire(&head(&lines(1), &accept_lines(95)), "")), 513);
    // The first thing that is wrong is what is answered, and nothing behind the limit is looked at.
    assert_eq!(status(&wire(&head(&lines(1), &"\n:".repeat(9000)), "")), 400);
    let folded = format!("\nSubject: {}", "x\n y".repeat(5000));
    assert_eq!(status(&wire(&head(&lines(1), &folded), "")), 513);
}

// 3.1.1.8
#[test]
fn what_follows_the_message_is_never_read() {
    let first = request("REGISTER", "sip:gw.example.com", &["Content-Length: 0"]);
    let second = request("INVITE", "sip:juma@gw.example.com", &[]);
    let both = Bytes::from([first, second].concat());
    for framing in [Framing::Datagram, Framing::WebSocket] {
        let Ok(Read::Message(message)) = read(&both, framing) else { panic!("refused") };
        assert_eq!(message.method(), Some(&Method::Register));
        assert!(message.body.is_empty());
    }
}

// 3.1.1.10
#[test]
fn any_transport_may_stand_in_a_via() {
    let message = accept(&request(
        "OPTIONS",
        "sip:gw.example.com",
        &["Via: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/SCTP b, SIP/2.0/TLS c, SIP/2.0/UNKNOWN d"],
    ));
    assert_eq!(message.top_via().unwrap().transport, "UDP");
    assert_eq!(message.values(&Name::Via).nth(3), Some("SIP/2.0/UNKNOWN d"));
}

// 3.1.1.11
#[test]
fn a_body_may_hold_any_byte() {
    let body = [b"--b\r\n\r\n\0\x01\xff\r\n\n--b--".as_slice(), &[0, 255, 13, 10, 13, 10]].concat();
    let head = request(
        "INFO",
        "sip:gw.example.com",
        &["Content-Type: multipart/mixed;boundary=b", &format!("Content-Length: {}", body.len())],
    );
    let message = accept(&Bytes::from([head, Bytes::from(body.clone())].concat()));
    assert_eq!(message.body, body);
    assert_eq!(message.content_type().as_deref(), Some("multipart/mixed"));
}

const RESPONSE: &str = "
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: noreason.asndj203insdf99223ndf
CSeq: 35 INVITE
From: <sip:asha@example.com>;tag=39ansfi3
To: <sip:juma@example.com>;tag=902jndnke3
Content-Length: 0";

fn response(status_line: &str) -> Bytes {
    wire(&format!("{status_line}{RESPONSE}"), "")
}

// 3.1.1.12, 3.1.1.13
#[test]
fn any_reason_phrase_is_one() {
    let reason = "= 2**3 * 5**2 но сто девяносто девять - простое";
    assert_eq!(accept(&response(&format!("SIP/2.0 200 {reason}"))).reason(), reason);
    assert_eq!(accept(&response("SIP/2.0 100 ")).reason(), "");
    assert_eq!(accept(&response("SIP/2.0 100")).status(), Some(100));
    // Latin-1 from a carrier must not cost the call.
    let text = response("SIP/2.0 486 Occup?");
    let bytes: Vec<u8> = text.iter().map(|&b| if b == b'?' { 0xe9 } else { b }).collect();
    assert_eq!(accept(&Bytes::from(bytes)).reason(), "Occup\u{fffd}");
}

// 3.1.2.1, 3.1.2.6, 3.1.2.13, 3.1.2.14, 3.1.2.15
#[test]
fn torn_addresses_are_answered_400() {
    for change in [
        "Via: SIP/2.0/UDP 192.0.2.15;;,;,,",
        "Via: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK1,",
        "Via: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK1, SIP/2.0/UDP b;;,;,,",
        "Contact: \"Joe\" <sip:joe@example.org>;;;;",
        "Contact: <sip:joe@example.org>,,",
        "To: \"Juma <sip:juma@example.com>",
        "To: \"Watson, Thomas\" < sip:t.watson@example.org >",
        "To: Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
        "To: <sip:juma@example.com",
        "To: <sip:juma@example.com>;tag=1;tag=2",
        "To: <sip:juma@example.com>;tag=",
        "To: <sip:juma@example.com>;tag",
        "From: <sip:asha@example.com>;tag=1, <sip:b@example.com>",
        "Contact: sip:asha@example.com?Route=%3Csip:sip.example.com%3E",
        "Route: edge.example.com",
        "Record-Route: <sip:a;lr>, nonsense",
        "Contact: *",
        "Call-ID: a b",
        "Call-ID:",
        "CSeq: 7INVITE",
        "CSeq: INVITE",
        "CSeq: -7 INVITE",
    ] {
        assert_eq!(
            status(&request("INVITE", "sip:juma@gw.example.com", &[change])),
            400,
            "{change}"
        );
    }
}

// 3.1.2.2, 3.1.2.3, 3.3.9
#[test]
fn a_length_that_lies_is_answered_400() {
    for value in ["9999", "1", "-999", "+1", "1e2", "4294967296", "99999999999", "", "0 0", "0x1"] {
        let line = format!("Content-Length: {value}");
        let bytes = request("INVITE", "sip:juma@gw.example.com", &[&line]);
        let expected = if matches!(value, "4294967296") { 513 } else { 400 };
        assert_eq!(status(&bytes), expected, "{value}");
    }
    let text = String::from_utf8(request("INFO", "sip:gw.example.com", &[]).to_vec()).unwrap();
    let twice = text.replace("CSeq", "l: 0\r\nContent-Length: 0\r\nCSeq");
    assert_eq!(status(&Bytes::from(twice)), 400);
    let torn = response("SIP/2.0 200 OK").to_vec();
    let torn = String::from_utf8(torn).unwrap().replace("Length: 0", "Length: 5");
    assert!(is_dropped(&Bytes::from(torn)));
}

// 3.1.2.4, 3.1.2.5, 3.1.2.19
#[test]
fn numbers_out_of_range_are_refused_and_in_responses_dropped() {
    for change in [
        "CSeq: 36893488147419103232 REGISTER",
        "CSeq: 4294967295 REGISTER",
        "CSeq: 2147483648 REGISTER",
        "Max-Forwards: 300",
        "Max-Forwards: 256",
        "Max-Forwards: -1",
        "Max-Forwards: seventy",
    ] {
        assert_eq!(status(&request("REGISTER", "sip:gw.example.com", &[change])), 400, "{change}");
    }
    accept(&request("REGISTER", "sip:gw.example.com", &["CSeq: 2147483647 REGISTER"]));
    let large = String::from_utf8(response("SIP/2.0 503 Service Unavailable").to_vec()).unwrap();
    assert!(is_dropped(&Bytes::from(large.replace("35 INVITE", "9292394834772304023312 OPTIONS"))));
    for line in ["SIP/2.0 4294967301 better not", "SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 20 x"] {
        assert!(is_dropped(&response(line)), "{line}");
    }
    assert!(is_dropped(&response("SIP/7.0 200 OK")));
}

// 3.1.2.7 to 3.1.2.11
#[test]
fn a_request_line_that_two_parsers_read_differently_is_answered_400() {
    for line in [
        "INVITE <sip:juma@example.com> SIP/2.0",
        "INVITE sip:juma@example.com; lr SIP/2.0",
        "INVITE  sip:juma@example.com SIP/2.0",
        "INVITE sip:juma@example.com  SIP/2.0",
        "INVITE sip:juma@example.com SIP/2.0  ",
        "INVITE sip:juma@example.com\tSIP/2.0",
        "INVITE sip:juma@example.com?Route=%3Csip:evil.example.com%3E SIP/2.0",
        "INVITE sip:juma@example.com",
        "INVITE sip:juma@example.com HTTP/1.1",
        "INVITE  SIP/2.0",
        "INVITE juma@example.com SIP/2.0",
        "INVITE sip:@example.com SIP/2.0",
        "INVITE sip:2001:db8::10 SIP/2.0",
        "INVITE sip:a@b@example.com SIP/2.0",
    ] {
        let plain = request("INVITE", "sip:x", &[]);
        let text = String::from_utf8(plain.to_vec()).unwrap();
        let bytes = Bytes::from(text.replace("INVITE sip:x SIP/2.0", line));
        assert_eq!(status(&bytes), 400, "{line}");
    }
}

// 3.1.2.12
#[test]
fn a_date_in_another_zone_disturbs_nobody() {
    accept(&request("INVITE", "sip:gw.example.com", &["Date: Fri, 01 Jan 2010 16:00:00 EST"]));
}

// 3.1.2.16
#[test]
fn another_version_is_answered_505() {
    for version in ["SIP/7.0", "SIP/3.0", "SIP/2.1"] {
        let text =
            String::from_utf8(request("OPTIONS", "sip:gw.example.com", &[]).to_vec()).unwrap();
        assert_eq!(
            status(&Bytes::from(text.replace("com SIP/2.0", &format!("com {version}")))),
            505
        );
    }
}

// 3.1.2.17, 3.1.2.18
#[test]
fn the_cseq_names_the_method() {
    assert_eq!(status(&request("OPTIONS", "sip:gw.example.com", &["CSeq: 8 INVITE"])), 400);
    assert_eq!(status(&request("NEWMETHOD", "sip:gw.example.com", &["CSeq: 8 INVITE"])), 400);
    assert_eq!(status(&request("INVITE", "sip:gw.example.com", &["CSeq: 8 invite"])), 400);
}

// 3.2.1
#[test]
fn a_branch_of_nothing_but_its_cookie_is_read() {
    let message = accept(&request(
        "OPTIONS",
        "sip:gw.example.com",
        &["Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"],
    ));
    assert_eq!(message.branch(), Some("z9hG4bK"));
}

// 3.3.1
#[test]
fn what_is_missing_is_named() {
    for name in ["From", "To", "Call-ID"] {
        let text =
            String::from_utf8(request("INVITE", "sip:gw.example.com", &[]).to_vec()).unwrap();
        let lines: Vec<&str> =
            text.split("\r\n").filter(|line| !line.starts_with(&format!("{name}:"))).collect();
        let bytes = Bytes::from(lines.join("\r\n"));
        let Err(error) = read(&bytes, Framing::Datagram) else { panic!("accepted without {name}") };
        assert_eq!(error.reason(), format!("Missing {name}"));
    }
    for name in ["Via", "CSeq"] {
        let text =
            String::from_utf8(request("INVITE", "sip:gw.example.com", &[]).to_vec()).unwrap();
        let lines: Vec<&str> =
            text.split("\r\n").filter(|line| !line.starts_with(&format!("{name}:"))).collect();
        assert!(is_dropped(&Bytes::from(lines.join("\r\n"))), "{name}");
    }
}

// 3.3.2, 3.3.3, 3.3.4
#[test]
fn an_unknown_scheme_is_416_in_the_request_uri_and_allowed_elsewhere() {
    for uri in ["nobodyKnowsThis:opaque", "soap.beep://192.0.2.103:3002", "urn:service:sos"] {
        assert_eq!(status(&request("OPTIONS", uri, &[])), 416, "{uri}");
    }
    let message = accept(&request(
        "REGISTER",
        "sip:gw.example.com",
        &[
            "To: isbn:2983792873",
            "From: <http://www.example.com/?a,b>;tag=3234",
            "Contact: <name:John_Smith>",
        ],
    ));
    assert_eq!(message.to().unwrap().uri.scheme, Scheme::Other("isbn"));
    assert!(matches!(
        read(&request("INVITE", "tel:+254722000001", &[]), Framing::WebSocket),
        Ok(Read::Message(_))
    ));
}

// 3.3.5
#[test]
fn an_unknown_extension_is_answered_420_by_name() {
    let bytes = request(
        "OPTIONS",
        "sip:gw.example.com",
        &["Require: timer, mystery", "Proxy-Require: privacy,riddle , TIMER"],
    );
    let (status, answer) = refuse(&bytes);
    assert_eq!(status, 420);
    assert_eq!(answer.header(&Name::Unsupported), Some("mystery, riddle"));
    assert_eq!(answer.header(&Name::XSautikitError), Some("request.extension"));
    accept(&request("INVITE", "sip:gw.example.com", &["Require: 100rel"]));
    let replacing = request("INVITE", "sip:gw.example.com", &["Require: replaces"]);
    assert_eq!(
        refuse(&replacing).0,
        420,
        "a call beside the one it replaces would be charged twice"
    );
    for method in ["ACK", "CANCEL"] {
        let bytes = request(method, "sip:gw.example.com", &["Require: mystery"]);
        assert!(matches!(read(&bytes, Framing::Datagram), Ok(Read::Message(_))), "{method}");
    }
}

// 3.3.7
#[test]
fn an_unknown_authorization_is_kept_for_whoever_judges_it() {
    let line = "Authorization: NoOneKnowsThisScheme opaque-data=here";
    let message = accept(&request("REGISTER", "sip:gw.example.com", &[line]));
    assert!(message.header(&Name::Authorization).unwrap().starts_with("NoOne"));
}

// 3.3.8
#[test]
fn what_may_stand_once_is_refused_twice_and_answered_once() {
    let text = String::from_utf8(request("INVITE", "sip:gw.example.com", &[]).to_vec()).unwrap();
    for line in [
        "CSeq: 8 INVITE",
        "Call-ID: other@192.0.2.4",
        "i: other@192.0.2.4",
        "To: <sip:other@example.com>",
        "f: <sip:victim@example.com>;tag=v",
        "Max-Forwards: 5",
    ] {
        let twice = text.replace("Contact:", &format!("{line}\r\nContact:"));
        let (status, answer) = refuse(&Bytes::from(twice));
        assert_eq!(status, 400, "{line}");
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            assert_eq!(answer.headers_of(&name).count(), 1);
        }
        assert_eq!(answer.call_id(), "plain@192.0.2.4");
    }
}

// 3.3.11
#[test]
fn no_hops_left_ends_a_new_call_and_nothing_else() {
    let spent = "Max-Forwards: 0";
    assert_eq!(status(&request("INVITE", "sip:juma@gw.example.com", &[spent])), 483);
    let within = ["Max-Forwards: 0", "To: <sip:juma@example.com>;tag=7"];
    for bytes in [
        request("OPTIONS", "sip:gw.example.com", &[spent]),
        request("INVITE", "sip:gw.example.com", &within),
        request("BYE", "sip:gw.example.com", &within),
    ] {
        assert!(matches!(read(&bytes, Framing::Datagram), Ok(Read::Message(_))));
    }
}

// 3.3.12, 3.3.13, 3.3.14
#[test]
fn brackets_decide_whose_parameter_it_is() {
    let contact = |line: &str| {
        let message = accept(&request("REGISTER", "sip:gw.example.com", &[line]));
        let contact = message.contact().unwrap();
        (contact.params.has("odd"), contact.uri.params.has("odd"), contact.uri.headers.is_some())
    };
    assert_eq!(contact("Contact: sip:+19725552222@gw1.example.net;odd"), (true, false, false));
    assert_eq!(contact("Contact: <sip:+19725552222@gw1.example.net;odd>"), (false, true, false));
    assert_eq!(contact("Contact: <sip:a@b.example.com?Route=%3Csip:c%3E>"), (false, false, true));
}

// 3.4.1
#[test]
fn a_request_of_the_old_rfc_is_read() {
    let message = accept(&wire(
        "INVITE sip:juma@example.com SIP/2.0\nVia: SIP/2.0/UDP old.example.com\n\
         From: <sip:asha@example.com>\nTo: <sip:juma@example.com>\n\
         Call-ID: 1717@old.example.com\nCSeq: 56 INVITE",
        "v=0\r\n",
    ));
    assert_eq!((message.from_tag(), message.branch()), (None, None));
    assert_eq!(message.max_forwards(), 70);
    assert_eq!(message.sdp().unwrap(), "v=0\r\n");
}

#[test]
fn methods_that_are_not_served_are_answered_405_before_their_body_is_looked_at() {
    for method in ["MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "invite", "GET"] {
        let bytes = request(method, "sip:gw.example.com", &["Content-Length: 999"]);
        let (status, answer) = refuse(&bytes);
        assert_eq!(status, 405, "{method}");
        assert!(answer.lists(&Name::Allow, "INVITE") && !answer.lists(&Name::Allow, "MESSAGE"));
    }
}

#[test]
fn an_ack_is_never_answered() {
    assert!(is_dropped(&request("ACK", "sip:gw.example.com", &["CSeq: 8 INVITE"])));
    assert!(is_dropped(&request("ACK", "urn:x", &[])));
}
