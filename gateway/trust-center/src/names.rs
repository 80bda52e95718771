//! Who may have which name.
//!
//! A party is known by its name where no certificate is at hand: in the policy, in a revocation, and to an MQTT broker, which
//! takes the common name of a client's certificate for its user name and puts it into the patterns of its access rules. So a
//! name is one party's for ever, is none that a gateway could have, and has no character that stands for others there.

use std::net::IpAddr;

use messages::certificate::{PartyName, Role, Subject};
use messages::keys::PublicPoint;
use model::KeySlot;

use crate::books::{Books, BooksError};

/// The characters that are wildcards or separators in an MQTT topic, or begin a substitution in Mosquitto's patterns.
const WILD: [char; 4] = ['+', '#', '/', '%'];

/// The reason why nobody is certified by a name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NameError {
    /// The name has a character that is more than one to a broker.
    #[error(
        "the name \"{name}\" contains {found:?}, which stands for something else in the access rules of a broker; choose a name without + # / %"
    )]
    Wild {
        /// The name.
        name: PartyName,
        /// The character.
        found: char,
    },
    /// The name is an address, as the names of gateways are.
    #[error("the name \"{name}\" is an address, and gateways are named by theirs; choose another name")]
    Address {
        /// The name.
        name: PartyName,
    },
    /// The name begins or ends with a space, which nobody sees.
    #[error("the name \"{name}\" begins or ends with a space; choose a name without")]
    Space {
        /// The name.
        name: PartyName,
    },
    /// A party of another kind has the name.
    #[error("the name \"{name}\" is that of a {role} here; choose another name")]
    Taken {
        /// The name.
        name: PartyName,
        /// Who has it.
        role: Role,
    },
    /// Another key was certified by this name before.
    #[error(
        "a supplier \"{name}\" with another key has been certified before; if it is the same one, use `trust-center renew --requests`, otherwise choose another name"
    )]
    Held {
        /// The name.
        name: PartyName,
    },
    /// The books cannot be read.
    #[error("the books cannot be read")]
    Books(#[from] BooksError),
}

/// What the operator says of who asks to be certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may be somebody of whom nothing is known yet.
    Newcomer,
    /// It is the party that has had this name before, perhaps with new keys.
    Holder,
}

/// Checks that a name is safe wherever a party is known by it.
pub(crate) fn check(name: &PartyName) -> Result<(), NameError> {
    let text = name.as_str();
    let name = || name.clone();
    if let Some(found) = text.chars().find(|found| WILD.contains(found)) {
        let name = name();
        return Err(NameError::Wild { name, found });
    }
    if text.trim() != text {
        return Err(NameError::Space { name: name() });
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Err(NameError::Address { name: name() });
    }
    Ok(())
}

/// Checks that whoever shows this SIG key may be certified by the name of the subject.
pub(crate) fn claim(
    books: &Books,
    subject: &Subject,
    key: &PublicPoint,
    standing: Standing,
) -> Result<(), NameError> {
    let name = subject.name();
    check(name)?;
    let mut is_held = false;
    let mut is_same = false;
    for entry in books.certificates(name.as_str())? {
        let holder = entry.certificate.subject().map_err(BooksError::from)?;
        if holder.role() != subject.role() {
            let (name, role) = (name.clone(), holder.role());
            return Err(NameError::Taken { name, role });
        }
        if entry.key == KeySlot::Sig.name() {
            is_held = true;
            is_same |= entry.certificate.public_key() == key;
        }
    }
    // A facility is renewed by certifying it again, and has no rights by its name alone.
    let needs_word = subject.role() == Role::Supplier && standing == Standing::Newcomer;
    if is_held && !is_same && needs_word {
        return Err(NameError::Held { name: name.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str) -> Result<(), NameError> {
        check(&name.parse().unwrap())
    }

    #[test]
    fn names_that_a_broker_would_take_for_more_are_refused() {
        for wild in ["+", "Works #1", "Gas/Water", "100 %", "%u", "a+b"] {
            let error = checked(wild).unwrap_err();
            assert!(matches!(error, NameError::Wild { .. }), "{wild}: {error}");
            assert!(error.to_string().contains("choose a name without"), "{error}");
        }
        for address in [
            "fd5a::1",
            "FD5A:0:0::1",
            "[fd5a::1]",
            "::",
            "192.0.2.1",
            "::ffff:192.0.2.1",
        ] {
            assert!(
                matches!(checked(address), Err(NameError::Address { .. })),
                "{address}"
            );
        }
        for space in [" Works", "Works "] {
            assert!(
                matches!(checked(space), Err(NameError::Space { .. })),
                "{space:?}"
            );
        }
        for good in [
            "City Works",
            "Stadtwerke Überlingen & Söhne",
            "fd5a",
            "Works (1)",
            "E-Werk: Nord",
        ] {
            assert!(checked(good).is_ok(), "{good}");
        }
    }
}
