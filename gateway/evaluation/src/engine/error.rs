//! Why a module is refused, and why a run has no output.

use std::fmt;

use wasmi::TrapCode;
use wasmi::errors::{ErrorKind, HostError};

/// The reason why a module is not run at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// It computes with floats.
    #[error("the module computes with floats")]
    Floats,
    /// It would run code when it is loaded.
    #[error("the module has a start function")]
    StartFunction,
    /// It has more functions, globals, tables or segments than the engine is to take.
    #[error("the module is larger than the engine takes: {said}")]
    TooLarge {
        /// What the engine said.
        said: String,
    },
    /// It is malformed, invalid, or uses what the interface leaves out.
    #[error("the module is not valid: {said}")]
    Invalid {
        /// What the engine said.
        said: String,
    },
    /// It imports something else than the two functions of the host.
    #[error("the module imports {name}, which the host does not offer")]
    Import {
        /// The import, as `module.name`.
        name: String,
    },
    /// It does not export what the interface asks for, or with another type.
    #[error("the module does not export {name} as the interface asks for")]
    Export {
        /// The export.
        name: &'static str,
    },
    /// Its memory has no stated maximum.
    #[error("the module does not bound its memory")]
    MemoryUnbounded,
    /// Its memory may grow above the limit.
    #[error("the module states {pages} pages of memory, more than {limit}")]
    Memory {
        /// The stated maximum.
        pages: u64,
        /// The limit.
        limit: u64,
    },
}

impl ModuleError {
    /// Returns the stable code for logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Floats => "floats",
            Self::StartFunction => "start-function",
            Self::TooLarge { .. } => "module-too-large",
            Self::Invalid { .. } => "module-invalid",
            Self::Import { .. } => "unknown-import",
            Self::Export { .. } => "missing-export",
            Self::MemoryUnbounded => "memory-unbounded",
            Self::Memory { .. } => "memory-above-limit",
        }
    }

    /// Names what the engine refuses. It tells floats and start functions only in words, which tests hold it to.
    pub(super) fn of(error: &wasmi::Error) -> Self {
        let said = error.to_string();
        if said.contains("floating-point") {
            return Self::Floats;
        }
        match error.kind() {
            ErrorKind::UserLimits(_) if said.contains("start") => Self::StartFunction,
            ErrorKind::UserLimits(_) | ErrorKind::ImplementationLimits(_) => Self::TooLarge { said },
            _ if said.contains("start function") => Self::StartFunction,
            _ => Self::Invalid { said },
        }
    }
}

/// The reason why a run has no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The module could not be made an instance of, or lost an export that was checked.
    #[error("the module could not be set up")]
    Instance,
    /// Its tables or its data do not fit their place, or are larger than the host permits.
    #[error("the module asks for more table or memory than the host gives, or fills them out of bounds")]
    InstanceTooLarge,
    /// The guest is written for another version of the interface.
    #[error("the application says that it is of version {found} of the interface")]
    Version {
        /// What it said.
        found: i32,
    },
    /// The guest has no place for the input.
    #[error("the application gave no place for its input")]
    InputPlace,
    /// The guest names a place for its output that lies outside its memory.
    #[error("the application's output lies outside its memory")]
    OutputPlace,
    /// The output is longer than the interface permits.
    #[error("the application wrote {bytes} bytes, more than the interface permits")]
    OutputTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The fuel is used up.
    #[error("the application ran out of fuel after {taken}")]
    OutOfFuel {
        /// The fuel that it took.
        taken: u64,
    },
    /// The caller has stopped the run.
    #[error("the application was stopped after {taken} units of fuel")]
    Stopped {
        /// The fuel that it took.
        taken: u64,
    },
    /// The guest did something that no program may.
    #[error("the application failed: {trap}")]
    Trap {
        /// What it did.
        trap: Trap,
    },
    /// The guest gave up and says why.
    #[error("the application gave up with code {code}: {text}")]
    GaveUp {
        /// The application's own code.
        code: i32,
        /// Its words.
        text: String,
    },
}

/// What a guest did that no program may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// It called functions too deep.
    Recursion,
    /// It reached outside its memory.
    OutOfBounds,
    /// It reached outside its table, or called what is no function of that type.
    BadCall,
    /// It divided by zero, or a number had no place for its result.
    Arithmetic,
    /// It came to a point that it holds unreachable, as a panic does.
    Unreachable,
    /// Anything else that the engine stops.
    Other,
}

impl Trap {
    const fn of(code: TrapCode) -> Self {
        match code {
            TrapCode::StackOverflow => Self::Recursion,
            TrapCode::MemoryOutOfBounds => Self::OutOfBounds,
            TrapCode::TableOutOfBounds | TrapCode::IndirectCallToNull | TrapCode::BadSignature => {
                Self::BadCall
            }
            TrapCode::IntegerDivisionByZero
            | TrapCode::IntegerOverflow
            | TrapCode::BadConversionToInteger => Self::Arithmetic,
            TrapCode::UnreachableCodeReached => Self::Unreachable,
            TrapCode::OutOfFuel | TrapCode::GrowthOperationLimited | TrapCode::OutOfSystemMemory => {
                Self::Other
            }
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Recursion => "it calls functions too deep",
            Self::OutOfBounds => "it reaches outside its memory",
            Self::BadCall => "it calls what is no such function",
            Self::Arithmetic => "it divides by zero, or a number is too large",
            Self::Unreachable => "it panics",
            Self::Other => "the engine stops it",
        })
    }
}

impl RunError {
    /// Returns the stable code for logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::InstanceTooLarge => "instance-too-large",
            Self::Version { .. } => "interface-version",
            Self::InputPlace => "input-place",
            Self::OutputPlace => "output-place",
            Self::OutputTooLong { .. } => "output-too-long",
            Self::OutOfFuel { .. } => "out-of-fuel",
            Self::Stopped { .. } => "stopped",
            Self::GaveUp { .. } => "gave-up",
            Self::Trap { trap } => match trap {
                Trap::Recursion => "recursion",
                Trap::OutOfBounds => "out-of-bounds",
                Trap::BadCall => "bad-call",
                Trap::Arithmetic => "arithmetic",
                Trap::Unreachable => "panic",
                Trap::Other => "trap",
            },
        }
    }

    /// Names what ended a call.
    pub(super) fn of_call(error: &wasmi::Error, taken: u64) -> Self {
        if let Some(GuestFailure { code, text }) = error.downcast_ref::<GuestFailure>() {
            return Self::GaveUp {
                code: *code,
                text: text.clone(),
            };
        }
        match error.as_trap_code() {
            Some(TrapCode::OutOfFuel) => Self::OutOfFuel { taken },
            Some(code) => Self::Trap { trap: Trap::of(code) },
            None => Self::Trap { trap: Trap::Other },
        }
    }

    /// Names why there is no instance.
    pub(super) fn of_instance(error: &wasmi::Error) -> Self {
        match error.kind() {
            ErrorKind::TrapCode(_)
            | ErrorKind::Memory(_)
            | ErrorKind::Table(_)
            | ErrorKind::Instantiation(_) => Self::InstanceTooLarge,
            _ => Self::Instance,
        }
    }
}

/// The end of a run that the guest asked for.
#[derive(Debug)]
pub(super) struct GuestFailure {
    pub(super) code: i32,
    pub(super) text: String,
}

impl fmt::Display for GuestFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the application gave up with code {}", self.code)
    }
}

impl HostError for GuestFailure {}
