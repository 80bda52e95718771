"""Makes the golden logs of version 1 with Python's own SHA-256, an own CRC-32C and OpenSSL's signature.

Run in this folder: python3 make-logs-v1.py
It takes the format from the tables in gateway/store/src/logs and none of our code. The key pair is made anew and
thrown away, so that no second run makes the same files.
"""

import datetime
import hashlib
import json
import os
import shutil
import struct
import subprocess
import tempfile

FOLDER = "logs-v1"
SEGMENT = 65536
LOGS = {"system": 1, "consumer": 2, "calibration": 3}


def crc32c(data):
    """CRC-32C bit by bit, reflected polynomial 82F63B78 (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def sha256(data):
    return hashlib.sha256(data).digest()


def seconds(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


class Log:
    def __init__(self, name, first=1, base=None):
        self.name, self.number, self.first = name, LOGS[name], first
        self.base = base or sha256(b"smgw/log-genesis/1/" + name.encode())
        self.hash, self.count, self.records = self.base, first - 1, b""

    def add(self, time, event, trusted=True, continued=False):
        content = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        self.count += 1
        body = struct.pack(">IQqB", len(content), self.count, seconds(time), trusted | continued << 1) + content
        self.hash = sha256(b"smgw/log-entry/1" + bytes([self.number]) + self.hash + body)
        record = body + self.hash
        self.records += record + struct.pack(">I", crc32c(record))

    def write(self):
        header = b"SMGWLOG1" + bytes([self.number]) + struct.pack(">Q", self.first) + self.base
        header += struct.pack(">I", crc32c(header))
        os.makedirs(f"{FOLDER}/{self.name}")
        with open(f"{FOLDER}/{self.name}/{self.first:020}.seg", "wb") as file:
            file.write((header + self.records).ljust(SEGMENT, b"\0"))


def span(log):
    return {
        "base": {"count": log.first - 1, "hash": log.base.hex()},
        "head": {"count": log.count, "hash": log.hash.hex()},
    }


def sign(number, time, logs):
    text = f"smgw/log-heads/1\nnumber {number}\ntime {time}\n"
    for log in logs:
        at = span(log)
        base, head = at["base"], at["head"]
        text += f"{log.name} base {base['count']} {base['hash']} head {head['count']} {head['hash']}\n"
    with tempfile.TemporaryDirectory() as place:
        key, certificate, message = f"{place}/key", f"{place}/certificate", f"{place}/text"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-subj", "/O=Golden/OU=card", "-days", "36500", "-keyout", key, "-out", certificate, "-outform", "DER"],
            check=True, capture_output=True)
        with open(message, "w") as file:
            file.write(text)
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, message], check=True, capture_output=True)
        with open(certificate, "rb") as file:
            certificate = file.read()
    # SEQUENCE { INTEGER r, INTEGER s }, short lengths
    r_length = der.stdout[3]
    r, s = der.stdout[4:4 + r_length], der.stdout[6 + r_length:]
    signature = int.from_bytes(r, "big").to_bytes(32, "big") + int.from_bytes(s, "big").to_bytes(32, "big")
    heads = {"format": "smgw/log-heads/1", "number": number, "time": time}
    heads |= {log.name: span(log) for log in logs}
    heads |= {
        "signature": signature.hex(),
        "certificate": certificate.hex(),
        "fingerprint": sha256(certificate).hex(),
    }
    with open(f"{FOLDER}/heads.json", "w") as file:
        json.dump(heads, file, indent=2)
        file.write("\n")
    with open(f"{FOLDER}/heads.txt", "w") as file:
        file.write(text)
    return sha256(certificate)


shutil.rmtree(FOLDER, ignore_errors=True)
os.makedirs(FOLDER)
# A consumer log that was shortened: its first 40 entries are gone.
consumer = Log("consumer", first=41, base=sha256(b"the entries before"))
system, calibration = Log("system"), Log("calibration")
noon = "2026-11-23T12:00:00Z"
supplier = "ab" * 32
period = {"from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z"}

system.add("1970-01-01T00:00:07Z", {"event": "started", "version": "0.1.0"}, trusted=False)
system.add(noon, {"event": "standing-changed", "state": "operational", "code": "SMGW-S-0004"})
system.add(noon, {"event": "handshake-refused", "peer": "fd5a::9", "reason": "kein Zertifikat – abgelehnt"})
system.add(noon, {"event": "message-rejected", "code": "replayed", "sender": "Stadtwerke"}, continued=True)
system.add(noon, {"event": "log-pruned", "log": "consumer", "base": {"count": 40, "hash": consumer.base.hex()}})
consumer.add(noon, {
    "event": "answered", "supplier": supplier, "name": "Stadtwerke", "request": "00ff", "rules": ["billing"],
    "purpose": ["billing by consumption"], "elements": "*/1-0:1.8.0*255", "period": period,
    "resolution": "PT15M", "values": 96, "bytes": 4711})
consumer.add(noon, {
    "event": "denied", "supplier": supplier, "name": "Stadtwerke", "request": "00ff", "code": "too-fine",
    "rule": "billing", "elements": "*/1-0:1.8.0*255", "period": period, "resolution": "PT1M"}, continued=True)
calibration.add("1970-01-01T00:00:07Z", {"event": "clock-unset"}, trusted=False)
calibration.add(noon, {"event": "meter-seen", "name": "gas", "meter": "ELS-12345678-3C-03", "medium": "gas"})
calibration.add(noon, {"event": "gap-begun", "name": "gas", "meter": "ELS-12345678-3C-03", "from": noon, "reason": "no-answer"})
logs = [system, consumer, calibration]
certificate = sign(7, "2026-11-23T18:00:00Z", logs)
# Behind the signature.
system.add("2026-11-23T18:00:01Z", {"event": "heads-signed", "number": 7, "certificate": certificate.hex()})
for log in logs:
    log.write()
