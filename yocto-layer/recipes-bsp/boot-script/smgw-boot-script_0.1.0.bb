SUMMARY = "Choice of the root that is started"
DESCRIPTION = "The script of U-Boot that counts the tries of each root down, as RAUC expects it."
SECTION = "bootloaders"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"
CVE_PRODUCT = ""

DEPENDS = "u-boot-mkimage-native"
PROVIDES = "u-boot-default-script"

SRC_URI = "file://boot.cmd.in"

inherit deploy nopackages

# Where files are unpacked, in both releases.
SMGW_FILES = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
S = "${SMGW_FILES}/sources"

PACKAGE_ARCH = "${MACHINE_ARCH}"

# How U-Boot starts the kernel of the processor.
SMGW_BOOT = "${@'bootz' if d.getVar('KERNEL_IMAGETYPE') == 'zImage' else 'booti'}"

do_compile() {
    sed -e 's#@MMC@#${SMGW_MMC}#' -e 's#@DISK@#${SMGW_DISK}#' -e 's#@KERNEL@#${KERNEL_IMAGETYPE}#' -e 's#@BOOT@#${SMGW_BOOT}#' \
        ${SMGW_FILES}/boot.cmd.in > ${B}/boot.cmd
    mkimage -A ${UBOOT_ARCH} -T script -C none -n "smgw" -d ${B}/boot.cmd ${B}/boot.scr
}

do_deploy() {
    install -D -m 0644 ${B}/boot.scr ${DEPLOYDIR}/boot.scr
}
addtask deploy before do_build after do_compile
