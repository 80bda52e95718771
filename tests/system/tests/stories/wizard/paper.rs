//! The report as PDF, which programs of others read: poppler, qpdf, zbar and OpenSSL.

use std::path::{Path, PathBuf};

use serde_json::Value;
use system::{Command, Program, Stage};

use super::Phone;

/// Runs a program of others, and returns what it has printed.
fn run(stage: &Stage, program: &'static str, arguments: &[&Path]) -> String {
    let mut command = Command::new(program, Path::new(program));
    for argument in arguments {
        command = command.arg(argument);
    }
    let finished = stage.run(&command).unwrap();
    let printed = finished.lines.join("\n");
    assert_eq!(
        finished.code,
        Some(0),
        "{program}: {printed} {}",
        finished.log_text().unwrap()
    );
    printed
}

/// Lets qpdf judge a file, and returns its text as poppler reads it, line breaks as blanks.
pub(crate) fn text_of(stage: &Stage, file: &Path) -> String {
    run(stage, "qpdf", &[Path::new("--check"), file]);
    let text = run(stage, "pdftotext", &[Path::new("-layout"), file, Path::new("-")]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Checks the PDF against the page and what the card has signed.
pub(super) fn is_what_the_page_shows(phone: &Phone<'_>, signed: &Value) {
    let stage = &phone.site.stage;
    let from_page = stage.path("from-page.pdf");
    let target = from_page.to_str().unwrap();
    let browser = phone
        .browser
        .saving(&["--no-include", "--dump-header", "-", "--output", target]);
    let answer = browser.get("/wizard/report.pdf");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/pdf"))
    );
    let [english, german] = ["en", "de"].map(|language| written(stage, &phone.site.config, language));
    let bytes = |file: &Path| std::fs::read(file).unwrap();
    assert!(
        bytes(&from_page) == bytes(&english),
        "the same report is the same file"
    );

    let guid = phone.site.card.guid.as_str();
    let info = run(stage, "pdfinfo", &[&english]);
    assert!(
        info.contains(&format!("Installation report  {guid}")) && info.contains("(A4)"),
        "{info}"
    );
    let json = run(stage, "qpdf", &[Path::new("--json"), &german]);
    assert!(
        json.contains("\"/Lang\": \"u:de\"") || json.contains("\"/Lang\": \"de\""),
        "{json}"
    );
    sentences(phone, &text_of(stage, &english));
    let text = text_of(stage, &german);
    for part in ["Prüfung der Signatur", "Verglichen", "Seite 1 von"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    code(stage, &english, guid);
    attachments(stage, &english, signed);
}

/// Every name and remedy on the page stands on paper too.
fn sentences(phone: &Phone<'_>, text: &str) {
    let page = phone.page("report").body;
    let (_, article) = page.split_once("<article>").unwrap();
    let (article, _) = article.split_once("</article>").unwrap();
    let mut count = 0;
    // Between two tags there is text.
    for piece in article.split(['<', '>']).step_by(2) {
        let piece = piece
            .replace("&#38;", "&")
            .replace("&#39;", "'")
            .replace("&#34;", "\"");
        // What is wider than its column is broken on paper; such words are not.
        for word in piece.split_whitespace().filter(|word| word.len() < 12) {
            let word = word.trim_end_matches(':');
            assert!(text.contains(word), "{word} of {piece} is missing in {text}");
            count += 1;
        }
    }
    assert!(count > 50, "{count} words are on the page");
}

/// A phone reads the GUID from paper.
fn code(stage: &Stage, file: &Path, guid: &str) {
    let picture = stage.path("page");
    let options = ["-png", "-r", "150", "-f", "1", "-l", "1", "-singlefile"].map(Path::new);
    run(
        stage,
        "pdftoppm",
        &[options.as_slice(), &[file, &picture]].concat(),
    );
    let read = run(
        stage,
        "zbarimg",
        &[
            Path::new("--quiet"),
            Path::new("--raw"),
            // Other kinds of codes are seen in text.
            Path::new("-Sdisable"),
            Path::new("-Sqrcode.enable"),
            &picture.with_extension("png"),
        ],
    );
    assert_eq!(read.trim(), guid);
}

/// The document alone is enough to check what the card has signed.
fn attachments(stage: &Stage, file: &Path, signed: &Value) {
    let folder = stage.path("attached");
    std::fs::create_dir(&folder).unwrap();
    let options = ["-saveall", "-o"].map(Path::new);
    run(
        stage,
        "pdfdetach",
        &[options.as_slice(), &[folder.as_path(), file]].concat(),
    );
    let report = folder.join("report.json");
    assert_eq!(
        std::fs::read_to_string(&report).unwrap(),
        signed["report"].as_str().unwrap()
    );
    let script = "cd \"$1\" && openssl x509 -inform DER -in report.der -noout -pubkey > report.pub && \
                  openssl dgst -sha256 -verify report.pub -signature report.sig report.json";
    let told = run(
        stage,
        "sh",
        &[Path::new("-c"), Path::new(script), Path::new("sh"), &folder],
    );
    assert!(told.contains("Verified OK"), "{told}");
}

/// Has the command line write the report that was made last.
pub(crate) fn written(stage: &Stage, config: &Path, language: &str) -> PathBuf {
    let file = stage.path(&format!("report-{language}.pdf"));
    let command = stage.command(Program::Smgw, "report").arg("--installation");
    let command = command.arg("--language").arg(language).arg("--out").arg(&file);
    let finished = stage.run(&command.option("--config", config)).unwrap();
    assert_eq!(finished.code, Some(0), "{}", finished.log_text().unwrap());
    file
}
