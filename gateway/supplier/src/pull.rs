//! A pull: queries become a sealed request, and the gateway's answer is opened and checked.

use counterparty::archive::{Archive, ArchiveError};
use counterparty::exchange::{Exchange, ExchangeError};
use counterparty::random::{self, RandomError};
use getrandom::SysRng;
use messages::certificate::VerifiedParty;
use messages::content::{
    Answer, Content, ContentError, FreshnessError, MessageId, PartyError, RefusalCode, RefusalReason,
    Request, check_freshness,
};
use messages::envelope::{EnvelopeRandom, OpenError, SealError, Sender, open, seal};
use messages::software::{SoftwareEphemeral, SoftwareKeyError};
use model::{CardId, Element, Query, Span, Timestamp};

use crate::gateways::GatewayError;
use crate::home::Home;

/// How old an answer may be, or how far the gateway's clock may run ahead, in seconds.
const FRESHNESS_SECONDS: u32 = 300;

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
    /// A message could not be kept.
    #[error("the messages cannot be kept")]
    Archive(#[from] ArchiveError),
    /// There was no answer.
    #[error("the gateway gave no answer")]
    Exchange(#[from] ExchangeError),
    /// The answer could not be opened.
    #[error("the gateway's answer cannot be opened")]
    Open(#[source] Box<OpenError<SoftwareKeyError>>),
    /// The answer is no content of this system.
    #[error("the gateway's answer cannot be read; check that both have the same version")]
    Content(#[source] ContentError),
    /// The answer is by somebody who may not give it.
    #[error("the answer is not the gateway's")]
    Party(#[from] PartyError),
    /// The answer is by another gateway.
    #[error("the answer is by the gateway {found:?}, asked was {asked}; check address and GUID")]
    OtherGateway {
        /// Who was asked.
        asked: CardId,
        /// Who answered.
        found: Option<CardId>,
    },
    /// The answer is to another message, or to another supplier's.
    #[error("the answer is to another request; try again")]
    OtherRequest,
    /// The answer is not fresh.
    #[error("the answer is not fresh; check the clocks of both")]
    Freshness(#[from] FreshnessError),
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
    /// Prepares pulls; nothing is sent yet. `clock` is read once when a request is written and once
    /// when its answer is checked.
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
        let now = (self.clock)();
        let card = self.home.gateway(self.guid, now)?;
        let request = Request {
            id: MessageId::new(*random::bytes()?),
            sender: self.home.party().sig.certificate().fingerprint(),
            recipient: self.guid,
            time: now,
            queries: queries.to_vec(),
        };
        let message = self.seal(request.clone(), &card, now)?;
        let kept = archive
            .map(|archive| archive.keep_request(&message))
            .transpose()?;
        let message = self.exchange.post(message).await?;
        if let Some(kept) = kept {
            kept.keep_answer(&message)?;
        }
        self.open(&message, &request)
    }

    fn seal(&self, request: Request, card: &VerifiedParty, now: Timestamp) -> Result<Vec<u8>, PullError> {
        let json = Content::Request(request).to_json().map_err(PullError::Request)?;
        let sender = Sender {
            certificate: self.home.party().sig.certificate(),
            signer: &self.home.keys().sig,
            agreement: SoftwareEphemeral::new(SysRng),
        };
        let random = EnvelopeRandom::new(random::bytes()?);
        seal(&json, &card.enc, sender, &random, now).map_err(|error| PullError::Seal(Box::new(error)))
    }

    fn open(&self, message: &[u8], request: &Request) -> Result<Answer, PullError> {
        let (now, anchor) = ((self.clock)(), self.home.anchor());
        let (certificate, key) = (self.home.party().enc.certificate(), &self.home.keys().enc);
        let opened =
            open(message, anchor, now, certificate, key).map_err(|error| PullError::Open(Box::new(error)))?;
        let content = Content::parse(&opened.content).map_err(PullError::Content)?;
        content.check_sender(&opened.sender)?;
        if opened.sender.card_id() != Some(self.guid) {
            return Err(PullError::OtherGateway {
                asked: self.guid,
                found: opened.sender.card_id(),
            });
        }
        if content.in_reply_to() != Some(request.id) {
            return Err(PullError::OtherRequest);
        }
        let window = Span::from_seconds(FRESHNESS_SECONDS).unwrap_or(Span::QUARTER_HOUR);
        check_freshness(content.time(), now, window)?;
        match content {
            Content::Answer(answer) if answer.supplier == request.sender => {
                check_series(&answer, &request.queries)?;
                Ok(answer)
            }
            Content::Answer(_) => Err(PullError::OtherRequest),
            Content::Refused(refused) => Err(PullError::Refused {
                code: refused.code,
                reason: refused.reason,
            }),
            Content::Request(_)
            | Content::Bundle(_)
            | Content::Report(_)
            | Content::CardCommands(_)
            | Content::CardAnswers(_) => Err(PullError::Unexpected),
        }
    }
}

/// Every series answers a query.
fn check_series(answer: &Answer, queries: &[Query]) -> Result<(), PullError> {
    let unasked = answer.series.iter().find(|series| {
        let answers =
            |query: &Query| query.elements.matches(&series.element) && query.resolution == series.step;
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
