//! What can be ordered of a proxy, as lines of text, and what follows from it.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Which way bytes go that a cut counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// From who has connected to the target.
    Up(u64),
    /// From the target to who has connected.
    Down(u64),
}

/// What goes wrong from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `heal`: nothing any more.
    Heal,
    /// `delay MS`: every piece comes so much later.
    Delay(Duration),
    /// `stall`: nothing goes through, and nobody is told.
    Stall,
    /// `cut up N`, `cut down N`: every connection is reset once so many bytes have gone through it that way, counted
    /// from now on.
    Cut(Cut),
    /// `rate N`: so many bytes go through a second, each way; whoever sends has to wait.
    Rate(NonZeroU32),
    /// `double`: every connection to come is made twice, with the same bytes.
    Double,
    /// `reset`: every connection that stands is reset.
    Reset,
}

/// The reason why a line is no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give heal, delay MS, stall, cut up N, cut down N, rate N, double, reset or counts")]
pub struct UnknownOrder;

impl FromStr for Order {
    type Err = UnknownOrder;

    fn from_str(line: &str) -> Result<Self, UnknownOrder> {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |text: &str| text.parse::<u64>().map_err(|_| UnknownOrder);
        match words.as_slice() {
            ["heal"] => Ok(Self::Heal),
            ["stall"] => Ok(Self::Stall),
            ["double"] => Ok(Self::Double),
            ["reset"] => Ok(Self::Reset),
            ["delay", ms] => Ok(Self::Delay(Duration::from_millis(number(ms)?))),
            ["rate", bytes] => bytes.parse().map(Self::Rate).map_err(|_| UnknownOrder),
            ["cut", "up", bytes] => Ok(Self::Cut(Cut::Up(number(bytes)?))),
            ["cut", "down", bytes] => Ok(Self::Cut(Cut::Down(number(bytes)?))),
            _ => Err(UnknownOrder),
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// How much later every piece comes.
    pub delay: Duration,
    /// Whether nothing goes through.
    pub stalled: bool,
    /// After how many bytes a connection is reset.
    pub cut: Option<Cut>,
    /// Which cut that is; each begins to count anew.
    pub cuts: u32,
    /// How many bytes go through a second, each way.
    pub rate: Option<NonZeroU32>,
    /// Whether connections are made twice.
    pub doubled: bool,
    /// How often everything that stands was reset.
    pub resets: u32,
}

impl Faults {
    /// Follows an order. Faults add up until they are healed.
    pub const fn take(&mut self, order: Order) {
        match order {
            Order::Heal => {
                *self = Self {
                    resets: self.resets,
                    cuts: self.cuts,
                    delay: Duration::ZERO,
                    stalled: false,
                    cut: None,
                    rate: None,
                    doubled: false,
                }
            }
            Order::Delay(delay) => self.delay = delay,
            Order::Stall => self.stalled = true,
            Order::Cut(cut) => {
                self.cut = Some(cut);
                self.cuts = self.cuts.wrapping_add(1);
            }
            Order::Rate(rate) => self.rate = Some(rate),
            Order::Double => self.doubled = true,
            Order::Reset => self.resets = self.resets.wrapping_add(1),
        }
    }
}
