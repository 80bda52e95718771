//! What the master knows of a meter from one read to the next.

use core::time::Duration;

use crate::link::PrimaryAddress;

/// What the master knows of one meter from one read to the next: its address and its frame count
/// bit.
///
/// A meter that was never read, or whose last read failed, is initialised with SND_NKE before the
/// next request: after a failure it is not known which frame count bit the meter saw last, and a
/// wrong guess would fetch its old telegram again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    address: PrimaryAddress,
    pub(super) link: Link,
    /// Until then an answer to an abandoned request may still come.
    pub(super) late_until: Duration,
}

/// The state of the link between the master and one meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// SND_NKE comes first.
    Unknown,
    /// The meter follows the frame count bit, and this is the next one.
    Initialised { frame_count_bit: bool },
}

impl Station {
    /// Builds the station of a meter that was not read yet.
    #[must_use]
    pub const fn new(address: PrimaryAddress) -> Self {
        Self {
            address,
            link: Link::Unknown,
            late_until: Duration::ZERO,
        }
    }

    /// Returns the meter's primary address.
    #[must_use]
    pub const fn address(&self) -> PrimaryAddress {
        self.address
    }

    /// Forgets the frame count bit, so that the next read begins with SND_NKE.
    ///
    /// For a meter whose power or bus was away: it may have lost the bit too.
    pub const fn forget(&mut self) {
        self.link = Link::Unknown;
    }
}
