# Our slots, and the certificate that updates are signed under.
FILESEXTRAPATHS:prepend:smgw := "${THISDIR}/files:"

# Named by whoever builds: the certificate (PEM) of the authority that signs updates.
RAUC_KEYRING_FILE:smgw = "${SMGW_UPDATE_CA}"

do_install:prepend:smgw() {
    sed -i -e 's#@MACHINE@#${MACHINE}#' -e 's#@DISK@#${SMGW_DISK}#' ${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}/system.conf
}
do_install:append:smgw() {
    install -d ${D}${sysconfdir}
    printf '%s 0x300000 0x4000\n%s 0x320000 0x4000\n' ${SMGW_DISK} ${SMGW_DISK} > ${D}${sysconfdir}/fw_env.config
}

FILES:${PN}:append:smgw = " ${sysconfdir}/fw_env.config"

RDEPENDS:${PN}:append:smgw = " libubootenv-bin"
