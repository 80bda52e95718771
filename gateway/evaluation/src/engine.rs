//! The engine: loads a module and runs it once, on integers only, with bounded fuel and memory.
//!
//! A module must export its memory as `memory` with a stated maximum, and the functions `abi_version: () -> i32`,
//! `smgw_alloc: (i32) -> i32` and `evaluate: (i32, i32) -> i64`; it may import `smgw1.log: (i32, i32, i32)` and
//! `smgw1.fail: (i32, i32, i32)` and nothing else. Every run has an instance of its own, so that nothing of one is seen
//! by the next but the state that it hands back.
//!
//! Fuel is what wasmi 2.0 counts, and the same on every processor. A run burns it in slices, and between two slices the
//! caller says whether to go on: that is the wall clock's place, which this crate does not read.

use wasmi::{
    Caller, CompilationMode, Config, EnforcedLimits, Engine, Extern, ExternType, FuncType, Instance, Linker,
    Memory, Store, StoreLimits, StoreLimitsBuilder, TypedFunc, TypedResumableCall, ValType, WasmParams,
    WasmResults,
};

use crate::interface::{NAMESPACE, VERSION};
use crate::limits::{
    FUEL_SLICE, MAX_CALL_DEPTH, MAX_LOG_BYTES, MAX_LOG_LINES, MAX_OUTPUT_BYTES, MAX_STACK_BYTES,
    MAX_TABLE_ELEMENTS,
};

mod error;

pub use error::{ModuleError, RunError, Trap};

/// The bytes of a page of the guest's memory.
const PAGE_BYTES: u64 = 65_536;

const MEMORY: &str = "memory";
const ABI_VERSION: &str = "abi_version";
const ALLOC: &str = "smgw_alloc";
const EVALUATE: &str = "evaluate";
const LOG: &str = "log";
const FAIL: &str = "fail";

/// A module that may be run.
#[derive(Debug, Clone)]
pub struct Module {
    module: wasmi::Module,
    memory_bytes: u32,
}

/// Whether a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// It does.
    On,
    /// It ends with [`RunError::Stopped`].
    Stop,
}

/// What came of a run, not yet held against the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The output blob.
    pub output: Vec<u8>,
    /// The fuel that it took.
    pub fuel: u64,
    /// The bytes of memory that the guest had at its end.
    pub memory_bytes: u64,
    /// What the guest logged.
    pub log: Vec<LogLine>,
    /// Whether it logged more than was kept.
    pub log_is_cut: bool,
}

/// A line that the guest logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How it is meant.
    pub level: LogLevel,
    /// The text; control characters and what is no UTF-8 are replaced.
    pub text: String,
}

/// How a line of the log is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// For whoever develops the application.
    Debug,
    /// For information.
    Info,
    /// Something is not as it should be.
    Warning,
}

impl LogLevel {
    /// Returns the level that a guest's number stands for; what is higher than it knows is a warning.
    #[must_use]
    pub const fn of(number: i32) -> Self {
        match number {
            0 => Self::Debug,
            1 => Self::Info,
            _ => Self::Warning,
        }
    }

    /// Returns the guest's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Debug => 0,
            Self::Info => 1,
            Self::Warning => 2,
        }
    }
}

impl Module {
    /// Checks a module and prepares it for the engine; `memory_bytes` is the most memory that it may state.
    ///
    /// # Errors
    ///
    /// [`ModuleError`] names the first thing that is wrong.
    pub fn load(bytes: &[u8], memory_bytes: u32) -> Result<Self, ModuleError> {
        let engine = engine();
        // The engine translates each operator before it has seen the whole function, and is not written for what comes
        // behind the end of one: everything is validated first.
        wasmi::Module::validate(&engine, bytes).map_err(|error| ModuleError::of(&error))?;
        let module = wasmi::Module::new(&engine, bytes).map_err(|error| ModuleError::of(&error))?;
        check_imports(&module)?;
        check_exports(&module, memory_bytes)?;
        Ok(Self { module, memory_bytes })
    }

    /// Runs the module over an input blob, with so much fuel at most.
    ///
    /// `go` is asked before the start and whenever [`FUEL_SLICE`] is burned, with the fuel that the run has taken so far.
    ///
    /// # Errors
    ///
    /// [`RunError`] names why there is no output; the fuel that was burned until then is in it where it matters.
    pub fn run(&self, input: &[u8], fuel: u64, go: &mut dyn FnMut(u64) -> Go) -> Result<Run, RunError> {
        let (mut store, instance) = self.instance()?;
        let mut tank = Tank {
            left: fuel,
            taken: 0,
            go,
        };
        let memory = instance.get_memory(&store, MEMORY).ok_or(RunError::Instance)?;
        let version: TypedFunc<(), i32> = typed(&store, instance, ABI_VERSION)?;
        let version = tank.call(&mut store, version, ())?;
        if version != i32::from(VERSION) {
            return Err(RunError::Version { found: version });
        }
        let alloc: TypedFunc<i32, i32> = typed(&store, instance, ALLOC)?;
        let length = i32::try_from(input.len()).map_err(|_| RunError::InputPlace)?;
        let place = tank.call(&mut store, alloc, length)?;
        let address = usize::try_from(place).map_err(|_| RunError::InputPlace)?;
        memory
            .write(&mut store, address, input)
            .map_err(|_| RunError::InputPlace)?;
        let evaluate: TypedFunc<(i32, i32), i64> = typed(&store, instance, EVALUATE)?;
        let written = tank.call(&mut store, evaluate, (place, length))?;
        let output = output(&store, memory, written)?;
        Ok(Run {
            output,
            fuel: tank.taken,
            memory_bytes: memory.size(&store).saturating_mul(PAGE_BYTES),
            log_is_cut: store.data().log_is_cut,
            log: store.into_data().log,
        })
    }

    /// Makes an instance with a store of its own.
    fn instance(&self) -> Result<(Store<Host>, Instance), RunError> {
        let limits = StoreLimitsBuilder::new()
            .memory_size(usize::try_from(self.memory_bytes).unwrap_or(usize::MAX))
            .table_elements(MAX_TABLE_ELEMENTS)
            .instances(1)
            .memories(1)
            .tables(1)
            .build();
        let host = Host {
            limits,
            log: Vec::new(),
            log_bytes: 0,
            log_is_cut: false,
        };
        let mut store = Store::new(self.module.engine(), host);
        store.limiter(|host| &mut host.limits);
        // Tables and data of the module are put in place with it.
        store.set_fuel(FUEL_SLICE).map_err(|_| RunError::Instance)?;
        let mut linker = Linker::new(self.module.engine());
        linker
            .func_wrap(NAMESPACE, LOG, log)
            .map_err(|_| RunError::Instance)?;
        linker
            .func_wrap(NAMESPACE, FAIL, fail)
            .map_err(|_| RunError::Instance)?;
        let instance = linker.instantiate_and_start(&mut store, &self.module);
        Ok((store, instance.map_err(|error| RunError::of_instance(&error))?))
    }
}

/// Builds the engine: integers only, no start function, strict limits, deterministic fuel.
fn engine() -> Engine {
    let mut config = Config::default();
    config
        .floats(false)
        .allow_start_fn(false)
        .enforced_limits(EnforcedLimits::strict())
        .set_max_recursion_depth(MAX_CALL_DEPTH)
        .set_max_stack_height(MAX_STACK_BYTES)
        .consume_fuel(true)
        // Everything is translated at once: what a first call costs would depend on the order of calls.
        .compilation_mode(CompilationMode::Eager)
        .ignore_custom_sections(true)
        .wasm_mutable_global(true)
        .wasm_sign_extension(true)
        .wasm_bulk_memory(true)
        .wasm_saturating_float_to_int(false)
        .wasm_multi_value(false)
        .wasm_multi_memory(false)
        .wasm_reference_types(false)
        .wasm_tail_call(false)
        .wasm_extended_const(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    Engine::new(&config)
}

fn check_imports(module: &wasmi::Module) -> Result<(), ModuleError> {
    let wanted = FuncType::new([ValType::I32; 3], []);
    for import in module.imports() {
        let known = import.module() == NAMESPACE && [LOG, FAIL].contains(&import.name());
        let fits = matches!(import.ty(), ExternType::Func(found) if *found == wanted);
        if !known || !fits {
            return Err(ModuleError::Import {
                name: format!("{}.{}", import.module(), import.name()),
            });
        }
    }
    Ok(())
}

fn check_exports(module: &wasmi::Module, memory_bytes: u32) -> Result<(), ModuleError> {
    let functions = [
        (ABI_VERSION, FuncType::new([], [ValType::I32])),
        (ALLOC, FuncType::new([ValType::I32], [ValType::I32])),
        (EVALUATE, FuncType::new([ValType::I32; 2], [ValType::I64])),
    ];
    for (name, wanted) in functions {
        match module.get_export(name) {
            Some(ExternType::Func(found)) if found == wanted => {}
            _ => return Err(ModuleError::Export { name }),
        }
    }
    let Some(ExternType::Memory(memory)) = module.get_export(MEMORY) else {
        return Err(ModuleError::Export { name: MEMORY });
    };
    let limit = u64::from(memory_bytes)
        .checked_div(PAGE_BYTES)
        .unwrap_or_default();
    match memory.maximum() {
        None => Err(ModuleError::MemoryUnbounded),
        Some(pages) if pages > limit => Err(ModuleError::Memory { pages, limit }),
        Some(_) => Ok(()),
    }
}

/// What the host keeps for one run.
#[derive(Debug)]
struct Host {
    limits: StoreLimits,
    log: Vec<LogLine>,
    log_bytes: usize,
    log_is_cut: bool,
}

/// The guest's `smgw1.log`: keeps the line, as far as there is room.
fn log(mut caller: Caller<'_, Host>, level: i32, place: i32, length: i32) -> Result<(), wasmi::Error> {
    let room = MAX_LOG_BYTES.saturating_sub(caller.data().log_bytes);
    let (text, is_cut) = text(&caller, place, length, room)?;
    let host = caller.data_mut();
    if is_cut || host.log.len() >= MAX_LOG_LINES {
        host.log_is_cut = true;
    }
    if host.log.len() < MAX_LOG_LINES && room > 0 {
        host.log_bytes = host.log_bytes.saturating_add(text.len());
        host.log.push(LogLine {
            level: LogLevel::of(level),
            text,
        });
    }
    Ok(())
}

/// The guest's `smgw1.fail`: ends the run.
fn fail(caller: Caller<'_, Host>, code: i32, place: i32, length: i32) -> Result<(), wasmi::Error> {
    let (text, _) = text(&caller, place, length, MAX_LOG_BYTES)?;
    Err(wasmi::Error::host(error::GuestFailure { code, text }))
}

/// Reads a text of the guest, at most `room` bytes of it; says whether there was more.
fn text(
    caller: &Caller<'_, Host>,
    place: i32,
    length: i32,
    room: usize,
) -> Result<(String, bool), wasmi::Error> {
    let out_of_bounds = || wasmi::Error::from(wasmi::TrapCode::MemoryOutOfBounds);
    let memory = caller
        .get_export(MEMORY)
        .and_then(Extern::into_memory)
        .ok_or_else(out_of_bounds)?;
    let size = |number: i32| usize::try_from(number).map_err(|_| out_of_bounds());
    let behind = memory
        .data(caller)
        .get(size(place)?..)
        .ok_or_else(out_of_bounds)?;
    let whole = behind.get(..size(length)?).ok_or_else(out_of_bounds)?;
    let kept = whole.get(..room).unwrap_or(whole);
    let plain = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    let text: String = String::from_utf8_lossy(kept).chars().map(plain).collect();
    Ok((text, kept.len() < whole.len()))
}

/// Copies the output blob out of the guest's memory; `written` is `address << 32 | length`.
fn output(store: &Store<Host>, memory: Memory, written: i64) -> Result<Vec<u8>, RunError> {
    let [a, b, c, d, e, f, g, h] = written.to_le_bytes();
    let length = u32::from_le_bytes([a, b, c, d]);
    let address = u32::from_le_bytes([e, f, g, h]);
    let size = |number: u32| usize::try_from(number).map_err(|_| RunError::OutputPlace);
    let length = size(length)?;
    if length > MAX_OUTPUT_BYTES {
        return Err(RunError::OutputTooLong { bytes: length });
    }
    let behind = memory.data(store).get(size(address)?..);
    let blob = behind.and_then(|rest| rest.get(..length));
    blob.map(<[u8]>::to_vec).ok_or(RunError::OutputPlace)
}

fn typed<P: WasmParams, R: WasmResults>(
    store: &Store<Host>,
    instance: Instance,
    name: &str,
) -> Result<TypedFunc<P, R>, RunError> {
    instance
        .get_typed_func(store, name)
        .map_err(|_| RunError::Instance)
}

/// The fuel of a run, handed to the engine in slices.
struct Tank<'a> {
    left: u64,
    taken: u64,
    go: &'a mut dyn FnMut(u64) -> Go,
}

impl Tank<'_> {
    /// Calls a function of the guest, and asks between slices whether to go on.
    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        store: &mut Store<Host>,
        function: TypedFunc<P, R>,
        parameters: P,
    ) -> Result<R, RunError> {
        let mut given = self.fill(store, 0)?;
        let mut state = function.call_resumable(&mut *store, parameters);
        loop {
            self.account(store, given);
            match state.map_err(|error| RunError::of_call(&error, self.taken))? {
                TypedResumableCall::Finished(result) => return Ok(result),
                TypedResumableCall::HostTrap(trap) => {
                    return Err(RunError::of_call(trap.host_error(), self.taken));
                }
                TypedResumableCall::OutOfFuel(call) => {
                    given = self.fill(store, call.required_fuel())?;
                    state = call.resume(&mut *store);
                }
            }
        }
    }

    /// Gives the engine a slice, or what a single operation needs if that is more.
    fn fill(&mut self, store: &mut Store<Host>, required: u64) -> Result<u64, RunError> {
        if required > self.left || self.left == 0 {
            return Err(RunError::OutOfFuel { taken: self.taken });
        }
        if (self.go)(self.taken) == Go::Stop {
            return Err(RunError::Stopped { taken: self.taken });
        }
        let slice = self.left.min(FUEL_SLICE.max(required));
        store.set_fuel(slice).map_err(|_| RunError::Instance)?;
        Ok(slice)
    }

    /// Takes down what the engine has burned.
    fn account(&mut self, store: &Store<Host>, given: u64) {
        let rest = store.get_fuel().unwrap_or_default();
        let burned = given.saturating_sub(rest);
        self.taken = self.taken.saturating_add(burned);
        self.left = self.left.saturating_sub(burned);
    }
}
