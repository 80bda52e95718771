//! The card as the command line and its JSON show it.

use std::fmt;

use card::{CardKey, LifeCycle};
use messages::certificate::{Certificate, CertificateError};
use model::{CardId, Fingerprint, Timestamp};
use serde::{Deserialize, Serialize};

use super::obstacle::Obstacle;
use crate::report::Chain;

/// Everything that is shown about the card in the reader. The schema is additive within its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CardView {
    pub(super) schema: String,
    /// The reader's name, or the soft card's file; absent while no card could be reached.
    pub(crate) reader: Option<String>,
    /// The card's answer to reset, hexadecimal digits.
    pub(crate) atr: Option<String>,
    /// Whether the card is a file, or a program on a virtual reader: never so in production.
    pub(crate) soft_card: bool,
    pub(crate) life_cycle: Option<LifeCycle>,
    pub(crate) guid: Option<CardId>,
    /// The trust centre that the card trusts.
    pub(crate) trust_centre: Option<String>,
    pub(crate) certificates: Vec<CertificateView>,
    pub(crate) binding: BindingOfCard,
    /// Whether the card was compared with the gateway, which takes the daemon.
    pub(crate) was_compared: bool,
    /// What keeps the card from being bound, or from serving the gateway that it is bound to.
    pub(crate) obstacles: Vec<String>,
    /// The same, each with its stable code and what to do about it.
    #[serde(default)]
    pub(crate) causes: Vec<CauseView>,
}

/// Something that is in the way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CauseView {
    pub(crate) code: String,
    pub(crate) cause: String,
    pub(crate) remedy: String,
}

/// To whom a card is bound, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BindingOfCard {
    /// It could not be read, or was not compared.
    Unknown,
    /// To nobody yet.
    None,
    /// To this gateway, but not yet confirmed.
    Begun,
    /// To this gateway.
    Here,
    /// To another gateway.
    Elsewhere,
}

/// A certificate of the card.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CertificateView {
    pub(crate) key: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// How long it is valid, in words.
    expiry: String,
    /// The SHA-256 digest of the certificate.
    #[serde(default)]
    fingerprint: Option<Fingerprint>,
}

/// The name of the schema and its version.
const SCHEMA: &str = "smgw.card/1";

impl CardView {
    /// The view of a card of which nothing is known yet.
    pub(super) fn new() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            reader: None,
            atr: None,
            soft_card: false,
            life_cycle: None,
            guid: None,
            trust_centre: None,
            certificates: Vec::new(),
            binding: BindingOfCard::Unknown,
            was_compared: false,
            obstacles: Vec::new(),
            causes: Vec::new(),
        }
    }

    /// Notes an obstacle.
    pub(super) fn note(&mut self, obstacle: &Obstacle) {
        let cause = Chain(obstacle).to_string();
        self.obstacles.push(cause.clone());
        self.causes.push(CauseView {
            code: obstacle.code().to_owned(),
            cause,
            remedy: obstacle.remedy().to_owned(),
        });
    }

    /// Returns code, cause and remedy of what is in the way.
    pub(crate) fn causes(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let causes = self.causes.iter();
        causes.map(|view| (view.code.as_str(), view.cause.as_str(), view.remedy.as_str()))
    }

    /// Returns the reader's name, if a card could be reached.
    pub(crate) fn reader(&self) -> Option<&str> {
        self.reader.as_deref()
    }

    /// Returns the GUID, as far as the card says it.
    pub(crate) const fn guid(&self) -> Option<CardId> {
        self.guid
    }

    /// Returns whether the card is a file or a program.
    pub(crate) const fn is_soft(&self) -> bool {
        self.soft_card
    }

    /// Returns the trust centre that the card trusts, as far as the card says it.
    pub(crate) fn trust_centre(&self) -> Option<&str> {
        self.trust_centre.as_deref()
    }

    /// Returns which certificates there are, when each ends, and its SHA-256 digest.
    pub(crate) fn certificate_ends(&self) -> impl Iterator<Item = (&str, Timestamp, Option<Fingerprint>)> {
        let certificates = self.certificates.iter();
        certificates.map(|one| (one.key.as_str(), one.not_after, one.fingerprint))
    }

    /// Returns whether nothing keeps the card from being bound, or from serving this gateway.
    pub(crate) const fn is_in_order(&self) -> bool {
        self.obstacles.is_empty()
    }
}

impl CertificateView {
    pub(super) fn of(
        key: CardKey,
        certificate: &Certificate,
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        let (not_before, not_after) = certificate.validity()?;
        Ok(Self {
            key: key.to_string(),
            not_before,
            not_after,
            expiry: expiry(not_before, not_after, now),
            fingerprint: Some(certificate.fingerprint()),
        })
    }
}

/// Says how long a certificate is valid.
fn expiry(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> String {
    if now < not_before {
        format!(
            "not valid for another {}",
            in_words(not_before.seconds_since(now))
        )
    } else if now > not_after {
        format!("expired {} ago", in_words(now.seconds_since(not_after)))
    } else {
        format!("valid for another {}", in_words(not_after.seconds_since(now)))
    }
}

/// Says a length of time in the greatest unit of which there are two at least.
fn in_words(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [
        (365 * 86_400, "years"),
        (30 * 86_400, "months"),
        (86_400, "days"),
        (3_600, "hours"),
    ];
    let greatest = UNITS
        .into_iter()
        .map(|(length, name)| (seconds / length, name))
        .find(|(count, _)| *count >= 2);
    greatest.map_or_else(
        || format!("{} minutes", seconds / 60),
        |(count, name)| format!("{count} {name}"),
    )
}

impl fmt::Display for BindingOfCard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unknown => "not known",
            Self::None => "to no gateway yet",
            Self::Begun => "to this gateway, not yet confirmed",
            Self::Here => "to this gateway",
            Self::Elsewhere => "to another gateway",
        })
    }
}

impl fmt::Display for CardView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.soft_card {
            writeln!(
                formatter,
                "This is a SOFT CARD: its keys are in a file. Never for production."
            )?;
        }
        let known = |text: Option<String>| text.unwrap_or_else(|| "not known".to_owned());
        writeln!(formatter, "reader        {}", known(self.reader.clone()))?;
        writeln!(formatter, "ATR           {}", known(self.atr.clone()))?;
        let life_cycle = self.life_cycle.map(|life_cycle| life_cycle.to_string());
        writeln!(formatter, "life cycle    {}", known(life_cycle))?;
        writeln!(
            formatter,
            "GUID          {}",
            known(self.guid.map(|guid| guid.to_string()))
        )?;
        writeln!(formatter, "trust centre  {}", known(self.trust_centre.clone()))?;
        writeln!(formatter, "bound         {}", self.binding)?;
        for certificate in &self.certificates {
            let CertificateView {
                key,
                not_after,
                expiry,
                ..
            } = certificate;
            writeln!(formatter, "certificate   {key:<11} until {not_after}: {expiry}")?;
        }
        if !self.was_compared {
            writeln!(formatter, "The card was not compared with this gateway.")?;
        }
        if self.is_in_order() {
            return match self.binding {
                BindingOfCard::Here => writeln!(formatter, "The card serves this gateway."),
                _ => writeln!(
                    formatter,
                    "Nothing was found that keeps this card from being bound."
                ),
            };
        }
        for CauseView { code, cause, remedy } in &self.causes {
            writeln!(formatter, "obstacle      {code}: {cause}")?;
            writeln!(formatter, "  remedy      {remedy}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::Span;

    use super::*;
    use crate::card::reader::ReaderError;

    fn days(count: u32) -> Span {
        Span::from_seconds(count * 86_400).unwrap()
    }

    #[test]
    fn expiry_is_said_in_words() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let said = |before: Timestamp, after| expiry(before, after, now);
        let (past, future) = (now.saturating_sub(days(100)), now.saturating_add(days(100)));
        assert_eq!(said(past, future), "valid for another 3 months");
        assert_eq!(
            said(past, now.saturating_add(days(3650))),
            "valid for another 10 years"
        );
        assert_eq!(said(past, now.saturating_sub(days(1))), "expired 24 hours ago");
        assert_eq!(said(future, future), "not valid for another 3 months");
        assert_eq!(said(past, now), "valid for another 0 minutes");
    }

    #[test]
    fn card_with_an_obstacle_is_not_in_order_and_says_why() {
        let mut view = CardView::new();
        assert!(view.is_in_order());
        view.note(&Obstacle::from(ReaderError::NoCard));
        view.soft_card = true;
        assert!(!view.is_in_order());
        let shown = view.to_string();
        assert!(
            shown.contains("SOFT CARD")
                && shown.contains("SMGW-C-0101: there is no card in the reader")
                && shown.contains("Insert the card."),
            "{shown}"
        );
        let json = serde_json::to_string(&view).unwrap();
        let read: CardView = serde_json::from_str(&json).unwrap();
        assert_eq!((read.schema.as_str(), read.obstacles.len()), ("smgw.card/1", 1));
    }
}
