"""Makes the golden database of version 5 and its witness with Python's own SQLite, hashlib and an own CRC-32C.

Run in this folder: python3 make-v5.py
Tables come from the scripts that made versions 1 to 5; rows from the coders of make-v4.py, with what version 5 adds: two
revisions of what an application has made of an hour.
"""

import hashlib
import os
import sqlite3
import struct

V4 = open("make-v4.py").read().split('\ngas = (')[0]
exec(V4)

KINDS[2].append((b"v", "SELECT number, label, mark, length(made), length(given) FROM evaluation"))


def create_v5(name):
    database = create_v4(name)
    database.executescript(open(SCHEMA % 5).read())
    database.execute("PRAGMA user_version = 5")
    database.commit()
    return database


def sealed(letters, key, content):
    return content + struct.pack(">I", crc32c(letters + struct.pack(">q", key) + content))


def folded(value):
    return number(2 * value if value >= 0 else -2 * value - 1)


def add_evaluation(database, key, revision, mark, made, digest, mantissa):
    start, end, until = noon - 3600, noon, noon + 86400
    label = b"\x01" + b"\xa1" * 32 + struct.pack(">qqIq", start, end, revision, made)
    label += b"\xb1" * 32 + digest * 32 + struct.pack(">qqqq", end, end, until, until)
    label += number(1) + bytes([2]) + b"M1" + bytes([1, 0, 1, 8, 1, 255])
    values = b"\x01" + number(5) + b"state" + number(1)
    values += number(0) + folded(3600) + folded(-3600) + folded(86400) + number(1) + number(0) + number(3)
    values += value_kind("Wh", -1, 0) + folded(mantissa)
    row = (key, sealed(b"V1", key, label), mark, sealed(b"W1", key, values), sealed(b"X1", key, b"input"))
    database.execute("INSERT INTO evaluation VALUES (?, ?, ?, ?, ?)", row)


noon = 1795435200  # 2026-11-23T12:00:00Z

rows = create_v5("v5-rows.db")
add_element(rows, 1, "M1", "1-0:1.8.0*255")
add_round_v3(rows, 40, noon, 0, [(1, value_kind("Wh", -1, 0), 54321)])
add_evaluation(rows, 3, 1, 0, noon + 1, b"\xd1", -124)
add_evaluation(rows, 4, 2, 1, noon + 7, b"\xd2", -125)
last = head(rows, 41, 0)
rows.execute("INSERT INTO head VALUES (1, ?)", (last,))
rows.commit()
with open("v5-rows.head", "wb") as witness:
    witness.write(slot(41, last) + slot(41, last))
rows.close()
