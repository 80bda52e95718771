//! The bus over real sockets, against the simulated meters.

#[cfg(test)]
mod discovery;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod live;
#[cfg(test)]
mod mbus;
#[cfg(test)]
mod modbus;
#[cfg(test)]
mod modbus_discovery;
#[cfg(test)]
mod modbus_lines;
#[cfg(test)]
mod modbus_patience;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod rounds;
