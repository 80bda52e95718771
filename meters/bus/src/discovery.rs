//! Discovery: which meters are on an M-Bus.
//!
//! Both searches report as they go, so that progress can be shown and what was found is not lost when
//! they are cancelled: drop the future, or cancel what it is selected against.

use mbus::link::{LongFrame, PrimaryAddress, SecondaryAddress};
use mbus::master::{Found, Hit, MeterAddress, Search, Station};

use crate::{MbusMaster, PollError};

/// What a search for meters reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// An address is about to be asked.
    Asking {
        /// Who is asked.
        address: MeterAddress,
        /// Addresses that were asked before.
        done: u32,
        /// Addresses that are known to follow; a search finds out about more of them as it goes.
        open: usize,
    },
    /// A meter was found.
    Meter {
        /// The address by which it was found and can be read.
        address: MeterAddress,
        /// What it has sent.
        telegrams: Vec<LongFrame>,
    },
    /// Several meters share the address, or one is never understood there.
    Shared(MeterAddress),
    /// A meter that was known is not there, or does not answer well.
    Missing {
        /// Its address.
        address: SecondaryAddress,
        /// What went wrong.
        error: PollError,
    },
}

/// Asks each primary address in turn; who is silent is asked so many times.
///
/// # Errors
///
/// [`PollError`] if the bus cannot be reached, which ends the scan.
pub async fn scan(
    master: &mut MbusMaster,
    addresses: &[PrimaryAddress],
    tries: u8,
    mut report: impl FnMut(Discovery),
) -> Result<(), PollError> {
    let numbered = (0..).zip(addresses);
    for (done, primary) in numbered {
        let address = MeterAddress::from(*primary);
        let following = usize::try_from(done).unwrap_or(usize::MAX).saturating_add(1);
        report(Discovery::Asking {
            address,
            done,
            open: addresses.len().saturating_sub(following),
        });
        match master.probe(address, tries).await? {
            Found::Nobody => {}
            Found::Meter { telegram, .. } => report(Discovery::Meter {
                address,
                telegrams: vec![telegram],
            }),
            Found::Several => report(Discovery::Shared(address)),
            // The acknowledgement may have been a late one of the address before: asked once more.
            Found::Unclear => match master.read(&mut Station::new(address)).await {
                Ok(telegrams) => report(Discovery::Meter { address, telegrams }),
                Err(PollError::NoAnswer { .. }) => {}
                Err(PollError::Mbus(_)) => report(Discovery::Shared(address)),
                Err(error) => return Err(error),
            },
        }
    }
    Ok(())
}

/// Searches for every meter whose secondary address the selection matches.
///
/// Those that are known are read first, and their collisions are not asked for. Who is silent is
/// asked so many times.
///
/// # Errors
///
/// [`PollError`] if the bus cannot be reached, which ends the search.
pub async fn search(
    master: &mut MbusMaster,
    selection: SecondaryAddress,
    known: &[SecondaryAddress],
    tries: u8,
    mut report: impl FnMut(Discovery),
) -> Result<(), PollError> {
    let mut search = Search::new(selection).with_tries(tries);
    let mut read = Vec::new();
    for (done, meter) in (0..).zip(known) {
        let address = MeterAddress::from(*meter);
        report(Discovery::Asking {
            address,
            done,
            open: known.len(),
        });
        match master.read(&mut Station::new(address)).await {
            Ok(telegrams) => {
                search.expect(*meter);
                read.push(*meter);
                report(Discovery::Meter { address, telegrams });
            }
            Err(error @ (PollError::NoAnswer { .. } | PollError::Mbus(_))) => {
                report(Discovery::Missing {
                    address: *meter,
                    error,
                });
            }
            Err(error) => return Err(error),
        }
    }
    while let Some((selection, tries)) = search.next_probe() {
        let address = MeterAddress::from(selection);
        report(Discovery::Asking {
            address,
            done: search.probes(),
            open: search.open(),
        });
        let found = master.probe(address, tries).await?;
        match search.report(found) {
            Some(Hit::Meter { address, telegram }) if !read.contains(&address) => {
                report(Discovery::Meter {
                    address: address.into(),
                    telegrams: vec![telegram],
                });
            }
            Some(Hit::Inseparable { selection }) => report(Discovery::Shared(selection.into())),
            Some(Hit::Meter { .. }) | None => {}
        }
    }
    Ok(())
}
