//! The simulated meters, read by programs that nobody of this project wrote, and the program that runs them; the
//! soft card, killed.

#[cfg(test)]
mod foreign_mbus;
#[cfg(test)]
mod foreign_modbus;
#[cfg(test)]
mod killed_card;
#[cfg(test)]
mod program;
