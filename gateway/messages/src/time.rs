//! Time as ASN.1 has it.

use std::time::Duration;

use der::DateTime;
use model::Timestamp;

/// Converts a time for a certificate or message; `None` before 1970 and after 9999.
pub(crate) fn to_date_time(time: Timestamp) -> Option<DateTime> {
    let seconds = u64::try_from(time.unix_seconds()).ok()?;
    DateTime::from_unix_duration(Duration::from_secs(seconds)).ok()
}

/// Converts a time of a certificate or message.
pub(crate) fn from_asn1(time: x509_cert::time::Time) -> Option<Timestamp> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
    Timestamp::from_unix_seconds(seconds).ok()
}
