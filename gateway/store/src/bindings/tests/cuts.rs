//! The life of the bindings, cut off at every single change of the disk.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use super::*;
use crate::crash::folder_in_memory;
use crate::files::faults;

/// What the life has acknowledged so far, in order.
const ACKNOWLEDGED: [&str; 6] = ["nothing", "opened", "begun", "bound", "counted", "tampered"];

/// Lives a life in a folder and counts what was acknowledged.
fn live(folder: &Path, acknowledged: &Cell<usize>) -> Result<(), BurnError> {
    let bindings = open(folder)?;
    acknowledged.set(1);
    bindings.begin(&intent("fd00::1"))?;
    acknowledged.set(2);
    bindings.burn(&binding("fd00::1"))?;
    acknowledged.set(3);
    bindings.advance(Counter::CardSession, 5)?;
    acknowledged.set(4);
    bindings.burn_tamper("x", now())?;
    acknowledged.set(5);
    Ok(())
}

/// Checks that all of what was acknowledged is there, and nothing of what was not begun.
fn check(folder: &Path, acknowledged: usize, what: &str) {
    let what = format!("{what}, {} was acknowledged", ACKNOWLEDGED[acknowledged]);
    let bindings = open(folder).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    // One step may have been done when the power went before it could be acknowledged.
    let must_not = acknowledged.saturating_add(2);
    let expect = |is_there: bool, step: usize| {
        assert!(is_there || acknowledged < step, "{what}: {step} is lost");
        assert!(!is_there || step < must_not, "{what}: {step} was not begun");
    };
    let intent = bindings.intent().unwrap();
    expect(intent.is_some(), 2);
    assert!(intent.is_none_or(|intent| *intent.pairing == b"secret"), "{what}");
    let burned = bindings.binding().unwrap();
    expect(burned.is_some(), 3);
    assert!(burned.is_none_or(|burned| burned == binding("fd00::1")), "{what}");
    let counter = bindings.counter(Counter::CardSession).unwrap();
    expect(counter == 5, 4);
    assert!([0, 5].contains(&counter), "{what}");
    let tampered = bindings.tampered().unwrap().is_some();
    expect(tampered, 5);
    // It goes on where it was cut off.
    drop(bindings);
    let bindings = open(folder).unwrap();
    assert_eq!(bindings.repairs(), [], "{what}: once is enough");
    match bindings.burn(&binding("fd00::1")) {
        Ok(_) => assert!(!tampered),
        Err(error) => assert!(
            tampered && matches!(error, BurnError::Dead { .. }),
            "{what}: {error:?}"
        ),
    }
    bindings.burn(&binding("fd00::2")).unwrap_err();
}

/// Runs something in a folder and keeps a copy of it as it stands before every change of the disk, each
/// with what had been acknowledged by then.
fn copies_at_every_step(
    folder: &Path,
    run: impl FnOnce(&Path, &Cell<usize>),
) -> Vec<(tempfile::TempDir, usize)> {
    let taken = Rc::new(RefCell::new(Vec::new()));
    let acknowledged = Rc::new(Cell::new(0));
    let (into, now, from) = (Rc::clone(&taken), Rc::clone(&acknowledged), folder.to_owned());
    let take = move |_: &Path| {
        let copy = folder_in_memory();
        copy_folder(&from, copy.path());
        into.borrow_mut().push((copy, now.get()));
        Ok(())
    };
    faults::with(take, || run(folder, &acknowledged));
    taken.take()
}

#[test]
fn power_cut_at_any_step_loses_nothing_that_was_acknowledged() {
    let folder = folder_in_memory();
    let taken = copies_at_every_step(folder.path(), |folder, acknowledged| {
        live(folder, acknowledged).unwrap();
    });
    assert!(taken.len() > 80, "{} steps", taken.len());
    for (step, (copy, acknowledged)) in taken.iter().enumerate() {
        check(copy.path(), *acknowledged, &format!("cut at step {step}"));
    }
}

#[test]
fn power_cut_at_any_step_of_a_repair_is_repaired() {
    let damages: [fn(&Path); 5] = [
        |folder| fs::remove_dir_all(folder.join("sled")).unwrap(),
        |folder| fs::write(folder.join("sled/db"), [0xff; 4_096]).unwrap(),
        |folder| fs::write(folder.join("sled/snap.00FF"), [0xff; 64]).unwrap(),
        |folder| fs::write(folder.join("copy-a"), "?").unwrap(),
        |folder| {
            fs::remove_file(folder.join("copy-b")).unwrap();
            fs::write(folder.join("sled/conf"), "?").unwrap();
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        let folder = folder_in_memory();
        live(folder.path(), &Cell::new(0)).unwrap();
        damage(folder.path());
        let taken = copies_at_every_step(folder.path(), |folder, acknowledged| {
            acknowledged.set(5);
            open(folder).unwrap();
        });
        assert!(taken.len() > 3);
        for (step, (copy, acknowledged)) in taken.iter().enumerate() {
            let what = format!("damage {number} cut at step {step}");
            check(copy.path(), *acknowledged, &what);
        }
    }
}

/// Lives a life on a disk that fails at the nth change, once or from then on.
///
/// Returns whether it got through.
fn live_on_a_failing_disk(folder: &Path, nth: usize, once: bool, kind: io::ErrorKind) -> (bool, usize) {
    let step = Cell::new(0_usize);
    let fail = move |_: &Path| {
        step.set(step.get().saturating_add(1));
        let fails = if once {
            step.get() == nth
        } else {
            step.get() >= nth
        };
        if fails { Err(kind.into()) } else { Ok(()) }
    };
    let acknowledged = Cell::new(0);
    let outcome = faults::with(fail, || live(folder, &acknowledged));
    (outcome.is_ok(), acknowledged.get())
}

#[test]
fn disk_that_fails_at_any_step_loses_nothing_that_was_acknowledged() {
    let folder = folder_in_memory();
    let taken = Rc::new(Cell::new(0));
    let count = Rc::clone(&taken);
    let counting = move |_: &Path| {
        count.set(count.get() + 1);
        Ok(())
    };
    faults::with(counting, || live(folder.path(), &Cell::new(0))).unwrap();
    for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
        for once in [true, false] {
            let mut failures = 0;
            for nth in 1..=taken.get() {
                let folder = folder_in_memory();
                let (is_through, acknowledged) = live_on_a_failing_disk(folder.path(), nth, once, kind);
                let what = format!("{kind} at step {nth}, once: {once}");
                check(folder.path(), acknowledged, &what);
                failures += usize::from(!is_through);
            }
            // A disk that is full once is put right by the space that is kept aside, once it is.
            let is_put_right = once && kind == io::ErrorKind::StorageFull;
            let most = taken.get() / 2;
            assert!(is_put_right != (failures > most), "{failures} failures");
        }
    }
}

#[test]
fn disk_that_is_full_for_a_moment_stops_no_burn() {
    for nth in 1..100 {
        let folder = folder_in_memory();
        let bindings = open(folder.path()).unwrap();
        let step = Cell::new(0_usize);
        let full_once = move |_: &Path| {
            step.set(step.get() + 1);
            if step.get() == nth {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        };
        let outcome = faults::with(full_once, || {
            bindings.begin(&intent("fd00::1"))?;
            bindings.burn(&binding("fd00::1"))?;
            bindings.advance(Counter::CardSession, 5)
        });
        outcome.unwrap_or_else(|error| panic!("full at step {nth}: {error:?}"));
        assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
        assert_eq!(bindings.counter(Counter::CardSession).unwrap(), 5);
    }
}
