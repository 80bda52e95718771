//! What an OBIS code says about phase, tariff, unit and medium.

use model::{Medium, Obis, Unit};

use super::Phase;

/// Group A of electricity, and of objects that belong to no medium.
const ELECTRICITY: u8 = 1;
const ABSTRACT: u8 = 0;
/// The quantities of group C before they repeat for each phase.
const PER_PHASE: u8 = 20;
/// Group D of a counter (time integral 1) and of a present value.
const COUNTER: u8 = 8;
const PRESENT: u8 = 7;

/// Returns the phase of an electrical quantity.
///
/// Spec: IEC 62056-61:2006, table 4.
pub(super) const fn phase(obis: Obis) -> Option<Phase> {
    let [a, _, c, ..] = obis.groups();
    match (a, c) {
        (ELECTRICITY, 21..=40) => Some(Phase::L1),
        (ELECTRICITY, 41..=60) => Some(Phase::L2),
        (ELECTRICITY, 61..=80) => Some(Phase::L3),
        _ => None,
    }
}

/// Returns the tariff of a counter; 0 is the total.
///
/// Spec: IEC 62056-61:2006, section 5.5; EN 13757-1:2014, section 6 for gas, water and heat, whose
/// counters have 0 in group D.
pub(super) const fn tariff(obis: Obis) -> Option<u8> {
    let [a, _, c, d, e, _] = obis.groups();
    match (a, c, d) {
        (ELECTRICITY, 1..=80, COUNTER) | (4..=9, 1..=3, 0) => Some(e),
        _ => None,
    }
}

/// Returns whether a meter of that medium can have the element.
///
/// A meter of several media, or of none in particular, has elements of all; a heat meter may count
/// cooling too, and abstract objects such as an error register belong to all.
pub(super) const fn suits(obis: Obis, medium: Medium) -> bool {
    let group = obis.medium_group();
    match medium {
        Medium::Other => true,
        Medium::Electricity => matches!(group, ABSTRACT | 1),
        Medium::HeatCostAllocator => matches!(group, ABSTRACT | 4),
        Medium::Heat | Medium::Cooling => matches!(group, ABSTRACT | 5 | 6),
        Medium::Gas => matches!(group, ABSTRACT | 7),
        Medium::Water | Medium::WarmWater => matches!(group, ABSTRACT | 8 | 9),
    }
}

/// Returns the units that the element can have, or none if the code leaves it open.
///
/// Spec: IEC 62056-61:2006, table 4; EN 13757-1:2014, section 6.
pub(super) const fn units(obis: Obis) -> &'static [Unit] {
    let [a, _, c, d, ..] = obis.groups();
    match a {
        ELECTRICITY => electrical_units(c, d),
        5 | 6 => match (c, d) {
            (1, 0) => &[Unit::WattHour, Unit::Joule],
            (2, 0) => &[Unit::CubicMetre, Unit::Kilogram],
            (8, 0) => &[Unit::Watt, Unit::JoulePerHour],
            (9, 0) => &[Unit::CubicMetrePerHour, Unit::KilogramPerHour],
            (10 | 11, 0) => &[Unit::DegreeCelsius],
            (12, 0) => &[Unit::Kelvin, Unit::DegreeCelsius],
            _ => &[],
        },
        7 => match (c, d) {
            (1..=9, 0) => &[Unit::CubicMetre],
            (43, 15) => &[Unit::CubicMetrePerHour],
            _ => &[],
        },
        8 | 9 => match (c, d) {
            (1, 0) => &[Unit::CubicMetre],
            (2, 0) => &[Unit::CubicMetrePerHour],
            _ => &[],
        },
        _ => &[],
    }
}

const fn electrical_units(c: u8, d: u8) -> &'static [Unit] {
    let quantity = match c {
        1..=80 => match c % PER_PHASE {
            0 => PER_PHASE,
            rest => rest,
        },
        81 => return angle_units(d),
        90 | 91 => 11,
        _ => return &[],
    };
    match (quantity, d) {
        (1 | 2 | 15..=20, COUNTER) => &[Unit::WattHour],
        (3..=8, COUNTER) => &[Unit::VarHour],
        (9 | 10, COUNTER) => &[Unit::VoltAmpereHour],
        (1 | 2 | 15..=20, PRESENT) => &[Unit::Watt],
        (3..=8, PRESENT) => &[Unit::Var],
        (9 | 10, PRESENT) => &[Unit::VoltAmpere],
        (11, PRESENT) => &[Unit::Ampere],
        (12, PRESENT) => &[Unit::Volt],
        (13, PRESENT) => &[Unit::One],
        (14, PRESENT) => &[Unit::Hertz],
        _ => &[],
    }
}

const fn angle_units(d: u8) -> &'static [Unit] {
    match d {
        PRESENT => &[Unit::Degree],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Obis {
        text.parse().unwrap()
    }

    #[test]
    fn phases_follow_from_group_c() {
        assert_eq!(phase(code("1-0:1.8.0*255")), None);
        assert_eq!(phase(code("1-0:21.8.0*255")), Some(Phase::L1));
        assert_eq!(phase(code("1-0:52.7.0*255")), Some(Phase::L2));
        assert_eq!(phase(code("1-0:72.7.0*255")), Some(Phase::L3));
        assert_eq!(phase(code("8-0:21.0.0*255")), None);
    }

    #[test]
    fn tariffs_follow_from_group_e_of_counters() {
        assert_eq!(tariff(code("1-0:1.8.2*255")), Some(2));
        assert_eq!(tariff(code("8-0:1.0.1*255")), Some(1));
        assert_eq!(tariff(code("1-0:81.7.4*255")), None);
    }

    #[test]
    fn units_follow_from_the_quantity() {
        for (text, unit) in [
            ("1-0:1.8.0*255", Unit::WattHour),
            ("1-0:23.8.0*255", Unit::VarHour),
            ("1-0:9.8.0*255", Unit::VoltAmpereHour),
            ("1-0:16.7.0*255", Unit::Watt),
            ("1-0:49.7.0*255", Unit::VoltAmpere),
            ("1-0:71.7.0*255", Unit::Ampere),
            ("1-0:90.7.0*255", Unit::Ampere),
            ("1-0:32.7.0*255", Unit::Volt),
            ("1-0:33.7.0*255", Unit::One),
            ("1-0:14.7.0*255", Unit::Hertz),
            ("1-0:81.7.4*255", Unit::Degree),
            ("6-0:1.0.0*255", Unit::Joule),
            ("6-0:9.0.0*255", Unit::CubicMetrePerHour),
            ("7-0:3.0.0*255", Unit::CubicMetre),
            ("8-0:1.0.0*255", Unit::CubicMetre),
        ] {
            assert!(units(code(text)).contains(&unit), "{text}");
        }
        assert!(units(code("1-0:96.7.21*255")).is_empty());
    }

    #[test]
    fn media_have_their_own_codes_and_abstract_ones() {
        assert!(suits(code("8-0:1.0.0*255"), Medium::WarmWater));
        assert!(suits(code("0-0:97.97.0*255"), Medium::Gas));
        assert!(!suits(code("1-0:1.8.0*255"), Medium::Gas));
        assert!(suits(code("1-0:1.8.0*255"), Medium::Other));
    }
}
