//! Taking what gateways send by themselves over a broker, on the schedules of their grants.

use std::error::Error;
use std::sync::Arc;

use counterparty::conversation::{Conversation, ConversationError, Keeper};
use counterparty::exchange::{Exchange, ExchangeError, GatewayAddress, Identity};
use counterparty::gateways::GatewayError;
use counterparty::hub::{Group, Hub};
use messages::content::{Answer, Content, Delivered, RuleName};
use model::{CardId, Period, Timestamp};

use crate::home::{Home, HomeError};
use crate::puller::{answer_in, wait_before};
use crate::store::{Kept, Store};

/// For how long what was read of certificates and lists is judged by, in seconds: a gateway whose card was revoked is not
/// listened to for longer than that after `crl` has taken the list.
const FRESH_S: i64 = 10;

/// The reason why a message is not in the store, or none comes.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Nothing is heard of the broker; the next look connects again.
    #[error("nothing is received for now")]
    Broker(#[from] ExchangeError),
    /// Certificates and lists of revoked ones cannot be read again; messages are judged by what was read before.
    #[error("certificates and lists are judged as they were, since they cannot be read again")]
    Home(#[from] HomeError),
    /// The message says that it is of a gateway whose certificates are not here.
    #[error("a message of the gateway {guid} is not taken")]
    Gateway {
        /// The gateway.
        guid: CardId,
        /// What is wrong with its certificates.
        source: GatewayError,
    },
    /// The message is not by the gateway, or cannot be read or kept.
    #[error("a message of the gateway {guid} is not taken")]
    Message {
        /// The gateway.
        guid: CardId,
        /// What is wrong.
        source: Box<ConversationError>,
    },
    /// The message is for another supplier, or of no kind that a gateway sends by itself, such as the refusal of a pull that
    /// was cut off.
    #[error("the gateway {guid} has sent something that nobody waits for any more")]
    Unexpected {
        /// The gateway.
        guid: CardId,
    },
}

impl ReceiveError {
    /// Returns whether the store has failed: then nothing can be received any more.
    #[must_use]
    pub fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Message { source, .. } if matches!(**source, ConversationError::Keep(_)))
    }
}

/// What a gateway has sent by itself, and what became of it in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The values, as the answer to a question that nobody asked.
    pub answer: Answer,
    /// The grant on whose schedule they came, and for which time; absent for an answer to a pull that was cut off.
    pub schedule: Option<(RuleName, Period)>,
    /// By which delivery rule of the grant they came, and why then, if by one; where they are pseudonymous, the meters of the
    /// answer are pseudonyms.
    pub delivery: Option<Delivered>,
    /// What became of them in the store.
    pub kept: Kept,
}

/// Takes what gateways send by themselves into a store.
#[derive(Debug)]
pub struct Reception {
    home: Arc<Home>,
    store: Store,
    hub: Arc<Hub>,
    clock: fn() -> Timestamp,
}

impl Reception {
    /// Prepares a connection to a broker; it is made by [`Reception::serve`]. With a group, what gateways send is shared with
    /// the others of it. `clock` is read when messages are checked.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`] if the address is no broker's, or the own certificate cannot be used.
    pub fn new(
        home: Arc<Home>,
        store: Store,
        broker: GatewayAddress,
        group: Option<&Group>,
        clock: fn() -> Timestamp,
    ) -> Result<Self, ExchangeError> {
        let hub = match group {
            Some(group) => Hub::sharing(home.identity(), broker, group)?,
            None => Hub::new(home.identity(), broker)?,
        };
        let hub = Arc::new(hub);
        Ok(Self {
            home,
            store,
            hub,
            clock,
        })
    }

    /// Receives until `report` says that it is enough, by returning false. Each message is in the store before its gateway
    /// gets a receipt; one that is not taken is told of, and comes again. A connection that ends is made again, after pauses
    /// that double up to half a minute. Certificates and lists of revoked ones are read again while it goes on.
    ///
    /// It may be dropped at any time.
    pub async fn serve(&self, mut report: impl FnMut(Result<Received, ReceiveError>) -> bool) {
        let mut failures = 0;
        let mut known = Known {
            home: Arc::clone(&self.home),
            read_at: (self.clock)(),
        };
        loop {
            let error = match self.hub.overhear().await {
                Ok(mut overhearing) => loop {
                    match overhearing.next().await {
                        Ok((guid, message)) => {
                            failures = 0;
                            let stale = known.refresh((self.clock)()).err();
                            if stale.is_some_and(|error| !report(Err(error.into()))) {
                                return;
                            }
                            if !report(self.take(&known.home, guid, &message).await) {
                                return;
                            }
                        }
                        Err(error) => break error,
                    }
                },
                Err(error) => error,
            };
            if !report(Err(error.into())) {
                return;
            }
            tokio::time::sleep(wait_before(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Waits until the broker has the receipts, for a short time at most.
    pub async fn end(&self) {
        self.hub.drain().await;
    }

    async fn take(&self, home: &Home, guid: CardId, message: &[u8]) -> Result<Received, ReceiveError> {
        let card = home.gateway(guid, (self.clock)());
        let card = card.map_err(|source| ReceiveError::Gateway { guid, source })?;
        let exchange = Exchange::over(Arc::clone(&self.hub), guid);
        // The root and its lists as they are by now; the own certificates are those of the connection.
        let identity = Identity {
            anchor: home.anchor(),
            ..self.home.identity()
        };
        let conversation = Conversation::new(identity, &card, guid, &exchange, self.clock);
        let mut keeper = IntoStore {
            home: &self.home,
            store: &self.store,
            kept: None,
        };
        let taken = conversation.take(message, &mut keeper).await;
        let (content, receipt) = taken.map_err(|source| ReceiveError::Message {
            guid,
            source: Box::new(source),
        })?;
        // Also for what is of no use here: it would come again and again.
        self.hub.receipt(guid, receipt).await?;
        let unexpected = || ReceiveError::Unexpected { guid };
        let answer = answer_in(&content).ok_or_else(unexpected)?.into_owned();
        let (schedule, delivery) = match content {
            Content::Push(push) => (Some((push.grant, push.period)), push.delivery),
            _ => (None, None),
        };
        Ok(Received {
            answer,
            schedule,
            delivery,
            kept: keeper.kept.ok_or_else(unexpected)?,
        })
    }
}

/// What was read of certificates and lists, and when.
struct Known {
    home: Arc<Home>,
    read_at: Timestamp,
}

impl Known {
    /// Reads them again when it is time.
    fn refresh(&mut self, now: Timestamp) -> Result<(), HomeError> {
        // A clock that was set back is no reason to trust for longer.
        if (0..FRESH_S).contains(&now.seconds_since(self.read_at)) {
            return Ok(());
        }
        self.read_at = now;
        self.home = Arc::new(Home::load(self.home.folder(), now)?);
        Ok(())
    }
}

/// Puts what gateways send by themselves into the store, and answers to pulls that were cut off.
struct IntoStore<'a> {
    home: &'a Home,
    store: &'a Store,
    /// What became of it; absent if it is not for the store.
    kept: Option<Kept>,
}

impl Keeper for IntoStore<'_> {
    async fn keep(&mut self, content: &Content, message: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(answer) = answer_in(content) else {
            return Ok(());
        };
        if answer.supplier == self.home.party().sig.certificate().fingerprint() {
            let kept = self.store.keep(&answer, message, None).await?;
            self.kept = Some(kept.unwrap_or_default());
        }
        Ok(())
    }
}
