//! The port to an M-Bus: a TCP connection or a serial port.

use std::io;

use mbus::master::BaudRate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_serial::{DataBits, FlowControl, Parity, SerialPort, SerialPortBuilderExt, SerialStream, StopBits};

use crate::PollError;
use crate::connector::Connector;
use crate::endpoint::MbusEndpoint;

/// A port that is open.
#[derive(Debug)]
pub(crate) enum MbusPort {
    Tcp(TcpStream),
    Serial(SerialStream),
}

impl MbusPort {
    /// Opens the port, unless an attempt has failed a short time ago.
    pub(crate) async fn open(connector: &mut Connector, endpoint: &MbusEndpoint) -> Result<Self, PollError> {
        match endpoint {
            MbusEndpoint::Tcp { .. } => connector.connect().await.map(Self::Tcp),
            MbusEndpoint::Serial { device, baud_rate } => connector
                .open(async { open_serial(device, *baud_rate) })
                .await
                .map(Self::Serial),
        }
    }

    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer).await,
            Self::Serial(stream) => stream.read(buffer).await,
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Serial(stream) => stream.write_all(bytes).await,
        }
    }

    /// Reads what is there without waiting.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Serial(stream) => stream.try_read(buffer),
        }
    }

    /// Sets another speed, if the port has one.
    pub(crate) fn set_rate(&mut self, rate: BaudRate) -> Result<(), PollError> {
        match self {
            Self::Tcp(_) => Err(PollError::RateFixed),
            Self::Serial(stream) => stream
                .set_baud_rate(rate.bits_per_second())
                .map_err(|_| PollError::ConnectionLost),
        }
    }
}

/// Spec: EN 13757-2:2018, section 4 (8 data bits, even parity, one stop bit).
fn open_serial(device: &str, baud_rate: BaudRate) -> io::Result<SerialStream> {
    let port = tokio_serial::new(device, baud_rate.bits_per_second())
        .data_bits(DataBits::Eight)
        .parity(Parity::Even)
        .stop_bits(StopBits::One)
        .flow_control(FlowControl::None)
        .open_native_async();
    port.map_err(io::Error::from)
}
