//! The prices that a consumer enters, and takes out again.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use billing::{Day, StageDocument, TariffError, WindowDocument};
use model::ElementPattern;
use serde::Deserialize;

use super::super::super::asked::Form;
use super::super::super::language::Language;
use super::super::super::portal::{AsConsumer, Barrier, Portal};
use super::super::super::prices::{LONGEST_NAME, PricesError, unit_of_price};
use super::super::now::see;
use super::super::{percent_encoded, rendered, working};
use super::{CostsPage, WEEKDAYS, WEEKEND, Wanted, choose, make, number};
use crate::clock;
use crate::report::Chain;

/// A price as somebody has entered it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct PriceForm {
    element: String,
    pub(super) name: String,
    pub(super) price: String,
    pub(super) currency: String,
    pub(super) days: String,
    /// When it begins and ends; both empty for the whole day.
    pub(super) from: String,
    pub(super) to: String,
    form: String,
}

/// A field of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Price,
    Currency,
    Days,
    Times,
}

/// What stands in the form of a price, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Entered {
    pub(super) form: PriceForm,
    fault: Option<Field>,
}

impl Entered {
    pub(super) fn is(&self, field: Field) -> bool {
        self.fault == Some(field)
    }

    /// Returns the currency that was entered with what was refused.
    pub(super) fn currency(&self) -> Option<String> {
        self.fault.map(|_| self.form.currency.clone())
    }
}

impl PriceForm {
    /// Reads what was entered, for a register and the unit that its price is for.
    fn stage(&self, element: &ElementPattern, unit: &str) -> Result<StageDocument, Field> {
        let is_name = |text: &str| (1..=LONGEST_NAME).contains(&text.trim().chars().count());
        if !is_name(&self.name) {
            return Err(Field::Name);
        }
        let price = number(&self.price).filter(|price| price.mantissa() >= 0);
        let price = price.ok_or(Field::Price)?;
        if !is_name(&self.currency) {
            return Err(Field::Currency);
        }
        let days = match self.days.as_str() {
            "all" => Day::ALL.to_vec(),
            "weekdays" => WEEKDAYS.to_vec(),
            "weekend" => WEEKEND.to_vec(),
            _ => return Err(Field::Days),
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
        Ok(StageDocument {
            name: self.name.trim().to_owned(),
            elements: vec![element.clone()],
            unit: unit.to_owned(),
            price,
            windows: if is_always { Vec::new() } else { vec![window] },
        })
    }
}

/// Adds a price, or says at the field what is wrong with it.
pub(super) async fn add(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Form(form): Form<PriceForm>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    consumer.member.check(&form.form)?;
    let element: ElementPattern = form.element.parse().map_err(|_| Barrier::Missing(language))?;
    let back = element.clone();
    let done = working(language, move || {
        let seen = see(&portal, &consumer.own, clock::now())?;
        let registers: Vec<_> = seen.iter().filter(|one| one.is_register()).collect();
        let Some(one) = choose(&registers, Some(&element)) else {
            return Ok(Err(Barrier::Missing(language)));
        };
        let account = &consumer.member.session.identity.name;
        let priced = (&element, unit_of_price(one.last.quantity.unit));
        match keep(&portal, account, &form, priced) {
            Ok(()) => Ok(Ok(None)),
            Err(Refusal::Whole(refusal)) => Ok(Err(refused(language, &refusal))),
            Err(Refusal::At(fault)) => {
                let wanted = Wanted {
                    element: Some(element),
                    ..Wanted::default()
                };
                let fault = Some(fault);
                let page = make(
                    &portal,
                    &consumer,
                    (wanted, Entered { form, fault }),
                    clock::now(),
                );
                page.map(|page| Ok(Some(page)))
            }
        }
    });
    let done: Result<Option<CostsPage>, Barrier> = done.await?;
    let Some(page) = done? else {
        return Ok(to_costs(&back));
    };
    let mut response = rendered(language, &page)?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

/// Why a price is not kept: for what stands in a field, or else.
enum Refusal {
    At(Field),
    Whole(PricesError),
}

impl From<PricesError> for Refusal {
    fn from(error: PricesError) -> Self {
        match error {
            PricesError::Stage | PricesError::Tariff(TariffError::Stages) => Self::At(Field::Name),
            PricesError::Price => Self::At(Field::Price),
            PricesError::Tariff(TariffError::Window { .. }) => Self::At(Field::Times),
            error @ (PricesError::Tariff(_) | PricesError::Version | PricesError::Access(_)) => {
                Self::Whole(error)
            }
        }
    }
}

/// Keeps a price of a register, which is for one of its units.
fn keep(
    portal: &Portal,
    account: &str,
    form: &PriceForm,
    (element, unit): (&ElementPattern, &str),
) -> Result<(), Refusal> {
    let stage = form.stage(element, unit).map_err(Refusal::At)?;
    let priced = (stage, form.currency.trim());
    Ok(portal.gate.add_price(account, priced, &portal.zone)?)
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
            element: String::new(),
            name: " night ".to_owned(),
            price: "0,2".to_owned(),
            currency: "EUR".to_owned(),
            days: days.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            form: String::new(),
        };
        let element: ElementPattern = "M1/1-0:1.8.0*255".parse().unwrap();
        let always = form("all", "", "").stage(&element, "kWh").unwrap();
        assert!(always.windows.is_empty());
        assert_eq!(
            (always.name.as_str(), always.price.to_string()),
            ("night", "0.2".to_owned())
        );
        let night = form("weekdays", "22:00", "00:00").stage(&element, "kWh").unwrap();
        assert_eq!(
            (night.windows[0].days.len(), night.windows[0].to.as_str()),
            (5, "24:00")
        );
        let fault = |form: PriceForm| form.stage(&element, "kWh").unwrap_err();
        assert_eq!(fault(form("sometimes", "", "")), Field::Days);
        let good = form("all", "", "");
        let (long, named) = ("x".repeat(41), |name: &str| PriceForm {
            name: name.to_owned(),
            ..good.clone()
        });
        assert_eq!([fault(named(" ")), fault(named(&long))], [Field::Name; 2]);
        for price in ["", "free", "-1", "1,2,3", "<script>"] {
            let price = price.to_owned();
            assert_eq!(
                fault(PriceForm {
                    price,
                    ..good.clone()
                }),
                Field::Price
            );
        }
        let currency = String::new();
        assert_eq!(fault(PriceForm { currency, ..good }), Field::Currency);
    }
}
