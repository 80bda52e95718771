//! Hostile modules, written in text: each is contained, and its cause has a name.

use crate::engine::{Go, LogLevel, Module, ModuleError, Run, RunError, Trap};
use crate::samples::{echo, guest, input};

const MEMORY: u32 = 2 * 1024 * 1024;
const FUEL: u64 = 5_000_000;

fn run(body: &str) -> Result<Run, RunError> {
    let module = Module::load(&guest(body), MEMORY).unwrap();
    module.run(&input().encode().unwrap(), FUEL, &mut |_| Go::On)
}

fn trap(body: &str) -> Trap {
    match run(body) {
        Err(RunError::Trap { trap }) => trap,
        other => panic!("{other:?}"),
    }
}

fn refused(text: &str) -> ModuleError {
    Module::load(&wat::parse_str(text).unwrap(), MEMORY)
        .map(|_| ())
        .unwrap_err()
}

/// Adds to a module that has everything.
fn whole(more: &str) -> String {
    format!(
        r#"(module {more}
            (memory (export "memory") 1 32)
            (func (export "abi_version") (result i32) (i32.const 1))
            (func (export "smgw_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "evaluate") (param i32 i32) (result i64) (i64.const 0)))"#
    )
}

fn run_whole(text: &str) -> Result<Run, RunError> {
    let module = Module::load(&wat::parse_str(text).unwrap(), MEMORY).unwrap();
    module.run(&input().encode().unwrap(), FUEL, &mut |_| Go::On)
}

#[test]
fn endless_loop_runs_out_of_fuel() {
    let Err(RunError::OutOfFuel { taken }) = run("(loop (br 0)) (i64.const 0)") else {
        panic!("it should run out of fuel");
    };
    assert!(taken <= FUEL && taken > FUEL - 100, "{taken}");
}

#[test]
fn caller_stops_what_takes_too_long() {
    let module = Module::load(&guest("(loop (br 0)) (i64.const 0)"), MEMORY).unwrap();
    let input = input().encode().unwrap();
    let mut asked = 0;
    let stopped = module.run(&input, u64::MAX, &mut |_| {
        asked += 1;
        if asked > 5 { Go::Stop } else { Go::On }
    });
    assert!(
        matches!(stopped, Err(RunError::Stopped { taken }) if taken > 1_000_000),
        "{stopped:?}"
    );
    let never = module.run(&input, FUEL, &mut |_| Go::Stop);
    assert_eq!(never, Err(RunError::Stopped { taken: 0 }));
}

#[test]
fn fuel_is_the_same_in_one_slice_and_in_many() {
    // 200,000 turns are several slices; counting by hand is what the engine does for one.
    let turns = |count: u32| {
        format!(
            "(local $i i32) (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) \
             (i32.const {count})))) (i64.const 0)"
        )
    };
    let fuel = |count: u32| run(&turns(count)).map(|run| run.fuel).unwrap();
    let one = fuel(2) - fuel(1);
    assert_eq!(fuel(200_000) - fuel(1), one * 199_999);
}

#[test]
fn memory_bomb_gets_no_memory() {
    let grown = run("(i32.store (i32.const 1024) (memory.grow (i32.const 60000)))
        (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const 4))")
    .unwrap();
    assert_eq!(grown.output, (-1i32).to_le_bytes());
    assert_eq!(grown.memory_bytes, 2 * 65_536);
    assert_eq!(
        refused(&whole("").replace(" 1 32", " 1 65536")),
        ModuleError::Memory {
            pages: 65_536,
            limit: 32
        }
    );
    assert_eq!(
        refused(&whole("").replace(" 1 32", " 1")),
        ModuleError::MemoryUnbounded
    );
}

#[test]
fn endless_recursion_is_stopped() {
    assert_eq!(
        trap("(drop (call $deep (i32.const 1))) (i64.const 0)"),
        Trap::Recursion
    );
}

#[test]
fn access_outside_memory_is_stopped() {
    assert_eq!(trap("(i64.load (i32.const -8))"), Trap::OutOfBounds);
    assert_eq!(
        trap("(call $log (i32.const 1) (i32.const 131070) (i32.const 16)) (i64.const 0)"),
        Trap::OutOfBounds
    );
    assert_eq!(
        trap("(call $fail (i32.const 1) (i32.const -1) (i32.const 1)) (i64.const 0)"),
        Trap::OutOfBounds
    );
}

#[test]
fn arithmetic_and_panics_are_told_apart() {
    assert_eq!(trap("(i64.div_s (i64.const 1) (i64.const 0))"), Trap::Arithmetic);
    assert_eq!(
        trap("(i64.div_s (i64.const 0x8000000000000000) (i64.const -1))"),
        Trap::Arithmetic
    );
    assert_eq!(trap("unreachable"), Trap::Unreachable);
    let bad_call = whole("(table 1 1 funcref) (type $t (func (result i64)))")
        .replace("(i64.const 0)", "(call_indirect (type $t) (i32.const 0))");
    assert_eq!(run_whole(&bad_call), Err(RunError::Trap { trap: Trap::BadCall }));
}

#[test]
fn floats_are_refused_before_anything_runs() {
    let text = whole("(func (drop (f64.add (f64.const 1) (f64.const 2))))");
    assert_eq!(refused(&text), ModuleError::Floats);
    assert_eq!(refused(&whole("(func (param f32))")), ModuleError::Floats);
    assert_eq!(refused(&whole("(global f64 (f64.const 1))")), ModuleError::Floats);
}

#[test]
fn start_function_is_refused() {
    assert_eq!(
        refused(&whole("(func $start) (start $start)")),
        ModuleError::StartFunction
    );
}

#[test]
fn imports_of_others_are_refused() {
    let import = |import: &str| refused(&whole(import));
    let name = |name: &str| ModuleError::Import {
        name: name.to_owned(),
    };
    assert_eq!(
        import(r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#),
        name("wasi_snapshot_preview1.fd_write")
    );
    assert_eq!(
        import(r#"(import "smgw1" "clock" (func (result i64)))"#),
        name("smgw1.clock")
    );
    assert_eq!(
        import(r#"(import "smgw1" "log" (func (param i64)))"#),
        name("smgw1.log")
    );
    assert_eq!(
        import(r#"(import "smgw1" "log" (global i32))"#),
        name("smgw1.log")
    );
}

#[test]
fn missing_exports_are_named() {
    let without = |export: &str| refused(&whole("").replace(&format!(r#"(export "{export}")"#), ""));
    for name in ["memory", "abi_version", "smgw_alloc", "evaluate"] {
        assert_eq!(without(name), ModuleError::Export { name });
    }
    let other_type = whole("").replace("(result i32) (i32.const 1))", "(result i64) (i64.const 1))");
    assert_eq!(refused(&other_type), ModuleError::Export { name: "abi_version" });
}

#[test]
fn huge_tables_and_crowds_of_functions_are_refused() {
    let table = whole("(table 100000 funcref)");
    assert_eq!(run_whole(&table), Err(RunError::InstanceTooLarge));
    let functions = whole(&"(func)".repeat(20_000));
    assert!(matches!(refused(&functions), ModuleError::TooLarge { .. }));
    let data = whole(r#"(data (i32.const 65535) "ab")"#);
    assert_eq!(run_whole(&data), Err(RunError::InstanceTooLarge));
}

#[test]
fn malformed_sections_are_refused() {
    let good = echo();
    for cut in [1, 4, 9, good.len() / 2, good.len() - 1] {
        let refused = Module::load(&good[..cut], MEMORY).map(|_| ());
        assert!(
            matches!(refused, Err(ModuleError::Invalid { .. })),
            "{cut}: {refused:?}"
        );
    }
    let simd = whole("(func (drop (v128.const i32x4 0 0 0 0)))");
    assert!(matches!(
        refused(&simd),
        ModuleError::Invalid { .. } | ModuleError::Floats
    ));
}

#[test]
fn code_behind_the_end_of_a_function_is_refused() {
    // The body of `evaluate` ends with its constant, and goes on; the text form cannot say that.
    let good = wat::parse_str(whole("")).unwrap();
    let body = good
        .windows(3)
        .rposition(|bytes| bytes == [0x42, 0, 0x0b])
        .unwrap();
    let mut bad = good[..body].to_vec();
    bad.extend([0x42, 0, 0x0b, 0x42, 0, 0x0b]);
    for (at, length) in [(body - 2, 4u8), (body - 15, 17)] {
        assert_eq!(bad[at], length, "{at}");
        bad[at] += 3;
    }
    let refused = Module::load(&bad, MEMORY).map(|_| ());
    assert!(matches!(refused, Err(ModuleError::Invalid { .. })), "{refused:?}");
}

#[test]
fn other_versions_of_the_interface_are_refused() {
    let text = whole("").replace("(i32.const 1))", "(i32.const 2))");
    assert_eq!(run_whole(&text), Err(RunError::Version { found: 2 }));
}

#[test]
fn places_outside_memory_are_refused() {
    let alloc = |place: &str| whole("").replace("(i32.const 1024)", place);
    assert_eq!(run_whole(&alloc("(i32.const -1)")), Err(RunError::InputPlace));
    assert_eq!(run_whole(&alloc("(i32.const 65530)")), Err(RunError::InputPlace));
    assert_eq!(run("(i64.const 0x7fffffff00000010)"), Err(RunError::OutputPlace));
    assert_eq!(
        run("(i64.const 0x0000000010000000)"),
        Err(RunError::OutputTooLong { bytes: 0x1000_0000 })
    );
}

#[test]
fn guest_that_gives_up_says_why() {
    let failed = run("(call $fail (i32.const 7) (i32.const 16) (i32.const 10)) (i64.const 0)");
    assert_eq!(
        failed,
        Err(RunError::GaveUp {
            code: 7,
            text: "too little".into()
        })
    );
}

#[test]
fn log_is_bounded_and_plain() {
    let line = "(call $log (i32.const 2) (i32.const 16) (i32.const 11))";
    let logged = run(&format!("{line} (i64.const 0)")).unwrap();
    assert_eq!(logged.log[0].text, "too little\u{fffd}");
    assert_eq!(logged.log[0].level, LogLevel::Warning);
    assert!(!logged.log_is_cut);
    let flood = run("(local $i i32) (loop (call $log (i32.const 0) (i32.const 0) (i32.const 65536))
        (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000)))) (i64.const 0)")
    .unwrap();
    assert!(flood.log_is_cut);
    assert_eq!(flood.log.len(), 1);
    let many = run("(local $i i32) (loop (call $log (i32.const 0) (i32.const 16) (i32.const 1))
        (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000)))) (i64.const 0)")
    .unwrap();
    assert_eq!((many.log.len(), many.log_is_cut), (64, true));
}

#[test]
fn nothing_of_one_run_is_seen_by_the_next() {
    let counter = "(i32.store (i32.const 1024) (i32.add (i32.load (i32.const 1024)) (i32.const 1)))
        (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const 4))";
    let module = Module::load(&guest(counter), MEMORY).unwrap();
    let input = input().encode().unwrap();
    let once = module.run(&input, FUEL, &mut |_| Go::On).unwrap();
    assert_eq!(once.output, 1u32.to_le_bytes());
    assert_eq!(module.run(&input, FUEL, &mut |_| Go::On), Ok(once));
}

#[test]
fn every_cause_has_a_code_of_its_own() {
    let modules = [
        ModuleError::Floats,
        ModuleError::StartFunction,
        ModuleError::TooLarge { said: String::new() },
        ModuleError::Invalid { said: String::new() },
        ModuleError::Import { name: String::new() },
        ModuleError::Export { name: "" },
        ModuleError::MemoryUnbounded,
        ModuleError::Memory { pages: 0, limit: 0 },
    ];
    let traps = [
        Trap::Recursion,
        Trap::OutOfBounds,
        Trap::BadCall,
        Trap::Arithmetic,
        Trap::Unreachable,
        Trap::Other,
    ];
    let runs = [
        RunError::Instance,
        RunError::InstanceTooLarge,
        RunError::Version { found: 0 },
        RunError::InputPlace,
        RunError::OutputPlace,
        RunError::OutputTooLong { bytes: 0 },
        RunError::OutOfFuel { taken: 0 },
        RunError::Stopped { taken: 0 },
        RunError::GaveUp {
            code: 0,
            text: String::new(),
        },
    ];
    let traps = traps.map(|trap| RunError::Trap { trap });
    let mut codes: Vec<&str> = modules.iter().map(ModuleError::code).collect();
    codes.extend(runs.iter().chain(&traps).map(RunError::code));
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count);
    assert!(modules.iter().all(|error| !error.to_string().is_empty()));
    assert!(
        runs.iter()
            .chain(&traps)
            .all(|error| !error.to_string().is_empty())
    );
}
