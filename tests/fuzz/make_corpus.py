"""Makes the corpus of the fuzz targets from the golden files in tests/vectors/mbus, and from frames of the other kinds."""

from pathlib import Path

here = Path(__file__).parent
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
    (here / "corpus" / "link" / name).write_bytes(frame)
    (here / "corpus" / "decoder" / name).write_bytes(frame[6:-2])
for name, message in messages.items():
    (here / "corpus" / "decoder" / name).write_bytes(bytes.fromhex(message))
mode_7 = (vectors / "mode-7.hex").read_text().strip()
(here / "corpus" / "decrypt" / "mode-5").write_bytes(bytes.fromhex(key + "72 78563412 93153303" + gas))
(here / "corpus" / "decrypt" / "mode-7").write_bytes(bytes.fromhex("000102030405060708090a0b0c0d0e0f 90" + mode_7))
(here / "corpus" / "link" / "short").write_bytes(bytes.fromhex("ff 10 7b 01 7c 16 e5"))
