//! The prices that a consumer enters, and takes out again.

use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use billing::{Day, StageDocument, WindowDocument};
use model::ElementPattern;
use serde::Deserialize;

use super::super::super::language::Language;
use super::super::super::portal::{AsConsumer, Barrier, Portal};
use super::super::super::prices::{PricesError, unit_of_price};
use super::super::now::see;
use super::super::{percent_encoded, working};
use super::{CostsError, WEEKDAYS, WEEKEND, choose, number};
use crate::clock;
use crate::report::Chain;

#[derive(Deserialize)]
pub(super) struct PriceForm {
    element: ElementPattern,
    name: String,
    price: String,
    currency: String,
    days: String,
    /// When it begins and ends; both empty for the whole day.
    from: String,
    to: String,
    form: String,
}

impl PriceForm {
    fn stage(&self, unit: &str) -> Option<StageDocument> {
        let days = match self.days.as_str() {
            "all" => Day::ALL.to_vec(),
            "weekdays" => WEEKDAYS.to_vec(),
            "weekend" => WEEKEND.to_vec(),
            _ => return None,
        };
        let (from, to) = match (self.from.as_str(), self.to.as_str()) {
            ("", "") => ("00:00", "24:00"),
            // A browser's field for a time knows no 24:00.
            (from, "00:00") => (from, "24:00"),
            both => both,
        };
        let is_always = days.len() == Day::ALL.len() && (from, to) == ("00:00", "24:00");
        let window = WindowDocument {
            days,
            from: from.to_owned(),
            to: to.to_owned(),
        };
        Some(StageDocument {
            name: self.name.trim().to_owned(),
            elements: vec![self.element.clone()],
            unit: unit.to_owned(),
            price: number(&self.price)?,
            windows: if is_always { Vec::new() } else { vec![window] },
        })
    }
}

/// Adds a price, or says at once what is wrong with it.
pub(super) async fn add(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Form(form): Form<PriceForm>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    consumer.member.check(&form.form)?;
    let back = form.element.clone();
    let done = working(language, move || {
        let seen = see(&portal, &consumer.own, clock::now())?;
        let registers: Vec<_> = seen.iter().filter(|one| one.is_register()).collect();
        let Some(one) = choose(&registers, Some(&form.element)) else {
            return Ok(None);
        };
        let stage = form.stage(unit_of_price(one.last.quantity.unit));
        let added = stage.ok_or(PricesError::Price).and_then(|stage| {
            let account = &consumer.member.session.identity.name;
            portal
                .gate
                .add_price(account, (stage, form.currency.trim()), &portal.zone)
        });
        Ok::<_, CostsError>(Some(added))
    });
    match done.await?.ok_or(Barrier::Missing(language))? {
        Ok(()) => Ok(to_costs(&back)),
        Err(refusal) => Err(refused(language, &refusal)),
    }
}

#[derive(Deserialize)]
pub(super) struct RemoveForm {
    element: ElementPattern,
    name: String,
    form: String,
}

/// Removes a price.
pub(super) async fn remove(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Form(form): Form<RemoveForm>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    consumer.member.check(&form.form)?;
    let back = form.element.clone();
    let done = working(language, move || {
        let account = &consumer.member.session.identity.name;
        let removed = portal.gate.remove_price(account, (&form.name, &form.element));
        Ok::<_, std::convert::Infallible>(removed)
    });
    match done.await? {
        Ok(()) => Ok(to_costs(&back)),
        Err(refusal) => Err(refused(language, &refusal)),
    }
}

fn to_costs(element: &ElementPattern) -> Response {
    let element = percent_encoded(&element.to_string());
    Redirect::to(&format!("/costs?element={element}")).into_response()
}

fn refused(language: Language, refusal: &PricesError) -> Barrier {
    match refusal {
        PricesError::Stage | PricesError::Price | PricesError::Tariff(_) | PricesError::Version => {
            Barrier::Refused(language, Chain(refusal).to_string())
        }
        PricesError::Access(_) => Barrier::failed(language, refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_makes_windows_as_a_tariff_has_them() {
        let form = |days: &str, from: &str, to: &str| PriceForm {
            element: "M1/1-0:1.8.0*255".parse().unwrap(),
            name: " night ".to_owned(),
            price: "0,2".to_owned(),
            currency: "EUR".to_owned(),
            days: days.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            form: String::new(),
        };
        let always = form("all", "", "").stage("kWh").unwrap();
        assert!(always.windows.is_empty());
        assert_eq!(
            (always.name.as_str(), always.price.to_string()),
            ("night", "0.2".to_owned())
        );
        let night = form("weekdays", "22:00", "00:00").stage("kWh").unwrap();
        assert_eq!(
            (night.windows[0].days.len(), night.windows[0].to.as_str()),
            (5, "24:00")
        );
        assert!(form("sometimes", "", "").stage("kWh").is_none());
    }
}
