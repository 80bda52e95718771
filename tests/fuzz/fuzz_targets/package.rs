//! Any bytes are a package or refused; its signatures cover what stands before them, and its module is contained.
//!
//! If the first byte is odd, what follows is a module to which a manifest is put.
#![no_main]

use std::sync::OnceLock;

use evaluation::interface::{Input, InputView, OutputView};
use evaluation::package::{with_author, with_manifest, with_tsm};
use evaluation::{Go, Module, Package, accept};
use libfuzzer_sys::fuzz_target;
use model::{Period, Timestamp};

const MANIFEST: &[u8] = include_bytes!("../../../gateway/apps/taf-1/manifest.json");
const MEMORY: u32 = 4 * 1024 * 1024;
/// Enough for the shipped applications over nothing, and for a few slices.
const FUEL: u64 = 3_000_000;

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    let made = if kind & 1 == 1 { with_manifest(rest, MANIFEST).ok() } else { None };
    let bytes = made.as_deref().unwrap_or(rest);
    if let Ok(package) = Package::parse(bytes) {
        assert!(bytes.starts_with(package.module()));
        for signature in [package.author(), package.tsm()].into_iter().flatten() {
            assert!(bytes.starts_with(signature.covered) && !signature.cms.is_empty());
            assert!(signature.covered.len() + signature.cms.len() < bytes.len());
        }
        if package.author().is_none() {
            let signed = with_tsm(&with_author(bytes, b"author").unwrap(), b"tsm").unwrap();
            let signed = Package::parse(&signed).unwrap();
            assert_eq!(signed.author().unwrap().covered, bytes);
            assert_eq!(signed.module(), package.module());
        }
    }
    run(bytes);
});

/// Whatever a module does, it ends, and what it writes is taken or refused.
fn run(bytes: &[u8]) {
    static MANIFESTS: OnceLock<evaluation::Manifest> = OnceLock::new();
    let manifest = MANIFESTS.get_or_init(|| evaluation::Manifest::parse(MANIFEST).unwrap());
    let Ok(module) = Module::load(bytes, MEMORY) else {
        return;
    };
    let at = |seconds| Timestamp::from_unix_seconds(seconds).unwrap();
    let window = Period::new(at(0), at(31 * 86_400)).unwrap();
    let input = Input {
        run: 0,
        window,
        cutoff: window.to(),
        parameters: Vec::new(),
        channels: Vec::new(),
        slots: Vec::new(),
        state: Vec::new(),
    };
    let blob = input.encode().unwrap();
    if let Ok(run) = module.run(&blob, FUEL, &mut |_| Go::On) {
        assert!(run.fuel <= FUEL && run.memory_bytes <= u64::from(MEMORY) && run.log.len() <= 64);
        drop(OutputView::parse(&run.output));
        // Nothing can be made of no readings.
        if let Ok(outcome) = accept(manifest, &InputView::parse(&blob).unwrap(), &run.output) {
            assert!(outcome.elements.is_empty());
        }
    }
}
