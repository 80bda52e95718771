//! Scripts that say something, and those that do not.

use proptest::prelude::*;

use super::*;
use crate::applet::testing::{TestCard, TestCenter, TestRandom};

fn fault(text: &str) -> (usize, ScriptFault) {
    let error = text.parse::<Script>().unwrap_err();
    (error.line, error.fault)
}

fn run(text: &str) -> Result<(), ScriptError<std::convert::Infallible>> {
    let script: Script = text.parse().unwrap();
    let reset = |card: &mut TestCard| {
        card.reset();
        Ok(())
    };
    script.run(&mut TestCard::blank(1), reset, &mut TestRandom::new(8))
}

fn run_on_personalized(text: &str) -> Result<(), ScriptError<std::convert::Infallible>> {
    let script: Script = format!("card personalized\n{text}").parse().unwrap();
    let (mut card, _) = TestCard::personalized(1, &TestCenter::new(1));
    let reset = |card: &mut TestCard| {
        card.reset();
        Ok(())
    };
    script.run(&mut card, reset, &mut TestRandom::new(8))
}

#[test]
fn a_wrong_line_is_named() {
    assert_eq!(fault("card blank\nsend 00"), (2, ScriptFault::Word));
    assert_eq!(fault("reset"), (1, ScriptFault::Card));
    assert_eq!(fault("card dead"), (1, ScriptFault::Card));
    assert_eq!(fault("card"), (1, ScriptFault::Card));
    assert_eq!(fault("card bound blank bound"), (1, ScriptFault::Card));
    assert_eq!(fault("card blank\ncard blank"), (2, ScriptFault::Card));
    assert_eq!(fault(""), (0, ScriptFault::Card));
    assert_eq!(fault("card blank\n< 9000"), (2, ScriptFault::Order));
    assert_eq!(fault("card blank\n> 00\nreset"), (3, ScriptFault::Order));
    assert_eq!(fault("card blank\n> 00"), (2, ScriptFault::Order));
    for part in ["0", "xy", "{new:2}", "{new}", "{*}"] {
        assert_eq!(fault(&format!("card blank\n> {part}")), (2, ScriptFault::Part));
    }
    assert_eq!(fault("card blank\n> 00\n< {*} {*}"), (3, ScriptFault::Part));
    for operands in [
        "digest",
        "digest name",
        "digest {name} 00",
        "seal name 00 00",
        "seal name 00112233445566778899aabbccddeeff",
        "verify sig 00 00",
        "verify none",
        "pair 00",
    ] {
        let text = format!("card blank\n{operands}");
        assert_eq!(fault(&text), (2, ScriptFault::Operand), "{operands}");
    }
    assert_eq!(fault("card blank\nreset now"), (2, ScriptFault::Word));
    assert_eq!(fault("card blank\n> 00\n<< 90 00"), (3, ScriptFault::Order));
    assert_eq!(fault("card blank\n>> 00\nidentity"), (3, ScriptFault::Order));
    let pair = format!("card blank\npair {}\n<< 90 00", "00".repeat(16));
    assert_eq!(fault(&pair), (3, ScriptFault::Order));
    assert_eq!(fault("card blank\n> 00\n< {x:65539}"), (3, ScriptFault::Part));
    assert_eq!(fault("card blank\n> {guid}"), (2, ScriptFault::Part));
    let long = format!("card blank\n{}", "# and on\n".repeat(MAX_LINES));
    assert_eq!(fault(&long), (MAX_LINES + 1, ScriptFault::Length));
}

#[test]
fn head_of_a_script_says_what_it_shows_and_on_which_cards() {
    let script: Script = "# A title.\ncard bound operational\n# No title.\ndangerous"
        .parse()
        .unwrap();
    assert_eq!(script.title(), "A title.");
    assert_eq!(script.cards(), [LifeCycle::Bound, LifeCycle::Operational]);
    assert!(script.is_dangerous());
}

#[test]
fn answers_are_compared_and_named() {
    let generate = "card blank\ndangerous\n> 00 47 80 00 05 B6 03 84 01 01 00\n";
    assert!(run(&format!("{generate}< 7F 49 43 86 41 04 {{x:32}} {{y:32}} 90 00")).is_ok());
    assert!(
        run(&format!(
            "{generate}< {{*}} 90 00\nreset\n> 00 A4 02 0C 02 07 01\n< 90 00"
        ))
        .is_ok()
    );
    let same = format!("{generate}< {{head:6}} {{*}} 90 00\n> 00 47 80 00 05 B6 03 84 01 01 00\n");
    assert!(run(&format!("{same}< {{head}} {{*}} 90 00")).is_ok());
    let other = run(&format!("{same}< {{head}} 90 00")).unwrap_err();
    assert!(matches!(other, ScriptError::Answer { line: 5, .. }), "{other}");
}

/// A binding to a gateway, and a pairing with the secret.
const BOUND: &str = "identity
seal sealed 000102030405060708090a0b0c0d0e0f 00000000000000000000000000000000
> 80 10 00 00 79 80 10 11111111111111111111111111111111 81 10 {sealed} 82 10 00000000000000000000000000000000 86 41 {sealed-point} 00
< 9E 40 {receipt:64} 90 00
pair 000102030405060708090a0b0c0d0e0f
< 90 00
";

#[test]
fn what_goes_under_secure_messaging_is_answered_there() {
    let read = ">> 00 A4 02 0C 02 06 01\n<< 90 00\n>> 00 B0 00 00 00\n";
    assert!(run_on_personalized(&format!("{BOUND}{read}<< 80 08 {{version:8}} {{*}} 90 00")).is_ok());
    let in_clear = run_on_personalized(&format!("{BOUND}{read}< 80 08 {{version:8}} {{*}} 90 00"));
    assert!(matches!(in_clear, Err(ScriptError::Answer { line: 10, .. })));
    let ended = "> 00 A4 02 0C 02 01 01\n< 90 00\n>> 00 B0 00 00 00\n";
    assert!(run_on_personalized(&format!("{BOUND}{ended}< 69 82")).is_ok());
    let ended = run_on_personalized(&format!("{BOUND}{ended}<< 69 82"));
    assert!(matches!(ended, Err(ScriptError::Answer { line: 10, .. })));
    let reset = run_on_personalized(&format!("{BOUND}reset\n>> 00 B0 00 00 00\n< 69 82"));
    assert!(reset.is_ok());
    let wrong = run_on_personalized(&format!(
        "{BOUND}pair 000102030405060708090a0b0c0d0e0e\n< 63 C9\n>> 00 B0 00 00 00\n< 69 82"
    ));
    assert!(wrong.is_ok());
}

#[test]
fn signatures_are_checked() {
    let verify = |digest: &str, key: &str| {
        run_on_personalized(&format!(
            "{BOUND}digest text 736D67772F62696E642F32 {{guid}} 11111111111111111111111111111111 {digest} \
             00000000000000000000000000000000\nverify {key} {{text}} {{receipt}}"
        ))
    };
    assert!(verify("000102030405060708090a0b0c0d0e0f", "attestation").is_ok());
    for (digest, key) in [
        ("000102030405060708090a0b0c0d0e0e", "attestation"),
        ("000102030405060708090a0b0c0d0e0f", "sig"),
    ] {
        let wrong = verify(digest, key).unwrap_err();
        assert!(matches!(wrong, ScriptError::Signature { line: 9, .. }), "{wrong}");
    }
}

#[test]
fn what_is_computed_needs_the_cards_identity() {
    let zeros = "00".repeat(16);
    let missing = run_on_personalized(&format!("seal sealed {zeros} {zeros}")).unwrap_err();
    assert!(
        matches!(missing, ScriptError::NoIdentity { line: 2 }),
        "{missing}"
    );
    let blank = run("card blank\nidentity").unwrap_err();
    assert!(matches!(blank, ScriptError::Session { line: 2, .. }), "{blank}");
}

proptest! {
    #[test]
    fn any_text_is_a_script_or_refused(text in "(card bound\n)?([ -~]{0,12}\n){0,6}") {
        drop(text.parse::<Script>());
    }
}
