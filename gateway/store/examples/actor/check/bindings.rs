//! Looking at the bindings, and trying to burn another one.

use model::Binding;
use store::{Bindings, BindingsError, Counter};

use super::Known;
use crate::acts::{self, Act};
use crate::verdict::Verdict;

/// Looks at every row, then tries every way to another binding; with `repair`, ours must be possible.
pub(super) fn look(bindings: &Bindings, known: &mut Known, repair: bool, verdict: &mut Verdict) {
    let tamper = bindings.tampered().map(|tamper| {
        tamper.map(|tamper| {
            (
                tamper.reason == acts::TAMPER && tamper.time == acts::now(),
                tamper,
            )
        })
    });
    let is_dead = look_at("tamper", tamper, Act::Tamper, known, verdict);
    let ended = bindings.card_terminated();
    let ended = ended.map(|ended| ended.map(|ended| (ended.time == acts::now(), ended)));
    let has_ended = look_at("termination", ended, Act::Terminated, known, verdict);
    let ours = acts::binding(true);
    let binding = bindings.binding();
    let binding = binding.map(|binding| binding.map(|binding| (binding == ours, binding)));
    let is_burned = look_at("binding", binding, Act::Burn, known, verdict);
    let intent = bindings.intent().map(|intent| {
        intent.map(|intent| {
            let is_ours = intent.binding == ours && *intent.pairing == *acts::intent(true).pairing;
            (is_ours, intent)
        })
    });
    look_at("intent", intent, Act::Begin, known, verdict);
    look_at_counter(bindings, known, repair, verdict);
    if let Err(error) = bindings.report() {
        verdict.report("report", &error);
    }
    if repair && !(is_burned || is_dead || has_ended) {
        let burned = bindings.begin(&acts::intent(true));
        match burned.and_then(|()| bindings.burn(&ours)) {
            Ok(_) => known.extend([Act::Begin, Act::Burn]),
            Err(error) => verdict.stick("burn", &error),
        }
    }
    if is_burned || is_dead || has_ended || repair {
        try_second_burn(bindings, &ours, verdict);
    }
}

/// Judges a row: what was found and whether it is what was written. Returns whether it stands, or should.
fn look_at<T: std::fmt::Debug>(
    name: &str,
    found: Result<Option<(bool, T)>, BindingsError>,
    act: Act,
    known: &Known,
    verdict: &mut Verdict,
) -> bool {
    let is_known = known.contains(&act);
    match found {
        Ok(Some((is_ours, row))) => {
            if !is_ours {
                verdict.wrong(format!("{name}: {row:?}"));
            }
            true
        }
        Ok(None) => {
            if is_known {
                verdict.lose(act, false);
            }
            is_known
        }
        Err(error) => {
            verdict.report(name, &error);
            true
        }
    }
}

fn look_at_counter(bindings: &Bindings, known: &mut Known, repair: bool, verdict: &mut Verdict) {
    let greatest = known.iter().filter_map(|act| match act {
        Act::Advance(value) => Some(*value),
        _ => None,
    });
    let greatest = greatest.max().unwrap_or(0);
    let value = match bindings.counter(Counter::CardSession) {
        Ok(value) => value,
        Err(error) => return verdict.report("counter", &error),
    };
    if value < u64::from(greatest) {
        verdict.lose(Act::Advance(greatest), false);
    }
    if let Some(back) = value.checked_sub(1)
        && bindings.advance(Counter::CardSession, back).is_ok()
    {
        verdict.accept_second("the counter went back");
    }
    let next = u32::try_from(value).unwrap_or(u32::MAX).saturating_add(1);
    if repair {
        match bindings.advance(Counter::CardSession, u64::from(next)) {
            Ok(()) => drop(known.insert(Act::Advance(next))),
            Err(error) => verdict.stick("counter", &error),
        }
    }
}

/// Tries every way to another binding.
fn try_second_burn(bindings: &Bindings, ours: &Binding, verdict: &mut Verdict) {
    let other = acts::binding(false);
    if bindings.burn(&other).is_ok() {
        verdict.accept_second("burned another binding");
    }
    if bindings.begin(&acts::intent(false)).is_ok() {
        verdict.accept_second("began another binding");
        if bindings.burn(&other).is_ok() {
            verdict.accept_second("began and burned another binding");
        }
    }
    if let Ok(Some(binding)) = bindings.binding()
        && binding != *ours
    {
        verdict.accept_second("the other binding stands");
    }
}
