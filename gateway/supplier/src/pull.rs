//! A pull: queries become a request, and the gateway's answer is held against them.

use counterparty::archive::Archive;
use counterparty::conversation::{Conversation, ConversationError, KeepNothing, Keeper};
use counterparty::exchange::Exchange;
use counterparty::gateways::GatewayError;
use counterparty::random::{self, RandomError};
use messages::content::{Answer, Content, ContentError, MessageId, RefusalCode, RefusalReason, Request};
use messages::envelope::SealError;
use messages::software::SoftwareKeyError;
use model::{CardId, Element, ElementPattern, Query, Span, Timestamp};

use crate::home::Home;
use crate::puller::MAX_PAGES;

/// The reason why a pull has no answer that can be relied on.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The gateway is not known.
    #[error("the gateway cannot be asked")]
    Gateway(#[from] GatewayError),
    /// No random bytes could be drawn.
    #[error("the request cannot be sealed")]
    Random(#[from] RandomError),
    /// The request could not be written.
    #[error("the request cannot be written; ask for less")]
    Request(#[source] ContentError),
    /// The request could not be sealed.
    #[error("the request cannot be sealed for the gateway")]
    Seal(#[source] Box<SealError<SoftwareKeyError>>),
    /// The conversation with the gateway failed.
    #[error(transparent)]
    Conversation(ConversationError),
    /// The answer is to another message, or to another supplier's.
    #[error("the answer is to another request; try again")]
    OtherRequest,
    /// The gateway refused the request as a whole.
    #[error("the gateway refuses the request: {reason} ({code})")]
    Refused {
        /// The stable code.
        code: RefusalCode,
        /// The reason, as a sentence.
        reason: RefusalReason,
    },
    /// The gateway answered with something that is no answer.
    #[error("the gateway answers a request with something else; check that both have the same version")]
    Unexpected,
    /// The answer has a series that nobody asked for.
    #[error("the answer has values of {element} every {step}, which nobody asked for")]
    Unasked {
        /// The element.
        element: Element,
        /// The distance between two values.
        step: Span,
    },
    /// The answer leaves something to the next request that nobody asked for.
    #[error("the answer leaves {elements} to the next request, which nobody asked for")]
    UnaskedRest {
        /// The elements.
        elements: ElementPattern,
    },
}

impl From<ConversationError> for PullError {
    /// Says "request" where a conversation says "message": a supplier sends nothing else.
    fn from(error: ConversationError) -> Self {
        match error {
            ConversationError::Random(error) => Self::Random(error),
            ConversationError::Content(error) => Self::Request(error),
            ConversationError::Seal(error) => Self::Seal(error),
            ConversationError::OtherMessage => Self::OtherRequest,
            ConversationError::Refused { code, reason } => Self::Refused { code, reason },
            error @ (ConversationError::Archive(_)
            | ConversationError::Keep(_)
            | ConversationError::Exchange(_)
            | ConversationError::Open(_)
            | ConversationError::Answer(_)
            | ConversationError::Party(_)
            | ConversationError::OtherGateway { .. }
            | ConversationError::Freshness(_)) => Self::Conversation(error),
        }
    }
}

/// Pulls from one gateway.
#[derive(Debug, Clone, Copy)]
pub struct Pull<'a> {
    home: &'a Home,
    guid: CardId,
    exchange: &'a Exchange,
    clock: fn() -> Timestamp,
}

impl<'a> Pull<'a> {
    /// Prepares pulls; nothing is sent yet. `clock` is read when a request is written and sealed,
    /// and when its answer is checked.
    #[must_use]
    pub const fn new(home: &'a Home, guid: CardId, exchange: &'a Exchange, clock: fn() -> Timestamp) -> Self {
        Self {
            home,
            guid,
            exchange,
            clock,
        }
    }

    /// Asks the gateway and returns its answer, decrypted and checked.
    ///
    /// Both messages go into the archive as they are sent and received, the answer even if it is
    /// refused afterwards.
    ///
    /// # Errors
    ///
    /// [`PullError`] names what failed: the way, the gateway's refusal, or the check of its answer.
    pub async fn ask(&self, queries: &[Query], archive: Option<&mut Archive>) -> Result<Answer, PullError> {
        let request = self.request(queries)?;
        self.send(&request, archive, &mut KeepNothing).await
    }

    /// Asks the gateway, and again for what an answer leaves; returns every answer, decrypted and checked.
    ///
    /// # Errors
    ///
    /// As [`Pull::ask`].
    pub async fn ask_all(
        &self,
        queries: &[Query],
        mut archive: Option<&mut Archive>,
    ) -> Result<Vec<Answer>, PullError> {
        let mut answers = Vec::new();
        let mut due = queries.to_vec();
        for _ in 0..MAX_PAGES {
            if due.is_empty() {
                break;
            }
            let answer = self.ask(&due, archive.as_deref_mut()).await?;
            due.clone_from(&answer.rest);
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Writes a request.
    pub(crate) fn request(&self, queries: &[Query]) -> Result<Request, PullError> {
        Ok(Request {
            id: MessageId::new(*random::bytes()?),
            sender: self.home.party().sig.certificate().fingerprint(),
            recipient: self.guid,
            time: (self.clock)(),
            queries: queries.to_vec(),
        })
    }

    /// Sends a request; everything that the gateway says is kept before it has its receipt.
    pub(crate) async fn send(
        &self,
        request: &Request,
        archive: Option<&mut Archive>,
        keeper: &mut impl Keeper,
    ) -> Result<Answer, PullError> {
        let card = self.home.gateway(self.guid, (self.clock)())?;
        let content = Content::Request(request.clone());
        let conversation =
            Conversation::new(self.home.identity(), &card, self.guid, self.exchange, self.clock);
        let mut conversation = conversation.kept_in(archive);
        let answer = conversation.ask_keeping(&content, keeper).await?;
        check(answer, request)
    }
}

/// Takes an answer to the request, and nothing else.
fn check(content: Content, request: &Request) -> Result<Answer, PullError> {
    match content {
        Content::Answer(answer) if answer.supplier == request.sender => {
            check_answer(&answer, &request.queries)?;
            Ok(answer)
        }
        Content::Answer(_) => Err(PullError::OtherRequest),
        Content::Request(_)
        | Content::Refused(_)
        | Content::Bundle(_)
        | Content::Report(_)
        | Content::ReportRequest(_)
        | Content::Application(_)
        | Content::InstallationRequest(_)
        | Content::CardCommands(_)
        | Content::CardAnswers(_)
        | Content::Push(_)
        | Content::Receipt(_) => Err(PullError::Unexpected),
    }
}

/// Checks that an answer has, and leaves, nothing that nobody asked for.
pub(crate) fn check_answer(answer: &Answer, queries: &[Query]) -> Result<(), PullError> {
    check_series(answer, queries)?;
    check_rest(answer, queries)
}

/// Every series answers a query.
fn check_series(answer: &Answer, queries: &[Query]) -> Result<(), PullError> {
    let unasked = answer.series.iter().find(|series| {
        let answers = |query: &Query| {
            query.elements.matches(&series.element)
                && (query.resolution, query.aggregation) == (series.step, series.aggregation)
        };
        !queries.iter().any(answers)
    });
    match unasked {
        Some(series) => Err(PullError::Unasked {
            element: series.element.clone(),
            step: series.step,
        }),
        None => Ok(()),
    }
}

/// What is left is the later part of a query, or all of it.
fn check_rest(answer: &Answer, queries: &[Query]) -> Result<(), PullError> {
    let is_part = |rest: &Query, query: &Query| {
        rest.elements == query.elements
            && (rest.resolution, rest.aggregation) == (query.resolution, query.aggregation)
            && rest.period.from() >= query.period.from()
            && rest.period.to() <= query.period.to()
    };
    let unasked = |rest: &&Query| !queries.iter().any(|query| is_part(rest, query));
    match answer.rest.iter().find(unasked) {
        Some(rest) => Err(PullError::UnaskedRest {
            elements: rest.elements.clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_conversation_are_told_as_those_of_a_request() {
        let refused = ConversationError::Refused {
            code: "SMGW-W-0002".parse().unwrap(),
            reason: "the message is not wanted".parse().unwrap(),
        };
        for (error, text) in [
            (
                ConversationError::Random(RandomError),
                "the request cannot be sealed",
            ),
            (
                ConversationError::Seal(Box::new(SealError::WrongKey)),
                "the request cannot be sealed for the gateway",
            ),
            (
                ConversationError::OtherMessage,
                "the answer is to another request; try again",
            ),
            (
                refused,
                "the gateway refuses the request: the message is not wanted (SMGW-W-0002)",
            ),
        ] {
            assert_eq!(PullError::from(error).to_string(), text);
        }
    }
}
