//! Why a supplier was given nothing, as the consumer reads it. The codes are those of the decision (`authorization`), which stand in
//! the consumer's log.

use super::language::Language;

/// What each code says, in German and in English.
const TEXTS: &[(&str, [&str; 2])] = &[
    (
        "no-grant",
        ["es gibt keine Erlaubnis für ihn", "nothing is granted to it"],
    ),
    (
        "in-future",
        [
            "der Zeitraum liegt in der Zukunft",
            "the period lies in the future",
        ],
    ),
    (
        "too-many-points",
        ["es wären zu viele Werte", "it would be too many values"],
    ),
    (
        "element-not-granted",
        ["dieser Wert ist nicht erlaubt", "this value is not granted"],
    ),
    (
        "not-yet-valid",
        ["die Erlaubnis gilt noch nicht", "the grant is not valid yet"],
    ),
    (
        "expired",
        ["die Erlaubnis ist abgelaufen", "the grant has expired"],
    ),
    (
        "aggregation-not-granted",
        [
            "diese Zusammenfassung ist nicht erlaubt",
            "this aggregation is not granted",
        ],
    ),
    (
        "too-fine",
        ["feiner, als es erlaubt ist", "finer than what is granted"],
    ),
    (
        "off-grid",
        [
            "kein Vielfaches der erlaubten Auflösung",
            "no multiple of the granted resolution",
        ],
    ),
    (
        "too-far-back",
        [
            "weiter zurück, als es erlaubt ist",
            "further back than what is granted",
        ],
    ),
    (
        "not-on-demand",
        [
            "nur zu den vereinbarten Zeiten erlaubt",
            "granted at the agreed times only",
        ],
    ),
    (
        "pseudonym-only",
        [
            "nur unter einem Pseudonym erlaubt",
            "granted under a pseudonym only",
        ],
    ),
    (
        "consumer-objects",
        ["der Verbraucher widerspricht", "the consumer objects"],
    ),
    (
        "consumer-coarser",
        [
            "feiner, als der Verbraucher es zulässt",
            "finer than the consumer permits",
        ],
    ),
    (
        "too-often",
        ["öfter, als es erlaubt ist", "more often than what is granted"],
    ),
];

/// Says why, with the code; a code of another version stands alone.
pub(super) fn why(language: Language, code: &str) -> String {
    let known = TEXTS.iter().find(|(known, _)| *known == code);
    match known {
        Some((_, texts)) => format!("{}; {code}", language.choose(*texts)),
        None => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The source of the decision, in which every code stands once.
    const SOURCE: &str = include_str!("../../../../authorization/src/denial.rs");

    #[test]
    fn every_code_of_the_decision_is_told_in_both_languages() {
        let (_, codes) = SOURCE.split_once("fn code(").unwrap();
        let (codes, _) = codes.split_once("\n    }\n").unwrap();
        let codes: BTreeSet<_> = codes.split('"').skip(1).step_by(2).collect();
        assert!(codes.len() >= 15, "{codes:?}");
        let told: BTreeSet<_> = TEXTS.iter().map(|(code, _)| *code).collect();
        assert_eq!(told, codes);
        assert_eq!(
            why(Language::German, "expired"),
            "die Erlaubnis ist abgelaufen; expired"
        );
        assert_eq!(why(Language::English, "of-tomorrow"), "of-tomorrow");
    }
}
