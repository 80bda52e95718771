SUMMARY = "Smart-meter gateway"
DESCRIPTION = "Reads meters, is bound to its chip card, and hands out what is granted. Never built with the feature soft-card."

require smgw.inc

DEPENDS += "pcsc-lite"

inherit systemd useradd

SMGW_PACKAGE = "daemon"

SYSTEMD_SERVICE:${PN} = "smgw.service"

# The root is read-only when sysusers could run, so that the user is there from the build on.
USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --user-group --no-create-home --home-dir ${localstatedir}/lib/smgw --shell /sbin/nologin --groups dialout smgw"

do_install:append() {
    install -D -m 0644 ${S}/systemd/smgw.service ${D}${systemd_system_unitdir}/smgw.service
    install -D -m 0644 ${S}/systemd/smgw.slice ${D}${systemd_system_unitdir}/smgw.slice
    for unit in pcscd.service pcscd.socket; do
        install -D -m 0644 ${S}/systemd/$unit.d/smgw.conf ${D}${systemd_system_unitdir}/$unit.d/smgw.conf
    done
    install -D -m 0644 ${S}/systemd/smgw.catalog ${D}${systemd_unitdir}/catalog/smgw.catalog
    install -D -m 0644 ${S}/systemd/smgw.sysusers ${D}${nonarch_libdir}/sysusers.d/smgw.conf
    install -D -m 0644 ${S}/systemd/smgw.tmpfiles ${D}${nonarch_libdir}/tmpfiles.d/smgw.conf
    install -D -m 0644 ${S}/systemd/smgw.sysctl ${D}${nonarch_libdir}/sysctl.d/60-smgw.conf
    install -D -m 0644 ${S}/yocto-layer/recipes-smgw/smgw/smgw.toml ${D}${datadir}/smgw/smgw.toml
    # The configuration and the store of the data partition are mounted here.
    install -d ${D}${sysconfdir}/smgw ${D}${localstatedir}/lib/smgw
}

FILES:${PN} += "\
    ${nonarch_libdir}/sysctl.d \
    ${nonarch_libdir}/sysusers.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${systemd_system_unitdir}/pcscd.service.d \
    ${systemd_system_unitdir}/pcscd.socket.d \
    ${systemd_system_unitdir}/smgw.slice \
    ${systemd_unitdir}/catalog \
"

# The card's way: the service, and the driver of the readers.
RDEPENDS:${PN} += "ccid pcsc-lite"
