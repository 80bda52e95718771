use std::collections::BTreeSet;

use counterparty::random::RandomError;
use messages::certificate::PartyName;
use sqlx::raw_sql;

use super::*;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn station() -> Station {
    Station {
        place: "here".to_owned(),
        batch: String::new(),
    }
}

fn act() -> Act {
    let name: PartyName = "Somebody".parse().unwrap();
    let [sig, enc, tls] = [1, 2, 3].map(|byte| Fingerprint::new([byte; 32]));
    Act::Certified { name, sig, enc, tls }
}

/// Gives the GUID away that is drawn first and has not been given.
fn give(books: &Books, mut draws: impl Iterator<Item = u8> + Send) -> Result<CardId, BooksError> {
    let draw = || {
        let drawn = draws.next().ok_or(BooksError::Random(RandomError))?;
        Ok(format!("fd5a::{drawn:x}").parse().unwrap())
    };
    let given = books.give_guid(&station(), now(), draw, |_| Ok(((), Vec::new())));
    given.map(|(guid, ())| guid)
}

impl Books {
    /// Does to the database what no operator does.
    pub(crate) fn force(&self, statement: &'static str) -> Result<(), BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            raw_sql(statement).execute(connection).await?;
            Ok(())
        })
    }
}

fn force(books: &Books, statement: &'static str) -> Result<(), BooksError> {
    books.force(statement)
}

#[test]
fn guid_is_never_given_twice_across_restarts() {
    let home = tempfile::tempdir().unwrap();
    let books = Books::create(home.path(), None).unwrap();
    let first = give(&books, [1].into_iter()).unwrap();
    drop(books);
    let books = Books::open(home.path()).unwrap();
    let second = give(&books, [1, 1, 2].into_iter()).unwrap();
    assert_ne!(first, second);
    assert!(matches!(
        give(&books, std::iter::repeat(1)),
        Err(BooksError::Exhausted)
    ));
    assert!(matches!(
        give(&books, std::iter::empty()),
        Err(BooksError::Random(_))
    ));
    assert_eq!(books.verify().unwrap().records, 2);
}

#[test]
fn act_that_fails_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let books = Books::create(home.path(), None).unwrap();
    let draw = || Ok("fd5a::1".parse().unwrap());
    let refused = books.give_guid(&station(), now(), draw, |_| Err::<((), _), _>(BooksError::Broken));
    assert!(matches!(refused, Err(BooksError::Broken)));
    assert_eq!(books.page(0).unwrap(), []);
    give(&books, [1].into_iter()).unwrap();
}

#[test]
fn database_refuses_to_alter_or_delete() {
    let home = tempfile::tempdir().unwrap();
    let books = Books::create(home.path(), None).unwrap();
    books.record(now(), &act()).unwrap();
    give(&books, [1].into_iter()).unwrap();
    for statement in [
        "UPDATE records SET act = '{}'",
        "DELETE FROM records",
        "INSERT OR REPLACE INTO records SELECT number, time, '{}', hash FROM records",
        "REPLACE INTO guids SELECT guid, 'elsewhere', batch, record FROM guids",
        "INSERT INTO records (number, time, act, hash) VALUES (9, '', '', '')",
        "DELETE FROM guids",
        "UPDATE books SET version = 2",
    ] {
        assert!(
            matches!(force(&books, statement), Err(BooksError::Database(_))),
            "{statement}"
        );
    }
    assert_eq!(books.verify().unwrap().records, 2);
}

#[test]
fn what_was_altered_all_the_same_is_found() {
    for (statements, found) in [
        (
            "DROP TRIGGER records_update; UPDATE records SET time = '2026-06-01T12:00:01Z' WHERE number = 2",
            2,
        ),
        (
            "DROP TRIGGER records_update; UPDATE records SET act = replace(act, 'Somebody', 'Nobody') WHERE number = 1",
            1,
        ),
        (
            "PRAGMA foreign_keys = OFF; DROP TRIGGER records_delete; DELETE FROM records WHERE number = 1",
            1,
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        let books = Books::create(home.path(), None).unwrap();
        for _ in 0..3 {
            books.record(now(), &act()).unwrap();
        }
        force(&books, statements).unwrap();
        let error = books.verify().unwrap_err();
        assert!(
            matches!(error, BooksError::Altered { number } if number == found),
            "{error}"
        );
    }
    let home = tempfile::tempdir().unwrap();
    let books = Books::create(home.path(), None).unwrap();
    give(&books, [1].into_iter()).unwrap();
    let head = books.verify().unwrap();
    force(&books, "DROP TRIGGER guids_delete; DELETE FROM guids").unwrap();
    assert!(matches!(
        books.verify(),
        Err(BooksError::Index { table: "guids" })
    ));
    // Cut off at the end, the chain holds; its head shows it.
    force(&books, "DROP TRIGGER records_delete; DELETE FROM records").unwrap();
    assert_ne!(books.verify().unwrap(), head);
}

#[test]
fn card_that_ended_its_life_is_known_by_it_ever_after() {
    let home = tempfile::tempdir().unwrap();
    let books = Books::create(home.path(), None).unwrap();
    let guid = give(&books, [1].into_iter()).unwrap();
    books.record(now(), &Act::TerminationBegun { guid }).unwrap();
    assert!(!books.is_terminated(guid).unwrap());
    for witness in [Witness::Gateway, Witness::Card] {
        books.record(now(), &Act::Terminated { guid, witness }).unwrap();
        assert!(books.is_terminated(guid).unwrap());
    }
    assert!(!books.is_terminated("fd5a::2".parse().unwrap()).unwrap());
    drop(books);
    let books = Books::open(home.path()).unwrap();
    assert!(books.is_terminated(guid).unwrap());
    assert_eq!(books.verify().unwrap().records, 4);
    for statement in [
        "DELETE FROM terminations",
        "UPDATE terminations SET guid = 'fd5a::2'",
        "INSERT OR REPLACE INTO terminations SELECT guid, 1 FROM terminations",
    ] {
        assert!(
            matches!(force(&books, statement), Err(BooksError::Database(_))),
            "{statement}"
        );
    }
    force(
        &books,
        "DROP TRIGGER terminations_delete; DELETE FROM terminations",
    )
    .unwrap();
    assert!(matches!(
        books.verify(),
        Err(BooksError::Index {
            table: "terminations"
        })
    ));
}

#[test]
fn missing_and_later_books_are_named_and_never_begun_anew() {
    let home = tempfile::tempdir().unwrap();
    let error = Books::open(home.path()).unwrap_err();
    assert!(matches!(error, BooksError::File(FileError::Missing { .. })));
    let books = Books::create(home.path(), None).unwrap();
    let error = Books::create(home.path(), None).unwrap_err();
    assert!(matches!(error, BooksError::File(FileError::Exists { .. })));
    force(&books, "INSERT INTO books (version) VALUES (1000)").unwrap();
    let error = Books::open(home.path()).unwrap_err();
    assert!(matches!(error, BooksError::Version { found: 1_000 }));
    assert!(error.to_string().contains("or a later one"), "{error}");
    drop(books);
    std::fs::write(home.path().join("books.db"), "").unwrap();
    assert!(matches!(Books::open(home.path()), Err(BooksError::Missing)));
    std::fs::write(home.path().join("books.url"), "mysql://localhost/books").unwrap();
    assert!(matches!(Books::open(home.path()), Err(BooksError::Address)));
}

/// A folder with the books of an earlier version.
fn earlier(sql: &'static str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.db");
    Database::make_file(&path).unwrap();
    let database = Database::open_file(&path).unwrap();
    force(&Books { database }, sql).unwrap();
    home
}

const VERSION_1: &str = include_str!("../../../../tests/vectors/books/version-1.sql");

#[test]
fn books_of_an_earlier_version_are_brought_to_the_present_one_and_say_the_same() {
    let home = earlier(VERSION_1);
    let books = Books::open(home.path()).unwrap();
    assert_eq!(books.database.version().unwrap(), Some(schema::VERSION));
    let verified = books.verify().unwrap();
    assert_eq!(
        (verified.records, verified.head.to_string().as_str()),
        (
            14,
            "9fc4a91731f031cc9503501a434fefedbf40d1f721ed1d62ac0ee5fe4a658a37"
        )
    );
    // What is new is guarded as what was there before.
    let delivery = DeliveryId::new([1; 16]);
    let facility: PartyName = "Factory".parse().unwrap();
    books.order_material(now(), delivery, &facility).unwrap();
    for statement in [
        "DELETE FROM deliveries",
        "UPDATE deliveries SET facility = ''",
        "INSERT OR REPLACE INTO deliveries SELECT * FROM deliveries",
        "DELETE FROM records",
    ] {
        assert!(
            matches!(force(&books, statement), Err(BooksError::Database(_))),
            "{statement}"
        );
    }
    drop(books);
    assert_eq!(Books::open(home.path()).unwrap().verify().unwrap().records, 15);
}

#[test]
fn operators_who_open_earlier_books_at_once_bring_them_forward_once() {
    let home = earlier(VERSION_1);
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Books::open(home.path()).map(|books| books.verify().unwrap().records)))
            .collect();
        for opened in opened {
            assert_eq!(opened.join().unwrap().unwrap(), 14);
        }
    });
}

#[test]
fn step_that_fails_leaves_the_earlier_version_in_force() {
    let home = earlier(VERSION_1);
    let database = Database::open_file(&home.path().join("books.db")).unwrap();
    let books = Books { database };
    // Something of the next version is in the way.
    force(&books, "CREATE TABLE reports (guid TEXT)").unwrap();
    drop(books);
    assert!(matches!(Books::open(home.path()), Err(BooksError::Database(_))));
    let database = Database::open_file(&home.path().join("books.db")).unwrap();
    assert_eq!(database.version().unwrap(), Some(1));
    let books = Books { database };
    force(&books, "DROP TABLE reports").unwrap();
    drop(books);
    assert_eq!(Books::open(home.path()).unwrap().verify().unwrap().records, 14);
}

#[test]
fn every_table_is_named_with_its_columns() {
    let home = tempfile::tempdir().unwrap();
    let books = Books::create(home.path(), None).unwrap();
    let list = "SELECT m.name || ' ' || c.name || ' ' || c.type AS key FROM sqlite_master m, pragma_table_info(m.name) c \
                WHERE m.type = 'table'";
    let found: BTreeSet<String> = books
        .database
        .run(async |connection: &mut AnyConnection| {
            let rows = query(list).fetch_all(connection).await?;
            rows.iter().map(|row| text(row, "key")).collect()
        })
        .unwrap();
    let named = schema::tables().flat_map(|table| {
        let texts = table
            .texts
            .iter()
            .map(|column| format!("{} {column} TEXT", table.name));
        let numbers = table.numbers.iter();
        texts.chain(numbers.map(|column| format!("{} {column} BIGINT", table.name)))
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), found);
}

#[test]
fn folder_with_signs_that_urls_reserve_holds_books() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("a b?c#d%e ü");
    std::fs::create_dir(&folder).unwrap();
    drop(Books::create(&folder, None).unwrap());
    Books::open(&folder).unwrap().record(now(), &act()).unwrap();
    assert!(folder.join("books.db").exists());
}

#[test]
fn operators_come_one_after_the_other() {
    let home = tempfile::tempdir().unwrap();
    drop(Books::create(home.path(), None).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let books = Books::open(home.path()).unwrap();
                for number in 0..25 {
                    // All draw the same GUIDs, and every one has to be given once.
                    let mut draws = (0..100).cycle().skip(number);
                    let draw = || Ok(format!("fd5a::1:{:x}", draws.next().unwrap()).parse().unwrap());
                    match books.give_guid(&station(), now(), draw, |_| Ok(((), Vec::new()))) {
                        Ok(_) | Err(BooksError::Exhausted) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
    });
    let books = Books::open(home.path()).unwrap();
    let given = books.unsettled("here").unwrap();
    let verified = books.verify().unwrap();
    assert_eq!(verified.records, u64::try_from(given.len()).unwrap());
    assert!(given.len() >= 25);
}

const OLD: &str = concat!(
    r#"{"time":"2026-05-01T12:00:00Z","act":"founded","name":"Old","root":"0101010101010101010101010101010101010101010101010101010101010101","tsm":"0101010101010101010101010101010101010101010101010101010101010101"}"#,
    "\n",
    r#"{"time":"2026-05-01T12:00:01Z","act":"guid-given","guid":"fd5a::1"}"#,
    "\n",
    r#"{"time":"2026-05-01T12:00:02Z","act":"guid-given","guid":"fd5a::2"}"#,
    "\n",
    r#"{"time":"2026-05-01T12:00:03Z","act":"personalized","guid":"fd5a::1","sig":"0101010101010101010101010101010101010101010101010101010101010101","enc":"0101010101010101010101010101010101010101010101010101010101010101","tls":"0101010101010101010101010101010101010101010101010101010101010101"}"#,
    "\n",
    r#"{"time":"2026-05-01T12:00:04Z","act":"terminated","guid":"fd5a::1","witness":"card"}"#,
    "\n"
);

#[test]
fn books_of_an_earlier_version_are_taken_over_once() {
    let home = tempfile::tempdir().unwrap();
    let old = home.path().join("records.jsonl");
    std::fs::write(&old, format!("{OLD}{}", &OLD[..20])).unwrap();
    // A take-over that was cut off before.
    std::fs::write(home.path().join("books.db.new"), "half").unwrap();
    let books = Books::open(home.path()).unwrap();
    assert!(!old.exists() && home.path().join("records.jsonl.imported").exists());
    let records = books.page(0).unwrap();
    assert_eq!(records.len(), 6);
    assert_eq!(records[1].time, "2026-05-01T12:00:01Z".parse().unwrap());
    assert!(matches!(records[5].act, Act::Imported { records: 5, .. }));
    books.verify().unwrap();
    assert_eq!(
        give(&books, [1, 2, 3].into_iter()).unwrap(),
        "fd5a::3".parse().unwrap()
    );
    assert_eq!(
        books.outcome("fd5a::1".parse().unwrap()).unwrap(),
        Some(Outcome::Completed)
    );
    assert!(books.is_terminated("fd5a::1".parse().unwrap()).unwrap());
    drop(books);
    assert_eq!(Books::open(home.path()).unwrap().verify().unwrap().records, 7);
}

#[test]
fn damaged_line_of_an_earlier_version_is_named() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join("records.jsonl"),
        format!("{OLD}{{\"act\":\"danced\"}}\n"),
    )
    .unwrap();
    let error = Books::open(home.path()).unwrap_err();
    assert!(matches!(error, BooksError::Damaged { line: 6, .. }), "{error}");
    assert!(home.path().join("records.jsonl").exists());
}

#[test]
fn installation_that_is_written_down_again_is_recorded_once() {
    let home = tempfile::tempdir().unwrap();
    let books = Books::create(home.path(), None).unwrap();
    let supplier = [Fingerprint::new([7; 32])];
    let [one, two] = ["fd5a::1", "fd5a::2"].map(|guid| guid.parse::<CardId>().unwrap());
    let operational = model::GatewayState::Operational;
    for (guid, version) in [(one, 1), (one, 1), (two, 1), (one, 1), (one, 2), (two, 1)] {
        let installed = (guid, version, operational);
        books.record_installed(now(), installed, &supplier).unwrap();
    }
    let records = books.page(0).unwrap();
    let installed: Vec<_> = records
        .iter()
        .filter_map(|record| match record.act {
            Act::Installed { guid, version, .. } => Some((guid, version)),
            _ => None,
        })
        .collect();
    assert_eq!(installed, [(one, 1), (two, 1), (one, 2)]);
    books.verify().unwrap();
}
