//! The catalogue against the sources: what is used stands in it, once, and says something.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// The length of a code.
const LENGTH: usize = "SMGW-X-0000".len();

/// Crates whose codes are those of the gateway. What others have in their tests are made-up ones.
const SOURCES: [&str; 9] = [
    "gateway/authorization",
    "gateway/broker",
    "gateway/card",
    "gateway/daemon",
    "gateway/evaluation",
    "gateway/model",
    "gateway/store",
    "meters",
    "systemd",
];

fn is_code(text: &str) -> bool {
    let bytes = text.as_bytes();
    let [b'S', b'M', b'G', b'W', b'-', kind, b'-', number @ ..] = bytes else {
        return false;
    };
    kind.is_ascii_uppercase() && number.len() == 4 && number.iter().all(u8::is_ascii_digit)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|kind| kind == "rs" || kind == "html")
        {
            files.push(path);
        }
    }
}

/// Returns every code that the sources name, with a file that names it.
fn named() -> BTreeMap<String, PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in SOURCES {
        collect(&root.join(folder), &mut files);
    }
    let mut found = BTreeMap::new();
    // The codes that this file makes up are none.
    for file in files.into_iter().filter(|file| !file.ends_with("codes/tests.rs")) {
        let text = fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices("SMGW-") {
            if let Some(code) = text.get(at..at + LENGTH).filter(|code| is_code(code)) {
                found.insert(code.to_owned(), file.clone());
            }
        }
    }
    found
}

#[test]
fn every_code_of_the_sources_is_in_the_catalogue() {
    let known: BTreeSet<_> = all().map(|code| code.code).collect();
    let named = named();
    assert!(named.len() > 100, "{}", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|(code, _)| !known.contains(code.as_str()))
        .collect();
    assert_eq!(missing, [] as [(&String, &PathBuf); 0]);
}

#[test]
fn every_code_stands_once_and_says_its_cause_and_its_remedy_in_sentences() {
    let mut codes = BTreeSet::new();
    let mut causes = BTreeSet::new();
    for Code { code, cause, remedy } in all() {
        assert!(is_code(code), "{code}");
        assert!(codes.insert(code), "{code} stands twice");
        assert!(causes.insert(cause), "{code} has the cause of another one");
        for text in [cause, remedy] {
            assert!(text.ends_with('.') && text.len() > 10, "{code}: {text}");
            assert!(text.chars().next().unwrap().is_uppercase(), "{code}: {text}");
        }
    }
}

#[test]
fn code_is_found_however_it_is_typed() {
    for typed in ["SMGW-C-0101", "smgw-c-0101", "c-0101", " C-0101 "] {
        assert_eq!(find(typed), Some(card::NO_CARD), "{typed}");
    }
    for unknown in ["", "SMGW-", "SMGW-Z-9999", "0101"] {
        assert_eq!(find(unknown), None, "{unknown}");
    }
}

#[test]
fn every_code_is_told_in_german_too() {
    let known: BTreeSet<_> = all().map(|code| code.code).collect();
    let mut german = BTreeSet::new();
    for code in german::codes() {
        assert!(known.contains(code), "{code} is none");
        assert!(german.insert(code), "{code} stands twice");
    }
    let mut causes = BTreeSet::new();
    for code in all() {
        let (cause, remedy) = code.german();
        for (text, english) in [(cause, code.cause), (remedy, code.remedy)] {
            assert_ne!(text, english, "{} has no German text", code.code);
            assert!(text.ends_with('.') && text.len() > 10, "{}: {text}", code.code);
        }
        assert!(causes.insert(cause), "{} has the cause of another one", code.code);
    }
}

#[test]
fn catalogue_is_listed_whole() {
    let document = serde_json::to_value(CatalogueView::of(all())).unwrap();
    assert_eq!(document["schema"], "smgw.codes/1");
    assert_eq!(document["codes"][0]["kind"], "state");
    assert_eq!(document["codes"].as_array().unwrap().len(), all().count());
}
