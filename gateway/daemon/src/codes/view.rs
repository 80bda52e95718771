//! The catalogue as the command line and its JSON show it.

use std::fmt;

use serde::Serialize;

use super::Code;

/// The name of the schema and its version; additive within the version.
const SCHEMA: &str = "smgw.codes/1";

/// Some codes of the catalogue, or all of them.
#[derive(Debug, Serialize)]
pub(crate) struct CatalogueView {
    schema: &'static str,
    codes: Vec<CodeView>,
}

/// A code with what it stands for.
#[derive(Debug, Serialize)]
pub(crate) struct CodeView {
    code: &'static str,
    /// `state`, `card`, `device`, `examination` or `event`.
    kind: &'static str,
    cause: &'static str,
    remedy: &'static str,
    /// The same in German.
    german: GermanView,
}

#[derive(Debug, Serialize)]
struct GermanView {
    cause: &'static str,
    remedy: &'static str,
}

impl From<Code> for CodeView {
    fn from(code: Code) -> Self {
        let (cause, remedy) = code.german();
        Self {
            code: code.code,
            kind: code.kind(),
            cause: code.cause,
            remedy: code.remedy,
            german: GermanView { cause, remedy },
        }
    }
}

impl CatalogueView {
    /// Shows these codes.
    pub(crate) fn of(codes: impl Iterator<Item = Code>) -> Self {
        Self {
            schema: SCHEMA,
            codes: codes.map(CodeView::from).collect(),
        }
    }
}

impl fmt::Display for CodeView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}  {}", self.code, self.cause)?;
        writeln!(formatter, "             {}", self.remedy)?;
        let GermanView { cause, remedy } = &self.german;
        writeln!(formatter, "             {cause}")?;
        writeln!(formatter, "             {remedy}")
    }
}

impl fmt::Display for CatalogueView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.codes.iter().try_for_each(|code| write!(formatter, "{code}"))
    }
}
