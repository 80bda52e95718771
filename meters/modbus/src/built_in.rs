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
const PROFILES: [(&str, &str); 19] = files![
    "2flow-mag11",
    "abb-aquamaster3",
    "abb-b23",
    "carlogavazzi-em340",
    "eastron-sdm120",
    "eastron-sdm630",
    "eastron-sdm72",
    "generic-pulse-gateway",
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
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use proptest::prelude::*;

    use crate::{Block, Function, Profile, RegisterImage};

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
            ("generic-pulse-gateway", 8, 1),
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

    fn profiles() -> Vec<Profile> {
        let texts = PROFILES.iter().map(|(_, text)| *text);
        let texts = texts.chain([include_str!("../example.toml")]);
        texts.map(|text| Profile::parse(text).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn any_contents_of_registers_are_read(seed: [u16; 32], holes in 1usize..9) {
            for profile in profiles() {
                // A SunSpec meter's registers are where its self-test has the models.
                let tested = profile.self_tests()[0].image().unwrap();
                let placed = profile.placed(&crate::sunspec::walk_image(&profile, &tested)).unwrap();
                let mut image = RegisterImage::new();
                let fields = placed.registers().iter().map(|register| register.field.block());
                let parameters = placed.parameters().iter().map(|parameter| parameter.field.block());
                let mut words = seed.iter().cycle();
                for (number, block) in fields.chain(parameters).enumerate() {
                    if number % holes != 0 || holes == 1 {
                        let words: Vec<u16> = words.by_ref().take(block.count.into()).copied().collect();
                        image.insert(block, &words).unwrap();
                    }
                }
                let codes = placed.codes().count();
                prop_assert_eq!(placed.values(&image).len(), codes);
                prop_assert!(placed.serial_number().is_none() || placed.identity(&image).is_err());
            }
        }

        #[test]
        fn any_change_of_a_profile_is_read_or_refused(
            which in 0usize..PROFILES.len(),
            place: prop::sample::Index,
            removed in 0usize..12,
            inserted in "[-\\[\\]{}=\",.a-z0-9 \n]{0,8}",
        ) {
            let (_, text) = PROFILES[which];
            let letters: Vec<char> = text.chars().collect();
            let start = place.index(letters.len());
            let end = letters.len().min(start + removed);
            let changed: String = letters[..start].iter().copied()
                .chain(inserted.chars())
                .chain(letters[end..].iter().copied())
                .collect();
            match Profile::parse(&changed) {
                Ok(profile) => for test in profile.self_tests() {
                    // It may fail, by an error.
                    drop(test.run(&profile));
                },
                Err(error) => prop_assert!(error.line >= 1 && error.line <= changed.lines().count() + 1),
            }
        }

        #[test]
        fn any_bytes_are_no_profile(bytes: Vec<u8>) {
            let text = String::from_utf8_lossy(&bytes);
            prop_assert!(Profile::parse(&text).is_err());
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
