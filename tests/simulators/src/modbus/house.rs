//! A house with a refrigerator, a kettle and solar panels, whose values follow from the time.

/// The power factor of everything in the house, in thousandths, and the reactive power that follows
/// from it: sqrt(1 - 0.97²) / 0.97, rounded.
const POWER_FACTOR_PER_MILLE: u64 = 970;
const REACTIVE_PER_MILLE: u64 = 251;

/// The angle between voltage and current that follows from it, in hundredths of a degree: acos 0.97, rounded.
const ANGLE_CENTIDEGREES: u64 = 1407;

/// A house at one second of its life.
///
/// Same second, same values: the jitter is computed from the second. The counters add up, second by
/// second, exactly what the powers show.
#[derive(Debug, Clone)]
pub(super) struct House {
    second: u64,
    l1: Counters,
    l2: Counters,
    l3: Counters,
}

/// The active energy of a phase, in watt-seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counters {
    imported: u64,
    exported: u64,
}

impl House {
    /// A house whose counters have run for some years.
    pub(super) const fn new() -> Self {
        Self {
            second: 0,
            l1: Counters {
                imported: 1_482_120_000,
                exported: 0,
            },
            l2: Counters {
                imported: 1_771_560_000,
                exported: 0,
            },
            l3: Counters {
                imported: 1_190_880_000,
                exported: 322_200_000,
            },
        }
    }

    /// Lets the house live on until that second; it does not live backwards.
    pub(super) fn live_until(&mut self, second: u64) {
        while self.second < second {
            for phase in Phase::ALL {
                let power = self.power(phase);
                let counters = match phase {
                    Phase::L1 => &mut self.l1,
                    Phase::L2 => &mut self.l2,
                    Phase::L3 => &mut self.l3,
                };
                if power >= 0 {
                    counters.imported += power.unsigned_abs();
                } else {
                    counters.exported += power.unsigned_abs();
                }
            }
            self.second += 1;
        }
    }

    const fn counters(&self, phase: Phase) -> Counters {
        match phase {
            Phase::L1 => self.l1,
            Phase::L2 => self.l2,
            Phase::L3 => self.l3,
        }
    }

    /// Active power in watts, negative when the phase feeds the grid.
    pub(super) fn power(&self, phase: Phase) -> i64 {
        let base = 80 + self.jitter(phase, 12);
        match phase {
            // A refrigerator runs one minute of three.
            Phase::L1 => base + if self.second % 180 < 60 { 92 } else { 0 },
            // A kettle boils for two minutes of twenty.
            Phase::L2 => base + if self.second % 1200 < 120 { 2050 } else { 0 },
            // Clouds pass over the solar panels: up to 1,500 W within five minutes, and down again.
            Phase::L3 => {
                let place = self.second % 600;
                base - i64::try_from(place.min(600 - place) * 5).unwrap_or(0)
            }
        }
    }

    /// Voltage in tenths of a volt; it sinks a little under load.
    pub(super) fn voltage(&self, phase: Phase) -> u64 {
        let drop = self.power(phase) / 200;
        (2302 + self.jitter(phase, 9) - drop).unsigned_abs()
    }

    /// Current in milliamperes, without a sign.
    pub(super) fn current(&self, phase: Phase) -> u64 {
        let milliwatts = self.power(phase).unsigned_abs() * 1000;
        milliwatts * 10_000 / (POWER_FACTOR_PER_MILLE * self.voltage(phase))
    }

    /// Frequency in hundredths of a hertz.
    pub(super) fn frequency(&self) -> u64 {
        (5000 + self.jitter(Phase::L1, 2)).unsigned_abs()
    }

    /// Power factor in thousandths.
    pub(super) const fn power_factor(&self) -> u64 {
        POWER_FACTOR_PER_MILLE
    }

    /// Angle between voltage and current in hundredths of a degree.
    pub(super) const fn angle(&self) -> u64 {
        ANGLE_CENTIDEGREES
    }

    /// Apparent power in volt-amperes.
    pub(super) fn apparent_power(&self, phase: Phase) -> u64 {
        self.power(phase).unsigned_abs() * 1000 / POWER_FACTOR_PER_MILLE
    }

    /// Reactive power in vars, negative when the phase feeds the grid.
    pub(super) fn reactive_power(&self, phase: Phase) -> i64 {
        let amount = i64::try_from(REACTIVE_PER_MILLE).unwrap_or(0);
        self.power(phase) * amount / 1000
    }

    /// Active energy drawn from the grid, in watt-seconds.
    pub(super) const fn imported(&self, phase: Phase) -> u64 {
        self.counters(phase).imported
    }

    /// Active energy fed to the grid, in watt-seconds.
    pub(super) const fn exported(&self, phase: Phase) -> u64 {
        self.counters(phase).exported
    }

    /// Reactive energy that belongs to that much active energy, in var-seconds.
    pub(super) const fn reactive(active: u64) -> u64 {
        active / 1000 * REACTIVE_PER_MILLE
    }

    /// A number from `-spread` to `spread` that depends on the second and the phase alone.
    fn jitter(&self, phase: Phase, spread: u32) -> i64 {
        // A seed of its own for each of the three phases of each second, and the finalizer of
        // SplitMix64, which makes neighbouring seconds look unrelated.
        let mut bits = self.second.wrapping_mul(3).wrapping_add(phase.seed());
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let values = u64::from(spread) * 2 + 1;
        i64::try_from(bits % values).unwrap_or(0) - i64::from(spread)
    }
}

/// A phase of the mains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    L1,
    L2,
    L3,
}

impl Phase {
    pub(super) const ALL: [Self; 3] = [Self::L1, Self::L2, Self::L3];

    const fn seed(self) -> u64 {
        match self {
            Self::L1 => 0,
            Self::L2 => 1,
            Self::L3 => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_what_the_powers_show() {
        let mut house = House::new();
        let mut balance: i64 = Phase::ALL
            .map(|phase| {
                i64::try_from(house.imported(phase)).unwrap() - i64::try_from(house.exported(phase)).unwrap()
            })
            .iter()
            .sum();
        for second in 1..=3600 {
            let before = house.clone();
            balance += Phase::ALL.map(|phase| house.power(phase)).iter().sum::<i64>();
            house.live_until(second);
            for phase in Phase::ALL {
                assert!(house.imported(phase) >= before.imported(phase));
                assert!(house.exported(phase) >= before.exported(phase));
            }
        }
        let now: i64 = Phase::ALL
            .map(|phase| {
                i64::try_from(house.imported(phase)).unwrap() - i64::try_from(house.exported(phase)).unwrap()
            })
            .iter()
            .sum();
        assert_eq!(now, balance);
    }

    #[test]
    fn values_are_those_of_a_house_and_move() {
        let mut house = House::new();
        let mut voltages = std::collections::BTreeSet::new();
        for second in 0..1200 {
            house.live_until(second);
            for phase in Phase::ALL {
                assert!(
                    (2270..=2340).contains(&house.voltage(phase)),
                    "{}",
                    house.voltage(phase)
                );
                assert!(house.current(phase) < 16_000);
                voltages.insert(house.voltage(phase));
            }
            assert!((4998..=5002).contains(&house.frequency()));
        }
        assert!(voltages.len() > 10);
    }

    #[test]
    fn the_same_second_has_the_same_values() {
        let (mut one, mut two) = (House::new(), House::new());
        one.live_until(90);
        one.live_until(100);
        two.live_until(100);
        assert_eq!(
            Phase::ALL.map(|phase| one.power(phase)),
            Phase::ALL.map(|phase| two.power(phase))
        );
        assert_eq!(one.counters(Phase::L2), two.counters(Phase::L2));
    }
}
