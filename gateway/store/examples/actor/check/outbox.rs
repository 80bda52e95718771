//! Looking at the outbox: a message waits from its act until its receipt, and a posted one with its round.

use store::{Database, OutboxMessage, RowKind};

use super::Known;
use super::losses::Told;
use crate::acts::{self, Act};
use crate::verdict::Verdict;

/// The greatest number of calls that the outbox is read with; a store of the torture needs some dozens.
const MAX_CALLS: usize = 1_024;

/// Looks at all messages that wait; `whole` are the acts whose readings are all there.
pub(super) fn look(database: &Database, known: &Known, whole: &Known, told: &Told, verdict: &mut Verdict) {
    let is_told = told.tell_of(&[RowKind::Outbox]);
    let mut waiting = Known::new();
    let mut damaged = 0usize;
    let mut behind = None;
    for _ in 0..MAX_CALLS {
        let pending = match database.pending(behind) {
            Ok(pending) => pending,
            Err(error) => return verdict.report("outbox", &error),
        };
        for (number, message) in &pending.messages {
            add(*number, message, &mut waiting, verdict);
        }
        damaged = damaged.saturating_add(pending.damaged.len());
        behind = pending.more;
        if behind.is_none() {
            break;
        }
    }
    if damaged > 0 {
        verdict.reported.push(format!("outbox: {damaged} damaged"));
    }
    let may_be_gone = |act: Act| match act {
        Act::Post(number) => known.contains(&Act::WillReceipt(number)),
        _ => false,
    };
    for act in known {
        match act {
            Act::Post(_) | Act::Queue(_) if !waiting.contains(act) && !may_be_gone(*act) => {
                // A damaged message does not say which one it was: each stands for one that is missing.
                verdict.lose(*act, is_told || damaged > 0);
                damaged = damaged.saturating_sub(1);
            }
            Act::Receipt(number) if waiting.contains(&Act::Post(*number)) => verdict.lose(*act, is_told),
            _ => {}
        }
    }
    if is_told || told.tell_of(&[RowKind::Round, RowKind::Element]) {
        return;
    }
    let posted = |act: &&Act| matches!(act, Act::Post(_)) && !known.contains(act);
    let without_round = waiting.difference(whole).filter(posted);
    let without_message = whole.difference(&waiting).filter(posted);
    for act in without_round.chain(without_message) {
        verdict.change(format!("{act} is there in part"));
    }
}

fn add(number: u64, message: &OutboxMessage, waiting: &mut Known, verdict: &mut Verdict) {
    let act = acts::act_of_message(&message.id).filter(|act| acts::message(*act) == *message);
    match act {
        Some(act) if waiting.insert(act) => {}
        Some(act) => verdict.wrong(format!("{act} waits twice")),
        None => verdict.wrong(format!("message {number}: {message:?}")),
    }
}
