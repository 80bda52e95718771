SUMMARY = "Trust centre of smart-meter gateways"
DESCRIPTION = "Personalises cards, keeps the directory, and makes first contact with gateways. A server's program, in no image of this layer."

require smgw.inc

DEPENDS += "pcsc-lite"

RDEPENDS:${PN} += "pcsc-lite"
