//! The `sip` room.
