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

/// Name and text of each file in `profiles/`.
const PROFILES: [(&str, &str); 1] = [("eastron-sdm630", include_str!("../profiles/eastron-sdm630.toml"))];

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
                block(Function::InputRegisters, 0x0156, 0x10),
            ]
        );
    }
}
