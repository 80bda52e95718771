"""Makes the corpus of the fuzz targets: for M-Bus from the golden files in tests/vectors/mbus and frames of the other
kinds, for Modbus from the profiles, for the card from the card scripts in tests/vectors/card and from what its partners send."""

import json
import re
import subprocess
from pathlib import Path

here = Path(__file__).parent


def write(target, name, content):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


vectors = here.parent / "vectors" / "mbus"

frames = []
for file in sorted(vectors.glob("*.txt")):
    for number, line in enumerate(file.read_text().splitlines()):
        if line.startswith("frame "):
            frames.append((f"{file.stem}-{number}", bytes.fromhex(line[6:])))

header = "78563412 7704 14 02 55 00 0000 "
key = "0102030405060708090a0b0c0d0e0f11"
gas = "2a0020255923c95aaa26d1b2e7493b013ec4a6f6d3529b520edff0ea6defc99d6d69ebf3"
messages = {
    "fixed": "73 78563412 0a 00 e9 7e 01000000 35010000",
    "fixed-most-first": "77 12345678 0a 01 e9 7e 00000001 00000135",
    "plain-text": "78 02fc0348522574440d 02fc740348522544 0d",
    "chains": "72 " + header + "c1ffffffffffffffffff7f130101 93f4f4f4f4f4f4f4f4f47405",
    "most-first": "76 12345678 0477 14 02 55 00 0000 0413000031150b3b054321",
    "compact": "79 34dd1aa5 7100da980b00da980b00",
    "format": "69 0734dd02ff2004134413",
    "error": "70 08",
    "alarm": "71 05",
    "clock": "6c " + header + "001e050c573b30000000",
}
for name, frame in frames:
    write("link", name, frame)
    write("decoder", name, frame[6:-2])
for name, message in messages.items():
    write("decoder", name, bytes.fromhex(message))
mode_7 = (vectors / "mode-7.hex").read_text().strip()
write("decrypt", "mode-5", bytes.fromhex(key + "72 78563412 93153303" + gas))
write("decrypt", "mode-7", bytes.fromhex("000102030405060708090a0b0c0d0e0f 90" + mode_7))
write("link", "short", bytes.fromhex("ff 10 7b 01 7c 16 e5"))


# Modbus: built-in profiles by their number, with answers; and texts of profiles, ended by a zero.
modbus = here.parent.parent / "meters" / "modbus"
answers = bytes.fromhex("00 4366 199A 00 0000 2a " * 8)
for number in range(len(list((modbus / "profiles").glob("*.toml")))):
    write("profile", f"built-in-{number}", bytes([number]) + answers)
example = "\n".join(
    line for line in (modbus / "example.toml").read_text().splitlines() if line and not line.startswith("#")
)
write("profile", "example", b"\xff" + example.encode() + b"\0" + answers)
gas = (modbus / "profiles" / "wirenboard-mcm8-gas.toml").read_text()
write("profile", "gas", b"\xff" + gas.encode() + b"\0" + answers)


# The card. Its numbers in the world of the fuzz targets; a script names the first state that it is for.
CARDS = ["blank", "personalized", "bound", "operational", "terminated"]
# The rows of the card's table, in the order of gateway/card/src/commands.rs.
SELECT_APPLICATION, SELECT, READ, PUT, UPDATE, GENERATE, IMPORT, ACTIVATE, BIND, CHOOSE, PAIR, CONFIRM = range(12)
DST, KAT, SIGN, AGREE, PROVE, CHALLENGE, VERIFY, AUTHENTICATE, TSM, ENVELOPE, RETRY, END, REST = range(12, 25)
ANYONE, GATEWAY, THE_TSM, ALTERED = 1, 2, 3, 4
RESET = b"\x05"
# Imports a key pair that the world makes: for SIG, ENC, TLS or attestation, and which one.
GIVES = lambda name, number: bytes([6, name, number])
POINT = bytes.fromhex(
    "046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
    "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
)


def short(data):
    return len(data).to_bytes(2, "big") + data


def says(who, row, data=b"", position=0):
    head = bytes([who]) + (position.to_bytes(2, "big") if who == ALTERED else b"")
    return head + bytes([row, 0, 0]) + short(data)


def tlv(tag, value):
    length = bytes([len(value)]) if len(value) < 128 else b"\x81" + bytes([len(value)])
    return bytes.fromhex(tag) + length + value


def file(identifier, who=GATEWAY):
    return says(who, SELECT, bytes.fromhex(identifier))


for number, path in enumerate(sorted((here.parent / "vectors" / "card").glob("*.script"))):
    text = path.read_text()
    write("script", path.stem, text.encode())
    card = CARDS.index(re.search(r"^card (\w+)", text, re.M).group(1))
    moves, answers = bytes([card]), []
    for line in text.splitlines():
        if line == "reset":
            moves += RESET
        elif line[:2] in ("> ", "< "):
            digits = re.sub(r"\{[\w-]+:(\d+)\}", lambda found: "5a" * int(found.group(1)), line[2:])
            message = bytes.fromhex(re.sub(r"\{[*\w-]+\}", "", digits))
            if line[0] == ">":
                moves += b"\x00" + short(message)
                write("apdu", "command-" + message[:4].hex(), message)
            else:
                answers.append(message)
                write("apdu", f"answer-{len(message)}", message)
    write("applet", path.stem, moves)
    write("answers", path.stem, bytes([number]) + b"".join(map(short, answers[:20])))

key = tlv("84", b"\x01") + tlv("83", b"\x33" * 32)
template = tlv("7c", tlv("85", POINT))
anchor = tlv("80", bytes(7) + b"\x02") + tlv("81", b"\x77" * 32)
head = tlv("80", bytes(7) + b"\x01") + tlv("81", b"\x88" * 32)
supplier = tlv("a0", tlv("80", b"\x33" * 32) + tlv("86", POINT))
bind = lambda gateway: tlv("80", gateway * 16) + tlv("81", bytes(16)) + tlv("82", bytes(16)) + tlv("86", POINT)
games = {
    "keys": b"\x03" + says(GATEWAY, DST, key) + says(GATEWAY, SIGN, bytes(32)) + says(GATEWAY, KAT, tlv("84", b"\x02"))
    + says(GATEWAY, AGREE, template) + says(GATEWAY, KAT, b"\x84\x01\x00" + key[3:]) + says(GATEWAY, AGREE, template),
    "proof": b"\x02" + says(GATEWAY, PROVE, bytes(16)) + says(THE_TSM, PROVE, bytes(16)) + says(GATEWAY, CHALLENGE),
    "head": b"\x02" + file("0602") + says(GATEWAY, UPDATE, head) + says(GATEWAY, READ) + says(GATEWAY, UPDATE, head),
    "bundle": b"\x02" + file("0601", THE_TSM) + says(THE_TSM, UPDATE, anchor) + file("0501", THE_TSM)
    + says(THE_TSM, UPDATE, supplier) + says(THE_TSM, READ) + file("0601") + says(GATEWAY, READ),
    "unlock": b"\x02" + says(THE_TSM, RETRY) + says(GATEWAY, CONFIRM, tlv("80", b"\x11" * 16)),
    "end": b"\x03" + says(THE_TSM, END) + says(THE_TSM, READ) + says(ANYONE, SELECT, b"\x01\x01"),
    "foreign": b"\x03" + says(ANYONE, BIND, bind(b"\x22")) + says(ANYONE, SELECT_APPLICATION, bytes.fromhex("F0534D475701")),
    "bind": b"\x01" + says(ANYONE, BIND, bind(b"\x11")) + says(ANYONE, BIND, bind(b"\x11")) + RESET + says(ANYONE, CHOOSE),
    "altered": b"\x03" + file("0601") + says(ALTERED, READ, b"", 77) + says(GATEWAY, READ),
    "mixed": b"\x03" + file("0601") + says(ANYONE, CHALLENGE) + says(GATEWAY, READ) + file("0501", THE_TSM) + says(GATEWAY, READ)
    + says(THE_TSM, READ),
    "whole-life": b"\x00"
    + b"".join(says(ANYONE, GENERATE, bytes.fromhex(row)) for row in ("B603840101", "A603840102", "A403840103", "A403840104"))
    + file("0101", ANYONE) + says(ANYONE, PUT, bytes.fromhex("fd5a0000000000000000000000000001")) + says(ANYONE, ACTIVATE),
    "imported-keys": b"\x00" + GIVES(0, 1) + GIVES(1, 2) + GIVES(2, 3) + GIVES(3, 4) + file("0201", ANYONE)
    + says(ANYONE, READ) + says(ANYONE, IMPORT, bytes.fromhex("4d03b60184")) + says(ANYONE, ACTIVATE),
    "completion": b"\x05" + says(ANYONE, ACTIVATE) + file("0201", ANYONE) + says(ANYONE, READ) + GIVES(0, 1),
    "other-key": b"\x05" + GIVES(2, 1) + says(ANYONE, ACTIVATE) + says(ANYONE, READ),
    "rest": b"\x01" + file("0201", ANYONE) + b"\x00" + short(bytes.fromhex("00b0000020")) + says(ANYONE, REST),
}
for name, moves in games.items():
    write("applet", "game-" + name, moves)
for name, content in {"anchor": anchor, "suppliers": supplier * 2, "template": template, "bind": bind(b"\x11"),
                      "two-bytes": tlv("7f49", tlv("06", b"\x04\x00") + tlv("86", POINT)),
                      "contact": tlv("0c", b"Trust centre") + tlv("7f21", b"\x30\x00")}.items():
    write("tlv", name, content)
for name, content in {
    "command": "00 0c b0 00 04 8711 01 513f0912ff5d53f06beb55ce7226afa7 970120",
    "answer": "01 0c 00 00 00 8721 01 53ae2e72b68ac9d7f8aeb62dd79390b4b8c8f5415a2444ae79e3784f53a334d2 99029000",
    "empty": "00 0c 84 00 00",
    "expected": "03 8c 10 00 00 97020100",
    "status": "01 0c 00 00 00 99026a82",
}.items():
    write("secure_messaging", name, bytes.fromhex(content))


# Messages: OpenSSL's, as a whole and without its signature; contents of each kind; topics.
messages = here.parent / "vectors" / "messages"
request = (messages / "request.der").read_bytes()
write("cms", "request", b"\0" + request)
sealed = subprocess.run(
    ["openssl", "cms", "-verify", "-noverify", "-nosigs", "-binary", "-inform", "DER", "-in", messages / "request.der"],
    capture_output=True,
    check=True,
).stdout
write("cms", "sealed", b"\1" + sealed)
content = json.loads((messages / "request.json").read_text())
write("content", "request", json.dumps(content).encode())
party, guid, time = "ab" * 32, "fd5a::1", "2026-11-23T12:00:00Z"
answer = {"id": "00" * 16, "in_reply_to": "11" * 16, "gateway": guid, "time": time}
series = {
    "element": {"meter": "M1", "obis": "7-0:3.0.0*255"}, "medium": "gas", "unit": "m3", "start": time, "step": "PT15M",
    "values": ["1.00", None, "1.10"], "status": [0, 0, 0], "gaps": [[1, "no-answer"]],
}
kinds = {
    "answer": {**answer, "supplier": party, "series": [series], "refusals": []},
    "refused": {**answer, "code": "no-grant", "reason": "no grant names this supplier"},
    "receipt": {"id": "22" * 16, "received": "00" * 16, "sender": party, "recipient": guid, "time": time},
    "card-answers": {**answer, "answers": ["9000"]},
}
for kind, body in kinds.items():
    write("content", kind, json.dumps({"version": content["version"], "type": kind, **body}).encode())
write("topic", "request", b"\0smgw/v1/8c/fd5a::1/req/" + party.encode())
write("topic", "address", b"\0[fd5a::1]:8883")
write("topic", "parts", b"\1" + bytes.fromhex("fd5a0000000000000000000000000001 02" + party))

# Applications: a module that logs a word and writes nothing, with and without manifest; blobs.
module = bytes.fromhex(
    "0061736d0100000001160460037f7f7f006000017f60017f017f60027f7f017e020d0105736d677731036c6f6700000304030102030504"
    "01010220073004066d656d6f727902000b6162695f76657273696f6e00010a736d67775f616c6c6f630002086576616c7561746500030a"
    "2103040041010b05004180200b14004101418008410410004280084220864218840b0b1f01004180080b1853544f310100180018000000"
    "000000000000000000000000"
)


def leb128(number):
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def section(name, content):
    inner = leb128(len(name)) + name + content
    return b"\0" + leb128(len(inner)) + inner


manifest = (here.parent.parent / "gateway" / "apps" / "taf-1" / "manifest.json").read_bytes()
package = module + section(b"smgw.manifest", manifest)
write("package", "module", b"\1" + module)
# A function whose code goes on behind its end, which the engine stumbled over.
write("package", "behind-the-end", b"\1" + module[:137] + bytes.fromhex("0b424286840b2018") + module[145:])
write("package", "unsigned", b"\0" + package)
write("package", "signed", b"\0" + package + section(b"smgw.author", b"author") + section(b"smgw.tsm", b"tsm"))
record = bytes.fromhex("0000 0000 0000 0000") + bytes(8) + (900).to_bytes(8, "little") + (2000).to_bytes(8, "little")
record += bytes.fromhex("00000000 02000000 00 1b 000000000000")
write("blob", "output", b"\0STO1" + bytes.fromhex("0100 1800 4a000000 01000000 02000000 00000000") + record + b"ab")
channel = bytes.fromhex("0100010800ff 1e 00 0000 0000 84030000 00000000 01000000".replace(" ", ""))
head = b"STI1" + bytes.fromhex("0100 5000") + bytes(16) + (900).to_bytes(8, "little") + bytes(16)
head += b"".join(count.to_bytes(4, "little") for count in (120, 0, 1, 0, 1, 0, 0, 0))
write("blob", "input", b"\1" + head + channel + bytes(16))
write("blob", "answer", b"\2SMA1\0" + bytes(17) + bytes(4) + bytes(4))
write("blob", "failure", b"\2SMA1\1" + bytes.fromhex("03000000") + b"job" + bytes.fromhex("02000000") + b"no")

# Rules of all layers, and what is asked; the text is one line of JSON.
supplier = "ab" * 32
grant = {
    "id": "billing", "supplier": supplier, "elements": ["M1/1-0:1.8.0*255", "*/7-0:x.0.0*255"], "finest": "PT15M",
    "history": "P30D", "validity": {"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}, "purpose": "billing",
}
limit = {"id": "policy 1", "elements": ["*"], "finest": "PT10M", "history": "P20D"}
restriction = {"id": 1, "elements": "M1/*", "effect": {"coarser": "PT1H"}, "from": "2026-01-01T00:00:00Z"}
named = {"supplier": {"fingerprint": supplier, "name": "City Works"}}
scene = {
    "supplier": supplier, "now": "2026-11-23T12:00:00Z", "grants": [grant],
    "query": {
        "elements": "M1/1-0:1.8.0*255", "resolution": "PT15M",
        "period": {"from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z"},
    },
}
everything = {"elements": "*", "resolution": "PT1H", "aggregation": "mean", "period": scene["query"]["period"]}
for name, more in {
    "granted": {},
    "limited": {"policy": [limit, {**limit, "supplier": supplier, "at_most": "PT1H"}], "last": "2026-11-23T11:30:00Z"},
    "coarser": {"restrictions": [restriction]},
    "objected": {"restrictions": [{**restriction, "effect": "object", **named}]},
    "too-often": {"grants": [{**grant, "at_most": "P1D", "push": "P1D"}], "last": "2026-11-23T11:30:00Z"},
    "continued": {
        "grants": [{**grant, "at_most": "P1D"}], "last": "2026-11-23T11:30:00Z", "continues": "2026-11-23T11:30:00Z",
    },
    "means": {"grants": [{**grant, "aggregations": ["mean", "latest"]}], "query": everything},
}.items():
    write("grant", name, json.dumps({**scene, **more}).encode())
