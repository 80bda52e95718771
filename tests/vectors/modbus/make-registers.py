#!/usr/bin/env python3
"""Writes registers.txt: contents of registers, and what pymodbus reads in them.

Needs pymodbus 3.16 from PyPI. The numbers are random with a fixed seed; the decimals are Python's own.
"""

import math
import random
import struct
from decimal import Decimal

from pymodbus.client.mixin import ModbusClientMixin as Client

TYPES = Client.DATATYPE
INTEGERS = {
    "u16": (TYPES.UINT16, 1),
    "i16": (TYPES.INT16, 1),
    "u32": (TYPES.UINT32, 2),
    "i32": (TYPES.INT32, 2),
    "u48": (TYPES.UINT64, 3),
    "u64": (TYPES.UINT64, 4),
    "i64": (TYPES.INT64, 4),
}
REALS = {"f32": (TYPES.FLOAT32, 2, ">f"), "f64": (TYPES.FLOAT64, 4, ">d")}
# What no decimal of the gateway can hold: its power of ten goes from -30 to 30.
LEAST_POWER = -30
CASES = 24


def in_order(words, order):
    """Brings words in reading order into the order of the wire."""
    if order == "low-word-first":
        return words[::-1]
    if order == "low-half-first":
        return words[2:] + words[:2]
    return words


def read(words, kind, order):
    """Has pymodbus read the words as they go over the wire."""
    if kind == "u48":
        padded = [0] + words if order == "high-word-first" else words + [0]
    elif order == "low-half-first":
        padded, order = words[2:] + words[:2], "high-word-first"
    else:
        padded = words
    datatype = (INTEGERS.get(kind) or REALS[kind])[0]
    word_order = "little" if order == "low-word-first" else "big"
    return Client.convert_from_registers(padded, datatype, word_order=word_order)


def shortest(real, layout):
    """Returns the decimal with the fewest digits that reads back as the same real."""
    packed = struct.pack(layout, real)
    for digits in range(17):
        text = f"{real:.{digits}e}"
        if struct.pack(layout, float(text)) == packed:
            return Decimal(text)
    raise ValueError(real)


def text_of_real(real, layout):
    if math.isnan(real):
        return "not-available"
    if math.isinf(real):
        return "bad-answer"
    if real == 0:
        return "0"
    decimal = shortest(real, layout).normalize()
    if decimal.as_tuple().exponent < LEAST_POWER or abs(decimal) >= Decimal(10) ** 36:
        # Such digits are held with a scaler, or not at all; other tests look at them.
        return None
    return f"{decimal:f}"


def lines():
    rng = random.Random(5)
    for kind, (_, width) in INTEGERS.items():
        orders = ["high-word-first"] if width == 1 else ["high-word-first", "low-word-first"]
        for order in orders + (["low-half-first"] if width == 4 else []):
            edges = [[0] * width, [0xFFFF] * width, [0x8000] + [0] * (width - 1), [0x7FFF] + [0xFFFF] * (width - 1)]
            cases = edges + [[rng.randrange(1 << 16) for _ in range(width)] for _ in range(CASES)]
            for words in (in_order(case, order) for case in cases):
                yield kind, order, words, str(read(words, kind, order))
    for kind, (_, width, layout) in REALS.items():
        for order in ["high-word-first", "low-word-first"] + (["low-half-first"] if width == 4 else []):
            size = struct.calcsize(layout)
            bits = [rng.getrandbits(8 * size).to_bytes(size, "big") for _ in range(4 * CASES)]
            amounts = [rng.choice([1, -1]) * rng.randrange(10**7) / 10 ** rng.randrange(6) for _ in range(CASES)]
            special = [0.0, -0.0, 1.0, 16777217.0, 0.1, math.nan, math.inf, -math.inf]
            packed = [struct.pack(layout, real) for real in special + amounts]
            for case in packed + bits:
                words = in_order(list(struct.unpack(f">{width}H", case)), order)
                text = text_of_real(read(words, kind, order), layout)
                if text is not None:
                    yield kind, order, words, text


with open("registers.txt", "w", encoding="ascii") as file:
    file.write("# made by make-registers.py: type, word order, registers on the wire, value\n")
    for kind, order, words, text in lines():
        file.write(f"{kind} {order} {' '.join(f'{word:04X}' for word in words)} = {text}\n")
