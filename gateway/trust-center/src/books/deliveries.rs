//! What two facilities owe each other, in the books of both: deliveries, receipts, cards that were begun, and reports.

use messages::certificate::PartyName;
use model::{CardId, Timestamp};
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};

use crate::books::certificates::write_issued;
use crate::books::database::{number, text};
use crate::books::{
    Act, Books, BooksError, DeliveryId, Issued, Outcome, Station, chain, settle, unused_guid,
};

/// What the second facility's books call the place of a GUID that it has got: none yet.
const IN_STOCK: &str = "";

/// Finds the GUIDs of a delivery with which no card has been begun.
const UNUSED_OF: &str = "SELECT guid FROM guids WHERE batch = $1 AND guid NOT IN (SELECT guid FROM begun) \
     AND guid NOT IN (SELECT guid FROM cards) ORDER BY guid";

/// A delivery as the books know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The other side's name.
    pub(crate) facility: PartyName,
    /// Whether it has arrived, as the facility itself knows.
    pub(crate) has_arrived: bool,
    /// How it has ended, if it has.
    pub(crate) end: Option<DeliveryEnd>,
}

/// How a delivery has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryEnd {
    /// Both know that it has arrived.
    Confirmed,
    /// The trust centre has given it up.
    Cancelled,
}

/// A delivery that is pending at the trust centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PendingDelivery {
    /// Its name.
    pub(crate) delivery: DeliveryId,
    /// For whom it is.
    pub(crate) facility: PartyName,
    /// When it was given.
    pub(crate) given: Timestamp,
    /// How many cards it is for.
    pub(crate) cards: u64,
}

/// What a trust centre gives for some cards: one GUID for each, and certificates.
pub(crate) struct Giving<'a, T> {
    /// The delivery.
    pub(crate) delivery: DeliveryId,
    /// For whom.
    pub(crate) facility: &'a PartyName,
    /// How many cards.
    pub(crate) cards: usize,
    /// Draws a GUID for the card of this number, counted from 0.
    pub(crate) draw: &'a mut (dyn FnMut(usize) -> Result<CardId, BooksError> + Send),
    /// Issues the certificates that carry it.
    pub(crate) issue: &'a mut (dyn FnMut(usize, CardId) -> Result<(T, Vec<Issued>), BooksError> + Send),
}

impl Books {
    /// Gives GUIDs and certificates to a second facility. `seal` gets what was made, and puts it on the disk before any of
    /// it is in the books; if it fails, nothing was given.
    pub(crate) fn give_material<T: Send>(
        &self,
        time: Timestamp,
        giving: Giving<'_, T>,
        seal: impl FnOnce(Vec<(CardId, T)>) -> Result<(), BooksError> + Send,
    ) -> Result<Vec<CardId>, BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let Giving {
                delivery,
                facility,
                cards,
                draw,
                issue,
            } = giving;
            let (mut guids, mut made) = (Vec::new(), Vec::new());
            for number in 0..cards {
                let guid = unused_guid(connection, &mut || draw(number)).await?;
                let record = chain::append(connection, time, &Act::GuidGiven { guid }).await?;
                let station = format!("facility {facility}");
                insert_guid(connection, guid, &station, delivery, record).await?;
                let (value, certificates) = issue(number, guid)?;
                write_issued(connection, time, &certificates).await?;
                guids.push(guid);
                made.push((guid, value));
            }
            let act = Act::MaterialGiven {
                delivery,
                facility: facility.clone(),
                guids: guids.clone(),
            };
            let record = chain::append(connection, time, &act).await?;
            insert_delivery(connection, delivery, facility, record).await?;
            seal(made)?;
            Ok(guids)
        })
    }

    /// Writes down that this delivery is for no cards, and has arrived: its name is used up.
    pub(crate) fn burn_delivery(
        &self,
        time: Timestamp,
        delivery: DeliveryId,
        facility: &PartyName,
    ) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let act = Act::MaterialGiven {
                delivery,
                facility: facility.clone(),
                guids: Vec::new(),
            };
            let record = chain::append(connection, time, &act).await?;
            insert_delivery(connection, delivery, facility, record).await?;
            let record = chain::append(connection, time, &Act::MaterialConfirmed { delivery }).await?;
            insert_receipt(connection, delivery, record).await
        })
    }

    /// Gives a delivery up that is pending: its cards are scrap, wherever they are, and their certificates revoked. Returns
    /// `None`, and writes nothing, if it is known already what became of some of them: then it has arrived.
    pub(crate) fn cancel_material(
        &self,
        time: Timestamp,
        delivery: DeliveryId,
    ) -> Result<Option<Vec<CardId>>, BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let rows = query(
                "SELECT guids.guid AS guid, outcome FROM guids LEFT JOIN cards ON cards.guid = guids.guid \
                 WHERE batch = $1 ORDER BY guids.guid",
            );
            let rows = rows
                .bind(delivery.to_string())
                .fetch_all(&mut *connection)
                .await?;
            let mut guids: Vec<CardId> = Vec::new();
            for row in &rows {
                let outcome: Option<String> = sqlx::Row::try_get(row, "outcome")?;
                if outcome.is_some() {
                    return Ok(None);
                }
                guids.push(text(row, "guid")?.parse()?);
            }
            cancel(connection, time, delivery).await?;
            for guid in guids.iter().copied() {
                settle(connection, time, guid, Outcome::Scrapped, &Act::Scrapped { guid }).await?;
            }
            Ok(Some(guids))
        })
    }

    /// Writes down, at the second facility, that the trust centre has given a delivery up; material of it that no card was
    /// begun with is left blank. Returns the GUIDs of that.
    pub(crate) fn forget_material(
        &self,
        time: Timestamp,
        delivery: DeliveryId,
    ) -> Result<Vec<CardId>, BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let rows = query(UNUSED_OF).bind(delivery.to_string());
            let rows = rows.fetch_all(&mut *connection).await?;
            let guids = rows.iter().map(|row| Ok(text(row, "guid")?.parse()?));
            let guids = guids.collect::<Result<Vec<CardId>, BooksError>>()?;
            cancel(connection, time, delivery).await?;
            for guid in guids.iter().copied() {
                settle(
                    connection,
                    time,
                    guid,
                    Outcome::LeftBlank,
                    &Act::LeftBlank { guid },
                )
                .await?;
            }
            Ok(guids)
        })
    }

    /// Returns the delivery with which a GUID was given, if it was in one.
    pub(crate) fn delivery_with(&self, guid: CardId) -> Result<Option<Delivery>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let row = query("SELECT batch FROM guids WHERE guid = $1").bind(guid.to_string());
            let row = row.fetch_optional(&mut *connection).await?;
            let batch = row.as_ref().map(|row| text(row, "batch")).transpose()?;
            match batch.and_then(|batch| batch.parse().ok()) {
                Some(delivery) => find(connection, delivery).await,
                None => Ok(None),
            }
        })
    }

    /// Returns the deliveries that are pending, oldest first.
    pub(crate) fn pending_deliveries(&self) -> Result<Vec<PendingDelivery>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query(
                "SELECT delivery, facility, time, \
                 (SELECT count(*) FROM guids WHERE batch = delivery) AS cards \
                 FROM deliveries JOIN records ON records.number = deliveries.record \
                 WHERE delivery NOT IN (SELECT delivery FROM receipts) ORDER BY deliveries.record",
            );
            let rows = rows.fetch_all(connection).await?;
            let read = |row: &AnyRow| {
                Ok(PendingDelivery {
                    delivery: delivery_of(row)?,
                    facility: facility_of(row)?,
                    given: text(row, "time")?.parse()?,
                    cards: number(row, "cards")?,
                })
            };
            rows.iter().map(read).collect()
        })
    }

    /// Returns the place that a GUID was given to, if it was given.
    pub(crate) fn station_of(&self, guid: CardId) -> Result<Option<String>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let row = query("SELECT station FROM guids WHERE guid = $1").bind(guid.to_string());
            let row = row.fetch_optional(connection).await?;
            row.as_ref().map(|row| text(row, "station")).transpose()
        })
    }

    /// Writes down that both know that the delivery has arrived.
    pub(crate) fn confirm_material(&self, time: Timestamp, delivery: DeliveryId) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let act = Act::MaterialConfirmed { delivery };
            let record = chain::append(connection, time, &act).await?;
            insert_receipt(connection, delivery, record).await
        })
    }

    /// Writes down, at the second facility, that it sets out to get a delivery from the trust centre of this name.
    pub(crate) fn order_material(
        &self,
        time: Timestamp,
        delivery: DeliveryId,
        facility: &PartyName,
    ) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            order(connection, time, delivery, facility).await
        })
    }

    /// Writes down, at the second facility, that a delivery has arrived. One that came unasked, in a file, is ordered by
    /// the way.
    pub(crate) fn receive_material(
        &self,
        time: Timestamp,
        delivery: DeliveryId,
        facility: &PartyName,
        guids: &[CardId],
    ) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            if find(connection, delivery).await?.is_none() {
                order(connection, time, delivery, facility).await?;
            }
            let act = Act::MaterialReceived {
                delivery,
                guids: guids.to_vec(),
            };
            let record = chain::append(connection, time, &act).await?;
            for guid in guids {
                insert_guid(connection, *guid, IN_STOCK, delivery, record).await?;
            }
            query("INSERT INTO arrivals (delivery, record) VALUES ($1, $2)")
                .bind(delivery.to_string())
                .bind(record)
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Writes down, at the second facility, that a card is begun with this GUID at this place.
    pub(crate) fn begin_card(
        &self,
        time: Timestamp,
        guid: CardId,
        station: &Station,
    ) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let record = chain::append(connection, time, &Act::CardBegun { guid }).await?;
            query("INSERT INTO begun (guid, station, batch, record) VALUES ($1, $2, $3, $4)")
                .bind(guid.to_string())
                .bind(station.place.clone())
                .bind(station.batch.clone())
                .bind(record)
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Writes down, at the second facility, that the trust centre knows what became of these cards.
    pub(crate) fn reported(&self, time: Timestamp, guids: &[CardId]) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let act = Act::OutcomesReported {
                guids: guids.to_vec(),
            };
            let record = chain::append(connection, time, &act).await?;
            for guid in guids {
                query("INSERT INTO reports (guid, record) VALUES ($1, $2)")
                    .bind(guid.to_string())
                    .bind(record)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        })
    }

    /// Returns what is known of a delivery.
    pub(crate) fn delivery(&self, delivery: DeliveryId) -> Result<Option<Delivery>, BooksError> {
        self.database
            .run(async |connection: &mut AnyConnection| find(connection, delivery).await)
    }

    /// Returns the deliveries to or from this facility that are not confirmed, oldest first.
    pub(crate) fn open_deliveries(&self, facility: &PartyName) -> Result<Vec<DeliveryId>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query(
                "SELECT delivery FROM deliveries WHERE facility = $1 \
                 AND delivery NOT IN (SELECT delivery FROM receipts) ORDER BY record",
            );
            let rows = rows.bind(facility.to_string()).fetch_all(connection).await?;
            rows.iter().map(delivery_of).collect()
        })
    }

    /// Returns the deliveries that have arrived and of whose cards some are not settled yet.
    pub(crate) fn stock(&self) -> Result<Vec<DeliveryId>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query(
                "SELECT delivery FROM arrivals WHERE delivery IN \
                 (SELECT batch FROM guids WHERE guid NOT IN (SELECT guid FROM cards)) ORDER BY record",
            );
            let rows = rows.fetch_all(connection).await?;
            rows.iter().map(delivery_of).collect()
        })
    }

    /// Returns the GUIDs of a delivery.
    pub(crate) fn guids_of(&self, delivery: DeliveryId) -> Result<Vec<CardId>, BooksError> {
        self.guids(
            "SELECT guid FROM guids WHERE batch = $1 ORDER BY guid",
            &delivery.to_string(),
        )
    }

    /// Returns the GUIDs that the second facility has got and of whose cards it is not known yet what became of them.
    pub(crate) fn unmade(&self) -> Result<Vec<CardId>, BooksError> {
        self.guids(
            "SELECT guid FROM guids WHERE station = $1 AND batch IN (SELECT delivery FROM arrivals) \
             AND guid NOT IN (SELECT guid FROM cards) ORDER BY record, guid",
            IN_STOCK,
        )
    }

    /// Returns the GUIDs that the second facility has got and with which no card has been begun yet, in the order in which
    /// they have arrived.
    pub(crate) fn unbegun(&self) -> Result<Vec<CardId>, BooksError> {
        self.guids(
            "SELECT guid FROM guids WHERE station = $1 AND batch IN (SELECT delivery FROM arrivals) \
             AND guid NOT IN (SELECT guid FROM begun) AND guid NOT IN (SELECT guid FROM cards) \
             ORDER BY record, guid",
            IN_STOCK,
        )
    }

    /// Returns the GUIDs of a delivery with which no card has been begun yet.
    pub(crate) fn unused_of(&self, delivery: DeliveryId) -> Result<Vec<CardId>, BooksError> {
        self.guids(UNUSED_OF, &delivery.to_string())
    }

    /// Returns the GUIDs that a card was begun with at this place, and of which it is not known yet what became of it.
    pub(crate) fn begun_at(&self, station: &str) -> Result<Vec<CardId>, BooksError> {
        self.guids(
            "SELECT guid FROM begun WHERE station = $1 AND guid NOT IN (SELECT guid FROM cards) ORDER BY record",
            station,
        )
    }

    /// Returns the GUIDs of the complete cards of a batch of the second facility, oldest first.
    pub(crate) fn made_in(&self, batch: &str) -> Result<Vec<CardId>, BooksError> {
        self.guids(
            "SELECT guid FROM begun WHERE batch = $1 AND guid IN \
             (SELECT guid FROM cards WHERE outcome = 'completed') ORDER BY record",
            batch,
        )
    }

    /// Returns what became of the cards of which the trust centre does not know it yet.
    pub(crate) fn unreported(&self) -> Result<Vec<(CardId, Outcome)>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query(
                "SELECT guid, outcome FROM cards WHERE guid NOT IN (SELECT guid FROM reports) ORDER BY record",
            );
            let rows = rows.fetch_all(connection).await?;
            let read = |row: &AnyRow| {
                let outcome = Outcome::parse(&text(row, "outcome")?)?;
                Ok((text(row, "guid")?.parse()?, outcome))
            };
            rows.iter().map(read).collect()
        })
    }
}

async fn find(connection: &mut AnyConnection, delivery: DeliveryId) -> Result<Option<Delivery>, BooksError> {
    let row = query(
        "SELECT facility, arrivals.delivery AS arrived, records.act AS ended FROM deliveries \
         LEFT JOIN arrivals ON arrivals.delivery = deliveries.delivery \
         LEFT JOIN receipts ON receipts.delivery = deliveries.delivery \
         LEFT JOIN records ON records.number = receipts.record WHERE deliveries.delivery = $1",
    );
    let row = row.bind(delivery.to_string()).fetch_optional(connection).await?;
    let read = |row: AnyRow| {
        let arrived: Option<String> = sqlx::Row::try_get(&row, "arrived")?;
        let ended: Option<String> = sqlx::Row::try_get(&row, "ended")?;
        let ended: Option<Act> = ended
            .map(|act| serde_json::from_str(&act).map_err(BooksError::Act))
            .transpose()?;
        Ok(Delivery {
            facility: facility_of(&row)?,
            has_arrived: arrived.is_some(),
            end: ended.map(|act| match act {
                Act::MaterialCancelled { .. } => DeliveryEnd::Cancelled,
                _ => DeliveryEnd::Confirmed,
            }),
        })
    };
    row.map(read).transpose()
}

async fn order(
    connection: &mut AnyConnection,
    time: Timestamp,
    delivery: DeliveryId,
    facility: &PartyName,
) -> Result<(), BooksError> {
    let act = Act::MaterialOrdered {
        delivery,
        facility: facility.clone(),
    };
    let record = chain::append(connection, time, &act).await?;
    insert_delivery(connection, delivery, facility, record).await
}

async fn insert_delivery(
    connection: &mut AnyConnection,
    delivery: DeliveryId,
    facility: &PartyName,
    record: i64,
) -> Result<(), BooksError> {
    query("INSERT INTO deliveries (delivery, facility, record) VALUES ($1, $2, $3)")
        .bind(delivery.to_string())
        .bind(facility.to_string())
        .bind(record)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes down that a delivery is given up: like its receipt, that is its end.
async fn cancel(
    connection: &mut AnyConnection,
    time: Timestamp,
    delivery: DeliveryId,
) -> Result<(), BooksError> {
    let act = Act::MaterialCancelled { delivery };
    let record = chain::append(connection, time, &act).await?;
    insert_receipt(connection, delivery, record).await
}

async fn insert_receipt(
    connection: &mut AnyConnection,
    delivery: DeliveryId,
    record: i64,
) -> Result<(), BooksError> {
    query("INSERT INTO receipts (delivery, record) VALUES ($1, $2)")
        .bind(delivery.to_string())
        .bind(record)
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_guid(
    connection: &mut AnyConnection,
    guid: CardId,
    station: &str,
    delivery: DeliveryId,
    record: i64,
) -> Result<(), BooksError> {
    query("INSERT INTO guids (guid, station, batch, record) VALUES ($1, $2, $3, $4)")
        .bind(guid.to_string())
        .bind(station.to_owned())
        .bind(delivery.to_string())
        .bind(record)
        .execute(connection)
        .await?;
    Ok(())
}

fn facility_of(row: &AnyRow) -> Result<PartyName, BooksError> {
    let facility = PartyName::try_from(text(row, "facility")?);
    facility.map_err(|_| BooksError::Index { table: "deliveries" })
}

fn delivery_of(row: &AnyRow) -> Result<DeliveryId, BooksError> {
    let delivery = text(row, "delivery")?.parse();
    delivery.map_err(|_| BooksError::Index { table: "deliveries" })
}
