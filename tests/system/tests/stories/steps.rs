//! Steps that several stories have in common.

use std::path::Path;
use std::time::Duration;

use system::{Command, GRANTED, Gateway, Grade, House, Pull, Query, Stage, StageError, wait_until};

/// The registration period of the stories: short, but longer than a round over all meters.
pub(crate) const PERIOD: &str = "PT2S";
/// How far back a story asks: everything since it began.
pub(crate) const ALL_OF_IT: &str = "PT10M";
/// How long readings may take to arrive: some registration periods and a slow machine.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(40);

/// How long it may take until a gateway has sent everything again that has no receipt: it does so after one minute, and
/// after two.
pub(crate) const RESENDING: Duration = Duration::from_secs(150);

/// Lets time pass, for what is to happen without anybody waiting for it.
pub(crate) fn let_pass(stage: &Stage, time: Duration) {
    let never = wait_until(&stage.deadline(time), || Ok::<Option<()>, StageError>(None));
    assert_eq!(never.unwrap(), None);
}

/// Opens a house that serves its supplier.
pub(crate) fn house() -> House {
    House::for_a_story(PERIOD).unwrap_or_else(|error| panic!("{}", told(&error)))
}

/// Builds the query for all that is granted.
pub(crate) fn granted(house: &House) -> Query {
    house.query(&GRANTED, Grade::AsGranted, ALL_OF_IT)
}

/// Pulls until the pull fulfils the condition; a failed pull fails the story.
pub(crate) fn pull_until(house: &House, query: &Query, condition: impl Fn(&Pull) -> bool) -> Pull {
    let pulled = wait_until(&house.stage.deadline(ARRIVAL), || {
        let pull = house.supplier.pull(&house.stage, query)?;
        Ok::<_, StageError>(Some(pull).filter(&condition))
    });
    match pulled {
        Ok(pull) => pull.expect("the readings arrive in time"),
        Err(error) => panic!("{}\n{}", told(&error), gateway_log(house)),
    }
}

/// Waits until every meter has been read at a later point of the grid than now.
pub(crate) fn assert_measures_on(stage: &Stage, gateway: &Gateway) {
    let times = || {
        let meters = gateway.status(stage).unwrap().unwrap().meters;
        let times = meters.into_iter().map(|meter| meter.last_success);
        times.collect::<Vec<_>>()
    };
    let before = times();
    let went_on = wait_until(&stage.deadline(ARRIVAL), || {
        let now = times();
        let is_later = before.iter().zip(&now).all(|(before, now)| now > before);
        Ok::<_, StageError>(is_later.then_some(()))
    });
    assert_eq!(went_on.unwrap(), Some(()), "{}", read(gateway.log()));
}

/// Returns the library that gives a program another time: that of Debian's libfaketime for this architecture.
pub(crate) fn other_clock(stage: &Stage) -> String {
    let script =
        "dpkg-query --listfiles libfaketime:$(dpkg --print-architecture) | grep '/libfaketime[.]so[.]1$'";
    let found = Command::new("dpkg-query", Path::new("sh")).option("-c", script);
    let found = stage.run(&found).unwrap();
    let library = found.answer();
    library
        .unwrap_or_else(|error| panic!("install libfaketime: {}", told(&error)))
        .to_owned()
}

/// Gives every program of the stage that is started from now on another clock, such as `@1970-01-02 00:00:00`.
pub(crate) fn give_clock(stage: &mut Stage, time: &str) {
    let library = other_clock(stage);
    for (variable, value) in [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME", time),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ] {
        stage.give(variable, value);
    }
}

/// Asserts that nobody outside gets anything from the gateway now.
pub(crate) fn assert_wan_refuses(house: &House) {
    // Without an address nothing listens; with one, nothing may be handed out.
    if house.status.wan.is_some() {
        let finished = house.supplier.try_pull(&house.stage, &granted(house)).unwrap();
        assert_eq!(finished.code, Some(1), "{:?}", finished.lines);
        assert!(finished.lines.is_empty(), "{:?}", finished.lines);
    }
}

/// Returns the error with all that it came from.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns what the daemon has logged.
pub(crate) fn gateway_log(house: &House) -> String {
    read(house.gateway.log())
}

pub(crate) fn read(file: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()
}

/// Waits until every answer has its receipt: the outbox is empty.
pub(crate) fn wait_for_empty_outbox(stage: &Stage, log: &Path) {
    let emptied = wait_until(&stage.deadline(RESENDING), || {
        Ok::<_, StageError>((waiting(stage).as_deref() == Some("0")).then_some(()))
    });
    assert_eq!(
        emptied.unwrap(),
        Some(()),
        "{:?} answers wait\n{}",
        waiting(stage),
        read(log)
    );
}

/// Counts the answers in a copy of the database, which the gateway has for itself. A copy that was made while something
/// was written may be unreadable.
pub(crate) fn waiting(stage: &Stage) -> Option<String> {
    let copy = stage.path("copy.db");
    for suffix in ["-wal", ""] {
        let database = stage.path("data").join(format!("gateway.db{suffix}"));
        std::fs::copy(database, format!("{}{suffix}", copy.display())).unwrap();
    }
    drop(std::fs::remove_file(format!("{}-shm", copy.display())));
    let printed = std::process::Command::new("sqlite3")
        .arg(&copy)
        .arg("SELECT count(*) FROM outbox")
        .output()
        .unwrap();
    let count = String::from_utf8(printed.stdout).unwrap();
    printed.status.success().then(|| count.trim().to_owned())
}

/// Runs a statement on a supplier's store, and returns what SQLite prints.
pub(crate) fn sql(store: &Path, statement: &str) -> String {
    let output = std::process::Command::new("sqlite3")
        .arg(store)
        .arg(statement)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
