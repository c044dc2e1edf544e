//! What becomes of a refusal beside its answer.

/// Whether bytes that could not be read were meant as an INVITE.
pub(super) fn is_invite(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"INVITE ")
}

/// Counts a call that the gateway itself refused. Other requests start none, so refusing them is
/// no loss to anybody's calls.
pub(super) fn count(invite: bool, code: &'static str) {
    if invite {
        metrics::counter!("sautikit_refusals_total", "code" => code).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_known_by_its_first_word_alone() {
        assert!(is_invite(b"INVITE sip:a@b SIP/2.0\r\n"));
        assert!(is_invite(b"\r\n\r\nINVITE \x01"));
        assert!(!is_invite(b"INVITED sip:a@b SIP/2.0\r\n"));
        assert!(!is_invite(b"OPTIONS sip:INVITE @b SIP/2.0\r\n"));
        assert!(!is_invite(b""));
    }
}
