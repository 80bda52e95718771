//! The step of the WAN: a ladder from the cable to the TSM, each rung with what was measured.
//!
//! The rungs are those of every examination ([`crate::doctor`]). Nothing is called good as a whole before a word has gone through
//! the broker and come back, and the TSM has made the first contact.

use super::Site;
use super::check::{Check, Verdict};
use super::what::What;
use crate::doctor::{Climbed, Rung};

/// Climbs as far as it goes; what has been found so far is shown as it comes.
pub(super) async fn climb(site: &Site, mut show: impl FnMut(&[Check]) + Send) -> Vec<Check> {
    let mut checks = Vec::new();
    site.climber
        .climb(&mut |climbed| {
            checks.push(told(&climbed));
            show(&checks);
        })
        .await;
    checks
}

fn told(Climbed { rung, check }: &Climbed) -> Check {
    let told = Check::examined(what(*rung), check);
    match rung {
        // The step is not at its end before the TSM has been here, whatever else is wanted of this gateway.
        Rung::FirstContact if told.verdict != Verdict::Good => Check {
            verdict: Verdict::Problem,
            ..told
        },
        Rung::Link
        | Rung::Address
        | Rung::Name
        | Rung::Time
        | Rung::Tcp
        | Rung::Tls
        | Rung::Broker
        | Rung::Echo
        | Rung::Direct
        | Rung::FirstContact => told,
    }
}

const fn what(rung: Rung) -> What {
    match rung {
        Rung::Link => What::Link,
        Rung::Address => What::Address,
        Rung::Name => What::Name,
        Rung::Time => What::Offset,
        Rung::Tcp => What::Tcp,
        Rung::Tls => What::Tls,
        Rung::Broker => What::Broker,
        Rung::Echo => What::Echo,
        Rung::Direct => What::Listener,
        Rung::FirstContact => What::FirstContact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Area, Check as Examined};

    #[test]
    fn step_is_no_good_before_the_first_contact() {
        let told_of = |rung, check| told(&Climbed { rung, check }).verdict;
        let left_out = || Examined::not_checked(Area::Wan, "echo", "a rung below does not hold");
        assert_eq!(told_of(Rung::Echo, left_out()), Verdict::NotReached);
        assert_eq!(told_of(Rung::FirstContact, left_out()), Verdict::Problem);
        let good = Examined::good(Area::Wan, "first contact", "bundle 1");
        assert_eq!(told_of(Rung::FirstContact, good), Verdict::Good);
    }
}
