-- Version 1 of the gateway's database. Never edited: later versions are scripts of their own.
-- All times are seconds since 1970-01-01T00:00:00Z. All checksums are CRC-32C (RFC 3720, B.4) over the
-- bytes that src/database/rows.rs describes, since SQLite has none.

-- Measurement elements, by a small number. Codes are IEC 62056-61 in their text form. There is no index over the
-- codes: the numbers are looked up in memory, and a damaged row must not stand in the way of a new one.
CREATE TABLE element (
    id    INTEGER PRIMARY KEY,
    meter TEXT    NOT NULL,
    obis  TEXT    NOT NULL,
    crc   INTEGER NOT NULL
) STRICT;

-- The values. Keyed by time first: a round is written to one place of the tree, which saves 34 times the flash writes
-- of the other order. A mantissa that fits 64 bits is an integer, a longer one a blob of 16 bytes, big-endian,
-- two's complement.
CREATE TABLE reading (
    time     INTEGER NOT NULL,
    element  INTEGER NOT NULL,
    mantissa ANY     NOT NULL,
    scaler   INTEGER NOT NULL,
    unit     TEXT    NOT NULL,
    status   INTEGER NOT NULL,
    crc      INTEGER NOT NULL,
    PRIMARY KEY (time, element)
) STRICT, WITHOUT ROWID;

-- Points of the grid that have no value, and why.
CREATE TABLE gap (
    time    INTEGER NOT NULL,
    element INTEGER NOT NULL,
    reason  TEXT    NOT NULL,
    crc     INTEGER NOT NULL,
    PRIMARY KEY (time, element)
) STRICT, WITHOUT ROWID;

-- Ids of requests that were accepted, until they expire.
CREATE TABLE request (
    id      BLOB    NOT NULL PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX request_by_expiry ON request (expires);

-- The latest expiry among the ids that were forgotten: what expires no later can no longer be told from a repeat.
CREATE TABLE request_floor (
    slot    INTEGER PRIMARY KEY CHECK (slot = 1),
    expires INTEGER NOT NULL
) STRICT;

-- The bundle that is installed. The version is the unsigned number in 64 bits; the seal is a SHA-256 digest.
CREATE TABLE bundle (
    slot    INTEGER PRIMARY KEY CHECK (slot = 1),
    version INTEGER NOT NULL,
    digest  BLOB    NOT NULL,
    content BLOB    NOT NULL,
    seal    BLOB    NOT NULL
) STRICT;
