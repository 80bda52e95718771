//! What the installation tells, in the words of the catalogue of codes and in the system log.

use serde_json::Value;
use system::Program;

use super::{Phone, Site};

/// What the page of a step has found wrong has the code, cause and remedy of `smgw doctor`.
pub(super) fn the_examination_says_the_same(site: &Site, page: &str) {
    let mut command = site.stage.command(Program::Smgw, "doctor");
    command = command.arg("--json").option("--config", &site.config);
    let finished = site.stage.run(&command).unwrap();
    let found: Value = serde_json::from_str(finished.lines.last().unwrap()).unwrap();
    let checks = found["checks"].as_array().unwrap();
    for what in ["device key", "space", "time source", "time"] {
        let check = checks.iter().find(|check| check["what"] == what).unwrap();
        let Some(code) = check["code"].as_str() else {
            continue;
        };
        for text in [
            code,
            check["cause"].as_str().unwrap(),
            check["remedy"].as_str().unwrap(),
        ] {
            let text = text.replace('\'', "&#39;");
            assert!(page.contains(&text), "{what}: {text} is missing in {page}");
        }
    }
    assert!(
        page.contains("SMGW-D-0209"),
        "the device key lies with the data: {page}"
    );
}

/// Shows the same step in German, with cause and remedy of its code as the catalogue has them.
pub(super) fn the_code_is_told_in_german(phone: &Phone<'_>, english: &str) {
    let at = english.find("SMGW-C-").unwrap();
    let code = &english[at..at + "SMGW-C-0000".len()];
    let explained = phone.site.smgw(&["doctor", "--explain", code]);
    let german = &explained["codes"][0]["german"];
    let browser = &phone.browser;
    browser
        .get("/language?to=de&back=%2Fwizard%2Fcard")
        .leads_to("/wizard/card");
    let page = phone.page("card");
    for text in ["cause", "remedy"] {
        let text = german[text].as_str().unwrap();
        assert!(page.body.contains(text), "{text} is missing in {}", page.body);
    }
    browser
        .get("/language?to=en&back=%2Fwizard%2Fcard")
        .leads_to("/wizard/card");
}

/// Installs one more meter and takes it back, and reads who did what in the system log.
pub(super) fn who_has_installed_what_is_logged(site: &Site) {
    let mbus = format!("tcp:{}", site.meters.addresses().mbus);
    let phone = site.technician("log");
    let spare = [
        ("protocol", "mbus"),
        ("endpoint", mbus.as_str()),
        ("address", "9"),
        ("name", "spare"),
    ];
    phone.send("meters", "install", &spare).leads_to("/wizard/meters");
    for (file, status) in [("meter-7.toml", 404), ("meter-3.toml", 303)] {
        let sent = phone.send("meters", "remove", &[("file", file)]);
        assert_eq!(sent.status, status, "{file}: {}", sent.body);
    }
    let command = site.stage.command(Program::Smgw, "log").arg("show").arg("system");
    let command = command.arg("--json").option("--config", &site.config);
    let lines = site.stage.run(&command).unwrap().lines;
    for (code, meters) in [
        ("SMGW-L-1041", &["water", "heat", "spare"][..]),
        ("SMGW-L-1042", &["spare"]),
    ] {
        let of: Vec<_> = lines.iter().filter(|line| line.contains(code)).collect();
        assert_eq!(of.len(), meters.len(), "{of:?}");
        for (line, meter) in of.iter().zip(meters) {
            assert!(line.contains("technician") && line.contains(meter), "{line}");
        }
    }
}
