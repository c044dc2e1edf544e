//! The seeds of the fuzzers: one message of our own after each section of RFC 4475 that has one, and
//! what the gateway makes of it as it comes in by datagram.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use sautikit_sip::message::{Message, Method, Name};
use sautikit_sip::reader::{Framing, Read, ReadError, read_any, read_datagram};
use sautikit_sip::uri::Uri;

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// A leg or a session sees it.
    Read,
    /// Answered without state.
    Refused(u16),
    /// Nobody is answered.
    Dropped,
}

use Verdict::{Dropped, Read as Taken, Refused};

/// Section, verdict, and what the section leaves to us.
const SECTIONS: [(&str, Verdict, &str); 49] = [
    ("3.1.1.1-wsinv", Taken, "odd spaces, folds, compact names"),
    ("3.1.1.2-intmeth", Refused(405), "well-formed, of a method that nobody serves"),
    ("3.1.1.3-esc01", Taken, "escapes stay in the user part that they are in"),
    ("3.1.1.4-escnull", Taken, "an escaped NUL is two different users"),
    ("3.1.1.5-esc02", Refused(405), "no escapes in a method: this is no REGISTER"),
    ("3.1.1.6-lwsdisp", Taken, "no space before the angle bracket"),
    ("3.1.1.7-longreq", Taken, "long, and within the limits"),
    ("3.1.1.8-dblreq", Taken, "the second message is never read"),
    ("3.1.1.9-semiuri", Taken, "a semicolon in the user part"),
    ("3.1.1.10-transports", Taken, "any token is a transport"),
    ("3.1.1.11-mpart01", Taken, "a body of any bytes"),
    ("3.1.1.12-unreason", Taken, "a reason phrase beyond ASCII"),
    ("3.1.1.13-noreason", Taken, "no reason phrase"),
    ("3.1.2.1-badinv01", Refused(400), "empty parameters"),
    ("3.1.2.2-clerr", Refused(400), "a length beyond the datagram"),
    ("3.1.2.3-ncl", Refused(400), "a negative length"),
    ("3.1.2.4-scalar02", Refused(400), "numbers out of range"),
    ("3.1.2.5-scalarlg", Dropped, "the same in a response"),
    ("3.1.2.6-quotbal", Refused(400), "an open quote"),
    ("3.1.2.7-ltgtruri", Refused(400), "a Request-URI in brackets"),
    ("3.1.2.8-lwsruri", Refused(400), "a space in the Request-URI"),
    ("3.1.2.9-lwsstart", Refused(400), "two spaces in the start line"),
    ("3.1.2.10-trws", Refused(400), "spaces behind the start line"),
    ("3.1.2.11-escruri", Refused(400), "headers in the Request-URI"),
    ("3.1.2.12-baddate", Taken, "a Date of another zone, which nobody asks for"),
    ("3.1.2.13-regbadct", Refused(400), "a question mark without brackets"),
    ("3.1.2.14-badaspec", Refused(400), "spaces inside of the brackets"),
    ("3.1.2.15-baddn", Refused(400), "a comma in a name without quotes"),
    ("3.1.2.16-badvers", Refused(505), "SIP/7.0"),
    ("3.1.2.17-mismatch01", Refused(400), "CSeq of another method"),
    ("3.1.2.18-mismatch02", Refused(400), "the same with an unknown method"),
    ("3.1.2.19-bigcode", Dropped, "a status beyond 699"),
    ("3.2.1-badbranch", Taken, "a branch of its cookie alone: a leg tells it by its CSeq too"),
    ("3.3.1-insuf", Refused(400), "no To, From or Call-ID"),
    ("3.3.2-unkscm", Refused(416), "an unknown scheme"),
    ("3.3.3-novelsc", Refused(416), "a scheme of a good URI that is none of ours"),
    ("3.3.4-unksm2", Taken, "the same in To, From and Contact"),
    ("3.3.5-bext01", Refused(420), "unknown extensions"),
    ("3.3.6-invut", Taken, "a body that is no SDP: an INVITE without an offer"),
    ("3.3.7-regaut01", Taken, "an unknown scheme is the session's to refuse"),
    ("3.3.8-multi01", Refused(400), "headers twice that may stand once"),
    ("3.3.9-mcl01", Refused(400), "two lengths"),
    ("3.3.10-bcast", Taken, "a second Via: no leg takes it for its own"),
    ("3.3.11-zeromf", Taken, "it ends here, so it needs no hop"),
    ("3.3.12-cparam01", Taken, "the parameter is the Contact's"),
    ("3.3.13-cparam02", Taken, "the parameter is the URI's"),
    ("3.3.14-regescrt", Taken, "headers in a Contact"),
    ("3.3.15-sdp01", Taken, "an Accept without SDP does not undo the offer"),
    ("3.4.1-inv2543", Taken, "no branch, no tag, no length"),
];

/// Messages at a limit and one beyond it.
const LIMITS: [(&str, Verdict, &str); 4] = [
    ("limit-100-headers", Taken, "as many as there may be"),
    ("limit-101-headers", Refused(513), "one more"),
    ("limit-70-vias", Taken, "as many as there may be"),
    ("limit-71-vias", Refused(513), "one more"),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/reader")
}

fn seed(name: &str) -> Bytes {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

/// The message, whether it is served or not.
fn message(name: &str) -> Message {
    match read_any(&seed(name), Framing::Datagram) {
        Ok(Read::Message(message)) => message,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_section_gets_its_verdict() {
    for (name, expected, why) in SECTIONS.into_iter().chain(LIMITS) {
        let result = read_datagram(&seed(name), "192.0.2.99:5060".parse().unwrap());
        let verdict = match &result {
            Ok(Read::Message(_)) => Taken,
            Err(ReadError::Answer { status, .. }) => Refused(*status),
            Err(ReadError::Drop { .. }) => Dropped,
            Ok(Read::KeepAlive(_)) => panic!("{name} is no keep-alive"),
        };
        assert_eq!(verdict, expected, "{name} ({why}): {result:?}");
    }
}

#[test]
fn every_seed_has_its_section() {
    let known: BTreeSet<String> =
        SECTIONS.iter().chain(&LIMITS).map(|(name, ..)| (*name).to_owned()).collect();
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let files: BTreeSet<String> = files.map(|name| name.to_string_lossy().into_owned()).collect();
    assert_eq!(files, known);
}

#[test]
fn what_the_sections_warn_of_is_read_as_they_say() {
    let odd = message("3.1.1.1-wsinv");
    assert_eq!((odd.cseq(), odd.max_forwards()), ((9, Method::Invite), 68));
    assert_eq!((odd.from_tag(), odd.to_tag()), (Some("q2w3"), Some("771ab")));
    assert_eq!(odd.values(&Name::Via).count(), 3);
    assert!(odd.sdp().is_some());
    let users = message("3.1.1.4-escnull");
    let users: BTreeSet<_> = users.contacts().filter_map(|it| it.uri.user).collect();
    assert_eq!(users.len(), 2);
    let uri = message("3.1.1.3-esc01");
    let uri = Uri::parse(uri.uri().unwrap()).unwrap();
    assert_eq!((uri.host, uri.user), ("gw.example.com", Some("sips%3Ajuma%40example.com")));
    let escaped = message("3.1.1.5-esc02");
    assert_eq!(escaped.contacts().count(), 2, "an escaped header name is another header");
    let first = message("3.1.1.8-dblreq");
    assert_eq!((first.method(), first.body.len()), (Some(&Method::Register), 0));
    let binary = message("3.1.1.11-mpart01");
    assert!(binary.body.contains(&0) && binary.body.ends_with(b"--b0undary-gw-11--"));
    assert_eq!(message("3.3.6-invut").sdp(), None);
    assert_eq!(message("3.3.10-bcast").values(&Name::Via).count(), 2);
    let contact = |name| {
        let message = message(name);
        let contact = message.contact().unwrap();
        (contact.params.has("unknownparam"), contact.uri.params.has("unknownparam"))
    };
    assert_eq!(contact("3.3.12-cparam01"), (true, false));
    assert_eq!(contact("3.3.13-cparam02"), (false, true));
    let old = message("3.4.1-inv2543");
    assert_eq!((old.from_tag(), old.branch(), old.max_forwards()), (None, None, 70));
}
