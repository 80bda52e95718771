//! What a telegram says, written out for programs (one line of JSON) or for people (a table).
//!
//! The texts are built by hand into one string, because a gateway shows many telegrams and the
//! general ways cost several times as much. The form of the JSON is described in the README.

mod json;
mod table;
mod words;

pub use json::{json_error, json_line};
pub use table::{table, table_error};
