//! What programs read: the JSON interface and its description, and the health metrics, each judged by foreign programs.

use std::path::Path;

use serde_json::Value;
use system::{Command, House};

use crate::local_web::{Browser, first_password, house_with_web, token};
use crate::steps::{granted, pull_until};

/// Judges the description, and holds answers against it: each file is named after the path that it answers.
const JUDGE: &str = r#"
import json, pathlib, sys
from openapi_spec_validator import OpenAPIV31SpecValidator
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

document = json.load(open(sys.argv[1]))
OpenAPIV31SpecValidator(document).validate()
registry = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))
for file in map(pathlib.Path, sys.argv[2:]):
    path = "/api/v1/" + file.name
    operation = document["paths"][path]["get"]
    pointer = "urn:api#/paths/" + path.replace("/", "~1") + "/get/responses/200/content/application~1json/schema"
    validator = Draft202012Validator({"$ref": pointer}, registry=registry, format_checker=FormatChecker())
    answer = json.load(open(file))
    validator.validate(answer)
    # A judge that takes anything is none.
    for key in list(answer):
        less = dict(answer)
        del less[key]
        assert not validator.is_valid(less), f"{path} without {key} is taken"
    print(path, operation["operationId"])
"#;

/// Reads metrics by the book, and prints the names of the families.
const READER: &str = r"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
seen = set()
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    assert family.documentation and family.type in ('gauge', 'counter'), family
    for sample in family.samples:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        assert key not in seen, key
        seen.add(key)
    print(family.name)
";

/// Runs a script of Python with files, and returns what it prints.
fn python(house: &House, script: &str, files: &[&Path]) -> Vec<String> {
    let python = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/foreign-python/bin/python"
    );
    assert!(
        Path::new(python).exists(),
        "`cargo verify` installs Python's packages into target/foreign-python"
    );
    let mut command = Command::new("python", Path::new(python)).option("-c", script);
    for file in files {
        command = command.arg(file);
    }
    let finished = house.stage.run(&command).unwrap();
    assert_eq!(finished.code, Some(0), "{}", finished.log_text().unwrap());
    finished.lines
}

#[test]
fn description_is_sound_and_real_answers_are_as_it_says() {
    let (house, web) = house_with_web();
    // So that the consumer log has an entry.
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let consumer = Browser::new(&house.stage, &web, "consumer");
    consumer.begin("consumer", &first_password(&house, "consumer"));
    let bearer = format!("Authorization: Bearer {}", token(&consumer, "judge"));
    let program = Browser::new(&house.stage, &web, "program").with(&["--header", &bearer]);
    let nobody = Browser::new(&house.stage, &web, "nobody");
    let described = nobody.get("/api/v1/openapi.json");
    assert_eq!(described.status, 200);
    let document: Value = serde_json::from_str(&described.body).unwrap();
    let description = house.stage.write("openapi.json", &described.body).unwrap();

    let paths = document["paths"].as_object().unwrap();
    let mut answers = Vec::new();
    for path in paths.keys() {
        assert_eq!(nobody.get(path).status, 401, "{path}");
        let answer = program.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let name = path.strip_prefix("/api/v1/").unwrap();
        answers.push(house.stage.write(name, &answer.body).unwrap());
    }
    let deliveries: Value = serde_json::from_str(&program.get("/api/v1/deliveries").body).unwrap();
    assert_ne!(deliveries["deliveries"].as_array().unwrap().len(), 0);
    let mut files = vec![description.as_path()];
    files.extend(answers.iter().map(std::path::PathBuf::as_path));
    let judged = python(&house, JUDGE, &files);
    assert_eq!(judged.len(), paths.len(), "{judged:?}");

    let fault = program.get("/api/v1/history?element=M9/1-0:1.8.0*255");
    assert_eq!((fault.status, fault.body.trim()), (404, r#"{"error":"missing"}"#));
    assert_eq!(program.get("/api/v1/history?element=rubbish").status, 400);
    assert_eq!(program.get("/api/v1/deliveries?before=-1").status, 400);
}

#[test]
fn metrics_are_read_by_the_book_and_tell_of_no_consumption() {
    let (house, _) = house_with_web();
    let page = house.status.web.as_deref().unwrap();
    let text = Browser::new(&house.stage, page, "monitoring")
        .get("/metrics")
        .body;
    let file = house
        .stage
        .write("metrics", &format!("{}\n", text.trim()))
        .unwrap();
    let families = python(&house, READER, &[&file]);
    for family in [
        "smgw_state",
        "smgw_task_alive",
        "smgw_meter_up",
        "smgw_meter_polls",
        "smgw_meter_timeouts",
        "smgw_card_calls",
        "smgw_card_failures",
        "smgw_outbox_messages",
        "smgw_store_bytes",
        "smgw_store_rounds",
    ] {
        assert!(
            families.iter().any(|found| found == family),
            "{family} is missing in {families:?}"
        );
    }
    for line in [
        "smgw_task_alive{task=\"grid\"} 1",
        "smgw_task_alive{task=\"registrar\"} 1",
        "smgw_task_alive{task=\"local web\"} 1",
        "smgw_meter_up{bus=\"cellar\",meter=\"gas\"} 1",
        "smgw_card_failures_total 0",
        "smgw_outbox_messages 0",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing in {text}"
        );
    }
    assert!(!text.contains("1.8.0"), "{text}");
}
