//! The tables of the books, in both engines.
//!
//! The records are the truth. Every other table is an index of what they say, so that a rule of
//! the database can hold it: no GUID twice, no serial number twice, nothing revoked twice. Both engines understand these
//! statements; only the triggers are written in each one's own language.
//!
//! The tables are made in steps, one for each version, and go forward only. A step that has been in the field is never
//! edited: whoever needs a new table appends a step, and a file to `tests/vectors/books`.

use crate::books::tsm_schema;

/// What one version has added.
#[derive(Debug)]
pub(super) struct Step {
    /// The statements.
    definition: &'static [&'static str],
    /// The tables that they make.
    tables: &'static [&'static [Table]],
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// What keeps it as it was written.
    pub(super) guard: Guard,
    /// Its columns of text.
    pub(super) texts: &'static [&'static str],
    /// Its columns of numbers.
    pub(super) numbers: &'static [&'static str],
    /// What its rows are ordered by: none is before one that it refers to.
    pub(super) order: &'static str,
}

/// What keeps a table as it was written.
#[derive(Debug)]
pub(super) enum Guard {
    /// It refuses to be altered; SQLite has the row that is to be inserted already when this holds.
    AppendOnly(&'static str),
    /// Nothing: its rows are the present, and change with it.
    Changing,
}

/// Every step, oldest first.
const STEPS: [Step; 2] = [ORIGIN, FACILITIES_AND_TSM];

/// The version of the tables.
pub(super) const VERSION: i64 = 2;
const _: () = assert!(
    STEPS.len() == 2,
    "the version is the number of steps, and the two change together"
);

const ORIGIN: Step = Step {
    definition: &["
CREATE TABLE books (version BIGINT PRIMARY KEY);
CREATE TABLE records (
    number BIGINT PRIMARY KEY,
    time TEXT NOT NULL,
    act TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE
);
CREATE TABLE guids (
    guid TEXT PRIMARY KEY,
    station TEXT NOT NULL,
    batch TEXT NOT NULL,
    record BIGINT NOT NULL REFERENCES records (number)
);
CREATE INDEX guids_by_batch ON guids (batch, record);
CREATE INDEX guids_by_station ON guids (station, record);
CREATE TABLE cards (
    guid TEXT PRIMARY KEY REFERENCES guids (guid),
    outcome TEXT NOT NULL,
    record BIGINT NOT NULL REFERENCES records (number)
);
CREATE TABLE certificates (
    serial TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    issuer TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    slot TEXT NOT NULL,
    expiry TEXT NOT NULL,
    pem TEXT NOT NULL,
    record BIGINT NOT NULL REFERENCES records (number)
);
CREATE INDEX certificates_by_name ON certificates (name, record);
CREATE TABLE revocations (
    serial TEXT PRIMARY KEY REFERENCES certificates (serial),
    time TEXT NOT NULL,
    reason TEXT NOT NULL,
    record BIGINT NOT NULL REFERENCES records (number)
);
CREATE TABLE lists (
    issuer TEXT NOT NULL,
    list BIGINT NOT NULL,
    pem TEXT NOT NULL,
    record BIGINT NOT NULL REFERENCES records (number),
    PRIMARY KEY (issuer, list)
);
CREATE TABLE terminations (
    guid TEXT PRIMARY KEY,
    record BIGINT NOT NULL REFERENCES records (number)
);
"],
    tables: &[&[
        Table {
            name: "books",
            guard: Guard::AppendOnly("version = NEW.version"),
            texts: &[],
            numbers: &["version"],
            order: "version",
        },
        Table {
            name: "records",
            guard: Guard::AppendOnly(
                "number >= NEW.number OR NEW.number - 1 > (SELECT max(number) FROM records)",
            ),
            texts: &["time", "act", "hash"],
            numbers: &["number"],
            order: "number",
        },
        Table {
            name: "guids",
            guard: Guard::AppendOnly("guid = NEW.guid"),
            texts: &["guid", "station", "batch"],
            numbers: &["record"],
            order: "guid",
        },
        Table {
            name: "cards",
            guard: Guard::AppendOnly("guid = NEW.guid"),
            texts: &["guid", "outcome"],
            numbers: &["record"],
            order: "guid",
        },
        Table {
            name: "certificates",
            guard: Guard::AppendOnly("serial = NEW.serial"),
            texts: &[
                "serial",
                "fingerprint",
                "issuer",
                "role",
                "name",
                "slot",
                "expiry",
                "pem",
            ],
            numbers: &["record"],
            order: "serial",
        },
        Table {
            name: "revocations",
            guard: Guard::AppendOnly("serial = NEW.serial"),
            texts: &["serial", "time", "reason"],
            numbers: &["record"],
            order: "serial",
        },
        Table {
            name: "lists",
            guard: Guard::AppendOnly("issuer = NEW.issuer AND list = NEW.list"),
            texts: &["issuer", "pem"],
            numbers: &["list", "record"],
            order: "issuer, list",
        },
        Table {
            name: "terminations",
            guard: Guard::AppendOnly("guid = NEW.guid"),
            texts: &["guid"],
            numbers: &["record"],
            order: "guid",
        },
    ]],
};

/// The second facility, and what the TSM has to do.
const FACILITIES_AND_TSM: Step = Step {
    definition: &[FACILITIES, tsm_schema::DEFINITION],
    tables: &[FACILITY_TABLES, tsm_schema::TABLES],
};

/// What two facilities say to each other: what was ordered or given, what has arrived, of what both know that, which card is
/// being made of it, and which outcomes the one that gave the material knows.
const FACILITIES: &str = "
CREATE TABLE deliveries (
    delivery TEXT PRIMARY KEY,
    facility TEXT NOT NULL,
    record BIGINT NOT NULL REFERENCES records (number)
);
CREATE TABLE arrivals (
    delivery TEXT PRIMARY KEY REFERENCES deliveries (delivery),
    record BIGINT NOT NULL REFERENCES records (number)
);
CREATE TABLE receipts (
    delivery TEXT PRIMARY KEY REFERENCES deliveries (delivery),
    record BIGINT NOT NULL REFERENCES records (number)
);
CREATE TABLE begun (
    guid TEXT PRIMARY KEY REFERENCES guids (guid),
    station TEXT NOT NULL,
    batch TEXT NOT NULL,
    record BIGINT NOT NULL REFERENCES records (number)
);
CREATE INDEX begun_by_station ON begun (station, record);
CREATE INDEX begun_by_batch ON begun (batch, record);
CREATE TABLE reports (
    guid TEXT PRIMARY KEY REFERENCES cards (guid),
    record BIGINT NOT NULL REFERENCES records (number)
);
";

const FACILITY_TABLES: &[Table] = &[
    Table {
        name: "deliveries",
        guard: Guard::AppendOnly("delivery = NEW.delivery"),
        texts: &["delivery", "facility"],
        numbers: &["record"],
        order: "delivery",
    },
    Table {
        name: "arrivals",
        guard: Guard::AppendOnly("delivery = NEW.delivery"),
        texts: &["delivery"],
        numbers: &["record"],
        order: "delivery",
    },
    Table {
        name: "receipts",
        guard: Guard::AppendOnly("delivery = NEW.delivery"),
        texts: &["delivery"],
        numbers: &["record"],
        order: "delivery",
    },
    Table {
        name: "begun",
        guard: Guard::AppendOnly("guid = NEW.guid"),
        texts: &["guid", "station", "batch"],
        numbers: &["record"],
        order: "guid",
    },
    Table {
        name: "reports",
        guard: Guard::AppendOnly("guid = NEW.guid"),
        texts: &["guid"],
        numbers: &["record"],
        order: "guid",
    },
];

/// Returns every table, in an order in which none is before one that it refers to.
pub(super) fn tables() -> impl Iterator<Item = &'static Table> {
    STEPS.iter().flat_map(|step| step.tables).copied().flatten()
}

/// Returns the statements that lead from a version to today's, 0 for none at all, in the language of SQLite.
pub(super) fn upgrade_sqlite(version: i64) -> String {
    let mut script = String::new();
    for step in steps_behind(version) {
        step.definition.iter().for_each(|part| script.push_str(part));
        let tables = step.tables.iter().copied().flatten();
        tables.for_each(|table| script.push_str(&guard_sqlite(table)));
    }
    script
}

/// Returns the same in the language of PostgreSQL.
pub(super) fn upgrade_postgres(version: i64) -> String {
    let mut script = String::new();
    for (number, step) in STEPS.iter().enumerate() {
        if !is_behind(number, version) {
            continue;
        }
        step.definition.iter().for_each(|part| script.push_str(part));
        if number == 0 {
            script.push_str(GUARD_POSTGRES);
        }
        let tables = step.tables.iter().copied().flatten();
        tables.for_each(|table| script.push_str(&guard_postgres(table)));
    }
    script
}

fn steps_behind(version: i64) -> impl Iterator<Item = &'static Step> {
    let steps = STEPS.iter().enumerate();
    steps
        .filter(move |(number, _)| is_behind(*number, version))
        .map(|(_, step)| step)
}

/// Returns whether the step with this number, counted from 0, is behind the version.
fn is_behind(number: usize, version: i64) -> bool {
    i64::try_from(number).is_ok_and(|number| number >= version)
}

/// What refuses changes in SQLite, for one table.
///
/// `INSERT OR REPLACE` deletes without a trigger's knowledge, so what is there already is refused before.
fn guard_sqlite(table: &Table) -> String {
    let Table { name, guard, .. } = table;
    let Guard::AppendOnly(taken) = guard else {
        return String::new();
    };
    format!(
        "CREATE TRIGGER {name}_update BEFORE UPDATE ON {name}
         BEGIN SELECT RAISE(ABORT, 'the books are only appended to'); END;
         CREATE TRIGGER {name}_delete BEFORE DELETE ON {name}
         BEGIN SELECT RAISE(ABORT, 'the books are only appended to'); END;
         CREATE TRIGGER {name}_insert BEFORE INSERT ON {name} WHEN EXISTS (SELECT 1 FROM {name} WHERE {taken})
         BEGIN SELECT RAISE(ABORT, 'this is in the books already'); END;"
    )
}

/// The name of the trigger that marks books in SQLite which have been moved, and refuses to have anything appended to them.
pub(super) const MOVED: &str = "books_moved";

/// What a program that has opened the books before they were moved hears when it writes.
pub(super) const MOVED_TEXT: &str = "the books have been moved";

/// Marks books in SQLite as moved.
pub(super) fn mark_moved() -> String {
    format!("CREATE TRIGGER {MOVED} BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, '{MOVED_TEXT}'); END;")
}

/// What the triggers of PostgreSQL call.
const GUARD_POSTGRES: &str = "
CREATE FUNCTION books_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the books are only appended to'; END $$;
CREATE FUNCTION books_in_order() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    IF NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM records) THEN
        RAISE EXCEPTION 'records are numbered one by one';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER records_insert BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION books_in_order();
";

/// What refuses changes in PostgreSQL, for one table.
fn guard_postgres(table: &Table) -> String {
    let Table { name, guard, .. } = table;
    if let Guard::Changing = guard {
        return String::new();
    }
    format!(
        "CREATE TRIGGER {name}_change BEFORE UPDATE OR DELETE ON {name}
         FOR EACH ROW EXECUTE FUNCTION books_refuse();
         CREATE TRIGGER {name}_truncate BEFORE TRUNCATE ON {name}
         FOR EACH STATEMENT EXECUTE FUNCTION books_refuse();"
    )
}
