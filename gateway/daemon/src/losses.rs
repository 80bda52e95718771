//! What the store has found to be lost, as findings that a status shows.
//!
//! A loss is never forgotten, so its finding stays: one for each kind of loss, about the latest one.

use std::collections::BTreeMap;

use store::{Loss, Lost, RowKind};

use crate::codes::{Code, device as codes};
use crate::mounts::Finding;

/// Returns a finding for each kind of loss.
pub(crate) fn findings(losses: &[Loss]) -> Vec<Finding> {
    let mut kinds: BTreeMap<(&str, &str), (usize, &Loss)> = BTreeMap::new();
    for loss in losses {
        let (code, of_rows) = kind(loss.lost);
        let (count, latest) = kinds.entry((code.code, of_rows)).or_insert((0, loss));
        *count = count.saturating_add(1);
        *latest = loss;
    }
    let finding = |(count, loss): (usize, &Loss)| Finding::new(kind(loss.lost).0, text(loss, count));
    kinds.into_values().map(finding).collect()
}

/// Returns what stands in the catalogue of codes, and the kind of rows where there is one.
const fn kind(lost: Lost) -> (Code, &'static str) {
    match lost {
        Lost::Rows { kind, .. } => (codes::ROWS_LOST, name(kind)),
        Lost::Commits { .. } => (codes::COMMITS_LOST, ""),
        Lost::Replaced => (codes::DATABASE_REPLACED, ""),
        Lost::Head => (codes::HEAD_LOST, ""),
        Lost::Witness => (codes::WITNESS_LOST, ""),
        Lost::Database => (codes::DATABASE_LOST, ""),
        Lost::Salvaged => (codes::DATABASE_SALVAGED, ""),
    }
}

const fn name(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Schema => "descriptions of tables",
        RowKind::Round => "rounds of readings",
        RowKind::Day => "lists of sealed days and evaluations",
        RowKind::Element => "measurement elements",
        RowKind::Request => "remembered requests",
        RowKind::Outbox => "messages that wait for receipts",
        RowKind::Bundle => "installed bundles",
        RowKind::Loss => "losses that were known",
        RowKind::Chunk => "daily chunks of the history",
    }
}

fn text(loss: &Loss, count: usize) -> String {
    let what = match loss.lost {
        Lost::Rows {
            kind,
            missing,
            damaged,
            unexpected,
        } => format!(
            "Of the {}, {missing} are missing, {damaged} damaged and {unexpected} unexpected",
            name(kind)
        ),
        Lost::Commits { missing } => format!(
            "The database is older than it was: its last {missing} commits are missing, and so may readings be"
        ),
        Lost::Replaced => "The database is not the one that was written last".to_owned(),
        Lost::Head => "The account of what is stored is damaged: what is missing cannot be told".to_owned(),
        Lost::Witness => {
            "The file gateway.head is missing or damaged: whether the database is the last one cannot be told"
                .to_owned()
        }
        Lost::Database => {
            "The database was missing, and a new one has been made: all readings are lost".to_owned()
        }
        Lost::Salvaged => {
            "The database was damaged; what could be read is in a new one, and the damaged one is kept \
                           as gateway.db.damaged"
                .to_owned()
        }
    };
    let behind = loss.behind.map_or_else(
        || "before the first reading".to_owned(),
        |time| format!("behind the reading of {time}"),
    );
    match count.saturating_sub(1) {
        0 => format!("{what} (found {behind})."),
        earlier => format!("{what} (found {behind}, and {earlier} times earlier)."),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn loss(number: u64, lost: Lost) -> Loss {
        Loss {
            number,
            lost,
            behind: "2026-11-23T12:00:00Z".parse().ok(),
        }
    }

    fn rows(kind: RowKind, missing: u64) -> Lost {
        Lost::Rows {
            kind,
            missing,
            damaged: 0,
            unexpected: 0,
        }
    }

    #[test]
    fn each_kind_of_loss_is_one_finding_about_the_latest_one() {
        let losses = [
            loss(1, rows(RowKind::Round, 1)),
            loss(2, rows(RowKind::Request, 2)),
            loss(3, rows(RowKind::Round, 7)),
            loss(4, Lost::Commits { missing: 3 }),
        ];
        let findings = findings(&losses);
        let texts: Vec<_> = findings.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "Of the remembered requests, 2 are missing, 0 damaged and 0 unexpected (found behind the reading of \
                 2026-11-23T12:00:00Z).",
                "Of the rounds of readings, 7 are missing, 0 damaged and 0 unexpected (found behind the reading of \
                 2026-11-23T12:00:00Z, and 1 times earlier).",
                "The database is older than it was: its last 3 commits are missing, and so may readings be (found \
                 behind the reading of 2026-11-23T12:00:00Z).",
            ]
        );
    }

    #[test]
    fn every_loss_has_a_code_and_a_remedy() {
        let losses = [
            rows(RowKind::Chunk, 1),
            Lost::Commits { missing: 1 },
            Lost::Replaced,
            Lost::Head,
            Lost::Witness,
            Lost::Database,
            Lost::Salvaged,
        ];
        let findings = findings(&losses.map(|lost| loss(1, lost)));
        let codes: BTreeSet<_> = findings.iter().map(|finding| &finding.code).collect();
        assert_eq!(codes.len(), losses.len());
        assert!(
            findings
                .iter()
                .all(|finding| finding.remedy.contains("files") || finding.remedy == codes::WORN)
        );
    }
}
