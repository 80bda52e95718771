//! `supplier pull`: from one gateway, whose values are printed, or from many, of which each has a line.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use counterparty::clock;
use counterparty::stop::stopped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use messages::content::Answer;
use model::{CardId, Timestamp};
use supplier::{
    Archive, Backlog, Exchange, Home, Kept, KnownGateway, ListError, Outcome, Pull, Puller, Schedule, Store,
    Target, Witness, pull_fleet,
};

use crate::arguments::{self, until_now};
use crate::output::{FleetPrinter, Printer};
use crate::{Done, END_PATIENCE, ProgramError, chain, runtime};

/// How the progress of a fleet looks.
const BAR: &str = "{bar:30} {pos} of {len} gateways, {msg} failed, {eta} left";

/// Pulls.
pub(crate) fn pull(act: &arguments::Pull) -> Result<Done, ProgramError> {
    let home = Arc::new(Home::load(&act.store.home, clock::now())?);
    check_lists(&home, act.require_lists)?;
    let runtime = runtime()?;
    let done = match act.whom.single() {
        Some(guid) => runtime.block_on(one(act, home, guid)),
        None => runtime.block_on(many(act, home)),
    };
    runtime.shutdown_timeout(END_PATIENCE);
    done
}

/// Tells of lists of revoked certificates that are old; without lists nothing goes on where they are required.
pub(crate) fn check_lists(home: &Home, are_required: bool) -> Result<(), ProgramError> {
    match home.check_lists(clock::now()) {
        Ok(()) => {}
        Err(error) if are_required => return Err(error.into()),
        Err(ListError::None) => {}
        Err(error) => tracing::warn!("{error}"),
    }
    Ok(())
}

/// Tells of values that are in the store with another one.
pub(crate) fn warn_of_conflicts(kept: &Kept) {
    for reading in &kept.conflicts {
        let (element, time) = (&reading.element, reading.time);
        tracing::warn!(%element, %time, "another value than before was kept as a conflict");
    }
}

/// Who asks one gateway.
enum Asker {
    IntoStore(Puller),
    Bare(Arc<Home>),
}

/// One gateway, and what its messages go through.
struct Talk<'a> {
    act: &'a arguments::Pull,
    asker: Asker,
    guid: CardId,
    exchange: Exchange,
    archive: Option<Archive>,
}

async fn one(act: &arguments::Pull, home: Arc<Home>, guid: CardId) -> Result<Done, ProgramError> {
    let address = match &act.gateway {
        Some(address) => address.clone(),
        None => home.known(guid)?.target(None)?.address,
    };
    let exchange = Exchange::new(home.identity(), guid, address)?;
    let archive = act.keep.as_deref().map(Archive::open).transpose()?;
    let store = if act.no_store {
        None
    } else {
        Some(Store::open(&act.store.place()).await?)
    };
    let asker = match &store {
        Some(store) => Asker::IntoStore(Puller::new(home, store.clone(), clock::now)),
        None => Asker::Bare(home),
    };
    let mut talk = Talk {
        act,
        asker,
        guid,
        exchange,
        archive,
    };
    let done = if act.follow {
        talk.follow().await
    } else {
        talk.once().await
    };
    if let Some(store) = store {
        store.close().await;
    }
    done
}

impl Talk<'_> {
    async fn once(&mut self) -> Result<Done, ProgramError> {
        let period = self.act.period(clock::now())?;
        let mut printer = Printer::new(self.act.json);
        let answers = self.ask(period).await?;
        let mut refused = false;
        let mut served = false;
        for answer in &answers {
            refused |= !answer.refusals.is_empty();
            served |= !answer.series.is_empty();
            printer
                .print(answer, &mut io::stdout().lock())
                .map_err(ProgramError::Output)?;
        }
        Ok(if refused && !served {
            Done::InPart
        } else {
            Done::Whole
        })
    }

    /// Asks once, and returns all answers.
    async fn ask(&mut self, period: model::Period) -> Result<Vec<Answer>, ProgramError> {
        match &self.asker {
            Asker::Bare(home) => {
                let pull = Pull::new(home, self.guid, &self.exchange, clock::now);
                let queries = self.act.queries(period);
                Ok(pull.ask_all(&queries, self.archive.as_mut()).await?)
            }
            Asker::IntoStore(puller) => {
                let mut answers = Vec::new();
                let mut show = |answer: &Answer| answers.push(answer.clone());
                let mut witness = Witness {
                    archive: self.archive.as_mut(),
                    show: &mut show,
                };
                let order = self.act.order(period);
                let pulled = puller
                    .pull(self.guid, &self.exchange, &order, &mut witness)
                    .await?;
                warn_of_conflicts(&pulled.kept);
                Ok(answers)
            }
        }
    }

    /// Pulls once per step until a signal comes. A pull that fails is logged and tried again at a later step; only a
    /// standard output that is gone ends this otherwise.
    async fn follow(&mut self) -> Result<Done, ProgramError> {
        let stopped = stopped().map_err(ProgramError::Runtime)?;
        let act = self.act;
        let mut backlog = Backlog::new(act.resolution, act.period(clock::now())?.from());
        let mut schedule = Schedule::new(act.resolution);
        let mut printer = Printer::new(act.json);
        let follow = async {
            loop {
                match self.ask_for_new(&mut backlog, &mut printer).await {
                    Ok(()) => schedule.succeeded(),
                    Err(error @ ProgramError::Output(_)) => return Err(error),
                    Err(error) => {
                        schedule.failed();
                        let due = schedule.due(clock::now());
                        tracing::error!(again_at = %due, "{}", chain(&error));
                    }
                }
                sleep_until(schedule.due(clock::now())).await;
            }
        };
        tokio::select! {
            ended = follow => ended,
            () = stopped => Ok(Done::Whole),
        }
    }

    /// Pulls what is new since the last answer and prints it.
    async fn ask_for_new(
        &mut self,
        backlog: &mut Backlog,
        printer: &mut Printer,
    ) -> Result<(), ProgramError> {
        let now = clock::now();
        let period = until_now(backlog.begin_of_request(now), now)?;
        for mut answer in self.ask(period).await? {
            answer.series = backlog.take_new(answer.series);
            printer
                .print(&answer, &mut io::stdout().lock())
                .map_err(ProgramError::Output)?;
        }
        Ok(())
    }
}

async fn sleep_until(due: Timestamp) {
    let seconds = due.seconds_since(clock::now());
    tokio::time::sleep(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))).await;
}

async fn many(act: &arguments::Pull, home: Arc<Home>) -> Result<Done, ProgramError> {
    let targets = targets(act, &home)?;
    let order = act.order(act.period(clock::now())?);
    let store = Store::open(&act.store.place()).await?;
    let puller = Puller::new(home, store.clone(), clock::now);
    let length = u64::try_from(targets.len()).unwrap_or(u64::MAX);
    // It shows nothing where the standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    let mut printer = FleetPrinter::new(act.json);
    let mut printed = Ok(());
    bar.set_message("0");
    let report = |outcome: Outcome| {
        let print = || printer.print(&outcome, &mut io::stdout().lock());
        let outcome_printed = bar.suspend(print);
        if printed.is_ok() {
            printed = outcome_printed;
        }
        bar.set_message(printer.failed().to_string());
        bar.inc(1);
    };
    pull_fleet(&puller, targets, &order, act.jobs, report).await;
    bar.finish_and_clear();
    store.close().await;
    printed.map_err(ProgramError::Output)?;
    printer
        .summary(&mut io::stderr().lock())
        .map_err(ProgramError::Output)?;
    Ok(if printer.failed() == 0 {
        Done::Whole
    } else {
        Done::InPart
    })
}

fn targets(act: &arguments::Pull, home: &Home) -> Result<Vec<Target>, ProgramError> {
    let mut gateways: Vec<KnownGateway> = Vec::new();
    for guid in &act.whom.guid {
        gateways.push(home.known(*guid)?);
    }
    if let Some(list) = &act.whom.list {
        gateways.extend(home.read_list(list)?);
    }
    if act.whom.all {
        gateways.extend(home.gateways()?);
    }
    let targets = gateways
        .into_iter()
        .map(|gateway| gateway.target(act.gateway.as_ref()));
    Ok(targets.collect::<Result<_, _>>()?)
}
