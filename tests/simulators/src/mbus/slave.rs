//! A slave: the link layer of one meter.

use std::time::Duration;

use mbus::link::{Control, Frame, LongFrame, PrimaryAddress};

use super::fault::{Answer, Fault};
use super::meter::{Meter, VARIABLE_DATA};

/// One meter on the bus: its address, its values, and what it remembers of the link.
#[derive(Debug)]
pub struct Slave {
    address: PrimaryAddress,
    meter: Meter,
    /// How old the meter was when the bus was started.
    age: Duration,
    access_number: u8,
    /// The frame count bit of the last request and the answer to it.
    last: Option<(bool, Vec<u8>)>,
    /// The telegrams of the present round that were not sent yet, the next one last.
    pending: Vec<Vec<u8>>,
    /// What goes wrong with the next answers, and with how many.
    fault: Option<(Fault, u32)>,
}

impl Slave {
    /// Builds the slave of a meter whose values begin that far into its profile.
    #[must_use]
    pub const fn new(address: PrimaryAddress, meter: Meter, age: Duration) -> Self {
        Self {
            address,
            meter,
            age,
            access_number: 0,
            last: None,
            pending: Vec::new(),
            fault: None,
        }
    }

    /// Returns the slave's primary address.
    #[must_use]
    pub const fn address(&self) -> PrimaryAddress {
        self.address
    }

    /// Returns the meter.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) const fn inject(&mut self, fault: Fault, answers: u32) {
        self.fault = Some((fault, answers));
    }

    /// Hears a frame, at a time since the bus was started; `None` is silence.
    pub(super) fn hear(&mut self, frame: &Frame, now: Duration) -> Option<Answer> {
        let Frame::Short { control, address } = *frame else {
            return None;
        };
        if address != self.address.byte() {
            return None;
        }
        let answer = if control == Control::SND_NKE {
            self.last = None;
            self.pending.clear();
            Frame::Acknowledgement.encode()
        } else if control.is_req_ud2() {
            self.respond(control.frame_count_bit(), now)
        } else {
            return None;
        };
        match self.fault {
            Some((fault, answers @ 1..)) => {
                self.fault = Some((fault, answers - 1));
                fault.spoil(answer)
            }
            Some((_, 0)) | None => Some(Answer::prompt(answer)),
        }
    }

    /// Sends the last telegram again if the frame count bit is the last one's, else the next.
    fn respond(&mut self, frame_count_bit: Option<bool>, now: Duration) -> Vec<u8> {
        if let (Some(bit), Some((last_bit, answer))) = (frame_count_bit, &self.last)
            && bit == *last_bit
        {
            return answer.clone();
        }
        if self.pending.is_empty() {
            self.pending = self.meter.telegrams(self.age.saturating_add(now));
            self.pending.reverse();
        }
        let records = self.pending.pop().unwrap_or_default();
        let data = [self.meter.header(self.access_number), records].concat();
        self.access_number = self.access_number.wrapping_add(1);
        let address = self.address.byte();
        let answer = LongFrame::new(Control::RSP_UD, address, VARIABLE_DATA, data)
            .map(|frame| frame.encode())
            .unwrap_or_default();
        self.last = frame_count_bit.map(|bit| (bit, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::household;
    use super::*;

    fn request(control: Control, address: u8) -> Frame {
        Frame::Short { control, address }
    }

    fn heat() -> Slave {
        household().remove(2)
    }

    fn bytes(slave: &mut Slave, control: Control) -> Vec<u8> {
        slave.hear(&request(control, 3), Duration::ZERO).unwrap().bytes
    }

    #[test]
    fn repeated_frame_count_bit_repeats_the_telegram() {
        let mut slave = heat();
        assert_eq!(bytes(&mut slave, Control::SND_NKE), [0xE5]);
        let first = bytes(&mut slave, Control::req_ud2(true));
        assert_eq!(bytes(&mut slave, Control::req_ud2(true)), first);
        let second = bytes(&mut slave, Control::req_ud2(false));
        assert_ne!(second, first);
        assert_eq!(bytes(&mut slave, Control::req_ud2(false)), second);
    }

    #[test]
    fn initialised_link_begins_with_the_first_telegram() {
        let mut slave = heat();
        let first = bytes(&mut slave, Control::req_ud2(true));
        bytes(&mut slave, Control::SND_NKE);
        let again = bytes(&mut slave, Control::req_ud2(true));
        // Only access number and checksum differ.
        assert_eq!(first[19..32], again[19..32]);
        assert_eq!((first[15], again[15]), (0, 1));
    }

    #[test]
    fn what_is_for_others_or_unknown_is_met_with_silence() {
        let mut slave = heat();
        for frame in [
            request(Control::SND_NKE, 2),
            request(Control::req_ud2(true), 2),
            request(Control::from_byte(0x5A), 3),
            Frame::Acknowledgement,
        ] {
            assert_eq!(slave.hear(&frame, Duration::ZERO), None);
        }
    }

    #[test]
    fn fault_ends_after_its_answers() {
        let mut slave = heat();
        slave.inject(Fault::Silence, 2);
        for expected in [true, true, false] {
            let answer = slave.hear(&request(Control::req_ud2(true), 3), Duration::ZERO);
            assert_eq!(answer.is_none(), expected);
        }
    }
}
