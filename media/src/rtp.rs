//! An RTP packet as bytes (RFC 3550 section 5.1).

/// A packet's header and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Without CSRCs, header extension and padding.
    pub payload: &'a [u8],
}

/// Bytes of a header without CSRCs and extension.
pub const HEADER_LEN: usize = 12;

impl<'a> Packet<'a> {
    /// Reads a datagram; `None` where it is no RTP.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let [flags, kind, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *datagram.first_chunk()?;
        let mut rest = datagram.get(header_len(datagram)?..)?;
        if flags & 0x20 != 0 {
            let padding = usize::from(*rest.last()?);
            rest = rest.get(..rest.len().checked_sub(padding)?)?;
        }
        Some(Self {
            marker: kind & 0x80 != 0,
            payload_type: kind & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            payload: rest,
        })
    }

    /// The datagram.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.with_room(0)
    }

    /// The datagram, with room for what will be appended.
    pub(crate) fn with_room(&self, room: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.payload.len() + room);
        bytes.push(0x80);
        bytes.push((u8::from(self.marker) << 7) | (self.payload_type & 0x7f));
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        bytes.extend_from_slice(self.payload);
        bytes
    }
}

/// What a datagram on a port that carries all of a browser is (RFC 7983 section 7, RFC 5761
/// section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Other,
}

pub(crate) fn kind(datagram: &[u8]) -> Kind {
    match *datagram {
        [0..=3, ..] => Kind::Stun,
        [20..=63, ..] => Kind::Dtls,
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, ..] => Kind::Rtp,
        _ => Kind::Other,
    }
}

/// Where the payload of an RTP or SRTP datagram begins: after CSRCs and header extension. `None` where it
/// is no RTP.
pub(crate) fn header_len(datagram: &[u8]) -> Option<usize> {
    let flags = *datagram.first().filter(|_| datagram.len() >= HEADER_LEN)?;
    if flags >> 6 != 2 {
        return None;
    }
    let mut length = HEADER_LEN + usize::from(flags & 0x0f) * 4;
    if flags & 0x10 != 0 {
        let [_, _, w0, w1] = *datagram.get(length..)?.first_chunk()?;
        length += 4 + usize::from(u16::from_be_bytes([w0, w1])) * 4;
    }
    (length <= datagram.len()).then_some(length)
}

/// The sequence number of an RTP or SRTP datagram.
pub(crate) fn sequence(datagram: &[u8]) -> Option<u16> {
    datagram.get(2..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// The SSRC of an RTP or SRTP datagram: its header is in clear.
pub(crate) fn ssrc(datagram: &[u8]) -> Option<u32> {
    datagram.get(8..12)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The receiver's half of a STUN message's USERNAME (RFC 8445 section 7.2.2): our ufrag.
pub(crate) fn stun_ufrag(datagram: &[u8]) -> Option<&[u8]> {
    const USERNAME: [u8; 2] = [0x00, 0x06];
    let mut rest = datagram.get(20..)?;
    // A message has few attributes; the count bounds what a stranger can make us walk.
    for _ in 0..16 {
        let (&[k0, k1, l0, l1], after) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if [k0, k1] == USERNAME {
            let name = after.get(..length)?;
            let colon = name.iter().position(|&byte| byte == b':')?;
            return name.get(..colon);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_reads_back_as_written() {
        let packet = Packet {
            marker: true,
            payload_type: 101,
            sequence: 65_535,
            timestamp: 0x0102_0304,
            ssrc: 0xdead_beef,
            payload: &[1, 2, 3],
        };
        let bytes = packet.to_bytes();
        assert_eq!(Packet::parse(&bytes), Some(packet));
        assert_eq!(ssrc(&bytes), Some(0xdead_beef));
        assert_eq!(kind(&bytes), Kind::Rtp);
    }

    #[test]
    fn csrcs_extension_and_padding_are_left_out() {
        let mut bytes = vec![0xb1, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([9; 4]); // one CSRC
        bytes.extend([0xbe, 0xde, 0, 1, 1, 1, 1, 1]); // extension of one word
        bytes.extend([7, 7, 0, 0, 3]); // two bytes of payload, three of padding
        assert_eq!(Packet::parse(&bytes).unwrap().payload, [7, 7]);
    }

    #[test]
    fn broken_packets_are_no_packets() {
        for bytes in [
            &[][..],
            &[0x80; 11],
            &[0x40, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0],
            &[0x8f, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0],
            &[0x90, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0xff, 0xff],
            &[0xa0, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9],
        ] {
            assert_eq!(Packet::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_receivers_ufrag_is_read_from_a_binding_request() {
        let mut stun = vec![0; 20];
        stun.extend([0x80, 0x22, 0, 3, b'x', b'y', b'z', 0]);
        stun.extend([0, 6, 0, 9]);
        stun.extend(b"ours:them\0\0\0");
        assert_eq!(stun_ufrag(&stun), Some(&b"ours"[..]));
        assert_eq!(stun_ufrag(&stun[..30]), None);
    }
}
