//! A bus task with its handle and its reports.

use std::time::Duration;

use bus::{Bus, BusConfig, PollError, Port, Report};
use model::{Obis, Quantity, Sample, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What no round of these tests takes, even on a busy machine.
pub(crate) const LONGEST_ROUND: Duration = Duration::from_secs(30);

pub(crate) struct Rig {
    pub(crate) bus: Bus,
    pub(crate) reports: mpsc::Receiver<Report>,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) stop: CancellationToken,
    rounds: i64,
}

impl Rig {
    pub(crate) fn new(port: Port) -> Self {
        let config = BusConfig {
            name: "cellar".to_owned(),
            port,
        };
        let (sender, reports) = mpsc::channel(8);
        let mut tasks = JoinSet::new();
        let stop = CancellationToken::new();
        let bus = bus::spawn(config, &mut tasks, stop.clone(), sender);
        Self {
            bus,
            reports,
            tasks,
            stop,
            rounds: 0,
        }
    }

    /// Runs one round and returns its reports.
    pub(crate) async fn round(&mut self) -> Vec<Report> {
        self.rounds += 1;
        let time = Timestamp::from_unix_seconds(self.rounds * 900).unwrap();
        self.bus.start_round(time).unwrap();
        let mut reports = Vec::new();
        loop {
            let report = timeout(LONGEST_ROUND, self.reports.recv())
                .await
                .unwrap()
                .unwrap();
            assert_eq!((report.bus.as_str(), report.round), ("cellar", time));
            let remaining = report.remaining;
            reports.push(report);
            if remaining == 0 {
                return reports;
            }
        }
    }

    /// Runs one round on a bus with one meter.
    pub(crate) async fn only(&mut self) -> Report {
        let mut reports = self.round().await;
        assert_eq!(reports.len(), 1);
        reports.remove(0)
    }

    /// Runs rounds until the bus can be connected to again.
    pub(crate) async fn until_connected(&mut self) -> Report {
        timeout(LONGEST_ROUND, async {
            loop {
                let report = self.only().await;
                match report.outcome {
                    Err(PollError::ConnectPostponed { wait, .. }) => {
                        tokio::time::sleep_until(tokio::time::Instant::now() + wait).await;
                    }
                    _ => return report,
                }
            }
        })
        .await
        .unwrap()
    }
}

/// Returns the value of the element with that code.
pub(crate) fn quantity(samples: &[Sample], obis: &str) -> Quantity {
    let obis: Obis = obis.parse().unwrap();
    let sample = samples.iter().find(|sample| sample.element.obis == obis);
    sample.unwrap().value.unwrap()
}
