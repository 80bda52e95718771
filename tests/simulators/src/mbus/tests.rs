//! The bus over TCP: raw bytes, and the master of the `mbus` crate.

use std::time::Duration;

use mbus::application::Telegram;
use mbus::link::{LongFrame, PrimaryAddress};
use mbus::master::{BaudRate, Line, Machine, Output, Read, ReadError, Station, Timing};
use mbus::readout::Readout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Bus, BusError, BusHandle, Fault, InjectError, household};

struct Scene {
    handle: BusHandle,
    stream: TcpStream,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), BusError>>,
    started: Instant,
    line: Line,
}

fn primary(address: u8) -> PrimaryAddress {
    address.try_into().unwrap()
}

impl Scene {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (bus, handle) = Bus::new(household());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(bus.serve(listener, stop.clone()));
        Self {
            handle,
            stream: TcpStream::connect(address).await.unwrap(),
            stop,
            tasks,
            started: Instant::now(),
            line: Line::new(Timing::new(BaudRate::B38400, Duration::from_millis(250))),
        }
    }

    async fn exchange(&mut self, request: &str, length: usize) -> Vec<u8> {
        self.stream.write_all(&bytes(request)).await.unwrap();
        let mut answer = vec![0; length];
        let reading = self.stream.read_exact(&mut answer);
        timeout(Duration::from_secs(5), reading).await.unwrap().unwrap();
        answer
    }

    /// Reads a meter as a driver does, with room for a machine that is busy with other tests.
    async fn read(&mut self, station: &mut Station) -> Result<Vec<LongFrame>, ReadError> {
        let mut read = Read::new(&mut self.line, station);
        let mut chunk = [0; 512];
        loop {
            match read.poll_output(self.started.elapsed()) {
                Output::Send(bytes) => {
                    while matches!(self.stream.try_read(&mut chunk), Ok(1..)) {}
                    self.stream.write_all(&bytes).await.unwrap();
                }
                Output::Wait { until } => {
                    let deadline = self.started + until;
                    match tokio::time::timeout_at(deadline, self.stream.read(&mut chunk)).await {
                        Ok(length) => {
                            let received = &chunk[..length.unwrap()];
                            read.handle_input(received, self.started.elapsed());
                        }
                        Err(_) => read.handle_timeout(self.started.elapsed()),
                    }
                }
                Output::Rate(rate) => panic!("{rate:?}"),
                Output::Done(result) => return result,
            }
        }
    }

    async fn readout(&mut self, station: &mut Station) -> Vec<String> {
        let frames = self.read(station).await.unwrap();
        let readout = Readout::from_frames(&frames).unwrap();
        readout
            .samples
            .iter()
            .map(|sample| format!("{} {}", sample.element, sample.value.unwrap().unit))
            .collect()
    }
}

fn bytes(text: &str) -> Vec<u8> {
    text.split(' ')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[tokio::test]
async fn gas_meter_answers_with_the_bytes_of_the_standard() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.exchange("10 40 01 41 16", 1).await, [0xE5]);
    let answer = scene.exchange("10 7B 01 7C 16", 41).await;
    let head = bytes("68 23 23 68 08 01 72 73 52 61 40 93 15 3C 03 00 00 00 00 0C 13");
    assert_eq!(answer[..21], head);
    // 4711.234 m3, or a litre more if the machine is slow.
    assert_eq!(answer[22..25], bytes("12 71 04"));
    assert_eq!(answer[40], 0x16);
    assert_eq!(scene.exchange("10 7B 01 7C 16", 41).await, answer);
}

#[tokio::test]
async fn three_meters_are_read_over_one_connection() {
    let mut scene = Scene::new().await;
    let mut stations: Vec<_> = (1..=3).map(|address| Station::new(primary(address))).collect();
    for _ in 0..2 {
        assert_eq!(
            scene.readout(&mut stations[0]).await,
            [
                "ELS-40615273-3C-03 7-0:3.0.0*255 m3",
                "ELS-40615273-3C-03 7-0:43.15.0*255 m3/h",
                "ELS-40615273-3C-03 7-0:3.0.0*1 m3",
            ]
        );
        assert_eq!(
            scene.readout(&mut stations[1]).await[..3],
            [
                "SEN-20834719-1A-16 8-0:1.0.0*255 m3",
                "SEN-20834719-1A-16 8-0:2.0.0*255 m3/h",
                "SEN-20834719-1A-16 8-0:1.0.0*1 m3",
            ]
        );
        assert_eq!(
            scene.readout(&mut stations[2]).await,
            [
                "KAM-67150382-35-04 6-0:1.0.0*255 Wh",
                "KAM-67150382-35-04 6-0:2.0.0*255 m3",
                "KAM-67150382-35-04 6-0:8.0.0*255 W",
                "KAM-67150382-35-04 6-0:9.0.0*255 m3/h",
                "KAM-67150382-35-04 6-0:10.0.0*255 degC",
                "KAM-67150382-35-04 6-0:11.0.0*255 degC",
                "KAM-67150382-35-04 6-0:12.0.0*255 K",
            ]
        );
    }
}

#[tokio::test]
async fn heat_meter_answers_in_two_telegrams() {
    let mut scene = Scene::new().await;
    let frames = scene.read(&mut Station::new(primary(3))).await.unwrap();
    let more: Vec<_> = frames
        .iter()
        .map(|frame| Telegram::parse(frame).unwrap().more_follows())
        .collect();
    assert_eq!(more, [true, false]);
}

#[tokio::test]
async fn single_faults_are_overcome_by_a_retry() {
    for fault in [
        Fault::WrongChecksum,
        Fault::Silence,
        Fault::HalfFrame,
        Fault::Noise,
        Fault::Late(Duration::from_millis(400)),
    ] {
        let mut scene = Scene::new().await;
        let mut station = Station::new(primary(3));
        scene.handle.inject(primary(3), fault, 1).await.unwrap();
        assert!(scene.read(&mut station).await.is_ok(), "{fault:?} of E5");
        scene.handle.inject(primary(3), fault, 1).await.unwrap();
        let frames = scene.read(&mut station).await.unwrap();
        assert_eq!(frames.len(), 2, "{fault:?} of a telegram");
        assert_ne!(frames[0], frames[1]);
    }
}

#[tokio::test]
async fn lasting_faults_name_their_cause_and_leave_others_alone() {
    let mut scene = Scene::new().await;
    let mut station = Station::new(primary(2));
    assert!(scene.read(&mut station).await.is_ok());
    scene.handle.inject(primary(2), Fault::Silence, 3).await.unwrap();
    assert_eq!(
        scene.read(&mut station).await,
        Err(ReadError::NoAnswer { tries: 3 })
    );
    assert!(scene.read(&mut Station::new(primary(1))).await.is_ok());
    scene
        .handle
        .inject(primary(2), Fault::WrongChecksum, 3)
        .await
        .unwrap();
    let damaged = scene.read(&mut station).await;
    assert!(matches!(damaged, Err(ReadError::Frame { tries: 1, .. })));
    assert!(scene.read(&mut station).await.is_ok());
}

#[tokio::test]
async fn meter_that_is_not_there_gives_no_answer() {
    let mut scene = Scene::new().await;
    assert_eq!(
        scene.read(&mut Station::new(primary(9))).await,
        Err(ReadError::NoAnswer { tries: 3 })
    );
    assert_eq!(
        scene.handle.inject(primary(9), Fault::Noise, 1).await,
        Err(InjectError::NoSlave { address: primary(9) })
    );
}

#[tokio::test]
async fn stopped_bus_closes_its_connections() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.exchange("10 40 01 41 16", 1).await, [0xE5]);
    scene.stop.cancel();
    assert!(scene.tasks.join_next().await.unwrap().unwrap().is_ok());
    let closed = timeout(Duration::from_secs(5), scene.stream.read(&mut [0; 1]))
        .await
        .unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    assert_eq!(
        scene.handle.inject(primary(1), Fault::Noise, 1).await,
        Err(InjectError::Stopped)
    );
}
