//! The outbox: queued once, handed out in order, forgotten by receipt alone.

use model::Fingerprint;

use super::outbox::Occupancy;
use super::*;

fn message(id: u8, length: usize) -> OutboxMessage {
    OutboxMessage {
        id: [id; 16],
        recipient: recipient(1),
        content: vec![id; length],
    }
}

fn recipient(number: u8) -> Fingerprint {
    Fingerprint::new([number; 32])
}

fn waiting(database: &Database) -> Vec<u8> {
    let pending = database.pending(None).unwrap();
    pending
        .messages
        .iter()
        .map(|(_, message)| message.id[0])
        .collect()
}

#[test]
fn message_waits_until_its_recipient_has_it() {
    let place = Place::new();
    let database = place.open();
    for id in [3, 1, 2] {
        database.enqueue(&message(id, 10)).unwrap();
    }
    drop(database);
    let database = place.open();
    assert_eq!(waiting(&database), [3, 1, 2]);
    assert_eq!(
        database.receipt(&[1; 16], recipient(2)).unwrap(),
        Receipt::Unknown
    );
    assert_eq!(
        database.receipt(&[9; 16], recipient(1)).unwrap(),
        Receipt::Unknown
    );
    assert_eq!(
        database.receipt(&[1; 16], recipient(1)).unwrap(),
        Receipt::Forgotten
    );
    assert_eq!(
        database.receipt(&[1; 16], recipient(1)).unwrap(),
        Receipt::Unknown
    );
    drop(database);
    assert_eq!(waiting(&place.open()), [3, 2]);
}

#[test]
fn what_waits_for_others_is_withheld_and_makes_room() {
    let place = Place::new();
    let database = place.open();
    let limit = Occupancy {
        messages: 3,
        bytes: 30,
        last: i64::MAX,
    };
    let to = |id, number| OutboxMessage {
        recipient: recipient(number),
        ..message(id, 10)
    };
    let enqueue = |database: &Database, message: OutboxMessage| database.lock().enqueue(&message, limit);
    for waits in [to(1, 1), to(2, 2), to(3, 2)] {
        enqueue(&database, waits).unwrap();
    }
    let known = |numbers: &[u8]| numbers.iter().map(|number| recipient(*number)).collect();
    assert_eq!(database.withhold_from_all_but(&known(&[1, 2])).unwrap(), 0);
    assert_eq!(database.withhold_from_all_but(&known(&[1, 9])).unwrap(), 2);
    assert_eq!(waiting(&database), [1]);
    for waits in [to(4, 1), to(5, 1)] {
        enqueue(&database, waits).unwrap();
    }
    drop(database);
    let database = place.open();
    assert_eq!(waiting(&database), [1, 4, 5]);
    assert_eq!(database.losses(), []);
    assert_eq!(database.withhold_from_all_but(&known(&[])).unwrap(), 3);
    assert_eq!(waiting(&database), [0; 0]);
}

#[test]
fn message_that_is_queued_again_waits_once() {
    let database = Place::new().open();
    database.enqueue(&message(1, 10)).unwrap();
    database.enqueue(&message(1, 10)).unwrap();
    assert_eq!(waiting(&database), [1]);
    let error = database.enqueue(&message(1, 11)).unwrap_err();
    assert!(matches!(error, OutboxError::IdTaken), "{error:?}");
}

#[test]
fn round_and_its_messages_are_stored_together_or_not_at_all() {
    let place = Place::new();
    let database = place.open();
    let first = round([reading("M1", 900, "1")], []);
    database
        .register_and_enqueue(&first, &[message(1, 10), message(2, 10)])
        .unwrap();
    let second = round([reading("M2", 1800, "2")], []);
    let too_large = message(3, OutboxMessage::MAX_CONTENT + 1);
    let error = database
        .register_and_enqueue(&second, &[message(4, 1), too_large])
        .unwrap_err();
    assert!(
        matches!(
            error,
            RegisterError::Outbox(OutboxError::TooLarge { found: 1_048_577 })
        ),
        "{error:?}"
    );
    assert_eq!(database.elements(), [element("M1")]);
    drop(database);
    let database = place.open();
    assert_eq!(all(&database).readings, first.readings);
    assert_eq!(waiting(&database), [1, 2]);
}

#[test]
fn outbox_is_bounded_in_number_and_bytes() {
    let place = Place::new();
    let database = place.open();
    let limit = Occupancy {
        messages: 3,
        bytes: 100,
        last: i64::MAX,
    };
    let enqueue = |database: &Database, message: OutboxMessage| database.lock().enqueue(&message, limit);
    enqueue(&database, message(1, 60)).unwrap();
    let error = enqueue(&database, message(2, 41)).unwrap_err();
    assert!(
        matches!(
            error,
            OutboxError::Full {
                messages: 1,
                bytes: 60
            }
        ),
        "{error:?}"
    );
    enqueue(&database, message(2, 40)).unwrap();
    drop(database);
    let database = place.open();
    let error = enqueue(&database, message(3, 1)).unwrap_err();
    assert!(
        matches!(
            error,
            OutboxError::Full {
                messages: 2,
                bytes: 100
            }
        ),
        "{error:?}"
    );
    enqueue(&database, message(3, 0)).unwrap();
    enqueue(&database, message(4, 0)).unwrap_err();
    assert_eq!(
        database.receipt(&[1; 16], recipient(1)).unwrap(),
        Receipt::Forgotten
    );
    enqueue(&database, message(4, 60)).unwrap();
    let full = database
        .lock()
        .register(&round([reading("M1", 900, "1")], []), &[message(5, 0)], limit);
    assert!(
        matches!(full, Err(RegisterError::Outbox(OutboxError::Full { .. }))),
        "{full:?}"
    );
    assert_eq!(all(&database), Page::default());
}

#[test]
fn queue_is_handed_out_in_portions_that_miss_nothing() {
    let database = Place::new().open();
    for id in 0..130u8 {
        database.enqueue(&message(id, 20_000)).unwrap();
    }
    let mut found = Vec::new();
    let mut behind = None;
    loop {
        let pending = database.pending(behind).unwrap();
        assert!(pending.messages.len() <= 64);
        found.extend(pending.messages.iter().map(|(_, message)| message.id[0]));
        // What is forgotten in between shifts nothing, and new numbers follow the old ones.
        if behind.is_none() {
            assert_eq!(
                database.receipt(&[129; 16], recipient(1)).unwrap(),
                Receipt::Forgotten
            );
            database.enqueue(&message(200, 1)).unwrap();
        }
        behind = pending.more;
        if behind.is_none() {
            break;
        }
    }
    assert_eq!(found, (0..129).chain([200]).collect::<Vec<_>>());
}

#[test]
fn damaged_message_is_reported_and_never_handed_out() {
    let place = Place::new();
    let database = place.open();
    for id in [1, 2] {
        database.enqueue(&message(id, 10)).unwrap();
    }
    drop(database);
    for damage in ["content = x'00'", "crc = 1", "recipient = x'01'"] {
        place.tamper(&format!("UPDATE outbox SET {damage} WHERE number = 1"));
        let pending = place.open().pending(None).unwrap();
        assert_eq!(
            (pending.damaged.as_slice(), pending.messages.len()),
            (&[1][..], 1),
            "{damage}"
        );
    }
}

#[test]
fn failed_write_is_named() {
    let database = Place::new().open();
    let inner = database.lock();
    inner.connection.pragma_update(None, "query_only", true).unwrap();
    drop(inner);
    let error = database.enqueue(&message(1, 1)).unwrap_err();
    assert!(
        matches!(error, OutboxError::Database(DatabaseError::Engine(_))),
        "{error:?}"
    );
}

#[test]
fn suppliers_that_send_no_receipts_leave_room_for_others_and_for_the_tsm() {
    let database = Place::new().open();
    let long = |id: u8, recipient: u8| OutboxMessage {
        id: [id; 16],
        recipient: Fingerprint::new([recipient; 32]),
        content: vec![7; OutboxMessage::MAX_CONTENT - 1],
    };
    let mut id = 0;
    for supplier in 1..=7 {
        while !database
            .waiting_for(Fingerprint::new([supplier; 32]))
            .unwrap()
            .are_too_many()
        {
            id += 1;
            database.enqueue(&long(id, supplier)).unwrap();
        }
    }
    assert_eq!(id, 14, "two for each");
    let error = database.enqueue(&long(100, 8)).unwrap_err();
    assert!(
        matches!(error, OutboxError::Full { messages: 14, .. }),
        "{error:?}"
    );
    database.enqueue_for_tsm(&long(100, 200)).unwrap();
    database.enqueue_for_tsm(&long(101, 200)).unwrap();
    let error = database.enqueue_for_tsm(&long(102, 200)).unwrap_err();
    assert!(matches!(error, OutboxError::Full { .. }), "{error:?}");
}
