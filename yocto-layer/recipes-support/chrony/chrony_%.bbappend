# Our configuration in the place of the recipe's own.
FILESEXTRAPATHS:prepend:smgw := "${THISDIR}/${PN}:"
