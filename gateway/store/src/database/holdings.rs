//! How much the database holds, for those who watch over the device: numbers, and nothing of what was measured.

use std::path::Path;

use super::Database;

/// How much the database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holdings {
    /// How many rows of rounds there are whose days are not sealed yet.
    pub rounds: u64,
    /// How many sealed days there are, one of each element.
    pub sealed_days: u64,
    /// How many messages wait for their receipts.
    pub waiting_messages: usize,
    /// The length of their contents in bytes.
    pub waiting_bytes: usize,
    /// The length of the database's files in bytes.
    pub file_bytes: u64,
}

impl Database {
    /// Returns how much the database holds; nothing of it is read from the disk but the lengths of two files.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let (head, occupancy) = {
            let inner = self.lock();
            (inner.head, inner.outbox)
        };
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        let log = self.path.with_extension("db-wal");
        Holdings {
            rounds: head.rounds.count,
            sealed_days: head.days.count,
            waiting_messages: occupancy.messages,
            waiting_bytes: occupancy.bytes,
            file_bytes: length(&self.path).saturating_add(length(&log)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OutboxMessage, Round};

    #[test]
    fn rounds_and_waiting_messages_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("gateway.db")).unwrap();
        assert_eq!(database.holdings().rounds, 0);
        let reading = model::Reading {
            element: model::Element {
                meter: "M1".parse().unwrap(),
                obis: "1-0:1.8.0*255".parse().unwrap(),
            },
            time: "2026-11-30T12:00:00Z".parse().unwrap(),
            quantity: model::Quantity {
                value: "1".parse().unwrap(),
                unit: model::Unit::WattHour,
            },
            status: model::Status::GOOD,
        };
        let round = Round {
            readings: vec![reading],
            gaps: Vec::new(),
        };
        let message = OutboxMessage {
            id: [1; 16],
            recipient: model::Fingerprint::new([2; 32]),
            content: vec![3; 7],
        };
        database.register_and_enqueue(&round, &[message]).unwrap();
        let holdings = database.holdings();
        assert_eq!((holdings.rounds, holdings.sealed_days), (1, 0));
        assert_eq!((holdings.waiting_messages, holdings.waiting_bytes), (1, 7));
        assert!(holdings.file_bytes > 0);
    }
}
