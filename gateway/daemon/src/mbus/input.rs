//! Lines of hexadecimal bytes, each bounded in length.

use std::io::{self, BufRead};

/// The longest line that is read: a frame of 261 bytes takes 783 characters with blanks, and this leaves room
/// for wider ones.
pub(super) const MAX_LINE: usize = 4096;

/// The reason why a line is not a row of bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    /// The line is longer than a frame can be.
    #[error("the line is longer than {MAX_LINE} characters, and no frame is")]
    TooLong,
    /// A character that is no hexadecimal digit.
    #[error("the line has {character:?} in place {place}, which is no hexadecimal digit")]
    Digit {
        /// The character.
        character: char,
        /// Its place in the line, from 1.
        place: usize,
    },
    /// The last byte has one digit only.
    #[error("the line has an odd number of hexadecimal digits")]
    OddDigits,
}

impl LineError {
    /// Returns a short name for the cause, for programs.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "line-too-long",
            Self::Digit { .. } | Self::OddDigits => "hex",
        }
    }
}

/// Reads the next line into `line`, without its end; of a line that is too long, nothing is kept.
///
/// Returns `None` at the end of the input.
///
/// # Errors
///
/// [`io::Error`] if the input cannot be read; a line that is too long is the inner error.
pub(super) fn read_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
) -> io::Result<Option<Result<(), LineError>>> {
    line.clear();
    let mut too_long = false;
    let mut begun = false;
    loop {
        let held = input.fill_buf()?;
        if held.is_empty() {
            break;
        }
        begun = true;
        let end = held.iter().position(|byte| *byte == b'\n');
        let part = held.get(..end.unwrap_or(held.len())).unwrap_or(held);
        if line.len().saturating_add(part.len()) > MAX_LINE {
            too_long = true;
            line.clear();
        }
        if !too_long {
            line.extend_from_slice(part);
        }
        let taken = end.map_or(held.len(), |end| end.saturating_add(1));
        input.consume(taken);
        if end.is_some() {
            break;
        }
    }
    Ok(begun.then_some(if too_long { Err(LineError::TooLong) } else { Ok(()) }))
}

/// Returns the bytes of a line; `None` if it is blank or a comment, which begins with `#`.
///
/// Blanks, tabs and colons may stand between the digits, and `0x` in front of a word of them.
///
/// # Errors
///
/// [`LineError`] names the first fault.
pub(super) fn bytes(line: &[u8]) -> Result<Option<Vec<u8>>, LineError> {
    if line.len() > MAX_LINE {
        return Err(LineError::TooLong);
    }
    let is_separator = |byte: &u8| byte.is_ascii_whitespace() || *byte == b':';
    if matches!(line.iter().find(|byte| !is_separator(byte)), None | Some(b'#')) {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(line.len().div_ceil(2));
    let mut high = None;
    let mut digits_of_word = 0u8;
    for (place, byte) in line.iter().enumerate() {
        if is_separator(byte) {
            digits_of_word = 0;
            continue;
        }
        if byte.eq_ignore_ascii_case(&b'x') && digits_of_word == 1 && high == Some(0) {
            high = None;
            continue;
        }
        digits_of_word = digits_of_word.saturating_add(1);
        let character = char::from(*byte);
        let digit = character
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or_else(|| LineError::Digit {
                character,
                place: place.saturating_add(1),
            })?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    if high.is_some() {
        return Err(LineError::OddDigits);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_may_be_parted_and_comments_are_none() {
        for line in ["e5", " E 5 ", "E5\r", "\tE5", "E:5", "0xE5", " 0XE 5"] {
            assert_eq!(bytes(line.as_bytes()), Ok(Some(vec![0xE5])), "{line:?}");
        }
        for line in ["", "  ", "# 68", "  # 68", "\r"] {
            assert_eq!(bytes(line.as_bytes()), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn faults_of_a_line_are_named() {
        assert_eq!(
            bytes(b"68 xz"),
            Err(LineError::Digit {
                character: 'x',
                place: 4
            })
        );
        for line in [&b"00x"[..], b"1x", b"0xx", b"60x6"] {
            assert!(
                matches!(bytes(line), Err(LineError::Digit { character: 'x', .. })),
                "{line:?}"
            );
        }
        assert!(matches!(
            bytes(&[0xFF, 0xFE]),
            Err(LineError::Digit { place: 1, .. })
        ));
        assert_eq!(bytes(b"680"), Err(LineError::OddDigits));
        assert_eq!(bytes(&[b'6'; MAX_LINE + 1]), Err(LineError::TooLong));
    }

    #[test]
    fn line_that_is_too_long_is_skipped_alone() {
        let text = [&b"e5\n"[..], &[b'6'; 3 * MAX_LINE], b"\n10\n\n11"].concat();
        // A small buffer, so that lines are put together from parts.
        let mut input = io::BufReader::with_capacity(100, text.as_slice());
        let mut line = Vec::new();
        let mut found = Vec::new();
        while let Some(read) = read_line(&mut input, &mut line).unwrap() {
            found.push(read.map(|()| String::from_utf8(line.clone()).unwrap()));
        }
        assert_eq!(
            found,
            [
                Ok("e5".to_owned()),
                Err(LineError::TooLong),
                Ok("10".to_owned()),
                Ok(String::new()),
                Ok("11".to_owned())
            ]
        );
    }
}
