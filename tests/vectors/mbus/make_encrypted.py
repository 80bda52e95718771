"""Makes mode-7.hex: an authenticated and encrypted telegram after OMS volume 2, issue 4.1.2.

Run with the PyPI package `cryptography`; it shares nothing with the decoder of this project. The
file holds what stands behind the CI field 90: the layer AFL with its code, and the telegram with a
long header, whose records are those of the example for mode 5 in annex N of that document. Master
key 000102..0F, message counter 0xAB3, meter 12345678.
"""

from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC


def cmac(key, message):
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


master = bytes(range(16))
identification = bytes.fromhex("78563412")
counter = bytes.fromhex("b30a0000")


def derived(purpose):
    return cmac(master, bytes([purpose]) + counter + identification + bytes([7]) * 7)


records = bytes.fromhex("2f2f0c1427048502046d32371f1502fd170000") + bytes([0x2F]) * 13
assert len(records) == 32
encryptor = Cipher(algorithms.AES(derived(0)), modes.CBC(bytes(16))).encryptor()
encrypted = encryptor.update(records) + encryptor.finalize()
header = identification + bytes.fromhex("93153303" "2a00" "2007" "10")
message = b"\x72" + header + encrypted
control = bytes([0x25])
code = cmac(derived(1), control + counter + message)[:8]
layer = bytes.fromhex("002c") + control + counter + code
result = bytes([len(layer)]) + layer + message
Path(__file__).with_name("mode-7.hex").write_text(result.hex() + "\n")
