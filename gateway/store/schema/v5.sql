-- Version 5 of the gateway's database. Never edited: later versions are scripts of their own.
-- What energy applications have made. The format is written down byte by byte in src/database/evaluation/row.rs.
-- src/database/migration/v4.rs has the head account for the new table.

-- One row for each evaluation of a window, so that a window has as many rows as it has revisions. The mark is 1 if readings
-- of the window, or what the window before it has left, have changed since. What was given to the application stands last,
-- since it is the longest, and is read to explain a value only.
CREATE TABLE evaluation (
    number INTEGER PRIMARY KEY,
    label  BLOB    NOT NULL,
    mark   INTEGER NOT NULL,
    made   BLOB    NOT NULL,
    given  BLOB    NOT NULL
) STRICT;
