SUMMARY = "Signed update of the smart-meter gateway"
DESCRIPTION = "The root of smgw-image as a bundle of RAUC, for the boards that are called like this one."
SECTION = "smgw"
LICENSE = "Apache-2.0"
CVE_PRODUCT = ""

# The class fetches nothing but what the images have built.
SRC_URI = ""

inherit bundle

RAUC_BUNDLE_COMPATIBLE = "smgw-${MACHINE}"
RAUC_BUNDLE_VERSION = "${DISTRO_VERSION}"
RAUC_BUNDLE_DESCRIPTION = "Smart-meter gateway ${DISTRO_VERSION}"
RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "smgw-image"
RAUC_SLOT_rootfs[fstype] = "ext4"

# Named by whoever builds, never kept in a layer: a key as PEM or as a PKCS #11 URI, and its certificate.
RAUC_KEY_FILE = "${SMGW_UPDATE_KEY}"
RAUC_CERT_FILE = "${SMGW_UPDATE_CERT}"
