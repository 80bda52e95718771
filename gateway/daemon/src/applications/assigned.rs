//! Assignments of the bundle in force, held against the manifests of their applications.

use std::collections::BTreeMap;

use evaluation::manifest::{AppId, InputRole, OutputRole, Version};
use evaluation::{Manifest, Package};
use messages::content::{ApplicationEntry, Assignment, RevokedCertificate};
use messages::package;
use model::{Element, ElementPattern, Fingerprint, Obis, ObisPattern, Period, Span, Window};
use sha2::{Digest, Sha256};
use store::{Database, DatabaseError, Evaluation, Store};

use super::given;
use crate::report::Chain;

/// The seconds of the shortest local day, in which the clock is put forward by an hour, and of the shortest month.
const SHORTEST_DAY: u32 = 23 * 3_600;
const SHORTEST_MONTH: u32 = 28 * 86_400 - 3_600;

/// An assignment, with what is known of its application.
#[derive(Debug, Clone)]
pub(crate) struct Assigned {
    /// What its windows are known by in the store.
    pub(crate) key: [u8; 32],
    /// The application's digest.
    pub(crate) digest: Fingerprint,
    pub(crate) manifest: Manifest,
    /// On whose behalf it runs.
    pub(crate) supplier: String,
    pub(crate) assignment: Assignment,
    /// The author's certificate, if it is revoked in a way that stops the application.
    pub(crate) stopped: Option<RevokedCertificate>,
}

/// The reason why an assignment cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssignmentFault {
    /// The application does not have such a role.
    #[error("the application has no role {role:?}")]
    Role { role: String },
    /// Nobody plays a role that has to be played.
    #[error("no elements are named for the role {role:?}")]
    Unplayed { role: String },
    /// A parameter does not fit.
    #[error("a parameter does not fit the application")]
    Parameter(#[from] evaluation::manifest::ParameterError),
    /// A window would have no reading of its own.
    #[error(
        "its windows of {window} are shorter than the registration period of {period}; give it longer ones"
    )]
    Short { window: Span, period: Span },
    /// What all assignments would keep is more than there is room for, and this one has the most of it.
    #[error(
        "it would keep {windows} windows, and all assignments together are to keep {limit} at most, so that nobody's values \
         go for somebody else's; give it longer windows, or have its application keep them for a shorter time"
    )]
    Share { windows: usize, limit: usize },
    /// Another one of the same application has the same name at the same time, so that both would be one series.
    #[error("{other:?} has the same name at the same time; give it another one")]
    Twice { other: String },
    /// Another assignment makes the same elements at the same time.
    #[error(
        "it would make elements that {other:?} makes at the same time, too: {elements}; end the earlier one with `to`, where \
         the later one has `from`"
    )]
    Overlap { other: String, elements: ElementPattern },
}

impl Assigned {
    /// Returns the assignments of a bundle's applications, those of packages that are here; `revoked` is what the bundle says
    /// of their authors.
    pub(crate) fn all(
        store: &Store,
        (entries, revoked): (&[ApplicationEntry], &[RevokedCertificate]),
        names: &BTreeMap<Fingerprint, String>,
    ) -> Vec<Self> {
        let mut all = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.assignments.is_empty()) {
            let Some(manifest) = manifest_of(store, entry.digest) else {
                tracing::error!(digest = %entry.digest, "an application of the bundle is not here, or damaged");
                continue;
            };
            let supplier = names.get(&entry.supplier).cloned().unwrap_or_default();
            let stopped = revoked_author(store, entry.digest, revoked)
                .filter(RevokedCertificate::condemns_earlier_signatures);
            all.extend(entry.assignments.iter().map(|assignment| Self {
                key: key(&supplier, manifest.id(), assignment),
                digest: entry.digest,
                manifest: manifest.clone(),
                supplier: supplier.clone(),
                assignment: assignment.clone(),
                stopped,
            }));
        }
        all
    }

    /// Returns id and version of the application, for people.
    pub(crate) fn name(&self) -> String {
        name(self.manifest.id(), self.manifest.version())
    }

    /// Returns the elements that play a role, of those that there are.
    pub(crate) fn players<'a>(&self, role: &InputRole, elements: &'a [Element]) -> Vec<&'a Element> {
        let patterns = self.assignment.inputs.get(&role.role);
        let patterns = patterns.map_or(&[][..], Vec::as_slice);
        let plays = |element: &&Element| {
            role.obis.matches(element.obis) && patterns.iter().any(|pattern| pattern.matches(element))
        };
        elements.iter().filter(plays).collect()
    }

    /// Returns how long the value of an output is kept.
    pub(crate) fn keep(&self, output: u16, history: Span) -> Span {
        let role = self.manifest.outputs().get(usize::from(output));
        role.and_then(|role| role.keep).unwrap_or(history)
    }

    /// Returns how long the longest of them is kept.
    pub(crate) fn longest_keep(&self, history: Span) -> Span {
        let keeps = self
            .manifest
            .outputs()
            .iter()
            .map(|role| role.keep.unwrap_or(history));
        keeps.max_by_key(|keep| keep.seconds()).unwrap_or(history)
    }

    /// Returns how many of its windows are kept at a time, without revisions.
    fn windows_kept(&self, history: Span) -> usize {
        let window = match self.assignment.window {
            Window::Grid(span) => span.seconds(),
            Window::Day => SHORTEST_DAY,
            Window::Month => SHORTEST_MONTH,
        };
        let kept = self.longest_keep(history).seconds().div_ceil(window.max(1));
        usize::try_from(kept).unwrap_or(usize::MAX)
    }

    /// Returns the assignment that an evaluation was made by, as it was then; `None` if that is not kept.
    pub(super) fn of_evaluation(
        store: &Store,
        evaluation: &Evaluation,
        manifest: &Manifest,
    ) -> Result<Option<Self>, DatabaseError> {
        let given = store.database().given(evaluation.number)?;
        let context = given.and_then(|given| given::split(&given).0);
        Ok(context.map(|context| Self {
            key: evaluation.assignment,
            digest: evaluation.application,
            manifest: manifest.clone(),
            supplier: context.supplier.into_owned(),
            assignment: context.assignment.into_owned(),
            // The bundle in force does not name it, nor whom its author is revoked with.
            stopped: None,
        }))
    }

    /// Returns whether a window is one of its own.
    pub(super) fn covers(&self, key: [u8; 32], window: Period) -> bool {
        self.key == key && self.assignment.covers(window.from())
    }

    fn check(&self) -> Result<(), AssignmentFault> {
        let roles = self.manifest.inputs();
        let named = self.assignment.inputs.keys();
        for role in named {
            if !roles.iter().any(|known| known.role == *role) {
                return Err(AssignmentFault::Role { role: role.clone() });
            }
        }
        for role in roles.iter().filter(|role| !role.optional) {
            let is_played = self
                .assignment
                .inputs
                .get(&role.role)
                .is_some_and(|named| !named.is_empty());
            if !is_played {
                return Err(AssignmentFault::Unplayed {
                    role: role.role.clone(),
                });
            }
        }
        self.manifest.values(&self.assignment.parameters)?;
        Ok(())
    }

    /// Returns the elements that it may make, but for those that are what they are made of.
    fn makes(&self) -> Vec<ElementPattern> {
        let outputs = self.manifest.outputs().iter();
        let outputs = outputs.filter(|output| output.obis != ObisPattern::ANY);
        let inputs: Vec<_> = self.assignment.inputs.values().flatten().collect();
        let all = outputs.flat_map(|output| {
            inputs.iter().map(|input| ElementPattern {
                meter: input.meter.clone(),
                obis: made_of(output, input.obis),
            })
        });
        all.collect()
    }
}

/// Returns the codes that an output has, made of those of a pattern.
fn made_of(output: &OutputRole, input: ObisPattern) -> ObisPattern {
    let exact = |pattern: ObisPattern| pattern.to_string().parse::<Obis>().ok();
    match exact(input) {
        Some(code) => output.obis_of(code).into(),
        None => output.obis,
    }
}

/// What assignments have to get along with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// The registration period.
    pub(crate) period: Span,
    /// How long readings are kept.
    pub(crate) history: Span,
}

impl Frame {
    /// Checks that windows are no shorter than the registration period, and that there is room for all that are to be kept.
    fn check(self, all: &[Assigned]) -> Result<(), (&Assigned, AssignmentFault)> {
        let period = self.period;
        for assigned in all {
            match assigned.assignment.window {
                Window::Grid(window) if window.seconds() < period.seconds() => {
                    return Err((assigned, AssignmentFault::Short { window, period }));
                }
                Window::Grid(_) | Window::Day | Window::Month => {}
            }
        }
        // Those of one name follow upon each other, so that they fill the same room.
        let mut series = BTreeMap::new();
        for assigned in all {
            let windows = assigned.windows_kept(self.history);
            let most = series.entry(assigned.key).or_insert((windows, assigned));
            if windows > most.0 {
                *most = (windows, assigned);
            }
        }
        let limit = Database::MAX_EVALUATIONS;
        let total = series
            .values()
            .fold(0usize, |sum, (windows, _)| sum.saturating_add(*windows));
        match series.into_values().max_by_key(|(windows, _)| *windows) {
            Some((windows, assigned)) if total > limit => {
                Err((assigned, AssignmentFault::Share { windows, limit }))
            }
            _ => Ok(()),
        }
    }
}

/// Checks the assignments of a bundle against each other and the manifests of their applications; returns the one that
/// cannot be carried out.
pub(crate) fn check_assignments(all: &[Assigned], frame: Frame) -> Result<(), (String, AssignmentFault)> {
    let title = |assigned: &Assigned| format!("{} ({})", assigned.assignment.name, assigned.manifest.id());
    for (index, assigned) in all.iter().enumerate() {
        assigned.check().map_err(|fault| (title(assigned), fault))?;
        let earlier = all.iter().take(index);
        for other in earlier.filter(|other| other.assignment.is_beside(&assigned.assignment)) {
            if other.key == assigned.key {
                let other = title(other);
                return Err((title(assigned), AssignmentFault::Twice { other }));
            }
            let others = other.makes();
            let both = assigned.makes().into_iter().find_map(|one| {
                let mut common = others.iter().filter_map(|two| one.intersection(two));
                common.next()
            });
            if let Some(elements) = both {
                let other = title(other);
                return Err((title(assigned), AssignmentFault::Overlap { other, elements }));
            }
        }
    }
    frame
        .check(all)
        .map_err(|(assigned, fault)| (title(assigned), fault))
}

/// Reads the manifest of a package that is kept.
pub(crate) fn manifest_of(store: &Store, digest: Fingerprint) -> Option<Manifest> {
    let bytes = store.applications().read(digest);
    let bytes = bytes.inspect_err(|error| tracing::error!("an application cannot be read: {}", Chain(error)));
    let bytes = bytes.ok().flatten()?;
    Some(Package::parse(&bytes).ok()?.manifest().clone())
}

/// Returns the certificate of a kept package's author, if it is among the revoked ones.
pub(crate) fn revoked_author(
    store: &Store,
    digest: Fingerprint,
    revoked: &[RevokedCertificate],
) -> Option<RevokedCertificate> {
    if revoked.is_empty() {
        return None;
    }
    let bytes = store.applications().read(digest).ok().flatten()?;
    let author = package::claimed_author(&bytes).ok().flatten()?.fingerprint();
    revoked.iter().find(|known| known.certificate == author).copied()
}

pub(crate) fn name(id: &AppId, version: Version) -> String {
    format!("{id} {version}")
}

/// What belongs to whom stays so when certificates, parameters, versions and dates change; another window is another series.
fn key(supplier: &str, id: &AppId, assignment: &Assignment) -> [u8; 32] {
    let Assignment {
        name, window, zone, ..
    } = assignment;
    let mut digest = Sha256::new();
    for part in [
        supplier,
        id.as_str(),
        name.as_str(),
        &window.to_string(),
        zone.rule(),
    ] {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}
