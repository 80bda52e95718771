//! The crate as its users see it: what it costs, and what hostile bytes do to it.

#[cfg(test)]
mod allocation;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod mutation;
