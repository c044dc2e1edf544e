use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text that names no member of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is none of the known values")]
pub struct NameError;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$member_doc])* #[serde(rename = $text)] $member,)+
        }

        impl $name {
            /// Every member, in the order of a call's life.
            pub const ALL: &'static [Self] = &[$(Self::$member),+];

            /// The name in rows, API answers and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$member => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                match text {
                    $($text => Ok(Self::$member),)+
                    _ => Err(NameError),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named! {
    /// How far a call got; the last five are final.
    CallStatus {
        Ringing = "ringing",
        Answered = "answered",
        /// Was answered, however it ended.
        Completed = "completed",
        /// Refused with a status that is none of the next three.
        Failed = "failed",
        NoAnswer = "no_answer",
        Busy = "busy",
        /// The caller hung up before the answer.
        Canceled = "canceled",
    }
}

impl CallStatus {
    /// Whether the call is over.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Ringing | Self::Answered)
    }
}

named! {
    /// Who or what ended a call.
    HangupBy {
        Caller = "caller",
        Callee = "callee",
        Api = "api",
        /// The wallet was empty.
        Balance = "balance",
        /// No packet for as long as the silence rule allows.
        MediaTimeout = "media_timeout",
        /// The browser's socket was lost and nobody came back for the call.
        ConnectionLost = "connection_lost",
        MaxDuration = "max_duration",
        Shutdown = "shutdown",
        /// Found answered and not ended when the process started.
        Recovered = "recovered",
        /// The gateway itself: a refusal, a defect, a peer that broke the protocol.
        Gateway = "gateway",
    }
}

impl HangupBy {
    /// The Q.850 name for the end of an answered call whose peer gave no cause of its own.
    #[must_use]
    pub const fn hangup_cause(self) -> &'static str {
        match self {
            Self::Caller | Self::Callee | Self::Api | Self::Balance | Self::MaxDuration => {
                "normal_clearing"
            }
            Self::MediaTimeout => "recovery_on_timer_expire",
            Self::ConnectionLost => "destination_out_of_order",
            Self::Shutdown | Self::Recovered | Self::Gateway => "normal_temporary_failure",
        }
    }

    /// What the BYE to the caller says of it (RFC 3326), where the gateway ended the call by a rule
    /// of its own: whoever hears the silence would blame the other side.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Balance => Some("SIP;cause=402;text=\"The balance is used up\""),
            Self::MaxDuration => Some("SIP;cause=480;text=\"The longest call is over\""),
            Self::MediaTimeout => Some("SIP;cause=504;text=\"No sound came for too long\""),
            Self::Shutdown | Self::Recovered | Self::Gateway => {
                Some("SIP;cause=503;text=\"The gateway ended the call\"")
            }
            Self::Caller | Self::Callee | Self::Api | Self::ConnectionLost => None,
        }
    }

    /// What the 487 to a caller says of it (RFC 3326), where it does not answer the caller's own
    /// CANCEL.
    #[must_use]
    pub const fn reason_before_answer(self) -> Option<&'static str> {
        match self {
            Self::Api => Some("SIP;cause=487;text=\"Hung up over the HTTP API\""),
            _ => None,
        }
    }
}

/// The status of a call that ended with this final SIP response before an answer. A 487 is
/// `failed` here: `canceled` takes the caller's CANCEL, which whoever sent it knows.
#[must_use]
pub const fn status_of_final(code: u16) -> CallStatus {
    match code {
        486 | 600 => CallStatus::Busy,
        408 | 480 => CallStatus::NoAnswer,
        _ => CallStatus::Failed,
    }
}

/// Whether a trunk's final response to an INVITE lets the next trunk try. Only where nothing rang
/// yet (18x): the phone would ring twice.
#[must_use]
pub const fn fails_over(code: u16) -> bool {
    matches!(code, 408 | 500 | 503)
}

/// The Q.850 name of a call's end by this SIP response (RFC 3398 section 8.2.6.1; 488 and 606,
/// which that table leaves open, are an incompatible destination, and 487 is a normal clearing).
#[must_use]
pub const fn hangup_cause_of_status(code: u16) -> &'static str {
    hangup_cause_of_q850(match code {
        200..=299 | 487 => 16,
        404 | 485 | 604 => 1,
        486 | 600 => 17,
        480 => 18,
        401 | 402 | 403 | 407 | 603 | 607 | 608 => 21,
        410 => 22,
        482 | 483 => 25,
        484 => 28,
        502 => 38,
        400 | 481 | 500 | 503 => 41,
        405 => 63,
        406 | 415 | 501 => 79,
        488 | 606 => 88,
        408 | 504 => 102,
        _ => 127,
    })
}

/// The name of a Q.850 cause, as it stands in `Reason: Q.850;cause=16` (RFC 3326), in lower snake
/// case. A value without a name of its own is `interworking`.
#[must_use]
pub const fn hangup_cause_of_q850(cause: u16) -> &'static str {
    match cause {
        1 => "unallocated_number",
        2 => "no_route_transit_net",
        3 => "no_route_destination",
        6 => "channel_unacceptable",
        16 => "normal_clearing",
        17 => "user_busy",
        18 => "no_user_response",
        19 => "no_answer",
        20 => "subscriber_absent",
        21 => "call_rejected",
        22 => "number_changed",
        25 => "exchange_routing_error",
        27 => "destination_out_of_order",
        28 => "invalid_number_format",
        29 => "facility_rejected",
        31 => "normal_unspecified",
        34 => "normal_circuit_congestion",
        38 => "network_out_of_order",
        41 => "normal_temporary_failure",
        42 => "switch_congestion",
        44 => "requested_chan_unavail",
        50 => "facility_not_subscribed",
        57 => "bearercapability_notauth",
        58 => "bearercapability_notavail",
        63 => "service_unavailable",
        65 => "bearercapability_notimpl",
        69 => "facility_not_implemented",
        79 => "service_not_implemented",
        88 => "incompatible_destination",
        102 => "recovery_on_timer_expire",
        111 => "protocol_error",
        _ => "interworking",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for status in CallStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        for by in HangupBy::ALL {
            assert_eq!(by.as_str().parse(), Ok(*by));
        }
        assert_eq!("Ringing".parse::<CallStatus>(), Err(NameError));
        assert_eq!("".parse::<HangupBy>(), Err(NameError));
    }

    #[test]
    fn only_ringing_and_answered_calls_go_on() {
        let going: Vec<_> = CallStatus::ALL.iter().filter(|status| !status.is_final()).collect();
        assert_eq!(going, [&CallStatus::Ringing, &CallStatus::Answered]);
    }

    #[test]
    fn a_final_response_gives_the_status_of_the_contract() {
        for (code, status) in [
            (486, CallStatus::Busy),
            (600, CallStatus::Busy),
            (480, CallStatus::NoAnswer),
            (408, CallStatus::NoAnswer),
            (487, CallStatus::Failed),
            (404, CallStatus::Failed),
            (503, CallStatus::Failed),
            (603, CallStatus::Failed),
        ] {
            assert_eq!(status_of_final(code), status, "{code}");
        }
    }

    #[test]
    fn a_trunk_is_left_for_the_next_only_on_its_own_failure() {
        let over: Vec<u16> = (300..700).filter(|code| fails_over(*code)).collect();
        assert_eq!(over, [408, 500, 503]);
    }

    #[test]
    fn every_final_status_has_a_q850_name() {
        for (code, name) in [
            (200, "normal_clearing"),
            (486, "user_busy"),
            (600, "user_busy"),
            (480, "no_user_response"),
            (603, "call_rejected"),
            (404, "unallocated_number"),
            (408, "recovery_on_timer_expire"),
            (484, "invalid_number_format"),
            (487, "normal_clearing"),
            (488, "incompatible_destination"),
            (503, "normal_temporary_failure"),
            (599, "interworking"),
        ] {
            assert_eq!(hangup_cause_of_status(code), name, "{code}");
        }
        assert_eq!(hangup_cause_of_q850(u16::MAX), "interworking");
    }

    #[test]
    fn every_end_has_a_cause() {
        for by in HangupBy::ALL {
            assert!(!by.hangup_cause().is_empty());
        }
    }
}
