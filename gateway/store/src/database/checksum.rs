//! The checksum of rows and chunks: CRC-32C, since SQLite has none of its own.

use crc::{CRC_32_ISCSI, Crc, Digest, Table};
use model::Element;

/// CRC-32C (Castagnoli), which the catalogue of CRCs lists under iSCSI. Spec: RFC 3720, appendix B.4.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// A checksum while bytes are added to it.
pub(super) type Checksum = Digest<'static, u32, Table<16>>;

/// Begins a checksum.
pub(super) fn begin() -> Checksum {
    CRC.digest()
}

/// Adds the name of an element: the meter's identity as text and the six groups of the OBIS code.
pub(super) fn add_element(digest: &mut Checksum, element: &Element) {
    add_text(digest, element.meter.as_str());
    digest.update(&element.obis.groups());
}

/// Adds a text: its length in one byte, and its bytes. The texts are identities, symbols and codes
/// of at most 40 bytes.
pub(super) fn add_text(digest: &mut Checksum, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    digest.update(&[length]);
    digest.update(text.as_bytes());
}

/// Returns what stands before the checksum (4, big-endian) at the end, if that is the checksum of it.
pub(super) fn split_sound(bytes: &[u8], checksum: impl FnOnce(&[u8]) -> u32) -> Option<&[u8]> {
    let (content, found) = bytes.split_last_chunk::<4>()?;
    (checksum(content).to_be_bytes() == *found).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_the_standard() {
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        assert_eq!(CRC.checksum(&[0; 32]), 0x8a91_36aa);
    }
}
