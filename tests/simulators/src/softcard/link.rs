//! The wire between the card and vsmartcard's virtual reader, which listens inside `pcscd`.
//!
//! A frame is a length (two bytes, big-endian) and so many bytes, in both directions. One byte is an order of the
//! reader; more are a command APDU, whose answer goes back in a frame.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use socket2::SockRef;

/// The answer to reset: T=1 and nothing else, so that no reader tries T=0, whose commands have no extended length.
///
/// The historical bytes say in COMPACT-TLV that files are selected by the whole name, that commands have extended
/// length, and that this is an SMGW card, version 1.
///
/// Spec: ISO/IEC 7816-3:2006, section 8.2; ISO/IEC 7816-4:2020, section 12.1.1.
pub const ATR: [u8; 16] = [
    0x3B, 0x8C, 0x01, 0x80, 0x73, 0x80, 0x01, 0x40, 0x56, b'S', b'M', b'G', b'W', b'0', b'1', 0xE6,
];

/// What the reader wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The power goes; no answer.
    PowerOff,
    /// The power comes; no answer.
    PowerOn,
    /// Reset; no answer.
    Reset,
    /// The answer to reset is wanted.
    Atr,
    /// A command is to be carried out.
    Command(Vec<u8>),
}

/// A connection to the reader.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Waits for the next order.
    pub(super) fn next_order(&mut self) -> io::Result<Order> {
        let mut length = [0; 2];
        self.fill(&mut length)?;
        let mut body = vec![0; usize::from(u16::from_be_bytes(length))];
        self.fill(&mut body)?;
        match body.as_slice() {
            [0] => Ok(Order::PowerOff),
            [1] => Ok(Order::PowerOn),
            [2] => Ok(Order::Reset),
            [4] => Ok(Order::Atr),
            [] | [_] => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the reader gives an order that no virtual reader of version 3 has",
            )),
            _ => Ok(Order::Command(body)),
        }
    }

    /// Answers with one write: header and body apart would wait for each other's acknowledgement.
    pub(super) fn answer(&mut self, body: &[u8]) -> io::Result<()> {
        let length = u16::try_from(body.len()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "an answer of more than 65535 bytes fits into no frame",
            )
        })?;
        let mut frame = zeroize::Zeroizing::new(Vec::with_capacity(body.len().saturating_add(2)));
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(body);
        self.stream.write_all(&frame)
    }

    /// Reads until the buffer is full.
    ///
    /// The reader sends length and body apart and waits for an acknowledgement in between, which the kernel delays by
    /// 40 ms unless it is told otherwise before every read: the flag does not stay.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            SockRef::from(&self.stream).set_tcp_quickack(true)?;
            let read = match self.stream.read(rest) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(error),
            };
            rest = rest.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, Link) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let card = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, Link::new(card).unwrap())
    }

    #[test]
    fn atr_offers_t1_only_and_its_check_byte_is_right() {
        assert_eq!(
            usize::from(ATR[1] & 0x0F),
            ATR.len() - 4,
            "count of historical bytes"
        );
        assert_eq!(ATR[1] >> 4, 0b1000, "TD1 alone follows");
        assert_eq!(ATR[2], 0x01, "T=1, and nothing behind it");
        assert_eq!(ATR[1..].iter().fold(0, |check, byte| check ^ byte), 0);
    }

    #[test]
    fn orders_and_commands_are_told_apart() {
        let (mut reader, mut link) = pair();
        reader
            .write_all(&[0, 1, 1, 0, 1, 4, 0, 1, 2, 0, 1, 0, 0, 4, 0, 0x84, 0, 8])
            .unwrap();
        let orders: Vec<_> = (0..5).map(|_| link.next_order().unwrap()).collect();
        let command = Order::Command(vec![0, 0x84, 0, 8]);
        assert_eq!(
            orders,
            [Order::PowerOn, Order::Atr, Order::Reset, Order::PowerOff, command]
        );
        link.answer(&[0x90, 0x00]).unwrap();
        let mut answer = [0; 4];
        reader.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0, 2, 0x90, 0x00]);
    }

    #[test]
    fn unknown_order_and_end_of_the_reader_end_the_link() {
        let (mut reader, mut link) = pair();
        reader.write_all(&[0, 1, 9]).unwrap();
        assert_eq!(link.next_order().unwrap_err().kind(), io::ErrorKind::InvalidData);
        reader.write_all(&[0, 0]).unwrap();
        assert_eq!(link.next_order().unwrap_err().kind(), io::ErrorKind::InvalidData);
        reader.write_all(&[0, 5, 1]).unwrap();
        drop(reader);
        assert_eq!(
            link.next_order().unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn answer_that_fits_into_no_frame_is_refused() {
        let (_reader, mut link) = pair();
        let error = link.answer(&vec![0; 65_536]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
