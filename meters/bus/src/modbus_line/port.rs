//! The port to Modbus meters: a TCP connection or a serial port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_serial::{DataBits, FlowControl, SerialPortBuilderExt, SerialStream, StopBits};

use super::endpoint::{Characters, ModbusEndpoint, Parity};
use crate::PollError;
use crate::connector::Connector;

/// A port that is open.
#[derive(Debug)]
pub(super) enum ModbusPort {
    Tcp(TcpStream),
    Serial(SerialStream),
}

impl ModbusPort {
    /// Opens the port, unless an attempt has failed a short time ago.
    pub(super) async fn open(
        connector: &mut Connector,
        endpoint: &ModbusEndpoint,
    ) -> Result<Self, PollError> {
        match endpoint {
            ModbusEndpoint::Tcp { .. } | ModbusEndpoint::RtuOverTcp { .. } => {
                connector.connect().await.map(Self::Tcp)
            }
            // The port is locked, so that no other program speaks on the line at the same time.
            ModbusEndpoint::Rtu { device, characters } => connector
                .open(async { open_serial(device, *characters) })
                .await
                .map(Self::Serial),
        }
    }
}

fn open_serial(device: &str, characters: Characters) -> io::Result<SerialStream> {
    let parity = match characters.parity() {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let stop_bits = if characters.has_two_stop_bits() {
        StopBits::Two
    } else {
        StopBits::One
    };
    let port = tokio_serial::new(device, characters.bits_per_second())
        .data_bits(DataBits::Eight)
        .parity(parity)
        .stop_bits(stop_bits)
        .flow_control(FlowControl::None)
        .open_native_async();
    port.map_err(io::Error::from)
}

impl AsyncRead for ModbusPort {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Serial(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for ModbusPort {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Serial(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Serial(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Serial(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
