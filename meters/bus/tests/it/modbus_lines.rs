//! Modbus over a serial line, over RTU over TCP and over TCP: what goes wrong on the wire, and what
//! meters refuse.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bus::{
    AnswerFault, MeterConfig, ModbusEndpoint, ModbusException, ModbusMaster, ModbusStation, PollError, Port,
};
use modbus::{Profile, RegisterImage, ValueFault};
use model::GapReason;
use simulators::Terminal;
use simulators::modbus::{Contents, Fault, Manners, Registers, SerialLine, Server, Service, Site};
use tokio::time::Instant;

use crate::modbus::LOCALHOST;
use crate::rig::{Rig, quantity};

/// Long against what the simulator takes, short against what a test may take.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(400);

pub(crate) fn profile(name: &str) -> Arc<Profile> {
    Arc::new(Profile::parse(modbus::built_in(name).unwrap()).unwrap())
}

/// The registers of the profile's first self-test.
pub(crate) fn registers(profile: &Profile) -> Registers {
    let image = profile.self_tests()[0].image().unwrap();
    Registers::new(image, profile.limits().registers_per_request)
}

/// Meters that are reached in one of the three ways.
pub(crate) enum Reached {
    Line(Service),
    Host(Server),
}

impl Reached {
    pub(crate) async fn by(way: Way, site: Site) -> (Self, ModbusEndpoint) {
        let (reached, endpoint) = match way {
            Way::Line => {
                let terminal = Terminal::open().unwrap();
                let endpoint = format!("rtu:{}:9600:8E1", terminal.path());
                (Self::Line(site.attach(terminal)), endpoint)
            }
            Way::RtuOverTcp => {
                let server = site.listen_serial(LOCALHOST).await.unwrap();
                let endpoint = format!("rtutcp:{}", server.address());
                (Self::Host(server), endpoint)
            }
            Way::Tcp => {
                let server = site.listen(LOCALHOST).await.unwrap();
                let endpoint = format!("tcp:{}", server.address());
                (Self::Host(server), endpoint)
            }
        };
        (reached, endpoint.parse().unwrap())
    }

    pub(crate) fn service(&self) -> &Service {
        match self {
            Self::Line(service) => service,
            Self::Host(server) => server,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Line,
    RtuOverTcp,
    Tcp,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Line, Self::RtuOverTcp, Self::Tcp];
}

fn sdm630_station() -> ModbusStation {
    ModbusStation::new(1, profile("eastron-sdm630")).with_answer_timeout(ANSWER_TIMEOUT)
}

#[tokio::test]
async fn the_sdm630_is_read_in_three_requests_whichever_way() {
    for way in Way::ALL {
        let site = Site::new().with_sdm630(1, 12_345_678);
        let (meter, endpoint) = Reached::by(way, site).await;
        let mut master = ModbusMaster::new(endpoint);
        let reading = master.read(&mut sdm630_station()).await.unwrap();
        assert_eq!(reading.fault, None);
        let answer = reading.profile.decode(&reading.image).unwrap();
        assert_eq!(answer.meter.as_str(), "EAS-12345678");
        assert_eq!(
            quantity(&answer.samples, "1-0:1.8.0*255").to_string(),
            "1234600 Wh"
        );
        assert_eq!(
            (master.take_counters().requests, meter.service().requests()),
            (3, 3),
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn a_line_with_a_speed_is_read_with_silences_between_the_frames() {
    let manners = Manners {
        latency: Duration::from_millis(20),
        line: Some(SerialLine::new(9_600)),
        ..Manners::default()
    };
    let site = Site::with_manners(manners).with_sdm630(1, 12_345_678);
    let (meter, endpoint) = Reached::by(Way::Line, site).await;
    let mut master = ModbusMaster::new(endpoint);
    let mut station = sdm630_station();
    for _ in 0..2 {
        assert_eq!(master.read(&mut station).await.unwrap().fault, None);
    }
    assert_eq!(master.take_counters().requests, 6);
    assert_eq!(meter.service().hurried_requests().await, 0);
}

/// What is wrong with an answer, in the words of the error; nothing on a way that cannot have it.
fn named(fault: Fault, way: Way, error: &PollError) -> bool {
    let PollError::Answer(found) = error else {
        return fault == Fault::Silence && matches!(error, PollError::NoAnswer { .. });
    };
    match fault {
        Fault::WrongUnit => {
            *found
                == AnswerFault::Unit {
                    expected: 1,
                    found: 2,
                }
        }
        Fault::WrongFunction => matches!(found, AnswerFault::Function { expected: 4, .. }),
        Fault::WrongChecksum if way == Way::Tcp => matches!(found, AnswerFault::Protocol { .. }),
        Fault::WrongChecksum => matches!(found, AnswerFault::Checksum { .. }),
        Fault::HalfFrame => matches!(found, AnswerFault::Truncated { .. }),
        Fault::TooShort => matches!(found, AnswerFault::TooShort { .. }),
        Fault::TooLong => matches!(found, AnswerFault::TooLong { .. }),
        Fault::WrongTransaction => matches!(found, AnswerFault::Transaction { .. }),
        _ => false,
    }
}

#[tokio::test]
async fn every_fault_of_an_answer_has_its_name_and_the_next_read_is_right() {
    let gas = profile("wirenboard-mcm8-gas");
    let value = |image: &RegisterImage| gas.values(image)[0].value;
    for way in Way::ALL {
        let (meter, endpoint) = Reached::by(way, Site::new().with_meter(1, registers(&gas))).await;
        let mut master = ModbusMaster::new(endpoint);
        let mut station =
            ModbusStation::new(1, Arc::clone(&gas)).with_answer_timeout(Duration::from_millis(150));
        for fault in [
            Fault::WrongUnit,
            Fault::WrongFunction,
            Fault::WrongChecksum,
            Fault::HalfFrame,
            Fault::TooShort,
            Fault::TooLong,
            Fault::WrongTransaction,
            Fault::Silence,
        ] {
            if fault == Fault::WrongTransaction && way != Way::Tcp {
                // A line has no transactions; an answer to another request is another test.
                continue;
            }
            meter.service().inject(fault, 3);
            let error = master.read(&mut station).await.unwrap_err();
            assert!(named(fault, way, &error), "{way:?} {fault:?}: {error:?}");
            let reading = master.read(&mut station).await.unwrap();
            assert_eq!(
                value(&reading.image).unwrap().to_string(),
                "1234.00 m3",
                "{way:?} {fault:?}"
            );

            // One fault costs a try and nothing else.
            meter.service().inject(fault, 1);
            let reading = master.read(&mut station).await.unwrap();
            assert_eq!(reading.fault, None);
            assert_eq!(
                value(&reading.image).unwrap().to_string(),
                "1234.00 m3",
                "{way:?} {fault:?}"
            );
        }
    }
}

/// A meter with two values of the same shape, which no request reads together.
fn twins() -> (Arc<Profile>, Registers) {
    let text = modbus::built_in("wirenboard-mcm8").unwrap();
    let (head, _) = text.split_once("[limits]").unwrap();
    let limits = "[limits]\nregisters_per_request = 2\nlargest_gap = 0\n";
    let profile = Profile::parse(&format!("{head}{limits}")).unwrap();
    let values = profile.registers().iter().zip(1_i64..);
    let contents = Contents {
        values: values
            .map(|(register, value)| (register.obis, value.to_string().parse().unwrap()))
            .collect(),
        ..Contents::default()
    };
    let registers = contents.fill(&profile).unwrap();
    (Arc::new(profile), registers)
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_one_of_the_same_shape() {
    let (twins, shown) = twins();
    let shape = |block: &modbus::Block| (block.function, block.count);
    assert!(twins.blocks().len() > 3);
    assert!(
        twins
            .blocks()
            .windows(2)
            .all(|pair| shape(&pair[0]) == shape(&pair[1]))
    );
    for way in Way::ALL {
        let (meter, endpoint) = Reached::by(way, Site::new().with_meter(1, shown.clone())).await;
        let mut master = ModbusMaster::new(endpoint);
        let wait = Duration::from_millis(120);
        let mut station = ModbusStation::new(1, Arc::clone(&twins)).with_answer_timeout(wait);
        let expected = master.read(&mut station).await.unwrap().image;
        for fault in [
            Fault::Late,
            Fault::Delayed(Duration::from_millis(130)),
            Fault::Delayed(Duration::from_millis(170)),
            Fault::Delayed(Duration::from_millis(230)),
            Fault::Delayed(Duration::from_millis(300)),
        ] {
            meter.service().inject(fault, 1);
            // When it is so late that three tries are not enough, it is absent, and never another one.
            let reading = master.read(&mut station).await.unwrap();
            for block in twins.blocks() {
                let words = reading.image.words(*block);
                let is_absent = reading.fault.is_some() && words.is_none();
                assert!(
                    is_absent || words == expected.words(*block),
                    "{way:?} {fault:?}: {words:?}"
                );
            }
            let reading = master.read(&mut station).await.unwrap();
            assert_eq!(
                (reading.fault, reading.image),
                (None, expected.clone()),
                "{way:?} {fault:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_late_answer_of_a_dead_unit_is_passed_over() {
    let gas = profile("wirenboard-mcm8-gas");
    let site = Site::new()
        .with_meter(1, registers(&gas))
        .with_meter(2, registers(&gas));
    let (meter, endpoint) = Reached::by(Way::Line, site).await;
    let mut master = ModbusMaster::new(endpoint);
    let wait = Duration::from_millis(100);
    let station = |unit| ModbusStation::new(unit, Arc::clone(&gas)).with_answer_timeout(wait);
    meter.service().inject_into(1, Fault::Silence, 2);
    meter.service().inject_into(1, Fault::Late, 1);
    assert_eq!(
        master.read(&mut station(1)).await.unwrap_err(),
        PollError::NoAnswer { tries: 3 }
    );
    master.take_counters();
    let reading = master.read(&mut station(2)).await.unwrap();
    assert_eq!(reading.fault, None);
    // The answer of unit 1 came before that of unit 2, and was not taken for a fault of unit 2.
    assert_eq!(master.take_counters().retries, 0);
}

#[tokio::test]
async fn holes_that_are_refused_are_split_once_and_remembered() {
    let sdm72 = profile("eastron-sdm72");
    let (meter, endpoint) = Reached::by(
        Way::Tcp,
        Site::new().with_meter(1, registers(&sdm72).refusing_holes()),
    )
    .await;
    let mut master = ModbusMaster::new(endpoint);
    let mut station = ModbusStation::new(1, Arc::clone(&sdm72));
    let first = master.read(&mut station).await.unwrap();
    let learning = master.take_counters().requests;
    let second = master.read(&mut station).await.unwrap();
    let knowing = master.take_counters().requests;
    assert!(knowing < learning, "{learning} requests, then {knowing}");
    assert_eq!(first.image, second.image);
    assert!(
        sdm72
            .values(&second.image)
            .iter()
            .all(|decoded| decoded.value.is_ok())
    );
    assert_eq!(meter.service().requests(), learning + knowing);
    assert!(!station.refusals().is_empty());
}

#[tokio::test]
async fn a_register_that_the_meter_does_not_have_is_absent_with_its_exception() {
    let sdm630 = profile("eastron-sdm630");
    let registers = registers(&sdm630).refusing(0x46..=0x47, 2);
    let (_meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_meter(1, registers)).await;
    let mut master = ModbusMaster::new(endpoint);
    let mut station = ModbusStation::new(1, Arc::clone(&sdm630));
    for _ in 0..2 {
        let reading = master.read(&mut station).await.unwrap();
        let frequency = sdm630
            .registers()
            .iter()
            .find(|register| register.field.address == 0x46)
            .unwrap();
        let values = sdm630.values(&reading.image);
        let absent: Vec<_> = values.iter().filter(|decoded| decoded.value.is_err()).collect();
        assert_eq!(absent.len(), 1);
        assert_eq!(absent[0].obis, frequency.obis);
        assert_eq!(absent[0].value, Err(ValueFault::Refused { code: 2 }));
        assert_eq!(reading.image.refusal(frequency.field.block()), Some(2));
    }
}

#[tokio::test]
async fn a_busy_meter_is_asked_again_and_one_that_stays_busy_is_not_available() {
    let gas = profile("wirenboard-mcm8-gas");
    let (meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_meter(1, registers(&gas))).await;
    let mut master = ModbusMaster::new(endpoint);
    let mut station = ModbusStation::new(1, gas);
    meter.service().inject(Fault::BUSY, 2);
    assert_eq!(master.read(&mut station).await.unwrap().fault, None);
    meter.service().inject(Fault::BUSY, 3);
    let error = master.read(&mut station).await.unwrap_err();
    assert_eq!(error, PollError::Exception(ModbusException::new(6)));
    assert_eq!(
        error.to_string(),
        "the meter refused the request: server device busy (6)"
    );
    assert_eq!(error.gap_reason(), GapReason::NotAvailable);
    meter.service().heal();
    assert_eq!(master.read(&mut station).await.unwrap().fault, None);
}

#[tokio::test]
async fn a_meter_behind_a_gateway_that_is_not_there_has_not_answered() {
    let gas = profile("wirenboard-mcm8-gas");
    let (_meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_meter(1, registers(&gas))).await;
    let mut master = ModbusMaster::new(endpoint);
    let mut station = ModbusStation::new(9, gas);
    let error = master.read(&mut station).await.unwrap_err();
    assert_eq!(error, PollError::Exception(ModbusException::new(11)));
    assert_eq!(error.gap_reason(), GapReason::NoAnswer);
    assert_eq!(master.take_counters().requests, 3);
    // One try is enough to see whether it is back.
    master.read(&mut station).await.unwrap_err();
    assert_eq!(master.take_counters().requests, 1);
}

#[tokio::test]
async fn a_sunspec_meter_is_walked_over_once() {
    let sunspec = profile("sunspec-20x");
    let contents = Contents {
        serial_number: "4711".to_owned(),
        values: sunspec
            .registers()
            .iter()
            .map(|register| (register.obis, "12".parse().unwrap()))
            .collect(),
        ..Contents::default()
    };
    let registers = contents.fill(&sunspec).unwrap();
    let (_meter, endpoint) = Reached::by(Way::Tcp, Site::new().with_meter(1, registers)).await;
    let mut master = ModbusMaster::new(endpoint);
    let mut station = ModbusStation::new(1, sunspec);
    let first = master.read(&mut station).await.unwrap();
    let walking = master.take_counters().requests;
    let second = master.read(&mut station).await.unwrap();
    assert_eq!(first.image, second.image);
    assert!(first.profile.is_placed());
    assert_eq!(
        master.take_counters().requests,
        u64::try_from(second.profile.blocks().len()).unwrap()
    );
    assert!(walking > u64::try_from(first.profile.blocks().len()).unwrap());
}

/// The profile with other limits.
fn limited(limits: &str) -> Arc<Profile> {
    let text = modbus::built_in("eastron-sdm630").unwrap();
    Arc::new(Profile::parse(&text.replace("[limits]", &format!("[limits]\n{limits}"))).unwrap())
}

#[tokio::test]
async fn pauses_and_the_delay_behind_a_connection_are_kept() {
    let site = Site::new().with_sdm630(1, 12_345_678);
    let (_meter, endpoint) = Reached::by(Way::Tcp, site).await;
    let mut master = ModbusMaster::new(endpoint);
    let profile = limited("pause_ms = 60\nconnect_delay_ms = 150");
    let mut station = ModbusStation::new(1, profile);
    let start = Instant::now();
    master.read(&mut station).await.unwrap();
    let first = start.elapsed();
    assert!(first >= Duration::from_millis(150 + 2 * 60), "{first:?}");
    let start = Instant::now();
    master.read(&mut station).await.unwrap();
    let second = start.elapsed();
    assert!(
        second >= Duration::from_millis(2 * 60) && second < first,
        "{second:?}"
    );
}

#[tokio::test]
async fn a_host_for_one_client_is_connected_to_once() {
    let manners = Manners {
        one_connection: true,
        ..Manners::default()
    };
    let site = Site::with_manners(manners).with_sdm630(1, 12_345_678);
    let (meter, endpoint) = Reached::by(Way::Tcp, site).await;
    let station = || ModbusStation::new(1, limited("one_connection = true"));
    let mut one = ModbusMaster::new(endpoint.clone());
    one.read(&mut station()).await.unwrap();
    let mut other = ModbusMaster::new(endpoint.clone());
    let error = other.read(&mut station()).await.unwrap_err();
    assert!(matches!(error, PollError::EndpointTaken { .. }), "{error:?}");
    assert_eq!(error.gap_reason(), GapReason::BusDown);
    one.disconnect();
    other.read(&mut station()).await.unwrap();
    other.disconnect();

    // The task of a bus lets others in between its rounds.
    let port = Port::Modbus {
        endpoint: endpoint.clone(),
        meters: vec![MeterConfig {
            name: "house".to_owned(),
            address: station(),
        }],
    };
    let mut rig = Rig::new(port);
    assert!(rig.only().await.outcome.is_ok());
    one.read(&mut station()).await.unwrap();
    one.disconnect();
    assert!(rig.only().await.outcome.is_ok());
    assert_eq!(meter.service().refused_connections(), 0);
}

#[tokio::test]
async fn a_serial_line_has_one_master() {
    let site = Site::new().with_sdm630(1, 12_345_678);
    let (_meter, endpoint) = Reached::by(Way::Line, site).await;
    let mut one = ModbusMaster::new(endpoint.clone());
    one.read(&mut sdm630_station()).await.unwrap();
    let error = ModbusMaster::new(endpoint)
        .read(&mut sdm630_station())
        .await
        .unwrap_err();
    assert_eq!(error.gap_reason(), GapReason::BusDown);
    one.read(&mut sdm630_station()).await.unwrap();
}

#[tokio::test]
async fn a_meter_of_another_family_gives_no_values() {
    let b23 = profile("abb-b23");
    let mut words = b23.self_tests()[0].image().unwrap();
    let field = match &b23.identification()[0] {
        modbus::Probe::Register { field, .. } => field.block(),
        modbus::Probe::Device { .. } => panic!("a register"),
    };
    words
        .insert(field, &[0x434D, 0x3131, 0x2020, 0x2020, 0x2020, 0x2020])
        .unwrap();
    let site = Site::new().with_meter(1, Registers::new(words, 120));
    let (meter, endpoint) = Reached::by(Way::Tcp, site).await;
    let port = Port::Modbus {
        endpoint,
        meters: vec![MeterConfig {
            name: "house".to_owned(),
            address: ModbusStation::new(1, b23),
        }],
    };
    let mut rig = Rig::new(port);
    let error = rig.only().await.outcome.unwrap_err();
    assert!(
        matches!(&error, PollError::OtherMeter(misfit) if misfit.to_string().contains("CM11")),
        "{error:?}"
    );
    assert!(
        error
            .source()
            .unwrap()
            .to_string()
            .contains("where the profile has")
    );
    assert_eq!(error.gap_reason(), GapReason::BadAnswer);
    assert_eq!(meter.service().requests(), 1);
}

#[tokio::test]
async fn a_meter_without_a_serial_number_has_the_name_that_it_was_given() {
    let gas = profile("wirenboard-mcm8-gas");
    let (_meter, endpoint) = Reached::by(Way::RtuOverTcp, Site::new().with_meter(1, registers(&gas))).await;
    let port = |address| Port::Modbus {
        endpoint: endpoint.clone(),
        meters: vec![MeterConfig {
            name: "gas".to_owned(),
            address,
        }],
    };
    let station = ModbusStation::new(1, gas).with_identity("GAS-1".parse().unwrap());
    let answer = Rig::new(port(station)).only().await.outcome.unwrap();
    assert_eq!(answer.id.as_str(), "GAS-1");
    assert_eq!(
        quantity(&answer.samples, "7-0:3.0.0*255").to_string(),
        "1234.00 m3"
    );
}

#[tokio::test]
async fn meters_on_one_line_are_read_though_one_of_them_is_dead() {
    let gas = profile("wirenboard-mcm8-gas");
    let site = Site::new()
        .with_meter(1, registers(&gas))
        .with_meter(3, registers(&gas));
    let (_meter, endpoint) = Reached::by(Way::Line, site).await;
    let meters = (1..=3).map(|unit| {
        let identity = format!("GAS-{unit}").parse().unwrap();
        MeterConfig {
            name: format!("gas {unit}"),
            address: ModbusStation::new(unit, Arc::clone(&gas))
                .with_identity(identity)
                .with_answer_timeout(Duration::from_millis(100)),
        }
    });
    let mut rig = Rig::new(Port::Modbus {
        endpoint,
        meters: meters.collect(),
    });
    let outcomes = |reports: Vec<bus::Report>| -> Vec<(String, bool)> {
        reports
            .into_iter()
            .map(|report| (report.meter, report.outcome.is_ok()))
            .collect()
    };
    let expected = |names: [&str; 3], good: [bool; 3]| -> Vec<(String, bool)> {
        names.iter().map(|name| (*name).to_owned()).zip(good).collect()
    };
    let first = outcomes(rig.round().await);
    assert_eq!(first, expected(["gas 1", "gas 2", "gas 3"], [true, false, true]));
    // It is left out of the next round, and comes last in the one after.
    let second = rig.round().await;
    assert_eq!(second[2].outcome, Err(PollError::Skipped { rounds: 1 }));
    let third = rig.round().await;
    assert_eq!(third[2].outcome, Err(PollError::NoAnswer { tries: 1 }));
    assert_eq!(third[2].statistics.requests, 4);
}

#[tokio::test]
async fn many_meters_on_tcp_are_read_in_one_round() {
    const METERS: u8 = 250;
    let gas = profile("wirenboard-mcm8-gas");
    let manners = Manners {
        latency: Duration::from_millis(50),
        ..Manners::default()
    };
    let (reports, mut received) = tokio::sync::mpsc::channel(64);
    let stop = tokio_util::sync::CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    let (mut servers, mut buses) = (Vec::new(), Vec::new());
    for number in 0..METERS {
        let site = Site::with_manners(manners).with_meter(1, registers(&gas));
        let (server, endpoint) = Reached::by(Way::Tcp, site).await;
        servers.push(server);
        let identity = format!("GAS-{number}").parse().unwrap();
        let config = bus::BusConfig {
            name: format!("bus {number}"),
            port: Port::Modbus {
                endpoint,
                meters: vec![MeterConfig {
                    name: format!("gas {number}"),
                    address: ModbusStation::new(1, Arc::clone(&gas)).with_identity(identity),
                }],
            },
        };
        buses.push(bus::spawn(config, &mut tasks, stop.clone(), reports.clone()));
    }
    let start = Instant::now();
    for bus in &buses {
        bus.start_round(model::Timestamp::EPOCH).unwrap();
    }
    for _ in 0..METERS {
        let report = received.recv().await.unwrap();
        assert!(report.outcome.is_ok(), "{:?}", report.outcome);
    }
    let taken = start.elapsed();
    // One after the other they would take 12.5 s.
    assert!(taken < Duration::from_secs(1), "{taken:?}");
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_master_in_order() {
    let (twins, shown) = twins();
    for way in Way::ALL {
        let (meter, endpoint) = Reached::by(way, Site::new().with_meter(1, shown.clone())).await;
        let mut master = ModbusMaster::new(endpoint);
        let mut station = ModbusStation::new(1, Arc::clone(&twins)).with_answer_timeout(ANSWER_TIMEOUT);
        let expected = master.read(&mut station).await.unwrap().image;
        meter
            .service()
            .inject(Fault::Delayed(Duration::from_millis(120)), 1);
        let dropped = tokio::time::timeout(Duration::from_millis(60), master.read(&mut station)).await;
        assert!(dropped.is_err(), "{way:?}");
        let reading = master.read(&mut station).await.unwrap();
        assert_eq!((reading.fault, reading.image), (None, expected), "{way:?}");
    }
}

#[tokio::test]
async fn an_address_that_nobody_listens_on_is_named() {
    let closed = tokio::net::TcpListener::bind(LOCALHOST).await.unwrap();
    let address: SocketAddr = closed.local_addr().unwrap();
    drop(closed);
    for endpoint in [
        format!("tcp:{address}"),
        format!("rtutcp:{address}"),
        "rtu:/nonexistent/tty:9600:8E1".to_owned(),
    ] {
        let mut master = ModbusMaster::new(endpoint.parse().unwrap());
        let error = master.read(&mut sdm630_station()).await.unwrap_err();
        assert!(
            matches!(error, PollError::Connect { .. }),
            "{endpoint}: {error:?}"
        );
        // And not tried again at once.
        let error = master.read(&mut sdm630_station()).await.unwrap_err();
        assert!(
            matches!(error, PollError::ConnectPostponed { .. }),
            "{endpoint}: {error:?}"
        );
    }
}
