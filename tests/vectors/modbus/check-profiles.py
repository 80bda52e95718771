#!/usr/bin/env python3
"""Reads the self-tests of every profile with pymodbus and compares the elements.

Needs pymodbus 3.16 from PyPI and Python 3.11. The arithmetic is Python's `Decimal` and `Fraction`; nothing
of the gateway takes part. A difference ends the program with an error.
"""

import math
import struct
import sys
import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from pymodbus.client.mixin import ModbusClientMixin as Client

TYPES = Client.DATATYPE
WIDTHS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u48": 3, "u64": 4, "i64": 4, "f32": 2, "f64": 4}
NAMES = {
    "u16": TYPES.UINT16, "i16": TYPES.INT16, "u32": TYPES.UINT32, "i32": TYPES.INT32,
    "u64": TYPES.UINT64, "i64": TYPES.INT64, "f32": TYPES.FLOAT32, "f64": TYPES.FLOAT64,
}  # fmt: skip


class Gap(Exception):
    """There is no value, for the reason that is the message."""


def shortest(real, layout):
    packed = struct.pack(layout, real)
    return next(
        Decimal(text)
        for text in (f"{real:.{digits}e}" for digits in range(17))
        if struct.pack(layout, float(text)) == packed
    )


class Meter:
    def __init__(self, profile, memory):
        self.profile, self.memory = profile, memory
        self.defaults = profile.get("defaults", {})
        self.models = self.walk() if "sunspec" in profile else {}

    def walk(self):
        """Finds the models of a SunSpec meter."""
        base = next(base for base in (40000, 50000, 0) if self.memory.get((3, base)) == 0x5375)
        models, address = {}, base + 2
        while (model := self.memory[3, address]) != 0xFFFF:
            models[model] = address
            address += 2 + self.memory[3, address + 1]
        return models

    def content(self, entry, common=False):
        function = entry.get("function", self.defaults.get("function"))
        kind = entry["type"]
        address = entry["address"]
        if self.models:
            wanted = [1] if common else self.profile["sunspec"]["models"]
            address += next(self.models[model] for model in wanted if model in self.models)
        count = entry.get("count") or WIDTHS[kind]
        words = [self.memory.get((function, address + offset)) for offset in range(count)]
        if None in words:
            raise Gap("no-answer")
        absent = [[int(word, 16) for word in text.split()] for text in entry.get("not_available", [])]
        if words in absent:
            raise Gap("not-available")
        order = entry.get("word_order", "high-word-first" if kind == "ascii" else self.defaults.get("word_order"))
        return self.read(words, kind, "little" if order == "low-word-first" else "big")

    @staticmethod
    def read(words, kind, order):
        if kind == "ascii":
            return Client.convert_from_registers(words, TYPES.STRING).strip("\0 ")
        if kind in ("bcd", "bitfield"):
            text = "".join(f"{word:04X}" for word in (words if order == "big" else words[::-1]))
            return Decimal(int(text, 10 if kind == "bcd" else 16))
        number = Client.convert_from_registers(words, NAMES[kind], word_order=order)
        if not isinstance(number, float):
            return Decimal(number)
        if math.isnan(number):
            raise Gap("not-available")
        if math.isinf(number):
            raise Gap("bad-answer")
        return shortest(number, ">f" if kind == "f32" else ">d")

    def parameter(self, name):
        entry = next(entry for entry in self.profile["parameters"] if entry["name"] == name)
        number = self.content(entry)
        limits = entry.get("range")
        if limits and not limits["least"] <= number <= limits["most"]:
            raise Gap("bad-answer")
        return entry, number.scaleb(entry.get("scale", 0))

    def value(self, entry):
        value = Fraction(self.content(entry))
        if "fraction" in entry:
            rest = entry["fraction"]
            value += Fraction(self.content(rest)) * Fraction(10) ** rest.get("scale", 0)
        value *= Fraction(10) ** entry.get("scale", 0)
        unit = entry.get("unit")
        if "unit_from" in entry:
            parameter, code = self.parameter(entry["unit_from"])
            named = next(unit for unit in parameter["units"] if unit["code"] == code)
            unit = named["unit"]
            value *= Fraction(10) ** named.get("scale", 0)
        if "scale_from" in entry:
            value *= Fraction(10) ** int(self.parameter(entry["scale_from"])[1])
        return value, unit

    def elements(self):
        found = {}
        for code, value in self.shown():
            found[code] = value
            yield code, value
        for total in self.profile.get("totals", []):
            parts = [found.get(code) for code in total["of"]]
            gaps = [part for part in parts if isinstance(part, str)]
            if None not in parts:
                yield total["obis"], gaps[0] if gaps else (sum(value for value, _ in parts), parts[0][1])

    def shown(self):
        for entry in self.profile["registers"]:
            codes = [entry["obis"]] + ([entry["negative_obis"]] if "negative_obis" in entry else [])
            try:
                value, unit = self.value(entry)
                parts = [max(value, 0), max(-value, 0)] if len(codes) == 2 else [value]
                yield from ((code, (part, unit)) for code, part in zip(codes, parts))
            except Gap as gap:
                if str(gap) != "no-answer":
                    yield from ((code, str(gap)) for code in codes)

    def identity(self):
        entry = self.profile.get("serial_number")
        if entry is None:
            return None
        number = self.content(entry, common=True)
        text = number if isinstance(number, str) else str(number).zfill(entry.get("digits", 0))
        return f"{entry['prefix']}-{text}"


def memory_of(profile, test):
    default = profile.get("defaults", {}).get("function")
    return {
        (block.get("function", default), block["address"] + offset): int(word, 16)
        for block in test["registers"]
        for offset, word in enumerate(block["words"].split())
    }


def expected(element):
    if "gap" in element:
        return element["gap"]
    return Fraction(element["value"]), element["unit"]


checked = 0
for path in sorted((Path(__file__).parents[3] / "meters/modbus/profiles").glob("*.toml")):
    profile = tomllib.loads(path.read_text())
    for test in profile["self_tests"]:
        meter = Meter(profile, memory_of(profile, test))
        found = dict(meter.elements())
        wanted = {element["obis"]: expected(element) for element in test["elements"]}
        if meter.identity() != test.get("meter") or found != wanted:
            sys.exit(f"{path.name}: {test['title']}: pymodbus reads {meter.identity()} {found}")
        checked += len(found)
print(f"{checked} elements are what pymodbus reads")
