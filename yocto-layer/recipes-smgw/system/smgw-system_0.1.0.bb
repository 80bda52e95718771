SUMMARY = "What the gateway has around it: data partition, firewall, networks, health check"
DESCRIPTION = "Mounts of the data partition, the first boot, a firewall that denies by default, the ports' names wan0 and lan0."
SECTION = "smgw"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"
CVE_PRODUCT = ""

SRC_URI = "\
    file://10-lan.link \
    file://10-wan.link \
    file://20-lan.network \
    file://20-wan.network \
    file://journald.conf \
"

inherit systemd

# Where files are unpacked, in both releases.
SMGW_FILES = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
S = "${SMGW_FILES}/sources"

# Names of ports belong to a board.
PACKAGE_ARCH = "${MACHINE_ARCH}"

# The repository that this layer is part of, as in smgw.inc.
SMGW_SOURCE ?= "${@os.path.realpath(d.getVar('THISDIR') + '/../../..')}"
SMGW_UNITS = "${SMGW_SOURCE}/systemd"

SYSTEMD_SERVICE:${PN} = "\
    data.mount \
    etc-smgw.mount \
    smgw-firewall.service \
    smgw-first-boot.service \
    smgw-health.service \
    smgw-recovery.service \
    var-lib-smgw.mount \
"
# Nothing enables it: the data partition wants it.
SMGW_WANTED = "smgw-data-check.service"

# The units stand beside the layer, so that nothing unpacks them: what is built follows their content all the same.
do_install[file-checksums] += "${SMGW_UNITS}:True"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    for unit in ${SYSTEMD_SERVICE:${PN}} ${SMGW_WANTED}; do
        install -D -m 0644 ${SMGW_UNITS}/$unit ${D}${systemd_system_unitdir}/$unit
    done
    install -D -m 0644 ${SMGW_UNITS}/nftables.conf ${D}${datadir}/smgw/nftables.conf
    for script in data-check first-boot health recover; do
        install -D -m 0755 ${SMGW_UNITS}/$script ${D}${libexecdir}/smgw/$script
    done
    install -d ${D}${systemd_unitdir}/network ${D}/data
    install -m 0644 ${SMGW_FILES}/*.link ${SMGW_FILES}/*.network ${D}${systemd_unitdir}/network
    install -D -m 0644 ${SMGW_FILES}/journald.conf ${D}${systemd_unitdir}/journald.conf.d/smgw.conf
}

FILES:${PN} += "\
    /data \
    ${systemd_system_unitdir}/${SMGW_WANTED} \
    ${systemd_unitdir}/journald.conf.d \
    ${systemd_unitdir}/network \
"

RDEPENDS:${PN} += "\
    e2fsprogs-e2fsck \
    nftables \
    smgw \
"
RRECOMMENDS:${PN} += "\
    kernel-module-nf-tables \
    kernel-module-nft-connlimit \
    kernel-module-nft-ct \
    kernel-module-nft-limit \
"
