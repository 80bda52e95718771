-- Version 2 of the gateway's database. Never edited: later versions are scripts of their own.
-- All times are seconds since 1970-01-01T00:00:00Z. The content of rounds, chunks and messages ends in, or is covered
-- by, a CRC-32C (RFC 3720, B.4), since SQLite has no checksums. The formats are written down byte by byte in
-- src/database: part.rs (round), chunk.rs (chunk), point.rs (kinds), keys.rs (keys), outbox.rs, elements.rs.
-- The readings and gaps of version 1 become rounds; src/database/migration/v1.rs does that and drops their tables.

-- What is registered for one time, in parts; of past days only what came late. Keyed by time first: a round is written
-- to one place of the tree, which saves 34 times the flash writes of the order by element.
-- Key: (time << 16) + part, so that key >> 16 is the time.
CREATE TABLE round (
    key     INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

-- The history: what one element has for one past day.
-- Key: (day << 32) + (part << 24) + element, so that key >> 32 is the day since 1970-01-01.
CREATE TABLE chunk (
    key     INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

-- The greatest number that was ever given to an element.
CREATE TABLE element_count (
    slot     INTEGER PRIMARY KEY CHECK (slot = 1),
    greatest INTEGER NOT NULL,
    crc      INTEGER NOT NULL
) STRICT;

-- Messages that wait for their recipient's receipt, in the order in which they were queued. The recipient is the
-- SHA-256 fingerprint of its SIG certificate.
CREATE TABLE outbox (
    number    INTEGER PRIMARY KEY,
    id        BLOB    NOT NULL UNIQUE,
    recipient BLOB    NOT NULL,
    crc       INTEGER NOT NULL,
    content   BLOB    NOT NULL
) STRICT;
