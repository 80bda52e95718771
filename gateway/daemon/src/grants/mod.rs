//! Who may have what: the consumer's restrictions, when something was asked for, and what both are shown as.

mod pace;
mod restrictions;
mod view;

pub(crate) use pace::{Pace, Pacing};
pub(crate) use restrictions::{NewRestriction, Restrictions, RestrictionsFault};
pub(crate) use view::{ExplanationView, GrantsView, LiftedView, RestrictionView, SupplierView};
