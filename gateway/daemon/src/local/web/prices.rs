//! What a consumer pays for a unit, as the consumer has entered it: for no other eyes, and nothing that the gateway bills.
//!
//! The applications of a gateway know no prices, and no bundle names any. What is entered is kept in one record for all
//! accounts, a tariff for each, which is checked before it is kept.

use std::collections::BTreeMap;

use billing::{StageDocument, Tariff, TariffDocument, TariffError};
use model::{Element, ElementPattern, Unit};
use serde::{Deserialize, Serialize};
use store::{Access, AccessError, AccessRecord};

use super::zone::Zone;

/// The most stages of one account: day and night of some registers.
const MOST_STAGES: usize = 16;
/// The longest name of a stage, and of a currency, in characters.
pub(super) const LONGEST_NAME: usize = 40;
/// How many places behind the point an amount has: cents.
const PLACES: u8 = 2;
/// The version of the record.
const VERSION: u32 = 1;

/// The reason why prices are not kept or cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PricesError {
    #[error(
        "a stage has a name of its own of 1 to {LONGEST_NAME} characters, and an account {MOST_STAGES} stages at most"
    )]
    Stage,
    #[error(
        "a price is a number that is not negative, such as 0.3512, and a currency has 1 to {LONGEST_NAME} characters"
    )]
    Price,
    #[error(transparent)]
    Tariff(#[from] TariffError),
    #[error("the prices that were kept are of another version; enter them anew")]
    Version,
    #[error(transparent)]
    Access(#[from] AccessError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    accounts: BTreeMap<String, TariffDocument>,
}

fn record(access: &Access) -> Result<BTreeMap<String, TariffDocument>, PricesError> {
    let Some(content) = access.read(AccessRecord::Prices)? else {
        return Ok(BTreeMap::new());
    };
    match serde_json::from_slice::<Record>(&content) {
        Ok(record) if record.version == VERSION => Ok(record.accounts),
        Ok(_) | Err(_) => Err(PricesError::Version),
    }
}

/// Returns what an account has entered.
pub(super) fn read(access: &Access, account: &str) -> Result<Option<TariffDocument>, PricesError> {
    Ok(record(access)?.remove(account))
}

/// Adds a stage to what an account has entered; a stage of the same name is replaced.
pub(super) fn add(
    access: &Access,
    account: &str,
    (stage, currency): (StageDocument, &str),
    zone: &Zone,
) -> Result<(), PricesError> {
    let is_name = |text: &str| (1..=LONGEST_NAME).contains(&text.chars().count());
    if !is_name(&stage.name) {
        return Err(PricesError::Stage);
    }
    if stage.price.mantissa() < 0 || !is_name(currency) {
        return Err(PricesError::Price);
    }
    // What is damaged or of another version is entered anew.
    let mut accounts = record(access).unwrap_or_default();
    let known = accounts.remove(account);
    let mut stages = known.map(|known| known.stage).unwrap_or_default();
    stages.retain(|known| known.name != stage.name || known.elements != stage.elements);
    stages.push(stage);
    if stages.len() > MOST_STAGES {
        return Err(PricesError::Stage);
    }
    let document = TariffDocument {
        currency: currency.to_owned(),
        places: PLACES,
        time_zone: Some(zone.to_string()),
        stage: stages,
    };
    tariff(document.clone(), zone)?;
    accounts.insert(account.to_owned(), document);
    write(access, accounts)
}

/// Removes a stage from what an account has entered.
pub(super) fn remove(
    access: &Access,
    account: &str,
    (name, elements): (&str, &ElementPattern),
) -> Result<(), PricesError> {
    let mut accounts = record(access)?;
    if let Some(known) = accounts.get_mut(account) {
        known
            .stage
            .retain(|stage| stage.name != name || stage.elements != [elements.clone()]);
        if known.stage.is_empty() {
            accounts.remove(account);
        }
    }
    write(access, accounts)
}

fn write(access: &Access, accounts: BTreeMap<String, TariffDocument>) -> Result<(), PricesError> {
    let version = VERSION;
    // Strings and numbers alone: it cannot fail but for want of memory.
    let content = serde_json::to_vec(&Record { version, accounts }).map_err(|_| PricesError::Version)?;
    Ok(access.write(AccessRecord::Prices, &content)?)
}

/// Returns the tariff. Its windows are of the clock of the house, whatever the document calls it.
pub(super) fn tariff(document: TariffDocument, zone: &Zone) -> Result<Tariff, TariffError> {
    Tariff::new(document, |_| Some(zone.time_zone()))
}

/// Returns the unit that a price is for, as people pay by it.
pub(super) const fn unit_of_price(unit: Unit) -> &'static str {
    match unit {
        Unit::WattHour => "kWh",
        Unit::VarHour => "kvarh",
        Unit::VoltAmpereHour => "kVAh",
        Unit::Joule => "MJ",
        other => other.symbol(),
    }
}

/// Returns the stages that are about one register.
pub(super) fn stages_of<'a>(document: &'a TariffDocument, element: &Element) -> Vec<&'a StageDocument> {
    let stages = document.stage.iter();
    stages
        .filter(|stage| stage.elements.iter().any(|pattern| pattern.matches(element)))
        .collect()
}

#[cfg(test)]
mod tests {
    use billing::WindowDocument;
    use store::{DeviceKey, Protection, Store};

    use super::*;

    fn store(folder: &std::path::Path) -> Store {
        let key = DeviceKey::new([7; DeviceKey::LENGTH]);
        Store::open(folder, Ok(Protection { key, otp: None })).unwrap()
    }

    fn stage(name: &str, price: &str) -> StageDocument {
        StageDocument {
            name: name.to_owned(),
            elements: vec!["M1/1-0:1.8.0*255".parse().unwrap()],
            unit: "kWh".to_owned(),
            price: price.parse().unwrap(),
            windows: Vec::new(),
        }
    }

    #[test]
    fn each_account_has_prices_of_its_own_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let zone = Zone::central_europe();
        {
            let store = store(folder.path());
            let access = store.access();
            add(access, "flat-1", (stage("all day", "0.3"), "EUR"), &zone).unwrap();
            add(access, "flat-1", (stage("all day", "0.35"), "EUR"), &zone).unwrap();
            add(access, "flat-2", (stage("all day", "0.4"), "CHF"), &zone).unwrap();
        }
        let store = store(folder.path());
        let access = store.access();
        let own = read(access, "flat-1").unwrap().unwrap();
        assert_eq!(
            (own.stage.len(), own.stage[0].price.to_string().as_str()),
            (1, "0.35")
        );
        assert_eq!(read(access, "flat-2").unwrap().unwrap().currency, "CHF");
        assert!(read(access, "flat-3").unwrap().is_none());
        remove(access, "flat-1", ("all day", &own.stage[0].elements[0])).unwrap();
        assert!(read(access, "flat-1").unwrap().is_none());
    }

    #[test]
    fn damaged_prices_are_told_and_entered_anew() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("web-prices"), "smgw access 1\n?").unwrap();
        let store = store(folder.path());
        let access = store.access();
        assert!(matches!(read(access, "consumer"), Err(PricesError::Access(_))));
        assert!(access.damaged().is_empty(), "they keep nobody out");
        add(
            access,
            "consumer",
            (stage("all day", "0.3"), "EUR"),
            &Zone::central_europe(),
        )
        .unwrap();
        assert!(read(access, "consumer").unwrap().is_some());
        access
            .write(AccessRecord::Prices, b"{\"version\":2,\"accounts\":{}}")
            .unwrap();
        assert!(matches!(read(access, "consumer"), Err(PricesError::Version)));
    }

    #[test]
    fn what_is_no_price_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let zone = Zone::central_europe();
        let add = |stage, currency| add(store.access(), "consumer", (stage, currency), &zone);
        assert!(matches!(add(stage("", "1"), "EUR"), Err(PricesError::Stage)));
        assert!(matches!(add(stage("day", "-1"), "EUR"), Err(PricesError::Price)));
        assert!(matches!(add(stage("day", "1"), ""), Err(PricesError::Price)));
        let mut window = stage("day", "1");
        window.windows.push(WindowDocument {
            days: billing::Day::ALL.to_vec(),
            from: "6".to_owned(),
            to: "22:00".to_owned(),
        });
        assert!(matches!(add(window, "EUR"), Err(PricesError::Tariff(_))));
        for number in 0..MOST_STAGES {
            add(stage(&number.to_string(), "1"), "EUR").unwrap();
        }
        assert!(matches!(add(stage("more", "1"), "EUR"), Err(PricesError::Stage)));
    }
}
