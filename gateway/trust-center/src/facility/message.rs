//! What the two facilities say to each other, as JSON.

use std::fmt;

use card::{CardKey, Contact};
use messages::certificate::{Certificate, PartyName};
use messages::software::SoftwareKey;
use model::{CardId, KeySlot};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::books::{DeliveryId, Outcome};

/// The greatest number of cards in one delivery: with some 5 KB each, it fits a message well.
pub(crate) const MAX_CARDS: usize = 500;
/// The greatest number of outcomes in one report.
pub(crate) const MAX_OUTCOMES: usize = 1_000;

/// What a facility asks of the trust centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub(crate) enum Ask {
    /// It wants material for cards.
    #[serde(rename = "facility.order/1")]
    Order {
        /// The delivery's name, which it has drawn.
        delivery: DeliveryId,
        /// How many cards.
        cards: Keys,
    },
    /// It wants what it has ordered before, if the order has come through; if not, it gives the delivery up.
    #[serde(rename = "facility.resumption/1")]
    Resume {
        /// The delivery's name.
        delivery: DeliveryId,
    },
    /// It has the delivery, and wants it no more.
    #[serde(rename = "facility.confirmation/1")]
    Confirm {
        /// The delivery's name.
        delivery: DeliveryId,
    },
    /// It says what became of cards.
    #[serde(rename = "facility.outcomes/1")]
    Report {
        /// The outcomes.
        outcomes: Vec<CardOutcome>,
    },
}

impl Ask {
    /// Returns the delivery that it is about, if it is about one.
    pub(crate) const fn delivery(&self) -> Option<DeliveryId> {
        match self {
            Self::Order { delivery, .. } | Self::Resume { delivery } | Self::Confirm { delivery } => {
                Some(*delivery)
            }
            Self::Report { .. } => None,
        }
    }
}

/// Where the keys of the cards of an order are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Keys {
    /// The trust centre makes them, for this many cards.
    Center(usize),
    /// One card has made them and shows their public points.
    Card(Box<Points>),
}

/// The public points of a card's keys, uncompressed, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Points {
    /// Of the key that signs messages.
    pub(crate) sig: String,
    /// Of the key that opens messages.
    pub(crate) enc: String,
    /// Of the key that proves the gateway's identity.
    pub(crate) tls: String,
    /// Of the key that signs the card's own texts.
    pub(crate) attestation: String,
}

/// What became of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardOutcome {
    /// The card's GUID.
    pub(crate) guid: CardId,
    /// How its personalisation came out.
    pub(crate) outcome: Outcome,
}

/// What the trust centre answers.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub(crate) enum Answer {
    /// The material that was ordered.
    #[serde(rename = "facility.material/1")]
    Material(Material),
    /// The confirmation or report is written down.
    #[serde(rename = "facility.done/1")]
    Done {
        /// The question.
        to: Ask,
    },
    /// The delivery has been cancelled: its certificates are revoked, and nothing of it is to become a card.
    #[serde(rename = "facility.cancelled/1")]
    Cancelled {
        /// The delivery's name.
        delivery: DeliveryId,
    },
    /// Nothing was done.
    #[serde(rename = "facility.refusal/1")]
    Refusal {
        /// Why, as a sentence.
        reason: String,
    },
}

/// What cards are made of.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Material {
    /// The delivery's name.
    pub(crate) delivery: DeliveryId,
    /// The facility that it is for.
    pub(crate) facility: PartyName,
    /// One for each card.
    pub(crate) cards: Vec<CardMaterial>,
}

/// What one card is made of.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardMaterial {
    /// Its GUID.
    pub(crate) guid: CardId,
    /// Whom the card trusts from then on.
    pub(crate) contact: ContactWords,
    /// The certificates of its keys.
    pub(crate) certificates: CertificateWords,
    /// Its private keys, if they were made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<KeyWords>,
}

/// The trust centre's contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactWords {
    name: String,
    root: Certificate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuing: Option<Certificate>,
}

impl ContactWords {
    /// Writes the contact of a trust centre with this root and issuing authority.
    pub(crate) fn new(name: &PartyName, root: &Certificate, issuing: Option<&Certificate>) -> Self {
        Self {
            name: name.to_string(),
            root: root.clone(),
            issuing: issuing.cloned(),
        }
    }

    /// Returns the contact as a card keeps it.
    pub(crate) fn to_contact(&self) -> Contact {
        Contact {
            name: self.name.clone(),
            certificate: self.root.as_der().to_vec(),
            issuing: self.issuing.as_ref().map(|issuing| issuing.as_der().to_vec()),
        }
    }

    /// Returns the root.
    pub(crate) const fn root(&self) -> &Certificate {
        &self.root
    }
}

/// The certificates of a card's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateWords {
    pub(crate) sig: Certificate,
    pub(crate) enc: Certificate,
    pub(crate) tls: Certificate,
    pub(crate) attestation: Certificate,
}

/// The private keys of a card.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyWords {
    pub(crate) sig: KeyNumber,
    pub(crate) enc: KeyNumber,
    pub(crate) tls: KeyNumber,
    pub(crate) attestation: KeyNumber,
}

impl KeyWords {
    /// Returns the number of a key, as a blank card takes it.
    pub(crate) fn number(&self, key: CardKey) -> Zeroizing<[u8; 32]> {
        let KeyNumber(number) = match key {
            CardKey::Slot(KeySlot::Sig) => &self.sig,
            CardKey::Slot(KeySlot::Enc) => &self.enc,
            CardKey::Slot(KeySlot::Tls) => &self.tls,
            CardKey::Attestation => &self.attestation,
        };
        number.clone()
    }
}

/// A private key: a number of 32 bytes, big-endian; written as hexadecimal digits. Every place where it has been is wiped.
#[derive(Clone)]
pub(crate) struct KeyNumber(Zeroizing<[u8; 32]>);

impl KeyNumber {
    /// Takes the number of a key.
    pub(crate) fn of(key: &SoftwareKey) -> Self {
        Self(key.to_number())
    }
}

impl Serialize for KeyNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = Zeroizing::new(String::with_capacity(64));
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 0xF] {
                digits.extend(char::from_digit(digit.into(), 16));
            }
        }
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for KeyNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

/// Reads a [`KeyNumber`] from where its digits stand.
struct Digits;

impl Visitor<'_> for Digits {
    type Value = KeyNumber;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("64 hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, digits: &str) -> Result<KeyNumber, E> {
        // The digits themselves are in no error.
        let wrong = || E::invalid_length(digits.len(), &self);
        let mut number = Zeroizing::new([0; 32]);
        let pairs = digits.as_bytes().chunks(2);
        if digits.len() != 64 {
            return Err(wrong());
        }
        for (byte, pair) in number.iter_mut().zip(pairs) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(KeyNumber(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_written_as_their_digits_and_read_back() {
        let digits = format!("{:062x}ab", 7);
        let json = format!("\"{digits}\"");
        let number: KeyNumber = serde_json::from_str(&json).unwrap();
        assert_eq!((number.0[30], number.0[31]), (7, 0xab));
        assert_eq!(serde_json::to_string(&number).unwrap(), json);
        for wrong in [
            &digits[1..],
            &digits.replace("ab", "xy"),
            &digits.replace("ab", "é"),
            "",
        ] {
            let error = serde_json::from_str::<KeyNumber>(&format!("\"{wrong}\""));
            let error = error.err().unwrap().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn questions_read_back_what_was_written_and_nothing_else() {
        let delivery = DeliveryId::new([0xab; 16]);
        let guid = "fd5a::1".parse().unwrap();
        let outcome = Outcome::LeftBlank;
        for ask in [
            Ask::Order {
                delivery,
                cards: Keys::Center(3),
            },
            Ask::Resume { delivery },
            Ask::Confirm { delivery },
            Ask::Report {
                outcomes: vec![CardOutcome { guid, outcome }],
            },
        ] {
            let json = serde_json::to_string(&ask).unwrap();
            assert_eq!(serde_json::from_str::<Ask>(&json).unwrap(), ask, "{json}");
        }
        for json in [
            r#"{"type":"facility.confirmation/2","delivery":"abababababababababababababababab"}"#,
            r#"{"type":"facility.confirmation/1","delivery":"ABABABABABABABABABABABABABABABAB"}"#,
            r#"{"type":"facility.confirmation/1","delivery":"../../../../../../etc/passwd....."}"#,
            r#"{"type":"facility.order/1","delivery":"abababababababababababababababab","cards":{"center":-1}}"#,
        ] {
            assert!(serde_json::from_str::<Ask>(json).is_err(), "{json}");
        }
    }
}
