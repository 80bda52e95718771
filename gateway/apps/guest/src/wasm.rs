//! The edge of the module: memory, and the two functions of the host. The only unsafe code of the applications.

use core::slice;

use crate::{Fault, Input, Output, HEADER_BYTES, MAX_STATE_BYTES, RECORD_BYTES};

const PAGE_BYTES: usize = 65_536;

#[link(wasm_import_module = "smgw1")]
extern "C" {
    #[link_name = "log"]
    fn host_log(level: i32, address: *const u8, length: usize);
    #[link_name = "fail"]
    fn host_fail(code: i32, address: *const u8, length: usize);
}

/// Logs a line: level 0 for developers, 1 for information, 2 for warnings.
pub fn log(level: i32, text: &str) {
    // SAFETY: the host reads the text and keeps no pointer to it.
    unsafe { host_log(level, text.as_ptr(), text.len()) }
}

/// Gives up; the host ends the run.
pub fn give_up(fault: Fault) -> ! {
    // SAFETY: the host reads the text and keeps no pointer to it.
    unsafe { host_fail(fault.code, fault.text.as_ptr(), fault.text.len()) }
    core::arch::wasm32::unreachable()
}

/// Gives fresh pages, zeroed and never given before; -1 if there are none.
pub fn alloc(length: i32) -> i32 {
    let pages = match usize::try_from(length) {
        Ok(length) => length.saturating_add(PAGE_BYTES - 1) / PAGE_BYTES,
        Err(_) => return -1,
    };
    let before = core::arch::wasm32::memory_grow::<0>(pages);
    before
        .checked_mul(PAGE_BYTES)
        .and_then(|address| i32::try_from(address).ok())
        .unwrap_or(-1)
}

/// Runs an application over the input at that place.
pub fn run(
    address: i32,
    length: i32,
    evaluate: fn(&Input<'_>, &mut Output<'_>) -> Result<(), Fault>,
    room: fn(&Input<'_>) -> usize,
) -> i64 {
    match try_run(address, length, evaluate, room) {
        Ok(written) => written,
        Err(fault) => give_up(fault),
    }
}

fn try_run(
    address: i32,
    length: i32,
    evaluate: fn(&Input<'_>, &mut Output<'_>) -> Result<(), Fault>,
    room: fn(&Input<'_>) -> usize,
) -> Result<i64, Fault> {
    let place = usize::try_from(address).map_err(|_| Fault::INPUT)?;
    let length = usize::try_from(length).map_err(|_| Fault::INPUT)?;
    // SAFETY: the host has written so many bytes into pages that `alloc` gave for them, and nobody else has a reference.
    let blob = unsafe { slice::from_raw_parts(place as *const u8, length) };
    let input = Input::parse(blob)?;
    let most = room(&input)
        .checked_mul(RECORD_BYTES)
        .and_then(|bytes| bytes.checked_add(HEADER_BYTES + MAX_STATE_BYTES));
    let most = most.ok_or(Fault::ROOM)?;
    let pages = alloc(i32::try_from(most).map_err(|_| Fault::ROOM)?);
    let start = usize::try_from(pages).map_err(|_| Fault::ROOM)?;
    // SAFETY: the pages are fresh, and so many bytes long at least.
    let bytes = unsafe { slice::from_raw_parts_mut(start as *mut u8, most) };
    let mut output = Output::new(bytes)?;
    evaluate(&input, &mut output)?;
    let blob = output.finish()?;
    let written = i64::try_from(blob.len()).map_err(|_| Fault::ROOM)?;
    Ok((i64::from(pages) << 32) | written)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
