use std::path::Path;

use super::*;
use crate::local::web::api::ENDPOINTS;

#[test]
fn every_reference_leads_somewhere_and_every_endpoint_is_described() {
    let document = document(&ENDPOINTS);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => open.extend(fields.values()),
            Value::Array(values) => open.extend(values),
            _ => {}
        }
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(schemas.contains_key(name), "{name}");
            references += 1;
        }
    }
    assert!(references > 8);
    for endpoint in &ENDPOINTS {
        let operation = &document["paths"][endpoint.path]["get"];
        assert!(operation["responses"]["200"]["content"]["application/json"]["schema"].is_object());
    }
    let history = &document["paths"]["/api/v1/history"]["get"];
    let names: Vec<_> = history["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["at", "by", "element"]);
}

/// Whoever adds an endpoint describes it.
#[test]
fn no_source_of_the_web_has_a_path_that_is_not_described() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/local/web");
    let mut folders = vec![folder];
    let document = document(&ENDPOINTS);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let routes = text.split(".route(\"/api/v1/").skip(1);
            for route in routes.filter_map(|rest| rest.split('"').next()) {
                let is_on_loopback = path.ends_with("loopback.rs");
                let path = format!("/api/v1/{route}");
                assert!(
                    is_on_loopback || !document["paths"][&path].is_null(),
                    "{path} is described by no Endpoint of api::ENDPOINTS"
                );
            }
        }
    }
}
