//! Updates of the device as the layer makes and judges them: its settings of RAUC, and the keys that its README has made.

/// The settings of RAUC, with `@MACHINE@` and `@DISK@` in them.
pub const RAUC_SETTINGS: &str =
    include_str!("../../../yocto-layer/dynamic-layers/rauc/recipes-core/rauc/files/system.conf");

/// The commands of the layer's README that make the keys of updates, for a shell: `update.key` with `update.pem` of the
/// authority `ca.pem`, a stranger's `foreign.pem`, and `server.pem` of the right authority that is for something else.
pub const UPDATE_KEYS: &str = include_str!("update_keys");

/// Returns the manifest of an update of the root, as the layer's recipe writes it, for the machine called `test`.
#[must_use]
pub fn update_manifest(version: &str, format: &str) -> String {
    format!(
        "[update]\ncompatible=smgw-test\nversion={version}\n\n[bundle]\nformat={format}\n\n\
        [image.rootfs]\nfilename=rootfs.ext4\n"
    )
}
