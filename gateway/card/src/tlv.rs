//! BER-TLV data objects with definite lengths, as cards use them.
//!
//! Spec: ISO/IEC 7816-4:2020, section 6.3; tags of one or two bytes, lengths up to 65 535.

/// A data object: its tag and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The tag, of one byte or two.
    pub tag: u16,
    /// The value.
    pub value: &'a [u8],
}

/// Reads data objects one after the other.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn read(&mut self) -> Result<Tlv<'a>, TlvError> {
        let (first, rest) = self.rest.split_first().ok_or(TlvError)?;
        let (tag, rest) = if first & 0x1F == 0x1F {
            let (second, rest) = rest.split_first().ok_or(TlvError)?;
            if *second < 0x1F || *second > 0x7F {
                return Err(TlvError);
            }
            (u16::from_be_bytes([*first, *second]), rest)
        } else {
            (u16::from(*first), rest)
        };
        let (length, rest) = match rest {
            [length @ 0..=0x7F, rest @ ..] => (usize::from(*length), rest),
            [0x81, length @ 0x80..=0xFF, rest @ ..] => (usize::from(*length), rest),
            [0x82, high @ 1..=0xFF, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            _ => return Err(TlvError),
        };
        let (value, rest) = rest.split_at_checked(length).ok_or(TlvError)?;
        self.rest = rest;
        Ok(Tlv { tag, value })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Tlv<'a>, TlvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let object = self.read();
        if object.is_err() {
            self.rest = &[];
        }
        Some(object)
    }
}

/// Returns the values of exactly the given tags, in this order and with nothing else around them.
///
/// # Errors
///
/// [`TlvError`] if anything else is there.
pub fn exactly<const N: usize>(bytes: &[u8], tags: [u16; N]) -> Result<[&[u8]; N], TlvError> {
    let mut reader = Reader::new(bytes);
    let mut values: [&[u8]; N] = [&[]; N];
    for (value, tag) in values.iter_mut().zip(tags) {
        let object = reader.next().ok_or(TlvError)??;
        if object.tag != tag {
            return Err(TlvError);
        }
        *value = object.value;
    }
    match reader.next() {
        None => Ok(values),
        Some(_) => Err(TlvError),
    }
}

/// Appends a data object.
///
/// # Errors
///
/// [`TlvError`] if the value has more than 65 535 bytes, which no APDU holds.
pub fn push(bytes: &mut Vec<u8>, tag: u16, value: &[u8]) -> Result<(), TlvError> {
    let length = u16::try_from(value.len()).map_err(|_| TlvError)?;
    match tag.to_be_bytes() {
        [0, tag] => bytes.push(tag),
        tag => bytes.extend_from_slice(&tag),
    }
    match length.to_be_bytes() {
        [0, length @ 0..=0x7F] => bytes.push(length),
        [0, length] => bytes.extend_from_slice(&[0x81, length]),
        [high, low] => bytes.extend_from_slice(&[0x82, high, low]),
    }
    bytes.extend_from_slice(value);
    Ok(())
}

/// Returns the given data objects one after the other.
///
/// # Errors
///
/// As for [`push`].
pub fn encode<const N: usize>(objects: [(u16, &[u8]); N]) -> Result<Vec<u8>, TlvError> {
    // Tag and length of each object take at most five bytes; the buffer never grows, so that a
    // secret is not left behind where it stood before.
    let length = objects
        .iter()
        .map(|(_, value)| value.len().saturating_add(5))
        .sum();
    let mut bytes = Vec::with_capacity(length);
    for (tag, value) in objects {
        push(&mut bytes, tag, value)?;
    }
    Ok(bytes)
}

/// The bytes are not the expected data objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the data objects are malformed or not the expected ones")]
pub struct TlvError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_take_one_two_or_three_bytes() {
        for (length, prefix) in [(0, "8000"), (0x7F, "807f"), (0x80, "808180"), (0x100, "80820100")] {
            let bytes = encode([(0x80, &vec![7; length][..])]).unwrap();
            assert!(hex::encode(&bytes).starts_with(prefix));
            assert_eq!(exactly(&bytes, [0x80]).unwrap()[0].len(), length);
        }
        assert_eq!(encode([(0x80, &vec![0; 65_536][..])]), Err(TlvError));
    }

    #[test]
    fn tags_take_one_or_two_bytes() {
        let bytes = encode([(0x7F49, &[1][..]), (0x86, &[2])]).unwrap();
        assert_eq!(hex::encode(&bytes), "7f490101860102");
        assert_eq!(exactly(&bytes, [0x7F49, 0x86]).unwrap(), [&[1][..], &[2]]);
    }

    #[test]
    fn other_tags_and_left_overs_are_refused() {
        assert_eq!(exactly(&[0x80, 0], [0x81]), Err(TlvError));
        assert_eq!(exactly(&[0x80, 0, 0x81, 0], [0x80]), Err(TlvError));
        assert_eq!(exactly::<1>(&[], [0x80]), Err(TlvError));
    }

    #[test]
    fn lengths_that_are_not_minimal_or_overrun_are_refused() {
        for bytes in ["808101aa", "8082000100", "8002aa", "80", "80830000", "1f", "8080"] {
            assert_eq!(
                exactly(&hex::decode(bytes).unwrap(), [0x80]),
                Err(TlvError),
                "{bytes}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
            let mut again = Vec::new();
            let parsed: Result<Vec<_>, _> = Reader::new(&bytes).collect();
            if let Ok(objects) = parsed {
                for object in objects {
                    push(&mut again, object.tag, object.value).unwrap();
                }
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
