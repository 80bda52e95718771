//! What suppliers have asked the TSM for, and what became of it.

use std::fmt;
use std::str::FromStr;

use messages::certificate::PartyName;
use messages::content::MessageId;
use model::{CardId, Fingerprint, Grant, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row, query};

use super::database::{number, text};
use super::queue::{self, Urgency};
use super::{Act, Books, BooksError, chain};

/// How many requests of one supplier may wait at the same time: as many as a TSM has gateways, and some that it sends
/// again in other words.
pub(crate) const MAX_OPEN: u64 = 20_000;
/// How many requests are read at once.
const PAGE: u64 = 500;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RequestState {
    /// It waits for an operator.
    Waiting,
    /// It is approved, and waits for its gateway.
    Approved,
    /// It is in force on the gateway.
    Installed,
    /// An operator or a policy has rejected it.
    Rejected,
    /// It is approved, but cannot be installed.
    Failed,
    /// A later request of the supplier for the same gateway has taken its place.
    Superseded,
}

impl RequestState {
    /// Every state.
    pub(crate) const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Approved,
        Self::Installed,
        Self::Rejected,
        Self::Failed,
        Self::Superseded,
    ];

    /// Returns the word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Installed => "installed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for RequestState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for RequestState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

/// A word is no state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request is waiting, approved, installed, rejected, failed or superseded")]
pub(crate) struct UnknownState;

/// Who has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Decider {
    /// An operator.
    Operator,
    /// The policy file.
    Policy,
}

/// A request that has just come.
#[derive(Debug, Clone)]
pub(crate) struct NewRequest {
    /// Its identity, chosen by the supplier.
    pub(crate) id: MessageId,
    /// The gateway.
    pub(crate) guid: CardId,
    /// The supplier's SIG certificate.
    pub(crate) supplier: Fingerprint,
    /// The supplier's name.
    pub(crate) name: PartyName,
    /// The content as it came, JSON.
    pub(crate) content: String,
    /// Its digest.
    pub(crate) digest: Fingerprint,
    /// What the policy leaves of the grants.
    pub(crate) granted: Vec<Grant>,
    /// Whether the policy approves it at once.
    pub(crate) is_approved: bool,
}

/// A request of the books.
#[derive(Debug, Clone)]
pub(crate) struct RequestEntry {
    /// Its identity.
    pub(crate) id: MessageId,
    /// Its place in the order in which they came.
    pub(crate) number: u64,
    /// The gateway.
    pub(crate) guid: CardId,
    /// The supplier's SIG certificate.
    pub(crate) supplier: Fingerprint,
    /// The supplier's name.
    pub(crate) name: String,
    /// When it came.
    pub(crate) received: Timestamp,
    /// The content as it came, JSON.
    pub(crate) content: String,
    /// What the policy leaves of the grants, or what the operator has.
    pub(crate) granted: Vec<Grant>,
    /// What became of it.
    pub(crate) state: RequestState,
    /// Why, if there is more to say.
    pub(crate) reason: Option<String>,
    /// When that was.
    pub(crate) changed: Timestamp,
}

/// Finds requests: behind $1, of the supplier $2 unless that is empty, in the state $3 unless that is empty.
///
/// A supplier is whom the trust centre has certified by one name, which is nobody else's. A certificate leads to what was asked
/// with earlier ones, never to what was asked with later ones: whoever has an old key that was lost learns nothing new.
const REQUESTS_OF: &str = "SELECT * FROM tsm_requests WHERE number > $1 \
     AND ($2 = '' OR supplier = $2 OR supplier IN (SELECT earlier.fingerprint \
     FROM certificates AS own JOIN certificates AS earlier ON earlier.name = own.name \
     AND earlier.role = own.role AND earlier.slot = own.slot AND earlier.record < own.record \
     WHERE own.fingerprint = $2 AND own.role = 'Supplier' AND own.slot = 'sig')) \
     AND ($3 = '' OR state = $3) ORDER BY number LIMIT $4";

/// Which requests are looked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filter {
    /// Only those of the supplier with this SIG certificate; what it has asked with earlier ones is its own, too.
    pub(crate) supplier: Option<Fingerprint>,
    /// Only those in this state.
    pub(crate) state: Option<RequestState>,
    /// Only those behind this number.
    pub(crate) behind: u64,
}

impl Books {
    /// Writes down what a supplier asks for, and if the policy approves it, has it wait for its gateway. The same request
    /// may come again.
    pub(crate) fn file_request(&self, time: Timestamp, new: &NewRequest) -> Result<RequestEntry, BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            if let Some(known) = find(connection, new.id).await? {
                if known.supplier == new.supplier && known.content == new.content {
                    return Ok(known);
                }
                return Err(BooksError::OtherRequest { id: new.id });
            }
            if open_of(connection, new.supplier).await? >= MAX_OPEN {
                return Err(BooksError::TooManyRequests);
            }
            let requested = Act::Requested {
                request: new.id,
                guid: new.guid,
                supplier: new.supplier,
                content: new.digest,
            };
            let record = chain::append(connection, time, &requested).await?;
            insert(connection, time, new, record).await?;
            if new.is_approved {
                approve(connection, time, new.id, new.guid, Decider::Policy).await?;
            }
            find(connection, new.id).await?.ok_or(BooksError::Broken)
        })
    }

    /// Approves a request that waits, with these grants: it then waits for its gateway.
    pub(crate) fn approve_request(
        &self,
        time: Timestamp,
        id: MessageId,
        granted: &[Grant],
    ) -> Result<RequestEntry, BooksError> {
        let granted = serde_json::to_string(granted).map_err(BooksError::Act)?;
        self.database.transact(async |connection: &mut AnyConnection| {
            let request = waiting(connection, id).await?;
            query("UPDATE tsm_requests SET granted = $2 WHERE id = $1")
                .bind(id.to_string())
                .bind(granted)
                .execute(&mut *connection)
                .await?;
            approve(connection, time, id, request.guid, Decider::Operator).await?;
            find(connection, id).await?.ok_or(BooksError::Broken)
        })
    }

    /// Rejects a request that waits.
    pub(crate) fn reject_request(
        &self,
        time: Timestamp,
        id: MessageId,
        reason: &str,
    ) -> Result<RequestEntry, BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            waiting(connection, id).await?;
            let decided = Act::Decided {
                request: id,
                approved: false,
                by: Decider::Operator,
            };
            let record = chain::append(connection, time, &decided).await?;
            set_decision(connection, id, record).await?;
            set_state(connection, time, id, RequestState::Rejected, Some(reason)).await?;
            find(connection, id).await?.ok_or(BooksError::Broken)
        })
    }

    /// Returns the request of this identity.
    pub(crate) fn request(&self, id: MessageId) -> Result<RequestEntry, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            find(connection, id).await?.ok_or(BooksError::NoRequest { id })
        })
    }

    /// Returns the request of this identity, if the supplier with this SIG certificate has made it, with that or an earlier one.
    pub(crate) fn request_of(
        &self,
        id: MessageId,
        supplier: Fingerprint,
    ) -> Result<RequestEntry, BooksError> {
        let found = self.request(id)?;
        let behind = found.number.saturating_sub(1);
        let filter = Filter {
            supplier: Some(supplier),
            behind,
            ..Filter::default()
        };
        let of_supplier = self.requests(filter)?.into_iter().next();
        of_supplier
            .filter(|request| request.id == id)
            .ok_or(BooksError::NoRequest { id })
    }

    /// Returns a page of the requests that were looked for, in the order in which they came.
    pub(crate) fn requests(&self, filter: Filter) -> Result<Vec<RequestEntry>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query(REQUESTS_OF);
            let supplier = filter.supplier.map(|supplier| supplier.to_string());
            let rows = rows
                .bind(i64::try_from(filter.behind).unwrap_or(i64::MAX))
                .bind(supplier.unwrap_or_default())
                .bind(filter.state.map_or("", RequestState::as_str).to_owned())
                .bind(i64::try_from(PAGE).unwrap_or(i64::MAX))
                .fetch_all(connection)
                .await?;
            rows.iter().map(entry).collect()
        })
    }
}

async fn approve(
    connection: &mut AnyConnection,
    time: Timestamp,
    id: MessageId,
    guid: CardId,
    by: Decider,
) -> Result<(), BooksError> {
    let decided = Act::Decided {
        request: id,
        approved: true,
        by,
    };
    let record = chain::append(connection, time, &decided).await?;
    set_decision(connection, id, record).await?;
    set_state(connection, time, id, RequestState::Approved, None).await?;
    queue::enqueue(connection, guid, Some(id), Urgency::Asked).await
}

/// Returns the request if it still waits: of two operators who decide at the same time, the second one is told.
async fn waiting(connection: &mut AnyConnection, id: MessageId) -> Result<RequestEntry, BooksError> {
    let request = find(connection, id).await?.ok_or(BooksError::NoRequest { id })?;
    if request.state == RequestState::Waiting {
        return Ok(request);
    }
    let state = request.state;
    Err(BooksError::DecidedAlready { id, state })
}

pub(super) async fn find(
    connection: &mut AnyConnection,
    id: MessageId,
) -> Result<Option<RequestEntry>, BooksError> {
    let row = query("SELECT * FROM tsm_requests WHERE id = $1").bind(id.to_string());
    let row = row.fetch_optional(connection).await?;
    row.as_ref().map(entry).transpose()
}

async fn open_of(connection: &mut AnyConnection, supplier: Fingerprint) -> Result<u64, BooksError> {
    let row = query(
        "SELECT count(*) AS count FROM tsm_requests WHERE supplier = $1 AND state IN ('waiting', 'approved')",
    );
    let row = row.bind(supplier.to_string()).fetch_one(connection).await?;
    number(&row, "count")
}

async fn insert(
    connection: &mut AnyConnection,
    time: Timestamp,
    new: &NewRequest,
    record: i64,
) -> Result<(), BooksError> {
    let last = query("SELECT coalesce(max(number), 0) AS last FROM tsm_requests");
    let last = number(&last.fetch_one(&mut *connection).await?, "last")?;
    let next = i64::try_from(last.saturating_add(1)).map_err(|_| BooksError::Broken)?;
    query(
        "INSERT INTO tsm_requests (id, number, guid, supplier, name, received, content, granted, state, changed, record) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(new.id.to_string())
    .bind(next)
    .bind(new.guid.to_string())
    .bind(new.supplier.to_string())
    .bind(new.name.to_string())
    .bind(time.to_string())
    .bind(new.content.clone())
    .bind(serde_json::to_string(&new.granted).map_err(BooksError::Act)?)
    .bind(RequestState::Waiting.as_str().to_owned())
    .bind(time.to_string())
    .bind(record)
    .execute(connection)
    .await?;
    Ok(())
}

async fn set_decision(connection: &mut AnyConnection, id: MessageId, record: i64) -> Result<(), BooksError> {
    query("UPDATE tsm_requests SET decision = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(record)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn set_state(
    connection: &mut AnyConnection,
    time: Timestamp,
    id: MessageId,
    state: RequestState,
    reason: Option<&str>,
) -> Result<(), BooksError> {
    query("UPDATE tsm_requests SET state = $2, reason = $3, changed = $4 WHERE id = $1")
        .bind(id.to_string())
        .bind(state.as_str().to_owned())
        .bind(reason.map(str::to_owned))
        .bind(time.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

fn entry(row: &AnyRow) -> Result<RequestEntry, BooksError> {
    let damaged = || BooksError::Index {
        table: super::tsm_schema::REQUESTS,
    };
    Ok(RequestEntry {
        id: text(row, "id")?.parse().map_err(|_| damaged())?,
        number: number(row, "number")?,
        guid: text(row, "guid")?.parse()?,
        supplier: text(row, "supplier")?.parse()?,
        name: text(row, "name")?,
        received: text(row, "received")?.parse()?,
        content: text(row, "content")?,
        granted: serde_json::from_str(&text(row, "granted")?).map_err(BooksError::Act)?,
        state: text(row, "state")?.parse().map_err(|_| damaged())?,
        reason: row.try_get("reason")?,
        changed: text(row, "changed")?.parse()?,
    })
}
