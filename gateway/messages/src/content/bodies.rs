//! The bodies of contents, as they stand in JSON.

use model::{AppId, CardId, Fingerprint, GatewayState, Grant, Limit, Obis, Period, Query, Series, Timestamp};
use serde::{Deserialize, Serialize};

use crate::certificate::{Certificate, PartyName, RevocationReason, Triple};
use crate::content::assignment::Assignment;
use crate::content::words::{
    Apdu, ApplicationName, MessageId, Piece, RefusalCode, RefusalReason, RuleName, SoftwareVersion,
};

/// A supplier asks a gateway for readings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The message's identity.
    pub id: MessageId,
    /// The supplier, by the fingerprint of its SIG certificate.
    pub sender: Fingerprint,
    /// The gateway, by its card's GUID.
    pub recipient: CardId,
    /// When the request was written.
    pub time: Timestamp,
    /// What is asked for.
    pub queries: Vec<Query>,
}

/// A gateway answers a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The message's identity.
    pub id: MessageId,
    /// The request that is answered.
    pub in_reply_to: MessageId,
    /// The gateway, by its card's GUID.
    pub gateway: CardId,
    /// The supplier, by the fingerprint of its SIG certificate.
    pub supplier: Fingerprint,
    /// When the answer was written.
    pub time: Timestamp,
    /// What was granted.
    pub series: Vec<Series>,
    /// What was refused.
    pub refusals: Vec<Refusal>,
    /// What is granted and found no room in this answer: the supplier asks for it with its next request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rest: Vec<Query>,
}

/// A gateway sends what a grant has it send by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The message's identity. What is sent again for the same grant, period and part has the same.
    pub id: MessageId,
    /// The gateway, by its card's GUID.
    pub gateway: CardId,
    /// The supplier, by the fingerprint of its SIG certificate.
    pub supplier: Fingerprint,
    /// When it was written.
    pub time: Timestamp,
    /// The grant.
    pub grant: RuleName,
    /// What has been registered in this time, or in a part of it if there is too much for one message.
    pub period: Period,
    /// By which delivery rule, and why now; absent if the grant has none, and its own schedule had it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivered>,
    /// The values.
    pub series: Vec<Series>,
}

/// By which delivery rule something was sent, and why now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// The rule.
    pub rule: AppId,
    /// The number of its tariff use case.
    pub taf: u8,
    /// Why now.
    pub cause: Cause,
    /// Whether the series name their meters by pseudonyms.
    pub pseudonymous: bool,
}

/// Why a delivery rule has something sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Cause {
    /// Its time had come.
    Due,
    /// A value of this code had left its band.
    Left(Obis),
    /// A value of this code was back in its band.
    Returned(Obis),
}

/// A query, or the part of one, that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What was refused.
    pub query: Query,
    /// The stable code of the reason.
    pub code: RefusalCode,
    /// The reason, as a sentence.
    pub reason: RefusalReason,
    /// The rule that refused it, if one nearly fitted: a grant, a limit of the TSM's policy or a restriction of the consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
}

/// The TSM installs suppliers and grants on a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The message's identity.
    pub id: MessageId,
    /// The gateway, by its card's GUID.
    pub recipient: CardId,
    /// The version of the bundle; it only grows, and an older bundle is refused.
    pub bundle_version: u64,
    /// When the bundle was written.
    pub time: Timestamp,
    /// The ENC certificate of the TSM, to which the answer is encrypted.
    pub reply_to: Certificate,
    /// The issuing authorities of the trust centre, besides the one that the card names: those of the suppliers below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuing: Vec<Certificate>,
    /// The suppliers that are unlocked.
    pub suppliers: Vec<SupplierEntry>,
    /// What they may have.
    pub grants: Vec<Grant>,
    /// The energy applications that run on their behalf; the gateway has each of them before the bundle comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<ApplicationEntry>,
    /// What is revoked of the SIG certificates by which the authors of these applications have signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<RevokedCertificate>,
    /// What the TSM's policy leaves of all grants at the gateway, also of those that were installed before it; without limits,
    /// all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<Limit>,
}

/// An energy application that a bundle names or a supplier asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationEntry {
    /// The supplier on whose behalf it runs, by the fingerprint of its SIG certificate.
    pub supplier: Fingerprint,
    /// Its name and version, for the consumer.
    pub name: ApplicationName,
    /// Its digest, see [`super::application_digest`].
    pub digest: Fingerprint,
    /// Its size in bytes.
    pub size: u32,
    /// What it is run on; without any it is kept and not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignments: Vec<Assignment>,
}

/// A certificate that the trust centre has revoked, as a gateway hears of it; its lists stay outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedCertificate {
    /// Its fingerprint.
    pub certificate: Fingerprint,
    /// Since when.
    pub time: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

impl RevokedCertificate {
    /// Returns whether what was signed by it before counts no more either. Where another certificate has only taken its
    /// place, the author is still who it was.
    #[must_use]
    pub fn condemns_earlier_signatures(&self) -> bool {
        self.reason != RevocationReason::Superseded
    }
}

/// The TSM sends an energy application; the gateway keeps it for the bundle that follows, and answers with a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The message's identity.
    pub id: MessageId,
    /// The gateway, by its card's GUID.
    pub recipient: CardId,
    /// When the message was written.
    pub time: Timestamp,
    /// The ENC certificate of the TSM, to which the answer is encrypted.
    pub reply_to: Certificate,
    /// The digest of the application.
    pub digest: Fingerprint,
    /// Its bytes, in order.
    pub content: Vec<Piece>,
}

/// The TSM asks a gateway how it is; the answer is a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// The message's identity.
    pub id: MessageId,
    /// The gateway, by its card's GUID.
    pub recipient: CardId,
    /// When the message was written.
    pub time: Timestamp,
    /// The ENC certificate of the TSM, to which the answer is encrypted.
    pub reply_to: Certificate,
}

/// A supplier asks the TSM to have itself unlocked on a gateway, with these grants and this application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallationRequest {
    /// The message's identity, by which the request is known from then on.
    pub id: MessageId,
    /// The supplier, by the fingerprint of its SIG certificate.
    pub sender: Fingerprint,
    /// The gateway, by its card's GUID.
    pub gateway: CardId,
    /// When the request was written.
    pub time: Timestamp,
    /// The certificates of the supplier, not yet judged.
    pub certificates: Box<Triple>,
    /// What it asks for.
    pub grants: Vec<Grant>,
    /// The application that it asks for; the TSM has its bytes already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationEntry>,
}

/// A supplier that a bundle unlocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupplierEntry {
    /// Its name, for the consumer.
    pub name: PartyName,
    /// Its certificates, not yet judged.
    pub certificates: Triple,
}

/// A gateway reports what is installed and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The message's identity.
    pub id: MessageId,
    /// The message that asked for it or caused it.
    pub in_reply_to: MessageId,
    /// The gateway, by its card's GUID.
    pub gateway: CardId,
    /// When the report was written.
    pub time: Timestamp,
    /// The version of the installed bundle; 0 if there is none.
    pub bundle_version: u64,
    /// The digest of the installed bundle, see [`super::bundle_digest`]; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_digest: Option<Fingerprint>,
    /// The state of the gateway.
    pub state: GatewayState,
    /// How the unit is otherwise; only in the answer to a [`ReportRequest`] or an [`Application`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitReport>,
}

/// How the unit of card and gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitReport {
    /// The version of the gateway's software.
    pub software: SoftwareVersion,
    /// When the first of the card's certificates ends.
    pub certificates_end: Timestamp,
    /// The energy applications that it has, by their digests.
    pub applications: Vec<Fingerprint>,
    /// What is wrong with it and does not stop it.
    pub findings: Vec<ReportedFinding>,
}

/// Something that is wrong with a gateway and does not stop it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedFinding {
    /// The stable code.
    pub code: RefusalCode,
    /// What is wrong, as a sentence.
    pub text: RefusalReason,
}

/// The TSM sends commands to a gateway's card; the gateway passes them on in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardCommands {
    /// The message's identity.
    pub id: MessageId,
    /// The gateway, by its card's GUID.
    pub recipient: CardId,
    /// When the commands were written.
    pub time: Timestamp,
    /// The ENC certificate of the TSM, to which the answer is encrypted.
    pub reply_to: Certificate,
    /// The command APDUs.
    pub commands: Vec<Apdu>,
}

/// A gateway passes on its card's answers; there are fewer than commands if the card refused one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardAnswers {
    /// The message's identity.
    pub id: MessageId,
    /// The commands that are answered.
    pub in_reply_to: MessageId,
    /// The gateway, by its card's GUID.
    pub gateway: CardId,
    /// When the answers were written.
    pub time: Timestamp,
    /// The response APDUs, with their status words.
    pub answers: Vec<Apdu>,
}

/// A gateway refuses a message as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The message's identity.
    pub id: MessageId,
    /// The message that is refused.
    pub in_reply_to: MessageId,
    /// The gateway, by its card's GUID.
    pub gateway: CardId,
    /// When it was refused.
    pub time: Timestamp,
    /// The stable code of the reason.
    pub code: RefusalCode,
    /// The reason, as a sentence.
    pub reason: RefusalReason,
}

/// A supplier or the TSM has what a gateway sent; the gateway need not send it again.
///
/// It says nothing that grows old, so that it may come late and more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The message's identity.
    pub id: MessageId,
    /// The identity of what was received.
    pub received: MessageId,
    /// Who has it, by the fingerprint of its SIG certificate.
    pub sender: Fingerprint,
    /// The gateway that sent it, by its card's GUID.
    pub recipient: CardId,
    /// When the receipt was written.
    pub time: Timestamp,
}
