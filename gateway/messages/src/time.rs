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

#[cfg(test)]
mod tests {
    use der::asn1::{GeneralizedTime, UtcTime};
    use x509_cert::time::Time;

    use super::*;

    #[test]
    fn times_that_32_bits_do_not_hold_are_those_of_certificates() {
        // The last ones are also behind what ASN.1 writes with two digits for the year.
        for text in [
            "2040-06-01T00:00:00Z",
            "2050-01-01T00:00:00Z",
            "2106-02-07T06:28:16Z",
        ] {
            let time: Timestamp = text.parse().unwrap();
            let written = to_date_time(time).unwrap();
            let general = GeneralizedTime::from_date_time(written);
            assert_eq!(from_asn1(Time::GeneralTime(general)), Some(time), "{text}");
            if let Ok(short) = UtcTime::from_date_time(written) {
                assert_eq!(from_asn1(Time::UtcTime(short)), Some(time), "{text}");
            }
        }
    }
}
