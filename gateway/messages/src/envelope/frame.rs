//! The frame of a CMS structure: all of it but the octets that it carries.
//!
//! Of a message of 4 MiB all but a kilobyte is what it carries, and the types of CMS copy that at each of their levels. So
//! the octets are taken out before a structure is read, and put in after one is written; what the types see is the same
//! structure around no octets at all. Both ways know only the headers on the way to the octets.
//!
//! Spec: ITU-T X.690 (2021), sections 8.1 and 10.1 (definite lengths in the least number of octets).

use std::borrow::Cow;
use std::ops::Range;

/// Which element of the one above it is next on the way to the octets, counted from 0, and the identifier octet that it has.
pub(super) type Step = (usize, u8);

pub(super) const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
/// [0], constructed.
const TAG_0: u8 = 0xA0;
/// [0] IMPLICIT OCTET STRING, primitive.
const OCTETS_0: u8 = 0x80;

/// From a ContentInfo to the eContent of its SignedData.
///
/// Spec: RFC 5652, sections 3, 5.1 and 5.2.
pub(super) const E_CONTENT: [Step; 6] = [
    (0, SEQUENCE),
    (1, TAG_0),
    (0, SEQUENCE),
    (2, SEQUENCE),
    (1, TAG_0),
    (0, OCTET_STRING),
];

/// From a ContentInfo to the encryptedContent of its AuthEnvelopedData without an originatorInfo.
///
/// Spec: RFC 5652, section 6.1; RFC 5083, section 2.1.
pub(super) const ENCRYPTED_CONTENT: [Step; 5] = [
    (0, SEQUENCE),
    (1, TAG_0),
    (0, SEQUENCE),
    (2, SEQUENCE),
    (2, OCTETS_0),
];

/// The octets that hold a length of at most four gigabytes.
const MAX_LENGTH_OCTETS: usize = 4;

/// Takes the octets out of a structure, if there is a way to them: returns it around none, and them.
///
/// What has no such octets is returned as it is; reading it tells what is wrong with it.
pub(super) fn take_out<'a>(structure: &'a [u8], way: &[Step]) -> (Cow<'a, [u8]>, Option<&'a [u8]>) {
    let taken_out = Frame::of(structure, way).and_then(|frame| Some((frame.emptied()?, frame.octets())));
    match taken_out {
        Some((emptied, octets)) => (Cow::Owned(emptied), Some(octets)),
        None => (Cow::Borrowed(structure), None),
    }
}

/// Puts octets into a structure that was written around none, without a copy of them if they have room.
///
/// # Errors
///
/// An overflow if the whole is too long for DER.
pub(super) fn fill(empty: &[u8], way: &[Step], octets: Vec<u8>) -> der::Result<Vec<u8>> {
    let frame = Frame::of(empty, way);
    let filled = frame.and_then(|frame| frame.around(octets));
    filled.ok_or_else(|| der::ErrorKind::Overflow.into())
}

/// The elements on the way to the octets of a structure, the outermost first.
struct Frame<'a> {
    structure: &'a [u8],
    levels: Vec<Level>,
}

struct Level {
    identifier: u8,
    /// Where the header begins.
    begin: usize,
    /// Where the contents are.
    contents: Range<usize>,
}

impl<'a> Frame<'a> {
    /// Finds the way to the octets. Returns `None` if the structure has no such element, or is not in DER as far as the way
    /// goes; what else stands in it is not looked at.
    fn of(structure: &'a [u8], way: &[Step]) -> Option<Self> {
        let mut levels: Vec<Level> = Vec::with_capacity(way.len());
        let mut within = 0..structure.len();
        for (number, identifier) in way {
            let mut level = Level::read(structure, within.clone())?;
            for _ in 0..*number {
                level = Level::read(structure, level.contents.end..within.end)?;
            }
            if level.identifier != *identifier {
                return None;
            }
            within = level.contents.clone();
            levels.push(level);
        }
        let is_whole = levels.first()?.contents.end == structure.len();
        is_whole.then_some(Self { structure, levels })
    }

    /// Returns the octets.
    fn octets(&self) -> &'a [u8] {
        let octets = self.levels.last().map(|level| level.contents.clone());
        octets
            .and_then(|octets| self.structure.get(octets))
            .unwrap_or_default()
    }

    /// Returns the structure around no octets.
    fn emptied(&self) -> Option<Vec<u8>> {
        let mut emptied = self.begin(0)?;
        emptied.extend_from_slice(self.rest());
        Some(emptied)
    }

    /// Puts the structure around other octets.
    fn around(&self, mut octets: Vec<u8>) -> Option<Vec<u8>> {
        let begin = self.begin(octets.len())?;
        octets.reserve(begin.len().checked_add(self.rest().len())?);
        octets.splice(0..0, begin);
        octets.extend_from_slice(self.rest());
        Some(octets)
    }

    /// Returns what stands before so many octets.
    fn begin(&self, octets: usize) -> Option<Vec<u8>> {
        let mut headers: Vec<Vec<u8>> = Vec::with_capacity(self.levels.len());
        let mut length = octets;
        let mut inner: Option<&Level> = None;
        for level in self.levels.iter().rev() {
            if let Some(inner) = inner {
                let before = level.contents.len();
                let taken_out = inner.contents.end.checked_sub(inner.begin)?;
                length = before.checked_sub(taken_out)?.checked_add(length)?;
            }
            let header = header(level.identifier, length)?;
            length = length.checked_add(header.len())?;
            headers.push(header);
            inner = Some(level);
        }
        let mut begin = Vec::new();
        let following = self.levels.iter().skip(1).map(Some).chain([None]);
        for ((level, next), header) in self.levels.iter().zip(following).zip(headers.iter().rev()) {
            begin.extend_from_slice(header);
            if let Some(next) = next {
                begin.extend_from_slice(self.structure.get(level.contents.start..next.begin)?);
            }
        }
        Some(begin)
    }

    /// Returns what stands behind the octets.
    fn rest(&self) -> &'a [u8] {
        let end = self.levels.last().map(|level| level.contents.end);
        end.and_then(|end| self.structure.get(end..)).unwrap_or_default()
    }
}

impl Level {
    /// Reads a header, whose contents end within the range.
    fn read(structure: &[u8], within: Range<usize>) -> Option<Self> {
        let begin = within.start;
        let [identifier, first, further @ ..] = structure.get(within.clone())? else {
            return None;
        };
        // A tag number above 30 is none of ours.
        if identifier & 0x1F == 0x1F {
            return None;
        }
        let (octets, length) = match usize::from(*first) {
            short @ 0..0x80 => (0, short),
            long => {
                let octets = long
                    .checked_sub(0x80)
                    .filter(|octets| (1..=MAX_LENGTH_OCTETS).contains(octets))?;
                let length = further.get(..octets)?.iter().try_fold(0_usize, |length, octet| {
                    length.checked_mul(0x100)?.checked_add(usize::from(*octet))
                })?;
                (octets, length)
            }
        };
        if length_octets(length) != octets {
            return None;
        }
        let start = begin.checked_add(2)?.checked_add(octets)?;
        let end = start.checked_add(length).filter(|end| *end <= within.end)?;
        Some(Self {
            identifier: *identifier,
            begin,
            contents: start..end,
        })
    }
}

/// Writes an identifier and a length.
fn header(identifier: u8, length: usize) -> Option<Vec<u8>> {
    let octets = length_octets(length);
    if octets > MAX_LENGTH_OCTETS {
        return None;
    }
    let mut header = vec![identifier];
    let bytes = u64::try_from(length).ok()?.to_be_bytes();
    if octets == 0 {
        header.extend(bytes.last());
    } else {
        header.push(u8::try_from(octets).ok()?.checked_add(0x80)?);
        header.extend(bytes.iter().skip(bytes.len().checked_sub(octets)?));
    }
    Some(header)
}

/// Returns how many octets follow the first one of a length.
fn length_octets(length: usize) -> usize {
    if length < 0x80 {
        return 0;
    }
    let bits = usize::BITS.saturating_sub(length.leading_zeros());
    usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SEQUENCE { INTEGER 1, [0] { OCTET STRING }, NULL }
    const WAY: [Step; 3] = [(0, SEQUENCE), (1, TAG_0), (0, OCTET_STRING)];

    fn structure(octets: usize) -> Vec<u8> {
        let empty = [0x30, 0x09, 0x02, 0x01, 0x01, 0xA0, 0x02, 0x04, 0x00, 0x05, 0x00];
        let frame = Frame::of(&empty, &WAY).unwrap();
        frame.around(vec![0x5A; octets]).unwrap()
    }

    #[test]
    fn lengths_have_as_many_octets_as_they_need() {
        for (octets, begin) in [
            (0, "30090201 01a0020400"),
            (1, "300a0201 01a0030401"),
            (0x7A, "3081830201 01a07c047a"),
            (0x7E, "3081880201 01a08180047e"),
            (0x80, "30818b0201 01a08183048180"),
            (0xF5, "308201000201 01a081f80481f5"),
            (0x1_0000, "308301000f0201 01a0830100050483010000"),
        ] {
            let structure = structure(octets);
            let begin = hex::decode(begin.replace(' ', "")).unwrap();
            assert_eq!(&structure[..begin.len()], begin, "{octets}");
            assert_eq!(&structure[structure.len() - 2..], [5, 0]);
            assert_eq!(structure.len(), begin.len() + octets + 2);
        }
    }

    #[test]
    fn what_is_not_der_on_the_way_has_no_frame() {
        let good = structure(3);
        assert!(Frame::of(&good, &WAY).is_some());
        let changed = |at: usize, to: u8| {
            let mut changed = good.clone();
            changed[at] = to;
            changed
        };
        for (bad, why) in [
            (changed(0, 0x31), "another identifier"),
            (changed(5, 0xBF), "a long tag"),
            (changed(1, 0x0B), "a length short of the end"),
            (changed(1, 0x0D), "a length beyond the end"),
            (changed(6, 0x09), "contents beyond their container"),
            (changed(1, 0x80), "an indefinite length"),
            (
                [&[0x30, 0x81, 0x0C], &good[2..]].concat(),
                "a length of more octets than it needs",
            ),
            ([&good[..], &[0]].concat(), "something behind it"),
            (Vec::new(), "nothing"),
            (vec![0x30, 0x85, 1, 0, 0, 0, 0], "five octets of length"),
        ] {
            assert!(Frame::of(&bad, &WAY).is_none(), "{why}");
        }
    }

    proptest! {
        #[test]
        fn octets_go_in_and_come_out(octets in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let structure = structure(0);
            let filled = Frame::of(&structure, &WAY).unwrap().around(octets.clone()).unwrap();
            let frame = Frame::of(&filled, &WAY).unwrap();
            prop_assert_eq!(frame.octets(), octets.as_slice());
            prop_assert_eq!(frame.emptied().unwrap(), structure);
        }

        #[test]
        fn no_bytes_are_a_reason_to_fall(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for way in [&E_CONTENT[..], &ENCRYPTED_CONTENT, &WAY] {
                if let Some(frame) = Frame::of(&bytes, way) {
                    let emptied = frame.emptied().unwrap();
                    let empty = Frame::of(&emptied, way).unwrap();
                    prop_assert_eq!(empty.around(frame.octets().to_vec()).unwrap(), bytes.clone());
                }
            }
        }
    }
}
