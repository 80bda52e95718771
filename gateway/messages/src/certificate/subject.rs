//! Whom a certificate is about: name, role and, for a card, its GUID.

use std::fmt;
use std::str::FromStr;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::{COMMON_NAME, ORGANIZATIONAL_UNIT_NAME, SERIAL_NUMBER};
use der::asn1::{Any, PrintableStringRef, SetOfVec, Utf8StringRef};
use der::{Decode, Encode, Tag, Tagged};
use model::CardId;
use serde::{Deserialize, Serialize};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::Name;

/// What a party does in the system; it stands in the subject as organizational unit (OU).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The root of all certificates; it certifies the issuing authority and the TSM.
    TrustCenter,
    /// Issues the certificates of everybody else, on behalf of the root.
    IssuingAuthority,
    /// Makes first contact and installs bundles.
    Tsm,
    /// Pulls readings.
    Supplier,
    /// The card of a gateway.
    Card,
    /// Passes messages on; it is a server by its DNS name.
    Broker,
    /// A second facility, which personalises cards with material of the trust centre.
    Facility,
}

impl Role {
    /// Every role, in the order of the enum.
    pub const ALL: [Self; 7] = [
        Self::TrustCenter,
        Self::IssuingAuthority,
        Self::Tsm,
        Self::Supplier,
        Self::Card,
        Self::Broker,
        Self::Facility,
    ];

    /// Returns the text that stands in certificates.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TrustCenter => "Trust centre",
            Self::IssuingAuthority => "Issuing authority",
            Self::Tsm => "TSM",
            Self::Supplier => "Supplier",
            Self::Card => "Card",
            Self::Broker => "Broker",
            Self::Facility => "Facility",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The name of a party, 1 to 64 printable characters; it stands in the subject as common name.
///
/// Spec: RFC 5280, appendix A.1, `ub-common-name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartyName(String);

impl PartyName {
    /// The greatest length in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PartyName {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let length = text.chars().count();
        if length == 0 || length > Self::MAX_LENGTH || text.chars().any(char::is_control) {
            return Err(SubjectError::Name);
        }
        Ok(Self(text))
    }
}

impl FromStr for PartyName {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<PartyName> for String {
    fn from(name: PartyName) -> Self {
        name.0
    }
}

impl fmt::Display for PartyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// The DNS name of a server, in lower case: labels of letters, digits and hyphens, dots between them.
///
/// Spec: RFC 1123, section 2.1; RFC 5280, section 4.2.1.6. No wildcards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DnsName(String);

impl DnsName {
    const MAX_LENGTH: usize = 253;
    const MAX_LABEL: usize = 63;

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = |label: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=Self::MAX_LABEL).contains(&label.len())
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > Self::MAX_LENGTH || !text.split('.').all(label) {
            return Err(SubjectError::DnsName);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Whom a certificate is about.
///
/// As a distinguished name: common name, organizational unit (the role) and, for a card, serial
/// number (the GUID's text form). Other attributes are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    name: PartyName,
    role: Role,
    card_id: Option<CardId>,
}

impl Subject {
    /// Describes a party that is no card.
    ///
    /// # Errors
    ///
    /// [`SubjectError::CardIdMissing`] for [`Role::Card`]; see [`Subject::card`].
    pub fn party(name: PartyName, role: Role) -> Result<Self, SubjectError> {
        match role {
            Role::Card => Err(SubjectError::CardIdMissing),
            Role::TrustCenter
            | Role::IssuingAuthority
            | Role::Tsm
            | Role::Supplier
            | Role::Broker
            | Role::Facility => Ok(Self {
                name,
                role,
                card_id: None,
            }),
        }
    }

    /// Describes a card, whose name is its GUID.
    #[must_use]
    pub fn card(card_id: CardId) -> Self {
        Self {
            name: PartyName(card_id.to_string()),
            role: Role::Card,
            card_id: Some(card_id),
        }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &PartyName {
        &self.name
    }

    /// Returns the role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns the GUID, which cards and nobody else have.
    #[must_use]
    pub const fn card_id(&self) -> Option<CardId> {
        self.card_id
    }

    pub(crate) fn to_name(&self) -> der::Result<Name> {
        let attribute = |oid: ObjectIdentifier, value: Any| {
            SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])
        };
        let mut parts = vec![
            attribute(COMMON_NAME, Utf8StringRef::new(self.name.as_str())?.into())?,
            attribute(
                ORGANIZATIONAL_UNIT_NAME,
                Utf8StringRef::new(self.role.as_str())?.into(),
            )?,
        ];
        if let Some(card_id) = self.card_id {
            let text = card_id.to_string();
            parts.push(attribute(SERIAL_NUMBER, PrintableStringRef::new(&text)?.into())?);
        }
        Name::from_der(&parts.to_der()?)
    }

    pub(crate) fn from_name(name: &Name) -> Result<Self, SubjectError> {
        let party: PartyName = text_of(name, COMMON_NAME)?.ok_or(SubjectError::Name)?.parse()?;
        let role = text_of(name, ORGANIZATIONAL_UNIT_NAME)?.ok_or(SubjectError::Role)?;
        let role = Role::ALL
            .into_iter()
            .find(|candidate| candidate.as_str() == role)
            .ok_or(SubjectError::Role)?;
        let serial_number = text_of(name, SERIAL_NUMBER)?;
        match (role, serial_number) {
            (Role::Card, Some(text)) => {
                let card_id = text.parse().map_err(|_| SubjectError::CardId)?;
                let subject = Self::card(card_id);
                if subject.name == party {
                    Ok(subject)
                } else {
                    Err(SubjectError::CardId)
                }
            }
            (_, Some(_)) => Err(SubjectError::CardId),
            (role, None) => Self::party(party, role),
        }
    }
}

/// Returns the text of an attribute that may stand once.
fn text_of(name: &Name, oid: ObjectIdentifier) -> Result<Option<&str>, SubjectError> {
    let mut found = name.iter().filter(|attribute| attribute.oid == oid);
    let Some(first) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(SubjectError::Repeated { oid });
    }
    let supported = matches!(first.value.tag(), Tag::Utf8String | Tag::PrintableString);
    let text = std::str::from_utf8(first.value.value()).ok();
    text.filter(|_| supported)
        .map(Some)
        .ok_or(SubjectError::Text { oid })
}

/// The reason why a subject is not of this system's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The text is no DNS name.
    #[error("a DNS name has labels of letters, digits and hyphens, with dots between them")]
    DnsName,
    /// There is no name, or it is too long or not printable.
    #[error("a party's name has 1 to 64 printable characters")]
    Name,
    /// There is no role, or none of this system.
    #[error("the subject names no role of this system")]
    Role,
    /// The subject is a card and has no GUID.
    #[error("the subject is a card without a GUID")]
    CardIdMissing,
    /// The GUID is malformed, not the card's name, or stands in the subject of another party.
    #[error("the subject's GUID is malformed or does not belong there")]
    CardId,
    /// An attribute stands more than once.
    #[error("the subject has the attribute {oid} more than once")]
    Repeated {
        /// The attribute.
        oid: ObjectIdentifier,
    },
    /// An attribute is no UTF-8 or printable string.
    #[error("the subject's attribute {oid} is no UTF-8 or printable string")]
    Text {
        /// The attribute.
        oid: ObjectIdentifier,
    },
}
