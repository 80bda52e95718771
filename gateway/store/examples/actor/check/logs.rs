//! Looking at the logs: each entry that was acknowledged is there once and in order, and the chain verifies.

use std::path::Path;

use model::{LogEvent, LogKind};
use store::{LogEntry, LogLimits, Logs};

use super::{Known, LATER};
use crate::acts::{self, Act};
use crate::card::TestCard;
use crate::verdict::Verdict;

/// The greatest number of pages that are read of a log; one of the torture has some dozens.
const MAX_PAGES: usize = 1_024;

/// Opens the logs as a gateway does that was bound before.
pub(super) fn open(folder: &Path, known: &Known, verdict: &mut Verdict) -> Option<Logs> {
    let folder = folder.join("logs");
    let is_bound = known.contains(&Act::Burn);
    match Logs::open(&folder, LogLimits::default(), is_bound, acts::moment()) {
        Ok(logs) => Some(logs),
        Err(error) => {
            verdict.close("logs", &error);
            None
        }
    }
}

/// Looks at each log. What was cut off when they were opened is told of, but a power cut may leave it too.
pub(super) fn look(logs: &Logs, known: &Known, verdict: &mut Verdict) {
    let mut is_told = !logs.repairs().is_empty();
    match logs.verify(&TestCard) {
        Ok(verification) => {
            if !verification.is_sound() {
                is_told = true;
                let faults = verification.logs.iter().filter_map(|log| log.fault);
                let faults: Vec<String> = faults.map(|fault| fault.to_string()).collect();
                let heads = verification.fault.map(|fault| fault.to_string());
                let heads = heads.unwrap_or_default();
                verdict
                    .reported
                    .push(format!("logs: {} {heads}", faults.join(", ")));
            }
            if known.contains(&Act::Sign) && verification.signed.is_none() {
                verdict.lose(Act::Sign, is_told);
            }
        }
        Err(error) => {
            is_told = true;
            verdict.report("logs", &error);
        }
    }
    let mut there = [Vec::new(), Vec::new(), Vec::new()];
    for (kind, numbers) in LogKind::ALL.into_iter().zip(&mut there) {
        read(logs, kind, numbers, verdict);
        if !numbers.is_sorted_by(|one, next| one < next) {
            verdict.wrong(format!("the {kind} log is out of order, or has entries twice"));
        }
    }
    for act in known {
        if let Act::Log(number) = act
            && there.iter().any(|numbers| !numbers.contains(number))
        {
            verdict.lose(*act, is_told);
        }
    }
}

/// Reads the numbers of our entries.
fn read(logs: &Logs, kind: LogKind, numbers: &mut Vec<u32>, verdict: &mut Verdict) {
    let mut after = Some(0);
    for _ in 0..MAX_PAGES {
        let Some(behind) = after else { break };
        let page = match logs.page(kind, behind, None) {
            Ok(page) => page,
            Err(error) => return verdict.report("logs", &error),
        };
        for entry in &page.entries {
            match number_of(entry) {
                Some(Ok(number)) => numbers.push(number),
                Some(Err(())) => verdict.wrong(format!("{entry:?}")),
                None => {}
            }
        }
        after = page.next;
    }
}

/// Returns the number of an entry of ours; `None` for what the logs write about themselves.
fn number_of(entry: &LogEntry) -> Option<Result<u32, ()>> {
    let Some(event) = entry.event() else {
        return Some(Err(()));
    };
    let Some(number) = acts::number_of(&event) else {
        let is_own = matches!(event, LogEvent::System(_));
        return (!is_own).then_some(Err(()));
    };
    let is_whole = acts::entries(number).contains(&event) && entry.at == acts::moment();
    Some(is_whole.then_some(number).ok_or(()))
}

/// Logs that were only interrupted take entries and signatures.
pub(super) fn work_on(logs: &Logs, known: &mut Known, verdict: &mut Verdict) {
    if known.contains(&Act::Log(LATER)) {
        return;
    }
    match logs.append(acts::moment(), &acts::entries(LATER)) {
        Ok(()) => drop(known.insert(Act::Log(LATER))),
        Err(error) => verdict.stick("log", &error),
    }
    if let Err(error) = logs.sign(acts::moment(), &mut TestCard) {
        verdict.stick("sign", &error);
    }
}
