//! The meter's Modbus TCP server.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fault::{Fault, Faults};
use super::frame::Request;
use super::house::House;
use super::registers::Registers;
use super::sdm630;

/// A simulated SDM630 in a house, whose values follow from the time.
#[derive(Debug)]
pub struct Sdm630(Server);

impl Sdm630 {
    /// Starts the meter on the address (port 0: any free one), as that unit, with that serial number.
    ///
    /// # Errors
    ///
    /// What the system says if the address cannot be listened on.
    pub async fn start(listen: SocketAddr, unit: u8, serial_number: u32) -> io::Result<Self> {
        let shown = Shown::House {
            house: House::new(),
            started: Instant::now(),
            serial_number,
        };
        Server::listen(listen, unit, shown).await.map(Self)
    }

    /// Stops the meter; when that is done, its address is free and its connections are closed.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

impl Deref for Sdm630 {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// A simulated meter; it lives until it is stopped or dropped, which closes its connections too.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    meter: Arc<Mutex<Meter>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Server {
    /// The greatest number of connections at a time; more are closed at once.
    pub const MAX_CONNECTIONS: usize = 16;

    /// Starts a meter with these registers on the address (port 0: any free one), as that unit.
    ///
    /// # Errors
    ///
    /// What the system says if the address cannot be listened on.
    pub async fn start(listen: SocketAddr, unit: u8, registers: Registers) -> io::Result<Self> {
        Self::listen(listen, unit, Shown::Registers(registers)).await
    }

    async fn listen(listen: SocketAddr, unit: u8, shown: Shown) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let meter = Arc::new(Mutex::new(Meter {
            unit,
            shown,
            faults: Faults::default(),
            requests: 0,
            connections: 0,
        }));
        let mut tasks = JoinSet::new();
        let stop = CancellationToken::new();
        tasks.spawn(accept(listener, Arc::clone(&meter), stop.clone()));
        Ok(Self {
            address,
            meter,
            stop,
            tasks,
        })
    }

    /// Stops the meter; when that is done, its address is free and its connections are closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Returns the address that the meter listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has the fault happen to that many requests, after those that were injected before.
    pub fn inject(&self, fault: Fault, requests: u32) {
        locked(&self.meter).faults.push(fault, requests);
    }

    /// Takes back all faults that have not happened yet.
    pub fn heal(&self) {
        locked(&self.meter).faults.clear();
    }

    /// Returns how many requests have come.
    #[must_use]
    pub fn requests(&self) -> u64 {
        locked(&self.meter).requests
    }

    /// Returns how many connections have been accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        locked(&self.meter).connections
    }
}

#[derive(Debug)]
struct Meter {
    unit: u8,
    shown: Shown,
    faults: Faults,
    requests: u64,
    connections: u64,
}

/// What the meter shows.
#[derive(Debug)]
enum Shown {
    House {
        house: House,
        started: Instant,
        serial_number: u32,
    },
    Registers(Registers),
}

impl Shown {
    fn read(&mut self, request: Request) -> Result<Vec<u16>, u8> {
        let Request {
            function,
            address,
            count,
            ..
        } = request;
        match self {
            Self::House {
                house,
                started,
                serial_number,
            } => {
                house.live_until(started.elapsed().as_secs());
                sdm630::read(house, *serial_number, function, address, count)
            }
            Self::Registers(registers) => registers.read(function, address, count),
        }
    }
}

/// What a connection does about a request.
enum Reaction {
    Answer(Vec<u8>),
    Hold(Vec<u8>),
    Ignore,
    Close,
}

impl Meter {
    /// The exception of a gateway that has no such unit behind it.
    const GATEWAY_TARGET_FAILED: u8 = 11;

    fn react(&mut self, request: Request) -> Reaction {
        self.requests += 1;
        if request.unit != self.unit {
            return Reaction::Answer(request.answer(Err(Self::GATEWAY_TARGET_FAILED)));
        }
        let words = self.shown.read(request);
        let result = words.as_deref().map_err(|code| *code);
        let Some(fault) = self.faults.next() else {
            return Reaction::Answer(request.answer(result));
        };
        match fault {
            Fault::Exception(code) => Reaction::Answer(request.answer(Err(code))),
            Fault::Silence => Reaction::Ignore,
            Fault::Late => Reaction::Hold(request.answer(result)),
            Fault::WrongUnit => {
                let unit = request.unit.wrapping_add(1);
                Reaction::Answer(Request { unit, ..request }.answer(result))
            }
            Fault::WrongTransaction => {
                let transaction = request.transaction.wrapping_sub(1);
                Reaction::Answer(
                    Request {
                        transaction,
                        ..request
                    }
                    .answer(result),
                )
            }
            Fault::TooShort => {
                let fewer = result.map(|words| words.split_last().map_or(words, |(_, fewer)| fewer));
                Reaction::Answer(request.answer(fewer))
            }
            Fault::Close => Reaction::Close,
        }
    }
}

fn locked(meter: &Mutex<Meter>) -> MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, meter: Arc<Mutex<Meter>>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) if connections.len() < Server::MAX_CONNECTIONS => {
                    locked(&meter).connections += 1;
                    connections.spawn(serve(connection, Arc::clone(&meter)));
                }
                Ok(_) => tracing::warn!("too many connections"),
                Err(error) => tracing::warn!(%error, "a connection could not be accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

async fn serve(mut connection: TcpStream, meter: Arc<Mutex<Meter>>) {
    let mut held: Vec<u8> = Vec::new();
    while let Some(request) = Request::receive(&mut connection).await {
        let late = std::mem::take(&mut held);
        let reaction = locked(&meter).react(request);
        let answer = match reaction {
            Reaction::Answer(frame) => [late, frame].concat(),
            Reaction::Hold(frame) => {
                held = frame;
                late
            }
            Reaction::Ignore => late,
            Reaction::Close => return,
        };
        if connection.write_all(&answer).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    const REQUEST: [u8; 12] = [0, 7, 0, 0, 0, 6, 1, 3, 0xFC, 0, 0, 2];
    const ANSWER: [u8; 13] = [0, 7, 0, 0, 0, 7, 1, 3, 4, 0x00, 0xBC, 0x61, 0x4E];

    async fn meter() -> (Sdm630, TcpStream) {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let meter = Sdm630::start(listen, 1, 12_345_678).await.unwrap();
        let connection = TcpStream::connect(meter.address()).await.unwrap();
        (meter, connection)
    }

    async fn ask(connection: &mut TcpStream) {
        connection.write_all(&REQUEST).await.unwrap();
    }

    async fn assert_answer(connection: &mut TcpStream, expected: &[u8]) {
        let mut answer = vec![0; expected.len()];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, expected);
    }

    #[tokio::test]
    async fn the_serial_number_is_read() {
        let (meter, mut connection) = meter().await;
        ask(&mut connection).await;
        assert_answer(&mut connection, &ANSWER).await;
        assert_eq!((meter.requests(), meter.connections()), (1, 1));
    }

    #[tokio::test]
    async fn a_meter_of_a_profile_shows_what_it_was_given() {
        let profile = modbus::Profile::parse(modbus::built_in("wirenboard-mcm8-gas").unwrap()).unwrap();
        let contents = crate::modbus::Contents {
            values: [("7-0:3.0.0*255".parse().unwrap(), "1234.56".parse().unwrap())].into(),
            ..Default::default()
        };
        let registers = contents.fill(&profile).unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let meter = Server::start(listen, 1, registers).await.unwrap();
        let mut connection = TcpStream::connect(meter.address()).await.unwrap();
        connection
            .write_all(&[0, 8, 0, 0, 0, 6, 1, 4, 0, 60, 0, 2])
            .await
            .unwrap();
        // 123456 pulses of 0.01 m3
        assert_answer(&mut connection, &[0, 8, 0, 0, 0, 7, 1, 4, 4, 0, 1, 0xE2, 0x40]).await;
        meter.stop().await;
    }

    #[tokio::test]
    async fn a_stopped_meter_leaves_its_address_free() {
        let (meter, mut connection) = meter().await;
        ask(&mut connection).await;
        assert_answer(&mut connection, &ANSWER).await;
        let address = meter.address();
        meter.stop().await;
        assert!(connection.read_u8().await.is_err());
        assert_eq!(Sdm630::start(address, 1, 2).await.unwrap().address(), address);
    }

    #[tokio::test]
    async fn another_unit_is_not_behind_the_gateway() {
        let (_meter, mut connection) = meter().await;
        let mut request = REQUEST;
        request[6] = 9;
        connection.write_all(&request).await.unwrap();
        assert_answer(&mut connection, &[0, 7, 0, 0, 0, 3, 9, 0x83, 11]).await;
    }

    #[tokio::test]
    async fn faults_happen_to_as_many_requests_as_were_asked_for() {
        let (meter, mut connection) = meter().await;
        meter.inject(Fault::Exception(6), 1);
        meter.inject(Fault::WrongUnit, 1);
        meter.inject(Fault::WrongTransaction, 1);
        meter.inject(Fault::TooShort, 1);
        meter.inject(Fault::Silence, 1);
        meter.inject(Fault::Late, 1);
        for expected in [
            [0, 7, 0, 0, 0, 3, 1, 0x83, 6].as_slice(),
            [0, 7, 0, 0, 0, 7, 2, 3, 4, 0x00, 0xBC, 0x61, 0x4E].as_slice(),
            [0, 6, 0, 0, 0, 7, 1, 3, 4, 0x00, 0xBC, 0x61, 0x4E].as_slice(),
            [0, 7, 0, 0, 0, 5, 1, 3, 2, 0x00, 0xBC].as_slice(),
        ] {
            ask(&mut connection).await;
            assert_answer(&mut connection, expected).await;
        }
        // Silence, then a held answer, then the held and the true one.
        for _ in 0..3 {
            ask(&mut connection).await;
        }
        assert_answer(&mut connection, &[ANSWER, ANSWER].concat()).await;
    }

    #[tokio::test]
    async fn a_closed_connection_and_a_healed_meter() {
        let (meter, mut connection) = meter().await;
        meter.inject(Fault::Close, 5);
        ask(&mut connection).await;
        assert!(connection.read_u8().await.is_err());
        meter.heal();
        let mut connection = TcpStream::connect(meter.address()).await.unwrap();
        ask(&mut connection).await;
        assert_answer(&mut connection, &ANSWER).await;
    }
}
