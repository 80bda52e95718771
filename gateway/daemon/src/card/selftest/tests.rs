use std::path::PathBuf;

use card::applet::CardState;
use tempfile::TempDir;

use super::view::Outcome;
use super::*;
use crate::card::Center;
use crate::config::CardSlot;

/// A bench with a card on it.
struct Bench {
    folder: TempDir,
}

const GUID: &str = "fd5a:6d67:7700::2a";

impl Bench {
    fn with_blank_card() -> Self {
        let folder = TempDir::new().unwrap();
        let bench = Self { folder };
        std::fs::write(bench.card(), CardState::blank().to_bytes().unwrap()).unwrap();
        bench
    }

    fn with_personalized_card() -> Self {
        let bench = Self::with_blank_card();
        Center::new().personalize(&bench.card(), GUID);
        bench
    }

    fn card(&self) -> PathBuf {
        self.folder.path().join("card")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn test(&self, order: &Order) -> Result<SelftestView, SelftestError> {
        selftest(&Slot::new(CardSlot::Soft(self.card())), &self.data(), order)
    }

    fn refusal(&self, order: &Order) -> SelftestError {
        let before = std::fs::read(self.card()).unwrap();
        let error = self.test(order).unwrap_err();
        assert!(error.is_refusal(), "{error}");
        assert_eq!(std::fs::read(self.card()).unwrap(), before);
        error
    }
}

fn dangerous(confirmation: &str) -> Order {
    Order {
        dangerous: true,
        confirmation: Some(confirmation.to_owned()),
        files: Vec::new(),
    }
}

fn passed(view: &SelftestView) -> Vec<&str> {
    let json = |script: &ScriptView| serde_json::to_value(script).unwrap()["outcome"] == "passed";
    let passed = view
        .scripts
        .iter()
        .zip(BUILT_IN)
        .filter(|(script, _)| json(script));
    passed.map(|(_, built_in)| built_in.name).collect()
}

#[test]
fn harmless_scripts_leave_the_card_as_it_is() {
    let bench = Bench::with_personalized_card();
    let before = std::fs::read(bench.card()).unwrap();
    let view = bench.test(&Order::default()).unwrap();
    assert!(view.has_passed(), "{view}");
    assert_eq!(passed(&view), ["reading", "refused"]);
    assert_eq!(std::fs::read(bench.card()).unwrap(), before);
    let shown = view.to_string();
    for part in [
        "SOFT CARD",
        GUID,
        "2 passed, 0 failed, 12 not run; the card is personalized",
        "--dangerous runs it",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
}

#[test]
fn dangerous_scripts_want_the_cards_last_characters() {
    let bench = Bench::with_personalized_card();
    let unconfirmed = Order {
        dangerous: true,
        ..Order::default()
    };
    for order in [unconfirmed, dangerous(""), dangerous("blank"), dangerous("0::1")] {
        let told = bench.refusal(&order).to_string();
        assert!(told.ends_with("--confirm ::2a"), "{told}");
    }
    let view = bench.test(&dangerous("::2a")).unwrap();
    assert!(view.has_passed(), "{view}");
    assert_eq!(
        passed(&view),
        [
            "reading",
            "refused",
            "paired",
            "wrong-secret",
            "another-gateway",
            "terminated"
        ]
    );
    assert_eq!(view.life_cycle, Some(LifeCycle::Terminated));
    // There is nothing to confirm on a dead card, and nothing that could be done to it.
    let view = bench.test(&dangerous("")).unwrap();
    assert_eq!(passed(&view), ["terminated"]);
}

#[test]
fn dangerous_scripts_take_a_blank_card_by_its_word() {
    let bench = Bench::with_blank_card();
    assert!(
        bench
            .refusal(&dangerous("::2a"))
            .to_string()
            .ends_with("--confirm blank")
    );
    let view = bench.test(&dangerous("blank")).unwrap();
    assert_eq!(
        passed(&view),
        ["blank-refused", "blank", "imported-keys"],
        "{view}"
    );
    assert!(view.has_passed());
}

#[test]
fn where_a_gateway_keeps_its_bindings_nothing_dangerous_runs() {
    let bench = Bench::with_personalized_card();
    std::fs::create_dir_all(bench.data().join("bindings")).unwrap();
    let told = bench.refusal(&dangerous("::2a")).to_string();
    assert!(
        told.contains("a data folder") || told.contains("data folder"),
        "{told}"
    );
    assert!(bench.test(&Order::default()).unwrap().has_passed());
}

#[test]
fn an_answer_that_is_another_one_is_shown_with_its_line() {
    let bench = Bench::with_blank_card();
    let file = bench.folder.path().join("own.script");
    let order = Order {
        files: vec![file.clone()],
        ..Order::default()
    };
    std::fs::write(&file, "# Wrong.\ncard blank\n> 00 A4 02 0C 02 01 01\n< 6A 82\n").unwrap();
    let view = bench.test(&order).unwrap();
    assert!(!view.has_passed());
    assert!(
        view.to_string().contains("line 3 is answered with 9000"),
        "{view}"
    );
    std::fs::write(&file, "card blank\nnonsense\n").unwrap();
    let error = bench.test(&order).unwrap_err();
    assert!(
        matches!(&error, SelftestError::Script { source, .. } if source.line == 2),
        "{error}"
    );
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(bench.test(&order), Err(SelftestError::File { .. })));
}

#[test]
fn what_does_not_come_true_is_shown_with_its_line() {
    let bench = Bench::with_personalized_card();
    let file = bench.folder.path().join("own.script");
    let order = Order {
        files: vec![file.clone()],
        ..Order::default()
    };
    for (line, said) in [
        (
            format!("verify sig {} {}", "00".repeat(32), "00".repeat(64)),
            "the signature of line 3 is not by the card's sig key",
        ),
        (
            format!("pair {}\n< 90 00", "00".repeat(16)),
            "line 3 is answered with 6985",
        ),
    ] {
        std::fs::write(&file, format!("card personalized\nidentity\n{line}\n")).unwrap();
        let view = bench.test(&order).unwrap();
        assert!(!view.has_passed());
        assert!(view.to_string().contains(said), "{view}");
    }
}

#[test]
fn a_script_that_is_for_no_card_at_hand_is_no_pass() {
    let bench = Bench::with_blank_card();
    let file = bench.folder.path().join("own.script");
    std::fs::write(&file, "card bound\n").unwrap();
    let order = Order {
        files: vec![file],
        ..Order::default()
    };
    assert!(!bench.test(&order).unwrap().has_passed());
}

#[test]
fn a_card_that_is_not_there_cannot_be_tested() {
    let bench = Bench::with_blank_card();
    std::fs::remove_file(bench.card()).unwrap();
    assert!(matches!(
        bench.test(&Order::default()),
        Err(SelftestError::Reader(_))
    ));
}

#[test]
fn a_card_that_is_lost_on_the_way_fails_and_ends_the_test() {
    let mut view = SelftestView::new(None, false, None);
    let lost = Outcome::unreachable(&ReaderError::Lost);
    view.scripts
        .push(ScriptView::of("reading", "Reads.", false, Outcome::Passed));
    view.scripts
        .push(ScriptView::of("pairing", "Pairs.", false, lost));
    assert!(!view.has_passed());
    let shown = view.to_string();
    assert!(
        shown.contains("1 passed, 1 failed, 0 not run; the card is out of reach"),
        "{shown}"
    );
}
