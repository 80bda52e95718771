use jiff::civil::date;
use proptest::prelude::*;

use super::*;

fn numbered(page: usize, pages: usize) -> String {
    format!("{page} of {pages}")
}

fn imprint<'a>(attachments: &'a [Attachment<'a>]) -> Imprint<'a> {
    Imprint {
        title: "Prüfung",
        language: "de",
        producer: "test",
        made: date(2026, 11, 30).at(12, 0, 0, 0),
        foot: "Foot",
        numbered: &numbered,
        attachments,
    }
}

/// Returns a file as Latin-1, what is shown in parentheses also where it stands in hexadecimal digits.
pub(in super::super) fn readable(file: Vec<u8>) -> String {
    let text: String = file.into_iter().map(char::from).collect();
    let mut parts = text.split('<');
    let mut readable = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let shown = part.split_once("> Tj").and_then(|(digits, rest)| {
            let shown: String = hex::decode(digits).ok()?.into_iter().map(char::from).collect();
            Some(format!("({shown}) Tj{rest}"))
        });
        readable.push_str(&shown.unwrap_or_else(|| format!("<{part}")));
    }
    readable
}

fn file(paper: Paper, attachments: &[Attachment<'_>]) -> String {
    readable(paper.finish(&imprint(attachments)).unwrap())
}

fn rows(count: usize) -> Vec<[String; 2]> {
    (0..count)
        .map(|row| {
            [
                format!("meter-{row}"),
                "a description of several words".to_owned(),
            ]
        })
        .collect()
}

#[test]
fn long_table_goes_over_pages_that_each_have_its_head_and_their_number() {
    let mut paper = Paper::new();
    paper.heading(Style::Title, "Zähler");
    paper.table([("Name", 50), ("What it is", 50)], &rows(150));
    let file = file(paper, &[]);
    let pages = file.matches("/Type /Page\n").count();
    assert!((2..=5).contains(&pages), "{pages}");
    assert_eq!(file.matches("(What it is) Tj").count(), pages);
    for page in 1..=pages {
        assert!(file.contains(&format!("({page} of {pages}) Tj")), "{page}");
    }
    for row in 0..150 {
        assert_eq!(file.matches(&format!("(meter-{row}) Tj")).count(), 1, "{row}");
    }
    assert!(file.contains("/Lang (de)") && file.contains("(Z\u{e4}hler) Tj"));
}

#[test]
fn same_document_is_the_same_file_and_another_one_has_another_identity() {
    let set = |text: &str| {
        let mut paper = Paper::new();
        paper.text(Style::Plain, text);
        let content = text.as_bytes().to_vec();
        let one = Attachment {
            name: "a.json",
            media_type: "application#2Fjson",
            description: "Anhang",
            content,
        };
        file(paper, &[one])
    };
    let first = set("one");
    assert_eq!(first, set("one"));
    let identity = |file: &str| {
        file.split_once("/ID [")
            .map(|(_, rest)| rest[..40].to_owned())
            .unwrap()
    };
    assert_ne!(identity(&first), identity(&set("two")));
    assert!(first.contains("(a.json)") && first.contains("one\nendstream"));
}

#[test]
fn document_that_is_too_long_is_refused_and_not_cut() {
    let mut paper = Paper::new();
    for _ in 0..MOST_PAGES * 70 {
        paper.text(Style::Plain, "line");
    }
    assert!(paper.finish(&imprint(&[])).is_err());
}

#[test]
fn words_that_are_wider_than_a_line_are_broken_and_nothing_is_lost() {
    let mut lines = Vec::new();
    break_line(Style::Fixed, 500, b"0123456789abcdef 01 23", &mut lines);
    assert_eq!(
        lines,
        [b"0123456789".to_vec(), b"abcdef 01".to_vec(), b"23".to_vec()]
    );
    let mut paper = Paper::new();
    let lines = paper.broken(Style::Plain, 5_000, "one\r\ntwo\nЖ");
    assert_eq!(lines, [b"one".to_vec(), b"two".to_vec(), b"[U+0416]".to_vec()]);
    assert!(!paper.has_all());
}

#[test]
fn what_stands_beside_a_code_ends_before_it_and_what_comes_below_has_the_whole_width() {
    let code = QrCode::new("fd5a:5d5e:aaaa:bbbb:cccc:dddd:eeee:ffff").unwrap();
    let dark = code
        .to_colors()
        .iter()
        .filter(|color| **color == Color::Dark)
        .count();
    let mut paper = Paper::new();
    paper.code(&code);
    assert!(paper.right() < RIGHT - 700);
    paper.heading(Style::Heading, "below");
    assert_eq!(paper.right(), RIGHT);
    assert!(paper.top > MARGIN + 700);
    let file = file(paper, &[]);
    assert_eq!(file.matches(" re\n").count(), dark);
}

proptest! {
    #[test]
    fn any_text_is_set_within_the_page(text in any::<String>(), width in 0_u16..6_000) {
        let mut paper = Paper::new();
        let lines = paper.broken(Style::Plain, width, &text);
        for line in &lines {
            prop_assert!(line.len() <= 1 || width_of(Style::Plain, line) <= width);
        }
        paper.heading(Style::Heading, &text);
        paper.fact(&text, Style::Fixed, &text);
        paper.table([(text.as_str(), 30), ("b", 70)], &[[text.clone(), text.clone()]]);
        prop_assert!(paper.finish(&imprint(&[])).is_ok());
    }
}
