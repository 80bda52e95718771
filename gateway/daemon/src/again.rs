//! Starting this program again in its own place.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Whatever runs, even if its file is gone.
const ITSELF: &str = "/proc/self/exe";

/// Starts this program again in its own place, by the arguments that it has and with more in its environment. It comes back
/// only if it has failed.
///
/// The process keeps its number and all that belongs to it, so that nobody outside notices.
pub(crate) fn start(more: &[(&str, &str)]) -> io::Error {
    let mut arguments = std::env::args_os();
    let own_name = arguments.next().unwrap_or_default();
    // By its own name, unless another file has taken its place meanwhile.
    let named = std::env::current_exe().ok().filter(|program| program.exists());
    let mut again = Command::new(named.unwrap_or_else(|| ITSELF.into()));
    again.arg0(own_name).args(arguments).envs(more.iter().copied());
    again.exec()
}
