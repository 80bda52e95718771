//! The TSM's visit to a gateway: first contact with the card itself, then the bundle.
//!
//! The card's commands travel through the gateway's software, which can neither read nor forge
//! what goes through the channel. Version and digest of the bundle are on the card before the
//! bundle comes, so that the gateway takes this bundle and no other.

use card::tsm::{AttestationKey, TsmChannel, TsmError, begin};
use card::{
    Anchor, ApduError, CommandApdu, FileContentError, Point, PointError, ResponseApdu, Signature,
    SupplierEntry, Suppliers,
};
use counterparty::conversation::{Conversation, ConversationError};
use counterparty::exchange::Identity;
use counterparty::random::{self, RandomError};
use getrandom::SysRng;
use messages::certificate::Certificate;
use messages::content::{
    Apdu, Application, CardCommands, Content, MessageId, Piece, Report, ReportRequest, WordError,
};
use messages::keys::Signer;
use messages::software::SoftwareKeyError;
use model::{CardId, Fingerprint, GatewayState};
use rand_core::UnwrapErr;

use crate::bundles::StoredBundle;
use crate::relay::{Relay, RelayError};

/// The reason why a card was not reached, or did not do what it was told. It may be repeated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VisitError {
    /// The conversation with the gateway failed.
    #[error("the conversation with the gateway failed")]
    Conversation(#[from] ConversationError),
    /// The gateway answered with something else than was asked for.
    #[error("the gateway answers {asked} with something else; check that both have the same version")]
    Unexpected {
        /// What was asked for.
        asked: &'static str,
    },
    /// The card and the TSM do not come together.
    #[error("the card does not accept the TSM, or not this bundle")]
    Card(#[from] TsmError),
    /// The card's answers are no APDUs.
    #[error("the gateway passes on something else than its card's answers")]
    Apdu(#[from] ApduError),
    /// A command is longer than a message permits.
    #[error("a command to the card does not fit a message")]
    Word(#[from] WordError),
    /// The TSM's key did not sign.
    #[error("the TSM's key cannot be used")]
    Key(#[from] SoftwareKeyError),
    /// A key of a certificate is none for the card.
    #[error("a certified key is none that the card can use; personalise or certify anew")]
    Point(#[from] PointError),
    /// The suppliers do not fit the card.
    #[error(
        "the card holds {} suppliers, the bundle has {found}; install fewer",
        Suppliers::MAX
    )]
    Suppliers {
        /// How many the bundle has.
        found: usize,
        /// What the card's side says.
        #[source]
        source: FileContentError,
    },
    /// No random bytes could be drawn.
    #[error("no message id can be drawn")]
    Random(#[from] RandomError),
    /// The relay failed.
    #[error("the relay to the card failed")]
    Relay(#[from] RelayError),
    /// The gateway reports another bundle than the one that was sent.
    #[error(
        "the gateway reports bundle {version} ({digest:?}) to be in force, sent was another; repeat the installation"
    )]
    OtherBundle {
        /// The version that it reports.
        version: u64,
        /// The digest that it reports.
        digest: Option<Fingerprint>,
    },
}

/// Puts the bundle in force and returns the state that the gateway reports afterwards.
///
/// `attestation` is the certificate by which the card itself is known, from the trust centre's own books.
pub(crate) async fn visit(
    conversation: &mut Conversation<'_>,
    attestation: &Certificate,
    stored: &StoredBundle,
) -> Result<GatewayState, VisitError> {
    // The gateway keeps it and serves on, until the card vouches for it.
    let report = send(conversation, stored).await?;
    if is_in_force(stored, &report) {
        return Ok(report.state);
    }
    anchor_on_card(conversation, attestation, stored).await?;
    tracing::info!(
        version = stored.bundle.bundle_version,
        "the card vouches for the bundle"
    );
    let report = send(conversation, stored).await?;
    if is_in_force(stored, &report) {
        return Ok(report.state);
    }
    Err(VisitError::OtherBundle {
        version: report.bundle_version,
        digest: report.bundle_digest,
    })
}

/// Sends the bundle; the gateway reports which one is in force.
async fn send(conversation: &mut Conversation<'_>, stored: &StoredBundle) -> Result<Report, VisitError> {
    match conversation.ask_in_bytes(&stored.json, stored.bundle.id).await? {
        Content::Report(report) => Ok(report),
        _ => Err(VisitError::Unexpected { asked: "the bundle" }),
    }
}

fn is_in_force(stored: &StoredBundle, report: &Report) -> bool {
    let reported = (report.bundle_version, report.bundle_digest);
    reported == (stored.bundle.bundle_version, Some(stored.digest))
}

/// Asks the gateway how it is.
pub(crate) async fn ask_report(conversation: &mut Conversation<'_>) -> Result<Report, VisitError> {
    let content = Content::ReportRequest(ReportRequest {
        id: MessageId::new(*random::bytes()?),
        recipient: conversation.guid(),
        time: conversation.now(),
        reply_to: conversation.identity().party.enc.certificate().clone(),
    });
    report_on(conversation, &content, "the question how it is").await
}

/// Sends an energy application, which the gateway keeps until a bundle names it.
pub(crate) async fn send_application(
    conversation: &mut Conversation<'_>,
    digest: Fingerprint,
    bytes: &[u8],
) -> Result<(), VisitError> {
    let content = Content::Application(Application {
        id: MessageId::new(*random::bytes()?),
        recipient: conversation.guid(),
        time: conversation.now(),
        reply_to: conversation.identity().party.enc.certificate().clone(),
        digest,
        content: Piece::cut(bytes),
    });
    let asked = "an application";
    let report = report_on(conversation, &content, asked).await?;
    match report.unit {
        Some(unit) if unit.applications.contains(&digest) => Ok(()),
        _ => Err(VisitError::Unexpected { asked }),
    }
}

async fn report_on(
    conversation: &mut Conversation<'_>,
    content: &Content,
    asked: &'static str,
) -> Result<Report, VisitError> {
    match conversation.ask(content).await? {
        Content::Report(report) => Ok(report),
        _ => Err(VisitError::Unexpected { asked }),
    }
}

/// A way on which commands get to a card, and its answers back.
pub(crate) enum Way<'a, 'b> {
    /// In messages over the WAN, which takes a card that serves its gateway.
    Messages(&'a mut Conversation<'b>),
    /// Line by line through a program, whatever state card and gateway are in.
    Relay(&'a mut Relay),
}

/// Whose card is spoken to, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parties<'a> {
    /// The GUID of the card.
    pub(crate) guid: CardId,
    /// The certificate of the card's attestation key, from the trust centre's own books.
    pub(crate) attestation: &'a Certificate,
    /// The TSM.
    pub(crate) tsm: Identity<'a>,
}

/// Writes version, digest and suppliers through a channel to the card.
async fn anchor_on_card(
    conversation: &mut Conversation<'_>,
    attestation: &Certificate,
    stored: &StoredBundle,
) -> Result<(), VisitError> {
    let parties = Parties {
        guid: conversation.guid(),
        attestation,
        tsm: conversation.identity(),
    };
    let mut way = Way::Messages(conversation);
    let channel = open_channel(&mut way, parties).await?;
    let anchor = Anchor {
        version: stored.bundle.bundle_version,
        digest: stored.digest,
    };
    let (channel, commands) = channel.install(&anchor, &suppliers_of(stored)?)?;
    let answers = way.pass(commands).await?;
    channel.installed(&answers)?;
    Ok(())
}

/// Authenticates to the card and opens the channel that ends in it.
pub(crate) async fn open_channel(
    way: &mut Way<'_, '_>,
    parties: Parties<'_>,
) -> Result<TsmChannel, VisitError> {
    let Parties {
        guid,
        attestation,
        tsm,
    } = parties;
    let (awaiting, commands) = begin(guid, AttestationKey::new(point_of(attestation)?));
    let answers = way.pass(commands).await?;
    let certificate = tsm.party.sig.certificate().as_der();
    let (awaiting, commands) = awaiting.answer(&answers, certificate, &mut UnwrapErr(SysRng), |digest| {
        let signature = (&tsm.keys.sig).sign_digest(digest)?;
        Ok::<_, VisitError>(Signature::from(signature))
    })?;
    let answers = way.pass(commands).await?;
    let channel = awaiting.open(&answers)?;
    tracing::info!(%guid, "the channel to the card is open");
    Ok(channel)
}

impl Way<'_, '_> {
    /// Sends commands to the card and returns its answers.
    pub(crate) async fn pass(&mut self, commands: Vec<CommandApdu>) -> Result<Vec<ResponseApdu>, VisitError> {
        let mut apdus = Vec::with_capacity(commands.len());
        for command in commands {
            apdus.push(Apdu::try_from(command.to_bytes()?.to_vec())?);
        }
        let answers = match self {
            Self::Messages(conversation) => in_a_message(conversation, apdus).await?,
            Self::Relay(relay) => relay.pass(&apdus)?,
        };
        let parse = |answer: &Apdu| ResponseApdu::parse(answer.as_bytes());
        Ok(answers.iter().map(parse).collect::<Result<_, _>>()?)
    }
}

/// Sends commands to the card, in one message, and returns its answers.
async fn in_a_message(
    conversation: &mut Conversation<'_>,
    commands: Vec<Apdu>,
) -> Result<Vec<Apdu>, VisitError> {
    let tsm = conversation.identity();
    let content = Content::CardCommands(CardCommands {
        id: MessageId::new(*random::bytes()?),
        recipient: conversation.guid(),
        time: conversation.now(),
        reply_to: tsm.party.enc.certificate().clone(),
        commands,
    });
    match conversation.ask(&content).await? {
        Content::CardAnswers(answers) => Ok(answers.answers),
        _ => Err(VisitError::Unexpected {
            asked: "the card's commands",
        }),
    }
}

fn suppliers_of(stored: &StoredBundle) -> Result<Suppliers, VisitError> {
    let mut entries = Vec::with_capacity(stored.bundle.suppliers.len());
    for supplier in &stored.bundle.suppliers {
        entries.push(SupplierEntry {
            fingerprint: supplier.certificates.sig.fingerprint(),
            encryption: point_of(&supplier.certificates.enc)?,
        });
    }
    let found = entries.len();
    Suppliers::new(entries).map_err(|source| VisitError::Suppliers { found, source })
}

fn point_of(certificate: &Certificate) -> Result<Point, PointError> {
    Point::try_from(certificate.public_key().as_sec1().as_slice())
}
