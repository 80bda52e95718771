//! A slave: the link layer of one meter.

use std::time::Duration;

use mbus::link::{BROADCAST, Control, Frame, LongFrame, PrimaryAddress, SELECTED, SecondaryAddress, TEST};
use mbus::master::BaudRate;

use super::fault::{Answer, Fault};
use super::meter::{Meter, VARIABLE_DATA};

/// Bit times after which a slave answers, unless it is told otherwise: the least that is allowed.
const RESPONSE_BITS: u32 = 11;
/// How long a slave that was told to take another speed stays there if nobody speaks to it.
///
/// Spec: EN 13757-2:2018, section 4 (fallback after 2 to 10 minutes).
const RATE_FALLBACK: Duration = Duration::from_secs(120);
/// CI of an alarm.
const ALARM: u8 = 0x71;
/// Subcode of an application reset that asks for simple billing: the counters alone.
const SIMPLE_BILLING: u8 = 0x20;

/// One meter on the bus: its address, its values, and what it remembers of the link.
#[derive(Debug)]
pub struct Slave {
    address: PrimaryAddress,
    meter: Meter,
    /// How old the meter was when the bus was started.
    age: Duration,
    access_number: u8,
    is_selected: bool,
    /// What it remembers of requests to its primary address.
    primary: Memory,
    /// What it remembers of requests to a selected slave.
    selected: Memory,
    /// The telegrams of the present round that were not sent yet, the next one last.
    pending: Vec<Vec<u8>>,
    /// The subcode of the last application reset.
    subcode: u8,
    alarm: Option<u8>,
    /// The speed it was told to take, and until when it waits there for a frame.
    rate: Option<(BaudRate, Option<Duration>)>,
    /// What goes wrong with the next answers, and with how many.
    fault: Option<(Fault, u32)>,
    manners: Manners,
}

/// How a slave behaves where meters differ.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// Bit times before an answer.
    pub response_bits: u32,
    /// Time before an answer besides.
    pub response_pause: Duration,
    /// Compares manufacturer, version and device type of a selection only as a whole.
    pub compares_whole_fields: bool,
    /// Keeps the frame count bit over a selection, against the standard.
    pub keeps_bit_over_selection: bool,
    /// Compares the frame count bit of commands too, as the standard says: one that has the bit of the
    /// frame before is a repetition, whose answer is sent again and which has no effect.
    pub compares_bit_of_commands: bool,
    /// Acknowledges another speed and stays at its own.
    pub refuses_rates: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            response_bits: RESPONSE_BITS,
            response_pause: Duration::ZERO,
            compares_whole_fields: false,
            keeps_bit_over_selection: false,
            compares_bit_of_commands: false,
            refuses_rates: false,
        }
    }
}

/// The frame count bit of the last request, and the answer to it.
type Memory = Option<(bool, Vec<u8>)>;

impl Slave {
    /// Builds the slave of a meter whose values begin that far into its profile.
    #[must_use]
    pub fn new(address: PrimaryAddress, meter: Meter, age: Duration) -> Self {
        Self {
            address,
            meter,
            age,
            access_number: 0,
            is_selected: false,
            primary: None,
            selected: None,
            pending: Vec::new(),
            subcode: 0,
            alarm: None,
            rate: None,
            fault: None,
            manners: Manners::default(),
        }
    }

    /// Has the slave behave in another way.
    #[must_use]
    pub const fn with(mut self, manners: Manners) -> Self {
        self.manners = manners;
        self
    }

    /// Has the slave answer a request for its alarm with this byte.
    pub const fn raise_alarm(&mut self, alarm: u8) {
        self.alarm = Some(alarm);
    }

    /// Returns the slave's primary address.
    #[must_use]
    pub const fn address(&self) -> PrimaryAddress {
        self.address
    }

    /// Returns the slave's secondary address.
    #[must_use]
    pub const fn identity(&self) -> SecondaryAddress {
        self.meter.identity().secondary()
    }

    /// Returns the meter.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) const fn inject(&mut self, fault: Fault, answers: u32) {
        self.fault = Some((fault, answers));
    }

    pub(super) const fn response_bits(&self) -> u32 {
        self.manners.response_bits
    }

    pub(super) const fn response_pause(&self) -> Duration {
        self.manners.response_pause
    }

    /// Hears a frame at a speed, at a time since the bus was started; `None` is silence.
    pub(super) fn hear(&mut self, frame: &Frame, now: Duration, rate: BaudRate) -> Option<Answer> {
        if !self.is_at(rate, now) {
            return None;
        }
        let (answer, address) = match frame {
            Frame::Acknowledgement => return None,
            Frame::Short { control, address } => (self.hear_short(*control, *address, now)?, *address),
            Frame::Long(frame) => (self.hear_long(frame, now, rate)?, frame.address()),
        };
        if address == BROADCAST {
            return None;
        }
        match self.fault {
            Some((fault, answers @ 1..)) => {
                self.fault = Some((fault, answers - 1));
                fault.spoil(answer)
            }
            Some((_, 0)) | None => Some(Answer::prompt(answer)),
        }
    }

    /// Returns whether the slave listens at that speed; it comes back from one that nobody uses.
    fn is_at(&mut self, rate: BaudRate, now: Duration) -> bool {
        match self.rate {
            None => true,
            Some((own, _)) if own == rate => {
                self.rate = Some((own, None));
                true
            }
            Some((_, Some(deadline))) if now >= deadline => {
                self.rate = None;
                true
            }
            Some(_) => false,
        }
    }

    /// Returns whether a frame with that A field is for this slave.
    fn is_addressed(&self, address: u8) -> bool {
        match address {
            SELECTED => self.is_selected,
            TEST | BROADCAST => true,
            address => address == self.address.byte(),
        }
    }

    fn hear_short(&mut self, control: Control, address: u8, now: Duration) -> Option<Vec<u8>> {
        if !self.is_addressed(address) {
            return None;
        }
        if control == Control::SND_NKE {
            self.pending.clear();
            if address == SELECTED {
                self.is_selected = false;
                self.selected = None;
            } else {
                self.primary = None;
            }
            return Some(Frame::Acknowledgement.encode());
        }
        if control.is_req_ud1() {
            let alarm = self.alarm.map(|alarm| self.telegram(ALARM, vec![alarm]));
            return Some(alarm.unwrap_or_else(|| Frame::Acknowledgement.encode()));
        }
        control
            .is_req_ud2()
            .then(|| self.respond(address, control.frame_count_bit(), now))
    }

    /// Does what a long frame says and acknowledges it.
    fn hear_long(&mut self, frame: &LongFrame, now: Duration, heard_at: BaudRate) -> Option<Vec<u8>> {
        if !frame.control().is_snd_ud() {
            return None;
        }
        let is_selection = matches!(frame.control_information(), 0x52 | 0x56);
        if is_selection && frame.address() == SELECTED {
            self.is_selected = self.is_matched(frame)?;
            if !self.manners.keeps_bit_over_selection {
                self.selected = None;
            }
            return self.is_selected.then(|| Frame::Acknowledgement.encode());
        }
        if !self.is_addressed(frame.address()) {
            return None;
        }
        let bit = frame.control().frame_count_bit();
        if self.manners.compares_bit_of_commands
            && let Some(answer) = self.remembered(frame.address(), bit)
        {
            return Some(answer);
        }
        match frame.control_information() {
            0x50 | 0x54 => {
                self.subcode = frame.data().first().copied().unwrap_or(0) & 0xF0;
                self.pending.clear();
            }
            0x51 | 0x55 => self.take_data(frame.data()),
            code @ 0xB8..=0xBF => {
                let told = BaudRate::ALL.get(usize::from(code - 0xB8)).copied()?;
                self.rate = Some(if self.manners.refuses_rates {
                    (heard_at, None)
                } else {
                    (told, Some(now + RATE_FALLBACK))
                });
            }
            _ => {}
        }
        let answer = Frame::Acknowledgement.encode();
        if self.manners.compares_bit_of_commands {
            self.remember(frame.address(), bit, &answer);
        }
        Some(answer)
    }

    /// Returns the last answer, if a frame with this bit repeats the last one.
    fn remembered(&self, address: u8, frame_count_bit: Option<bool>) -> Option<Vec<u8>> {
        let memory = if address == SELECTED {
            &self.selected
        } else {
            &self.primary
        };
        let (last_bit, answer) = memory.as_ref()?;
        (frame_count_bit == Some(*last_bit)).then(|| answer.clone())
    }

    /// Remembers the answer to a frame that has a frame count bit.
    fn remember(&mut self, address: u8, frame_count_bit: Option<bool>, answer: &[u8]) {
        let memory = frame_count_bit.map(|bit| (bit, answer.to_vec()));
        if address == SELECTED {
            self.selected = memory;
        } else {
            self.primary = memory;
        }
    }

    /// Returns whether a selection matches, or `None` if it is not complete.
    fn is_matched(&self, frame: &LongFrame) -> Option<bool> {
        let bytes = *frame.data().first_chunk()?;
        let selection = match frame.control_information() {
            0x52 => SecondaryAddress::from_le_bytes(bytes),
            _ => SecondaryAddress::from_be_bytes(bytes),
        };
        let own = self.identity();
        if !self.manners.compares_whole_fields {
            return Some(selection.matches(own));
        }
        let digits = SecondaryAddress::new(selection.identification(), u16::MAX, u8::MAX, u8::MAX);
        let fits = |asked: u8, own: u8| asked == u8::MAX || asked == own;
        Some(
            digits.matches(own)
                && [own.manufacturer(), u16::MAX].contains(&selection.manufacturer())
                && fits(selection.version(), own.version())
                && fits(selection.device_type(), own.device_type()),
        )
    }

    /// Takes new addresses; whatever else is sent is acknowledged and has no effect.
    fn take_data(&mut self, data: &[u8]) {
        match *data {
            [0x01, 0x7A, address] => {
                self.address = PrimaryAddress::try_from(address).unwrap_or(self.address);
            }
            [0x0C, 0x79, i0, i1, i2, i3] => {
                self.meter.identity_mut().identification = u32::from_le_bytes([i0, i1, i2, i3]);
            }
            [0x07, 0x79, ref bytes @ ..] => {
                if let Some(bytes) = bytes.first_chunk() {
                    *self.meter.identity_mut() = SecondaryAddress::from_le_bytes(*bytes).into();
                }
            }
            _ => {}
        }
    }

    /// Sends the last telegram again if the frame count bit is the last one's, else the next.
    fn respond(&mut self, address: u8, frame_count_bit: Option<bool>, now: Duration) -> Vec<u8> {
        if let Some(answer) = self.remembered(address, frame_count_bit) {
            return answer;
        }
        if self.pending.is_empty() {
            let only_counters = self.subcode == SIMPLE_BILLING;
            self.pending = self.meter.telegrams(self.age.saturating_add(now), only_counters);
            self.pending.reverse();
        }
        let records = self.pending.pop().unwrap_or_default();
        let data = [self.meter.header(self.access_number), records].concat();
        self.access_number = self.access_number.wrapping_add(1);
        let answer = self.telegram(VARIABLE_DATA, data);
        self.remember(address, frame_count_bit, &answer);
        answer
    }

    fn telegram(&self, control_information: u8, data: Vec<u8>) -> Vec<u8> {
        LongFrame::new(Control::RSP_UD, self.address.byte(), control_information, data)
            .map(|frame| frame.encode())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::household;
    use super::*;

    const RATE: BaudRate = BaudRate::B2400;

    fn request(control: Control, address: u8) -> Frame {
        Frame::Short { control, address }
    }

    fn send(address: u8, control_information: u8, data: &[u8]) -> Frame {
        let control = Control::snd_ud(true);
        Frame::Long(LongFrame::new(control, address, control_information, data.to_vec()).unwrap())
    }

    fn heat() -> Slave {
        household().remove(2)
    }

    fn bytes(slave: &mut Slave, control: Control) -> Vec<u8> {
        ask(slave, &request(control, 3)).unwrap()
    }

    fn ask(slave: &mut Slave, frame: &Frame) -> Option<Vec<u8>> {
        slave.hear(frame, Duration::ZERO, RATE).map(|answer| answer.bytes)
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
            request(Control::req_ud2(true), SELECTED),
            request(Control::SND_NKE, SELECTED),
            request(Control::from_byte(0x49), 3),
            request(Control::SND_NKE, BROADCAST),
            Frame::Acknowledgement,
        ] {
            assert_eq!(ask(&mut slave, &frame), None, "{frame:?}");
        }
    }

    #[test]
    fn selection_matches_by_wildcards_and_ends_with_another_or_snd_nke() {
        let mut slave = heat();
        let own = slave.identity();
        let selection = |address: SecondaryAddress| send(SELECTED, 0x52, &address.to_le_bytes());
        for matching in [own, SecondaryAddress::ALL, own.with_nibble(3, 0xF)] {
            assert_eq!(ask(&mut slave, &selection(matching)), Some(vec![0xE5]));
            assert!(ask(&mut slave, &request(Control::req_ud2(true), SELECTED)).is_some());
        }
        assert_eq!(ask(&mut slave, &selection(own.with_nibble(15, 1))), None);
        assert_eq!(ask(&mut slave, &request(Control::req_ud2(true), SELECTED)), None);
        assert!(ask(&mut slave, &send(SELECTED, 0x56, &own.to_be_bytes())).is_some());
        assert!(ask(&mut slave, &request(Control::SND_NKE, SELECTED)).is_some());
        assert_eq!(ask(&mut slave, &request(Control::SND_NKE, SELECTED)), None);
    }

    #[test]
    fn selected_slave_has_a_frame_count_bit_of_its_own() {
        let mut slave = heat();
        let selection = send(SELECTED, 0x52, &SecondaryAddress::ALL.to_le_bytes());
        let requested = request(Control::req_ud2(true), SELECTED);
        ask(&mut slave, &selection);
        let first = ask(&mut slave, &requested);
        assert_eq!(ask(&mut slave, &requested), first);
        assert_ne!(Some(bytes(&mut slave, Control::req_ud2(true))), first);
        ask(&mut slave, &selection);
        assert_ne!(ask(&mut slave, &requested), first);
    }

    #[test]
    fn addresses_are_taken_from_data() {
        let mut slave = heat();
        assert_eq!(
            ask(&mut slave, &send(TEST, 0x51, &[0x01, 0x7A, 9])),
            Some(vec![0xE5])
        );
        assert_eq!(slave.address().byte(), 9);
        ask(&mut slave, &send(9, 0x51, &[0x0C, 0x79, 0x78, 0x56, 0x34, 0x12]));
        assert_eq!(slave.identity().to_string(), "KAM-12345678-35-04");
        ask(
            &mut slave,
            &send(BROADCAST, 0x51, &[0x07, 0x79, 1, 0, 0, 0, 0x77, 4, 2, 3]),
        );
        assert_eq!(slave.identity().to_string(), "ACW-00000001-02-03");
    }

    #[test]
    fn application_reset_chooses_what_is_sent() {
        let mut slave = heat();
        ask(&mut slave, &send(3, 0x50, &[SIMPLE_BILLING]));
        let first = bytes(&mut slave, Control::req_ud2(true));
        // The counters, and no announcement of a second telegram.
        assert_ne!(first[first.len() - 3], 0x1F);
        ask(&mut slave, &send(3, 0x50, &[]));
        let first = bytes(&mut slave, Control::req_ud2(false));
        assert_eq!(first[first.len() - 3], 0x1F);
    }

    #[test]
    fn alarm_is_sent_while_there_is_one() {
        let mut slave = heat();
        assert_eq!(bytes(&mut slave, Control::req_ud1(true)), [0xE5]);
        slave.raise_alarm(0x04);
        let alarm = bytes(&mut slave, Control::req_ud1(true));
        assert_eq!(alarm[4..8], [0x08, 3, 0x71, 0x04]);
    }

    #[test]
    fn speed_is_kept_while_it_is_used_and_falls_back_otherwise() {
        let mut slave = heat();
        let nke = request(Control::SND_NKE, 3);
        assert!(ask(&mut slave, &send(3, 0xBD, &[])).is_some());
        assert!(ask(&mut slave, &nke).is_none());
        assert!(slave.hear(&nke, RATE_FALLBACK, RATE).is_some());
        assert!(ask(&mut slave, &send(3, 0xBD, &[])).is_some());
        assert!(slave.hear(&nke, Duration::ZERO, BaudRate::B9600).is_some());
        assert!(slave.hear(&nke, RATE_FALLBACK * 2, RATE).is_none());
    }

    #[test]
    fn fault_ends_after_its_answers() {
        let mut slave = heat();
        slave.inject(Fault::Silence, 2);
        for expected in [true, true, false] {
            let answer = ask(&mut slave, &request(Control::req_ud2(true), 3));
            assert_eq!(answer.is_none(), expected);
        }
    }
}
