//! Discovery of Modbus meters.

use std::sync::Arc;
use std::time::Duration;

use bus::modbus_discovery::{FoundUnit, Mismatch, ModbusDiscovery, scan};
use bus::{ModbusMaster, PollError};
use modbus::{Misfit, Profile};
use simulators::modbus::{Contents, Fault, Registers, Site};

use crate::modbus_lines::{Reached, Way, profile, registers};

const WAIT: Duration = Duration::from_millis(80);

fn profiles() -> Vec<Arc<Profile>> {
    modbus::built_in_names().map(profile).collect()
}

/// A meter of the profile's family that says so.
fn telling(name: &str) -> Registers {
    let contents = Contents {
        serial_number: "4711".to_owned(),
        ..Contents::default()
    };
    contents.fill(&profile(name)).unwrap()
}

/// What a scan of some units has found, and its other reports.
async fn scanned(master: &mut ModbusMaster, units: &[u8]) -> (Vec<FoundUnit>, Vec<ModbusDiscovery>) {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    let report = |report| match report {
        ModbusDiscovery::Unit(unit) => found.push(*unit),
        other => others.push(other),
    };
    scan(master, units, &profiles(), WAIT, 1, report).await.unwrap();
    (found, others)
}

fn best(unit: &FoundUnit) -> Option<(&str, bool, Option<&str>)> {
    let fit = unit.fitting.first()?;
    let meter = fit.meter.as_ref().map(model::MeterId::as_str);
    Some((fit.profile.name(), fit.is_proven, meter))
}

#[tokio::test]
async fn meters_are_found_and_identified_whichever_way() {
    for way in Way::ALL {
        let site = Site::new()
            .with_sdm630(1, 12_345_678)
            .with_meter(3, telling("sunspec-20x"))
            .with_meter(5, telling("abb-b23"))
            .with_meter(6, registers(&profile("wirenboard-mcm8-gas")));
        let (_meters, endpoint) = Reached::by(way, site).await;
        let mut master = ModbusMaster::new(endpoint);
        let (found, others) = scanned(&mut master, &[1, 2, 3, 4, 5, 6]).await;
        let units: Vec<u8> = found.iter().map(|unit| unit.unit).collect();
        assert_eq!(units, [1, 3, 5, 6], "{way:?}");
        assert_eq!(
            best(&found[0]),
            Some(("eastron-sdm630", false, Some("EAS-12345678")))
        );
        let (name, is_proven, meter) = best(&found[1]).unwrap();
        assert_eq!((name, is_proven), ("sunspec-20x", true));
        assert!(meter.unwrap().ends_with("4711"), "{meter:?}");
        assert_eq!(best(&found[2]).unwrap().0, "abb-b23");
        assert!(found[2].fitting[0].is_proven);
        // Pulses are pulses: nothing tells what they count.
        assert_eq!(best(&found[3]), None);
        assert!(
            found[3]
                .others
                .iter()
                .any(|other| other.reason == Mismatch::Unproven)
        );
        assert!(found.iter().all(|unit| unit.fault.is_none()));
        let asked = others
            .iter()
            .filter(|report| matches!(report, ModbusDiscovery::Asking { .. }))
            .count();
        assert_eq!(asked, 6);
    }
}

#[tokio::test]
async fn a_meter_that_refuses_to_be_read_across_holes_is_found_too() {
    let shown = registers(&profile("eastron-sdm630")).refusing_holes();
    let (_meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_meter(1, shown)).await;
    let mut master = ModbusMaster::new(endpoint);
    let (found, _) = scanned(&mut master, &[1]).await;
    assert_eq!(best(&found[0]).unwrap().0, "eastron-sdm630");
    assert!(master.take_counters().requests < 150);
}

#[tokio::test]
async fn the_closest_profile_comes_first_and_says_why_it_does_not_fit() {
    let mut image = telling("sunspec-20x").image().clone();
    // A SunSpec device with the common model alone.
    let header = modbus::Block {
        function: modbus::Function::HoldingRegisters,
        address: 40_070,
        count: 2,
    };
    assert!(image.words(header).is_some());
    image.insert(header, &[0xFFFF, 0]).unwrap();
    let site = Site::new().with_meter(1, Registers::new(image, 125));
    let (_meters, endpoint) = Reached::by(Way::Tcp, site).await;
    let (found, _) = scanned(&mut ModbusMaster::new(endpoint), &[1]).await;
    assert!(found[0].fitting.is_empty());
    let closest = &found[0].others[0];
    assert!(closest.profile.starts_with("sunspec-"), "{closest:?}");
    assert!(
        matches!(&closest.reason, Mismatch::Misfit(Misfit::NoModel { found, .. }) if *found == [1]),
        "{closest:?}"
    );
}

#[tokio::test]
async fn a_host_that_answers_for_every_unit_is_noticed() {
    let site = (1..=9).fold(Site::new(), |site, unit| {
        site.with_meter(unit, telling("saia-ale3"))
    });
    let (_meters, endpoint) = Reached::by(Way::Tcp, site).await;
    let units: Vec<u8> = (1..=9).collect();
    let (found, others) = scanned(&mut ModbusMaster::new(endpoint), &units).await;
    assert_eq!(found.len(), 3);
    let last = others.last().unwrap();
    assert!(
        matches!(last, ModbusDiscovery::EveryUnit { unit: 1, .. }),
        "{last:?}"
    );
}

#[tokio::test]
async fn what_is_not_understood_is_shown_too() {
    let site = Site::new().with_meter(1, telling("saia-ale3"));
    let (meters, endpoint) = Reached::by(Way::Line, site).await;
    meters.service().inject(Fault::WrongChecksum, u32::MAX);
    let (found, _) = scanned(&mut ModbusMaster::new(endpoint), &[1]).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].fitting.is_empty());
    assert!(matches!(found[0].fault, Some(PollError::Answer(_))));
}

#[tokio::test]
async fn what_was_found_is_not_lost_when_the_scan_is_cancelled() {
    let site = Site::new().with_meter(1, telling("saia-ale3"));
    let (_meters, endpoint) = Reached::by(Way::Line, site).await;
    let mut master = ModbusMaster::new(endpoint);
    let mut found = 0;
    let units: Vec<u8> = (1..=247).collect();
    let (profiles, (stop, mut stopped)) = (profiles(), tokio::sync::watch::channel(false));
    let report = |report| {
        found += usize::from(matches!(report, ModbusDiscovery::Unit(_)));
        if matches!(report, ModbusDiscovery::Asking { unit: 3, .. }) {
            stop.send(true).unwrap();
        }
    };
    tokio::select! {
        _ = stopped.changed() => {}
        _ = scan(&mut master, &units, &profiles, WAIT, 1, report) => panic!("it was not cancelled"),
    }
    assert_eq!(found, 1);
}

#[tokio::test]
async fn a_line_that_is_not_there_ends_the_scan() {
    let mut master = ModbusMaster::new("rtu:/nonexistent/tty:9600:8E1".parse().unwrap());
    let error = scan(&mut master, &[1], &profiles(), WAIT, 1, |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, PollError::Connect { .. }));
}
