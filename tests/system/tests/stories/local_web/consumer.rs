//! What a consumer sees beyond the last values: what exactly was sent, costs, exports, and values as they come.

use std::path::Path;

use serde_json::Value;
use system::{Command, House, Stage};

use super::Browser;
use crate::steps::{granted, pull_until};

/// What is sent is shown word for word, under the digest that the log names.
pub(super) fn sees_what_was_sent(house: &House, consumer: &Browser<'_>) {
    pull_until(house, &granted(house), |pull| {
        let mut values = pull.series.iter().flat_map(|series| &series.values);
        values.any(Option::is_some)
    });
    let page = consumer.get("/recipients").body;
    let (_, rest) = page
        .split_once("/recipients/sent?entry=")
        .unwrap_or_else(|| panic!("no delivery in {page}"));
    let entry = rest.split('"').next().unwrap();
    let shown = consumer.get(&format!("/recipients/sent?entry={entry}"));
    assert_eq!(shown.status, 200, "{shown:?}");
    let json = consumer.get(&format!("/recipients/sent.json?entry={entry}"));
    assert_eq!(json.header("content-type"), Some("application/json"));
    let file = house.stage.path("sent.json");
    std::fs::write(&file, &json.body).unwrap();
    let sum = Command::new("sha256sum", Path::new("sha256sum")).arg(&file);
    let finished = house.stage.run(&sum).unwrap();
    let digest = finished.answer().unwrap().split(' ').next().unwrap().to_owned();
    assert!(
        shown.body.contains(&digest),
        "{digest} is missing in {}",
        shown.body
    );
    let sent: Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(sent["type"], "answer");
    let values = sent["series"].as_array().unwrap().iter().find_map(|series| {
        let value = series["values"].as_array()?.iter().find_map(Value::as_str)?;
        Some(format!("{value} {}", series["unit"].as_str()?))
    });
    let value = values.unwrap();
    assert!(
        shown.body.contains(&value),
        "{value} is missing in {}",
        shown.body
    );
    assert_eq!(consumer.get("/recipients/sent?entry=999999").status, 404);
}

/// Prices are the consumer's own, and a figure is refused rather than guessed.
pub(super) fn sees_costs_at_own_prices(consumer: &Browser<'_>) {
    let page = consumer.get("/costs");
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("Nothing is guessed."), "{}", page.body);
    let form = page.form_token().to_owned();
    let (_, rest) = page.body.split_once("name=\"element\" value=\"").unwrap();
    let element = rest.split('"').next().unwrap();
    let price = |price: &str, token: &str| {
        let fields = [
            ("element", element),
            ("name", "night"),
            ("price", price),
            ("currency", "EUR"),
            ("days", "all"),
            ("from", "22:00"),
            ("to", "06:00"),
            ("form", token),
        ];
        consumer.post("/costs/price", &fields)
    };
    assert_eq!(price("0,3512", "0").status, 403);
    assert_eq!(price("cheap", &form).status, 422);
    assert_eq!(price("0,3512", &form).status, 303);
    let priced = consumer.get("/costs").body;
    assert!(priced.contains("0.3512 EUR/kWh"), "{priced}");
    let fields = [("element", element), ("name", "night"), ("form", form.as_str())];
    assert_eq!(consumer.post("/costs/price/remove", &fields).status, 303);
    assert!(!consumer.get("/costs").body.contains("0.3512"));
}

/// The same as the history shows, for the transparency software.
pub(super) fn saves_the_history_as_xml(consumer: &Browser<'_>) {
    let xml = consumer.get("/history.xml?by=day");
    assert_eq!(xml.header("content-type"), Some("application/xml; charset=utf-8"));
    for part in [
        "<ar:obisCode>0100010800ff</ar:obisCode>",
        "<espi:uom>72</espi:uom>",
        "<ar:certType>1</ar:certType>",
        "</ar:UsagePoints>",
    ] {
        assert!(xml.body.contains(part), "{part} is missing in {}", xml.body);
    }
}

/// Values come by themselves, to whoever is logged in, for a while.
pub(super) fn sees_values_as_they_come(stage: &Stage, web: &str, consumer: &Browser<'_>) {
    let live = consumer.get("/now/live");
    assert_eq!(live.header("content-type"), Some("text/event-stream"));
    assert!(live.body.matches("event: values").count() > 1, "{}", live.body);
    assert!(
        live.body.contains("1-0:1.8.0*255") && live.body.contains("kWh"),
        "{}",
        live.body
    );
    assert_eq!(Browser::new(stage, web, "nobody").get("/now/live").status, 401);
    let script = consumer.get("/live.js");
    assert!(script.body.contains("EventSource") && script.body.len() < 4_096);
}
