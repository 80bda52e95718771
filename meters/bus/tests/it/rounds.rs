//! What holds for the rounds of every bus.

use bus::{PollError, StartRoundError};
use model::{GapReason, Timestamp};
use simulators::modbus::Fault;
use tokio::time::timeout;

use crate::modbus::{port, sdm630};
use crate::rig::{LONGEST_ROUND, Rig};

#[tokio::test]
async fn a_dead_meter_costs_its_tries_once_and_the_others_are_still_read() {
    let meter = sdm630().await;
    // Both names stand for the same meter, which is silent to the first one's three tries.
    let mut rig = Rig::new(port(&meter, &["dead", "alive"]));
    meter.inject(Fault::Silence, 3);
    let reports = rig.round().await;
    assert_eq!(reports[0].meter, "dead");
    assert_eq!(reports[0].outcome, Err(PollError::NoAnswer { tries: 3 }));
    assert_eq!(reports[0].statistics.retries, 2);
    assert_eq!((reports[1].meter.as_str(), reports[1].remaining), ("alive", 0));
    assert!(reports[1].outcome.is_ok());

    let requests = meter.requests();
    // The others are not kept waiting for who did not answer the last time.
    let reports = rig.round().await;
    assert_eq!(reports[0].meter, "alive");
    let skipped = PollError::Skipped { rounds: 1 };
    assert_eq!(skipped.gap_reason(), GapReason::NoAnswer);
    assert_eq!(reports[1].outcome, Err(skipped));
    assert_eq!(reports[1].statistics.skipped, 1);
    assert_eq!(meter.requests(), requests + 3);

    let reports = rig.round().await;
    assert!(reports.iter().all(|report| report.outcome.is_ok()));
}

#[tokio::test]
async fn a_round_is_refused_while_another_is_running() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["silent"]));
    meter.inject(Fault::Silence, 3);
    rig.bus.start_round(Timestamp::EPOCH).unwrap();
    assert_eq!(
        rig.bus.start_round(Timestamp::EPOCH),
        Err(StartRoundError::StillRunning)
    );
    let report = timeout(LONGEST_ROUND, rig.reports.recv()).await.unwrap().unwrap();
    assert_eq!(report.outcome, Err(PollError::NoAnswer { tries: 3 }));
    rig.round().await;
}

#[tokio::test]
async fn the_stop_token_ends_the_task_in_the_middle_of_a_round() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["silent"]));
    meter.inject(Fault::Silence, u32::MAX);
    rig.bus.start_round(Timestamp::EPOCH).unwrap();
    rig.stop.cancel();
    timeout(LONGEST_ROUND, rig.tasks.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(
        rig.bus.start_round(Timestamp::EPOCH),
        Err(StartRoundError::Stopped)
    );
}

#[tokio::test(start_paused = true)]
async fn the_task_does_not_end_when_nobody_holds_its_handle() {
    let Rig {
        bus, mut tasks, stop, ..
    } = Rig::new(bus::Port::Modbus {
        endpoint: "tcp:127.0.0.1:1".parse().unwrap(),
        meters: Vec::new(),
    });
    drop(bus);
    assert!(timeout(LONGEST_ROUND, tasks.join_next()).await.is_err());
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_line_that_is_borrowed_is_read_by_nobody_else_and_then_again() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["alive"]));
    rig.round().await;
    let loan = timeout(LONGEST_ROUND, rig.bus.borrow_line())
        .await
        .unwrap()
        .unwrap();
    let requests = meter.requests();
    assert_eq!(
        rig.bus.start_round(Timestamp::EPOCH),
        Err(StartRoundError::StillRunning)
    );
    tokio::task::yield_now().await;
    assert_eq!(meter.requests(), requests);
    drop(loan);
    let reports = rig.round().await;
    assert!(reports.iter().all(|report| report.outcome.is_ok()), "{reports:?}");
    rig.stop.cancel();
    timeout(LONGEST_ROUND, rig.tasks.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(matches!(
        rig.bus.borrow_line().await,
        Err(StartRoundError::Stopped)
    ));
}
