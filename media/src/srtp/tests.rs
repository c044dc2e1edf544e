use super::*;

/// Two ends of a connection.
fn pair(profile: Profile) -> (Srtp, Srtp) {
    let length = match profile {
        Profile::Aes128CmSha1_80 => 60,
        Profile::AeadAes128Gcm => 56,
        Profile::AeadAes256Gcm => 88,
    };
    let end = |client| {
        let material = (0..).take(length).collect();
        Srtp::new(&Keys { profile, material, client }).unwrap()
    };
    (end(true), end(false))
}

const PROFILES: [Profile; 3] =
    [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm];

fn packet(sequence: u16, ssrc: u32) -> Packet<'static> {
    Packet { marker: false, payload_type: 8, sequence, timestamp: 1, ssrc, payload: b"payload" }
}

/// A packet as an index of a stream has it.
fn sealed(srtp: &mut Srtp, index: u64) -> Vec<u8> {
    let [low, high, ..] = index.to_le_bytes();
    srtp.seal(index, &packet(u16::from_le_bytes([low, high]), 7)).unwrap()
}

#[test]
fn what_one_end_seals_the_other_opens_over_the_end_of_16_bits() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile);
        for index in 65_000..200_000_u64 {
            if index % 97 == 0 {
                continue;
            }
            let bytes = sealed(&mut client, index);
            let opened = server.open(&bytes).unwrap();
            assert_eq!((opened.ssrc, opened.payload), (7, &b"payload"[..]));
        }
        let back = server.seal(1, &packet(1, 8)).unwrap();
        assert_eq!(client.open(&back).unwrap().payload, b"payload");
        assert_eq!(server.open(&back).unwrap_err(), Refused::Forged, "our own packet, sent back");
    }
}

#[test]
fn packets_out_of_order_are_opened_once() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile);
        let packets: Vec<_> = (65_530..65_545).map(|index| sealed(&mut client, index)).collect();
        for at in [0, 8, 3, 14, 1, 13, 7] {
            assert!(server.open(&packets[at]).is_ok(), "{at}");
        }
        for at in [0, 8, 3, 14, 1, 13, 7] {
            assert_eq!(server.open(&packets[at]).unwrap_err(), Refused::Replayed, "{at}");
        }
        assert!(server.open(&packets[2]).is_ok());
    }
}

#[test]
fn no_number_seals_two_packets() {
    let (mut client, _) = pair(Profile::AeadAes256Gcm);
    assert!(client.seal(500, &packet(500, 7)).is_some());
    assert!(client.seal(502, &packet(502, 7)).is_some());
    assert!(client.seal(501, &packet(501, 7)).is_some(), "a late one has its place");
    for used in [500, 501, 502, 400] {
        assert_eq!(client.seal(used, &packet(1, 7)), None, "{used}");
    }
}

#[test]
fn a_forged_packet_leaves_no_trace() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile);
        // Before any real one: neither a stream of its own, nor a start of another.
        for ssrc in 0..1_000 {
            let mut forged = packet(60_000, ssrc).to_bytes();
            forged.extend([0; 30]);
            assert_eq!(server.open(&forged).unwrap_err(), Refused::Forged);
        }
        let first = sealed(&mut client, 30);
        assert!(server.open(&first).is_ok());
        let mut ahead = packet(20_000, 7).to_bytes();
        ahead.extend([0; 30]);
        assert_eq!(server.open(&ahead).unwrap_err(), Refused::Forged);
        assert!(server.open(&sealed(&mut client, 31)).is_ok());
    }
}

#[test]
fn a_browser_may_start_sixteen_streams() {
    let (_, mut server) = pair(Profile::AeadAes128Gcm);
    for ssrc in 100..118 {
        let (mut client, _) = pair(Profile::AeadAes128Gcm);
        let bytes = client.seal(1, &packet(1, ssrc)).unwrap();
        let opened = server.open(&bytes).map(|packet| packet.ssrc);
        let expected = if ssrc < 116 { Ok(ssrc) } else { Err(Refused::Stream) };
        assert_eq!(opened, expected);
    }
}

#[test]
fn reports_are_opened_once_and_never_in_clear() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile);
        let plain = crate::rtcp::goodbye(7);
        let first = client.seal_control(plain.clone()).unwrap();
        let second = client.seal_control(plain.clone()).unwrap();
        assert_ne!(first, second);
        assert_eq!(server.open_control(&second).unwrap(), plain);
        assert_eq!(server.open_control(&first).unwrap(), plain);
        assert_eq!(server.open_control(&first).unwrap_err(), Refused::Replayed);
        assert_eq!(client.open_control(&first).unwrap_err(), Refused::Forged);
        for cut in 0..first.len() {
            assert!(server.open_control(&first[..cut]).is_err(), "{cut}");
        }
        let mut clear = client.seal_control(plain.clone()).unwrap();
        let at = clear.len() - if profile == Profile::Aes128CmSha1_80 { 14 } else { 4 };
        clear[at] &= 0x7f;
        assert_eq!(server.open_control(&clear).unwrap_err(), Refused::Forged);
    }
}

#[test]
fn broken_packets_are_malformed() {
    let (_, mut server) = pair(Profile::AeadAes256Gcm);
    assert_eq!(server.open(&[0x80; 11]).unwrap_err(), Refused::Malformed);
    assert_eq!(server.open(&[0x9f; 40]).unwrap_err(), Refused::Malformed, "a header without end");
    assert_eq!(server.open_control(&[0x80; 7]).unwrap_err(), Refused::Malformed);
}
