//! Where in its text a fault of a profile is.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ProfileError, ProfileFault};

/// The text of a profile, for finding the line and the field of a fault.
#[derive(Clone, Copy)]
pub(super) struct Locator<'a>(pub(super) &'a str);

impl Locator<'_> {
    /// Returns the line, counted from 1, in which the span begins.
    pub(super) fn line_of(self, span: &Range<usize>) -> usize {
        let before = self.0.bytes().take(span.start);
        before.filter(|byte| *byte == b'\n').count().saturating_add(1)
    }

    pub(super) fn error(self, span: &Range<usize>, key: Option<&str>, fault: ProfileFault) -> ProfileError {
        let mut field = self.field_at(span.start);
        if let Some(key) = key {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(key);
        }
        ProfileError {
            line: self.line_of(span),
            field,
            fault: Box::new(fault),
        }
    }

    /// Names a fault of the field with that path; if it is not there, its line is that of what it belongs to.
    pub(super) fn error_in(self, path: &str, fault: ProfileFault) -> ProfileError {
        let span = DeTable::parse(self.0).ok().and_then(|table| {
            // The descent ends: each step takes one part of the path.
            let mut place = None;
            let mut inner = Inner::Table(table.get_ref());
            for part in parts(path) {
                let Some(value) = inner.part(part) else { break };
                place = Some(value.span());
                inner = Inner::of(value.get_ref());
            }
            place
        });
        ProfileError {
            line: self.line_of(&span.unwrap_or(0..0)),
            field: path.to_owned(),
            fault: Box::new(fault),
        }
    }

    /// Names a fault of the text's form.
    pub(super) fn form_error(self, source: toml::de::Error) -> ProfileError {
        let span = source.span().unwrap_or(0..0);
        // The parser says which key it misses, but the place that it names is what misses it.
        let missing = source
            .message()
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next())
            .map(str::to_owned);
        let mut field = self.field_at(span.start);
        if let Some(missing) = missing {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(&missing);
        }
        if field.is_empty() {
            field = self.key_above(span.start);
        }
        ProfileError {
            line: self.line_of(&span),
            field,
            fault: Box::new(ProfileFault::Form(source)),
        }
    }

    /// Returns the last key that begins a line up to that byte, for a text that is no TOML.
    fn key_above(self, byte: usize) -> String {
        let end = self.line_of(&(byte..byte));
        let keys = self.0.lines().take(end).filter_map(|line| {
            let line = line.trim_start();
            let is_comment = line.starts_with('#');
            let header = line.trim_matches(['[', ']']).trim();
            let key = line.split_once('=').map(|(key, _)| key.trim());
            let key = key.or_else(|| line.starts_with('[').then_some(header))?;
            let is_key = |letter: char| letter.is_ascii_alphanumeric() || "_-.\"".contains(letter);
            let is_plain = !key.is_empty() && key.chars().all(is_key);
            (!is_comment && is_plain).then(|| key.to_owned())
        });
        keys.last().unwrap_or_else(|| "the whole text".to_owned())
    }

    /// Returns the path of the innermost field at that byte, such as `registers[3].scale`; an empty
    /// text at the top, and in a text that is no TOML.
    fn field_at(self, byte: usize) -> String {
        // The descent ends: each step goes into a value within the last one.
        DeTable::parse(self.0).map_or_else(|_| String::new(), |table| table_path(table.get_ref(), byte))
    }
}

/// What has fields or entries.
enum Inner<'a, 'b> {
    Table(&'a DeTable<'b>),
    Array(&'a [Spanned<DeValue<'b>>]),
    Neither,
}

impl<'a, 'b> Inner<'a, 'b> {
    fn of(value: &'a DeValue<'b>) -> Self {
        match value {
            DeValue::Table(table) => Self::Table(table),
            DeValue::Array(array) => Self::Array(array),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => Self::Neither,
        }
    }

    fn part(&self, part: &str) -> Option<&'a Spanned<DeValue<'b>>> {
        match self {
            Self::Table(table) => {
                let found = table.iter().find(|(key, _)| key.get_ref().as_ref() == part);
                found.map(|(_, value)| value)
            }
            Self::Array(array) => array.get(part.parse::<usize>().ok()?),
            Self::Neither => None,
        }
    }
}

/// Takes a path such as `self_tests[0].elements` apart.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[', ']']).filter(|part| !part.is_empty())
}

fn table_path(table: &DeTable<'_>, byte: usize) -> String {
    let found = table
        .iter()
        .find(|(key, value)| key.span().contains(&byte) || holds(value, byte));
    found.map_or_else(String::new, |(key, value)| {
        let rest = value_path(value.get_ref(), byte);
        let separator = if rest.is_empty() || rest.starts_with('[') {
            ""
        } else {
            "."
        };
        format!("{}{separator}{rest}", key.get_ref())
    })
}

fn value_path(value: &DeValue<'_>, byte: usize) -> String {
    match value {
        DeValue::Table(table) => table_path(table, byte),
        DeValue::Array(array) => {
            let found = array.iter().enumerate().find(|(_, value)| holds(value, byte));
            found.map_or_else(String::new, |(index, value)| {
                let rest = value_path(value.get_ref(), byte);
                let separator = if rest.is_empty() || rest.starts_with('[') {
                    ""
                } else {
                    "."
                };
                format!("[{index}]{separator}{rest}")
            })
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => String::new(),
    }
}

/// Returns whether the byte lies in the value. The span of a `[table]` is its header alone, so its
/// contents are looked at too.
fn holds(value: &Spanned<DeValue<'_>>, byte: usize) -> bool {
    if value.span().contains(&byte) {
        return true;
    }
    match value.get_ref() {
        DeValue::Table(table) => table
            .iter()
            .any(|(key, value)| key.span().contains(&byte) || holds(value, byte)),
        DeValue::Array(array) => array.iter().any(|value| holds(value, byte)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "a = 1\nb = [\n  { c = 2 },\n  { c = [3, 4] },\n]\n[d]\ne = 5\n[[f]]\ng = 6\n[[f]]\ng = { h = 7 }\n";

    #[test]
    fn fields_are_found_by_their_place() {
        let locator = Locator(TEXT);
        for (text, path, line) in [
            ("a = 1", "a", 1),
            ("2", "b[0].c", 3),
            ("4", "b[1].c[1]", 4),
            ("5", "d.e", 7),
            ("6", "f[0].g", 9),
            ("7", "f[1].g.h", 11),
        ] {
            let start = TEXT.find(text).unwrap();
            let error = locator.error(&(start..start), None, ProfileFault::UnitIds);
            assert_eq!((error.field.as_str(), error.line), (path, line));
        }
    }

    #[test]
    fn a_text_that_is_no_toml_has_no_fields() {
        let error = Locator("a = ").error(&(4..4), None, ProfileFault::UnitIds);
        assert_eq!((error.field.as_str(), error.line), ("", 1));
        assert_eq!(error.to_string(), "line 1");
    }
}
