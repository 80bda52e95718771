//! The step of the meters: what was found is given a name, a metering point and a consumer, and compared with the dial.
//!
//! What is entered becomes a file of configuration, checked together with everything else before it is written, and in force
//! behind the next start of the daemon. A comparison is the technician's word, kept with the value that it was about.

use mbus::link::SecondaryAddress;
use model::{LogText, MeterId, Obis, Quantity, SystemEvent, Timestamp};
use serde::{Deserialize, Serialize};
use store::{FileError, Installed, LogError};
use toml::Value;

use super::Site;
use super::book::Book;
use super::check::Check;
use super::scan::{Line, Protocol};
use super::what::What;
use crate::config::{Config, Point, line_of};
use crate::doctor::buses;
use crate::metering::MeterView;
use crate::report::Chain;

/// The longest name of a meter or a bus, in characters.
const LONGEST_NAME: usize = 40;
/// The most comparisons that are kept.
const MOST_COMPARISONS: usize = 250;

/// That a reading was compared with the dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Comparison {
    /// The meter's name.
    pub(super) meter: String,
    pub(super) id: Option<MeterId>,
    pub(super) obis: Option<Obis>,
    pub(super) reading: Option<Quantity>,
    pub(super) time: Timestamp,
    pub(super) agrees: bool,
}

/// What somebody has entered about a meter, as it came.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Form {
    pub(super) form: String,
    #[serde(default)]
    pub(super) protocol: String,
    #[serde(default)]
    pub(super) endpoint: String,
    #[serde(default)]
    pub(super) bus: String,
    #[serde(default)]
    pub(super) address: String,
    #[serde(default)]
    pub(super) profile: String,
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) point: String,
    #[serde(default)]
    pub(super) consumer: String,
}

/// A field of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Protocol,
    Endpoint,
    Bus,
    Address,
    Profile,
    Id,
    Name,
    Point,
    Consumer,
}

/// What is wrong with what was entered: at a field, or as a whole, in English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    At(Field),
    Whole(String),
}

impl Form {
    /// Writes what was entered as a file of configuration, if each field is good by itself.
    pub(super) fn to_toml(&self, lines: &[Line]) -> Result<String, Fault> {
        let protocol = match self.protocol.as_str() {
            "mbus" => Protocol::Mbus,
            "modbus" => Protocol::Modbus,
            _ => return Err(Fault::At(Field::Protocol)),
        };
        let name = text(&self.name, Field::Name)?;
        let bus = self.bus_section(protocol, lines)?;
        let address = self.address(protocol)?;
        let mut written = format!("{bus}\n[[bus.meter]]\nname = {}\n{address}\n", quoted(name));
        written.push_str(&self.point_section(protocol)?);
        Ok(written)
    }

    /// Names the bus: the one that is there on this line, or a new one.
    fn bus_section(&self, protocol: Protocol, lines: &[Line]) -> Result<String, Fault> {
        let endpoint = self.endpoint.trim();
        let is_good = match protocol {
            Protocol::Mbus => endpoint.parse::<bus::MbusEndpoint>().is_ok(),
            Protocol::Modbus => endpoint.parse::<bus::ModbusEndpoint>().is_ok(),
        };
        if !is_good {
            return Err(Fault::At(Field::Endpoint));
        }
        let key = line_of(endpoint);
        if let Some(line) = lines.iter().find(|line| line_of(&line.endpoint) == key) {
            if line.is_mbus != (protocol == Protocol::Mbus) {
                return Err(Fault::At(Field::Protocol));
            }
            return Ok(format!("[[bus]]\nname = {}\n", quoted(&line.name)));
        }
        let name = text(&self.bus, Field::Bus)?;
        let kind = match protocol {
            Protocol::Mbus => "mbus",
            Protocol::Modbus => "modbus",
        };
        Ok(format!(
            "[[bus]]\nname = {}\n{kind} = {}\n",
            quoted(name),
            quoted(endpoint)
        ))
    }

    fn address(&self, protocol: Protocol) -> Result<String, Fault> {
        let address = self.address.trim();
        let number = address.parse::<u8>();
        match (protocol, number) {
            (Protocol::Mbus, Ok(primary @ 0..=250)) => Ok(format!("primary = {primary}")),
            (Protocol::Mbus, Err(_)) if address.parse::<SecondaryAddress>().is_ok() => {
                Ok(format!("secondary = {}", quoted(address)))
            }
            (Protocol::Modbus, Ok(unit @ (1..=247 | 255))) => {
                let profile = self.profile.trim();
                // A profile in a file is for who has the file system at hand.
                if modbus::built_in(profile).is_none() {
                    return Err(Fault::At(Field::Profile));
                }
                let mut written = format!("unit = {unit}\nprofile = {}", quoted(profile));
                let has_number = crate::modbus::source::load(profile)
                    .is_ok_and(|profile| profile.serial_number().is_some());
                if !has_number {
                    written.push_str(&format!("\nid = {}", quoted(self.own_id()?)));
                }
                Ok(written)
            }
            _ => Err(Fault::At(Field::Address)),
        }
    }

    /// Returns the identity, which is needed where the meter does not tell one.
    fn own_id(&self) -> Result<&str, Fault> {
        let id = self.id.trim();
        match id.parse::<MeterId>() {
            Ok(_) => Ok(id),
            Err(_) => Err(Fault::At(Field::Id)),
        }
    }

    /// Says where the meter measures and for whom, if that was entered.
    fn point_section(&self, protocol: Protocol) -> Result<String, Fault> {
        let (point, consumer) = (self.point.trim().replace(' ', ""), self.consumer.trim());
        if point.is_empty() && consumer.is_empty() {
            return Ok(String::new());
        }
        if !point.is_empty() && !crate::config::is_metering_point(&point) {
            return Err(Fault::At(Field::Point));
        }
        let id = match protocol {
            // A whole secondary address is an identity; a primary one is none, nor is one with wildcards.
            Protocol::Mbus if self.id.trim().is_empty() => Some(self.address.trim())
                .filter(|address| address.contains('-') && !address.contains('*'))
                .and_then(|address| address.parse::<MeterId>().ok()),
            _ => self.own_id().ok().and_then(|id| id.parse().ok()),
        };
        let id = id.ok_or(Fault::At(Field::Id))?;
        let mut written = format!("\n[[point]]\nmeter = {}\n", quoted(id.as_str()));
        if !point.is_empty() {
            written.push_str(&format!("metering_point = {}\n", quoted(&point)));
        }
        if !consumer.is_empty() {
            written.push_str(&format!("consumer = {}\n", quoted(consumer)));
        }
        Ok(written)
    }
}

/// Takes a name of something: short, and of one line.
fn text(text: &str, field: Field) -> Result<&str, Fault> {
    let text = text.trim();
    let is_good = (1..=LONGEST_NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_good { Ok(text) } else { Err(Fault::At(field)) }
}

/// Writes a text as TOML has it.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// Checks a new meter together with everything that is configured, and writes it down, for the account that wants it. It reads and
/// writes files.
pub(super) fn install(site: &Site, form: &Form, account: &str) -> Result<(), Fault> {
    let written = form.to_toml(&site.lines)?;
    let consumer = form.consumer.trim();
    if !consumer.is_empty() && !site.consumers.iter().any(|known| known == consumer) {
        return Err(Fault::At(Field::Consumer));
    }
    if let Err(error) = Config::read_with(&site.config, &written) {
        return Err(Fault::Whole(Chain(&error).to_string()));
    }
    let whole = |error: &dyn std::error::Error| Fault::Whole(Chain(error).to_string());
    let installed = site.source.store.installed();
    let file = installed.add(&written).map_err(|error| whole(&error))?;
    let event = SystemEvent::MetersInstalled {
        account: LogText::cut(account),
        meters: LogText::cut(&names_in(&written)),
        file: LogText::cut(&file),
    };
    // What nobody can be told of later is not done.
    site.source.journal.write([event.into()]).map_err(|error| {
        if let Err(error) = installed.remove(&file) {
            tracing::error!(file, "an installed meter cannot be taken back: {}", Chain(&error));
        }
        whole(&error)
    })
}

/// Removes a file of installed meters for an account; returns whether there is one of this name. It reads and writes files.
pub(super) fn remove(site: &Site, file: &str, account: &str) -> Result<bool, RemovalError> {
    let installed = site.source.store.installed();
    if !installed.names()?.iter().any(|known| known == file) {
        return Ok(false);
    }
    let path = Installed::folder(&site.data).join(file);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let event = SystemEvent::MetersRemoved {
        account: LogText::cut(account),
        meters: LogText::cut(&names_in(&text)),
        file: LogText::cut(file),
    };
    site.source.journal.write([event.into()])?;
    Ok(installed.remove(file)?)
}

/// The reason why installed meters are not removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemovalError {
    /// The file cannot be removed.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be written down who has removed it.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Returns the names of the meters in a file of configuration.
fn names_in(text: &str) -> String {
    let table: toml::Table = text.parse().unwrap_or_default();
    let list = |value: &Value, key: &str| -> Vec<Value> {
        let list = value.get(key).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let buses = list(&Value::Table(table), "bus");
    let meters = buses.iter().flat_map(|bus| list(bus, "meter"));
    let names: Vec<_> = meters
        .filter_map(|meter| Some(meter.get("name")?.as_str()?.to_owned()))
        .collect();
    names.join(", ")
}

/// Looks at every meter that is read: whether it answers, and whether somebody has compared it with its dial.
pub(super) fn look(site: &Site, book: &Book) -> Vec<Check> {
    let comparisons = book.progress().comparisons;
    let views = site.source.status().meters;
    if views.is_empty() {
        return vec![Check::of(What::Meters, false)];
    }
    let (period, now) = (site.source.registration_period, crate::clock::now());
    let answers = |view| Check::examined(What::MeterAnswers, &buses::meter(view, period, now));
    views
        .iter()
        .flat_map(|view| [answers(view), compared(view, &comparisons)])
        .collect()
}

fn compared(view: &MeterView, comparisons: &[Comparison]) -> Check {
    let id = view
        .id
        .as_ref()
        .map_or_else(|| view.name.clone(), |id| format!("{}: {id}", view.name));
    let compared = comparisons
        .iter()
        .find(|one| one.meter == view.name && one.id == view.id);
    match compared {
        None => Check::of(What::Compared, false).measured(id),
        Some(one) => {
            let reading = one
                .reading
                .map(|reading| format!("{} {}", reading.value, reading.unit));
            Check::of(What::Compared, one.agrees)
                .measured(reading.map_or(id, |reading| format!("{}: {reading}", view.name)))
                .at(one.time)
        }
    }
}

/// Returns the reading that a dial shows: the counter of the energy, or of the volume; else the first one that is known.
pub(super) fn dial(view: &MeterView) -> Option<(Obis, Quantity)> {
    let is_counter = |obis: Obis| {
        let [medium, _, quantity, kind, stage, _] = obis.groups();
        matches!(
            (medium, quantity, kind, stage),
            (1, 1, 8, 0) | (4 | 5 | 6 | 8 | 9, 1, 0, 0) | (7, 3, 0, 0)
        )
    };
    let counter = view.readings().find(|reading| is_counter(reading.element.obis));
    let reading = counter.or_else(|| view.readings().next())?;
    Some((reading.element.obis, reading.quantity))
}

/// Notes what the technician says of a reading; an earlier word about the same meter is forgotten.
pub(super) fn note(comparisons: &mut Vec<Comparison>, comparison: Comparison) {
    comparisons.retain(|one| one.meter != comparison.meter);
    if comparisons.len() < MOST_COMPARISONS {
        comparisons.push(comparison);
    }
}

/// Returns where a meter measures, and for whom.
pub(super) fn point_of<'a>(points: &'a [Point], id: Option<&MeterId>) -> Option<&'a Point> {
    points.iter().find(|point| Some(&point.meter) == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn water() -> Form {
        Form {
            protocol: "mbus".to_owned(),
            endpoint: "tcp:127.0.0.1:10001".to_owned(),
            bus: "cellar".to_owned(),
            address: "5".to_owned(),
            id: "ACW-11490378-14-07".to_owned(),
            name: "water \"cold\"".to_owned(),
            point: "DE00012345678900000000000000 12345".to_owned(),
            consumer: "flat-1".to_owned(),
            ..Form::default()
        }
    }

    #[test]
    fn what_was_entered_becomes_configuration() {
        let written: toml::Table = water().to_toml(&[]).unwrap().parse().unwrap();
        assert_eq!(written["bus"][0]["mbus"].as_str(), Some("tcp:127.0.0.1:10001"));
        let meter = &written["bus"][0]["meter"][0];
        assert_eq!(meter["name"].as_str(), Some("water \"cold\""));
        assert_eq!(meter["primary"].as_integer(), Some(5));
        assert_eq!(written["point"][0]["consumer"].as_str(), Some("flat-1"));
        assert_eq!(names_in(&water().to_toml(&[]).unwrap()), "water \"cold\"");
        assert_eq!(names_in("no toml ["), "");
        let modbus = Form {
            protocol: "modbus".to_owned(),
            profile: "eastron-sdm630".to_owned(),
            point: String::new(),
            consumer: String::new(),
            ..water()
        };
        let written: toml::Table = modbus.to_toml(&[]).unwrap().parse().unwrap();
        assert_eq!(written["bus"][0]["meter"][0]["unit"].as_integer(), Some(5));
        assert!(!written.contains_key("point"));
    }

    #[test]
    fn every_field_has_its_fault_and_nothing_breaks_out_of_its_text() {
        let fault = |how: fn(&mut Form)| {
            let mut form = water();
            how(&mut form);
            form.to_toml(&[]).unwrap_err()
        };
        let at = Fault::At;
        assert_eq!(fault(|form| form.protocol = String::new()), at(Field::Protocol));
        assert_eq!(
            fault(|form| form.endpoint = "cellar".to_owned()),
            at(Field::Endpoint)
        );
        assert_eq!(fault(|form| form.bus = String::new()), at(Field::Bus));
        assert_eq!(fault(|form| form.name = "x".repeat(41)), at(Field::Name));
        assert_eq!(fault(|form| form.name = "a\nb".to_owned()), at(Field::Name));
        assert_eq!(fault(|form| form.address = "251".to_owned()), at(Field::Address));
        assert_eq!(fault(|form| form.address = "1; x".to_owned()), at(Field::Address));
        assert_eq!(fault(|form| form.point = "DE1".to_owned()), at(Field::Point));
        assert_eq!(fault(|form| form.id = String::new()), at(Field::Id));
        assert_eq!(
            fault(|form| {
                form.protocol = "modbus".to_owned();
                form.profile = "../x.toml".to_owned();
            }),
            at(Field::Profile)
        );
        let sly = Form {
            name: "x\"\ndata = \"/\"".replace('\n', " "),
            ..water()
        };
        let written: toml::Table = sly.to_toml(&[]).unwrap().parse().unwrap();
        assert_eq!(written.keys().collect::<Vec<_>>(), ["bus", "point"]);
    }

    #[test]
    fn the_last_word_about_a_meter_counts() {
        let word = |meter: &str, agrees| Comparison {
            meter: meter.to_owned(),
            id: None,
            obis: None,
            reading: None,
            time: Timestamp::EPOCH,
            agrees,
        };
        let mut comparisons = Vec::new();
        for (meter, agrees) in [("gas", false), ("water", true), ("gas", true)] {
            note(&mut comparisons, word(meter, agrees));
        }
        assert_eq!(comparisons, [word("water", true), word("gas", true)]);
    }
}
