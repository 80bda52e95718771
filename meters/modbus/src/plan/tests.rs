use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::image::ImageError;
use crate::profile::{Function, Limits};

fn limits() -> Limits {
    Limits {
        registers_per_request: 10,
        bits_per_request: 20,
        largest_gap: 2,
        forbidden: Vec::new(),
        pause: Duration::ZERO,
        answer_timeout: Duration::from_secs(1),
        connect_delay: Duration::ZERO,
        one_connection: false,
    }
}

fn input(address: u16, count: u16) -> Block {
    Block {
        function: Function::InputRegisters,
        address,
        count,
    }
}

fn planned<const N: usize>(wanted: [Block; N]) -> Vec<Block> {
    blocks(wanted, &limits(), &Refusals::default())
}

/// A meter that refuses every request that touches one of some registers, or is too long.
struct Meter {
    holes: BTreeSet<u16>,
    longest: u16,
}

impl Meter {
    fn shows(&self, block: Block) -> bool {
        let mut addresses = u32::from(block.address)..block.end();
        block.count <= self.longest
            && addresses.all(|address| !self.holes.contains(&address.try_into().unwrap()))
    }

    /// Reads everything and returns what came of it, with the requests that were answered and refused.
    fn poll(&self, wanted: &[Block], limits: &Limits, refusals: &Refusals) -> (Outcome, Vec<Block>, usize) {
        let mut plan = Plan::new(wanted.iter().copied(), None, limits, refusals);
        let (mut answered, mut refused) = (Vec::new(), 0);
        while let Some(request) = plan.next_request() {
            if self.shows(request) {
                let words: Vec<u16> = (request.address..).take(request.count.into()).collect();
                plan.handle_answer(&words).unwrap();
                answered.push(request);
            } else {
                assert_ne!(plan.handle_exception(2), Handled::Unchanged);
                refused += 1;
            }
        }
        (plan.finish(), answered, refused)
    }
}

#[test]
fn neighbours_share_a_request_in_whatever_order_they_stand() {
    assert_eq!(planned([input(4, 2), input(0, 2), input(2, 2)]), [input(0, 6)]);
}

#[test]
fn a_gap_is_read_across_up_to_its_limit() {
    assert_eq!(planned([input(0, 2), input(4, 2)]), [input(0, 6)]);
    assert_eq!(planned([input(0, 2), input(5, 2)]), [input(0, 2), input(5, 2)]);
}

#[test]
fn a_request_holds_no_more_registers_than_the_meter_takes() {
    let registers: [Block; 6] = [0, 2, 4, 6, 8, 10].map(|address| input(address, 2));
    assert_eq!(planned(registers), [input(0, 10), input(10, 2)]);
}

#[test]
fn tables_are_read_apart_and_have_their_own_limits() {
    let holding = Block {
        function: Function::HoldingRegisters,
        ..input(2, 2)
    };
    assert_eq!(
        planned([input(0, 2), holding, input(4, 2)]),
        [holding, input(0, 6)]
    );
    let coils = |address, count| Block {
        function: Function::Coils,
        address,
        count,
    };
    assert_eq!(
        planned([coils(0, 10), coils(10, 10), coils(20, 1)]),
        [coils(0, 20), coils(20, 1)]
    );
}

#[test]
fn forbidden_registers_are_not_read_across() {
    let limits = Limits {
        forbidden: vec![input(2, 1)],
        ..limits()
    };
    let wanted = [input(0, 2), input(3, 2)];
    assert_eq!(blocks(wanted, &limits, &Refusals::default()), wanted);
}

#[test]
fn the_last_register_of_the_address_space_is_reached() {
    assert_eq!(planned([input(65_534, 2)]), [input(65_534, 2)]);
    assert_eq!(input(65_534, 2).end(), 65_536);
}

#[test]
fn the_same_register_is_read_once() {
    assert_eq!(planned([input(0, 2), input(0, 2)]), [input(0, 2)]);
}

#[test]
fn a_refused_hole_is_split_and_remembered() {
    let meter = Meter {
        holes: BTreeSet::from([3]),
        longest: 125,
    };
    let wanted = [input(0, 2), input(2, 1), input(4, 2)];
    let (outcome, answered, refused) = meter.poll(&wanted, &limits(), &Refusals::default());
    assert_eq!((answered, refused), (vec![input(0, 3), input(4, 2)], 1));
    assert_eq!(
        outcome.refusals.cuts().collect::<Vec<_>>(),
        [(Function::InputRegisters, 4)]
    );
    assert_eq!(outcome.refusals.absent().count(), 0);
    let (again, answered, refused) = meter.poll(&wanted, &limits(), &outcome.refusals);
    assert_eq!((answered, refused), (vec![input(0, 3), input(4, 2)], 0));
    assert_eq!(again, outcome);
}

#[test]
fn a_meter_that_takes_fewer_registers_than_its_profile_says_is_split_in_the_middle() {
    let meter = Meter {
        holes: BTreeSet::new(),
        longest: 4,
    };
    let wanted: Vec<Block> = [0, 2, 4, 6].map(|address| input(address, 2)).to_vec();
    let (outcome, answered, refused) = meter.poll(&wanted, &limits(), &Refusals::default());
    assert_eq!((answered, refused), (vec![input(0, 4), input(4, 4)], 1));
    assert_eq!(meter.poll(&wanted, &limits(), &outcome.refusals).2, 0);
}

#[test]
fn a_register_that_the_meter_does_not_have_is_not_asked_for_again() {
    let meter = Meter {
        holes: BTreeSet::from([2]),
        longest: 125,
    };
    let wanted = [input(0, 2), input(2, 1), input(3, 2)];
    let (outcome, ..) = meter.poll(&wanted, &limits(), &Refusals::default());
    assert_eq!(outcome.refusals.absent().collect::<Vec<_>>(), [input(2, 1)]);
    assert_eq!(
        outcome.image.gap(input(2, 1)),
        crate::ValueFault::Refused { code: 2 }
    );
    let (again, answered, refused) = meter.poll(&wanted, &limits(), &outcome.refusals);
    assert_eq!((answered, refused), (vec![input(0, 2), input(3, 2)], 0));
    assert_eq!(again.image, outcome.image);
}

#[test]
fn a_meter_that_refuses_everything_is_not_asked_for_each_register() {
    let meter = Meter {
        holes: (0..=u16::MAX).collect(),
        longest: 0,
    };
    let wanted: Vec<Block> = (0..900).map(|index| input(index, 1)).collect();
    let limits = Limits {
        registers_per_request: 125,
        ..limits()
    };
    let (outcome, answered, refused) = meter.poll(&wanted, &limits, &Refusals::default());
    assert!(answered.is_empty());
    // It may be starting; whatever it has refused is asked for again.
    assert!(outcome.refusals.is_empty());
    // Eight requests, and the parts of some.
    assert_eq!(refused, 8 + 2 * Plan::MAX_BLIND_SPLITS);
}

#[test]
fn a_meter_whose_first_registers_are_refused_is_read_behind_them() {
    let meter = Meter {
        holes: (0..100).collect(),
        longest: 125,
    };
    let wanted: Vec<Block> = (0..120).map(|index| input(index, 1)).collect();
    let mut refusals = Refusals::default();
    for _ in 0..3 {
        let (outcome, ..) = meter.poll(&wanted, &limits(), &refusals);
        assert_eq!(
            outcome.image.words(input(100, 20)).map(|words| words.len()),
            Some(20)
        );
        refusals = outcome.refusals;
    }
}

#[test]
fn what_is_asked_for_last_comes_behind_the_values() {
    let wanted = [input(0, 2), input(20, 2), input(40, 2)];
    let plan = Plan::new(wanted, Some(input(0, 2)), &limits(), &Refusals::default());
    assert_eq!(plan.next_request(), Some(input(20, 2)));
    // Among the values it costs no request of its own.
    let wanted = [input(0, 2), input(2, 2), input(40, 2)];
    let plan = Plan::new(wanted, Some(input(0, 2)), &limits(), &Refusals::default());
    assert_eq!(plan.next_request(), Some(input(0, 4)));
}

#[test]
fn an_exception_of_another_kind_changes_nothing() {
    let mut plan = Plan::new([input(0, 2), input(2, 2)], None, &limits(), &Refusals::default());
    assert_eq!(plan.handle_exception(6), Handled::Unchanged);
    assert_eq!(plan.next_request(), Some(input(0, 4)));
    assert_eq!(plan.handle_exception(3), Handled::Split);
    assert_eq!(plan.next_request(), Some(input(0, 2)));
    assert_eq!(plan.handle_exception(2), Handled::Absent);
    assert_eq!(plan.next_request(), Some(input(2, 2)));
}

#[test]
fn a_request_that_is_given_up_leaves_its_registers_without_an_answer() {
    let mut plan = Plan::new([input(0, 2), input(20, 2)], None, &limits(), &Refusals::default());
    assert_eq!(plan.give_up(model::GapReason::NoAnswer), [input(0, 2)]);
    plan.handle_answer(&[1, 2]).unwrap();
    assert_eq!(plan.next_request(), None);
    assert_eq!(plan.handle_answer(&[]), Ok(()));
    assert_eq!(plan.handle_exception(2), Handled::Unchanged);
    let outcome = plan.finish();
    assert_eq!(outcome.image.words(input(0, 2)), None);
    assert_eq!(outcome.image.words(input(20, 2)), Some(vec![1, 2]));
    assert!(outcome.refusals.is_empty());
}

#[test]
fn an_answer_of_another_length_is_refused_and_the_request_stays() {
    let mut plan = Plan::new([input(0, 2)], None, &limits(), &Refusals::default());
    let error = ImageError::Length {
        expected: 2,
        found: 3,
    };
    assert_eq!(plan.handle_answer(&[1, 2, 3]), Err(error));
    assert_eq!(plan.next_request(), Some(input(0, 2)));
}

/// Registers of one to four words that do not overlap, by their addresses.
fn registers() -> impl Strategy<Value = Vec<Block>> {
    prop::collection::btree_map(0u16..150, 1u16..=4, 1..60).prop_map(|map| {
        let mut end = 0;
        let mut registers = Vec::new();
        for (address, count) in map {
            if address >= end {
                registers.push(input(address, count));
                end = address + count;
            }
        }
        registers
    })
}

/// The fewest runs, found by trying every partition of the registers in a row.
fn fewest(registers: &[Block], limits: &Limits) -> usize {
    let mut best = vec![0];
    for end in 1..=registers.len() {
        let runs = (0..end).filter_map(|start| {
            let joined = blocks(registers[start..end].to_vec(), limits, &Refusals::default());
            (joined.len() == 1).then(|| best[start] + 1)
        });
        best.push(runs.min().unwrap());
    }
    best[registers.len()]
}

#[test]
fn what_is_refused_for_the_present_or_spoilt_is_asked_for_again() {
    let registers = [input(0, 2), input(10, 2), input(60, 2)];
    let mut plan = Plan::new(registers, None, &limits(), &Refusals::default());
    let requests = |plan: &Plan| plan.next_request();
    let first = requests(&plan).unwrap();
    assert_eq!(plan.handle_exception(6), Handled::Unchanged);
    assert_eq!(requests(&plan), Some(first));
    plan.handle_refusal(6);
    while requests(&plan).is_some() {
        plan.give_up(model::GapReason::BadAnswer);
    }
    let outcome = plan.finish();
    assert_eq!(outcome.image.refusal(input(0, 2)), Some(6));
    assert_eq!(outcome.image.refusal(input(60, 2)), None);
    assert!(
        registers
            .iter()
            .all(|register| outcome.image.is_absent(*register))
    );
    assert!(outcome.refusals.is_empty());
}

proptest! {
    #[test]
    fn no_limit_is_broken_and_no_plan_needs_fewer_requests(registers in registers(), gap in 0u16..6, most in 4u16..20, forbidden in 0u16..150) {
        let taken = registers.iter().any(|block| block.overlaps(input(forbidden, 1)));
        let limits = Limits {
            largest_gap: gap,
            registers_per_request: most,
            forbidden: if taken { vec![] } else { vec![input(forbidden, 1)] },
            ..limits()
        };
        let blocks = blocks(registers.clone(), &limits, &Refusals::default());
        for register in &registers {
            prop_assert_eq!(blocks.iter().filter(|block| block.overlaps(*register)).count(), 1);
            prop_assert!(blocks.iter().any(|block| block.covers(*register)));
        }
        for block in &blocks {
            prop_assert!(block.count <= most);
            prop_assert!(limits.forbidden.iter().all(|forbidden| !forbidden.overlaps(*block)));
        }
        prop_assert_eq!(blocks.len(), fewest(&registers, &limits));
    }

    #[test]
    fn every_register_is_read_exactly_once_whatever_the_meter_refuses(
        registers in registers(),
        holes in prop::collection::btree_set(0u16..150, 0..40),
        longest in 4u16..20,
    ) {
        let meter = Meter { holes, longest };
        let limits = Limits { largest_gap: 6, registers_per_request: 16, ..limits() };
        let mut refusals = Refusals::default();
        // Each poll in which something is refused teaches something, and there are so many things to learn.
        for round in 0..=registers.len() * 2 {
            let (outcome, answered, refused) = meter.poll(&registers, &limits, &refusals);
            let mut reads: BTreeMap<Block, usize> = BTreeMap::new();
            for register in &registers {
                let covering = answered.iter().filter(|block| block.overlaps(*register)).count();
                reads.insert(*register, covering);
                let expected = meter.shows(*register).then(|| {
                    (register.address..).take(register.count.into()).collect::<Vec<u16>>()
                });
                // Not every part of what is refused at first is asked for before something is answered.
                if !answered.is_empty() && refused < Plan::MAX_BLIND_SPLITS {
                    prop_assert_eq!(outcome.image.words(*register), expected);
                }
            }
            for (register, count) in reads {
                prop_assert!(count <= usize::from(meter.shows(register)));
            }
            prop_assert!(answered.iter().all(|block| block.count <= 16));
            prop_assert!(answered.len() + refused < 2 * registers.len());
            if refused == 0 || answered.is_empty() {
                return Ok(());
            }
            prop_assert_ne!(&outcome.refusals, &refusals, "nothing learned in round {}", round);
            refusals = outcome.refusals;
        }
        prop_assert!(false, "the meter is still refusing");
    }

    #[test]
    fn any_answers_and_exceptions_end_the_plan(registers in registers(), events in prop::collection::vec((0u8..6, 0u8..12), 400)) {
        let mut plan = Plan::new(registers.clone(), None, &limits(), &Refusals::default());
        let mut steps = 0;
        for (event, code) in events {
            let Some(request) = plan.next_request() else { break };
            match event {
                0 => plan.handle_answer(&vec![0; request.count.into()]).unwrap(),
                1 => drop(plan.give_up(model::GapReason::NoAnswer)),
                2 => plan.handle_refusal(code),
                3 => drop(plan.give_up(model::GapReason::BadAnswer)),
                _ => drop(plan.handle_exception(code)),
            }
            steps += 1;
        }
        prop_assert!(plan.next_request().is_none() || steps == 400);
    }
}
