//! Tells the service manager how the daemon is, as long as nothing in it is stuck.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::notifier::{Notice, Notifier};
use super::pulse::Pulses;
use crate::card::Standing;

/// How often to look whether everything has begun.
const BEGINNING: Duration = Duration::from_millis(10);
/// The period of the watchdog where nobody has one; what is stuck is logged all the same.
const WITHOUT_WATCHDOG: Duration = Duration::from_secs(60);
/// How many looks there are in a period, and how many of them something may be stuck: it is noticed behind the half of the
/// period, and the manager waits for a whole one.
const LOOKS: u32 = 4;
const PATIENT_LOOKS: u32 = 2;

/// Looks at the pulses and speaks to the service manager.
#[derive(Debug)]
pub(crate) struct Feeder {
    pulses: Pulses,
    notifier: Notifier,
    standing: watch::Receiver<Standing>,
    /// What was stuck at the last look.
    stuck: Option<&'static str>,
}

impl Feeder {
    /// Builds the feeder for tasks and threads that have been added to the pulses.
    pub(crate) const fn new(pulses: Pulses, notifier: Notifier, standing: watch::Receiver<Standing>) -> Self {
        Self {
            pulses,
            notifier,
            standing,
            stuck: None,
        }
    }

    /// Says that the daemon is up when everything has begun, and that it is alive until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_fed() => {}
        }
        self.tell(&Notice::Stopping);
        self.tell(&Notice::Status("Stopping in order.".to_owned()));
    }

    async fn keep_fed(&mut self) {
        while !self.pulses.have_all_answered() || !self.tell(&Notice::Ready) {
            tokio::time::sleep(BEGINNING).await;
        }
        self.tell_status();
        let period = self.notifier.watchdog().unwrap_or(WITHOUT_WATCHDOG);
        let pause = period.checked_div(LOOKS).unwrap_or(period);
        let mut look = tokio::time::interval(pause);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut standing = self.standing.clone();
        loop {
            tokio::select! {
                _ = look.tick() => self.look(pause.saturating_mul(PATIENT_LOOKS)),
                Ok(()) = standing.changed() => self.tell_status(),
            }
        }
    }

    /// Feeds the watchdog, unless something is stuck.
    fn look(&mut self, longest: Duration) {
        let stuck = self.pulses.find_stuck(Instant::now(), longest);
        if stuck != self.stuck {
            match stuck {
                Some(task) => tracing::error!(task, "a task is stuck; the watchdog is not fed any more"),
                None => tracing::warn!("what was stuck gets on again"),
            }
            self.stuck = stuck;
            self.tell_status();
        }
        if stuck.is_none() && self.notifier.watchdog().is_some() {
            self.tell(&Notice::Alive);
        }
    }

    fn tell_status(&self) {
        let text = match self.stuck {
            Some(task) => format!("The task {task} is stuck."),
            None => words(&self.standing.borrow()),
        };
        self.tell(&Notice::Status(text));
    }

    /// Returns whether it got there.
    fn tell(&self, notice: &Notice) -> bool {
        let told = self.notifier.tell(notice);
        if let Err(error) = &told {
            tracing::debug!("the service manager was not told: {error}");
        }
        told.is_ok()
    }
}

/// Says what the gateway does.
fn words(standing: &Standing) -> String {
    let Standing { state, detail, .. } = standing;
    let detail = detail.as_deref().unwrap_or_default();
    format!("{} {} {detail}", state.code(), state.cause())
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;

    use model::GatewayState;

    use super::*;
    use crate::liveness::work;

    const PERIOD: Duration = Duration::from_millis(400);
    const PATIENCE: Duration = Duration::from_secs(30);

    /// What the manager was told, in its order.
    struct Manager(tokio::net::UnixDatagram);

    impl Manager {
        fn at(path: &Path) -> Self {
            let socket = UnixDatagram::bind(path).unwrap();
            socket.set_nonblocking(true).unwrap();
            Self(tokio::net::UnixDatagram::from_std(socket).unwrap())
        }

        async fn next(&self) -> String {
            let mut bytes = [0; 1024];
            let receiving = self.0.recv(&mut bytes);
            let length = tokio::time::timeout(PATIENCE, receiving).await.unwrap().unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        }

        /// Reads until the notice comes.
        async fn wait_for(&self, notice: &str) {
            while self.next().await != notice {}
        }
    }

    struct Rig {
        pulses: Pulses,
        manager: Manager,
        standing: watch::Sender<Standing>,
        stop: CancellationToken,
        feeding: Option<Feeder>,
        _folder: tempfile::TempDir,
    }

    fn rig() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = Manager::at(&path);
        let notifier = Notifier::new(Some(path.as_os_str()), Some(PERIOD)).unwrap();
        let (standing, watch) = watch::channel(Standing::unknown());
        let pulses = Pulses::default();
        Rig {
            feeding: Some(Feeder::new(pulses.clone(), notifier, watch)),
            pulses,
            manager,
            standing,
            stop: CancellationToken::new(),
            _folder: folder,
        }
    }

    impl Rig {
        fn start(&mut self) -> tokio::task::JoinHandle<()> {
            tokio::spawn(self.feeding.take().unwrap().run(self.stop.clone()))
        }
    }

    #[tokio::test]
    async fn the_manager_is_told_ready_state_life_and_end() {
        let mut rig = rig();
        let task = tokio::spawn(rig.pulses.watch("grid", std::future::pending::<()>()));
        let feeding = rig.start();
        assert_eq!(rig.manager.next().await, "READY=1");
        let status = rig.manager.next().await;
        assert!(
            status.starts_with("STATUS=SMGW-S-0001 No card has been bound"),
            "{status}"
        );
        rig.manager.wait_for("WATCHDOG=1").await;
        rig.manager.wait_for("WATCHDOG=1").await;
        rig.standing.send_modify(|standing| {
            standing.state = GatewayState::CardMissing;
            standing.detail = Some("the reader is gone".to_owned());
        });
        let words = "STATUS=SMGW-S-0101 The card that this gateway is bound to is not in the reader. the reader is gone";
        rig.manager.wait_for(words).await;
        rig.stop.cancel();
        rig.manager.wait_for("STOPPING=1").await;
        assert_eq!(rig.manager.next().await, "STATUS=Stopping in order.");
        feeding.await.unwrap();
        task.abort();
    }

    #[tokio::test]
    async fn a_daemon_with_a_task_that_has_not_begun_is_not_ready() {
        let mut rig = rig();
        let not_begun = rig.pulses.watch("grid", std::future::pending::<()>());
        let feeding = rig.start();
        tokio::time::sleep(BEGINNING * 10).await;
        assert!(rig.manager.0.try_recv(&mut [0; 16]).is_err());
        let task = tokio::spawn(not_begun);
        assert_eq!(rig.manager.next().await, "READY=1");
        feeding.abort();
        task.abort();
    }

    #[tokio::test]
    async fn a_stuck_task_stops_the_feeding_until_it_gets_on() {
        let mut rig = rig();
        let (go_on, blocked) = std::sync::mpsc::sync_channel::<()>(1);
        let writing = async {
            drop(work(move || blocked.recv()).await);
            std::future::pending::<()>().await;
        };
        let task = tokio::spawn(rig.pulses.watch("registrar", writing));
        let feeding = rig.start();
        rig.manager.wait_for("STATUS=The task registrar is stuck.").await;
        let silent = tokio::time::timeout(PERIOD * 3, rig.manager.0.recv(&mut [0; 16])).await;
        assert!(silent.is_err(), "the watchdog was fed");
        go_on.send(()).unwrap();
        rig.manager.wait_for("WATCHDOG=1").await;
        feeding.abort();
        task.abort();
    }
}
