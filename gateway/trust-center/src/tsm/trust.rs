//! Whom the TSM trusts at this moment: the root, less what the books say is revoked.

use std::sync::{Arc, Mutex, PoisonError};

use counterparty::exchange::Identity;
use messages::certificate::TrustAnchor;

use crate::authority::{Authority, AuthorityError};
use crate::books::{Books, BooksError};

/// The authority of a program that runs for long, with revocations that other programs write down meanwhile.
#[derive(Debug)]
pub(crate) struct Trust {
    authority: Authority,
    /// How many revocations the anchor knows, and the anchor.
    known: Mutex<(u64, Arc<TrustAnchor>)>,
}

impl Trust {
    /// Takes over an authority, whose revocations are looked up anew at the first use.
    pub(crate) fn new(authority: Authority) -> Self {
        let anchor = Arc::new(authority.anchor().clone());
        let known = Mutex::new((0, anchor));
        Self { authority, known }
    }

    /// Returns the authority.
    pub(crate) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the root with all that is revoked now.
    pub(crate) fn anchor(&self, books: &Books) -> Result<Arc<TrustAnchor>, BooksError> {
        let count = books.count_of_revocations()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != count {
            *known = (count, Arc::new(self.authority.anchor_now(books)?));
        }
        Ok(Arc::clone(&known.1))
    }

    /// Returns who the TSM is when it judges by this root.
    pub(crate) fn identity<'a>(&'a self, anchor: &'a TrustAnchor) -> Result<Identity<'a>, AuthorityError> {
        Ok(Identity {
            anchor,
            ..self.authority.tsm()?
        })
    }
}
