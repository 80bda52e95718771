//! A process that is killed while it appends: nothing that it acknowledged is lost.

use std::path::Path;

use super::*;
use crate::crash::{FOLDER, KILLS, acknowledge, delay, run_and_kill};

#[test]
fn appending_child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let logs = Logs::open(
        &Path::new(&folder).join("logs"),
        LogLimits::default(),
        false,
        at(1),
    )
    .unwrap();
    let next = logs.head(LogKind::Consumer).count + 1;
    for value in next..1_000_000 {
        // Every fourth answer is long, so that segments are begun while the process is killed.
        let rules = if value % 4 == 0 { 14 } else { 0 };
        logs.append(at(1), &[answered(value, rules), started("a"), started("b")])
            .unwrap();
        acknowledge(&value.to_string());
    }
}

#[test]
fn killed_process_loses_no_acknowledged_entry() {
    let place = Place::new();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let wanted = usize::try_from(kill % 7).unwrap();
        let child = "logs::tests::crash::appending_child";
        let seen = run_and_kill(child, place.0.path(), wanted, delay(kill));
        acknowledged = seen
            .last()
            .map_or(acknowledged, |last| last.parse::<u64>().unwrap());
        let logs = place.open();
        let kept = entries(&logs, LogKind::Consumer);
        assert!(kept.len() as u64 >= acknowledged);
        for (value, entry) in (1..).zip(&kept) {
            let rules = if value % 4 == 0 { 14 } else { 0 };
            assert_eq!(entry.event(), Some(answered(value, rules)));
        }
        assert!(logs.verify(&TestCard).unwrap().is_sound());
    }
    assert!(acknowledged > 20);
}
