//! Value information: what is measured, and in what unit.

use super::measurand::Measurand;
use super::modifier::{MAKERS, Modifiers, SECOND_TABLE};
use super::tables::{
    Form, Meaning, duration, extension_fb, extension_fd, extension_fd_fd, primary, unsigned, written_out,
};
use super::text::{Letters, Text};
use super::unit::{Ratio, Unit};

/// Set in each byte of a block that another byte of it follows.
const EXTENSION: u8 = 0x80;
const CODE: u8 = 0x7F;
/// VIF behind which a VIF of the table "FB" stands, without its extension bit.
const TABLE_FB: u8 = 0x7B;
/// VIF of a plain text unit, whose length and letters follow.
const PLAIN_TEXT: u8 = 0x7C;
/// VIF behind which a VIF of the table "FD" stands; behind `FD FD` there is a third one.
const TABLE_FD: u8 = 0x7D;
/// VIF of the maker's own.
const MAKERS_VIF: u8 = 0x7F;
/// The greatest power of ten by which VIFEs may shift a value; each of ten shifts by 6 at most.
const MAX_SHIFT: i8 = 60;
/// The row of a unit that the meter writes out.
const WRITTEN_OUT: Meaning = (Measurand::PlainText, written_out());

/// The value information block of a record: its VIF and VIFEs, as bytes and with their meaning.
///
/// Spec: EN 13757-3:2018, section 6 (tables 10 to 16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vib<'f> {
    bytes: &'f [u8],
    measurand: Measurand,
    form: Form,
    /// The orthogonal VIFEs.
    chain: &'f [u8],
    letters: Option<Letters>,
    /// The power of ten of the constant that is to be added to the value.
    offset: Option<i8>,
    /// An error code that the meter put in the place of a VIFE; 0 is none.
    reported: u8,
    line: Line,
}

/// The bytes of a block, told apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct VibBlocks<'f> {
    /// All of them.
    pub(super) bytes: &'f [u8],
    pub(super) vif: u8,
    pub(super) vifes: &'f [u8],
    /// The letters of a plain text unit.
    pub(super) letters: Option<Letters>,
}

/// The line of an electricity meter, or pair of lines, that a value belongs to.
///
/// Spec: EN 13757-3:2018, table 16. The maker's VIFEs `FF 01` to `FF 03` are taken for the phases
/// too, behind what is measured of electricity: EMU, Finder, Saia-Burgess and ABB (`FF 81` to
/// `FF 83`) send them so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// All of them together, or there are none.
    All,
    /// Phase L1.
    L1,
    /// Phase L2.
    L2,
    /// Phase L3.
    L3,
    /// The neutral conductor.
    Neutral,
    /// Between two phases: L1-L2, L2-L3, L3-L1 are 1, 2, 3.
    Between(u8),
}

impl<'f> Vib<'f> {
    /// A block that says nothing.
    pub(super) const EMPTY: Self = Self {
        bytes: &[],
        measurand: Measurand::Unknown,
        form: Form::Plain,
        chain: &[],
        letters: None,
        offset: None,
        reported: 0,
        line: Line::All,
    };

    /// Builds a block whose meaning is known from elsewhere, with the VIF that comes next to it.
    pub(super) const fn known(bytes: &'f [u8], measurand: Measurand, form: Form) -> Self {
        Self {
            bytes,
            measurand,
            form,
            ..Self::EMPTY
        }
    }

    /// Gives the blocks their meaning; what is not in the tables is [`Measurand::Unknown`].
    #[inline(always)]
    pub(super) fn of(blocks: &VibBlocks<'f>) -> Self {
        if let (vif, []) = (blocks.vif, blocks.vifes) {
            let (measurand, form) = match vif {
                PLAIN_TEXT => WRITTEN_OUT,
                vif => primary(vif),
            };
            return Self {
                letters: blocks.letters,
                ..Self::known(blocks.bytes, measurand, form)
            };
        }
        Self::of_chain(blocks)
    }

    /// Gives blocks with VIFEs their meaning.
    fn of_chain(blocks: &VibBlocks<'f>) -> Self {
        let ((measurand, form), chain) = meaning(blocks);
        let mut vib = Self {
            letters: blocks.letters,
            chain,
            ..Self::known(blocks.bytes, measurand, form)
        };
        // Behind a VIF of the maker, the VIFEs are the maker's too.
        if !chain.is_empty() && !vib.is_makers() {
            vib.apply_all(chain);
        }
        vib
    }

    /// Returns the bytes: VIF, VIFEs, and the text of a plain text unit with its length.
    #[must_use]
    pub const fn bytes(&self) -> &'f [u8] {
        self.bytes
    }

    /// Returns what is measured.
    #[must_use]
    pub const fn measurand(&self) -> Measurand {
        self.measurand
    }

    /// Returns the unit that numbers of the record are given in, if it is known.
    #[must_use]
    pub const fn unit(&self) -> Option<Unit> {
        match self.form {
            Form::Scaled(scale) => Some(scale.unit),
            Form::Date | Form::Plain => None,
        }
    }

    /// Returns the unit as the meter wrote it out, if it did.
    #[must_use]
    pub fn plain_text(&self) -> Option<Text<'f>> {
        self.letters?.of(self.bytes)
    }

    /// Returns the orthogonal VIFEs.
    #[must_use]
    pub const fn modifiers(&self) -> Modifiers<'f> {
        Modifiers::new(self.chain, self.is_makers())
    }

    /// Returns whether no VIFE changes what is measured.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.chain.is_empty()
    }

    /// Returns the line that the value belongs to.
    #[must_use]
    pub const fn line(&self) -> Line {
        self.line
    }

    pub(super) const fn form(&self) -> Form {
        self.form
    }

    pub(super) const fn offset(&self) -> Option<i8> {
        self.offset
    }

    /// Returns the error code that the meter put in the place of a VIFE, 0 if there is none.
    pub(super) const fn reported_error(&self) -> u8 {
        self.reported
    }

    const fn is_makers(&self) -> bool {
        matches!(self.measurand, Measurand::ManufacturerSpecific)
    }

    /// Applies the orthogonal VIFEs, at most ten.
    fn apply_all(&mut self, chain: &[u8]) {
        let mut rest = chain;
        while let [first, tail @ ..] = rest {
            rest = tail;
            match (first & CODE, tail) {
                (MAKERS, _) => return self.maker(tail),
                (SECOND_TABLE, [second, tail @ ..]) => {
                    self.apply_second(second & CODE);
                    rest = tail;
                }
                (code, _) => self.apply(code),
            }
        }
    }

    fn apply(&mut self, code: u8) {
        match code {
            0x01..=0x11 | 0x15..=0x1C if self.reported == 0 => self.reported = code,
            0x13 | 0x14 | 0x1D..=0x1F | 0x3D | 0x3F => self.form = Form::Plain,
            0x39 | 0x42 | 0x43 | 0x46 | 0x47 | 0x4A | 0x4B | 0x4E | 0x4F => self.form = Form::Date,
            0x6A | 0x6B | 0x6E | 0x6F => self.form = Form::Date,
            0x41 | 0x49 => self.form = unsigned(),
            0x50..=0x67 => self.form = duration(code & 0x03),
            0x70..=0x77 => self.shift((code & 0x07).cast_signed().saturating_sub(6)),
            0x78..=0x7B => self.offset = Some((code & 0x03).cast_signed().saturating_sub(3)),
            0x7D => self.shift(3),
            _ => {
                if let (Some(ratio), Form::Scaled(scale)) = (Ratio::of(code), &mut self.form) {
                    scale.unit = scale.unit.with(ratio);
                }
            }
        }
    }

    fn apply_second(&mut self, code: u8) {
        match code {
            0x01 => self.line = Line::L1,
            0x02 => self.line = Line::L2,
            0x03 => self.line = Line::L3,
            0x04 => self.line = Line::Neutral,
            0x05..=0x07 => self.line = Line::Between(code.saturating_sub(0x04)),
            0x0D => self.form = Form::Plain,
            0x11 | 0x12 => {
                if let Form::Scaled(scale) = &mut self.form {
                    scale.unsigned = true;
                }
            }
            0x13 => self.form = Form::Date,
            _ => {}
        }
    }

    /// Takes the maker's VIFEs for phases, of what an electricity meter measures.
    fn maker(&mut self, chain: &[u8]) {
        use Measurand as M;
        let has_lines = matches!(
            self.measurand,
            M::Energy
                | M::ReactiveEnergy
                | M::ApparentEnergy
                | M::Power
                | M::ReactivePower
                | M::ApparentPower
                | M::Voltage
                | M::Current
                | M::Frequency
                | M::PhaseVoltageToVoltage
                | M::PhaseVoltageToCurrent
                | M::Dimensionless
        );
        self.line = match chain.first().map(|first| first & CODE) {
            Some(0x01) if has_lines => Line::L1,
            Some(0x02) if has_lines => Line::L2,
            Some(0x03) if has_lines => Line::L3,
            _ => self.line,
        };
    }

    fn shift(&mut self, power: i8) {
        if let Form::Scaled(scale) = &mut self.form {
            let shifted = scale.power_of_ten.saturating_add(power);
            scale.power_of_ten = shifted.clamp(MAX_SHIFT.saturating_neg(), MAX_SHIFT);
        }
    }
}

/// Returns the row of the table that the VIF stands in, and the orthogonal VIFEs behind it.
fn meaning<'f>(blocks: &VibBlocks<'f>) -> (Meaning, &'f [u8]) {
    match (blocks.vif & CODE, blocks.vifes) {
        (TABLE_FB, [vif, chain @ ..]) => (extension_fb(*vif), chain),
        (TABLE_FD, [first, vif, chain @ ..]) if *first == TABLE_FD | EXTENSION => {
            (extension_fd_fd(*vif), chain)
        }
        (TABLE_FD, [vif, chain @ ..]) => (extension_fd(*vif), chain),
        (PLAIN_TEXT, chain) => (WRITTEN_OUT, chain),
        (MAKERS_VIF, chain) => ((Measurand::ManufacturerSpecific, Form::Plain), chain),
        (vif, chain) => (primary(vif), chain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vib(bytes: &[u8]) -> Vib<'_> {
        Vib::of(&VibBlocks {
            bytes,
            vif: bytes[0],
            vifes: &bytes[1..],
            letters: None,
        })
    }

    fn scale(bytes: &[u8]) -> (Measurand, String, i8) {
        let vib = vib(bytes);
        let Form::Scaled(scale) = vib.form() else {
            panic!("{vib:?}");
        };
        (vib.measurand(), scale.unit.to_string(), scale.power_of_ten)
    }

    #[test]
    fn extensions_lead_to_their_tables() {
        assert_eq!(scale(&[0xFB, 0x01]), (Measurand::Energy, "Wh".into(), 6));
        assert_eq!(scale(&[0xFD, 0x48]), (Measurand::Voltage, "V".into(), -1));
        assert_eq!(
            scale(&[0xFD, 0xFD, 0x02]),
            (Measurand::BatteryRemaining, "month".into(), 0)
        );
        for bytes in [&[0xEF, 0x01][..], &[0xFD, 0x7D], &[0x7B], &[0x7D], &[0x6F]] {
            assert_eq!(vib(bytes).measurand(), Measurand::Unknown, "{bytes:02x?}");
            assert_eq!(vib(bytes).unit(), None);
        }
        assert_eq!(vib(&[0xFF, 0x01]).measurand(), Measurand::ManufacturerSpecific);
    }

    #[test]
    fn orthogonal_vifes_change_number_and_unit() {
        for (bytes, unit, power) in [
            (&[0x93, 0x70][..], "m3", -9),
            (&[0x93, 0x77], "m3", -2),
            (&[0x93, 0x7D], "m3", 0),
            (&[0x93, 0xF4, 0x7D], "m3", -2),
            (&[0x93, 0x22], "m3/h", -3),
            (&[0x86, 0x23], "Wh/d", 3),
            (&[0x93, 0x28], "m3/input pulse", -3),
            (&[0x93, 0x3C], "m3", -3),
            (&[0x93, 0x41], "1", 0),
            (&[0xAB, 0x57], "s", 0),
            (&[0xAB, 0x40], "W", 0),
        ] {
            let (_, found, shifted) = scale(bytes);
            assert_eq!((found.as_str(), shifted), (unit, power), "{bytes:02x?}");
        }
        assert_eq!(vib(&[0xDB, 0x79]).offset(), Some(-2));
        assert_eq!(vib(&[0xDB, 0x15]).reported_error(), 0x15);
        for bytes in [
            &[0xAB, 0x4E][..],
            &[0xAB, 0x6A],
            &[0x93, 0x39],
            &[0x93, 0xFC, 0x13],
        ] {
            assert_eq!(vib(bytes).form(), Form::Date);
        }
        for bytes in [
            &[0x93, 0x3D][..],
            &[0x93, 0x1F],
            &[0x93, 0x3F],
            &[0x93, 0xFC, 0x0D],
        ] {
            assert_eq!(vib(bytes).form(), Form::Plain);
        }
    }

    #[test]
    fn lines_come_from_the_standard_or_the_maker() {
        for (bytes, line) in [
            (&[0xAB, 0xFC, 0x02][..], Line::L2),
            (&[0xAB, 0xFC, 0x04], Line::Neutral),
            (&[0xAB, 0xFC, 0x07], Line::Between(3)),
            (&[0xFD, 0xC9, 0xFF, 0x01], Line::L1),
            (&[0xA9, 0xFF, 0x83, 0x00], Line::L3),
            (&[0xAB, 0xFF, 0x09], Line::All),
            (&[0x93, 0xFF, 0x01], Line::All),
            (&[0xDA, 0xFF, 0x02], Line::All),
            (&[0x2B], Line::All),
        ] {
            assert_eq!(vib(bytes).line(), line, "{bytes:02x?}");
        }
    }

    #[test]
    fn chains_that_end_early_do_no_harm() {
        for bytes in [&[0xFB][..], &[0xFD, 0xFD], &[0x93, 0xFC], &[0x93, 0xFF], &[0xFF]] {
            vib(bytes);
        }
    }
}
