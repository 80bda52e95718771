//! What an energy application reads and writes: the interface `smgw:tariff/1` for guests.
//!
//! An application is a function from an [`Input`] to an [`Output`], and `application!` makes a module of it:
//!
//! ```ignore
//! guest::application!(evaluate, room);
//!
//! fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> { … }
//! fn room(input: &Input<'_>) -> usize { … } // the most records that it writes
//! ```
//!
//! Everything is checked: no length of the input is believed, and no sum may overflow. There is no allocator and no float.
//! Natively the same function runs over slices, which is how the applications are tested.
#![cfg_attr(not(test), no_std)]
#![warn(missing_docs)]

mod input;
mod numbers;
mod output;
mod register;
#[cfg(target_arch = "wasm32")]
pub mod wasm;

pub use input::{Channel, Input, Parameter, Reading, Readings, Slot, Slots, GAP_BEFORE, SUBSTITUTE};
pub use numbers::{compare, power_of_ten, rescaled};
pub use output::{Output, Record, HEADER_BYTES, MAX_STATE_BYTES, RECORD_BYTES};
pub use register::{Stages, ERROR_STAGE, MAX_STAGE};

/// Why an application gives up: a code that its documentation lists, and words for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The code.
    pub code: i32,
    /// The words, English.
    pub text: &'static str,
}

impl Fault {
    /// The input is none of this interface.
    pub const INPUT: Self = Self::new(1, "the input is malformed");
    /// More records or state than there is room for.
    pub const ROOM: Self = Self::new(2, "there is no room for the output");
    /// A number has no place for its result.
    pub const OVERFLOW: Self = Self::new(3, "a number is too large");
    /// A register has run backwards: the meter was exchanged, or its counter began anew.
    pub const BACKWARDS: Self = Self::new(4, "a register ran backwards");
    /// A parameter is missing, or of another kind than the application's manifest says.
    pub const PARAMETER: Self = Self::new(5, "a parameter is missing or out of place");
    /// The calendar does not cover the readings, or names a stage that the application does not have.
    pub const CALENDAR: Self = Self::new(6, "the calendar does not cover the readings");
    /// The window is not one that the application may evaluate.
    pub const WINDOW: Self = Self::new(7, "the window is not one for this tariff");

    /// Makes a fault of the application's own; codes below 100 are those of this library.
    #[must_use]
    pub const fn new(code: i32, text: &'static str) -> Self {
        Self { code, text }
    }
}

/// Makes a WebAssembly module of an application: the exports of the interface, around its two functions.
#[macro_export]
macro_rules! application {
    ($evaluate:ident, $room:ident) => {
        #[cfg(target_arch = "wasm32")]
        mod exports {
            /// Returns the version of the interface.
            #[no_mangle]
            extern "C" fn abi_version() -> i32 {
                1
            }

            /// Gives a place for the input.
            #[no_mangle]
            extern "C" fn smgw_alloc(length: i32) -> i32 {
                $crate::wasm::alloc(length)
            }

            /// Evaluates the input at that place; returns `address << 32 | length` of the output.
            #[no_mangle]
            extern "C" fn evaluate(address: i32, length: i32) -> i64 {
                $crate::wasm::run(address, length, super::$evaluate, super::$room)
            }
        }
    };
}
