"""Makes the golden databases of version 2 with Python's own SQLite, an own CRC-32C and own coders.

Run in this folder: python3 make-v2.py
The tables come from the scripts that made versions 1 and 2; those are never edited. What version 1 kept in
`reading` and `gap` would be carried over by code; these databases never had any, so the tables are just dropped.
"""

import hashlib
import os
import sqlite3
import struct

SCHEMA = "../../../gateway/store/schema/v%d.sql"

UNITS = ["Wh", "varh", "VAh", "J", "m3", "kg", "W", "var", "VA", "J/h", "m3/h", "kg/h", "degC", "K", "bar", "s", "V", "A", "Hz", "deg", "1"]
REASONS = ["no-answer", "bad-answer", "not-available", "bus-down"]
LOST = b"\xff"
DAY = 86400


def crc32c(data):
    """CRC-32C bit by bit, reflected polynomial 82F63B78 (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def number(value):
    """LEB128, unsigned."""
    out = bytearray()
    while True:
        value, group = value >> 7, value & 0x7F
        out.append(group | (0x80 if value else 0))
        if not value:
            return bytes(out)


def signed(value):
    """Folded to unsigned, modulo 2^128, then LEB128."""
    value = (value + 2**127) % 2**128 - 2**127
    return number(value * 2 if value >= 0 else -value * 2 - 1)


def value_kind(unit, scaler, status):
    return bytes([UNITS.index(unit)]) + struct.pack(">b", scaler) + number(status)


def gap_kind(reason):
    return bytes([0x80 | REASONS.index(reason)])


def is_value(kind):
    return kind[0] < 0x80


def text(string):
    return bytes([len(string)]) + string.encode()


def element_bytes(meter, obis):
    return text(meter) + bytes(int(group) for group in obis.replace("*", "-").replace(":", "-").replace(".", "-").split("-"))


def runs(things):
    out = []
    for thing in things:
        if out and out[-1][0] == thing:
            out[-1][1] += 1
        else:
            out.append([thing, 1])
    return b"".join(thing + number(times) for thing, times in out)


def create(name):
    if os.path.exists(name):
        os.remove(name)
    database = sqlite3.connect(name)
    for version in (1, 2):
        database.executescript(open(SCHEMA % version).read())
    database.executescript("DROP TABLE reading; DROP TABLE gap;")
    database.execute("PRAGMA application_id = 0x534d4757")
    database.execute("PRAGMA user_version = 2")
    database.commit()
    return database


def add_element(database, number_of_it, meter, obis):
    crc = crc32c(b"E1" + struct.pack(">q", number_of_it) + element_bytes(meter, obis))
    database.execute("INSERT INTO element VALUES (?, ?, ?, ?)", (number_of_it, meter, obis, crc))
    crc = crc32c(b"N1" + struct.pack(">q", number_of_it))
    database.execute("INSERT OR REPLACE INTO element_count VALUES (1, ?, ?)", (number_of_it, crc))


def add_round(database, time, part, points):
    """points: (element, kind, mantissa) by rising element."""
    key = (time << 16) + part
    kinds = sorted({kind for _, kind, _ in points})
    content = b"\x01" + number(len(kinds)) + b"".join(kinds) + number(len(points))
    before = 0
    for element, kind, mantissa in points:
        content += number(element - before) + number(kinds.index(kind))
        if is_value(kind):
            content += signed(mantissa)
        before = element
    crc = crc32c(b"P1" + struct.pack(">q", key) + content)
    database.execute("INSERT INTO round VALUES (?, ?)", (key, content + struct.pack(">I", crc)))


def add_chunk(database, day, part, element, name, points):
    """points: (second of the day, kind, mantissa) by rising second."""
    key = (day << 32) + (part << 24) + element
    seconds = [second for second, _, _ in points]
    content = b"\x01" + number(len(points)) + number(seconds[0])
    content += runs([number(two - one) for one, two in zip(seconds, seconds[1:])])
    content += runs([kind for _, kind, _ in points])
    before = 0
    for _, kind, mantissa in points:
        if is_value(kind):
            content += signed(mantissa - before)
            before = mantissa
    crc = crc32c(b"C1" + struct.pack(">q", key) + element_bytes(*name) + content)
    database.execute("INSERT INTO chunk VALUES (?, ?)", (key, content + struct.pack(">I", crc)))


def add_message(database, position, id, recipient, content):
    crc = crc32c(b"O1" + struct.pack(">q", position) + id + recipient + content)
    database.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", (position, id, recipient, crc, content))


create("v2-empty.db").close()

rows = create("v2-rows.db")
gas = ("ELS-12345678-3C-03", "7-0:3.0.0*255")
power = ("M1", "1-0:1.8.0*255")
add_element(rows, 1, *gas)
add_element(rows, 2, *power)
noon = 1795435200  # 2026-11-23T12:00:00Z
today = noon // DAY
good_gas = value_kind("m3", -3, 0)
# Yesterday: quarter hours of gas with a gap, digits of every length of energy.
quarters = [(900 * index, good_gas, 54000 + 3 * index) for index in range(96)]
quarters[40] = (36000, gap_kind("no-answer"), 0)
add_chunk(rows, today - 1, 0, 1, gas, quarters)
energy = [value_kind("Wh", 5, 0x80000003), value_kind("Wh", 0, 0)]
digits = [-(2**127), 2**127 - 1, 0, -1, 2**63]
add_chunk(rows, today - 1, 0, 2, power, [(second, energy[second > 1], digit) for second, digit in enumerate(digits)])
# What came late for yesterday: the value of the gap, in a part of chunks of its own; and one that stayed a row.
add_chunk(rows, today - 1, 1, 1, gas, [(36000, good_gas, 54120)])
add_round(rows, (today - 1) * DAY + 450, 0, [(1, good_gas, 54001)])
# Today: a round, and what came behind it.
add_round(rows, noon, 0, [(1, good_gas, 54321), (2, gap_kind("bus-down"), 0)])
add_round(rows, noon, 1, [(2, energy[1], 7)])
add_round(rows, noon + 900, 0, [(1, gap_kind("not-available"), 0), (2, LOST, 0)])
rows.execute("INSERT INTO request VALUES (?, ?)", (b"\xab" * 16, noon + 800))
rows.execute("INSERT INTO request_floor VALUES (1, ?)", (noon - 1,))
content = b"grants"
digest = hashlib.sha256(content).digest()
seal = hashlib.sha256(b"B1" + struct.pack(">Q", 3) + digest + content).digest()
rows.execute("INSERT INTO bundle VALUES (1, 3, ?, ?, ?)", (digest, content, seal))
add_message(rows, 7, b"\x11" * 16, b"\x22" * 32, b"message")
rows.commit()
rows.close()
