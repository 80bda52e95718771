//! The bytes of one connection, both ways, through the faults.

use std::future::pending;
use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::order::{Cut, Faults};

/// The greatest piece that is read at once, in bytes: a record of TLS.
const PIECE: usize = 16 * 1024;

/// How a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By one of its sides.
    Closed,
    /// By an order.
    Cut,
}

/// Which way a flow goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// Passes both ways until one side ends, or an order cuts it off. What the target says to the echo goes nowhere.
pub(super) async fn both_ways(
    client: TcpStream,
    server: TcpStream,
    echo: Option<TcpStream>,
    faults: watch::Receiver<Faults>,
) -> io::Result<End> {
    for stream in [&client, &server].into_iter().chain(&echo) {
        stream.set_nodelay(true)?;
    }
    let resets = faults.borrow().resets;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (_kept, to_echo) = echo.map(TcpStream::into_split).unzip();
    let mut up = Flow::new(Way::Up, from_client, to_server, to_echo, faults.clone());
    let mut down = Flow::new(Way::Down, from_server, to_client, None, faults.clone());
    let mut watched = faults;
    let end = {
        let both = async { tokio::try_join!(up.run(), down.run()) };
        tokio::select! {
            ended = both => match ended {
                Ok(_) => Ok(End::Closed),
                Err(Stop::Cut) => Ok(End::Cut),
                Err(Stop::Io(error)) => Err(error),
            },
            changed = watched.wait_for(|faults| faults.resets != resets) => {
                drop(changed);
                Ok(End::Cut)
            }
        }
    };
    if !matches!(end, Ok(End::Closed)) {
        // Reset, as a network does that forgets a connection: what is under way is lost.
        for stream in [up.write.as_ref(), down.write.as_ref()] {
            drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
        }
    }
    end
}

enum Stop {
    Cut,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The bytes that go one way.
struct Flow {
    way: Way,
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    echo: Option<OwnedWriteHalf>,
    faults: watch::Receiver<Faults>,
    /// How many bytes have passed since the cut of this number was ordered.
    passed: u64,
    cut: u32,
}

impl Flow {
    const fn new(
        way: Way,
        read: OwnedReadHalf,
        write: OwnedWriteHalf,
        echo: Option<OwnedWriteHalf>,
        faults: watch::Receiver<Faults>,
    ) -> Self {
        Self {
            way,
            read,
            write,
            echo,
            cut: 0,
            faults,
            passed: 0,
        }
    }

    async fn run(&mut self) -> Result<(), Stop> {
        let mut piece = vec![0; PIECE];
        loop {
            self.until_flowing().await;
            let length = self.read.read(&mut piece).await?;
            if length == 0 {
                // The other way may still have something to say.
                return Ok(self.write.shutdown().await?);
            }
            self.until_flowing().await;
            let faults = *self.faults.borrow();
            if faults.cuts != self.cut {
                (self.cut, self.passed) = (faults.cuts, 0);
            }
            let room = self.room(&faults);
            let bytes = piece.get(..length).unwrap_or_default();
            let passed = bytes
                .get(..usize::try_from(room).unwrap_or(usize::MAX))
                .unwrap_or(bytes);
            self.wait(&faults, passed.len()).await;
            self.write.write_all(passed).await?;
            if let Some(echo) = &mut self.echo {
                // The target may well have ended the second one.
                drop(echo.write_all(passed).await);
            }
            self.passed = self
                .passed
                .saturating_add(u64::try_from(passed.len()).unwrap_or(u64::MAX));
            if passed.len() < bytes.len() || self.room(&faults) == 0 {
                return Err(Stop::Cut);
            }
        }
    }

    /// Returns how many bytes may still pass before the cut.
    fn room(&self, faults: &Faults) -> u64 {
        match (self.way, faults.cut) {
            (Way::Up, Some(Cut::Up(limit))) | (Way::Down, Some(Cut::Down(limit))) => {
                limit.saturating_sub(self.passed)
            }
            _ => u64::MAX,
        }
    }

    /// Waits while nothing goes through.
    async fn until_flowing(&mut self) {
        if self.faults.wait_for(|faults| !faults.stalled).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Waits for the delay, and for as long as a slow line takes.
    async fn wait(&self, faults: &Faults, length: usize) {
        let line = faults.rate.map_or(Duration::ZERO, |rate| {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            Duration::from_secs(1).saturating_mul(length) / rate.get()
        });
        let wait = faults.delay.saturating_add(line);
        if let Some(until) = Instant::now().checked_add(wait).filter(|_| !wait.is_zero()) {
            sleep_until(until).await;
        }
    }
}
