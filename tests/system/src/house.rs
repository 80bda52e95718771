//! A house with everything in it: meters, bound gateway, trust centre, and a supplier with a grant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{
    Card, CardPlace, CardReader, Facility, Folder, Gateway, GatewayConfig, GrantText, Interrupt, Meters,
    Period, Programs, Query, SoftCard, Stage, StageError, Status, Supplier,
};

/// One of the elements that the supplier of a [`House`] may have: the electricity that was drawn.
pub const COUNTER: &str = "*/1-0:1.8.0*255";
/// The elements that the supplier of a [`House`] may have: the counters of electricity, and whatever
/// the meters of gas, water and heat register for the current billing period.
pub const GRANTED: [&str; 5] = [
    COUNTER,
    "*/1-0:2.8.0*255",
    "*/6-x:x.x.x*255",
    "*/7-x:x.x.x*255",
    "*/8-x:x.x.x*255",
];
/// An element that the electricity meter has and that nobody is granted: the power of this moment.
pub const UNGRANTED: &str = "*/1-0:16.7.0*255";
/// How far back the supplier of a [`House`] may ask.
pub const HISTORY: &str = "P730D";

/// How long the binding may take; it signs twice and flushes some ten times.
const BINDING_PATIENCE: Duration = Duration::from_secs(20);

/// The reader of a [`House`] and the card in it, dropped in this order.
#[derive(Debug)]
pub struct HouseReader {
    /// The program that is the card.
    pub card: SoftCard,
    /// The private `pcscd`.
    pub service: CardReader,
}

/// Where the card of a house is, and who personalises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CardIn {
    /// In a file, by the trust centre.
    File,
    /// In a reader, by the trust centre, before it comes there.
    Reader,
    /// In a reader, where a second facility personalises it with what the trust centre sends.
    ReaderOfFacility,
    /// In a file, by a second facility with material that somebody has carried there.
    FileOfFacility,
}

/// How fine a query is, measured by the registration period of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// One value per registration period, as granted.
    AsGranted,
    /// One value per second, which nobody is granted.
    Finer,
}

/// Everything of one run. Its fields are dropped, and so ended, in their order.
#[derive(Debug)]
pub struct House {
    /// The gateway.
    pub gateway: Gateway,
    /// The meters.
    pub meters: Meters,
    /// The card that the gateway is bound to.
    pub card: Card,
    /// The reader that the card is in, if it is not a file of the gateway.
    pub reader: Option<HouseReader>,
    /// The supplier that has the grants of [`grants_of_the_house`].
    pub supplier: Supplier,
    /// The gateway's configuration file.
    pub config: PathBuf,
    /// The registration period, ISO 8601.
    pub period: String,
    /// The gateway's status after the installation.
    pub status: Status,
    /// The stage, whose folder is deleted last.
    pub stage: Stage,
}

impl House {
    /// Walks the whole story: from nothing to a gateway that serves its supplier. The messages of
    /// the first contact go into the folder `keep`, if there is one.
    ///
    /// # Errors
    ///
    /// The first [`StageError`]; it names the program and its last words.
    pub fn open(
        programs: Programs,
        folder: Folder,
        interrupt: Interrupt,
        period: &str,
        keep: Option<&Path>,
    ) -> Result<Self, StageError> {
        Self::open_at(
            Stage::set(programs, folder, interrupt)?,
            period,
            keep,
            CardIn::File,
        )
    }

    fn open_at(
        mut stage: Stage,
        period: &str,
        keep: Option<&Path>,
        card_in: CardIn,
    ) -> Result<Self, StageError> {
        let supplier = stage.found_supplier("supplier", "Supplier", &stage.trust_center())?;
        let meters = stage.start_meters()?;
        let (card, reader, place) = match card_in {
            CardIn::File => {
                let card = stage.personalize("card")?;
                let place = CardPlace::File(card.file.clone());
                (card, None, place)
            }
            CardIn::FileOfFacility => {
                let file = stage.path("card");
                let facility = Facility::found(&stage, "factory", "Factory")?;
                facility.carry_material(&stage, "Factory", 1)?;
                let guid = facility.personalize_from_material(&stage, &format!("soft:{}", file.display()))?;
                facility.carry_report(&stage)?;
                let card = Card { file, guid };
                (card.clone(), None, CardPlace::File(card.file))
            }
            CardIn::Reader | CardIn::ReaderOfFacility => {
                let service = stage.start_reader("pcscd")?;
                let place = CardPlace::Reader(CardReader::NAME.to_owned());
                let file = stage.path("card");
                let (card, inserted) = if card_in == CardIn::Reader {
                    let card = stage.personalize("card")?;
                    (card, service.insert(&stage, &file)?)
                } else {
                    let blank = service.insert(&stage, &file)?;
                    let facility = Facility::found(&stage, "factory", "Factory")?;
                    let guid = facility.personalize(&stage, &format!("pcsc:{}", CardReader::NAME))?;
                    (Card { file, guid }, blank)
                };
                let reader = HouseReader {
                    card: inserted,
                    service,
                };
                (card, Some(reader), place)
            }
        };
        let config = GatewayConfig::on(&stage, place, &meters, period);
        let config = stage.write_config("smgw.toml", &config)?;
        let mut gateway = stage.start_gateway(&config)?;
        let status = gateway.wait_for(&stage, "the binding", BINDING_PATIENCE, |status| {
            status.state == "bound" && status.wan.is_some()
        })?;
        let wan = status.wan.unwrap_or_default();
        let grants = grants_of_the_house(period);
        stage.install(&card.guid, &wan, &supplier, &grants, keep)?;
        let status = gateway.wait_for_state(&stage, "operational", BINDING_PATIENCE)?;
        Ok(Self {
            gateway,
            meters,
            card,
            reader,
            supplier,
            config,
            period: period.to_owned(),
            status,
            stage,
        })
    }

    /// Opens a house in a temporary folder with the programs beside the running test.
    ///
    /// # Errors
    ///
    /// As [`House::open`].
    pub fn for_a_story(period: &str) -> Result<Self, StageError> {
        Self::open(
            Programs::find()?,
            Folder::temporary()?,
            Interrupt::default(),
            period,
            None,
        )
    }

    /// Opens a house as [`House::for_a_story`] does, whose card is in a virtual reader of a private `pcscd`.
    ///
    /// # Errors
    ///
    /// As [`House::open`] and [`CardReader::start`].
    pub fn for_a_story_with_a_reader(period: &str) -> Result<Self, StageError> {
        let stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
        Self::open_at(stage, period, None, CardIn::Reader)
    }

    /// Opens a house as [`House::for_a_story_with_a_reader`] does, whose card comes blank into the reader and is
    /// personalised there by a second facility.
    ///
    /// # Errors
    ///
    /// As [`House::open`] and [`CardReader::start`].
    pub fn for_a_story_with_two_facilities(period: &str) -> Result<Self, StageError> {
        let stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
        Self::open_at(stage, period, None, CardIn::ReaderOfFacility)
    }

    /// Opens a house as [`House::for_a_story`] does, whose card a second facility has personalised with material that was
    /// carried there in files: all its keys were made by the trust centre.
    ///
    /// # Errors
    ///
    /// As [`House::open`].
    pub fn for_a_story_with_material(period: &str) -> Result<Self, StageError> {
        let stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
        Self::open_at(stage, period, None, CardIn::FileOfFacility)
    }

    /// Starts the gateway again after [`Gateway::stop`] and waits until it is in the state.
    ///
    /// # Errors
    ///
    /// As [`Gateway::wait_for`].
    pub fn start_gateway_again(&mut self, state: &str) -> Result<(), StageError> {
        self.gateway = self.stage.start_gateway(&self.config)?;
        self.status = self
            .gateway
            .wait_for_state(&self.stage, state, BINDING_PATIENCE)?;
        Ok(())
    }

    /// Builds the query for elements of this house, of the time `last` until now.
    #[must_use]
    pub fn query(&self, elements: &[&str], grade: Grade, last: &str) -> Query {
        Query {
            guid: self.card.guid.clone(),
            wan: self.status.wan.clone().unwrap_or_default(),
            elements: elements.iter().map(|&pattern| pattern.to_owned()).collect(),
            resolution: match grade {
                Grade::AsGranted => self.period.clone(),
                Grade::Finer => "PT1S".to_owned(),
            },
            period: Period::Last(last.to_owned()),
            keep: None,
        }
    }
}

/// Returns what the supplier of a [`House`] is granted: what counts, once per registration period.
#[must_use]
pub fn grants_of_the_house(period: &str) -> Vec<GrantText> {
    vec![GrantText {
        id: "billing".to_owned(),
        elements: GRANTED.iter().map(|&pattern| pattern.to_owned()).collect(),
        finest: period.to_owned(),
        history: HISTORY.to_owned(),
        purpose: "billing by consumption".to_owned(),
        push: None,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_of_this_moment_is_not_among_the_grants() {
        assert!(!GRANTED.contains(&UNGRANTED));
        let [grant] = grants_of_the_house("PT5S").try_into().unwrap();
        assert_eq!(
            (grant.finest.as_str(), grant.elements.len()),
            ("PT5S", GRANTED.len())
        );
    }
}
