//! The catalogue in German, for the pages of the local web; a test sees to it that no code is left out.

mod card;
mod device;
mod events;
mod examination;

/// A code, its cause and its remedy.
type Text = (&'static str, &'static str, &'static str);

/// Finds cause and remedy of a code.
pub(super) fn find(code: &str) -> Option<(&'static str, &'static str)> {
    let parts = [card::ALL, device::ALL, examination::ALL, events::ALL];
    let mut texts = parts.into_iter().flatten();
    let (_, cause, remedy) = texts.find(|(known, ..)| *known == code)?;
    Some((cause, remedy))
}

/// Returns the codes that have a text, to be compared with the catalogue.
#[cfg(test)]
pub(super) fn codes() -> impl Iterator<Item = &'static str> {
    let parts = [card::ALL, device::ALL, examination::ALL, events::ALL];
    parts.into_iter().flatten().map(|(code, ..)| *code)
}
