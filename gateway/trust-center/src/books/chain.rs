//! The chain of the records.
//!
//! The hash of a record is the SHA-256 digest of a domain, the number (8 bytes, big-endian), the hash of the record before
//! it (32 zeros for the first one), the length of the time's text (4 bytes, big-endian), that text, and the JSON of the act,
//! each as it stands in the database.

use std::collections::BTreeMap;

use messages::certificate::Certificate;
use model::{Fingerprint, Timestamp};
use sha2::{Digest, Sha256};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::books::database::{number, text};
use crate::books::{Act, BooksError, Record};

const DOMAIN: &[u8] = b"smgw/trust-center/record/1";

/// What a verification has found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verified {
    /// How many records there are.
    pub(crate) records: u64,
    /// The hash of the last one. Whoever keeps it elsewhere notices when records have been cut off.
    pub(crate) head: Fingerprint,
}

/// A record as it stands in the database.
#[derive(Debug)]
pub(super) struct Row {
    number: u64,
    time: String,
    act: String,
    hash: String,
}

impl Row {
    fn read(row: &AnyRow) -> Result<Self, BooksError> {
        Ok(Self {
            number: number(row, "number")?,
            time: text(row, "time")?,
            act: text(row, "act")?,
            hash: text(row, "hash")?,
        })
    }

    pub(super) fn record(&self) -> Result<Record, BooksError> {
        Ok(Record {
            number: self.number,
            time: self.time.parse()?,
            act: self.act()?,
        })
    }

    fn act(&self) -> Result<Act, BooksError> {
        serde_json::from_str(&self.act).map_err(BooksError::Act)
    }
}

/// Appends an act, within a transaction; returns its number.
pub(super) async fn append(
    connection: &mut AnyConnection,
    time: Timestamp,
    act: &Act,
) -> Result<i64, BooksError> {
    let last = query("SELECT number, time, act, hash FROM records ORDER BY number DESC LIMIT 1");
    let last = last.fetch_optional(&mut *connection).await?;
    let last = last.as_ref().map(Row::read).transpose()?;
    let before = last
        .as_ref()
        .map_or(Ok(Fingerprint::new([0; 32])), |row| row.hash.parse())?;
    let next = last.map_or(0, |row| row.number).saturating_add(1);
    let time = time.to_string();
    let act = serde_json::to_string(act).map_err(BooksError::Act)?;
    let hash = hash(next, before, &time, &act);
    let next = i64::try_from(next).map_err(|_| BooksError::Broken)?;
    query("INSERT INTO records (number, time, act, hash) VALUES ($1, $2, $3, $4)")
        .bind(next)
        .bind(time)
        .bind(act)
        .bind(hash.to_string())
        .execute(connection)
        .await?;
    Ok(next)
}

/// Reads up to this many records behind a number.
pub(super) async fn page(
    connection: &mut AnyConnection,
    behind: u64,
    count: u64,
) -> Result<Vec<Row>, BooksError> {
    let bound = |value: u64| i64::try_from(value).map_err(|_| BooksError::Broken);
    let rows =
        query("SELECT number, time, act, hash FROM records WHERE number > $1 ORDER BY number LIMIT $2");
    let rows = rows
        .bind(bound(behind)?)
        .bind(bound(count)?)
        .fetch_all(connection)
        .await?;
    rows.iter().map(Row::read).collect()
}

/// Walks the chain from its beginning, and compares the other tables with it.
pub(super) async fn verify(connection: &mut AnyConnection, page_size: u64) -> Result<Verified, BooksError> {
    let mut verified = Verified {
        records: 0,
        head: Fingerprint::new([0; 32]),
    };
    let mut said = Said::default();
    loop {
        let rows = page(connection, verified.records, page_size).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let expected = verified.records.saturating_add(1);
            let hash = hash(expected, verified.head, &row.time, &row.act);
            if row.number != expected || row.hash != hash.to_string() {
                return Err(BooksError::Altered { number: expected });
            }
            said.take(expected, row.act()?);
            verified = Verified {
                records: expected,
                head: hash,
            };
        }
    }
    said.compare(connection).await?;
    Ok(verified)
}

fn hash(number: u64, before: Fingerprint, time: &str, act: &str) -> Fingerprint {
    let length = u32::try_from(time.len()).unwrap_or(u32::MAX);
    let digest = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(number.to_be_bytes())
        .chain_update(before.as_bytes())
        .chain_update(length.to_be_bytes())
        .chain_update(time)
        .chain_update(act)
        .finalize();
    Fingerprint::new(digest.into())
}

/// What the records say the other tables hold: the key of each row, and the record that it came with.
#[derive(Debug, Default)]
struct Said {
    guids: BTreeMap<String, u64>,
    cards: BTreeMap<String, u64>,
    certificates: BTreeMap<String, u64>,
    revocations: BTreeMap<String, u64>,
    lists: BTreeMap<String, u64>,
    terminations: BTreeMap<String, u64>,
    requests: BTreeMap<String, u64>,
    decisions: BTreeMap<String, u64>,
    deliveries: BTreeMap<String, u64>,
    arrivals: BTreeMap<String, u64>,
    receipts: BTreeMap<String, u64>,
    begun: BTreeMap<String, u64>,
    reports: BTreeMap<String, u64>,
}

impl Said {
    fn take(&mut self, record: u64, act: Act) {
        match act {
            Act::GuidGiven { guid } => drop(self.guids.insert(guid.to_string(), record)),
            Act::Personalized { guid, .. } => drop(self.cards.insert(format!("{guid} completed"), record)),
            Act::LeftBlank { guid } => drop(self.cards.insert(format!("{guid} left-blank"), record)),
            Act::Scrapped { guid } => drop(self.cards.insert(format!("{guid} scrapped"), record)),
            Act::Issued { certificates, .. } => {
                let rows = certificates
                    .iter()
                    .map(|certificate| (certificate.to_string(), record));
                self.certificates.extend(rows);
            }
            Act::Revoked { serials, .. } => {
                self.revocations
                    .extend(serials.into_iter().map(|serial| (serial, record)));
            }
            Act::ListSigned { issuer, list, .. } => {
                self.lists.insert(format!("{issuer} {list}"), record);
            }
            Act::Terminated { guid, .. } => {
                self.terminations.entry(guid.to_string()).or_insert(record);
            }
            Act::Requested {
                request, supplier, ..
            } => {
                self.requests.insert(format!("{request} {supplier}"), record);
            }
            Act::Decided {
                request, approved, ..
            } => {
                let verdict = if approved { "approved" } else { "rejected" };
                self.decisions.insert(format!("{request} {verdict}"), record);
            }
            Act::MaterialGiven {
                delivery, facility, ..
            }
            | Act::MaterialOrdered { delivery, facility } => {
                self.deliveries.insert(format!("{delivery} {facility}"), record);
            }
            Act::MaterialConfirmed { delivery } | Act::MaterialCancelled { delivery } => {
                self.receipts.insert(delivery.to_string(), record);
            }
            Act::MaterialReceived { delivery, guids } => {
                self.arrivals.insert(delivery.to_string(), record);
                self.guids
                    .extend(guids.into_iter().map(|guid| (guid.to_string(), record)));
            }
            Act::CardBegun { guid } => drop(self.begun.insert(guid.to_string(), record)),
            Act::OutcomesReported { guids } => {
                self.reports
                    .extend(guids.into_iter().map(|guid| (guid.to_string(), record)));
            }
            Act::RequestEnded { .. }
            | Act::GatewayAddressed { .. }
            | Act::Reported { .. }
            | Act::Founded { .. }
            | Act::Certified { .. }
            | Act::Imported { .. }
            | Act::InstallBegun { .. }
            | Act::Installed { .. }
            | Act::UnlockBegun { .. }
            | Act::Unlocked { .. }
            | Act::TerminationBegun { .. }
            | Act::BooksMoved { .. } => {}
        }
    }

    #[expect(clippy::too_many_lines, reason = "it is a list: a statement for each table")]
    async fn compare(self, connection: &mut AnyConnection) -> Result<(), BooksError> {
        for (table, statement, said) in [
            ("guids", "SELECT guid AS key, record FROM guids", &self.guids),
            (
                "cards",
                "SELECT guid || ' ' || outcome AS key, record FROM cards",
                &self.cards,
            ),
            (
                "certificates",
                "SELECT fingerprint AS key, record FROM certificates",
                &self.certificates,
            ),
            (
                "revocations",
                "SELECT serial AS key, record FROM revocations",
                &self.revocations,
            ),
            (
                "lists",
                "SELECT issuer || ' ' || list AS key, record FROM lists",
                &self.lists,
            ),
            (
                "terminations",
                "SELECT guid AS key, record FROM terminations",
                &self.terminations,
            ),
            (
                "tsm_requests",
                "SELECT id || ' ' || supplier AS key, record FROM tsm_requests",
                &self.requests,
            ),
            // Whatever is neither waiting nor rejected has to have been approved.
            (
                "tsm_requests",
                "SELECT id || ' ' || CASE state WHEN 'rejected' THEN 'rejected' ELSE 'approved' END AS key, \
                 coalesce(decision, 0) AS record FROM tsm_requests WHERE state <> 'waiting' OR decision IS NOT NULL",
                &self.decisions,
            ),
            (
                "deliveries",
                "SELECT delivery || ' ' || facility AS key, record FROM deliveries",
                &self.deliveries,
            ),
            (
                "arrivals",
                "SELECT delivery AS key, record FROM arrivals",
                &self.arrivals,
            ),
            (
                "receipts",
                "SELECT delivery AS key, record FROM receipts",
                &self.receipts,
            ),
            ("begun", "SELECT guid AS key, record FROM begun", &self.begun),
            (
                "reports",
                "SELECT guid AS key, record FROM reports",
                &self.reports,
            ),
        ] {
            let rows = query(statement).fetch_all(&mut *connection).await?;
            let mut found = BTreeMap::new();
            for row in &rows {
                found.insert(text(row, "key")?, number(row, "record")?);
            }
            if found != *said {
                return Err(BooksError::Index { table });
            }
        }
        compare_certificates(connection).await
    }
}

/// Compares the certificates with their fingerprints, which the records name.
async fn compare_certificates(connection: &mut AnyConnection) -> Result<(), BooksError> {
    let rows = query("SELECT pem, fingerprint FROM certificates")
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let certificate = Certificate::from_pem(&text(row, "pem")?);
        let fingerprint = certificate.map(|certificate| certificate.fingerprint().to_string());
        if fingerprint != Ok(text(row, "fingerprint")?) {
            return Err(BooksError::Index {
                table: "certificates",
            });
        }
    }
    Ok(())
}
