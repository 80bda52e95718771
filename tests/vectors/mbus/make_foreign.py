"""Makes foreign.lines: what pyMeterBus 0.8.5 (PyPI) makes of one record of each VIF and of each coding.

Each line holds the record in hexadecimal and the value, a number or a text, that the foreign decoder gives. Left out
are records that it does not know (reserved ones), and those that it reads against the standard; the test that
reads the file (meters/mbus/src/vectors.rs) compares the others with ours.
"""

import json
from decimal import Context
from pathlib import Path

import meterbus

HEADER = bytes.fromhex("7856341277041407550000 00")
# Flows by minute and second are left in those units, where ours are by the hour.
OTHER_UNIT = set(range(0x40, 0x50))
# Months and years, which it counts in seconds; days of the battery and periods, which it does not; dates and containers,
# which it reads as numbers; and reserved codes.
WRONG_FD = {0x28, 0x29, 0x30, 0x38, 0x39, *range(0x3B, 0x40), *range(0x68, 0x80)}
# Its numbers are binary floats: this many digits of them are sure.
DIGITS = 12


def frame(record):
    body = bytes.fromhex("080172") + HEADER + record
    return bytes([0x68, len(body), len(body), 0x68]) + body + bytes([sum(body) & 0xFF, 0x16])


def value(record):
    try:
        found = json.loads(meterbus.load(frame(record)).to_JSON())["body"]["records"]
    except Exception:
        return None
    if len(found) != 1 or found[0]["unit"] in ("None", "Reserved") or found[0]["type"] == "Reserved":
        return None
    return found[0]["value"]


records = []
for vif in range(0x7B):
    if vif not in (0x6C, 0x6D, 0x6F) and vif not in OTHER_UNIT:
        records.append(bytes([0x02, vif, 0x39, 0x30]))
for vif in range(0x80):
    if vif not in WRONG_FD:
        records.append(bytes([0x02, 0xFD, vif, 0x39, 0x30]))
for text in [
    "01 13 05", "01 13 fb", "02 5a 1a 02", "03 13 15 31 00", "04 06 39300000", "06 10 010203000000", "07 0e 0102030405000000",
    "05 2b 0000c03f", "09 13 21", "0a 5a 23f1", "0b 3b 214305", "0c 13 21430500", "0e 13 129078563412",
    "02 6c 573b", "02 6c 1fcc", "04 6d 050c573b", "04 6d 052c773b", "0d 79 05 3731332d41", "0c 78 11470000",
]:
    records.append(bytes.fromhex(text))

lines = []
for record in records:
    found = value(record)
    if isinstance(found, (int, float)):
        rounded = Context(prec=DIGITS).create_decimal(found).normalize()
        lines.append(f"{record.hex()} {rounded:f}")
    elif found:
        lines.append(f"{record.hex()} {found}")
Path(__file__).with_name("foreign.lines").write_text("\n".join(lines) + "\n")
