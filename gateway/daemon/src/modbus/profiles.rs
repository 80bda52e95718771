//! `smgw modbus profiles`: what the gateway knows of Modbus meters.

use modbus::Profile;
use serde_json::json;

use super::{CommandError, requests};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print the text of this profile instead of the list; a start for one of your own.
    name: Option<String>,
    /// Print the JSON schema of the profile format instead of the list.
    #[arg(long, conflicts_with_all = ["name", "json"])]
    schema: bool,
    /// Print one JSON document (schema smgw.modbus.profiles/1).
    #[arg(long, conflicts_with = "name")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<String, CommandError> {
    if let Some(name) = &arguments.name {
        let text = modbus::built_in(name).map(str::to_owned);
        return text.ok_or_else(|| CommandError::UnknownProfile { name: name.clone() });
    }
    if arguments.schema {
        return Ok(modbus::json_schema() + "\n");
    }
    // A test of the crate proves that every one of them is valid.
    let texts = modbus::built_in_names().filter_map(modbus::built_in);
    let profiles: Vec<Profile> = texts.filter_map(|text| Profile::parse(text).ok()).collect();
    Ok(if arguments.json {
        as_json(&profiles)
    } else {
        as_table(&profiles)
    })
}

fn as_json(profiles: &[Profile]) -> String {
    let entries = profiles.iter().map(|profile| {
        json!({
            "name": profile.name(),
            "manufacturer": profile.manufacturer(),
            "models": profile.models(),
            "medium": profile.medium(),
            "values": profile.codes().count(),
            "requests": requests(profile),
            "identified": is_identified(profile),
            "serial_number": profile.serial_number().is_some(),
            "document": profile.source().document,
            "edition": profile.source().edition,
            "unchecked": profile.source().unchecked,
        })
    });
    let entries: Vec<_> = entries.collect();
    format!(
        "{}\n",
        json!({ "schema": "smgw.modbus.profiles/1", "profiles": entries })
    )
}

fn as_table(profiles: &[Profile]) -> String {
    let widest = profiles.iter().map(|profile| profile.name().len()).max();
    let width = widest.unwrap_or(0).max("profile".len());
    let head = format!(
        "{:<width$}  {:<19}  values  requests  models\n",
        "profile", "medium"
    );
    let lines = profiles.iter().map(|profile| {
        let requests = requests(profile).map_or_else(|| "-".to_owned(), |count| count.to_string());
        format!(
            "{:<width$}  {:<19}  {:>6}  {requests:>8}  {}\n",
            profile.name(),
            profile.medium(),
            profile.codes().count(),
            profile.models().join(", "),
        )
    });
    [head].into_iter().chain(lines).collect()
}

/// Returns whether a scan can tell the meters of the profile from others.
fn is_identified(profile: &Profile) -> bool {
    profile.sunspec().is_some() || !profile.identification().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> Arguments {
        Arguments {
            name: None,
            schema: false,
            json: false,
        }
    }

    #[test]
    fn every_profile_is_listed() {
        let table = run(&arguments()).unwrap();
        assert_eq!(table.lines().count(), 1 + modbus::built_in_names().count());
        let line = table
            .lines()
            .find(|line| line.starts_with("eastron-sdm630"))
            .unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1..4], ["electricity", "51", "3"]);
    }

    #[test]
    fn the_list_is_a_document_too() {
        let arguments = Arguments {
            json: true,
            ..arguments()
        };
        let document: serde_json::Value = serde_json::from_str(&run(&arguments).unwrap()).unwrap();
        assert_eq!(document["schema"], "smgw.modbus.profiles/1");
        let profiles = document["profiles"].as_array().unwrap();
        assert_eq!(profiles.len(), modbus::built_in_names().count());
        let sunspec = profiles
            .iter()
            .find(|profile| profile["name"] == "sunspec-20x")
            .unwrap();
        assert!(sunspec["requests"].is_null());
        assert_eq!(sunspec["identified"], true);
    }

    #[test]
    fn a_profile_is_shown_or_unknown() {
        let named = |name: &str| {
            run(&Arguments {
                name: Some(name.to_owned()),
                ..arguments()
            })
        };
        assert!(Profile::parse(&named("abb-b23").unwrap()).is_ok());
        let error = named("acme-none").unwrap_err();
        assert!(matches!(error, CommandError::UnknownProfile { name } if name == "acme-none"));
    }

    #[test]
    fn the_schema_names_every_key_of_a_profile() {
        let arguments = Arguments {
            schema: true,
            ..arguments()
        };
        let schema: serde_json::Value = serde_json::from_str(&run(&arguments).unwrap()).unwrap();
        let keys = schema["properties"].as_object().unwrap();
        for key in ["name", "medium", "limits", "registers", "self_tests", "sunspec"] {
            assert!(keys.contains_key(key), "{key}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }
}
