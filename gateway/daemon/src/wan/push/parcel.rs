//! What is put into the outbox: decided, logged, encrypted and signed as if the supplier had asked for it.

use std::slice;

use authorization::{Asker, Occasion, Rules, decide};
use card::Partner;
use messages::certificate::{Role, VerifiedCertificate};
use messages::content::{Answer, Content, Delivered, MessageId, Push, Request};
use model::{CardId, Fingerprint, Grant, LogEvent, Period, Query, Reading, Timestamp};
use sha2::{Digest, Sha256};
use store::{OutboxError, OutboxMessage};

use crate::card::{Bundle, Identity};
use crate::grants::{Pacing, Restrictions};
use crate::wan::answer::{Desk, Note, Room, Written};
use crate::wan::exchange::Exchange;
use crate::wan::rejection::Rejection;

/// How many messages one period takes at most; what is left then is for the supplier to pull.
const MAX_PARTS: u32 = 32;

/// How many rules a resolution is made coarser by, one after the other; what is left then is for the supplier to pull.
const MAX_COARSER: usize = 8;

/// What is to be sent by a grant.
pub(super) struct Parcel<'a> {
    /// The grant.
    pub(super) grant: &'a Grant,
    /// The time that it is for.
    pub(super) period: Period,
    /// What is asked of the grant for it.
    pub(super) queries: Vec<Query>,
    /// By which delivery rule, if by one, and why.
    pub(super) delivery: Option<Delivered>,
    /// The values that are held in memory for the rule.
    pub(super) held: &'a [Reading],
}

/// Puts what is granted of a parcel into the outbox.
///
/// What a delivery rule has sent is decided by its grant alone: no other grant of the supplier lets more of it through.
pub(super) fn send(
    exchange: &Exchange,
    (identity, bundle): (&Identity, &Bundle),
    parcel: &Parcel<'_>,
    now: Timestamp,
) -> Result<(), Rejection> {
    let grant = parcel.grant;
    let supplier = bundle.supplier(grant.supplier).ok_or(Rejection::NoGrant)?;
    let verified = identity
        .anchor
        .verify_party(&supplier.certificates, now, Role::Supplier);
    let recipient = verified.map_err(Rejection::ReplyTo)?.enc;
    let restrictions = Restrictions::of(&exchange.store, now)?;
    let (grants, pacing) = match parcel.delivery {
        Some(_) => (slice::from_ref(grant), Pacing::Delivered),
        None => (bundle.grants(), Pacing::Scheduled),
    };
    let rules = Rules {
        grants,
        policy: bundle.policy(),
        restrictions: &restrictions,
    };
    let asker = Asker {
        supplier: grant.supplier,
        name: supplier.name.as_str(),
    };
    let asked = parcel.queries.iter().cloned();
    let mut queries: Vec<Query> = asked
        .map(|query| as_fine_as_is_left(query, asker, (&rules, pacing), now))
        .collect();
    for part in 0..MAX_PARTS {
        let id = id_of(
            identity.guid,
            grant,
            (parcel.period, parcel.delivery.as_ref()),
            part,
        );
        let request = Request {
            id,
            sender: grant.supplier,
            recipient: identity.guid,
            time: now,
            queries,
        };
        let desk = Desk {
            request: &request,
            rules,
            pacing,
            name: supplier.name.as_str(),
            sources: exchange.sources().with(parcel.held),
            now,
        };
        let push = parcel.push(id, identity.guid, now)?;
        let wrap = |answer: Answer| {
            Content::Push(Push {
                series: answer.series,
                ..push.clone()
            })
        };
        let room = Room::of_message(OutboxMessage::MAX_CONTENT);
        let (written, rest) = desk.write(identity.guid, room, wrap)?;
        if written.notes.iter().any(Note::has_values) {
            put(exchange, written, (grant.supplier, &recipient), identity, now)?;
        }
        queries = rest;
        if queries.is_empty() {
            return Ok(());
        }
    }
    tracing::warn!(
        grant = grant.id,
        "a period has more than {MAX_PARTS} messages hold; the supplier has to pull the rest"
    );
    Ok(())
}

impl Parcel<'_> {
    /// Returns the content that the values go into.
    fn push(&self, id: MessageId, gateway: CardId, now: Timestamp) -> Result<Push, Rejection> {
        Ok(Push {
            id,
            gateway,
            supplier: self.grant.supplier,
            time: now,
            grant: self.grant.id.parse().map_err(|_| Rejection::WrongKind)?,
            period: self.period,
            delivery: self.delivery.clone(),
            series: Vec::new(),
        })
    }
}

/// Seals a message, has the consumer's log say so, and puts it into the outbox.
fn put(
    exchange: &Exchange,
    written: Written,
    (supplier, recipient): (Fingerprint, &VerifiedCertificate),
    identity: &Identity,
    now: Timestamp,
) -> Result<(), Rejection> {
    let partner = (Partner::Supplier(supplier), recipient);
    let content = exchange.seal(&written.json, partner, identity, now)?;
    let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
    let kept = exchange.keep(&written, now)?;
    let notes = written.notes.into_iter().map(|note| note.into_event(bytes, kept));
    exchange.journal.write(notes.map(LogEvent::from))?;
    queue(exchange, written.id, supplier, content)
}

/// Puts a message into the outbox, unless it is there already.
fn queue(
    exchange: &Exchange,
    id: MessageId,
    recipient: Fingerprint,
    content: Vec<u8>,
) -> Result<(), Rejection> {
    let message = OutboxMessage {
        id: *id.as_bytes(),
        recipient,
        content,
    };
    match exchange.store.database().enqueue(&message) {
        // It was made before a power cut, and waits with other random bytes around the same values.
        Ok(()) | Err(OutboxError::IdTaken) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a query coarser until limits and restrictions leave it, if they do at any resolution.
pub(super) fn as_fine_as_is_left(
    mut query: Query,
    asker: Asker<'_>,
    (rules, pacing): (&Rules<'_>, Pacing),
    now: Timestamp,
) -> Query {
    let occasion = match pacing {
        Pacing::Asked | Pacing::Scheduled => Occasion::Scheduled,
        Pacing::Delivered => Occasion::Delivered,
    };
    for _ in 0..MAX_COARSER {
        let decided = decide(&query, asker, rules, &occasion, now);
        let finest = decided.err().and_then(|denied| denied.reason.finest());
        match finest.and_then(|finest| query.resolution.common_multiple(finest)) {
            Some(coarser) => query.resolution = coarser,
            None => break,
        }
    }
    query
}

/// Names a message of a schedule.
pub(super) fn id_of(
    guid: CardId,
    grant: &Grant,
    (period, delivery): (Period, Option<&Delivered>),
    part: u32,
) -> MessageId {
    let (guid, from, to) = (
        guid.to_string(),
        period.from().to_string(),
        period.to().to_string(),
    );
    let part = part.to_be_bytes();
    // What it permits too: a grant of the same name that comes again with more is another message.
    let elements: Vec<String> = grant.elements.iter().map(ToString::to_string).collect();
    let (elements, finest) = (elements.join(" "), grant.finest.to_string());
    let aggregations: Vec<String> = grant.aggregations.iter().map(ToString::to_string).collect();
    let aggregations = aggregations.join(" ");
    // And its delivery rule, as a whole, with what made it send.
    let rule = grant.delivery.as_deref().map(ToString::to_string);
    let cause = delivery.and_then(|delivery| serde_json::to_string(&delivery.cause).ok());
    let mut texts: Vec<&[u8]> = vec![
        guid.as_bytes(),
        grant.supplier.as_bytes(),
        grant.id.as_bytes(),
        elements.as_bytes(),
        finest.as_bytes(),
        aggregations.as_bytes(),
        from.as_bytes(),
        to.as_bytes(),
        &part,
    ];
    texts.extend(
        rule.as_deref()
            .into_iter()
            .chain(cause.as_deref())
            .map(str::as_bytes),
    );
    MessageId::new(short(&texts))
}

/// Returns the first half of a digest of several texts, each behind its length.
pub(super) fn short(texts: &[&[u8]]) -> [u8; 16] {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(text);
    }
    let digest = digest.finalize();
    digest.first_chunk().copied().unwrap_or_default()
}
