"""Makes the golden database of version 3 and its witness with Python's own SQLite, hashlib and an own CRC-32C.

Run in this folder: python3 make-v3.py
Tables come from the scripts that made versions 1 to 3; rows from the coders of make-v2.py, with what version 3 adds: the
head, what each part of a round says of it, the lists of days, a loss.
"""

import hashlib
import os
import sqlite3
import struct

V2 = open("make-v2.py").read().split('create("v2-empty.db")')[0]
exec(V2)


def create_v3(name):
    if os.path.exists(name):
        os.remove(name)
    database = sqlite3.connect(name)
    for version in (1, 2, 3):
        database.executescript(open(SCHEMA % version).read())
        if version == 2:
            database.executescript("DROP TABLE reading; DROP TABLE gap;")
    database.execute("PRAGMA application_id = 0x534d4757")
    database.execute("PRAGMA user_version = 3")
    database.commit()
    return database


def digest(letter, columns):
    data = letter
    for column in columns:
        if isinstance(column, int):
            data += b"i" + struct.pack(">q", column)
            continue
        kind = b"n" if column is None else b"t" if isinstance(column, str) else b"b"
        column = b"" if column is None else column.encode() if isinstance(column, str) else column
        data += kind + struct.pack(">Q", len(column)) + column
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def tally(database, *queries):
    count, total = 0, 0
    for letter, sql in queries:
        for row in database.execute(sql):
            count, total = count + 1, total ^ digest(letter, row)
    return count, total


ROUNDS = (b"r", "SELECT key, content FROM round")
KINDS = [
    [(b"s", "SELECT type, name, sql FROM sqlite_schema")],
    [ROUNDS],
    [(b"d", "SELECT key, content FROM day")],
    [(b"e", "SELECT id, meter, obis, crc FROM element"), (b"g", "SELECT greatest, crc FROM element_count")],
    [(b"q", "SELECT id, expires FROM request"), (b"x", "SELECT expires FROM request_floor")],
    [(b"o", "SELECT number, id, recipient, crc, length(content) FROM outbox")],
    [(b"u", "SELECT version, digest, seal FROM bundle")],
    [(b"l", "SELECT number, content FROM loss")],
]


def head(database, generation, flags):
    content = b"\x01" + struct.pack(">QB", generation, flags)
    content += b"".join(struct.pack(">QQ", *tally(database, *queries)) for queries in KINDS)
    return content + struct.pack(">I", crc32c(b"H1" + content))


def add_round_v3(database, generation, time, part, points):
    """A part as version 2 has it, rewritten with what the rounds were before it."""
    before = tally(database, ROUNDS)
    add_round(database, time, part, points)
    key = (time << 16) + part
    (content,) = database.execute("SELECT content FROM round WHERE key = ?", (key,)).fetchone()
    content = b"\x02" + content[1:-4] + struct.pack(">QQQ", generation, *before)
    content += struct.pack(">I", crc32c(b"P1" + struct.pack(">q", key) + content))
    database.execute("UPDATE round SET content = ? WHERE key = ?", (content, key))


def add_day(database, day, parts):
    """parts: (part, [(first element, how many)])"""
    content = b"\x01\x01" + number(0) + number(len(parts))
    for part, elements in parts:
        content += bytes([part]) + number(len(elements))
        behind = 0
        for first, count in elements:
            content += number(first - behind) + number(count)
            behind = first + count
    crc = crc32c(b"D1" + struct.pack(">q", day) + content)
    database.execute("INSERT INTO day VALUES (?, ?)", (day, content + struct.pack(">I", crc)))


def add_loss(database, position, what, kind, counts, behind):
    content = b"\x01" + bytes([what, kind]) + struct.pack(">QQQ", *counts) + b"\x01" + struct.pack(">q", behind)
    crc = crc32c(b"L1" + struct.pack(">q", position) + content)
    database.execute("INSERT INTO loss VALUES (?, ?)", (position, content + struct.pack(">I", crc)))


def slot(generation, content):
    statement = b"SMGH\x01" + struct.pack(">Q", generation) + hashlib.sha256(content).digest()[:8]
    return (statement + struct.pack(">I", crc32c(statement))).ljust(4096, b"\0")


gas = ("ELS-12345678-3C-03", "7-0:3.0.0*255")
power = ("M1", "1-0:1.8.0*255")
good_gas = value_kind("m3", -3, 0)
energy = value_kind("Wh", 0, 0)
noon = 1795435200  # 2026-11-23T12:00:00Z
today = noon // DAY

rows = create_v3("v3-rows.db")
add_element(rows, 1, *gas)
add_element(rows, 2, *power)
add_chunk(rows, today - 1, 0, 1, gas, [(900 * index, good_gas, 54000 + index) for index in range(4)])
add_chunk(rows, today - 1, 0, 2, power, [(0, energy, 7)])
add_chunk(rows, today - 1, 3, 2, power, [(900, energy, 8)])
add_day(rows, today - 1, [(0, [(1, 2)]), (3, [(2, 1)])])
add_round_v3(rows, 40, noon, 0, [(1, good_gas, 54321)])
rows.execute("INSERT INTO request VALUES (?, ?)", (b"\xab" * 16, noon + 800))
rows.execute("INSERT INTO request_floor VALUES (1, ?)", (noon - 1,))
content = b"grants"
hashed = hashlib.sha256(content).digest()
seal = hashlib.sha256(b"B1" + struct.pack(">Q", 3) + hashed + content).digest()
rows.execute("INSERT INTO bundle VALUES (1, 3, ?, ?, ?)", (hashed, content, seal))
add_message(rows, 7, b"\x11" * 16, b"\x22" * 32, b"message")
add_loss(rows, 5, 1, 2, (1, 0, 0), noon)
# The table is of the commit before the last two, which stored rounds alone.
rows.execute("INSERT INTO head VALUES (1, ?)", (head(rows, 41, 0),))
add_round_v3(rows, 42, noon + 900, 0, [(1, good_gas, 54322), (2, energy, 9)])
before = head(rows, 42, 0)
add_round_v3(rows, 43, noon + 1800, 0, [(2, energy, 10)])
rows.commit()
with open("v3-rows.head", "wb") as witness:
    witness.write(slot(42, before) + slot(43, head(rows, 43, 0)))
rows.close()
