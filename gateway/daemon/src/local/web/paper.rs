//! A document on pages of A4, as PDF: headings, facts, lines, tables and a QR code, one below the other.
//!
//! It knows nothing of what it says. The same document gives the same bytes. The fonts are those that every reader has, so
//! that none is in the file; what they lack stands as its number ([`Paper::has_all`]).
//!
//! Lengths are in tenths of a point (1/720 inch), and places are counted from the upper left corner.

mod file;
mod font;

use pdf_writer::{Content, Name, Str};
use qrcode::{Color, QrCode};

pub(super) use file::{Attachment, Imprint};
use font::Font;

const WIDTH: u16 = 5_953;
const HEIGHT: u16 = 8_419;
const MARGIN: u16 = 567;
const RIGHT: u16 = WIDTH - MARGIN;
/// A hundredth of the width between the margins.
const HUNDREDTH: u16 = (RIGHT - MARGIN) / 100;
/// Where the last line of a page may end; the foot stands below.
const BOTTOM: u16 = HEIGHT - 700;
/// The line that the foot stands on.
const FOOT: u16 = HEIGHT - 450;
/// Where the values of facts begin.
const VALUES: u16 = MARGIN + 1_350;
/// The width of a module of a QR code: 0.8 mm, which a phone reads from paper.
const MODULE: u16 = 23;
/// The space around a QR code: four modules (ISO/IEC 18004).
const QUIET: u16 = 4 * MODULE;
/// The space below what belongs together.
const SPACE: u16 = 80;
/// The space between two columns.
const GUTTER: u16 = 60;
/// The most pages: more than the greatest report has, 250 meters with long names of foreign characters.
const MOST_PAGES: usize = 200;
/// The most lines of one text: more than a page has.
const MOST_LINES: usize = 200;

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Title,
    Heading,
    Plain,
    Strong,
    /// Less important.
    Soft,
    /// What is compared character by character.
    Fixed,
}

impl Style {
    /// Returns the font and its size in points.
    const fn font(self) -> (Font, u8) {
        match self {
            Self::Title => (Font::Bold, 15),
            Self::Heading => (Font::Bold, 11),
            Self::Plain | Self::Soft => (Font::Plain, 9),
            Self::Strong => (Font::Bold, 9),
            Self::Fixed => (Font::Fixed, 8),
        }
    }

    /// Returns the height of a line.
    const fn leading(self) -> u16 {
        match self {
            Self::Title => 220,
            Self::Heading => 160,
            Self::Plain | Self::Strong | Self::Soft | Self::Fixed => 120,
        }
    }

    /// Returns how light it is; 0 is black.
    const fn gray(self) -> f32 {
        match self {
            Self::Soft => 0.35,
            Self::Title | Self::Heading | Self::Plain | Self::Strong | Self::Fixed => 0.0,
        }
    }
}

/// The document does not fit on as many pages as there may be.
#[derive(Debug, thiserror::Error)]
#[error("the document has more than {MOST_PAGES} pages; the JSON has all of it")]
pub(crate) struct TooLong;

/// A document that is being set.
pub(super) struct Paper {
    pages: Vec<Content>,
    /// Where the next line begins.
    top: u16,
    /// How far down the QR code reaches on this page, and where it begins.
    code: Option<(u16, u16)>,
    has_all: bool,
    is_too_long: bool,
}

impl Paper {
    pub(super) fn new() -> Self {
        Self {
            pages: vec![Content::new()],
            top: MARGIN,
            code: None,
            has_all: true,
            is_too_long: false,
        }
    }

    /// Returns whether the fonts have had every character so far.
    pub(super) const fn has_all(&self) -> bool {
        self.has_all
    }

    /// Sets a heading, and keeps it together with what begins below.
    pub(super) fn heading(&mut self, style: Style, text: &str) {
        self.pass_code();
        self.skip(SPACE);
        self.make_room(style.leading().saturating_add(3 * Style::Plain.leading()));
        self.text(style, text);
    }

    /// Sets text over the width of the page.
    pub(super) fn text(&mut self, style: Style, text: &str) {
        self.indented(style, 0, text);
    }

    /// Sets text that begins further to the right.
    pub(super) fn indented(&mut self, style: Style, indent: u16, text: &str) {
        let left = MARGIN.saturating_add(indent);
        let lines = self.broken(style, self.right().saturating_sub(left), text);
        for line in lines {
            self.make_room(style.leading());
            self.set(style, left, &line);
            self.skip(style.leading());
        }
    }

    /// Sets a fact: what it is called, and beside that what it is.
    pub(super) fn fact(&mut self, name: &str, style: Style, value: &str) {
        let names = self.broken(Style::Soft, VALUES - MARGIN - GUTTER, name);
        let values = self.broken(style, self.right().saturating_sub(VALUES), value);
        self.rows(&[(Style::Soft, MARGIN, names), (style, VALUES, values)], |_| {});
    }

    /// Sets a table. Its head stands again on every page; columns get so many hundredths of the width.
    pub(super) fn table<const N: usize>(&mut self, head: [(&str, u16); N], rows: &[[String; N]]) {
        self.pass_code();
        let mut left = MARGIN;
        let columns = head.map(|(name, share)| {
            let width = HUNDREDTH.saturating_mul(share);
            let column = (left, width.saturating_sub(GUTTER), name);
            left = left.saturating_add(width);
            column
        });
        let cells = |paper: &mut Self, style, texts: [&str; N]| {
            let mut cells = Vec::with_capacity(N);
            for ((left, width, _), text) in columns.into_iter().zip(texts) {
                cells.push((style, left, paper.broken(style, width, text)));
            }
            cells
        };
        let names = cells(self, Style::Strong, columns.map(|(_, _, name)| name));
        let set_head = |paper: &mut Self| {
            paper.rows(&names, |_| {});
            paper.rule();
        };
        self.make_room(4 * Style::Plain.leading());
        set_head(self);
        for row in rows {
            let cells = cells(self, Style::Plain, row.each_ref().map(String::as_str));
            self.rows(&cells, set_head);
            self.skip(GUTTER.div_euclid(2));
        }
    }

    /// Sets a QR code at the right, beside what comes next.
    pub(super) fn code(&mut self, code: &QrCode) {
        let modules = u16::try_from(code.width()).unwrap_or(u16::MAX);
        let width = modules.saturating_mul(MODULE);
        self.make_room(width.saturating_add(2 * QUIET));
        let (left, top) = (RIGHT.saturating_sub(width), self.top.saturating_add(QUIET));
        let colors = code.to_colors();
        let Some(page) = self.pages.last_mut() else { return };
        page.set_fill_gray(0.0);
        for (place, _) in colors
            .iter()
            .enumerate()
            .filter(|(_, color)| **color == Color::Dark)
        {
            let place = u16::try_from(place).unwrap_or(u16::MAX);
            let (row, column) = (place.div_euclid(modules), place.rem_euclid(modules));
            let x = left.saturating_add(column.saturating_mul(MODULE));
            let y = top.saturating_add(row.saturating_add(1).saturating_mul(MODULE));
            page.rect(points(x), up(y), points(MODULE), points(MODULE));
        }
        page.fill_nonzero();
        let bottom = top.saturating_add(width).saturating_add(QUIET);
        self.code = Some((bottom, left.saturating_sub(QUIET)));
    }

    /// Ends the document, with a foot under each page: a text, and the page's number as the imprint words it.
    ///
    /// # Errors
    ///
    /// [`TooLong`].
    pub(super) fn finish(mut self, imprint: &Imprint<'_>) -> Result<Vec<u8>, TooLong> {
        if self.is_too_long {
            return Err(TooLong);
        }
        let count = self.pages.len();
        for (place, page) in self.pages.iter_mut().enumerate() {
            let number = (imprint.numbered)(place.saturating_add(1), count);
            let number = font::encode(&number);
            let right = RIGHT.saturating_sub(width_of(Style::Soft, &number));
            show(page, Style::Soft, (MARGIN, FOOT), &font::encode(imprint.foot));
            show(page, Style::Soft, (right, FOOT), &number);
        }
        Ok(file::write(self.pages, imprint))
    }

    /// Sets cells beside each other. A row that does not fit goes to the next page as a whole, unless it is longer than one.
    fn rows(&mut self, cells: &[(Style, u16, Vec<Vec<u8>>)], on_new_page: impl Fn(&mut Self)) {
        let lines = cells.iter().map(|(_, _, lines)| lines.len()).max().unwrap_or(0);
        let leading = Style::Plain.leading();
        let whole = u16::try_from(lines).unwrap_or(u16::MAX).saturating_mul(leading);
        if whole < BOTTOM.div_euclid(2) && self.make_room(whole) {
            on_new_page(self);
        }
        for place in 0..lines {
            if self.make_room(leading) {
                on_new_page(self);
            }
            for (style, left, lines) in cells {
                if let Some(line) = lines.get(place) {
                    self.set(*style, *left, line);
                }
            }
            self.skip(leading);
        }
    }

    /// Draws a line over the width of the page.
    fn rule(&mut self) {
        let y = up(self.top.saturating_add(10));
        if let Some(page) = self.pages.last_mut() {
            page.set_line_width(0.5);
            page.move_to(points(MARGIN), y);
            page.line_to(points(RIGHT), y).stroke();
        }
        self.skip(GUTTER.div_euclid(2));
    }

    fn set(&mut self, style: Style, left: u16, line: &[u8]) {
        let base = self.top.saturating_add(style.leading()).saturating_sub(30);
        if let Some(page) = self.pages.last_mut() {
            show(page, style, (left, base), line);
        }
    }

    const fn skip(&mut self, height: u16) {
        self.top = self.top.saturating_add(height);
    }

    /// Begins another page if so much does not fit on this one, and returns whether it did.
    fn make_room(&mut self, height: u16) -> bool {
        if self.top.saturating_add(height) <= BOTTOM {
            return false;
        }
        self.top = MARGIN;
        self.code = None;
        if self.pages.len() < MOST_PAGES {
            self.pages.push(Content::new());
        } else {
            // What would follow is set nowhere that anybody sees: the document is refused as a whole.
            self.is_too_long = true;
        }
        true
    }

    /// Returns where lines end: beside the code further to the left.
    const fn right(&self) -> u16 {
        match self.code {
            Some((bottom, left)) if self.top < bottom => left,
            _ => RIGHT,
        }
    }

    /// Goes on below the code.
    fn pass_code(&mut self) {
        if let Some((bottom, _)) = self.code.take() {
            self.top = self.top.max(bottom);
        }
    }

    /// Encodes text, and breaks it into lines.
    fn broken(&mut self, style: Style, width: u16, text: &str) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for line in text.lines() {
            self.has_all &= font::has_all(line);
            break_line(style, width, &font::encode(line), &mut lines);
        }
        lines.truncate(MOST_LINES);
        lines
    }
}

/// Breaks an encoded line at its spaces, and a word that is wider than a line wherever that ends.
fn break_line(style: Style, width: u16, text: &[u8], lines: &mut Vec<Vec<u8>>) {
    let mut line = Vec::new();
    for word in text.split(|code| *code == b' ') {
        let joined = [line.as_slice(), if line.is_empty() { b"" } else { b" " }, word].concat();
        if width_of(style, &joined) <= width {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for code in word {
            if !line.is_empty() && width_of(style, &[line.as_slice(), &[*code]].concat()) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(*code);
        }
    }
    lines.push(line);
}

/// Returns how wide encoded text is.
fn width_of(style: Style, text: &[u8]) -> u16 {
    let (font, size) = style.font();
    let width = font.width(text).saturating_mul(u32::from(size)).div_ceil(100);
    u16::try_from(width).unwrap_or(u16::MAX)
}

fn show(page: &mut Content, style: Style, (left, base): (u16, u16), text: &[u8]) {
    let (font, size) = style.font();
    let (_, name) = font.names();
    page.begin_text();
    page.set_fill_gray(style.gray());
    page.set_font(Name(name), f32::from(size));
    page.next_line(points(left), up(base));
    page.show(Str(text));
    page.end_text();
}

fn points(tenths: u16) -> f32 {
    f32::from(tenths) / 10.0
}

/// Returns the height over the lower edge of the page, where PDF counts from.
fn up(top: u16) -> f32 {
    points(HEIGHT.saturating_sub(top))
}

#[cfg(test)]
pub(super) mod tests;
