//! Names of things, one type each, so that a call's id can never stand where a workspace's belongs.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::{Builder, Uuid};

/// What an id's text was refused for: it is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id that is already known by `uuid`, of whatever UUID version.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// A new UUIDv7 (RFC 9562 section 5.7) of a wall-clock time in milliseconds since 1970
            /// and 80 random bits, both of the caller's making; six of the bits become version and
            /// variant. Ids sort by `unix_ms`.
            #[must_use]
            pub const fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
                Self(Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
            }

            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        /// The bare UUID: ids are read in logs far more often than in nested debug output.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id!(
    /// A tenant: owner of numbers, keys, calls and one wallet; a token's `sub`.
    WorkspaceId
);
id!(
    /// One row: one party on the phone network joined to something of ours.
    CallId
);
id!(
    /// What joins rows that belong together: the id of the first call of them.
    SessionId
);
id!(
    /// One API key; its secret is elsewhere, hashed.
    ApiKeyId
);
id!(
    /// One phone number of the inventory.
    NumberId
);
id!(
    /// One ledger entry.
    EntryId
);
id!(
    /// One event of a call.
    EventId
);

/// A call is the first of its session until another joins it.
impl From<CallId> for SessionId {
    fn from(call: CallId) -> Self {
        Self(call.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_made_of_parts_is_a_uuid_v7_of_that_time() {
        let id = CallId::from_parts(0x0190_1234_5678, [0xff; 10]);
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(id.to_string(), "01901234-5678-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn ids_sort_by_time() {
        assert!(EntryId::from_parts(1, [0xff; 10]) < EntryId::from_parts(2, [0; 10]));
    }

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = WorkspaceId::from_parts(1_700_000_000_000, [7; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), id.to_string());
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        for text in ["", "alice", "01901234-5678-7fff-bfff-fffffffffff", "+254722000001"] {
            assert_eq!(text.parse::<CallId>(), Err(IdError), "{text}");
        }
    }
}
