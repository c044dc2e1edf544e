//! Reading columns back into types. What cannot be read is an error that names the thing: it means
//! a newer version or a damaged row, never something to guess at.

use sautikit_core::e164::E164;

use crate::error::StoreError;

/// A phone number.
pub(crate) fn e164(text: &str) -> Result<E164, StoreError> {
    E164::parse(text).map_err(|_| StoreError::Unreadable("phone number"))
}

/// A nullable column through the reader of its type.
pub(crate) fn optional<T>(
    value: Option<&str>,
    read: impl FnOnce(&str) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    value.map(read).transpose()
}

impl From<sqlx::Error> for StoreError {
    /// Decoding errors are ours or a damaged row's; everything else may pass by itself.
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Unreadable("column"),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
