//! The profiles that every gateway brings along.

/// Returns the TOML text of the profile of that name, maker-model as in `eastron-sdm630`.
#[must_use]
pub fn built_in(name: &str) -> Option<&'static str> {
    PROFILES
        .iter()
        .find_map(|(known, text)| (*known == name).then_some(*text))
}

/// Returns the names of all built-in profiles, sorted.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name)
}

/// Lists names with the texts of the files of these names.
macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../profiles/", $name, ".toml")))),+]
    };
}

/// Name and text of each file in `profiles/`.
const PROFILES: [(&str, &str); 18] = files![
    "2flow-mag11",
    "abb-aquamaster3",
    "abb-b23",
    "carlogavazzi-em340",
    "eastron-sdm120",
    "eastron-sdm630",
    "eastron-sdm72",
    "janitza-umg604",
    "janitza-umg96",
    "kamstrup-multical403",
    "saia-ale3",
    "schneider-iem3155",
    "siemens-pac2200",
    "sunspec-20x",
    "sunspec-21x",
    "taosonics-tuf2000",
    "wirenboard-mcm8",
    "wirenboard-mcm8-gas",
];

#[cfg(test)]
mod tests {
    use crate::{Block, Function, Profile};

    use super::*;

    #[test]
    fn every_profile_is_valid_and_named_after_its_file() {
        for (name, text) in PROFILES {
            let profile = Profile::parse(text).unwrap();
            assert_eq!(profile.name(), name);
            assert!(!profile.self_tests().is_empty(), "{name} tests nothing");
        }
    }

    #[test]
    fn every_profile_decodes_its_own_test_vectors() {
        for (name, text) in PROFILES {
            let profile = Profile::parse(text).unwrap();
            for test in profile.self_tests() {
                assert_eq!(test.run(&profile), Ok(()), "{name}: {}", test.title);
            }
        }
    }

    #[test]
    fn the_commented_example_is_a_profile() {
        let profile = Profile::parse(include_str!("../example.toml")).unwrap();
        for test in profile.self_tests() {
            assert_eq!(test.run(&profile), Ok(()));
        }
    }

    #[test]
    fn names_lead_to_texts() {
        assert!(built_in_names().is_sorted());
        assert!(built_in_names().all(|name| built_in(name).is_some()));
        assert_eq!(built_in("acme-none"), None);
    }

    #[test]
    fn every_file_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = files
            .map(|file| file.strip_suffix(".toml").unwrap().to_owned())
            .collect();
        names.sort();
        assert!(names.iter().map(String::as_str).eq(built_in_names()));
    }

    #[test]
    fn no_map_is_called_checked_that_is_not() {
        for (name, text) in PROFILES {
            let profile = Profile::parse(text).unwrap();
            assert!(!profile.source().document.is_empty(), "{name} names no document");
            assert!(
                !profile.source().unchecked.is_empty(),
                "{name} has been checked in every detail"
            );
        }
    }

    #[test]
    fn the_sdm630_is_read_in_three_requests() {
        let profile = Profile::parse(built_in("eastron-sdm630").unwrap()).unwrap();
        let block = |function, address, count| Block {
            function,
            address,
            count,
        };
        assert_eq!(
            profile.blocks(),
            [
                block(Function::HoldingRegisters, 0xFC00, 2),
                block(Function::InputRegisters, 0x0000, 0x50),
                block(Function::InputRegisters, 0x0156, 0x22),
            ]
        );
    }

    #[test]
    fn values_are_read_in_few_requests() {
        for (name, values, requests) in [
            ("2flow-mag11", 8, 2),
            ("abb-b23", 29, 3),
            ("carlogavazzi-em340", 23, 1),
            ("eastron-sdm630", 47, 2),
            ("eastron-sdm72", 27, 2),
            ("eastron-sdm120", 13, 2),
            ("janitza-umg96", 24, 1),
            ("saia-ale3", 12, 2),
            ("schneider-iem3155", 20, 3),
            ("siemens-pac2200", 21, 2),
            ("taosonics-tuf2000", 6, 1),
            ("wirenboard-mcm8", 8, 1),
        ] {
            let profile = Profile::parse(built_in(name).unwrap()).unwrap();
            let registers = || profile.registers().iter().map(|register| register.field.block());
            let blocks = profile.blocks().iter();
            let holding_values = blocks.filter(|block| registers().any(|register| block.covers(register)));
            assert_eq!(
                (registers().count(), holding_values.count()),
                (values, requests),
                "{name}"
            );
        }
    }

    #[test]
    fn a_sunspec_meter_at_the_usual_place_is_read_in_one_request() {
        let profile = Profile::parse(built_in("sunspec-20x").unwrap()).unwrap();
        let image = profile.self_tests()[0].image().unwrap();
        let placed = profile
            .placed(&crate::sunspec::walk_image(&profile, &image))
            .unwrap();
        // The serial number is the last but two in the common model, so that both fit in one answer.
        let block = Block {
            function: Function::HoldingRegisters,
            address: 40_052,
            count: 125,
        };
        assert_eq!(placed.blocks(), [block]);
    }
}
