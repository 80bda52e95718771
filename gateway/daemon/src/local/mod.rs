//! What the gateway shows on the device: the local page, and the socket of the command line.

pub(crate) mod control;
pub(crate) mod grants;
pub(crate) mod logs;
mod server;
pub(crate) mod web;
