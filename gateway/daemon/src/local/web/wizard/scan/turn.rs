//! Whose turn it is on a line: metering comes first, and the scan uses what is left between two rounds.

use std::time::Duration;

use bus::{Bus, BusConfig, Loan, Port};
use model::Span;
use tokio::time::Instant;

use super::super::Site;
use super::order::Order;
use crate::clock;
use crate::config::line_of;

/// How long before a round the line is given back.
const MARGIN: Duration = Duration::from_secs(2);
/// The least time of a turn: a slow meter needs it for one answer.
const LEAST_TURN: Duration = Duration::from_secs(3);
/// The shortest registration period with which a line can be shared.
const SHORTEST_PERIOD: Duration = Duration::from_secs(10);
/// How long to wait before it is looked again whether the line is free.
const PAUSE: Duration = Duration::from_millis(500);

/// A line that is read for metering.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The name of its bus.
    pub(crate) name: String,
    /// Where it is, as the configuration has it.
    pub(crate) endpoint: String,
    /// Whether it is an M-Bus.
    pub(crate) is_mbus: bool,
    /// Who reads it.
    pub(crate) bus: Bus,
}

impl Line {
    /// Names the line of a bus.
    pub(crate) fn of(config: &BusConfig, bus: Bus) -> Self {
        let (endpoint, is_mbus) = match &config.port {
            Port::Mbus { endpoint, .. } => (endpoint.to_string(), true),
            Port::Modbus { endpoint, .. } => (endpoint.to_string(), false),
        };
        let name = config.name.clone();
        Self {
            name,
            endpoint,
            is_mbus,
            bus,
        }
    }
}

/// The reason why a line is not scanned.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Refused {
    /// The rounds follow each other too closely.
    #[error(
        "bus {bus} is read every {period} for metering, which leaves no time for a scan; scan it with registration_period of \
         PT10S or more"
    )]
    NoTime {
        /// The bus.
        bus: String,
        /// The registration period.
        period: Span,
    },
    /// The gateway is being stopped.
    #[error("the gateway is being stopped")]
    Stopped,
    /// The endpoint is none.
    #[error("the endpoint is none")]
    Endpoint,
}

/// The turns on a line.
pub(super) struct Turns {
    shared: Option<(Bus, Span)>,
    loan: Option<(Loan, Instant)>,
}

impl Turns {
    /// Looks whether the line is read for metering.
    pub(super) fn new(site: &Site, order: &Order) -> Result<Self, Refused> {
        let wanted = line_of(&order.endpoint);
        let line = site.lines.iter().find(|line| line_of(&line.endpoint) == wanted);
        Self::on(line, site.source.registration_period)
    }

    fn on(line: Option<&Line>, period: Span) -> Result<Self, Refused> {
        if let Some(line) = line
            && Duration::from_secs(u64::from(period.seconds())) < SHORTEST_PERIOD
        {
            let bus = line.name.clone();
            return Err(Refused::NoTime { bus, period });
        }
        Ok(Self {
            shared: line.map(|line| (line.bus.clone(), period)),
            loan: None,
        })
    }

    /// Returns whether the turn is over.
    pub(super) fn is_over(&self) -> bool {
        self.loan
            .as_ref()
            .is_some_and(|(_, until)| Instant::now() >= *until)
    }

    /// Gives the line back.
    pub(super) fn give_back(&mut self) {
        self.loan = None;
    }

    /// Takes a turn, or goes on with the one that there is; returns when it ends, if it does.
    pub(super) async fn take(&mut self) -> Result<Option<Instant>, Refused> {
        let Some((bus, period)) = &self.shared else {
            return Ok(None);
        };
        if let Some((_, until)) = &self.loan {
            return Ok(Some(*until));
        }
        loop {
            let left = clock::until(period.grid_after(clock::now())).saturating_sub(MARGIN);
            if left >= LEAST_TURN {
                let loan = bus.borrow_line().await.map_err(|_| Refused::Stopped)?;
                // The round that was waited for has taken its time.
                let left = clock::until(period.grid_after(clock::now())).saturating_sub(MARGIN);
                if left >= LEAST_TURN {
                    let now = Instant::now();
                    let until = now.checked_add(left).unwrap_or(now);
                    self.loan = Some((loan, until));
                    return Ok(Some(until));
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bus::StartRoundError;
    use model::Timestamp;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A line on which there is nobody, with its task.
    fn line(stop: &CancellationToken) -> (Line, bus::BusTask) {
        let config = BusConfig {
            name: "cellar".to_owned(),
            port: Port::Modbus {
                endpoint: "tcp:127.0.0.1:1".parse().unwrap(),
                meters: Vec::new(),
            },
        };
        let (reports, _) = mpsc::channel(1);
        let (bus, task) = bus::prepare(config.clone(), stop.clone(), reports);
        (Line::of(&config, bus), task)
    }

    #[tokio::test]
    async fn line_is_borrowed_until_before_the_next_round_and_given_back() {
        let stop = CancellationToken::new();
        let (line, task) = line(&stop);
        let reading = tokio::spawn(task);
        let bus = line.bus.clone();
        let mut turns = Turns::on(Some(&line), Span::DAY).unwrap();
        let until = turns.take().await.unwrap().unwrap();
        assert!(until > Instant::now() && !turns.is_over());
        assert_eq!(turns.take().await.unwrap(), Some(until), "the same turn goes on");
        let refused = bus.start_round(Timestamp::EPOCH);
        assert_eq!(refused, Err(StartRoundError::StillRunning));
        turns.give_back();
        assert_eq!(bus.start_round(Timestamp::EPOCH), Ok(()));
        stop.cancel();
        reading.await.unwrap();
        assert!(matches!(turns.take().await, Err(Refused::Stopped)));
    }

    #[tokio::test]
    async fn line_that_is_read_all_the_time_is_refused_and_a_free_one_has_no_end() {
        let stop = CancellationToken::new();
        let (line, _task) = line(&stop);
        let second = Span::from_seconds(1).unwrap();
        let refused = Turns::on(Some(&line), second).err().unwrap().to_string();
        assert!(
            refused.contains("cellar") && refused.contains("PT10S"),
            "{refused}"
        );
        let mut free = Turns::on(None, second).unwrap();
        assert_eq!(free.take().await.unwrap(), None);
        assert!(!free.is_over());
    }
}
