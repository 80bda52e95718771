//! The delivery of what waits for one gateway, once it can be reached.
//!
//! The gateway is asked first how it is: that tells whether a bundle whose report was lost is in force, and which
//! applications need not be sent. Then each job becomes a bundle of its own, so that one that cannot be installed keeps
//! nobody else's from it. A job leaves the queue when the gateway has reported that it is in force; whoever is killed before
//! that does it again, and finds out in the same way whether there is anything left to do.

use std::collections::BTreeSet;
use std::path::Path;

use counterparty::conversation::{Conversation, ConversationError};
use counterparty::exchange::{ExchangeError, Identity};
use messages::certificate::{Certificate, CertificateError, Role, TrustAnchor, VerifiedParty};
use messages::content::{ApplicationEntry, Content, ContentError, InstallationRequest, Report};
use model::{CardId, Fingerprint, GatewayState, Timestamp};

use super::narrow::{self, Contradiction};
use super::policy::{Policy, PolicyError};
use super::transport::{TransportError, way_to};
use super::trust::Trust;
use super::visit::{VisitError, ask_report, send_application, visit};
use crate::applications::{Applications, ApplicationsError};
use crate::authority::AuthorityError;
use crate::books::{Books, BooksError, Job, JobOutcome, Leased, RequestEntry, later};
use crate::bundles::{Bundles, BundlesError, Change, Grants, StoredBundle, Wanted};
use crate::personalize::{CardCertificatesError, attestation_judged_by, card_judged_by};

/// How many jobs one visit does; what is left waits for the next one.
const MAX_JOBS: usize = 64;
/// How long nobody else works on a gateway after a job was begun, in seconds: longer than its messages take, each of which
/// may take two minutes.
pub(crate) const LEASE_SECONDS: u32 = 1_800;
/// The codes by which a gateway says that it does not know how to report on itself: its software is older.
const OLDER: [&str; 2] = ["content", "wrong-kind"];

/// The reason why nothing was delivered. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    /// The card has ended its life.
    #[error("the gateway's card was terminated; replace gateway and card together")]
    Terminated,
    /// The card is not known.
    #[error("the gateway's card is not known")]
    Card(#[from] CardCertificatesError),
    /// The TSM's keys cannot be used.
    #[error("the TSM's keys cannot be used")]
    Tsm(#[from] AuthorityError),
    /// There is no way to the gateway.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The gateway was not reached, or did not do what it was told.
    #[error("the gateway did not do what it was told")]
    Visit(#[from] VisitError),
    /// The bundle cannot be made or kept.
    #[error("there is no bundle to install")]
    Bundles(#[from] BundlesError),
    /// The policy cannot be followed.
    #[error("the policy cannot be followed")]
    Policy(#[source] PolicyError),
    /// The applications cannot be kept.
    #[error("an application is out of reach")]
    Applications(#[from] ApplicationsError),
    /// The books cannot be kept.
    #[error(transparent)]
    Books(#[from] BooksError),
}

/// The reason why a request that was approved is not installed. It is not tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestFault {
    /// What was asked for cannot be read.
    #[error("the request cannot be read; ask again")]
    Content(#[source] ContentError),
    /// It is something else than a request.
    #[error("the request is none; ask again")]
    NoRequest,
    /// The supplier is no longer one.
    #[error("the supplier's certificates do not hold; have them certified anew and ask again")]
    Supplier(#[source] CertificateError),
    /// The grants contradict themselves by now.
    #[error("the grants cannot be installed; ask again")]
    Grants(#[source] Contradiction),
    /// The application is gone.
    #[error("the application cannot be installed")]
    Application(#[source] ApplicationsError),
    /// The gateway's card has no room.
    #[error("the gateway has no room for it")]
    Room(#[source] VisitError),
    /// The gateway refuses the bundle or the application.
    #[error("the gateway refuses it")]
    Refused(#[source] VisitError),
    /// The bundle becomes too large.
    #[error("the gateway's bundle becomes too large; ask for fewer grants")]
    TooLarge(#[source] ContentError),
}

/// Why a job was not done.
enum JobError {
    /// It never will be.
    Fault(Box<RequestFault>),
    /// It is to be tried again.
    Again(DeliveryError),
}

impl<E: Into<DeliveryError>> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::Again(error.into())
    }
}

/// A visit to a gateway.
pub(crate) struct Delivery<'a> {
    /// Whom the TSM trusts.
    pub(crate) trust: &'a Trust,
    /// The books.
    pub(crate) books: &'a Books,
    /// The clock.
    pub(crate) clock: fn() -> Timestamp,
}

/// What a visit works with.
struct Scene<'a, 'b> {
    guid: CardId,
    bundles: Bundles,
    attestation: Certificate,
    conversation: &'a mut Conversation<'b>,
    /// The applications that the gateway has.
    applications: BTreeSet<Fingerprint>,
}

impl Delivery<'_> {
    /// Visits the gateway, does what waits for it and keeps its report.
    pub(crate) async fn deliver(&self, leased: &Leased) -> Result<(), DeliveryError> {
        let guid = leased.guid;
        if self.books.is_terminated(guid)? {
            self.drop_all(guid)?;
            return Err(DeliveryError::Terminated);
        }
        let now = (self.clock)();
        let anchor = self.trust.anchor(self.books)?;
        let card = card_judged_by(&anchor, self.books, guid, now)?;
        let identity = self.trust.identity(&anchor)?;
        let exchange = way_to(identity, guid, leased.address.as_deref())?;
        let mut conversation = Conversation::new(identity, &card, guid, &exchange, self.clock);
        let mut scene = Scene {
            guid,
            bundles: Bundles::open(self.home(), guid)?,
            attestation: attestation_judged_by(&anchor, self.books, guid, now)?,
            conversation: &mut conversation,
            applications: BTreeSet::new(),
        };
        let mut report = self.hear(&mut scene).await?;
        let mut has_changed = false;
        for _ in 0..MAX_JOBS {
            let Some(job) = self.books.next_job(guid)? else {
                break;
            };
            has_changed |= self.take_up(&mut scene, &job).await?;
        }
        if has_changed {
            report = self.hear(&mut scene).await?;
        }
        let Some(report) = report else {
            return Ok(());
        };
        if let Some(lost) = scene.bundles.lost_by(&report)? {
            let version = lost.bundle.bundle_version;
            tracing::warn!(%guid, version, "the gateway has lost its bundle; it gets it again");
            self.give_again(&mut scene, lost).await?;
            self.hear(&mut scene).await?;
        }
        Ok(())
    }

    fn home(&self) -> &Path {
        self.trust.authority().home()
    }

    /// Asks the gateway how it is and keeps the report; one with older software has none.
    async fn hear(&self, scene: &mut Scene<'_, '_>) -> Result<Option<Report>, DeliveryError> {
        let report = match ask_report(scene.conversation).await {
            Ok(report) => report,
            Err(error) if is_older(&error) => {
                tracing::info!(guid = %scene.guid, "the gateway's software is older and does not report on itself");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let now = (self.clock)();
        self.books.keep_report(now, &report)?;
        scene.applications = applications_of(&report);
        scene.bundles.reconcile(&report, self.books, now)?;
        Ok(Some(report))
    }

    /// Does one job, or finds that it cannot be done; returns whether something was installed.
    async fn take_up(&self, scene: &mut Scene<'_, '_>, job: &Job) -> Result<bool, DeliveryError> {
        let now = (self.clock)();
        self.books.lengthen_lease(scene.guid, later(now, LEASE_SECONDS))?;
        if let Some(request) = &job.request
            && self.books.has_later(request)?
        {
            self.books.finish_job(now, job, JobOutcome::Superseded)?;
            return Ok(false);
        }
        let before = scene.bundles.version_in_force()?;
        match self.do_job(scene, job).await {
            Ok(version) => {
                self.books
                    .finish_job((self.clock)(), job, JobOutcome::InForce { version })?;
                Ok(version != before)
            }
            Err(JobError::Fault(fault)) => {
                let reason = crate::chain(&*fault);
                tracing::warn!(guid = %scene.guid, "a request cannot be installed: {reason}");
                let reason = reason.as_str();
                self.books
                    .finish_job((self.clock)(), job, JobOutcome::Failed { reason })?;
                Ok(false)
            }
            Err(JobError::Again(error)) => Err(error),
        }
    }

    /// Puts in force what the job asks for, unless it is; returns the version that is in force.
    async fn do_job(&self, scene: &mut Scene<'_, '_>, job: &Job) -> Result<u64, JobError> {
        let now = (self.clock)();
        // The job may be there since somebody was revoked after the visit had begun, or the card itself was.
        let anchor = self.trust.anchor(self.books)?;
        card_judged_by(&anchor, self.books, scene.guid, now)?;
        let asked = match &job.request {
            Some(request) => Some(asked_by(request, &anchor, now).map_err(fault)?),
            None => None,
        };
        let identity = scene.conversation.identity();
        let applications = match &asked {
            Some(asked) => self.signed(asked, identity, &anchor)?,
            None => None,
        };
        let change = asked.as_ref().map(|asked| Change {
            supplier: &asked.supplier,
            grants: Grants::Approved(&asked.request.granted),
            applications: Some(applications.as_slice()),
        });
        let policy = Policy::of_home(self.home()).map_err(DeliveryError::Policy)?;
        let wanted = Wanted {
            change,
            anchor: &anchor,
            reply_to: identity.party.enc.certificate(),
            policy: &policy,
        };
        let prepared = scene.bundles.prepare_change(&wanted, now);
        let prepared = prepared.map_err(|error| match error {
            BundlesError::Content(error) if job.request.is_some() => fault(RequestFault::TooLarge(error)),
            error => error.into(),
        })?;
        let Some(stored) = prepared else {
            return Ok(scene.bundles.version_in_force()?);
        };
        match self.install(scene, &stored).await {
            Ok(_) => Ok(stored.bundle.bundle_version),
            Err(DeliveryError::Visit(error)) if job.request.is_some() => Err(judged(error)),
            Err(DeliveryError::Applications(error)) if job.request.is_some() && is_gone(&error) => {
                Err(fault(RequestFault::Application(error)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the application that is asked for, with the TSM's signature.
    fn signed(
        &self,
        asked: &Asked<'_>,
        tsm: Identity<'_>,
        anchor: &TrustAnchor,
    ) -> Result<Option<ApplicationEntry>, JobError> {
        let store = Applications::of_home(self.home());
        let entry = asked.content.application.as_ref();
        let signed = entry.map(|entry| store.countersigned(entry, tsm, anchor, (self.clock)()));
        signed.transpose().map_err(|error| {
            if is_gone(&error) {
                fault(RequestFault::Application(error))
            } else {
                DeliveryError::Applications(error).into()
            }
        })
    }

    /// Puts a bundle in force once more; another one if it has suppliers who must not be served any more.
    async fn give_again(&self, scene: &mut Scene<'_, '_>, lost: StoredBundle) -> Result<(), DeliveryError> {
        let now = (self.clock)();
        let anchor = self.trust.anchor(self.books)?;
        let mut suppliers = lost.bundle.suppliers.iter();
        let all_hold = suppliers.all(|supplier| {
            anchor
                .verify_party(&supplier.certificates, now, Role::Supplier)
                .is_ok()
        });
        let stored = if all_hold {
            lost
        } else {
            let policy = Policy::of_home(self.home()).map_err(DeliveryError::Policy)?;
            let wanted = Wanted {
                change: None,
                anchor: &anchor,
                reply_to: scene.conversation.identity().party.enc.certificate(),
                policy: &policy,
            };
            scene.bundles.prepare(&wanted, now)?
        };
        self.install(scene, &stored).await?;
        Ok(())
    }

    /// Sends what the gateway lacks of the applications, then puts the bundle in force.
    async fn install(
        &self,
        scene: &mut Scene<'_, '_>,
        stored: &StoredBundle,
    ) -> Result<GatewayState, DeliveryError> {
        let (guid, version, digest) = (scene.guid, stored.bundle.bundle_version, stored.digest);
        let store = Applications::of_home(self.home());
        for entry in &stored.bundle.applications {
            if scene.applications.contains(&entry.digest) {
                continue;
            }
            let bytes = store.read(entry.digest)?;
            send_application(scene.conversation, entry.digest, &bytes).await?;
            tracing::info!(%guid, digest = %entry.digest, bytes = bytes.len(), "application sent");
            scene.applications.insert(entry.digest);
        }
        let begun = crate::books::Act::InstallBegun {
            guid,
            version,
            digest,
        };
        self.books.record((self.clock)(), &begun)?;
        let state = visit(scene.conversation, &scene.attestation, stored).await?;
        scene
            .bundles
            .installed(stored, state, self.books, (self.clock)())?;
        tracing::info!(%guid, version, %state, "bundle in force");
        Ok(state)
    }

    /// Takes everything off the queue of a gateway that will never be reached again.
    fn drop_all(&self, guid: CardId) -> Result<(), DeliveryError> {
        let reason = "the gateway's card was terminated; replace gateway and card together";
        for _ in 0..MAX_JOBS {
            let Some(job) = self.books.next_job(guid)? else {
                break;
            };
            self.books
                .finish_job((self.clock)(), &job, JobOutcome::Failed { reason })?;
        }
        Ok(())
    }
}

/// What a request asks for, and for whom.
struct Asked<'a> {
    request: &'a RequestEntry,
    content: InstallationRequest,
    supplier: VerifiedParty,
}

fn asked_by<'a>(
    request: &'a RequestEntry,
    anchor: &TrustAnchor,
    now: Timestamp,
) -> Result<Asked<'a>, RequestFault> {
    let content = Content::parse(request.content.as_bytes()).map_err(RequestFault::Content)?;
    let Content::InstallationRequest(content) = content else {
        return Err(RequestFault::NoRequest);
    };
    let supplier = anchor
        .verify_party(&content.certificates, now, Role::Supplier)
        .map_err(RequestFault::Supplier)?;
    narrow::check(&request.granted, now).map_err(RequestFault::Grants)?;
    Ok(Asked {
        request,
        content,
        supplier,
    })
}

fn fault(fault: RequestFault) -> JobError {
    JobError::Fault(Box::new(fault))
}

/// What a gateway says of a bundle or an application that it will never take.
const FINAL: [&str; 7] = [
    "bundle",
    "application",
    "application-room",
    "application-signature",
    "application-version",
    "assignment",
    "author-revoked",
];

/// Tells what will never succeed from what may the next time.
fn judged(error: VisitError) -> JobError {
    match error {
        VisitError::Suppliers { .. } => fault(RequestFault::Room(error)),
        VisitError::Conversation(ConversationError::Refused { ref code, .. })
            if FINAL.contains(&code.as_str()) =>
        {
            fault(RequestFault::Refused(error))
        }
        error => JobError::Again(error.into()),
    }
}

const fn is_gone(error: &ApplicationsError) -> bool {
    matches!(
        error,
        ApplicationsError::Missing { .. }
            | ApplicationsError::Altered { .. }
            | ApplicationsError::Signature(_)
    )
}

/// Returns whether the gateway does not know the question.
fn is_older(error: &VisitError) -> bool {
    let code = match error {
        VisitError::Conversation(ConversationError::Refused { code, .. }) => code,
        VisitError::Conversation(ConversationError::Exchange(error)) => match &**error {
            ExchangeError::Refused { code, .. } => code,
            _ => return false,
        },
        _ => return false,
    };
    OLDER.contains(&code.as_str())
}

fn applications_of(report: &Report) -> BTreeSet<Fingerprint> {
    let unit = report.unit.iter();
    unit.flat_map(|unit| unit.applications.iter().copied()).collect()
}
