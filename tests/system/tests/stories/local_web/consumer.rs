//! What a consumer sees beyond the last values: what exactly was sent, costs, exports, and values as they come.

use std::path::Path;

use serde_json::Value;
use system::{Command, House, Stage, StageError, wait_until};

use super::Browser;
use crate::steps::{ARRIVAL, granted, pull_until};

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

/// The schema that this project has written of AR 2418-6, and days on which the clock is changed.
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/web");

/// Returns whether xmllint finds a file to be by the schema, and what it says.
fn is_by_the_schema(stage: &Stage, file: &Path) -> (bool, String) {
    let schema = Path::new(VECTORS).join("ar-2418-6.rng");
    let command = Command::new("xmllint", Path::new("xmllint"))
        .arg("--noout")
        .arg("--nonet")
        .option("--relaxng", &schema);
    let finished = stage.run(&command.arg(file)).unwrap();
    (finished.code == Some(0), finished.log_text().unwrap())
}

/// The XML is by the schema, and says what page and JSON say.
pub(super) fn exports_what_is_seen(house: &House, consumer: &Browser<'_>) {
    let stage = &house.stage;
    for day in ["day-of-23-hours.xml", "day-of-25-hours.xml"] {
        let (is_good, said) = is_by_the_schema(stage, &Path::new(VECTORS).join(day));
        assert!(is_good, "{day}: {said}");
    }
    // A reading may be registered in between: then it is asked again.
    let same = wait_until(&stage.deadline(ARRIVAL), || {
        let json = consumer.get("/api/v1/history?by=day").body;
        let page = consumer.get("/history?by=day").body;
        let xml = consumer.get("/history.xml?by=day").body;
        let is_same = consumer.get("/api/v1/history?by=day").body == json;
        let has_values = xml.contains("<ar:IntervalReading>");
        Ok::<_, StageError>((is_same && has_values).then_some((json, page, xml)))
    });
    let (json, page, xml) = same.unwrap().expect("two answers agree");
    let json: Value = serde_json::from_str(&json).unwrap();
    let registers = json["parts"].as_array().unwrap().iter();
    let registers: Vec<_> = registers.filter_map(|part| part["register"].as_str()).collect();
    let scaler: i32 = between(&xml, "<ar:scaler>", "</ar:scaler>")[0].parse().unwrap();
    let values = between(&xml, "<espi:value>", "</espi:value>").into_iter();
    // The XML has watt hours, and the page what people use.
    let values: Vec<_> = values
        .map(|value| exact(value, scaler - if json["unit"] == "kWh" { 3 } else { 0 }))
        .collect();
    for register in &registers {
        assert!(
            values.contains(&exact(register, 0)),
            "{register} is missing in {xml}"
        );
        assert!(page.contains(register), "{register} is missing in {page}");
    }
    assert!(
        !registers.is_empty() && values.len() <= registers.len() + 1,
        "{xml}"
    );

    let file = stage.path("history.xml");
    std::fs::write(&file, &xml).unwrap();
    let (is_good, said) = is_by_the_schema(stage, &file);
    assert!(is_good, "{said}");
    // The schema would notice: another order, another type, something unknown.
    for (from, to) in [
        ("<espi:uom>", "<espi:uom>x"),
        ("<ar:scaler>", "<ar:scaler>1</ar:scaler><ar:scaler>"),
        ("<ar:statusPTB>0", "<ar:statusPTB>7"),
        ("<ar:usagePointId>", "<ar:guessed/><ar:usagePointId>"),
        ("http://naesb.org/espi", "http://naesb.org/other"),
    ] {
        assert!(xml.contains(from), "{from} is missing in {xml}");
        std::fs::write(&file, xml.replacen(from, to, 1)).unwrap();
        assert!(!is_by_the_schema(stage, &file).0, "{to}");
    }
}

/// Returns what stands between two marks, each time.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    let parts = text.split(begin).skip(1);
    parts.filter_map(|part| part.split(end).next()).collect()
}

/// Reads a decimal number times ten to the power of `scaler`, in units of ten to the power of -12.
fn exact(text: &str, scaler: i32) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().unwrap();
    let places = 12 + scaler - i32::try_from(fraction.len()).unwrap();
    digits * 10_i128.pow(u32::try_from(places).unwrap())
}
