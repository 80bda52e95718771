//! One exchange: a message comes in, the answer to it goes out.
//!
//! The way of a message: opened with the card's key, its sender verified, its content read, its
//! freshness and novelty checked, then answered. Everything here blocks on the card and the store
//! and runs where that is permitted.

use std::net::SocketAddr;
use std::sync::Arc;

use card::{CardError, Partner, StatusWord};
use messages::certificate::{Role, VerifiedCertificate};
use messages::content::{self, Content, MessageId};
use messages::envelope::{self, EnvelopeRandom, OpenError, Opened, Sender};
use model::{Fingerprint, GatewayState, KeySlot, LogEvent, LogText, Span, SystemEvent, Timestamp};
use store::{Receipt, Remembered, Store};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::answer::{self, Note, Room, Sources, Written};
use super::condition::Condition;
use super::install::{self, Waiting};
use super::rejection::Rejection;
use crate::applications::Frame;
use crate::card::{CardFault, CardHandle, CardKeys, Identity, Standing, check_validity};
use crate::clock;
use crate::journal::Journal;
use crate::metering::MeterView;
use crate::mounts::Finding;
use crate::random;
use crate::status::reported;

/// How far the time of a message may lie from the gateway's, in seconds.
const FRESHNESS_SECONDS: u32 = 300;

/// Answers messages.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(super) card: CardHandle,
    pub(super) store: Arc<Store>,
    pub(super) journal: Journal,
    pub(super) waiting: Waiting,
    /// What is in memory of the meters.
    meters: watch::Receiver<Vec<MeterView>>,
    registration_period: Span,
    standing: watch::Receiver<Standing>,
    condition: Condition,
    /// What applications have to get along with.
    pub(super) frame: Frame,
}

/// Writes what is answered; no supplier is given anything by it.
fn written(content: &Content) -> Result<Written, Rejection> {
    Ok(Written {
        id: content.id(),
        json: Zeroizing::new(content.to_json()?),
        notes: Vec::new(),
        asked: Vec::new(),
    })
}

/// A message that goes back to who sent one.
pub(super) struct Sealed {
    /// Its id.
    pub(super) id: MessageId,
    /// The message (DER).
    pub(super) bytes: Vec<u8>,
    /// Whom it is for.
    pub(super) partner: Partner,
}

/// What became of a message.
pub(super) enum Outcome {
    /// It is answered.
    Answered(Sealed),
    /// It was a receipt: nothing goes back, and what it is for is forgotten.
    Received,
}

/// What a way says of a message before it is opened, and what it bears.
pub(super) struct Way {
    /// The party that the way names as the sender, by the fingerprint of its SIG certificate; absent if it names none.
    pub(super) party: Option<Fingerprint>,
    /// The length of the longest answer that it bears, in bytes.
    pub(super) longest: usize,
}

/// To whom an answer goes.
struct Reply {
    partner: Partner,
    recipient: VerifiedCertificate,
    in_reply_to: MessageId,
}

impl Exchange {
    /// Builds the exchange over the card, the store, the logs and the standing that decides what is served. `findings`
    /// are those of the start, for the reports to the TSM; `meters` is what the latest values are answered from; `frame` is
    /// what the applications of a bundle have to get along with.
    pub(crate) fn new(
        card: CardHandle,
        store: Arc<Store>,
        journal: Journal,
        standing: watch::Receiver<Standing>,
        findings: Arc<[Finding]>,
        meters: watch::Receiver<Vec<MeterView>>,
        frame: Frame,
    ) -> Self {
        Self {
            condition: Condition::new(findings, Arc::clone(&store), journal.clone()),
            card,
            store,
            journal,
            waiting: Waiting::default(),
            frame,
            meters,
            registration_period: frame.period,
            standing,
        }
    }

    /// Returns what queries are answered from.
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources {
            store: &self.store,
            meters: &self.meters,
            registration_period: self.registration_period,
            held: &[],
        }
    }

    /// Returns what is in memory of the meters, as it changes.
    pub(super) fn meters(&self) -> watch::Receiver<Vec<MeterView>> {
        self.meters.clone()
    }

    /// Returns the identity to serve with, if the gateway serves at all.
    pub(super) fn serving(&self) -> Result<(GatewayState, Arc<Identity>), Rejection> {
        let standing = self.standing.borrow();
        match &standing.identity {
            Some(identity) if standing.answers() => Ok((standing.state, Arc::clone(identity))),
            _ => Err(Rejection::NotServing {
                cause: standing.state.cause(),
            }),
        }
    }

    /// Answers a message with a message, and logs it if it is rejected.
    pub(super) fn handle_from(&self, peer: SocketAddr, message: &[u8]) -> Result<Outcome, Rejection> {
        let way = Way {
            party: None,
            longest: envelope::MAX_MESSAGE,
        };
        self.handle(message, &way)
            .inspect_err(|rejection| self.note_rejected(rejection, Some(&peer.ip().to_string())))
    }

    /// Logs that a message was rejected whose sender is not known.
    pub(super) fn note_rejected(&self, rejection: &Rejection, peer: Option<&str>) {
        self.journal.note_outside(SystemEvent::MessageRejected {
            code: LogText::cut(rejection.code()),
            sender: None,
            peer: peer.map(LogText::cut),
        });
    }

    /// Answers a message with a message.
    pub(super) fn handle(&self, message: &[u8], way: &Way) -> Result<Outcome, Rejection> {
        let now = clock::now();
        let (state, identity) = self.serving()?;
        let keys = |sender: &VerifiedCertificate| CardKeys::new(self.card.clone(), partner_of(sender));
        let certificate = identity.card.enc.certificate();
        let opened =
            envelope::open_from(message, &identity.anchor, now, certificate, keys).map_err(unopened)?;
        let content = Content::parse(&opened.content)?;
        content.check_sender(&opened.sender)?;
        content.check_recipient(identity.guid)?;
        let sender = opened.sender.certificate().fingerprint();
        if way.party.is_some_and(|party| party != sender) {
            return Err(Rejection::OtherParty);
        }
        if let Content::Receipt(receipt) = &content {
            return self.take_receipt(receipt);
        }
        self.check_novelty(&content, now)?;
        let reply = reply_to(&content, &opened, &identity, state, now)?;
        self.introduce(&reply)?;
        let outcome = refuse_under_alarm(&content, state);
        let room = Room::of_message(way.longest);
        let responded = outcome.and_then(|()| self.respond(&content, &opened, &identity, now, room));
        let mut response = match responded {
            Ok(response) => response,
            Err(Rejection::CardTerminated) => return Err(Rejection::CardTerminated),
            Err(rejection) => {
                tracing::warn!(
                    sender = %opened.sender.name(),
                    message = %content.id(),
                    code = rejection.code(),
                    "refused: {}",
                    rejection.reason()
                );
                self.journal.note_outside(SystemEvent::MessageRejected {
                    code: LogText::cut(rejection.code()),
                    sender: Some(LogText::cut(opened.sender.name().as_str())),
                    peer: None,
                });
                written(&refused(&rejection, &reply, &identity, now)?)?
            }
        };
        let recipient = (reply.partner, &reply.recipient);
        let mut sealed = self.seal(&response.json, recipient, &identity, now)?;
        if sealed.len() > way.longest {
            let rejection = Rejection::AnswerTooLarge { limit: way.longest };
            response = written(&refused(&rejection, &reply, &identity, now)?)?;
            sealed = self.seal(&response.json, recipient, &identity, now)?;
        }
        // What the consumer's log does not have has never left the gateway.
        let bytes = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        let content = self.keep(&response, now)?;
        let notes = response
            .notes
            .into_iter()
            .map(|note| note.into_event(bytes, content));
        self.journal.write(notes.map(LogEvent::from))?;
        // Nor has what was granted, and has to wait from then on, without its time.
        self.store.database().remember_asked(&response.asked, now)?;
        Ok(Outcome::Answered(Sealed {
            id: response.id,
            bytes: sealed,
            partner: reply.partner,
        }))
    }

    /// Keeps what values leave in, so that the consumer can be shown it; returns the digest that proves it.
    pub(super) fn keep(&self, written: &Written, now: Timestamp) -> Result<Option<Fingerprint>, Rejection> {
        if !written.notes.iter().any(Note::has_values) {
            return Ok(None);
        }
        let kept = self.store.sent().keep(&written.json, now);
        kept.map(Some).map_err(Rejection::Sent)
    }

    /// Forgets what a party says it has. A receipt that comes again, or late, is as good as the first.
    fn take_receipt(&self, receipt: &content::Receipt) -> Result<Outcome, Rejection> {
        let database = self.store.database();
        match database.receipt(receipt.received.as_bytes(), receipt.sender)? {
            Receipt::Forgotten => tracing::debug!(message = %receipt.received, "received by its recipient"),
            Receipt::Unknown => {
                tracing::debug!(message = %receipt.received, "a receipt for nothing that waits")
            }
        }
        Ok(Outcome::Received)
    }

    /// Refuses messages that are not fresh or were received before, across restarts too.
    ///
    /// A bundle is told apart by the version and digest that the card vouches for, and may come
    /// again after a power cut.
    fn check_novelty(&self, content: &Content, now: Timestamp) -> Result<(), Rejection> {
        if matches!(content, Content::Bundle(_)) {
            return Ok(());
        }
        let window = Span::from_seconds(FRESHNESS_SECONDS).unwrap_or(Span::QUARTER_HOUR);
        content::check_freshness(content.time(), now, window)?;
        // A message is fresh from a window before its time to a window after it.
        let expires = now.saturating_add(window).saturating_add(window);
        match self
            .store
            .database()
            .remember_request(content.id().as_bytes(), expires, now)?
        {
            Remembered::Fresh => Ok(()),
            Remembered::Replayed => Err(Rejection::Replayed),
        }
    }

    /// Shows the card the TSM's certificate, so that it agrees keys with it.
    fn introduce(&self, reply: &Reply) -> Result<(), Rejection> {
        if reply.partner == Partner::Tsm {
            let certificate = reply.recipient.certificate().as_der().to_vec();
            self.card
                .call(move |session| session.introduce_tsm(&certificate))?;
        }
        Ok(())
    }

    fn respond(
        &self,
        content: &Content,
        opened: &Opened,
        identity: &Identity,
        now: Timestamp,
        room: Room,
    ) -> Result<Written, Rejection> {
        let content = match content {
            Content::Request(request) => {
                let bundle = identity.bundle.as_ref().ok_or(Rejection::NoGrant)?;
                return answer::answer(request, bundle, self.sources(), identity.guid, now, room);
            }
            Content::CardCommands(commands) => self.pass(commands, identity, now)?,
            Content::Bundle(bundle) => {
                install::take(self, bundle, opened, identity)?;
                self.report(bundle.id, None, now)?
            }
            Content::Application(application) => {
                install::keep_application(&self.store, application, &identity.anchor)?;
                self.report_on_unit(application.id, now)?
            }
            Content::ReportRequest(request) => self.report_on_unit(request.id, now)?,
            Content::InstallationRequest(_)
            | Content::Answer(_)
            | Content::Report(_)
            | Content::CardAnswers(_)
            | Content::Refused(_)
            | Content::Push(_)
            | Content::Receipt(_) => return Err(Rejection::WrongKind),
        };
        written(&content)
    }

    /// Passes the TSM's commands to the card; what they mean is between those two.
    fn pass(
        &self,
        commands: &content::CardCommands,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<Content, Rejection> {
        let mut answers = Vec::with_capacity(commands.commands.len());
        let mut has_bundle = false;
        for command in &commands.commands {
            let bytes = command.as_bytes().to_vec();
            check_validity(&bytes, &identity.anchor, now).map_err(CardFault::TsmCertificate)?;
            let (answer, kept) = self.pass_one(bytes)?;
            has_bundle |= kept;
            let answer = content::Apdu::try_from(answer.to_vec());
            answers.push(answer.map_err(|_| Rejection::WrongKind)?);
        }
        if has_bundle {
            self.card.examine()?;
        }
        Ok(Content::CardAnswers(content::CardAnswers {
            id: MessageId::new(random::bytes()?),
            in_reply_to: commands.id,
            gateway: identity.guid,
            time: now,
            answers,
        }))
    }

    /// Passes one command. If the card vouches for the bundle that waits from then on, the bundle is stored before anybody
    /// else speaks to the card, so that there is no moment with neither; returns with the answer whether it was. A card that
    /// has just ended its life can neither seal nor sign an answer; it is asked before anybody else notices and lets go of it.
    fn pass_one(&self, command: Vec<u8>) -> Result<(Zeroizing<Vec<u8>>, bool), Rejection> {
        let (store, journal) = (Arc::clone(&self.store), self.journal.clone());
        let waiting = self.waiting.clone();
        let passed = self.card.call(move |session| {
            let answer = session.pass(&command)?;
            let anchor = if waiting.is_some() {
                session.anchor().ok()
            } else {
                None
            };
            let waited = anchor.and_then(|anchor| waiting.take(anchor.digest));
            let kept = waited.map(|waited| install::keep(&store, &journal, &waited));
            if let Some(Err(rejection)) = &kept {
                // The TSM gets the card's answers all the same, and sends the bundle again.
                tracing::warn!(
                    code = rejection.code(),
                    "the bundle is not stored: {}",
                    rejection.reason()
                );
            }
            session.life_cycle()?;
            Ok((answer, matches!(kept, Some(Ok(())))))
        });
        match passed {
            Err(CardFault::Card(
                CardError::SessionEnded { status, .. } | CardError::Refused { status, .. },
            )) if status == StatusWord::TERMINATED => Err(Rejection::CardTerminated),
            passed => Ok(passed?),
        }
    }

    /// Reports to the TSM what is in force now, and how the unit is otherwise.
    fn report_on_unit(&self, in_reply_to: MessageId, now: Timestamp) -> Result<Content, Rejection> {
        let (_, identity) = self.serving()?;
        let unit = self.condition.report(&identity.card)?;
        self.report(in_reply_to, Some(unit), now)
    }

    /// Reports to the TSM what is in force now.
    fn report(
        &self,
        in_reply_to: MessageId,
        unit: Option<content::UnitReport>,
        now: Timestamp,
    ) -> Result<Content, Rejection> {
        let (state, identity) = self.serving()?;
        let bundle = identity.bundle.as_ref();
        Ok(Content::Report(content::Report {
            id: MessageId::new(random::bytes()?),
            in_reply_to,
            gateway: identity.guid,
            time: now,
            bundle_version: bundle.map_or(0, |bundle| bundle.version),
            bundle_digest: bundle.map(|bundle| bundle.digest),
            state: match &unit {
                Some(unit) if !unit.findings.is_empty() => reported(state, true),
                _ => state,
            },
            unit,
        }))
    }

    /// Encrypts a content for its recipient, and has the card sign it.
    pub(super) fn seal(
        &self,
        json: &[u8],
        (partner, recipient): (Partner, &VerifiedCertificate),
        identity: &Identity,
        now: Timestamp,
    ) -> Result<Vec<u8>, Rejection> {
        let keys = CardKeys::new(self.card.clone(), partner);
        let sender = Sender {
            certificate: identity.card.sig.certificate(),
            issuing: identity.anchor.issuing_of(identity.card.sig.certificate()),
            signer: keys.clone(),
            agreement: keys,
        };
        let random = EnvelopeRandom::new(Zeroizing::new(random::bytes()?));
        envelope::seal(json, recipient, sender, &random, now)
            .map_err(|error| Rejection::Seal(Box::new(error)))
    }
}

/// Whoever is not the TSM has to be on the card's list of suppliers.
fn partner_of(sender: &VerifiedCertificate) -> Partner {
    match sender.role() {
        Role::Tsm => Partner::Tsm,
        Role::Supplier
        | Role::TrustCenter
        | Role::IssuingAuthority
        | Role::Card
        | Role::Broker
        | Role::Facility => Partner::Supplier(sender.certificate().fingerprint()),
    }
}

/// The card opens no message of a supplier that is not on its list.
fn unopened(error: OpenError<CardFault>) -> Rejection {
    match error {
        OpenError::KeyAgreement(CardFault::Card(CardError::Refused {
            status: StatusWord::CONDITIONS | StatusWord::REFERENCE_NOT_FOUND,
            ..
        })) => Rejection::NoGrant,
        error => error.into(),
    }
}

/// Finds out to whom the answer goes: the TSM says so itself, suppliers stand in the bundle.
fn reply_to(
    content: &Content,
    opened: &Opened,
    identity: &Identity,
    state: GatewayState,
    now: Timestamp,
) -> Result<Reply, Rejection> {
    let tsm = |certificate| identity.anchor.verify(certificate, now, Role::Tsm, KeySlot::Enc);
    let (partner, recipient) = match content {
        Content::CardCommands(body) => (Partner::Tsm, tsm(&body.reply_to).map_err(Rejection::ReplyTo)?),
        Content::Bundle(body) => (Partner::Tsm, tsm(&body.reply_to).map_err(Rejection::ReplyTo)?),
        Content::Application(body) => (Partner::Tsm, tsm(&body.reply_to).map_err(Rejection::ReplyTo)?),
        Content::ReportRequest(body) => (Partner::Tsm, tsm(&body.reply_to).map_err(Rejection::ReplyTo)?),
        Content::Request(_) => {
            let fingerprint = opened.sender.certificate().fingerprint();
            let bundle = identity.bundle.as_ref().filter(|_| may_ask(state));
            let supplier = bundle.and_then(|bundle| bundle.supplier(fingerprint));
            let certificates = &supplier.ok_or(Rejection::NoGrant)?.certificates;
            let supplier = identity.anchor.verify_party(certificates, now, Role::Supplier);
            let supplier = supplier.map_err(Rejection::ReplyTo)?;
            (Partner::Supplier(fingerprint), supplier.enc)
        }
        Content::InstallationRequest(_)
        | Content::Answer(_)
        | Content::Report(_)
        | Content::CardAnswers(_)
        | Content::Refused(_)
        | Content::Push(_)
        | Content::Receipt(_) => return Err(Rejection::WrongKind),
    };
    Ok(Reply {
        partner,
        recipient,
        in_reply_to: content.id(),
    })
}

/// Refuses suppliers while a log is full or lost.
const fn refuse_under_alarm(content: &Content, state: GatewayState) -> Result<(), Rejection> {
    match (content, state) {
        (Content::Request(_), GatewayState::StorageFull) => Err(Rejection::StorageFull),
        (Content::Request(_), GatewayState::Degraded) => Err(Rejection::LogDamaged),
        _ => Ok(()),
    }
}

/// Suppliers get an answer when they are served, and when they are to know that a log is full or lost.
const fn may_ask(state: GatewayState) -> bool {
    state.serves_suppliers() || matches!(state, GatewayState::StorageFull | GatewayState::Degraded)
}

/// Says to somebody who is known why the message is refused.
fn refused(
    rejection: &Rejection,
    reply: &Reply,
    identity: &Identity,
    now: Timestamp,
) -> Result<Content, Rejection> {
    let reason: String = rejection
        .public_reason()
        .chars()
        .filter(|character| !character.is_control())
        .take(content::RefusalReason::MAX_LENGTH)
        .collect();
    Ok(Content::Refused(content::Refused {
        id: MessageId::new(random::bytes()?),
        in_reply_to: reply.in_reply_to,
        gateway: identity.guid,
        time: now,
        code: rejection.code().parse().map_err(|_| Rejection::WrongKind)?,
        reason: reason.parse().map_err(|_| Rejection::WrongKind)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Content {
        let time: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let elements = model::ElementPattern::ANY;
        let period = model::Period::new(time.saturating_sub(Span::DAY), time).unwrap();
        Content::Request(content::Request {
            id: MessageId::new([1; 16]),
            sender: Fingerprint::new([2; 32]),
            recipient: "fd5a::1".parse().unwrap(),
            time,
            queries: vec![model::Query {
                elements,
                period,
                resolution: Span::QUARTER_HOUR,
                aggregation: model::Aggregation::Value,
            }],
        })
    }

    #[test]
    fn suppliers_are_told_by_name_why_a_log_keeps_them_from_being_served() {
        for (state, code) in [
            (GatewayState::StorageFull, "storage-full"),
            (GatewayState::Degraded, "log-damaged"),
        ] {
            assert!(may_ask(state), "{state}");
            let rejection = refuse_under_alarm(&request(), state).unwrap_err();
            assert_eq!(rejection.code(), code);
        }
        assert!(refuse_under_alarm(&request(), GatewayState::Operational).is_ok());
        assert!(!may_ask(GatewayState::Tampered));
    }

    #[test]
    fn trust_centre_is_heard_while_a_log_is_full_or_lost() {
        let commands = Content::CardAnswers(content::CardAnswers {
            id: MessageId::new([1; 16]),
            in_reply_to: MessageId::new([2; 16]),
            gateway: "fd5a::1".parse().unwrap(),
            time: "2026-11-23T12:00:00Z".parse().unwrap(),
            answers: Vec::new(),
        });
        for state in [GatewayState::StorageFull, GatewayState::Degraded] {
            assert!(refuse_under_alarm(&commands, state).is_ok(), "{state}");
        }
    }
}
