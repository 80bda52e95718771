//! `supplier receive`: what gateways send by themselves, for as long as the program runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use counterparty::clock;
use counterparty::stop::stopped;
use supplier::{Home, ReceiveError, Received, Reception, Store};

use crate::output::Printer;
use crate::pulling::{check_lists, warn_of_conflicts};
use crate::{END_PATIENCE, ProgramError, arguments, chain, runtime};

/// Receives.
pub(crate) fn receive(act: &arguments::Receive) -> Result<(), ProgramError> {
    let home = Arc::new(Home::load(&act.store.home, clock::now())?);
    check_lists(&home, act.require_lists)?;
    let runtime = runtime()?;
    let done = runtime.block_on(until_the_end(act, home));
    runtime.shutdown_timeout(END_PATIENCE);
    done
}

async fn until_the_end(act: &arguments::Receive, home: Arc<Home>) -> Result<(), ProgramError> {
    let stopped = stopped().map_err(ProgramError::Runtime)?;
    let store = Store::open(&act.store.place()).await?;
    let (broker, group) = (act.broker.clone(), act.share.as_ref());
    let reception = Reception::new(home, store.clone(), broker, group, clock::now)?;
    let mut printer = Printer::new(act.json);
    let mut fault = None;
    let serve = reception.serve(|outcome| match report(outcome, &mut printer) {
        Ok(()) => true,
        Err(error) => {
            fault = Some(error);
            false
        }
    });
    let time = act
        .time
        .map(|time| Duration::from_secs(u64::from(time.seconds())));
    let time_is_over = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = serve => {}
        () = time_is_over => {}
        () = stopped => {}
    }
    reception.end().await;
    store.close().await;
    fault.map_or(Ok(()), Err)
}

/// Prints what came. A message that is not taken is told of; only a store or a standard output that fails ends it.
fn report(outcome: Result<Received, ReceiveError>, printer: &mut Printer) -> Result<(), ProgramError> {
    let received = match outcome {
        Ok(received) => received,
        Err(error) if error.is_of_the_store() => return Err(error.into()),
        Err(error) => {
            tracing::warn!("{}", chain(&error));
            return Ok(());
        }
    };
    warn_of_conflicts(&received.kept);
    if let Some((grant, period)) = &received.schedule {
        let guid = received.answer.gateway;
        let (from, to) = (period.from(), period.to());
        let rule = received
            .delivery
            .as_ref()
            .map(|delivery| delivery.rule.to_string());
        let pseudonymous = received.delivery.as_ref().map(|delivery| delivery.pseudonymous);
        tracing::info!(%guid, %grant, %from, %to, rule, pseudonymous, new = received.kept.new, "received");
    }
    printer
        .print_received(&received, &mut io::stdout().lock())
        .map_err(ProgramError::Output)
}
