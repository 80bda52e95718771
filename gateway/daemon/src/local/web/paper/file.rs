//! The file that the pages are in: its parts, what it says of itself, and what is attached to it.

use jiff::civil::DateTime;
use pdf_writer::{Buf, Content, Date, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use sha2::{Digest, Sha256};

use super::font::Font;
use super::{HEIGHT, WIDTH, points};

/// What the document says of itself, and what is attached to it.
pub(in super::super) struct Imprint<'a> {
    pub(in super::super) title: &'a str,
    /// The language by its code (BCP 47).
    pub(in super::super) language: &'static str,
    /// The program that has made it.
    pub(in super::super) producer: &'a str,
    /// When it was made (UTC).
    pub(in super::super) made: DateTime,
    /// What stands at the foot of every page.
    pub(in super::super) foot: &'a str,
    /// Words the number of a page, out of so many.
    pub(in super::super) numbered: &'a dyn Fn(usize, usize) -> String,
    /// Sorted by their names.
    pub(in super::super) attachments: &'a [Attachment<'a>],
}

/// A file within the file.
pub(in super::super) struct Attachment<'a> {
    /// Its name: letters, digits and dots.
    pub(in super::super) name: &'static str,
    /// Its media type, with `#2F` in place of the slash (ISO 32000-1, 7.3.5).
    pub(in super::super) media_type: &'static str,
    pub(in super::super) description: &'a str,
    pub(in super::super) content: Vec<u8>,
}

/// The numbers of a file's objects, in the order in which they are handed out.
struct Numbers(i32);

impl Numbers {
    const fn next(&mut self) -> Ref {
        self.0 = self.0.saturating_add(1);
        Ref::new(self.0)
    }
}

/// Writes the file (PDF 1.7, ISO 32000-1).
pub(super) fn write(pages: Vec<Content>, imprint: &Imprint<'_>) -> Vec<u8> {
    let pages: Vec<Buf> = pages.into_iter().map(Content::finish).collect();
    let mut numbers = Numbers(0);
    let mut pdf = Pdf::new();
    let (catalog, tree, info) = (numbers.next(), numbers.next(), numbers.next());
    let fonts = Font::ALL.map(|font| (font, numbers.next()));
    let attached: Vec<_> = imprint
        .attachments
        .iter()
        .map(|one| (one, numbers.next(), numbers.next()))
        .collect();
    let kids: Vec<_> = pages.iter().map(|_| (numbers.next(), numbers.next())).collect();

    let mut root = pdf.catalog(catalog);
    root.pages(tree).lang(TextStr(imprint.language));
    root.viewer_preferences().display_doc_title(true);
    if !attached.is_empty() {
        let mut names = root.names();
        let mut files = names.embedded_files();
        let mut files = files.names();
        for (one, spec, _) in &attached {
            files.insert(Str(one.name.as_bytes()), *spec);
        }
    }
    root.finish();
    let count = i32::try_from(kids.len()).unwrap_or(i32::MAX);
    pdf.pages(tree)
        .kids(kids.iter().map(|(page, _)| *page))
        .count(count);
    for ((page, content), set) in kids.into_iter().zip(&pages) {
        let mut page = pdf.page(page);
        page.media_box(Rect::new(0.0, 0.0, points(WIDTH), points(HEIGHT)));
        page.parent(tree).contents(content);
        let mut resources = page.resources();
        let mut named = resources.fonts();
        for (font, number) in fonts {
            named.pair(Name(font.names().1), number);
        }
        named.finish();
        resources.finish();
        page.finish();
        pdf.stream(content, set);
    }
    for (font, number) in fonts {
        pdf.type1_font(number)
            .base_font(Name(font.names().0))
            .encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    for (one, spec, file) in attached {
        attach(&mut pdf, one, (spec, file));
    }
    describe(&mut pdf, info, imprint);
    pdf.set_file_id(identity(&pages, imprint));
    pdf.finish()
}

fn attach(pdf: &mut Pdf, one: &Attachment<'_>, (spec, file): (Ref, Ref)) {
    pdf.embedded_file(file, &one.content)
        .subtype(Name(one.media_type.as_bytes()));
    pdf.file_spec(spec)
        .path(Str(one.name.as_bytes()))
        .unic_file(TextStr(one.name))
        .embedded_file_with_unicode(file)
        .description(TextStr(one.description));
}

fn describe(pdf: &mut Pdf, info: Ref, imprint: &Imprint<'_>) {
    let part = |part: i8| u8::try_from(part).unwrap_or(0);
    let made = imprint.made;
    let date = Date::new(u16::try_from(made.year()).unwrap_or(0))
        .month(part(made.month()))
        .day(part(made.day()))
        .hour(part(made.hour()))
        .minute(part(made.minute()))
        .second(part(made.second()))
        .utc_offset_hour(0)
        .utc_offset_minute(0);
    pdf.document_info(info)
        .title(TextStr(imprint.title))
        .producer(TextStr(imprint.producer))
        .creation_date(date);
}

/// Makes the file's identity from what is in it (ISO 32000-1, 14.4), so that the same document is the same file.
fn identity(pages: &[Buf], imprint: &Imprint<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut digest = Sha256::new();
    digest.update(imprint.title);
    for page in pages {
        digest.update(page.as_slice());
    }
    for one in imprint.attachments {
        digest.update(&one.content);
    }
    let identity: Vec<u8> = digest.finalize().iter().copied().take(16).collect();
    (identity.clone(), identity)
}
