//! Requests and answers as they go over TCP.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Transaction, protocol, length, unit.
const HEADER_LENGTH: usize = 7;
/// The number of bytes that the length field counts: the unit and 1 to 253 bytes behind it.
const LENGTHS: std::ops::RangeInclusive<u16> = 2..=254;
/// Modbus itself.
const PROTOCOL: u16 = 0;
/// The functions that read bits, eight of which go into a byte, the first one lowest.
const READ_COILS: u8 = 1;
const READ_DISCRETE_INPUTS: u8 = 2;
/// What is added to the function code of a request to mark an exception.
const EXCEPTION: u8 = 0x80;

/// A request to read registers, or with a function that is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) transaction: u16,
    pub(super) unit: u8,
    pub(super) function: u8,
    pub(super) address: u16,
    pub(super) count: u16,
}

impl Request {
    /// Reads the next request; `None` if the connection ended or what came is no Modbus.
    pub(super) async fn receive(connection: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut header = [0; HEADER_LENGTH];
        connection.read_exact(&mut header).await.ok()?;
        let [t1, t2, p1, p2, l1, l2, unit] = header;
        let length = u16::from_be_bytes([l1, l2]);
        if u16::from_be_bytes([p1, p2]) != PROTOCOL || !LENGTHS.contains(&length) {
            return None;
        }
        let mut body = vec![0; usize::from(length) - 1];
        connection.read_exact(&mut body).await.ok()?;
        let (function, address, count) = match body.as_slice() {
            [function, a1, a2, c1, c2] => (
                *function,
                u16::from_be_bytes([*a1, *a2]),
                u16::from_be_bytes([*c1, *c2]),
            ),
            // Another function; the register table refuses it, whatever it wants to do.
            [function, ..] => (*function, 0, 0),
            [] => return None,
        };
        Some(Self {
            transaction: u16::from_be_bytes([t1, t2]),
            unit,
            function,
            address,
            count,
        })
    }

    /// Encodes an answer to this request: registers, or an exception code.
    pub(super) fn answer(&self, result: Result<&[u16], u8>) -> Vec<u8> {
        let body = match result {
            Ok(bits) if matches!(self.function, READ_COILS | READ_DISCRETE_INPUTS) => {
                let bytes = bits.chunks(8).map(|bits| {
                    let bits = bits.iter().rev();
                    bits.fold(0, |byte, bit| byte << 1 | u8::from(*bit != 0))
                });
                let length = u8::try_from(bits.len().div_ceil(8)).unwrap_or(u8::MAX);
                [self.function, length].into_iter().chain(bytes).collect()
            }
            Ok(words) => {
                let bytes = words.iter().flat_map(|word| word.to_be_bytes());
                let length = u8::try_from(words.len() * 2).unwrap_or(u8::MAX);
                [self.function, length].into_iter().chain(bytes).collect()
            }
            Err(code) => vec![self.function | EXCEPTION, code],
        };
        let length = u16::try_from(body.len() + 1).unwrap_or(u16::MAX);
        let mut frame = Vec::with_capacity(HEADER_LENGTH + body.len());
        frame.extend(self.transaction.to_be_bytes());
        frame.extend(PROTOCOL.to_be_bytes());
        frame.extend(length.to_be_bytes());
        frame.push(self.unit);
        frame.extend(body);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request = Request {
        transaction: 0x1234,
        unit: 1,
        function: 4,
        address: 0x48,
        count: 2,
    };

    #[tokio::test]
    async fn a_request_is_read_as_the_guide_lays_it_out() {
        let bytes = [0x12, 0x34, 0, 0, 0, 6, 1, 4, 0, 0x48, 0, 2];
        assert_eq!(Request::receive(&mut bytes.as_slice()).await, Some(REQUEST));
    }

    #[tokio::test]
    async fn what_is_no_modbus_is_no_request() {
        for bytes in [
            [0x12, 0x34, 0, 1, 0, 6, 1, 4, 0, 0x48, 0, 2].as_slice(),
            [0x12, 0x34, 0, 0, 0, 1, 1].as_slice(),
            [0x12, 0x34, 0, 0, 1, 0, 1].as_slice(),
            [0x12, 0x34, 0, 0, 0, 6, 1, 4].as_slice(),
        ] {
            let mut bytes = bytes;
            assert_eq!(Request::receive(&mut bytes).await, None);
        }
    }

    #[test]
    fn answers_are_laid_out_as_the_guide_says() {
        assert_eq!(
            REQUEST.answer(Ok(&[0x449A, 0x5333])),
            [0x12, 0x34, 0, 0, 0, 7, 1, 4, 4, 0x44, 0x9A, 0x53, 0x33]
        );
        let bits = Request {
            function: READ_COILS,
            ..REQUEST
        };
        assert_eq!(
            bits.answer(Ok(&[1, 0, 1, 0, 0, 0, 0, 0, 1])),
            [0x12, 0x34, 0, 0, 0, 5, 1, 1, 2, 0b101, 1]
        );
        assert_eq!(REQUEST.answer(Err(2)), [0x12, 0x34, 0, 0, 0, 3, 1, 0x84, 2]);
    }
}
