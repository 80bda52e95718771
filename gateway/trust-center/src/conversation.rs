//! What the TSM and a gateway say to each other: sealed, sent, opened and checked.

use counterparty::exchange::{Exchange, ExchangeError};
use counterparty::random::{self, RandomError};
use getrandom::SysRng;
use messages::certificate::VerifiedParty;
use messages::content::{
    Content, ContentError, FreshnessError, MessageId, PartyError, RefusalCode, RefusalReason, check_freshness,
};
use messages::envelope::{EnvelopeRandom, OpenError, SealError, Sender, open, seal};
use messages::software::{SoftwareEphemeral, SoftwareKeyError};
use model::{CardId, Span, Timestamp};

use crate::authority::Authority;

/// How old an answer may be, or how far the gateway's clock may run ahead, in seconds.
const FRESHNESS_SECONDS: u32 = 300;

/// The reason why a message has no answer that can be relied on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConversationError {
    /// No random bytes could be drawn.
    #[error("the message cannot be sealed")]
    Random(#[from] RandomError),
    /// The message could not be written.
    #[error("the message cannot be written")]
    Content(#[source] ContentError),
    /// The message could not be sealed.
    #[error("the message cannot be sealed for the gateway")]
    Seal(#[source] Box<SealError<SoftwareKeyError>>),
    /// There was no answer.
    #[error("the gateway gave no answer")]
    Exchange(#[source] Box<ExchangeError>),
    /// The answer could not be opened.
    #[error("the gateway's answer cannot be opened")]
    Open(#[source] Box<OpenError<SoftwareKeyError>>),
    /// The answer is no content of this system.
    #[error("the gateway's answer cannot be read; check that both have the same version")]
    Answer(#[source] ContentError),
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
    /// The answer is to another message.
    #[error("the answer is to another message; try again")]
    OtherMessage,
    /// The answer is not fresh.
    #[error("the answer is not fresh; check the clocks of both")]
    Freshness(#[from] FreshnessError),
    /// The gateway refused the message.
    #[error("the gateway refuses the message: {reason} ({code})")]
    Refused {
        /// The stable code.
        code: RefusalCode,
        /// The reason, as a sentence.
        reason: RefusalReason,
    },
}

/// A conversation of the TSM with one gateway.
#[derive(Debug)]
pub(crate) struct Conversation<'a> {
    authority: &'a Authority,
    card: &'a VerifiedParty,
    guid: CardId,
    exchange: &'a Exchange,
    clock: fn() -> Timestamp,
}

impl<'a> Conversation<'a> {
    /// Begins a conversation; nothing is sent yet.
    pub(crate) const fn new(
        authority: &'a Authority,
        card: &'a VerifiedParty,
        guid: CardId,
        exchange: &'a Exchange,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            authority,
            card,
            guid,
            exchange,
            clock,
        }
    }

    /// Returns whom the conversation is with.
    pub(crate) const fn guid(&self) -> CardId {
        self.guid
    }

    /// Returns the gateway's certificates.
    pub(crate) const fn card(&self) -> &VerifiedParty {
        self.card
    }

    /// Returns the TSM's side.
    pub(crate) const fn authority(&self) -> &Authority {
        self.authority
    }

    /// Returns the present time.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Sends a content and returns the answer.
    pub(crate) async fn ask(&self, content: &Content) -> Result<Content, ConversationError> {
        let json = content.to_json().map_err(ConversationError::Content)?;
        self.ask_in_bytes(&json, content.id()).await
    }

    /// Sends a content that is written already and returns the answer.
    pub(crate) async fn ask_in_bytes(
        &self,
        json: &[u8],
        id: MessageId,
    ) -> Result<Content, ConversationError> {
        let message = self.seal(json)?;
        let answer = self.exchange.post(message).await;
        let answer = answer.map_err(|error| ConversationError::Exchange(Box::new(error)))?;
        self.open(&answer, id)
    }

    fn seal(&self, json: &[u8]) -> Result<Vec<u8>, ConversationError> {
        let tsm = self.authority.tsm();
        let sender = Sender {
            certificate: tsm.party.sig.certificate(),
            signer: &tsm.keys.sig,
            agreement: SoftwareEphemeral::new(SysRng),
        };
        let random = EnvelopeRandom::new(random::bytes()?);
        seal(json, &self.card.enc, sender, &random, self.now())
            .map_err(|error| ConversationError::Seal(Box::new(error)))
    }

    /// Opens an answer; what comes out is this gateway's, to this message, and fresh.
    fn open(&self, message: &[u8], id: MessageId) -> Result<Content, ConversationError> {
        let tsm = self.authority.tsm();
        let (anchor, now) = (self.authority.anchor(), self.now());
        let opened = open(message, anchor, now, tsm.party.enc.certificate(), &tsm.keys.enc)
            .map_err(|error| ConversationError::Open(Box::new(error)))?;
        let content = Content::parse(&opened.content).map_err(ConversationError::Answer)?;
        content.check_sender(&opened.sender)?;
        if opened.sender.card_id() != Some(self.guid) {
            return Err(ConversationError::OtherGateway {
                asked: self.guid,
                found: opened.sender.card_id(),
            });
        }
        if content.in_reply_to() != Some(id) {
            return Err(ConversationError::OtherMessage);
        }
        let window = Span::from_seconds(FRESHNESS_SECONDS).unwrap_or(Span::QUARTER_HOUR);
        check_freshness(content.time(), now, window)?;
        match content {
            Content::Refused(refused) => Err(ConversationError::Refused {
                code: refused.code,
                reason: refused.reason,
            }),
            content => Ok(content),
        }
    }
}
