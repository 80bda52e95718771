-- Version 3 of the gateway's database. Never edited: later versions are scripts of their own.
-- What is stored is accounted for, so that nothing disappears in silence. The formats are written down byte by byte in
-- src/database: head.rs (head, and the digests of rows), day.rs (day), loss.rs (loss), part.rs (what a round says of
-- the head). src/database/migration/v2.rs fills the tables from what version 2 has stored.

-- How many commits there were, and the count and digest of each kind of rows. A transaction that stores rounds and
-- nothing else leaves the row alone: the newest round says what it said otherwise.
CREATE TABLE head (
    slot    INTEGER PRIMARY KEY CHECK (slot = 1),
    content BLOB NOT NULL
) STRICT;

-- Which chunks a sealed day has. Key: the day since 1970-01-01.
CREATE TABLE day (
    key     INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

-- What was found to be lost, in the order in which it was found.
CREATE TABLE loss (
    number  INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;
