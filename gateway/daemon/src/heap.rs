//! How the C library's allocator gives memory back.
//!
//! It learns from use: once the 19 MiB that comparing a password takes have been freed, it keeps room of that size in its heaps
//! instead of giving it back, in one heap for each thread that ever compared one. Some log-ins later that is more than all
//! else. It takes its settings from the environment at the start of a process alone.
//!
//! Spec: mallopt(3), "Environment variables".

use crate::again;

/// What is set: blocks from 128 KiB on are given back at once, and threads share two heaps.
const SETTINGS: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

/// Starts this program again in its own place with what is not set yet; returns if there is nothing of that kind, or if the
/// system cannot start it: then it goes on as it is, and says so.
pub(crate) fn settle() {
    let unset = SETTINGS
        .iter()
        .filter(|(name, _)| std::env::var_os(name).is_none());
    let unset: Vec<_> = unset.copied().collect();
    if unset.is_empty() {
        return;
    }
    let error = again::start(&unset);
    tracing::warn!("the allocator keeps its own settings, and more memory: {error}");
}
