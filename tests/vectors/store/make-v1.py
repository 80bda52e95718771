"""Makes the golden databases of version 1 with Python's own SQLite and an own CRC-32C.

Run in this folder: python3 make-v1.py
The tables come from the script that made version 1; that script is never edited.
"""

import hashlib
import os
import sqlite3
import struct

SCHEMA = "../../../gateway/store/schema/v1.sql"


def crc32c(data):
    """CRC-32C bit by bit, reflected polynomial 82F63B78 (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def text(string):
    return bytes([len(string)]) + string.encode()


def element_bytes(meter, obis):
    return text(meter) + bytes(int(group) for group in obis.replace("*", "-").replace(":", "-").replace(".", "-").split("-"))


def create(name):
    if os.path.exists(name):
        os.remove(name)
    database = sqlite3.connect(name)
    database.executescript(open(SCHEMA).read())
    database.execute("PRAGMA application_id = 0x534d4757")
    database.execute("PRAGMA user_version = 1")
    database.commit()
    return database


def add_element(database, number, meter, obis):
    crc = crc32c(b"E1" + struct.pack(">q", number) + element_bytes(meter, obis))
    database.execute("INSERT INTO element VALUES (?, ?, ?, ?)", (number, meter, obis, crc))


def add_reading(database, time, number, element, mantissa, scaler, unit, status):
    wide = mantissa.to_bytes(16, "big", signed=True)
    crc = crc32c(
        b"R1" + struct.pack(">q", time) + element_bytes(*element) + wide
        + struct.pack(">b", scaler) + text(unit) + struct.pack(">I", status)
    )
    stored = mantissa if -(2**63) <= mantissa < 2**63 else wide
    database.execute("INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?, ?)", (time, number, stored, scaler, unit, status, crc))


def add_gap(database, time, number, element, reason):
    crc = crc32c(b"G1" + struct.pack(">q", time) + element_bytes(*element) + text(reason))
    database.execute("INSERT INTO gap VALUES (?, ?, ?, ?)", (time, number, reason, crc))


create("v1-empty.db").close()

rows = create("v1-rows.db")
gas = ("ELS-12345678-3C-03", "7-0:3.0.0*255")
power = ("M1", "1-0:1.8.0*255")
add_element(rows, 1, *gas)
add_element(rows, 2, *power)
noon = 1795435200  # 2026-11-23T12:00:00Z
add_reading(rows, noon, 1, gas, 54321, -3, "m3", 0)
add_reading(rows, noon, 2, power, -(2**127), 5, "Wh", 0x80000003)
add_gap(rows, noon + 900, 1, gas, "bus-down")
rows.execute("INSERT INTO request VALUES (?, ?)", (b"\xab" * 16, noon + 800))
rows.execute("INSERT INTO request_floor VALUES (1, ?)", (noon - 1,))
content = b"grants"
digest = hashlib.sha256(content).digest()
seal = hashlib.sha256(b"B1" + struct.pack(">Q", 3) + digest + content).digest()
rows.execute("INSERT INTO bundle VALUES (1, 3, ?, ?, ?)", (digest, content, seal))
rows.commit()
rows.close()
