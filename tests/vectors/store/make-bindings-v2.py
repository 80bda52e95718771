"""Makes the golden copies of the bindings, rows of version 2, with Python's own hmac and hashlib.

Run in this folder: python3 make-bindings-v2.py
"""

import hashlib
import hmac
import json
import os
import struct

KEY = bytes(range(32))
NONE = bytes(32)


def sealed(content):
    return content + hmac.new(KEY, content, "sha256").digest()


def row(name, sequence, link, content=b""):
    return sealed(
        b"SMGW\x02" + bytes([len(name)]) + name + struct.pack(">Q", sequence) + link
        + struct.pack(">I", len(content)) + content
    )


def text(value):
    return json.dumps(value, separators=(",", ":")).encode()


def copy(generation, rows):
    content = b"SMGC\x01" + struct.pack(">QB", generation, len(rows))
    return sealed(content + b"".join(struct.pack(">I", len(one)) + one for one in rows))


def write(name, content):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as file:
        file.write(content)


stored = {
    "binding": {
        "card": "fd00::1",
        "card_key": "07" * 32,
        "gateway": "09" * 16,
        "time": "2026-11-23T12:00:00Z",
    },
    "pairing": b"secret".hex(),
}
binding = row(b"binding", 1, NONE, text(stored))
tamper = row(
    b"tamper", 2, hashlib.sha256(binding).digest(), text({"reason": "the card was torn out", "time": "2026-11-24T12:00:00Z"})
)
ended = row(b"card-terminated", 3, hashlib.sha256(tamper).digest(), text({"time": "2026-11-25T12:00:00Z"}))
head = row(b"head", 3, hashlib.sha256(ended).digest())
counter = row(b"counter/card-session", 7, NONE)
rows = [binding, tamper, ended, head, counter]
write("bindings-v2/copy-a", copy(41, rows))
write("bindings-v2/copy-b", copy(42, rows))

# Before the burn: nothing but the intent.
blank = [row(b"head", 0, NONE), row(b"intent", 1, NONE, text(stored))]
write("bindings-v2-intent/copy-a", copy(4, blank))
write("bindings-v2-intent/copy-b", copy(3, blank))

fuse = hashlib.sha256(
    ("smgw-fuse 1\nfd00::1\n" + "07" * 32 + "\n" + "09" * 16 + "\n1795435200\n").encode()
).digest()[:16]
mark = b"\x01\x00\x00\x00"
write("bindings-v2/fuses", fuse + 3 * mark)
