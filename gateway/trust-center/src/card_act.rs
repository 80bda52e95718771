//! What the TSM does to a bound card: it gives its tries back, or ends its life.
//!
//! Both are commands in the channel that ends in the card, whoever carries them. What is about to be done stands in the
//! books before it is done.

use counterparty::conversation::{Conversation, ConversationError};
use counterparty::exchange::{Exchange, ExchangeError, Identity};
use messages::certificate::{Certificate, VerifiedParty};
use model::{CardId, Timestamp};

use crate::arguments::WayArguments;
use crate::authority::{Authority, AuthorityError};
use crate::books::{Act, Books, BooksError, Witness};
use crate::output::Output;
use crate::personalize::{CardCertificatesError, attestation_of, card_of, condemned};
use crate::relay::{Relay, RelayError};
use crate::tsm::{Parties, VisitError, Way, open_channel};

/// The code by which a gateway says that its card has ended its life at an order; a dead card signs no answer.
const CARD_TERMINATED: &str = "card-terminated";

/// The reason why a card was not unlocked or terminated. It may be repeated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CardActError {
    /// The card is not known.
    #[error("the card is not known")]
    Card(#[from] CardCertificatesError),
    /// The TSM's keys cannot be used.
    #[error("the TSM's keys cannot be used")]
    Tsm(#[source] AuthorityError),
    /// The way to the gateway cannot be prepared.
    #[error("the way to the gateway cannot be prepared")]
    Exchange(#[from] ExchangeError),
    /// There is no way to the card.
    #[error("there is no way to the card")]
    Relay(#[from] RelayError),
    /// Neither a gateway nor a relay is named.
    #[error("name the gateway's address or a relay")]
    NoWay,
    /// The books cannot be kept.
    #[error("nothing is done to the card, since the books cannot be kept")]
    Books(#[from] BooksError),
    /// The card was not reached, or refused.
    #[error("the card did not do what it was told")]
    Visit(#[from] VisitError),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sentence {
    /// Give all tries of the pairing back.
    Unlock,
    /// End the card's life.
    Terminate,
}

/// What is to be done to which card, and how it is reached.
#[derive(Debug)]
pub(crate) struct CardOrder {
    /// The GUID of the card.
    pub(crate) guid: CardId,
    /// How it is reached.
    pub(crate) way: WayArguments,
    /// What is to be done.
    pub(crate) sentence: Sentence,
}

/// Carries an order out.
pub(crate) async fn carry_out(
    authority: &Authority,
    books: &Books,
    order: &CardOrder,
    clock: fn() -> Timestamp,
) -> Result<Output, CardActError> {
    let guid = order.guid;
    let (card, attestation) = match order.sentence {
        Sentence::Unlock => (
            card_of(authority, books, guid, clock())?,
            attestation_of(authority, books, guid, clock())?,
        ),
        Sentence::Terminate => condemned(authority, books, guid, clock())?,
    };
    let begun = match order.sentence {
        Sentence::Unlock => Act::UnlockBegun { guid },
        Sentence::Terminate => Act::TerminationBegun { guid },
    };
    let tsm = authority.tsm().map_err(CardActError::Tsm)?;
    books.record(clock(), &begun)?;
    let witness = reach(tsm, &card, &attestation, order, clock).await?;
    let (done, output) = match order.sentence {
        Sentence::Unlock => (Act::Unlocked { guid }, Output::Unlock { guid }),
        Sentence::Terminate => (
            Act::Terminated { guid, witness },
            Output::Terminate { guid, witness },
        ),
    };
    books.record(clock(), &done)?;
    Ok(output)
}

/// Goes the way to the card, does what is ordered and returns who says that it is done.
async fn reach(
    tsm: Identity<'_>,
    card: &VerifiedParty,
    attestation: &Certificate,
    order: &CardOrder,
    clock: fn() -> Timestamp,
) -> Result<Witness, CardActError> {
    let parties = Parties {
        guid: order.guid,
        attestation,
        tsm,
    };
    match (&order.way.relay, &order.way.gateway) {
        (Some(command_line), _) => {
            let mut relay = Relay::start(command_line)?;
            Ok(act(&mut Way::Relay(&mut relay), parties, order.sentence).await?)
        }
        (None, Some(gateway)) => {
            let exchange = Exchange::new(tsm, order.guid, gateway.clone())?;
            let mut conversation = Conversation::new(tsm, card, order.guid, &exchange, clock);
            Ok(act(&mut Way::Messages(&mut conversation), parties, order.sentence).await?)
        }
        (None, None) => Err(CardActError::NoWay),
    }
}

async fn act(way: &mut Way<'_, '_>, parties: Parties<'_>, sentence: Sentence) -> Result<Witness, VisitError> {
    let channel = open_channel(way, parties).await?;
    match sentence {
        Sentence::Unlock => {
            let (channel, commands) = channel.unlock_pairing()?;
            channel.pairing_unlocked(&way.pass(commands).await?)?;
        }
        Sentence::Terminate => {
            let (channel, commands) = channel.terminate()?;
            match way.pass(commands).await {
                Ok(answers) => channel.terminated(&answers)?,
                Err(error) if is_dead(&error) => return Ok(Witness::Gateway),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Witness::Card)
}

/// Returns whether the gateway says that its card has ended its life.
fn is_dead(error: &VisitError) -> bool {
    match error {
        VisitError::Conversation(ConversationError::Exchange(error)) => {
            matches!(&**error, ExchangeError::Refused { code, .. } if code.as_str() == CARD_TERMINATED)
        }
        _ => false,
    }
}
