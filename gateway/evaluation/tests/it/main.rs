//! The shipped applications in the sandbox, and what holds for their sums.

#[cfg(test)]
mod apps;
#[cfg(test)]
mod properties;
