//! Passwords, and what is kept of them: Argon2id.
//!
//! Spec: RFC 9106; the parameters are the least that OWASP's password storage cheat sheet names (19 MiB, two passes).

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The memory of one hash in KiB.
const MEMORY_KIB: u32 = 19 * 1_024;
/// The passes over the memory.
const PASSES: u32 = 2;
/// The most memory and passes that are accepted from the store: a hash of a later version must not stall this one.
const MOST_MEMORY_KIB: u32 = 4 * MEMORY_KIB;
const MOST_PASSES: u32 = 8;
/// The length of a salt in bytes.
pub(super) const SALT: usize = 16;

/// The least and greatest length of a password that somebody chooses, in characters and in bytes.
pub(super) const LEAST_CHARACTERS: usize = 10;
pub(super) const MOST_BYTES: usize = 256;

/// A password as it is typed.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// Takes a text.
    pub(crate) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// Returns the text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns why it is no password to be chosen for an account, if it is none.
    pub(super) fn weakness(&self, account: &str) -> Option<Weakness> {
        let text = self.0.as_str();
        let mut characters: Vec<char> = text.chars().collect();
        if text.len() > MOST_BYTES {
            return Some(Weakness::TooLong);
        }
        if characters.len() < LEAST_CHARACTERS {
            return Some(Weakness::TooShort);
        }
        characters.sort_unstable();
        characters.dedup();
        let few = characters.len() < LEAST_CHARACTERS.div_euclid(2);
        (few || text.to_lowercase().contains(&account.to_lowercase())).then_some(Weakness::Guessable)
    }
}

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Weakness {
    #[error("a password has {LEAST_CHARACTERS} characters at least")]
    TooShort,
    #[error("a password has {MOST_BYTES} bytes at most")]
    TooLong,
    #[error("a password has five different characters at least, and not the name of its account")]
    Guessable,
}

/// The hash failed: the parameters in the store are none, or there is no memory.
#[derive(Debug, thiserror::Error)]
#[error("the password cannot be hashed")]
pub(crate) struct HashError(#[source] argon2::Error);

/// What is kept of a password.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    salt: [u8; SALT],
    hash: [u8; 32],
}

impl PasswordHash {
    /// Hashes a password. It takes a tenth of a second and belongs on a blocking thread, one at a time.
    pub(super) fn new(password: &Password, salt: [u8; SALT]) -> Result<Self, HashError> {
        Ok(Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            salt,
            hash: derive(password, (MEMORY_KIB, PASSES), &salt)?,
        })
    }

    /// Returns whether it is the password's.
    pub(super) fn is_of(&self, password: &Password) -> Result<bool, HashError> {
        if self.memory_kib > MOST_MEMORY_KIB || self.passes > MOST_PASSES {
            return Err(HashError(argon2::Error::MemoryTooMuch));
        }
        let found = derive(password, (self.memory_kib, self.passes), &self.salt)?;
        Ok(found.ct_eq(&self.hash).into())
    }
}

/// Takes as long as to compare a password, where there is no account to compare it with.
pub(super) fn waste_time(password: &Password) -> Result<(), HashError> {
    derive(password, (MEMORY_KIB, PASSES), &[0; SALT]).map(drop)
}

fn derive(password: &Password, (memory, passes): (u32, u32), salt: &[u8]) -> Result<[u8; 32], HashError> {
    let mut hash = [0; 32];
    let params = Params::new(memory, passes, 1, Some(hash.len())).map_err(HashError)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.0.as_bytes(), salt, &mut hash)
        .map_err(HashError)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned().into())
    }

    /// Expected value from the reference implementation by way of Debian's `argon2`, see the comment in the test.
    #[test]
    fn hash_is_that_of_the_reference_implementation() {
        // printf %s 'correct horse' | argon2 'saltsaltsaltsalt' -id -t 2 -k 19456 -p 1 -l 32 -r
        let hash = PasswordHash::new(&password("correct horse"), *b"saltsaltsaltsalt").unwrap();
        assert_eq!(hex::encode(hash.hash), REFERENCE);
        assert!(hash.is_of(&password("correct horse")).unwrap());
        assert!(!hash.is_of(&password("correct house")).unwrap());
    }

    const REFERENCE: &str = "01dc1e04bc1c7e59cd5f61d55bc8b532dbbb7ebae7e0a8bb87fad8486b94ec8b";

    #[test]
    fn hash_of_absurd_cost_is_refused() {
        let mut hash = PasswordHash {
            memory_kib: MOST_MEMORY_KIB + 1,
            passes: 1,
            salt: [0; SALT],
            hash: [0; 32],
        };
        assert!(hash.is_of(&password("x")).is_err());
        (hash.memory_kib, hash.passes) = (64, MOST_PASSES + 1);
        assert!(hash.is_of(&password("x")).is_err());
    }

    #[test]
    fn weak_passwords_are_told_apart() {
        for (text, weakness) in [
            ("short", Some(Weakness::TooShort)),
            ("aaaaaaaaaaaaaaaa", Some(Weakness::Guessable)),
            ("my Consumer password", Some(Weakness::Guessable)),
            ("ünf Wörter für Öl", None),
        ] {
            assert_eq!(password(text).weakness("consumer"), weakness, "{text}");
        }
        assert_eq!(
            password(&"ab3de".repeat(60)).weakness("consumer"),
            Some(Weakness::TooLong)
        );
    }
}
