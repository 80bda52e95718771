//! The catalogue for systemd's journal: `journalctl -x` puts cause and remedy under each message that has a code.
//!
//! The journal finds an explanation by the identity of a message, 128 bits that are written as `MESSAGE_ID`; here they are
//! made of the code. `systemd/smgw.catalog` is what `render` makes, written by `cargo xtask man`; a test fails when it is stale.
//!
//! Spec: systemd, The Journal's Message Catalogs.

use sha2::{Digest, Sha256};

/// What the digest of a code begins with, so that it is nobody else's.
const DOMAIN: &str = "smart-meter gateway, message of the journal: ";
/// The length of an identity, in bytes.
const LENGTH: usize = 16;

/// Returns the identity of a code's messages, in 32 hexadecimal digits: the beginning of a SHA-256 digest.
///
/// Spec: RFC 9562, section 5.8: version 8, whose other bits are an application's.
pub(crate) fn message_id(code: &str) -> String {
    let digest = Sha256::new().chain_update(DOMAIN).chain_update(code).finalize();
    let mut id = [0; LENGTH];
    for (to, from) in id.iter_mut().zip(digest) {
        *to = from;
    }
    id[6] = (id[6] & 0x0f) | 0x80;
    id[8] = (id[8] & 0x3f) | 0x80;
    hex::encode(id)
}

/// Returns the catalogue, a message for each code.
#[cfg(any(test, feature = "manual"))]
pub(crate) fn render() -> String {
    let mut text = String::from(
        "# Cause and remedy of each code, for `journalctl -x`. Written by `cargo xtask man`; a test fails when it is stale.\n",
    );
    for super::Code { code, cause, remedy } in super::all() {
        let id = message_id(code);
        text.push_str(&format!(
            "\n-- {id}\nSubject: {code}\nDefined-By: smgw\nDocumentation: man:smgw-doctor(1)\n\n{cause}\n\n{remedy}\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn identities_are_those_of_version_8_and_each_is_of_one_code() {
        let ids: Vec<_> = super::super::all().map(|code| message_id(code.code)).collect();
        for id in &ids {
            assert_eq!(id.len(), 2 * LENGTH);
            assert_eq!(&id[12..13], "8");
            assert!("89ab".contains(&id[16..17]), "{id}");
        }
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn file_that_is_installed_is_what_the_codes_say() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd/smgw.catalog");
        let installed = std::fs::read_to_string(file).unwrap();
        assert_eq!(installed, render(), "`cargo xtask man` writes it anew");
    }
}
