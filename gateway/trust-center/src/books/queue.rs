//! The queue of each gateway: what is to be done there as soon as it can be reached, and how the gateway is.
//!
//! A job is in the books before anybody acts on it, and leaves them together with the record of its outcome. Whoever works
//! on a gateway has leased it, so that no two programs do, wherever they run; the lease of one that was killed runs out.

use std::collections::BTreeSet;

use messages::certificate::Role;
use messages::content::{MessageId, Report};
use model::{CardId, Fingerprint, GatewayState, Span, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row, query};

use super::database::{number, text};
use super::requests::{RequestEntry, RequestState, find, set_state};
use super::{Act, Books, BooksError, Entry, Outcome, chain};

/// How many gateways are read at once.
const PAGE: i64 = 500;

/// How urgent a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Somebody has asked for something.
    Asked,
    /// Somebody is not to be served any longer.
    Revoked,
}

impl Urgency {
    const fn number(self) -> i64 {
        match self {
            Self::Asked => 0,
            Self::Revoked => 1,
        }
    }
}

/// Something that is to be done on a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Its number, in the order in which they came.
    pub(crate) number: u64,
    /// The request that is to be installed; without one, suppliers that no longer hold are to be left out.
    pub(crate) request: Option<RequestEntry>,
}

/// A gateway that this program alone works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leased {
    /// The GUID of its card.
    pub(crate) guid: CardId,
    /// Where it listens, unless at its GUID.
    pub(crate) address: Option<String>,
    /// How often it was tried in vain.
    pub(crate) attempts: u64,
}

/// What became of a job.
#[derive(Debug, Clone, Copy)]
pub(crate) enum JobOutcome<'a> {
    /// It is in force, with the bundle of this version.
    InForce {
        /// The bundle's version.
        version: u64,
    },
    /// It cannot be done.
    Failed {
        /// Why.
        reason: &'a str,
    },
    /// A later request has taken its place.
    Superseded,
}

/// A gateway as the books know it.
#[derive(Debug, Clone)]
pub(crate) struct GatewayEntry {
    /// The GUID of its card.
    pub(crate) guid: CardId,
    /// Where it listens, unless at its GUID.
    pub(crate) address: Option<String>,
    /// What it has reported last.
    pub(crate) report: Option<Report>,
    /// How many jobs wait for it.
    pub(crate) jobs: u64,
    /// How often it was tried in vain since it was reached last.
    pub(crate) attempts: u64,
    /// When it is tried again, if it was tried in vain.
    pub(crate) due: Option<Timestamp>,
    /// What kept it from being reached.
    pub(crate) trouble: Option<String>,
    /// When the first certificate of its card ends.
    pub(crate) certificates_end: Option<Timestamp>,
    /// The suppliers that it serves, by their SIG certificates.
    pub(crate) suppliers: Vec<Fingerprint>,
}

impl Books {
    /// Takes note of a gateway, and where it listens: at its GUID unless an address is given.
    pub(crate) fn register(
        &self,
        time: Timestamp,
        guid: CardId,
        address: Option<&str>,
    ) -> Result<(), BooksError> {
        if self.outcome(guid)? != Some(Outcome::Completed) {
            return Err(BooksError::NotIssued {
                whom: guid.to_string(),
            });
        }
        self.database.transact(async |connection: &mut AnyConnection| {
            ensure(connection, guid).await?;
            let known = query("SELECT address FROM tsm_gateways WHERE guid = $1").bind(guid.to_string());
            let known: Option<String> = known.fetch_one(&mut *connection).await?.try_get("address")?;
            if known.as_deref() == address {
                return Ok(());
            }
            let address = address.map(str::to_owned);
            let act = Act::GatewayAddressed {
                guid,
                address: address.clone(),
            };
            chain::append(connection, time, &act).await?;
            query("UPDATE tsm_gateways SET address = $2, due = 0 WHERE guid = $1")
                .bind(guid.to_string())
                .bind(address)
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Leases up to `count` gateways for which something is due to the worker of this name, the most urgent first, until
    /// `until`.
    pub(crate) fn lease(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        count: usize,
    ) -> Result<Vec<Leased>, BooksError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.database.transact(async |connection: &mut AnyConnection| {
            let rows = query(
                "SELECT g.guid AS guid, g.address AS address, g.attempts AS attempts FROM tsm_gateways g \
                 LEFT JOIN (SELECT guid, max(urgency) AS urgency, min(number) AS number FROM tsm_jobs GROUP BY guid) j \
                 ON j.guid = g.guid WHERE g.lease <= $1 AND g.due <= $1 \
                 AND (j.guid IS NOT NULL OR g.report_due <= $1) \
                 ORDER BY coalesce(j.urgency, -1) DESC, j.number, g.report_due LIMIT $2",
            );
            let rows = rows
                .bind(now.unix_seconds())
                .bind(count)
                .fetch_all(&mut *connection)
                .await?;
            let mut leased = Vec::with_capacity(rows.len());
            for row in &rows {
                let guid = text(row, "guid")?;
                query("UPDATE tsm_gateways SET lease = $2, leased_by = $3 WHERE guid = $1")
                    .bind(guid.clone())
                    .bind(until.unix_seconds())
                    .bind(worker.to_owned())
                    .execute(&mut *connection)
                    .await?;
                leased.push(Leased {
                    guid: guid.parse()?,
                    address: row.try_get("address")?,
                    attempts: number(row, "attempts")?,
                });
            }
            Ok(leased)
        })
    }

    /// Gives back what the worker of this name has leased and, since it was killed, not given back itself.
    pub(crate) fn release(&self, worker: &str) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            query("UPDATE tsm_gateways SET lease = 0 WHERE leased_by = $1")
                .bind(worker.to_owned())
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Lengthens the lease of a gateway on which work goes on.
    pub(crate) fn lengthen_lease(&self, guid: CardId, until: Timestamp) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            query("UPDATE tsm_gateways SET lease = $2 WHERE guid = $1")
                .bind(guid.to_string())
                .bind(until.unix_seconds())
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Returns the next job of a gateway, the most urgent one first.
    pub(crate) fn next_job(&self, guid: CardId) -> Result<Option<Job>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let row = query(
                "SELECT number, request FROM tsm_jobs WHERE guid = $1 ORDER BY urgency DESC, number LIMIT 1",
            );
            let row = row
                .bind(guid.to_string())
                .fetch_optional(&mut *connection)
                .await?;
            let Some(row) = row else {
                return Ok(None);
            };
            let request: Option<String> = row.try_get("request")?;
            let request = match request {
                Some(id) => {
                    let id = id.parse().map_err(|_| BooksError::Index { table: "tsm_jobs" })?;
                    Some(find(connection, id).await?.ok_or(BooksError::NoRequest { id })?)
                }
                None => None,
            };
            Ok(Some(Job {
                number: number(&row, "number")?,
                request,
            }))
        })
    }

    /// Returns whether a later request of the same supplier waits for the same gateway.
    pub(crate) fn has_later(&self, request: &RequestEntry) -> Result<bool, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let row = query(
                "SELECT count(*) AS count FROM tsm_requests WHERE guid = $1 AND supplier = $2 \
                 AND state = 'approved' AND number > $3",
            );
            let row = row
                .bind(request.guid.to_string())
                .bind(request.supplier.to_string())
                .bind(i64::try_from(request.number).map_err(|_| BooksError::Broken)?)
                .fetch_one(connection)
                .await?;
            Ok(number(&row, "count")? > 0)
        })
    }

    /// Takes a job off the queue, and writes down what became of its request.
    pub(crate) fn finish_job(
        &self,
        time: Timestamp,
        job: &Job,
        outcome: JobOutcome<'_>,
    ) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            query("DELETE FROM tsm_jobs WHERE number = $1")
                .bind(i64::try_from(job.number).map_err(|_| BooksError::Broken)?)
                .execute(&mut *connection)
                .await?;
            let Some(request) = &job.request else {
                return Ok(());
            };
            let (state, reason) = match outcome {
                JobOutcome::InForce { version } => {
                    (RequestState::Installed, Some(format!("bundle {version}")))
                }
                JobOutcome::Failed { reason } => (RequestState::Failed, Some(reason.to_owned())),
                JobOutcome::Superseded => (RequestState::Superseded, None),
            };
            let act = Act::RequestEnded {
                request: request.id,
                state,
            };
            chain::append(connection, time, &act).await?;
            set_state(connection, time, request.id, state, reason.as_deref()).await
        })
    }

    /// Writes down that a gateway was reached, and gives the lease back. The next report is due at the given time.
    pub(crate) fn reached(&self, guid: CardId, report_due: Timestamp) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            query(
                "UPDATE tsm_gateways SET lease = 0, due = 0, attempts = 0, trouble = NULL, report_due = $2 \
                 WHERE guid = $1",
            )
            .bind(guid.to_string())
            .bind(report_due.unix_seconds())
            .execute(connection)
            .await?;
            Ok(())
        })
    }

    /// Writes down why a gateway was not reached, and when it is tried again.
    pub(crate) fn postpone(
        &self,
        leased: &Leased,
        due: Timestamp,
        trouble: &str,
        counts: bool,
    ) -> Result<(), BooksError> {
        let attempts = leased.attempts.saturating_add(u64::from(counts));
        self.database.transact(async |connection: &mut AnyConnection| {
            query("UPDATE tsm_gateways SET lease = 0, due = $2, attempts = $3, trouble = $4 WHERE guid = $1")
                .bind(leased.guid.to_string())
                .bind(due.unix_seconds())
                .bind(i64::try_from(attempts).unwrap_or(i64::MAX))
                .bind(trouble.to_owned())
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Keeps what a gateway has reported. The records get it when its state has changed.
    pub(crate) fn keep_report(&self, time: Timestamp, report: &Report) -> Result<(), BooksError> {
        let json = serde_json::to_string(report).map_err(BooksError::Act)?;
        let (guid, state) = (report.gateway, report.state);
        self.database.transact(async |connection: &mut AnyConnection| {
            ensure(connection, guid).await?;
            let known = query("SELECT report FROM tsm_gateways WHERE guid = $1").bind(guid.to_string());
            let known: Option<String> = known.fetch_one(&mut *connection).await?.try_get("report")?;
            let before = known.map(|known| serde_json::from_str::<Report>(&known));
            let before = before.transpose().map_err(BooksError::Act)?;
            if before.map(|report| report.state) != Some(state) {
                chain::append(connection, time, &Act::Reported { guid, state }).await?;
            }
            query("UPDATE tsm_gateways SET report = $2, attempts = 0, trouble = NULL WHERE guid = $1")
                .bind(guid.to_string())
                .bind(json)
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Writes down that the gateway has reported a bundle to be in force, and whom it serves since. It is recorded once, also
    /// if whoever wrote it down was killed before he knew of it and does it again. Somebody who was revoked while the bundle
    /// was on its way is left out next, before all else: when he was, the books did not know that the gateway would serve him.
    pub(crate) fn record_installed(
        &self,
        time: Timestamp,
        (guid, version, state): (CardId, u64, GatewayState),
        suppliers: &[Fingerprint],
    ) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            if !is_recorded(connection, guid, version).await? {
                chain::append(connection, time, &Act::Installed { guid, version, state }).await?;
            }
            ensure(connection, guid).await?;
            query("UPDATE tsm_gateways SET report_due = 0 WHERE guid = $1")
                .bind(guid.to_string())
                .execute(&mut *connection)
                .await?;
            serve(connection, guid, suppliers).await?;
            if is_any_revoked(connection, suppliers).await? {
                enqueue(connection, guid, None, Urgency::Revoked).await?;
            }
            Ok(())
        })
    }

    /// Takes note of a gateway that was installed before there was a note of it, and of whom it serves.
    pub(crate) fn adopt(&self, guid: CardId, suppliers: &[Fingerprint]) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            ensure(connection, guid).await?;
            serve(connection, guid, suppliers).await
        })
    }

    /// Returns the SIG certificate that was issued together with this TLS certificate, if it is not revoked.
    pub(crate) fn sig_beside(&self, tls: Fingerprint) -> Result<Fingerprint, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let row = query(
                "SELECT fingerprint FROM certificates WHERE slot = 'sig' \
                 AND serial NOT IN (SELECT serial FROM revocations) AND record IN \
                 (SELECT record FROM certificates WHERE fingerprint = $1 AND slot = 'tls')",
            );
            let row = row.bind(tls.to_string()).fetch_optional(connection).await?;
            let whom = || tls.to_string();
            let row = row.ok_or_else(|| BooksError::NotIssued { whom: whom() })?;
            Ok(text(&row, "fingerprint")?.parse()?)
        })
    }

    /// Returns how many certificates are revoked, by which a change is noticed: nothing is ever taken back.
    pub(crate) fn count_of_revocations(&self) -> Result<u64, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let row = query("SELECT count(*) AS count FROM revocations");
            number(&row.fetch_one(connection).await?, "count")
        })
    }

    /// Returns a page of the gateways behind a GUID, in the order of their texts.
    pub(crate) fn gateways(&self, behind: &str) -> Result<Vec<GatewayEntry>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query("SELECT guid FROM tsm_gateways WHERE guid > $1 ORDER BY guid LIMIT $2");
            let rows = rows
                .bind(behind.to_owned())
                .bind(PAGE)
                .fetch_all(&mut *connection)
                .await?;
            let mut gateways = Vec::with_capacity(rows.len());
            for row in &rows {
                gateways.extend(gateway(connection, &text(row, "guid")?).await?);
            }
            Ok(gateways)
        })
    }

    /// Returns a gateway.
    pub(crate) fn gateway(&self, guid: CardId) -> Result<Option<GatewayEntry>, BooksError> {
        self.database
            .run(async |connection: &mut AnyConnection| gateway(connection, &guid.to_string()).await)
    }
}

/// How many records are looked through at a time.
const RECORDS: i64 = 64;

/// Returns whether it is recorded that the gateway has reported this bundle to be in force since its installation was begun
/// for the last time. That was a few records ago; the books are looked through backwards to there.
async fn is_recorded(connection: &mut AnyConnection, guid: CardId, version: u64) -> Result<bool, BooksError> {
    let mut behind = i64::MAX;
    loop {
        let rows = query("SELECT number, act FROM records WHERE number < $1 ORDER BY number DESC LIMIT $2");
        let rows = rows
            .bind(behind)
            .bind(RECORDS)
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            behind = i64::try_from(number(row, "number")?).map_err(|_| BooksError::Broken)?;
            match serde_json::from_str(&text(row, "act")?).map_err(BooksError::Act)? {
                Act::Installed {
                    guid: of,
                    version: recorded,
                    ..
                } if (of, recorded) == (guid, version) => return Ok(true),
                Act::InstallBegun {
                    guid: of,
                    version: begun,
                    ..
                } if (of, begun) == (guid, version) => return Ok(false),
                _ => {}
            }
        }
        if rows.is_empty() {
            return Ok(false);
        }
    }
}

/// Has a gateway's queue take a job.
pub(super) async fn enqueue(
    connection: &mut AnyConnection,
    guid: CardId,
    request: Option<MessageId>,
    urgency: Urgency,
) -> Result<(), BooksError> {
    ensure(connection, guid).await?;
    let last = query("SELECT coalesce(max(number), 0) AS last FROM tsm_jobs");
    let last = number(&last.fetch_one(&mut *connection).await?, "last")?;
    query("INSERT INTO tsm_jobs (number, guid, urgency, request) VALUES ($1, $2, $3, $4)")
        .bind(i64::try_from(last.saturating_add(1)).map_err(|_| BooksError::Broken)?)
        .bind(guid.to_string())
        .bind(urgency.number())
        .bind(request.map(|id| id.to_string()))
        .execute(&mut *connection)
        .await?;
    // Whoever was away may be back; a new job is tried at once.
    query("UPDATE tsm_gateways SET due = 0 WHERE guid = $1")
        .bind(guid.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Has every gateway that serves one of these suppliers leave it out, before all else; every gateway that serves anybody, if
/// an issuing authority is revoked. A job that is waiting already may be under way, by what was known before; so that there is
/// another one, which finds nothing to do if that was early enough.
pub(super) async fn enqueue_revoked(
    connection: &mut AnyConnection,
    entries: &[Entry],
    also: &[CardId],
) -> Result<(), BooksError> {
    let mut served: BTreeSet<CardId> = also.iter().copied().collect();
    for entry in entries {
        // Any of the three may be revoked alone; the supplier is known by SIG.
        let rows = match entry.certificate.subject()?.role() {
            Role::Supplier => query(
                "SELECT DISTINCT guid FROM tsm_served WHERE supplier IN (SELECT fingerprint FROM certificates \
                 WHERE slot = 'sig' AND record IN (SELECT record FROM certificates WHERE fingerprint = $1))",
            )
            .bind(entry.certificate.fingerprint().to_string()),
            Role::IssuingAuthority => query("SELECT DISTINCT guid FROM tsm_served"),
            Role::TrustCenter | Role::Tsm | Role::Card | Role::Broker | Role::Facility => continue,
        };
        for row in &rows.fetch_all(&mut *connection).await? {
            served.insert(text(row, "guid")?.parse::<CardId>()?);
        }
    }
    for guid in served {
        enqueue(connection, guid, None, Urgency::Revoked).await?;
    }
    Ok(())
}

/// Returns whether one of these suppliers, who are known by SIG, has a certificate that is revoked.
async fn is_any_revoked(
    connection: &mut AnyConnection,
    suppliers: &[Fingerprint],
) -> Result<bool, BooksError> {
    for supplier in suppliers {
        let row = query(
            "SELECT 1 FROM certificates WHERE serial IN (SELECT serial FROM revocations) AND record IN \
             (SELECT record FROM certificates WHERE fingerprint = $1 AND slot = 'sig')",
        );
        let row = row
            .bind(supplier.to_string())
            .fetch_optional(&mut *connection)
            .await?;
        if row.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn serve(
    connection: &mut AnyConnection,
    guid: CardId,
    suppliers: &[Fingerprint],
) -> Result<(), BooksError> {
    query("DELETE FROM tsm_served WHERE guid = $1")
        .bind(guid.to_string())
        .execute(&mut *connection)
        .await?;
    for supplier in suppliers {
        query("INSERT INTO tsm_served (guid, supplier) VALUES ($1, $2)")
            .bind(guid.to_string())
            .bind(supplier.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn ensure(connection: &mut AnyConnection, guid: CardId) -> Result<(), BooksError> {
    query(
        "INSERT INTO tsm_gateways (guid, report_due, attempts, due, lease) \
         SELECT $1, $2, 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM tsm_gateways WHERE guid = $1)",
    )
    .bind(guid.to_string())
    // It is asked how it is as soon as it can be.
    .bind(0i64)
    .execute(connection)
    .await?;
    Ok(())
}

async fn gateway(connection: &mut AnyConnection, guid: &str) -> Result<Option<GatewayEntry>, BooksError> {
    let row = query(
        "SELECT guid, address, report, attempts, due, trouble, \
         (SELECT count(*) FROM tsm_jobs j WHERE j.guid = g.guid) AS jobs, \
         (SELECT min(ends) FROM (SELECT max(expiry) AS ends FROM certificates c WHERE c.name = g.guid \
          AND c.role = 'Card' AND c.slot IN ('sig', 'enc', 'tls') \
          AND c.serial NOT IN (SELECT serial FROM revocations) GROUP BY c.slot) e) AS ends \
         FROM tsm_gateways g WHERE guid = $1",
    );
    let Some(row) = row.bind(guid.to_owned()).fetch_optional(&mut *connection).await? else {
        return Ok(None);
    };
    let served = query("SELECT supplier FROM tsm_served WHERE guid = $1 ORDER BY supplier");
    let served = served.bind(guid.to_owned()).fetch_all(connection).await?;
    let fingerprint = |row: &AnyRow| Ok(text(row, "supplier")?.parse()?);
    let report: Option<String> = row.try_get("report")?;
    let report = report.map(|report| serde_json::from_str(&report)).transpose();
    let ends: Option<String> = row.try_get("ends")?;
    let due: i64 = row.try_get("due")?;
    let due = Timestamp::from_unix_seconds(due).ok().filter(|_| due > 0);
    Ok(Some(GatewayEntry {
        guid: guid.parse()?,
        address: row.try_get("address")?,
        report: report.map_err(BooksError::Act)?,
        jobs: number(&row, "jobs")?,
        attempts: number(&row, "attempts")?,
        due,
        trouble: row.try_get("trouble")?,
        certificates_end: ends.map(|ends| ends.parse()).transpose()?,
        suppliers: served
            .iter()
            .map(fingerprint)
            .collect::<Result<_, BooksError>>()?,
    }))
}

/// Returns the time so far behind another one.
pub(crate) fn later(now: Timestamp, seconds: u32) -> Timestamp {
    Span::from_seconds(seconds).map_or(now, |span| now.saturating_add(span))
}
