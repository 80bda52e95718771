SUMMARY = "Energy supplier's end of smart-meter gateways"
DESCRIPTION = "Asks gateways for what is granted, stores, bills and exports it. A server's program, in no image of this layer."

require smgw.inc
