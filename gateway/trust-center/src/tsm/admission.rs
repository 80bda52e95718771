//! The admission of a supplier's request: who asks, for which gateway, and what the policy leaves of it.

use counterparty::exchange::Identity;
use messages::certificate::{Certificate, CertificateError, Role, TrustAnchor, VerifiedParty};
use messages::content::{
    Content, ContentError, FreshnessError, InstallationRequest, PartyError, check_freshness,
};
use messages::envelope::{OpenError, open};
use messages::package::{self, Place};
use messages::software::SoftwareKeyError;
use model::{CardId, Fingerprint, Span, Timestamp};
use sha2::{Digest, Sha256};

use super::narrow::{self, Contradiction};
use super::policy::{Approval, Policy, PolicyError};
use crate::applications::{Applications, ApplicationsError};
use crate::authority::AuthorityError;
use crate::books::{Books, BooksError, NewRequest, Outcome, RequestEntry};

/// How old a request may be, or how far the supplier's clock may run ahead, in seconds.
const FRESHNESS_SECONDS: u32 = 300;

/// The reason why a request is not admitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmissionError {
    /// Who is connected is no supplier, or no longer.
    #[error("you are no supplier of this trust centre; have it certify you")]
    Supplier(#[source] CertificateError),
    /// The message cannot be opened.
    #[error("the request cannot be opened; seal it to the TSM's present certificate")]
    Envelope(#[source] Box<OpenError<SoftwareKeyError>>),
    /// The content cannot be read.
    #[error("the request cannot be read; check that both have the same version")]
    Content(#[source] ContentError),
    /// The content is of another kind.
    #[error("the message is no request for an installation; gateways take messages of other kinds")]
    Kind,
    /// Who signed is not who the request names.
    #[error("the request is not its sender's")]
    Party(#[source] PartyError),
    /// Who is connected is not who signed.
    #[error("the request is another supplier's; send your own")]
    OtherSupplier,
    /// The request is not fresh.
    #[error("the request is not fresh; check the clock and ask again")]
    Freshness(#[source] FreshnessError),
    /// The gateway is not known.
    #[error("no card with the GUID {guid} was completed here; check the GUID")]
    Gateway {
        /// The GUID.
        guid: CardId,
    },
    /// The gateway's card has ended its life.
    #[error("the card {guid} was terminated; ask for the one that has replaced it")]
    Terminated {
        /// The GUID.
        guid: CardId,
    },
    /// The grants contradict themselves, each other or the policy.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// The application is not here or broken.
    #[error(transparent)]
    Application(#[from] ApplicationsError),
    /// The application has another size than the request says, or is for another supplier.
    #[error("the application has {found} bytes, and the request says otherwise; name it as it is")]
    ApplicationSize {
        /// Its size in bytes.
        found: usize,
    },
    /// The policy cannot be read.
    #[error("the TSM's policy cannot be read")]
    Policy(#[from] PolicyError),
    /// The TSM's keys cannot be used.
    #[error("the TSM's keys cannot be used")]
    Tsm(#[from] AuthorityError),
    /// The books cannot be kept.
    #[error(transparent)]
    Books(#[from] BooksError),
}

/// What requests are judged with.
pub(crate) struct Admission<'a> {
    /// The TSM, judging by the root with all that is revoked now.
    pub(crate) tsm: Identity<'a>,
    /// The books.
    pub(crate) books: &'a Books,
    /// The applications.
    pub(crate) applications: &'a Applications,
    /// The policy.
    pub(crate) policy: &'a Policy,
    /// The present time.
    pub(crate) now: Timestamp,
}

impl Admission<'_> {
    /// Admits the request in a message from whoever has proved to have the key of the certificate `peer`, and writes it down.
    pub(crate) fn admit(&self, message: &[u8], peer: &Certificate) -> Result<RequestEntry, AdmissionError> {
        let Identity { anchor, party, keys } = self.tsm;
        let opened = open(message, anchor, self.now, party.enc.certificate(), &keys.enc)
            .map_err(|error| AdmissionError::Envelope(Box::new(error)))?;
        let content = Content::parse(&opened.content).map_err(AdmissionError::Content)?;
        content
            .check_sender(&opened.sender)
            .map_err(AdmissionError::Party)?;
        let json = String::from_utf8_lossy(&opened.content).into_owned();
        let Content::InstallationRequest(request) = content else {
            return Err(AdmissionError::Kind);
        };
        let supplier = self.supplier(anchor, &request, peer)?;
        match self.books.request(request.id) {
            Ok(known) if known.content == json && known.supplier == request.sender => return Ok(known),
            Ok(_) => return Err(BooksError::OtherRequest { id: request.id }.into()),
            Err(BooksError::NoRequest { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let window = Span::from_seconds(FRESHNESS_SECONDS).unwrap_or(Span::QUARTER_HOUR);
        check_freshness(request.time, self.now, window).map_err(AdmissionError::Freshness)?;
        self.check_gateway(request.gateway)?;
        self.check_application(&request)?;
        if let Some(grant) = request
            .grants
            .iter()
            .find(|grant| grant.supplier != request.sender)
        {
            let id = grant.id.clone();
            return Err(Contradiction::OtherSupplier { id }.into());
        }
        narrow::check(&request.grants, self.now)?;
        let granted = self.policy.narrow(&supplier.name, &request.grants)?;
        let new = NewRequest {
            id: request.id,
            guid: request.gateway,
            supplier: request.sender,
            is_approved: self.policy.approval(&supplier.name) == Approval::Automatic,
            name: supplier.name,
            digest: Fingerprint::new(Sha256::digest(json.as_bytes()).into()),
            content: json,
            granted,
        };
        Ok(self.books.file_request(self.now, &new)?)
    }

    /// Returns the supplier, who has signed the request and holds the connection.
    fn supplier(
        &self,
        anchor: &TrustAnchor,
        request: &InstallationRequest,
        peer: &Certificate,
    ) -> Result<VerifiedParty, AdmissionError> {
        let supplier = anchor
            .verify_party(&request.certificates, self.now, Role::Supplier)
            .map_err(AdmissionError::Supplier)?;
        let is_sender = supplier.sig.certificate().fingerprint() == request.sender;
        if is_sender && supplier.tls.certificate() == peer {
            Ok(supplier)
        } else {
            Err(AdmissionError::OtherSupplier)
        }
    }

    fn check_gateway(&self, guid: CardId) -> Result<(), AdmissionError> {
        if self.books.outcome(guid)? != Some(Outcome::Completed) {
            return Err(AdmissionError::Gateway { guid });
        }
        if self.books.is_terminated(guid)? {
            return Err(AdmissionError::Terminated { guid });
        }
        Ok(())
    }

    fn check_application(&self, request: &InstallationRequest) -> Result<(), AdmissionError> {
        let Some(entry) = &request.application else {
            return Ok(());
        };
        if entry.supplier != request.sender {
            return Err(AdmissionError::OtherSupplier);
        }
        let bytes = self.applications.read(entry.digest)?;
        let anchor = self.tsm.anchor;
        package::verify(&bytes, Place::Author, anchor, self.now).map_err(ApplicationsError::from)?;
        let found = bytes.len();
        if usize::try_from(entry.size) == Ok(found) {
            Ok(())
        } else {
            Err(AdmissionError::ApplicationSize { found })
        }
    }
}
