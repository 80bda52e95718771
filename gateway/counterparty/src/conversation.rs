//! What a party and a gateway say to each other: sealed, sent, opened and checked.
//!
//! An answer that comes out of here is by the card that was asked, certified by the trust centre,
//! to the very message that was sent, and fresh. What it says is for the party to judge.

use std::error::Error;
use std::future::Future;

use getrandom::SysRng;
use messages::certificate::VerifiedParty;
use messages::content::{
    Content, ContentError, FreshnessError, MessageId, PartyError, Receipt, RefusalCode, RefusalReason,
    check_freshness,
};
use messages::envelope::{EnvelopeRandom, OpenError, SealError, Sender, open, seal};
use messages::software::{SoftwareEphemeral, SoftwareKeyError};
use model::{CardId, Span, Timestamp};

use crate::archive::{Archive, ArchiveError};
use crate::exchange::{Exchange, ExchangeError, Identity};
use crate::random::{self, RandomError};

/// How old an answer may be, or how far the gateway's clock may run ahead, in seconds.
const FRESHNESS_SECONDS: u32 = 300;

/// The reason why a message has no answer that can be relied on.
#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    /// No random bytes could be drawn.
    #[error("the message cannot be sealed")]
    Random(#[from] RandomError),
    /// The message could not be written.
    #[error("the message cannot be written")]
    Content(#[source] ContentError),
    /// The message could not be sealed.
    #[error("the message cannot be sealed for the gateway")]
    Seal(#[source] Box<SealError<SoftwareKeyError>>),
    /// A message could not be kept.
    #[error("the messages cannot be kept")]
    Archive(#[from] ArchiveError),
    /// What the gateway said could not be kept; it has no receipt for it, and sends it again.
    #[error("what the gateway said cannot be kept")]
    Keep(#[source] Box<dyn Error + Send + Sync>),
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

/// Keeps what a gateway says, before the gateway has its receipt.
pub trait Keeper: Send {
    /// Keeps a content that is by the gateway, with its signed message (DER). Over a broker it may answer a request of
    /// before, and come more than once. When this returns without an error, it must be safe.
    ///
    /// # Errors
    ///
    /// Why it could not be kept; the gateway gets no receipt then.
    fn keep(
        &mut self,
        content: &Content,
        message: &[u8],
    ) -> impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send;

    /// Returns whether it keeps what gateways send by themselves, too; otherwise that gets no receipt.
    fn takes_pushes(&self) -> bool {
        false
    }
}

/// Keeps nothing: whoever asks is content with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepNothing;

impl Keeper for KeepNothing {
    async fn keep(&mut self, _: &Content, _: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

/// A conversation of one party with one gateway.
#[derive(Debug)]
pub struct Conversation<'a> {
    identity: Identity<'a>,
    card: &'a VerifiedParty,
    guid: CardId,
    exchange: &'a Exchange,
    archive: Option<&'a mut Archive>,
    clock: fn() -> Timestamp,
}

impl<'a> Conversation<'a> {
    /// Begins a conversation with the gateway whose card has this GUID and these certificates;
    /// nothing is sent yet. `clock` is read whenever a message is sealed or an answer is checked.
    #[must_use]
    pub const fn new(
        identity: Identity<'a>,
        card: &'a VerifiedParty,
        guid: CardId,
        exchange: &'a Exchange,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            identity,
            card,
            guid,
            exchange,
            archive: None,
            clock,
        }
    }

    /// Keeps every message in the archive, if there is one, as it is sent and received; an answer
    /// even if it is refused afterwards.
    #[must_use]
    pub fn kept_in(self, archive: Option<&'a mut Archive>) -> Self {
        Self { archive, ..self }
    }

    /// Returns whom the conversation is with.
    #[must_use]
    pub const fn guid(&self) -> CardId {
        self.guid
    }

    /// Returns the certificates of the gateway's card.
    #[must_use]
    pub const fn card(&self) -> &'a VerifiedParty {
        self.card
    }

    /// Returns the own side.
    #[must_use]
    pub const fn identity(&self) -> Identity<'a> {
        self.identity
    }

    /// Returns the present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Sends a content and returns the answer.
    ///
    /// # Errors
    ///
    /// [`ConversationError`] names what failed: the way, the gateway's refusal, or the check of its
    /// answer.
    pub async fn ask(&mut self, content: &Content) -> Result<Content, ConversationError> {
        let json = content.to_json().map_err(ConversationError::Content)?;
        self.ask_in_bytes(&json, content.id()).await
    }

    /// Sends a content and returns the answer. Everything that the gateway says is kept before it has its receipt.
    ///
    /// # Errors
    ///
    /// As [`Conversation::ask`], and [`ConversationError::Keep`].
    pub async fn ask_keeping(
        &mut self,
        content: &Content,
        keeper: &mut impl Keeper,
    ) -> Result<Content, ConversationError> {
        let json = content.to_json().map_err(ConversationError::Content)?;
        self.converse(&json, content.id(), keeper).await
    }

    /// Sends a content that is written already, under the id that stands in it, and returns the
    /// answer.
    ///
    /// # Errors
    ///
    /// As [`Conversation::ask`].
    pub async fn ask_in_bytes(&mut self, json: &[u8], id: MessageId) -> Result<Content, ConversationError> {
        self.converse(json, id, &mut KeepNothing).await
    }

    async fn converse(
        &mut self,
        json: &[u8],
        id: MessageId,
        keeper: &mut impl Keeper,
    ) -> Result<Content, ConversationError> {
        let message = self.seal(json)?;
        let archive = self.archive.as_deref_mut();
        let kept = archive
            .map(|archive| archive.keep_request(&message))
            .transpose()?;
        let mut call = self.exchange.call(message).await.map_err(exchange)?;
        let mut first_fault = None;
        let (answer, content) = loop {
            let answer = match call.next().await {
                Ok(Some(answer)) => answer,
                Ok(None) => return Err(first_fault.unwrap_or(ConversationError::OtherMessage)),
                // What could not be opened says more than that nothing else came.
                Err(error) => return Err(first_fault.unwrap_or_else(|| exchange(error))),
            };
            let opened = self.open(&answer);
            if !call.wants_receipts() {
                if let Ok(content) = &opened
                    && content.in_reply_to() == Some(id)
                {
                    keeper
                        .keep(content, &answer)
                        .await
                        .map_err(ConversationError::Keep)?;
                }
                break (answer, opened);
            }
            match opened {
                // It is for whoever keeps what gateways send by themselves, and waits on.
                Ok(Content::Push(_)) if !keeper.takes_pushes() => {}
                Ok(content) => {
                    keeper
                        .keep(&content, &answer)
                        .await
                        .map_err(ConversationError::Keep)?;
                    call.receipt(self.receipt_for(&content)?)
                        .await
                        .map_err(exchange)?;
                    // What answers a message of before is no longer waited for.
                    if content.in_reply_to() == Some(id) {
                        break (answer, Ok(content));
                    }
                }
                Err(error) => first_fault = first_fault.or(Some(error)),
            }
        };
        drop(call);
        if let Some(kept) = kept {
            kept.keep_answer(&answer)?;
        }
        self.check_answer(content?, id)
    }

    /// Takes a message that the gateway has sent by itself: opens it, has it kept, and returns what it says and the receipt
    /// that the gateway gets for it.
    ///
    /// # Errors
    ///
    /// [`ConversationError`] if it is not by the gateway, or cannot be kept; there is no receipt then.
    pub async fn take(
        &self,
        message: &[u8],
        keeper: &mut impl Keeper,
    ) -> Result<(Content, Vec<u8>), ConversationError> {
        let content = self.open(message)?;
        keeper
            .keep(&content, message)
            .await
            .map_err(ConversationError::Keep)?;
        let receipt = self.receipt_for(&content)?;
        Ok((content, receipt))
    }

    fn receipt_for(&self, content: &Content) -> Result<Vec<u8>, ConversationError> {
        let receipt = Content::Receipt(Receipt {
            id: MessageId::new(*random::bytes()?),
            received: content.id(),
            sender: self.identity.party.sig.certificate().fingerprint(),
            recipient: self.guid,
            time: self.now(),
        });
        let json = receipt.to_json().map_err(ConversationError::Content)?;
        self.seal(&json)
    }

    fn seal(&self, json: &[u8]) -> Result<Vec<u8>, ConversationError> {
        let Identity { party, keys, .. } = self.identity;
        let sender = Sender {
            certificate: party.sig.certificate(),
            issuing: self.identity.anchor.issuing_of(party.sig.certificate()),
            signer: &keys.sig,
            agreement: SoftwareEphemeral::new(SysRng),
        };
        let random = EnvelopeRandom::new(random::bytes()?);
        seal(json, &self.card.enc, sender, &random, self.now())
            .map_err(|error| ConversationError::Seal(Box::new(error)))
    }

    /// Opens a message; what comes out is this gateway's.
    fn open(&self, message: &[u8]) -> Result<Content, ConversationError> {
        let Identity { anchor, party, keys } = self.identity;
        let now = self.now();
        let opened = open(message, anchor, now, party.enc.certificate(), &keys.enc)
            .map_err(|error| ConversationError::Open(Box::new(error)))?;
        let content = Content::parse(&opened.content).map_err(ConversationError::Answer)?;
        content.check_sender(&opened.sender)?;
        if opened.sender.card_id() != Some(self.guid) {
            return Err(ConversationError::OtherGateway {
                asked: self.guid,
                found: opened.sender.card_id(),
            });
        }
        Ok(content)
    }

    /// Checks that a content of the gateway's answers this message, and is fresh.
    fn check_answer(&self, content: Content, id: MessageId) -> Result<Content, ConversationError> {
        let now = self.now();
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

fn exchange(error: ExchangeError) -> ConversationError {
    ConversationError::Exchange(Box::new(error))
}
