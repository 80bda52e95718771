-- Version 4 of the gateway's database. Never edited: later versions are scripts of their own.
-- What grants may be asked and how often, and what the consumer has taken away of them. The formats are written down in
-- src/database: asked.rs, restrictions.rs. src/database/migration/v3.rs makes the first row of restriction, and has the
-- head account for the new tables.

-- When something was granted that may not be asked for again before some time. The key is a SHA-256 digest of what it is;
-- behind expires it is forgotten.
CREATE TABLE asked (
    key     BLOB    NOT NULL PRIMARY KEY,
    time    INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX asked_by_expiry ON asked (expires);

-- The consumer's restrictions, all in one row that is never missing. The version grows by one with each change; the seal
-- is a SHA-256 digest.
CREATE TABLE restriction (
    slot    INTEGER PRIMARY KEY CHECK (slot = 1),
    version INTEGER NOT NULL,
    content BLOB    NOT NULL,
    seal    BLOB    NOT NULL
) STRICT;
