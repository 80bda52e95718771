//! What is kept of the accounts: hashes of passwords and of tokens.

use std::collections::BTreeMap;

use model::Timestamp;
use serde::{Deserialize, Serialize};
use store::{AccessError, AccessRecord, Store};
use zeroize::Zeroizing;

use super::password::PasswordHash;

/// The version of the format.
const VERSION: u32 = 1;
/// The most tokens of one account.
pub(crate) const MOST_TOKENS: usize = 8;
/// The greatest length of a token's name in characters.
pub(crate) const LONGEST_NAME: usize = 40;

/// The reason why accounts cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountsError {
    /// The store does not have them.
    #[error(
        "the accounts of the local web cannot be used; smgw web reset deletes them, so that new passwords can be issued"
    )]
    Store(#[from] AccessError),
    /// Another version has written them.
    #[error("the accounts of the local web are of another version; smgw web reset deletes them")]
    Content(#[source] serde_json::Error),
}

/// A token for reading.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    pub(super) name: String,
    /// The digest of the secret.
    pub(super) digest: [u8; 32],
    pub(super) made: Timestamp,
}

/// What is kept of an account that was issued a password.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    pub(super) password: PasswordHash,
    /// Whether the password is a first one, to be changed at the login.
    pub(super) must_change: bool,
    pub(super) tokens: Vec<Token>,
}

/// All accounts, as they are stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accounts {
    version: u32,
    pub(super) by_name: BTreeMap<String, Account>,
}

impl Accounts {
    /// Reads the accounts; none, if no password was ever issued.
    pub(super) fn read(store: &Store) -> Result<Self, AccountsError> {
        let Some(content) = store.access().read(AccessRecord::Accounts)? else {
            return Ok(Self {
                version: VERSION,
                by_name: BTreeMap::new(),
            });
        };
        let accounts: Self = serde_json::from_slice(&content).map_err(AccountsError::Content)?;
        if accounts.version == VERSION {
            Ok(accounts)
        } else {
            let unknown = format!("version {}", accounts.version);
            Err(AccountsError::Content(serde::de::Error::custom(unknown)))
        }
    }

    /// Writes the accounts; on return they are on the disk.
    pub(super) fn write(&self, store: &Store) -> Result<(), AccountsError> {
        let content = serde_json::to_vec(self).map_err(AccountsError::Content)?;
        let content = Zeroizing::new(content);
        Ok(store.access().write(AccessRecord::Accounts, &content)?)
    }

    /// Finds whose token has this digest.
    pub(super) fn owner_of(&self, digest: &[u8; 32]) -> Option<&str> {
        let mut accounts = self.by_name.iter();
        let has = |account: &Account| account.tokens.iter().any(|token| token.digest == *digest);
        accounts
            .find(|(_, account)| has(account))
            .map(|(name, _)| name.as_str())
    }
}
