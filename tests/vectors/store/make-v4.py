"""Makes the golden database of version 4 and its witness with Python's own SQLite, hashlib and an own CRC-32C.

Run in this folder: python3 make-v4.py
Tables come from the scripts that made versions 1 to 4; rows from the coders of make-v3.py, with what version 4 adds: when
something was granted, and the consumer's restrictions.
"""

import hashlib
import os
import sqlite3
import struct

V3 = open("make-v3.py").read().split('gas = ("ELS-')[0]
exec(V3)

KINDS[4].append((b"a", "SELECT key, time, expires FROM asked"))
KINDS[6].append((b"c", "SELECT version, seal FROM restriction WHERE version > 0"))


def create_v4(name):
    database = create_v3(name)
    database.executescript(open(SCHEMA % 4).read())
    database.execute("PRAGMA user_version = 4")
    database.commit()
    return database


gas = ("ELS-12345678-3C-03", "7-0:3.0.0*255")
good_gas = value_kind("m3", -3, 0)
noon = 1795435200  # 2026-11-23T12:00:00Z

rows = create_v4("v4-rows.db")
add_element(rows, 1, *gas)
add_round_v3(rows, 40, noon, 0, [(1, good_gas, 54321)])
rows.execute("INSERT INTO request VALUES (?, ?)", (b"\xab" * 16, noon + 800))
rows.execute("INSERT INTO asked VALUES (?, ?, ?)", (b"\xcd" * 32, noon - 60, noon + 3540))
content = b"grants"
hashed = hashlib.sha256(content).digest()
seal = hashlib.sha256(b"B1" + struct.pack(">Q", 3) + hashed + content).digest()
rows.execute("INSERT INTO bundle VALUES (1, 3, ?, ?, ?)", (hashed, content, seal))
content = b"restrictions"
seal = hashlib.sha256(b"C1" + struct.pack(">q", 2) + content).digest()
rows.execute("INSERT INTO restriction VALUES (1, 2, ?, ?)", (content, seal))
last = head(rows, 41, 0)
rows.execute("INSERT INTO head VALUES (1, ?)", (last,))
rows.commit()
with open("v4-rows.head", "wb") as witness:
    witness.write(slot(41, last) + slot(41, last))
rows.close()
