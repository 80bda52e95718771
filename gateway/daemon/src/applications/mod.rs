//! Energy applications at work: those of the bundle in force run on what is registered, window by window.
//!
//! A window is evaluated when it is over and its readings are in, and once more when readings come late. What comes of it is
//! stored together with what it was made of, in one transaction. An application that fails is named in the system log and
//! left alone for a while; metering goes on whatever it does. One whose author's certificate is revoked makes nothing any more;
//! what it has made stays, and can be explained.

mod assigned;
mod due;
mod evaluate;
mod explain;
mod given;
mod input;
mod task;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use assigned::{Assigned, AssignmentFault, Frame, check_assignments, manifest_of, revoked_author};
pub(crate) use explain::{Explainer, Refusal};
pub(crate) use task::{ApplicationsTask, EvaluationFailed, Host, name_of as application_name};
pub(crate) use view::{AppsView, ExplanationView, RunView};
