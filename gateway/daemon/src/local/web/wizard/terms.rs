//! What a check has written down in English words, in the language of a page: stages of a card, to whom it is bound, and why
//! something was not looked at. Numbers, names and particulars stay as they are.

use card::LifeCycle;

use super::super::language::Language;
use super::what::What;
use crate::card::BindingOfCard;
use crate::doctor::{BELOW, NO_BROKER, NOT_DIRECT};

const STAGES: [LifeCycle; 5] = [
    LifeCycle::Blank,
    LifeCycle::Personalized,
    LifeCycle::Bound,
    LifeCycle::Operational,
    LifeCycle::Terminated,
];
const BINDINGS: [BindingOfCard; 5] = [
    BindingOfCard::Unknown,
    BindingOfCard::None,
    BindingOfCard::Begun,
    BindingOfCard::Here,
    BindingOfCard::Elsewhere,
];

/// Says what was measured.
pub(super) fn measured(language: Language, what: What, text: &str) -> String {
    let german = match (language, what) {
        (Language::German, What::LifeCycle) => stage(text),
        (Language::German, What::BoundTo) => bound_to(text),
        _ => None,
    };
    german.unwrap_or(text).to_owned()
}

fn stage(text: &str) -> Option<&'static str> {
    let stage = STAGES.into_iter().find(|stage| stage.to_string() == text)?;
    Some(match stage {
        LifeCycle::Blank => "leer",
        LifeCycle::Personalized => "personalisiert",
        LifeCycle::Bound => "gebunden",
        LifeCycle::Operational => "in Betrieb",
        LifeCycle::Terminated => "beendet",
    })
}

fn bound_to(text: &str) -> Option<&'static str> {
    let binding = BINDINGS.into_iter().find(|binding| binding.to_string() == text)?;
    Some(match binding {
        BindingOfCard::Unknown => "nicht bekannt",
        BindingOfCard::None => "noch an kein Gateway",
        BindingOfCard::Begun => "an dieses Gateway, noch nicht bestätigt",
        BindingOfCard::Here => "an dieses Gateway",
        BindingOfCard::Elsewhere => "an ein anderes Gateway",
    })
}

/// Says why something was not looked at, if it is one of the usual reasons.
pub(super) fn reason(language: Language, why: &str) -> Option<&'static str> {
    let texts = match why {
        BELOW => ["Eine Sprosse darunter hält nicht.", "A rung below does not hold."],
        NO_BROKER => ["Es ist kein Broker eingerichtet.", "No broker is configured."],
        NOT_DIRECT => [
            "Das Gateway soll nicht direkt angerufen werden.",
            "The gateway is not to be called directly.",
        ],
        _ => return None,
    };
    Some(language.choose(texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_reasons_are_told_in_the_language_of_the_page() {
        for why in [BELOW, NO_BROKER, NOT_DIRECT] {
            let [german, english] =
                [Language::German, Language::English].map(|one| reason(one, why).unwrap());
            assert_ne!(german, english);
            assert_eq!(english.to_ascii_lowercase(), format!("{why}."));
        }
        assert_eq!(reason(Language::German, "a thread has failed"), None);
    }

    #[test]
    fn stages_and_bindings_are_told_in_german_and_anything_else_as_it_is() {
        for stage in STAGES.map(|stage| stage.to_string()) {
            assert_ne!(measured(Language::German, What::LifeCycle, &stage), stage);
            assert_eq!(measured(Language::English, What::LifeCycle, &stage), stage);
        }
        for binding in BINDINGS.map(|binding| binding.to_string()) {
            assert_ne!(measured(Language::German, What::BoundTo, &binding), binding);
        }
        assert_eq!(measured(Language::German, What::Space, "9 MiB"), "9 MiB");
        assert_eq!(
            measured(Language::German, What::BoundTo, "to the moon"),
            "to the moon"
        );
    }
}
