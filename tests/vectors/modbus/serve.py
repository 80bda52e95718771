#!/usr/bin/env python3
"""Serves a Modbus meter with pymodbus, over TCP or on a serial port, for the gateway to read.

Needs pymodbus 3.16 and, for the SunSpec meter, pysunspec2 from PyPI. The registers are packed here by
Python's `struct` from the addresses of the makers, and nothing of the gateway takes part. Registers that are
not named are refused (exception 2), unless `--whole` fills the gaps between them with zeros.

Prints one line of JSON once it listens: where, and the elements that a reader must find.
"""

import argparse
import asyncio
import json
import struct
from decimal import Decimal
from importlib import resources

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

INPUT, HOLDING = 4, 3
LETTERS = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f", "f64": "d"}


class Meter:
    """Registers, and what a reader must find in them."""

    def __init__(self, function, low_word_first=False, identity=None):
        self.function, self.low_word_first, self.identity = function, low_word_first, identity
        self.tables = {HOLDING: {}, INPUT: {}}
        self.elements = []

    def put(self, address, kind, number, function=None):
        """Puts a number into registers."""
        packed = struct.pack(">" + LETTERS[kind], number)
        words = list(struct.unpack(f">{len(packed) // 2}H", packed))
        if self.low_word_first:
            words.reverse()
        self.put_words(address, words, function)

    def put_words(self, address, words, function=None):
        self.tables[function or self.function].update(enumerate(words, address))

    def put_text(self, address, count, text, function=None):
        data = text.encode("ascii").ljust(2 * count, b"\0")
        self.put_words(address, struct.unpack(f">{count}H", data), function)

    def expect(self, obis, value, unit):
        value = None if value is None else f"{Decimal(value):f}"
        self.elements.append({"obis": obis, "value": value, "unit": unit})

    def real(self, obis, address, text, unit, factor=0, kind="f32"):
        """Puts a real; the element has its decimal times a power of ten."""
        self.put(address, kind, float(text))
        self.expect(obis, Decimal(text).scaleb(factor), unit)

    def whole(self, obis, address, kind, number, unit, factor=0):
        """Puts a whole number; the element is it times a power of ten."""
        self.put(address, kind, number)
        self.expect(obis, Decimal(number).scaleb(factor), unit)

    def reals(self, codes, address, texts, unit, factor=0):
        """Puts reals one behind the other."""
        for place, (code, text) in enumerate(zip(codes, texts, strict=True)):
            self.real(f"1-0:{code}*255", address + 2 * place, text, unit, factor)


def sdm630():
    meter = Meter(INPUT, identity="EAS-12345678")
    meter.put(0xFC00, "u32", 12_345_678, HOLDING)
    meter.reals(["32.7.0", "52.7.0", "72.7.0"], 0x00, ["229.8", "231.4", "230.6"], "V")
    meter.reals(["31.7.0", "51.7.0", "71.7.0"], 0x06, ["9.4", "0.2", "10.9"], "A")
    meter.reals(["36.7.0", "56.7.0", "76.7.0"], 0x0C, ["280", "2150.5", "-60.25"], "W")
    meter.real("1-0:16.7.0*255", 0x34, "2370.25", "W")
    # Below zero: reactive power that is fed to the grid.
    meter.put(0x3C, "f32", -310.5)
    meter.expect("1-0:3.7.0*255", "0", "var")
    meter.expect("1-0:4.7.0*255", "310.5", "var")
    meter.real("1-0:13.7.0*255", 0x3E, "0.98", "1")
    meter.real("1-0:14.7.0*255", 0x46, "49.98", "Hz")
    meter.reals(["1.8.0", "2.8.0"], 0x48, ["12345.6", "89.5"], "Wh", 3)
    meter.reals(["3.8.0", "4.8.0"], 0x4C, ["310.2", "12"], "varh", 3)
    meter.real("1-0:15.8.0*255", 0x0156, "12435.1", "Wh", 3)
    meter.reals(["21.8.0", "41.8.0", "61.8.0"], 0x015A, ["4001", "5002", "3342.6"], "Wh", 3)
    meter.reals(["22.8.0", "42.8.0", "62.8.0"], 0x0160, ["10.5", "20.2", "58.8"], "Wh", 3)
    return meter


def b23():
    meter = Meter(HOLDING, identity="ABB-87654321")
    meter.put(0x8900, "u32", 87_654_321)
    for phase, (volts, amperes) in enumerate([(2298, 940), (2314, 20), (2306, 1090)]):
        meter.whole(f"1-0:{32 + 20 * phase}.7.0*255", 0x5B00 + 2 * phase, "u32", volts, "V", -1)
        meter.whole(f"1-0:{31 + 20 * phase}.7.0*255", 0x5B0C + 2 * phase, "u32", amperes, "A", -2)
    meter.whole("1-0:16.7.0*255", 0x5B14, "i32", -237_012, "W", -2)
    # This phase is not measured.
    meter.put(0x5B16, "i32", 0x7FFF_FFFF)
    meter.expect("1-0:36.7.0*255", None, None)
    meter.whole("1-0:56.7.0*255", 0x5B18, "i32", 215_000, "W", -2)
    meter.whole("1-0:14.7.0*255", 0x5B2C, "u16", 4998, "Hz", -2)
    meter.whole("1-0:13.7.0*255", 0x5B3A, "i16", -980, "1", -3)
    # More digits than a double has: 12 345 678 901 234 567.89 kWh.
    meter.whole("1-0:1.8.0*255", 0x5000, "u64", 1_234_567_890_123_456_789, "Wh", 1)
    meter.put(0x5004, "u64", 0xFFFF_FFFF_FFFF_FFFF)
    meter.expect("1-0:2.8.0*255", None, None)
    meter.whole("1-0:21.8.0*255", 0x5460, "u64", 400_100, "Wh", 1)
    return meter


def em340():
    meter = Meter(INPUT, low_word_first=True, identity="CGC-KR1234567890X")
    meter.put_text(0x5000, 7, "KR1234567890X", HOLDING)
    for phase, (volts, amperes, watts) in enumerate([(2298, 9400, 2800), (2314, 200, 21505), (2306, 10900, -603)]):
        meter.whole(f"1-0:{32 + 20 * phase}.7.0*255", 2 * phase, "i32", volts, "V", -1)
        meter.whole(f"1-0:{31 + 20 * phase}.7.0*255", 0x0C + 2 * phase, "i32", amperes, "A", -3)
        meter.whole(f"1-0:{36 + 20 * phase}.7.0*255", 0x12 + 2 * phase, "i32", watts, "W", -1)
        meter.whole(f"1-0:{21 + 20 * phase}.8.0*255", 0x40 + 2 * phase, "i32", 40_010 + phase, "Wh", 2)
    meter.whole("1-0:16.7.0*255", 0x28, "i32", -123_456, "W", -1)
    meter.whole("1-0:33.7.0*255", 0x2E, "i16", -970, "1", -3)
    meter.whole("1-0:14.7.0*255", 0x33, "i16", 500, "Hz", -1)
    meter.whole("1-0:1.8.0*255", 0x34, "i32", 123_456, "Wh", 2)
    meter.whole("1-0:2.8.0*255", 0x4E, "i32", 895, "Wh", 2)
    return meter


def iem3155():
    meter = Meter(HOLDING, identity="SCH-0012345678")
    meter.put(0x0081, "u32", 12_345_678)
    meter.reals(["31.7.0", "51.7.0", "71.7.0"], 0x0BB7, ["9.4", "0.2", "10.9"], "A")
    meter.reals(["32.7.0", "52.7.0", "72.7.0"], 0x0BD3, ["229.8", "231.4", "230.6"], "V")
    meter.reals(["36.7.0", "56.7.0", "76.7.0", "16.7.0"], 0x0BED, ["0.28", "2.15", "-0.06", "2.37"], "W", 3)
    meter.real("1-0:14.7.0*255", 0x0C25, "50.02", "Hz")
    meter.whole("1-0:1.8.0*255", 0x0C83, "i64", 9_007_199_254_740_993, "Wh")
    meter.whole("1-0:2.8.0*255", 0x0C87, "i64", 89_500, "Wh")
    meter.whole("1-0:61.8.0*255", 0x0DC5, "i64", 3_342_600, "Wh")
    return meter


def pac2200():
    meter = Meter(HOLDING, identity="SIE-LQN1234567")
    meter.put_text(64_012, 8, "LQN1234567")
    meter.reals(["32.7.0", "52.7.0", "72.7.0"], 1, ["229.8", "231.4", "230.6"], "V")
    meter.reals(["31.7.0", "51.7.0", "71.7.0"], 13, ["9.4", "0.2", "10.9"], "A")
    meter.reals(["36.7.0", "56.7.0", "76.7.0"], 25, ["280", "2150.5", "-60.25"], "W")
    meter.real("1-0:16.7.0*255", 65, "2370.25", "W")
    meter.real("1-0:1.8.1*255", 801, "12345678.901", "Wh", kind="f64")
    meter.real("1-0:2.8.1*255", 809, "0.1", "Wh", kind="f64")
    return meter


def mag11():
    meter = Meter(HOLDING)
    meter.whole("6-0:2.0.0*255", 0x0200, "u64", 1_234_567, "m3", -3)
    meter.whole("6-0:1.0.0*255", 0x0204, "u64", 12_345_600, "Wh")
    meter.whole("5-0:1.0.0*255", 0x0212, "u64", 5_000, "Wh")
    meter.real("6-0:9.0.0*255", 0x0400, "0.512", "m3/h")
    meter.real("6-0:10.0.0*255", 0x0402, "70.5", "degC")
    meter.real("6-0:11.0.0*255", 0x0404, "43.2", "degC")
    meter.real("6-0:8.0.0*255", 0x0408, "15.3", "W", 3)
    return meter


def gas():
    meter = Meter(INPUT)
    meter.whole("7-0:3.0.0*255", 60, "u32", 123_456, "m3", -2)
    return meter


def water():
    meter = Meter(HOLDING)
    meter.whole("8-0:1.0.0*255", 12_003, "u32", 1_234_567, "m3")
    return meter


def sunspec203():
    """A SunSpec meter; where its points stand, the definitions of pysunspec2 say."""
    folder = resources.files("sunspec2") / "models" / "json"

    def offsets(model):
        points = json.loads((folder / f"model_{model}.json").read_text(encoding="utf-8"))["group"]["points"]
        found, offset = {}, 0
        for point in points:
            found[point["name"]] = offset
            offset += point["size"]
        return found, offset

    meter = Meter(HOLDING, identity="SUN-0815-4711")
    meter.put_words(40_000, [0x5375, 0x6E53])
    common, common_size = offsets(1)
    meter.put_words(40_002, [0] * common_size)
    meter.put_words(40_002, [1, common_size - 2])
    meter.put_text(40_002 + common["SN"], 16, "0815-4711")
    points, size = offsets(203)
    base = 40_002 + common_size
    meter.put_words(base, [0] * size)
    meter.put_words(base, [203, size - 2])
    meter.put_words(base + size, [0xFFFF, 0])
    for name, factor in [("A_SF", -2), ("V_SF", -1), ("Hz_SF", -2), ("W_SF", 1), ("PF_SF", -1), ("TotWh_SF", 2)]:
        meter.put(base + points[name], "i16", factor)
    for name, code, number, unit, factor in [
        ("A", "90.7.0", 2050, "A", -2),
        ("AphA", "31.7.0", 940, "A", -2),
        ("PhVphA", "32.7.0", 2298, "V", -1),
        ("PhVphC", "72.7.0", 2306, "V", -1),
        ("Hz", "14.7.0", 5002, "Hz", -2),
        ("W", "16.7.0", -237, "W", 1),
        ("PF", "13.7.0", -985, "1", -3),
    ]:
        meter.whole(f"1-0:{code}*255", base + points[name], "i16", number, unit, factor)
    meter.put(base + points["WphB"], "i16", -0x8000)
    meter.expect("1-0:56.7.0*255", None, None)
    meter.whole("1-0:1.8.0*255", base + points["TotWhImp"], "u32", 4_000_000_000, "Wh", 2)
    meter.whole("1-0:2.8.0*255", base + points["TotWhExp"], "u32", 895, "Wh", 2)
    # Zero stands for a counter that the meter does not have.
    meter.expect("1-0:21.8.0*255", None, None)
    return meter


METERS = {
    "eastron-sdm630": sdm630,
    "abb-b23": b23,
    "carlogavazzi-em340": em340,
    "schneider-iem3155": iem3155,
    "siemens-pac2200": pac2200,
    "2flow-mag11": mag11,
    "wirenboard-mcm8-gas": gas,
    "abb-aquamaster3": water,
    "sunspec-20x": sunspec203,
}


def blocks(table, whole):
    """Returns the registers of a table as pymodbus wants them: runs without gaps."""
    # As many zeros fill a gap, and follow the last register.
    longest = 64 if whole else 0
    runs = []
    for address in sorted(table):
        if runs and address - runs[-1][0] - len(runs[-1][1]) <= longest:
            start, words = runs[-1]
            words.extend([0] * (address - start - len(words)))
            words.append(table[address])
        else:
            runs.append((address, [table[address]]))
    for address, words in runs:
        words.extend([0] * min(longest, 0x10000 - address - len(words)))
    # pymodbus wants a table to have something in it.
    runs = runs or [(0xFFF0, [0])]
    return [SimData(start, values=words, datatype=DataType.REGISTERS) for start, words in runs]


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("meter", choices=METERS)
    parser.add_argument("--unit", type=int, default=1)
    parser.add_argument("--whole", action="store_true")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--tcp", action="store_true")
    place.add_argument("--rtu-over-tcp", action="store_true")
    place.add_argument("--serial", metavar="DEVICE")
    parser.add_argument("--baud", type=int, default=9600)
    options = parser.parse_args()

    meter = METERS[options.meter]()
    bits = [SimData(0xFFF0, values=[False] * 16, datatype=DataType.BITS)]
    tables = (bits, bits, *(blocks(meter.tables[table], options.whole) for table in (HOLDING, INPUT)))
    device = SimDevice(options.unit, simdata=tables)
    if options.serial:
        # A pseudo-terminal has no parity bits, and pyserial fails to set them.
        server = ModbusSerialServer(device, framer=FramerType.RTU, port=options.serial, baudrate=options.baud)
    else:
        framer = FramerType.SOCKET if options.tcp else FramerType.RTU
        server = ModbusTcpServer(device, framer=framer, address=("127.0.0.1", 0))
    await server.listen()
    address = options.serial
    if not options.serial:
        host, port = server.transport.sockets[0].getsockname()
        address = f"{host}:{port}"
    said = {"address": address, "meter": meter.identity, "elements": meter.elements}
    print(json.dumps(said), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
