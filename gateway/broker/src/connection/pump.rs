//! The client of a connection, which goes on in a task of its own.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{ConnectionError, Happening, Options, five, three};

/// How much may have happened that the owner has not looked at; then the wire waits, which bounds the memory to so many of
/// the longest messages.
const HAPPENINGS: usize = 4;

/// The wire of either version.
pub(super) enum Events {
    Five(Box<five::Events>),
    Three(Box<three::Events>),
}

impl Events {
    async fn next(&mut self, options: &Options) -> Result<Happening, ConnectionError> {
        match self {
            Self::Five(events) => {
                let happening = events.next().await;
                happening.map_err(|fault| five::error(fault, options))
            }
            Self::Three(events) => {
                let happening = events.next().await;
                happening.map_err(|fault| three::error(fault, options))
            }
        }
    }
}

/// The task, which ends with this, and what it has to tell.
pub(super) struct Pump {
    happenings: mpsc::Receiver<Result<Happening, ConnectionError>>,
    task: JoinHandle<()>,
}

impl Pump {
    /// Starts it; it ends with the first fault.
    pub(super) fn start(mut events: Events, options: Options) -> Self {
        let (tell, happenings) = mpsc::channel(HAPPENINGS);
        let task = tokio::spawn(async move {
            loop {
                let happening = events.next(&options).await;
                if matches!(happening, Ok(Happening::Other)) {
                    continue;
                }
                let is_end = happening.is_err();
                if tell.send(happening).await.is_err() || is_end {
                    return;
                }
            }
        });
        Self { happenings, task }
    }

    /// Waits for what happens; nothing more does behind the end. A call that is given up loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Happening, ConnectionError>> {
        self.happenings.recv().await
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}
