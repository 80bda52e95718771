//! Opening the connection to a bus, with a timeout and with pauses between failures.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::PollError;

/// How long a connection may take to open: several times the round trip of a slow mobile network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause after the first failure, so that one failure in a round stands for all its meters.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: well below a registration period, so that none is missed because of it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Opens connections to one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    endpoint: String,
    /// The pause after the last failure; zero if the last attempt succeeded.
    pause: Duration,
    /// The end of that pause, and what has failed before it.
    not_before: Option<(Instant, PollError)>,
}

impl Connector {
    pub(crate) const fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            pause: Duration::ZERO,
            not_before: None,
        }
    }

    /// Opens a connection, unless an attempt has failed a short time ago.
    pub(crate) async fn connect(&mut self) -> Result<TcpStream, PollError> {
        let endpoint = self.endpoint.clone();
        self.open(async {
            let connection = TcpStream::connect(endpoint).await?;
            connection.set_nodelay(true)?;
            Ok(connection)
        })
        .await
    }

    /// Opens a port of any kind in the same way.
    pub(crate) async fn open<T>(
        &mut self,
        opening: impl Future<Output = io::Result<T>>,
    ) -> Result<T, PollError> {
        if let Some((time, last)) = &self.not_before {
            let wait = time.duration_since(Instant::now());
            if !wait.is_zero() {
                let last = Box::new(last.clone());
                return Err(PollError::ConnectPostponed { wait, last });
            }
        }
        let endpoint = self.endpoint.clone();
        let error = match timeout(CONNECT_TIMEOUT, opening).await {
            Ok(Ok(connection)) => {
                self.pause = Duration::ZERO;
                self.not_before = None;
                return Ok(connection);
            }
            Ok(Err(error)) => PollError::Connect {
                endpoint,
                kind: error.kind(),
                text: error.to_string(),
            },
            Err(_) => PollError::ConnectTimeout { endpoint },
        };
        self.pause = self.pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let until = Instant::now().checked_add(self.pause);
        self.not_before = until.map(|until| (until, error.clone()));
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn closed_port() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    }

    #[tokio::test]
    async fn after_a_failure_the_next_attempt_is_postponed() {
        let endpoint = closed_port().await;
        let mut connector = Connector::new(endpoint.clone());
        let refused = PollError::Connect {
            endpoint: endpoint.clone(),
            kind: io::ErrorKind::ConnectionRefused,
            text: "Connection refused (os error 111)".to_owned(),
        };
        let error = connector.connect().await.unwrap_err();
        assert_eq!(error, refused);
        let text = error.to_string();
        let beginning =
            format!("{endpoint} cannot be opened: Connection refused (os error 111); nothing listens");
        assert!(text.starts_with(&beginning), "{text}");
        match connector.connect().await.unwrap_err() {
            PollError::ConnectPostponed { wait, last } => {
                assert!(wait <= FIRST_PAUSE);
                assert_eq!(*last, refused);
            }
            other => panic!("{other}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_bound_and_end_with_a_success() {
        let endpoint = closed_port().await;
        let mut connector = Connector::new(endpoint.clone());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(connector.connect().await.is_err());
            pauses.push(connector.pause.as_secs());
            tokio::time::advance(connector.pause).await;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        let _listener = TcpListener::bind(&endpoint).await.unwrap();
        connector.connect().await.unwrap();
        assert_eq!(connector.pause, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_does_not_answer_costs_the_timeout() {
        // A listener whose queue is full drops further attempts without an answer.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let endpoint = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let connection = std::net::TcpStream::connect_timeout(&endpoint, Duration::from_millis(50));
            waiting.extend(connection);
        }
        let mut connector = Connector::new(endpoint.to_string());
        let timeout = PollError::ConnectTimeout {
            endpoint: endpoint.to_string(),
        };
        assert_eq!(connector.connect().await.unwrap_err(), timeout);
    }
}
