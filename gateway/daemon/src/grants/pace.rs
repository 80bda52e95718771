//! How often grants are asked: what was granted when, and which query is the rest of an earlier one.
//!
//! All queries of one request are one occasion. What belongs to it may be asked for again: the very query that the request
//! left as its rest, and the very query that was granted, so that a supplier whose answer was lost is not left without one.
//! Both end with the time of the occasion, so that nothing newer is handed out with them. Each pattern of each grant waits
//! for itself: who asks for one meter of a pattern waits with all others of it, and each supplier waits for itself.

use std::cell::RefCell;

use authorization::{Granted, Occasion};
use model::{ElementPattern, Fingerprint, Grant, Query, Span, Timestamp};
use sha2::{Digest, Sha256};
use store::{Asked, Database, DatabaseError};

/// Whether what is answered was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pacing {
    /// It was.
    Asked,
    /// A schedule has it sent.
    Scheduled,
    /// A delivery rule has it sent.
    Delivered,
}

/// The pace of one supplier in one request.
pub(crate) struct Pace<'a> {
    database: &'a Database,
    supplier: Fingerprint,
    pacing: Pacing,
    now: Timestamp,
    entries: Vec<Asked>,
}

/// What a query belongs to, and what has to wait when it is granted.
pub(crate) struct Waiting {
    /// The time of the occasion.
    occasion: Timestamp,
    /// For how long queries belong to that.
    longest: Option<Span>,
}

impl<'a> Pace<'a> {
    pub(crate) const fn new(
        database: &'a Database,
        supplier: Fingerprint,
        pacing: Pacing,
        now: Timestamp,
    ) -> Self {
        Self {
            database,
            supplier,
            pacing,
            now,
            entries: Vec::new(),
        }
    }

    /// Returns the time of the earlier occasion that a query belongs to, if it does.
    pub(crate) fn continues(&self, query: &Query) -> Result<Option<Timestamp>, DatabaseError> {
        match self.pacing {
            Pacing::Asked => self.database.last_asked(&self.key_of_query(query)),
            Pacing::Scheduled | Pacing::Delivered => Ok(None),
        }
    }

    /// Decides a query, which belongs to an earlier occasion or to none.
    pub(crate) fn decide<T>(
        &self,
        continues: Option<Timestamp>,
        decide: impl FnOnce(&Occasion<'_>) -> T,
    ) -> Result<T, DatabaseError> {
        match self.pacing {
            Pacing::Asked => {}
            Pacing::Scheduled => return Ok(decide(&Occasion::Scheduled)),
            Pacing::Delivered => return Ok(decide(&Occasion::Delivered)),
        }
        let failure = RefCell::new(None);
        let last = |grant: &Grant, pattern: &ElementPattern| match self.last(grant, pattern) {
            Ok(last) => last,
            Err(error) => {
                failure.replace(Some(error));
                None
            }
        };
        let occasion = Occasion::Asked {
            last: &last,
            continues,
        };
        let decided = decide(&occasion);
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(decided),
        }
    }

    /// Takes note of what has to wait from now on, unless the query is the rest of what has to wait already.
    pub(crate) fn grant(
        &mut self,
        continues: Option<Timestamp>,
        granted: &Granted<'_, Query>,
    ) -> Result<Waiting, DatabaseError> {
        let mut waiting = Waiting {
            occasion: self.now,
            longest: None,
        };
        if self.pacing != Pacing::Asked {
            return Ok(waiting);
        }
        for paced in granted.paced() {
            waiting.longest = waiting.longest.max(Some(paced.at_most));
            if let Some(earlier) = continues
                && self.last(paced.grant, paced.pattern)? == Some(earlier)
            {
                waiting.occasion = earlier;
                continue;
            }
            self.entries.push(Asked {
                key: self.key_of(paced.grant, paced.pattern),
                time: self.now,
                expires: self.now.saturating_add(paced.at_most),
            });
        }
        Ok(waiting)
    }

    /// Takes note of a query that belongs to the same occasion: the one that was granted, or its rest.
    pub(crate) fn belongs(&mut self, query: &Query, waiting: &Waiting) {
        if let Some(longest) = waiting.longest {
            self.entries.push(Asked {
                key: self.key_of_query(query),
                time: waiting.occasion,
                expires: waiting.occasion.saturating_add(longest),
            });
        }
    }

    /// Returns what is to be remembered before the answer goes out.
    pub(crate) fn into_entries(self) -> Vec<Asked> {
        self.entries
    }

    fn last(&self, grant: &Grant, pattern: &ElementPattern) -> Result<Option<Timestamp>, DatabaseError> {
        self.database.last_asked(&self.key_of(grant, pattern))
    }

    fn key_of(&self, grant: &Grant, pattern: &ElementPattern) -> [u8; 32] {
        key(b"grant", self.supplier, &[&grant.id, &pattern.to_string()])
    }

    fn key_of_query(&self, query: &Query) -> [u8; 32] {
        let Query {
            elements,
            period,
            resolution,
            aggregation,
        } = query;
        let texts = [
            elements.to_string(),
            period.from().to_string(),
            period.to().to_string(),
            resolution.to_string(),
            aggregation.to_string(),
        ];
        key(b"query", self.supplier, &texts.each_ref().map(String::as_str))
    }
}

/// Returns the SHA-256 digest of a word, a supplier and texts, each text behind its length.
fn key(word: &[u8], supplier: Fingerprint, texts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(word);
    digest.update(supplier.as_bytes());
    for text in texts {
        digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(text);
    }
    digest.finalize().into()
}
