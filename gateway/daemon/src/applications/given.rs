//! What a window was evaluated with, as it is kept beside what was made: the assignment as it was then, whose meters the
//! channels were, and the input blob.
//!
//! | part | bytes |
//! |---|---|
//! | letters, `SGC1` | 4 |
//! | length of the assignment, little-endian | 4 |
//! | the assignment, as JSON | |
//! | input blob; empty if the window had no readings | |
//!
//! Earlier versions of the gateway kept the blob alone.

use std::borrow::Cow;

use messages::content::{Assignment, MAX_PARAMETERS};
use model::MeterId;
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 4] = *b"SGC1";
/// The most bytes of an assignment as JSON: its parameters, and names and patterns of every role.
const MAX_CONTEXT: usize = MAX_PARAMETERS + 64 * 1_024;

/// The assignment of a window, as it was when the window was evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context<'a> {
    /// On whose behalf.
    pub(super) supplier: Cow<'a, str>,
    pub(super) assignment: Cow<'a, Assignment>,
    /// The meter of each channel.
    pub(super) meters: Cow<'a, [MeterId]>,
}

impl Context<'_> {
    /// Puts the context in front of an input blob; one that is too long is left out.
    pub(super) fn before(&self, blob: &[u8]) -> Vec<u8> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let length = u32::try_from(json.len()).ok();
        let Some(length) = length.filter(|_| !json.is_empty() && json.len() <= MAX_CONTEXT) else {
            return blob.to_vec();
        };
        [&MAGIC, &length.to_le_bytes(), json.as_slice(), blob].concat()
    }
}

/// Splits what was kept into context and blob; there is no context if an earlier version has kept it.
pub(super) fn split(kept: &[u8]) -> (Option<Context<'static>>, &[u8]) {
    let parts = || {
        let rest = kept.strip_prefix(&MAGIC)?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        rest.split_at_checked(length)
    };
    match parts() {
        Some((json, blob)) => (serde_json::from_slice(json).ok(), blob),
        None => (None, kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_is_split_from_the_blob_again() {
        let assignment = Assignment {
            name: "house".parse().unwrap(),
            inputs: [("register".to_owned(), vec!["*".parse().unwrap()])].into(),
            parameters: [("price".to_owned(), "1.5".into())].into(),
            window: "day".parse().unwrap(),
            zone: "UTC0".parse().unwrap(),
            from: "2026-11-01T00:00:00Z".parse().unwrap(),
            to: None,
        };
        let context = Context {
            supplier: "City Works".into(),
            assignment: Cow::Owned(assignment),
            meters: vec!["M1".parse().unwrap()].into(),
        };
        for blob in [&b"STI1 and so on"[..], b""] {
            let kept = context.before(blob);
            assert_eq!(split(&kept), (Some(context.clone()), blob));
            // An earlier version has kept the blob alone.
            assert_eq!(split(blob), (None, blob));
            assert_eq!(split(&kept[..20]), (None, &kept[..20]));
        }
        let broken = [&MAGIC[..], &2u32.to_le_bytes(), b"{]", b"blob"].concat();
        assert_eq!(split(&broken), (None, &b"blob"[..]));
    }
}
