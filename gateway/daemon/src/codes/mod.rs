//! The catalogue of codes: one cause, one remedy and one stable code for whatever can be wrong, or happens.
//!
//! What the web, the command line, the log and the report say of a code comes from here: `SMGW-S` is a state, `SMGW-C` is in the
//! way of the card or the binding, `SMGW-F` was found on the device while it runs, `SMGW-D` by an examination
//! ([`crate::doctor`]), and `SMGW-L` is an event of a log. A code is never given to anything else, and never taken back.

pub(crate) mod card;
mod catalogue;
pub(crate) mod device;
mod events;
pub(crate) mod examination;
mod german;
mod view;

use model::GatewayState;

use crate::local::web::german_of;

pub(crate) use catalogue::message_id;
#[cfg(feature = "manual")]
pub(crate) use catalogue::render as catalogue;
pub(crate) use view::CatalogueView;

/// What a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    /// The code, as in `SMGW-C-0101`.
    pub(crate) code: &'static str,
    /// The cause, as a sentence; what was found says the particulars.
    pub(crate) cause: &'static str,
    /// What to do about it, as a sentence or two.
    pub(crate) remedy: &'static str,
}

/// Names the codes of a part of the catalogue, and lists them.
macro_rules! codes {
    ($($name:ident = $code:literal, $cause:literal, $remedy:expr;)*) => {
        $(
            #[doc = concat!("`", $code, "`: ", $cause)]
            pub(crate) const $name: $crate::codes::Code = $crate::codes::Code {
                code: $code,
                cause: $cause,
                remedy: $remedy,
            };
        )*

        /// Every code of this part.
        pub(super) const ALL: &[$crate::codes::Code] = &[$($name),*];
    };
}

use codes;

/// Returns the whole catalogue: states, card, device, examination, events.
pub(crate) fn all() -> impl Iterator<Item = Code> {
    let states = GatewayState::ALL.into_iter().map(Code::from);
    let parts = [card::ALL, device::ALL, examination::ALL, events::ALL];
    states.chain(parts.into_iter().flatten().copied())
}

/// Finds what a code stands for; small letters will do, and so does the code without `SMGW-`.
pub(crate) fn find(code: &str) -> Option<Code> {
    let wanted = code.trim().to_ascii_uppercase();
    let wanted = wanted.strip_prefix("SMGW-").unwrap_or(&wanted);
    all().find(|known| known.code.strip_prefix("SMGW-") == Some(wanted))
}

impl From<GatewayState> for Code {
    fn from(state: GatewayState) -> Self {
        Self {
            code: state.code(),
            cause: state.cause(),
            remedy: state.remedy(),
        }
    }
}

impl Code {
    /// Returns cause and remedy in German. Every code has them, as a test sees to.
    pub(crate) fn german(self) -> (&'static str, &'static str) {
        let mut states = GatewayState::ALL.into_iter();
        let state = states.find(|state| state.code() == self.code);
        state
            .map(german_of)
            .or_else(|| german::find(self.code))
            .unwrap_or((self.cause, self.remedy))
    }

    /// Returns what kind of code it is.
    fn kind(self) -> &'static str {
        let mut parts = self.code.split('-');
        match parts.nth(1) {
            Some("S") => "state",
            Some("C") => "card",
            Some("F") => "device",
            Some("D") => "examination",
            _ => "event",
        }
    }
}

#[cfg(test)]
mod tests;
