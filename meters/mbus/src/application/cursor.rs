//! The bytes of a record, taken off one block after the other.

use super::fault::RecordError;
use super::text::{Letters, Text};
use super::value::{ByteOrder, Coding};
use super::vib::VibBlocks;

/// Set in each byte of a block that another byte of it follows.
pub(super) const EXTENSION: u8 = 0x80;
/// The greatest number of DIFEs behind a DIF, and of VIFEs behind a VIF.
///
/// Spec: EN 13757-3:2018, section 6.
pub(super) const MAX_EXTENSIONS: u32 = 10;
/// VIF of a plain text unit, whose length and letters follow.
pub(super) const PLAIN_TEXT: u8 = 0x7C;
/// The longest unit that is believed to be one; `%RH` and the like are far shorter.
const MAX_PLAIN_TEXT: usize = 32;

/// Returns the coding and the length of the data; variable data has its length in front.
#[inline(always)]
pub(super) fn coding_of(dif: u8, cursor: &mut Cursor<'_>) -> Result<(Coding, usize), RecordError> {
    match Coding::of(dif) {
        Some(fixed) => Ok(fixed),
        None => Coding::of_variable(cursor.byte()?),
    }
}

/// Splits off the VIF, its VIFEs and the plain text of the unit, if it is one.
#[inline(always)]
pub(super) fn split_vib<'f>(
    cursor: &mut Cursor<'f>,
    dif: u8,
    order: ByteOrder,
) -> Result<VibBlocks<'f>, RecordError> {
    let start = cursor.rest;
    let vif = cursor.byte()?;
    let (vifes, letters) = if vif & !EXTENSION == PLAIN_TEXT {
        let (found, rest) = plain_text(vif, Cursor { rest: cursor.rest }, dif, order)?;
        cursor.rest = rest;
        found
    } else if vif & EXTENSION != 0 {
        (cursor.vifes()?, None)
    } else {
        (&[][..], None)
    };
    let length = start.len().saturating_sub(cursor.rest.len());
    Ok(VibBlocks {
        bytes: start.get(..length).unwrap_or(start),
        vif,
        vifes,
        letters,
    })
}

/// What stands behind the VIF of a plain text unit: VIFEs and the place of the letters.
type PlainText<'f> = (&'f [u8], Option<Letters>);

/// Reads a plain text unit and returns what stands behind it; its VIFEs stand behind the text or in front of it.
///
/// Meters disagree on the place. The text comes first unless only the other order gives letters
/// and leaves room for the data.
fn plain_text<'f>(
    vif: u8,
    mut cursor: Cursor<'f>,
    dif: u8,
    order: ByteOrder,
) -> Result<(PlainText<'f>, &'f [u8]), RecordError> {
    let text = |cursor: &mut Cursor<'f>| {
        let length = cursor.byte()?;
        let letters = cursor.take(length.into())?;
        Ok::<_, RecordError>(Text::new(letters, order == ByteOrder::LeastFirst))
    };
    let fits = |text: &Text<'_>, behind: &Cursor<'_>| {
        let mut behind = Cursor { rest: behind.rest };
        let room = coding_of(dif, &mut behind).and_then(|(_, length)| behind.take(length));
        text.is_printable() && text.wire().len() <= MAX_PLAIN_TEXT && room.is_ok()
    };
    let place = |vifes_before: &[u8], text: Text<'_>| {
        // Behind the VIF, the VIFEs and the length byte; a chain has ten bytes and a text 255 at most.
        let start = vifes_before.len().saturating_add(2);
        Some(Letters {
            start: u8::try_from(start).unwrap_or(u8::MAX),
            length: u8::try_from(text.wire().len()).unwrap_or(u8::MAX),
            last_first: order == ByteOrder::LeastFirst,
        })
    };
    if vif & EXTENSION == 0 {
        let text = text(&mut cursor)?;
        return Ok(((&[], place(&[], text)), cursor.rest));
    }
    let mut text_first = Cursor { rest: cursor.rest };
    let first = text(&mut text_first).and_then(|text| Ok((text_first.vifes()?, text)));
    if let Ok((vifes, text)) = first
        && fits(&text, &text_first)
    {
        return Ok(((vifes, place(&[], text)), text_first.rest));
    }
    let mut vifes_first = Cursor { rest: cursor.rest };
    let second = vifes_first
        .vifes()
        .and_then(|vifes| Ok((vifes, text(&mut vifes_first)?)));
    if let Ok((vifes, text)) = second
        && fits(&text, &vifes_first)
    {
        return Ok(((vifes, place(vifes, text)), vifes_first.rest));
    }
    Err(RecordError::PlainTextPlace)
}

/// Takes bytes off the front of a record.
pub(super) struct Cursor<'f> {
    pub(super) rest: &'f [u8],
}

impl<'f> Cursor<'f> {
    #[inline(always)]
    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self
            .rest
            .split_first()
            .ok_or(RecordError::Truncated { missing: 1 })?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline(always)]
    pub(super) fn take(&mut self, length: usize) -> Result<&'f [u8], RecordError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| RecordError::Truncated {
                missing: length.saturating_sub(self.rest.len()),
            })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes the VIFEs, at most ten.
    #[inline(always)]
    fn vifes(&mut self) -> Result<&'f [u8], RecordError> {
        let start = self.rest;
        for _ in 0..MAX_EXTENSIONS {
            if self.byte()? & EXTENSION == 0 {
                let length = start.len().saturating_sub(self.rest.len());
                return Ok(start.get(..length).unwrap_or(start));
            }
        }
        Err(RecordError::VifeChain)
    }
}
