//! The `core` room.
