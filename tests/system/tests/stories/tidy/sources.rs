//! The rules about source files and the top level of the repository.

use std::collections::BTreeMap;

use super::table::{MOST_LINES, MOST_LINES_OF_TESTS, NEVER_IN_PURE_SOURCE, TOP_LEVEL};

/// Rust files and what is in them, by their paths from the top of the repository.
pub(super) type Sources = BTreeMap<String, String>;

/// How deep modules may be nested before the search for their declarations gives up.
const DEEPEST: usize = 16;

/// Returns whether the file is compiled for tests only.
///
/// That are the integration tests of a crate, and modules that their parent, or one of its parents,
/// declares as `#[cfg(test)] mod name;`.
pub(super) fn is_test_code(file: &str, sources: &Sources) -> bool {
    if file.contains("/tests/") && !file.contains("/src/") {
        return true;
    }
    let mut module = file.to_owned();
    for _ in 0..DEEPEST {
        let Some((parent, name)) = declaration(&module, sources) else {
            return false;
        };
        if declares_for_tests(&sources[&parent], &name) {
            return true;
        }
        module = parent;
    }
    false
}

/// Returns the file that declares the module in `file`, and the module's name.
fn declaration(file: &str, sources: &Sources) -> Option<(String, String)> {
    let (folder, name) = file.strip_suffix(".rs")?.rsplit_once('/')?;
    let (folder, name) = match name {
        "mod" => folder.rsplit_once('/')?,
        "lib" | "main" => return None,
        name => (folder, name),
    };
    let parents = ["/mod.rs", ".rs", "/lib.rs", "/main.rs"].map(|end| format!("{folder}{end}"));
    let parent = parents.into_iter().find(|parent| sources.contains_key(parent))?;
    Some((parent, name.to_owned()))
}

fn declares_for_tests(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().collect();
    let declared = format!("mod {name};");
    (0..lines.len()).any(|index| only_for_tests(&lines, index).is_some_and(|item| item.ends_with(&declared)))
}

/// Returns the first line of the item behind `#[cfg(test)]`, if that stands in the line `index`.
fn only_for_tests<'a>(lines: &[&'a str], index: usize) -> Option<&'a str> {
    if lines[index].trim() != "#[cfg(test)]" {
        return None;
    }
    let mut behind = lines[index + 1..].iter().map(|line| line.trim());
    behind.find(|line| !line.starts_with("#["))
}

/// Returns the part of a Rust file that is not its unit tests.
///
/// Unit tests begin at the first line `#[cfg(test)]` that is followed by a module with a body
/// (`mod tests {`), and go on to the end of the file: clippy's `items_after_test_module` sees to it
/// that nothing else follows. A mere declaration (`mod tests;`) ends nothing.
pub(super) fn without_tests(source: &str) -> Vec<&str> {
    let lines: Vec<&str> = source.lines().collect();
    let begins_tests = |index: usize| {
        only_for_tests(&lines, index).is_some_and(|item| item.contains("mod ") && item.ends_with('{'))
    };
    let end = (0..lines.len()).find(|&index| begins_tests(index));
    lines[..end.unwrap_or(lines.len())].to_vec()
}

/// A file has at most [`MOST_LINES`] lines, its unit tests apart; one of tests only has at most
/// [`MOST_LINES_OF_TESTS`].
pub(super) fn too_long(file: &str, source: &str, only_tests: bool) -> Option<String> {
    let (lines, most) = if only_tests {
        (source.lines().count(), MOST_LINES_OF_TESTS)
    } else {
        (without_tests(source).len(), MOST_LINES)
    };
    (lines > most)
        .then(|| format!("{file} has {lines} lines, {most} at most, unit tests apart: split it by thought"))
}

/// A source of a pure crate mentions no clock, file, socket, process or randomness.
///
/// Lines that are comments do not count. `use std::{fs, …}` counts like `use std::fs`.
pub(super) fn impurities(file: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in without_tests(source).into_iter().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        let line = ungrouped(line);
        for word in NEVER_IN_PURE_SOURCE.iter().filter(|word| line.contains(*word)) {
            faults.push(format!(
                "{file}:{} mentions {word}: the crate is pure; take the value as an argument",
                index + 1
            ));
        }
    }
    faults
}

/// Writes `use std::{a, b};` as `std::a std::b`, so that a group hides nothing.
fn ungrouped(line: &str) -> String {
    let Some((_, group)) = line.split_once("std::{") else {
        return line.to_owned();
    };
    let members = group.split([',', '{', '}', ';']).map(str::trim);
    members.map(|member| format!("std::{member} ")).collect()
}

/// The top level holds what the design names, and dotfiles.
pub(super) fn out_of_place(files: &[String]) -> Vec<String> {
    let mut tops: Vec<&str> = files.iter().filter_map(|file| file.split('/').next()).collect();
    tops.sort_unstable();
    tops.dedup();
    tops.into_iter()
        .filter(|top| !top.starts_with('.') && !TOP_LEVEL.contains(top))
        .map(|top| format!("{top} does not belong at the top level: move it into a folder of the house"))
        .collect()
}
