#!/usr/bin/env python3
"""Compares the SunSpec profiles with the models that pysunspec2 brings along.

Needs pysunspec2 1.3.7 from PyPI and Python 3.11. Of every register and parameter, address, type, unit, scale
factor and "not available" content must be those of a point of each model that the profile names, and no point
with a value may be missing. A difference ends the program with an error.
"""

import json
import sys
import tomllib
from importlib import resources
from pathlib import Path

FOLDER = resources.files("sunspec2") / "models" / "json"
# The type of a point: type in a profile, content that stands for "no value".
TYPES = {
    "int16": ("i16", ["8000"]),
    "uint16": ("u16", ["FFFF"]),
    "acc32": ("u32", ["0000 0000"]),
    "float32": ("f32", []),
    "sunssf": ("i16", ["8000"]),
    "bitfield32": ("bitfield", ["FFFF FFFF"]),
}
# The unit of a point: unit in a profile, power of ten between both.
UNITS = {
    "A": ("A", 0), "V": ("V", 0), "Hz": ("Hz", 0), "W": ("W", 0), "VA": ("VA", 0), "var": ("var", 0),
    "Pct": ("1", -2), "Wh": ("Wh", 0), "VAh": ("VAh", 0), "varh": ("varh", 0), "PF": ("1", 0), None: ("1", 0),
}  # fmt: skip
# The points of a model that are no values of their own: its header.
HEADER = {"ID", "L"}


def points_of(model):
    """Returns the points of a model by their offset from its identifier."""
    definition = json.loads((FOLDER / f"model_{model}.json").read_text(encoding="utf-8"))
    points, offset = {}, 0
    for point in definition["group"]["points"]:
        points[offset] = point
        offset += point["size"]
    return points


def compare(where, point, entry, is_register):
    wanted_type, absent = TYPES[point["type"]]
    differences = []

    def same(what, wanted, found):
        if wanted != found:
            differences.append(f"{what}: the model has {wanted}, the profile {found}")

    same("type", wanted_type, entry["type"])
    same("not_available", absent, entry.get("not_available", []))
    if is_register:
        # 21x says "VArh" where 20x says "varh", and so on: the case of a unit is not the standard's.
        units = {(unit or "").lower(): known for unit, known in UNITS.items()}
        unit, power = units[(point.get("units") or "").lower()]
        same("unit", unit, entry["unit"])
        same("scale", power, entry.get("scale", 0))
        factor = point.get("sf")
        same("scale_from", factor, entry.get("scale_from"))
    for difference in differences:
        sys.exit(f"{where}: {point['name']}: {difference}")


def check(path):
    profile = tomllib.loads(path.read_text(encoding="utf-8"))
    for model in profile["sunspec"]["models"]:
        points = points_of(model)
        seen = set()
        entries = [(entry, False) for entry in profile.get("parameters", [])]
        entries += [(entry, True) for entry in profile["registers"]]
        for entry, is_register in entries:
            where = f"{path.name}: model {model}: offset {entry['address']}"
            point = points.get(entry["address"])
            if point is None:
                sys.exit(f"{where}: the model has no point there")
            if not is_register and point["name"] != entry["name"]:
                sys.exit(f"{where}: the model calls it {point['name']}, the profile {entry['name']}")
            compare(where, point, entry, is_register)
            seen.add(point["name"])
        missing = {point["name"] for point in points.values()} - seen - HEADER
        print(f"{path.name}: model {model}: {len(seen)} points agree; not read: {', '.join(sorted(missing)) or 'none'}")
    serial = profile["serial_number"]
    points = points_of(1)
    point = points.get(serial["address"])
    if point is None or point["name"] != "SN" or point["size"] != serial["count"]:
        sys.exit(f"{path.name}: the serial number stands elsewhere in the common model")


PROFILES = Path(__file__).parents[3] / "meters/modbus/profiles"
for name in ("sunspec-20x", "sunspec-21x"):
    check(PROFILES / f"{name}.toml")
