//! Readings as XML for the German transparency software (AR 2418-6, version 1.4, which builds upon NAESB's ESPI).
//!
//! Written after descriptions of the format and of what the transparency software reads; the schema itself belongs to others
//! and was not there to check against. Names, nesting, order, units, codes and number forms are as described, and
//! `tests/vectors/web/ar-2418-6.rng` has them as a schema of our own. What could not be checked is which of the two name
//! spaces each element is of where the descriptions are silent. What a gateway of ours does not know is left out and never
//! made up: no metering point unless the configuration names one, and the meter's identity in its place; no signature of a
//! meter, since meters on an M-Bus or Modbus do not sign; no tariff profile.

use model::{CardId, Decimal, Element, Reading, Status, Timestamp, Unit};

use super::zone::Zone;

/// The media type of the file.
pub(super) const MEDIA_TYPE: &str = "application/xml; charset=utf-8";
/// The certificate that signs the gateway's logs and messages: number 1, of type 1, SIG.
const SIG: &str = "1";

/// The gateway that the file comes from.
pub(super) struct Origin {
    pub(super) guid: Option<CardId>,
    /// The gateway's SIG certificate (DER), while its card is there.
    pub(super) certificate: Option<Vec<u8>>,
    /// The version of its software.
    pub(super) version: &'static str,
    /// Whose account asked.
    pub(super) customer: String,
    /// The metering point, where the configuration names one.
    pub(super) metering_point: Option<String>,
    pub(super) time: Timestamp,
}

/// Writes the readings of one register; `None` if one has another unit than it, or no common scale in 128 bits.
pub(super) fn write(
    origin: &Origin,
    zone: &Zone,
    (element, unit): (&Element, Unit),
    (from, to): (Timestamp, Timestamp),
    readings: &[Reading],
) -> Option<String> {
    if readings.iter().any(|reading| reading.quantity.unit != unit) {
        return None;
    }
    // All values of one type of reading have one scaler: the finest digit among them.
    let scaler = readings
        .iter()
        .map(|reading| reading.quantity.value.scaler())
        .min();
    let scaler = scaler.unwrap_or(0);
    let mut xml = Xml::begin();
    xml.open("ar:UsagePoint");
    xml.open("espi:ServiceCategory");
    xml.leaf("espi:kind", service_kind(element));
    xml.close("espi:ServiceCategory");
    let meter = element.meter.to_string();
    xml.leaf(
        "ar:usagePointId",
        origin.metering_point.as_ref().unwrap_or(&meter),
    );
    xml.open("ar:Customer");
    xml.leaf("ar:customerId", &origin.customer);
    xml.close("ar:Customer");
    gateway(&mut xml, origin, zone);
    xml.open("ar:MeterReading");
    xml.open("ar:Meter");
    xml.leaf("ar:meterId", &meter);
    xml.close("ar:Meter");
    let name = logical_name(element);
    xml.leaf("ar:meterReadingId", &name);
    xml.open("ar:ReadingType");
    xml.leaf("espi:powerOfTenMultiplier", "0");
    xml.leaf("espi:uom", &uom(unit).to_string());
    xml.leaf("ar:scaler", &scaler.to_string());
    xml.leaf("ar:obisCode", &hex::encode(element.obis.groups()));
    xml.leaf("ar:qualifiedLogicalName", &name);
    xml.close("ar:ReadingType");
    xml.open("ar:IntervalBlock");
    interval(&mut xml, "espi:interval", zone, from, to.seconds_since(from));
    for reading in readings {
        interval_reading(&mut xml, zone, reading, scaler)?;
    }
    xml.close("ar:IntervalBlock");
    xml.close("ar:MeterReading");
    xml.close("ar:UsagePoint");
    Some(xml.end())
}

fn gateway(xml: &mut Xml, origin: &Origin, zone: &Zone) {
    xml.open("ar:SMGW");
    if origin.certificate.is_some() {
        xml.leaf("ar:certId", SIG);
    }
    if let Some(guid) = origin.guid {
        xml.leaf("ar:smgwId", &guid.to_string());
    }
    xml.leaf("ar:FirmwareVersion", origin.version);
    xml.leaf("ar:SystemTime", &date_time(zone, origin.time));
    xml.close("ar:SMGW");
    if let Some(certificate) = &origin.certificate {
        xml.open("ar:Certificate");
        xml.leaf("ar:certId", SIG);
        xml.leaf("ar:certType", SIG);
        xml.leaf("ar:certContent", &hex::encode(certificate));
        xml.close("ar:Certificate");
    }
}

fn interval_reading(xml: &mut Xml, zone: &Zone, reading: &Reading, scaler: i8) -> Option<()> {
    let value: Decimal = reading.quantity.value.rescaled(scaler)?;
    xml.open("ar:IntervalReading");
    xml.leaf("espi:value", &value.mantissa().to_string());
    interval(xml, "espi:timePeriod", zone, reading.time, 0);
    xml.leaf("ar:targetTime", &date_time(zone, reading.time));
    xml.leaf("ar:statusPTB", status_ptb(reading.status));
    xml.close("ar:IntervalReading");
    Some(())
}

fn interval(xml: &mut Xml, name: &'static str, zone: &Zone, start: Timestamp, seconds: i64) {
    xml.open(name);
    xml.leaf("espi:duration", &seconds.to_string());
    xml.leaf("espi:start", &date_time(zone, start));
    xml.close(name);
}

/// Returns the kind of service (ESPI, `ServiceKind`): electricity, gas, water, heat; other ones are 10.
const fn service_kind(element: &Element) -> &'static str {
    use model::Medium;
    match Medium::of(element.obis) {
        Medium::Electricity => "0",
        Medium::Gas => "1",
        Medium::Water | Medium::WarmWater => "2",
        Medium::Heat => "5",
        Medium::Cooling | Medium::HeatCostAllocator | Medium::Other => "10",
    }
}

/// Returns the unit's number (ESPI, `UnitSymbolKind`); 0 for units that it does not have.
const fn uom(unit: Unit) -> u8 {
    match unit {
        Unit::WattHour => 72,
        Unit::VarHour => 73,
        Unit::VoltAmpereHour => 71,
        Unit::Joule => 31,
        Unit::CubicMetre => 42,
        Unit::CubicMetrePerHour => 125,
        Unit::Watt => 38,
        Unit::Var => 63,
        Unit::VoltAmpere => 61,
        Unit::Volt => 29,
        Unit::Ampere => 5,
        Unit::Hertz => 33,
        Unit::DegreeCelsius => 23,
        Unit::Second => 27,
        Unit::Kilogram
        | Unit::JoulePerHour
        | Unit::KilogramPerHour
        | Unit::Kelvin
        | Unit::Bar
        | Unit::Degree
        | Unit::One => 0,
    }
}

/// Returns the status as the PTB grades it: 0 in order, 1 a warning, 2 a temporary error of a value that can be used, 4 a
/// fatal error. Nothing that a meter on our buses reports is grade 3.
const fn status_ptb(status: Status) -> &'static str {
    if status.contains(Status::PERMANENT_ERROR) {
        "4"
    } else if status.contains(Status::TEMPORARY_ERROR) || status.contains(Status::CLOCK_UNKNOWN) {
        "2"
    } else if status.contains(Status::LOW_POWER) {
        "1"
    } else {
        "0"
    }
}

/// Returns the register's name: the OBIS code in hexadecimal digits, the meter, and the domain.
fn logical_name(element: &Element) -> String {
    format!("{}.{}.sm", hex::encode(element.obis.groups()), element.meter)
}

/// Writes a time by the wall clock with its offset (XML Schema, `dateTime`).
fn date_time(zone: &Zone, time: Timestamp) -> String {
    let clock = zone.wall_clock(time);
    format!("{}T{}{}", clock.date(), clock.time(), zone.offset(time))
}

/// XML as it is written.
struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    fn begin() -> Self {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ar:UsagePoints xmlns:ar=\"http://vde.de/AR_2418-6.xsd\" \
                    xmlns:espi=\"http://naesb.org/espi\">\n";
        Self {
            text: text.to_owned(),
            depth: 1,
        }
    }

    fn end(mut self) -> String {
        self.text.push_str("</ar:UsagePoints>\n");
        self.text
    }

    fn open(&mut self, name: &'static str) {
        self.indent();
        self.text.push_str(&format!("<{name}>\n"));
        self.depth = self.depth.saturating_add(1);
    }

    fn close(&mut self, name: &'static str) {
        self.depth = self.depth.saturating_sub(1);
        self.indent();
        self.text.push_str(&format!("</{name}>\n"));
    }

    fn leaf(&mut self, name: &'static str, value: &str) {
        self.indent();
        self.text.push_str(&format!("<{name}>"));
        for character in value.chars() {
            match character {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                // Control characters and these two cannot stand in XML 1.0 at all.
                '\u{fffe}' | '\u{ffff}' => self.text.push(' '),
                control if control.is_control() => self.text.push(' '),
                other => self.text.push(other),
            }
        }
        self.text.push_str(&format!("</{name}>\n"));
    }

    fn indent(&mut self) {
        self.text.push_str(&"  ".repeat(self.depth));
    }
}

#[cfg(test)]
mod tests {
    use model::Quantity;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn element() -> Element {
        Element {
            meter: "ELS-12345678-3C-07".parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        }
    }

    fn reading(time: &str, value: &str, status: Status) -> Reading {
        Reading {
            element: element(),
            time: at(time),
            quantity: Quantity {
                value: value.parse().unwrap(),
                unit: Unit::WattHour,
            },
            status,
        }
    }

    fn origin() -> Origin {
        Origin {
            guid: Some("fd5a::1".parse().unwrap()),
            certificate: Some(vec![0x30, 0x82]),
            version: "0.1.0",
            customer: "a <b> & c]]> \u{1}\u{ffff}\"ü".to_owned(),
            metering_point: None,
            time: at("2026-11-30T15:00:00Z"),
        }
    }

    /// A day on which a register counts 250 mWh each hour.
    fn day(day: &str, midnight: &str, hours: i64) -> String {
        let from = at(midnight);
        let time = |hour: i64| Timestamp::from_unix_seconds(from.unix_seconds() + hour * 3_600).unwrap();
        let readings: Vec<_> = (0..=hours)
            .map(|hour| {
                let value = format!("{}.{:02}", 1_000 + hour / 4, hour % 4 * 25);
                Reading {
                    time: time(hour),
                    ..reading(midnight, &value, Status::GOOD)
                }
            })
            .collect();
        let origin = Origin {
            metering_point: Some("DE00012345678901234567890123456789".get(..33).unwrap().to_owned()),
            ..origin()
        };
        let zone = Zone::central_europe();
        let period = (from, time(hours));
        assert_eq!(zone.day(from).to_string(), day);
        write(&origin, &zone, (&element(), Unit::WattHour), period, &readings).unwrap()
    }

    /// The story `local_web` has xmllint judge these files by the schema.
    #[test]
    fn days_of_23_and_25_hours_are_written_as_the_files_that_xmllint_judges() {
        let spring = day("2026-03-29", "2026-03-28T23:00:00Z", 23);
        assert_eq!(
            spring,
            include_str!("../../../../../tests/vectors/web/day-of-23-hours.xml")
        );
        let autumn = day("2026-10-25", "2026-10-24T22:00:00Z", 25);
        assert_eq!(
            autumn,
            include_str!("../../../../../tests/vectors/web/day-of-25-hours.xml")
        );
        assert!(!spring.contains("T02:") && autumn.matches("T02:").count() == 4);
    }

    #[test]
    fn readings_are_integers_with_one_scaler_and_times_have_their_offsets() {
        let readings = [
            reading("2026-10-25T00:00:00Z", "1000.5", Status::GOOD),
            reading("2026-10-25T01:00:00Z", "1001", Status::CLOCK_UNKNOWN),
        ];
        let period = (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"));
        let zone = Zone::central_europe();
        let xml = write(&origin(), &zone, (&element(), Unit::WattHour), period, &readings).unwrap();
        for part in [
            "<ar:customerId>a &lt;b&gt; &amp; c]]&gt;   \"ü</ar:customerId>",
            "<ar:usagePointId>ELS-12345678-3C-07</ar:usagePointId>",
            "<ar:smgwId>fd5a::1</ar:smgwId>",
            "<ar:certContent>3082</ar:certContent>",
            "<espi:uom>72</espi:uom>",
            "<ar:scaler>-1</ar:scaler>",
            "<ar:obisCode>0100010800ff</ar:obisCode>",
            "<ar:qualifiedLogicalName>0100010800ff.ELS-12345678-3C-07.sm</ar:qualifiedLogicalName>",
            "<espi:duration>90000</espi:duration>",
            "<espi:value>10005</espi:value>",
            "<espi:value>10010</espi:value>",
            // The hour that comes twice is told apart by the offset.
            "<ar:targetTime>2026-10-25T02:00:00+02:00</ar:targetTime>",
            "<ar:targetTime>2026-10-25T02:00:00+01:00</ar:targetTime>",
            "<ar:statusPTB>2</ar:statusPTB>",
        ] {
            assert!(xml.contains(part), "{part} is missing in {xml}");
        }
        assert_eq!(xml.matches("<ar:IntervalReading>").count(), 2);
        assert!(!xml.contains("signature"), "nothing is made up");
    }

    #[test]
    fn every_element_that_is_opened_is_closed() {
        let zone = Zone::central_europe();
        let period = (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"));
        let one = [reading("2026-10-25T00:00:00Z", "1", Status::GOOD)];
        let xml = write(&origin(), &zone, (&element(), Unit::WattHour), period, &one).unwrap();
        let mut open = Vec::new();
        for tag in xml.split('<').skip(2) {
            let (tag, rest) = tag.split_once('>').unwrap();
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name.to_owned())),
                None => open.push(tag.split(' ').next().unwrap().to_owned()),
            }
            assert!(!rest.contains('>'), "{rest}");
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn what_has_no_common_scale_or_unit_is_not_written() {
        let zone = Zone::central_europe();
        let period = (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"));
        let mut other = reading("2026-10-25T00:00:00Z", "1", Status::GOOD);
        other.quantity.unit = Unit::Joule;
        let both = [reading("2026-10-25T00:00:00Z", "1", Status::GOOD), other];
        assert!(write(&origin(), &zone, (&element(), Unit::WattHour), period, &both).is_none());
        let none = write(&origin(), &zone, (&element(), Unit::WattHour), period, &[]).unwrap();
        assert!(none.contains("<ar:IntervalBlock>") && !none.contains("<ar:IntervalReading>"));
        let grades = [
            (Status::GOOD, "0"),
            (Status::LOW_POWER, "1"),
            (Status::TEMPORARY_ERROR, "2"),
            (Status::PERMANENT_ERROR.with(Status::LOW_POWER), "4"),
        ];
        for (status, grade) in grades {
            assert_eq!(status_ptb(status), grade);
        }
    }
}
