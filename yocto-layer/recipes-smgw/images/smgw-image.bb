SUMMARY = "Image of the smart-meter gateway"
DESCRIPTION = "A root that nobody writes to, the gateway, its card service, a clock, a firewall. Nobody logs in."
SECTION = "smgw"
LICENSE = "Apache-2.0"
CVE_PRODUCT = ""

inherit core-image

IMAGE_FEATURES = "read-only-rootfs"
IMAGE_LINGUAS = ""

IMAGE_INSTALL = "\
    chrony \
    packagegroup-core-boot \
    smgw \
    smgw-system \
    tzdata-core \
"
# Updates, where the layer of RAUC and a bootloader that counts are there.
IMAGE_INSTALL:append = "${@bb.utils.contains('DISTRO_FEATURES', 'rauc', ' kernel-image kernel-devicetree rauc', '', d)}"
IMAGE_INSTALL:remove:qemuall = "rauc"

# What is flashed is the whole disk; what an update carries is the root alone.
IMAGE_FSTYPES = "ext4 wic.bmap wic.zst"
WKS_FILE ?= "smgw-mbr.wks.in"
WKS_FILE:imx8mp-lpddr4-evk = "smgw-imx8mp.wks.in"
WKS_FILE:qemuall = "smgw-qemu.wks.in"
WKS_FILE_DEPENDS:append = "${@bb.utils.contains('DISTRO_FEATURES', 'rauc', ' smgw-boot-script', '', d)}"
IMAGE_BOOT_FILES:append = "${@bb.utils.contains('DISTRO_FEATURES', 'rauc', ' boot.scr', '', d)}"
IMAGE_BOOT_FILES:remove:qemuall = "boot.scr"
# The plugin of wic has another name since the release after scarthgap.
SMGW_WIC_BOOT = "${@'bootimg-partition' if os.path.exists(d.getVar('COREBASE') + '/scripts/lib/wic/plugins/source/bootimg-partition.py') else 'bootimg_partition'}"
WICVARS:append = " SMGW_DISK SMGW_WIC_BOOT"

# Without its space the root has no room to grow into, which it must not anyway. Two of them and the toolchain's absence
# keep the card small: 150 MB at the most.
IMAGE_ROOTFS_EXTRA_SPACE = "0"
IMAGE_OVERHEAD_FACTOR = "1.05"
IMAGE_ROOTFS_MAXSIZE = "153600"

# Mount points of the data partition, and the version by which an update proves itself.
ROOTFS_POSTPROCESS_COMMAND:append = " smgw_prepare;"
smgw_prepare[doc] = "Makes the mount point of the data partition and writes down the version."
smgw_prepare() {
    install -d ${IMAGE_ROOTFS}/data
    echo 'IMAGE_VERSION=${DISTRO_VERSION}' >> ${IMAGE_ROOTFS}${nonarch_libdir}/os-release
}
