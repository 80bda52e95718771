//! A party that speaks with a gateway in miniature: the exchange, the checks of its answers, and
//! the certificates that it is known by.
//!
//! [`door`] and [`gateway_double`] are the gateway. They stand here, outside of every product's
//! source, and the tests of the two programs take them in by their path (`#[path]`).

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod door;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod gateway_double;
#[cfg(test)]
mod hub;
#[cfg(test)]
mod slow_line;
