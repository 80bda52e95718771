//! The tables, for both engines, and what keeps them from being altered.
//!
//! Everything is only ever inserted. Besides the records, each table is an index of what they say, so that a rule of
//! the database can hold it: no GUID twice, no serial number twice, nothing revoked twice. Both engines understand these
//! statements; only the triggers are written in each one's own language.

/// The version of the tables.
pub(super) const VERSION: i64 = 1;

/// The tables that refuse to be altered.
pub(super) const TABLES: [&str; 8] = [
    "books",
    "records",
    "guids",
    "cards",
    "certificates",
    "revocations",
    "lists",
    "terminations",
];

/// The tables.
pub(super) const DEFINITION: &str = "
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
";

/// What refuses changes in SQLite, for one table.
///
/// `INSERT OR REPLACE` deletes without a trigger's knowledge, so what is there already is refused before.
pub(super) fn guard_sqlite(table: &str) -> String {
    let key = match table {
        "books" => "version = NEW.version",
        "records" => "number >= NEW.number OR NEW.number - 1 > (SELECT max(number) FROM records)",
        "guids" | "cards" | "terminations" => "guid = NEW.guid",
        "lists" => "issuer = NEW.issuer AND list = NEW.list",
        _ => "serial = NEW.serial",
    };
    format!(
        "CREATE TRIGGER {table}_update BEFORE UPDATE ON {table}
         BEGIN SELECT RAISE(ABORT, 'the books are only appended to'); END;
         CREATE TRIGGER {table}_delete BEFORE DELETE ON {table}
         BEGIN SELECT RAISE(ABORT, 'the books are only appended to'); END;
         CREATE TRIGGER {table}_insert BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {key})
         BEGIN SELECT RAISE(ABORT, 'this is in the books already'); END;"
    )
}

/// What the triggers of PostgreSQL call.
pub(super) const GUARD_POSTGRES: &str = "
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
pub(super) fn guard_postgres(table: &str) -> String {
    format!(
        "CREATE TRIGGER {table}_change BEFORE UPDATE OR DELETE ON {table}
         FOR EACH ROW EXECUTE FUNCTION books_refuse();
         CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table}
         FOR EACH STATEMENT EXECUTE FUNCTION books_refuse();"
    )
}
