//! The simulated meters, read by programs that nobody of this project wrote, and the program that runs them.

#[cfg(test)]
mod foreign_mbus;
#[cfg(test)]
mod foreign_modbus;
#[cfg(test)]
mod program;
