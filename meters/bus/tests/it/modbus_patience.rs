//! Modbus meters that show a part of what their profile has: what is read all the same, under which
//! name, and how many requests it may cost.

use std::sync::Arc;
use std::time::Duration;

use bus::{MeterConfig, ModbusException, ModbusMaster, ModbusStation, PollError, Port, Proof};
use modbus::{Profile, ValueFault};
use model::GapReason;
use simulators::modbus::{Fault, Manners, SerialLine, Site};
use tokio::time::Instant;

use crate::modbus_lines::{Reached, Way, profile, registers};
use crate::rig::{Rig, quantity};

const WAIT: Duration = Duration::from_millis(100);
/// Where the SDM630 has its serial number: function 3.
const SERIAL_NUMBER: std::ops::RangeInclusive<u16> = 0xFC00..=0xFC01;
/// What a meter does that does not want to be asked for something.
const REFUSALS: [Fault; 3] = [Fault::Silence, Fault::Close, Fault::Exception(1)];

fn station() -> ModbusStation {
    ModbusStation::new(1, profile("eastron-sdm630")).with_answer_timeout(WAIT)
}

fn port(endpoint: bus::ModbusEndpoint, address: ModbusStation) -> Port {
    let name = "house".to_owned();
    Port::Modbus {
        endpoint,
        meters: vec![MeterConfig { name, address }],
    }
}

#[tokio::test]
async fn values_are_read_though_the_serial_number_is_not() {
    for way in Way::ALL {
        for refusal in REFUSALS {
            let (meter, endpoint) = Reached::by(way, Site::new().with_sdm630(1, 7)).await;
            meter.service().inject_always(3, SERIAL_NUMBER, refusal);
            let mut master = ModbusMaster::new(endpoint.clone());
            let reading = master.read(&mut station()).await.unwrap();
            let values = reading.profile.values(&reading.image);
            assert!(
                values.iter().all(|decoded| decoded.value.is_ok()),
                "{way:?} {refusal:?}"
            );
            master.disconnect();

            // Whose they are must be known.
            let mut rig = Rig::new(port(endpoint.clone(), station()));
            let error = rig.only().await.outcome.unwrap_err();
            assert!(
                matches!(error, PollError::Unidentified(_)),
                "{way:?} {refusal:?}: {error:?}"
            );
            assert_eq!(error.gap_reason(), GapReason::BadAnswer);
            meter.service().heal();
            // And it is asked for again, until it comes.
            assert_eq!(rig.only().await.outcome.unwrap().id.as_str(), "EAS-00000007");
            // The meter has not been away since, so that it is the same one.
            meter.service().inject_always(3, SERIAL_NUMBER, refusal);
            let answer = rig.only().await.outcome.unwrap();
            assert_eq!(answer.id.as_str(), "EAS-00000007");
            assert!(answer.samples.iter().all(|sample| sample.value.is_ok()));
        }
    }
}

#[tokio::test]
async fn a_meter_with_a_name_needs_no_serial_number() {
    let (meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_sdm630(1, 7)).await;
    meter.service().inject_always(3, SERIAL_NUMBER, Fault::Silence);
    let mut rig = Rig::new(port(
        endpoint,
        station().with_identity("HOUSE-1".parse().unwrap()),
    ));
    for _ in 0..2 {
        let answer = rig.only().await.outcome.unwrap();
        assert_eq!(answer.id.as_str(), "HOUSE-1");
        assert!(quantity(&answer.samples, "1-0:1.8.0*255").value.mantissa() > 0);
    }
}

#[tokio::test]
async fn a_meter_that_comes_back_without_a_serial_number_may_be_another_one() {
    let (meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_sdm630(1, 7)).await;
    let mut rig = Rig::new(port(endpoint, station()));
    assert!(rig.only().await.outcome.is_ok());
    meter.service().inject(Fault::Silence, 3);
    assert_eq!(
        rig.only().await.outcome.unwrap_err(),
        PollError::NoAnswer { tries: 3 }
    );
    meter.service().inject_always(3, SERIAL_NUMBER, Fault::Silence);
    // It is left out of one round.
    assert_eq!(
        rig.only().await.outcome.unwrap_err(),
        PollError::Skipped { rounds: 1 }
    );
    let error = rig.only().await.outcome.unwrap_err();
    assert_eq!(
        error,
        PollError::Unidentified(Box::new(PollError::NoAnswer { tries: 3 }))
    );
}

/// The SDM630 in requests of 20 registers.
fn in_pieces() -> Arc<Profile> {
    let text = modbus::built_in("eastron-sdm630").unwrap();
    let (head, limits) = text.split_once("registers_per_request = 80").unwrap();
    let limits = limits.replace("largest_gap = 40", "largest_gap = 8");
    let text = format!("{head}registers_per_request = 20{limits}");
    Arc::new(Profile::parse(&text).unwrap())
}

#[tokio::test]
async fn requests_behind_one_that_is_silent_are_asked_and_each_value_has_its_cause() {
    let (meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_sdm630(1, 7)).await;
    let profile = in_pieces();
    assert!(profile.blocks().len() > 4);
    let block = profile.blocks()[2];
    let missed = block.address..=block.address + block.count - 1;
    meter.service().inject_always(4, missed.clone(), Fault::Silence);
    let mut master = ModbusMaster::new(endpoint);
    let mut station = ModbusStation::new(1, Arc::clone(&profile)).with_answer_timeout(WAIT);
    let reading = master.read(&mut station).await.unwrap();
    let silence = PollError::NoAnswer { tries: 3 };
    assert_eq!(reading.fault, Some(silence.clone()));
    for register in profile.registers() {
        let place = register.field.block();
        let is_missed = missed.contains(&place.address);
        assert_eq!(reading.image.words(place).is_none(), is_missed, "{place:?}");
        assert_eq!(reading.cause(place), is_missed.then_some(&silence));
    }
}

#[tokio::test]
async fn a_meter_that_falls_silent_is_not_waited_for_again_and_again() {
    let (meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_sdm630(1, 7)).await;
    let profile = in_pieces();
    let block = profile.blocks()[1];
    meter
        .service()
        .inject_always(4, block.address + block.count..=u16::MAX, Fault::Silence);
    let mut master = ModbusMaster::new(endpoint);
    let mut station = ModbusStation::new(1, Arc::clone(&profile)).with_answer_timeout(WAIT);
    let start = Instant::now();
    let reading = master.read(&mut station).await.unwrap();
    // Three tries of the first one that is silent, and one of the next: then it is gone.
    assert_eq!(master.take_counters().requests, 1 + 3 + 1);
    assert!(start.elapsed() < WAIT * 6, "{:?}", start.elapsed());
    let values = profile.values(&reading.image);
    let missed = values.iter().filter_map(|decoded| decoded.value.err());
    let reasons: Vec<GapReason> = missed.map(ValueFault::gap_reason).collect();
    assert!(reasons.len() > 20 && reasons.iter().all(|reason| *reason == GapReason::NoAnswer));
}

#[tokio::test]
async fn an_exception_is_not_available_for_one_value_and_for_all() {
    for (code, reason) in [
        (1, GapReason::NotAvailable),
        (2, GapReason::NotAvailable),
        (4, GapReason::NotAvailable),
        (6, GapReason::NotAvailable),
        (11, GapReason::NoAnswer),
    ] {
        let (meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_sdm630(1, 7)).await;
        let mut master = ModbusMaster::new(endpoint);
        meter
            .service()
            .inject_always(4, 0x46..=0x47, Fault::Exception(code));
        let reading = master.read(&mut station()).await.unwrap();
        let values = reading.profile.values(&reading.image);
        let faults: Vec<ValueFault> = values.iter().filter_map(|decoded| decoded.value.err()).collect();
        assert!(
            faults.contains(&ValueFault::Refused { code }),
            "{code}: {faults:?}"
        );
        assert!(faults.iter().all(|fault| fault.gap_reason() == reason), "{code}");
        meter
            .service()
            .inject_always(4, 0..=u16::MAX, Fault::Exception(code));
        meter
            .service()
            .inject_always(3, 0..=u16::MAX, Fault::Exception(code));
        let error = master.read(&mut station()).await.unwrap_err();
        assert_eq!(error, PollError::Exception(ModbusException::new(code)));
        assert_eq!(error.gap_reason(), reason, "{code}");
    }
}

#[tokio::test]
async fn a_meter_that_refuses_everything_costs_few_requests() {
    let (meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_sdm630(1, 7)).await;
    let mut master = ModbusMaster::new(endpoint);
    meter.service().inject(Fault::Exception(2), 1_000);
    let error = master.read(&mut station()).await.unwrap_err();
    assert_eq!(error, PollError::Exception(ModbusException::new(2)));
    let requests = master.take_counters().requests;
    assert!(requests <= 3 + 2 * 6, "{requests}");
}

#[tokio::test]
async fn a_probe_that_is_not_answered_keeps_nobody_from_reading() {
    for refusal in REFUSALS {
        let b23 = profile("abb-b23");
        let probe = match &b23.identification()[0] {
            modbus::Probe::Register { field, .. } => field.address,
            modbus::Probe::Device { .. } => panic!("a register"),
        };
        let (meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_meter(1, registers(&b23))).await;
        meter.service().inject_always(3, probe..=probe, refusal);
        let mut master = ModbusMaster::new(endpoint);
        let mut station = ModbusStation::new(1, b23).with_answer_timeout(WAIT);
        let reading = master.read_identified(&mut station).await.unwrap();
        let values = reading.profile.values(&reading.image);
        assert!(values.iter().any(|decoded| decoded.value.is_ok()), "{refusal:?}");
        let expected = match refusal {
            Fault::Exception(_) => Proof::Refused { probe: 1 },
            _ => Proof::Silent,
        };
        assert_eq!(station.proof(), Some(expected));
    }
}

#[tokio::test]
async fn an_adapter_that_returns_what_is_sent_is_read_through() {
    for way in [Way::Line, Way::RtuOverTcp] {
        let manners = Manners {
            echo: true,
            line: Some(SerialLine::new(9_600)),
            ..Manners::default()
        };
        let site = Site::with_manners(manners).with_sdm630(1, 7);
        let (meter, endpoint) = Reached::by(way, site).await;
        let mut master = ModbusMaster::new(endpoint);
        for _ in 0..2 {
            let reading = master.read(&mut station()).await.unwrap();
            assert_eq!(reading.fault, None, "{way:?}");
            let values = reading.profile.values(&reading.image);
            assert!(values.iter().all(|decoded| decoded.value.is_ok()), "{way:?}");
        }
        assert_eq!(master.take_counters().retries, 0);
        // Its own request is no answer of a meter that is silent.
        meter.service().inject(Fault::Silence, 3);
        let error = master.read(&mut station()).await.unwrap_err();
        assert_eq!(error, PollError::NoAnswer { tries: 3 }, "{way:?}");
        assert_eq!(master.read(&mut station()).await.unwrap().fault, None, "{way:?}");
    }
}

#[tokio::test]
async fn whoever_finds_a_converter_taken_waits_for_a_while() {
    let (_meter, endpoint) = Reached::by(Way::RtuOverTcp, Site::new().with_sdm630(1, 7)).await;
    let mut first = ModbusMaster::new(endpoint.clone());
    first.read(&mut station()).await.unwrap();
    let mut second = ModbusMaster::new(endpoint.clone());
    let reading = tokio::spawn(async move { second.read(&mut station()).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!reading.is_finished());
    first.disconnect();
    assert_eq!(reading.await.unwrap(), Ok(()));

    let mut rig = Rig::new(port(endpoint.clone(), station()));
    assert!(rig.only().await.outcome.is_ok());
    // The round is over.
    let start = Instant::now();
    first.read(&mut station()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
    let mut third = ModbusMaster::new(endpoint.clone());
    let error = third.read(&mut station()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(endpoint.address().as_str()) && text.contains("stop it"),
        "{text}"
    );
}

#[tokio::test]
async fn what_never_changes_is_read_once_and_registered_every_time() {
    let text = modbus::built_in("eastron-sdm630").unwrap();
    let entry = "address = 0x0030, type = \"f32\", unit = \"A\"";
    assert_eq!(text.matches(entry).count(), 1);
    let text = text.replace(entry, &format!("{entry}, poll = \"static\""));
    let profile = Arc::new(Profile::parse(&text.replace("largest_gap = 40", "largest_gap = 0")).unwrap());
    let is_static = |block: &modbus::Block| block.address == 0x30;
    assert!(
        profile
            .blocks()
            .iter()
            .any(|block| block.count == 2 && is_static(block))
    );
    let (meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_sdm630(1, 7)).await;
    let mut rig = Rig::new(port(
        endpoint,
        ModbusStation::new(1, Arc::clone(&profile)).with_answer_timeout(WAIT),
    ));
    let current = |report: bus::Report| {
        let answer = report.outcome.unwrap();
        assert!(answer.samples.iter().all(|sample| sample.value.is_ok()));
        quantity(&answer.samples, "1-0:90.7.0*255")
    };
    let first = current(rig.only().await);
    let all = meter.service().requests();
    assert_eq!(current(rig.only().await), first);
    assert_eq!(meter.service().requests(), all + all - 1);
    // A meter that was away is asked again.
    meter.service().inject(Fault::Silence, 3);
    rig.only().await.outcome.unwrap_err();
    rig.only().await.outcome.unwrap_err();
    let before = meter.service().requests();
    current(rig.only().await);
    assert_eq!(meter.service().requests(), before + all);
}
