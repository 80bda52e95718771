//! The proof of an application on the device: its manifest's own vectors, fuel included.

use crate::check::{AcceptError, Derived, accept};
use crate::engine::{Go, Module, ModuleError, Run, RunError};
use crate::interface::{InputError, InputView, ViewError};
use crate::manifest::{ExpectedOutput, Manifest, Vector, VectorInputError};
use crate::package::Package;
use crate::protocol::Failure;

/// Runs every vector of a package's manifest and compares what comes out, to the unit of fuel.
///
/// # Errors
///
/// [`VectorError`] names the first vector that does not give what it states.
pub fn prove(package: &Package<'_>, go: &mut dyn FnMut(u64) -> Go) -> Result<(), VectorError> {
    let limits = package.manifest().limits();
    let module = Module::load(package.bytes(), limits.memory_bytes)?;
    compare(package.manifest(), &mut |blob, view| {
        Ok(module.run(blob, limits.fuel_for(view.readings), go)?)
    })
}

/// Has every vector of a package's manifest run by somebody else, who gets the input blob, and compares what comes out, to
/// the unit of fuel: a process of its own, see [`protocol`](crate::protocol).
///
/// # Errors
///
/// As [`prove`]; that the module is refused is then what the other says of the first vector.
pub fn prove_by(
    package: &Package<'_>,
    run: &mut dyn FnMut(&[u8]) -> Result<Run, Failure>,
) -> Result<(), VectorError> {
    compare(package.manifest(), &mut |blob, _| Ok(run(blob)?))
}

/// Runs an input blob, which is given as it was read back as well.
type Runner<'a> = dyn FnMut(&[u8], &InputView) -> Result<Run, VectorRunError> + 'a;

fn compare(manifest: &Manifest, runner: &mut Runner<'_>) -> Result<(), VectorError> {
    if manifest.vectors().is_empty() {
        return Err(VectorError::None);
    }
    for vector in manifest.vectors() {
        let name = || vector.name.clone();
        let made = run(manifest, vector, runner);
        let made = made.map_err(|source| VectorError::Failed {
            name: name(),
            source: Box::new(source),
        })?;
        if made.outputs != vector.outputs {
            return Err(VectorError::Outputs {
                name: name(),
                found: made.outputs,
            });
        }
        if made.state != vector.next_state {
            return Err(VectorError::State {
                name: name(),
                found: made.state,
            });
        }
        if made.fuel != vector.fuel {
            return Err(VectorError::Fuel {
                name: name(),
                expected: vector.fuel,
                found: made.fuel,
            });
        }
    }
    Ok(())
}

/// What a vector's run has made.
struct Made {
    outputs: Vec<ExpectedOutput>,
    state: Vec<u8>,
    fuel: u64,
}

fn run(manifest: &Manifest, vector: &Vector, runner: &mut Runner<'_>) -> Result<Made, VectorRunError> {
    let blob = vector.input(manifest)?.encode()?;
    let view = InputView::parse(&blob)?;
    let run = runner(&blob, &view)?;
    let outcome = accept(manifest, &view, &run.output)?;
    Ok(Made {
        outputs: outcome
            .elements
            .iter()
            .map(|element| expected(manifest, element))
            .collect(),
        state: outcome.state,
        fuel: run.fuel,
    })
}

/// Writes an element as a vector does.
fn expected(manifest: &Manifest, element: &Derived) -> ExpectedOutput {
    let role = manifest.outputs().get(usize::from(element.output));
    ExpectedOutput {
        output: role.map(|role| role.output.clone()).unwrap_or_default(),
        obis: element.obis,
        stage: element.stage,
        from: element.from,
        to: element.to,
        value: element.quantity.value,
        unit: element.quantity.unit,
        status: element.status,
        basis: (
            element.basis.start,
            element.basis.end.saturating_sub(element.basis.start),
        ),
    }
}

/// The reason why an application is not proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    /// The module is not run at all.
    #[error("the module of the application is refused")]
    Module(#[from] ModuleError),
    /// There is nothing to compare with.
    #[error("the manifest of the application has no test vectors")]
    None,
    /// A vector has no result.
    #[error("the vector {name:?} of the manifest has no result")]
    Failed {
        /// The vector.
        name: String,
        /// Why.
        source: Box<VectorRunError>,
    },
    /// Other elements came out.
    #[error("the vector {name:?} of the manifest gives other elements than it states")]
    Outputs {
        /// The vector.
        name: String,
        /// What came out.
        found: Vec<ExpectedOutput>,
    },
    /// Another state came out.
    #[error("the vector {name:?} of the manifest leaves another state than it states")]
    State {
        /// The vector.
        name: String,
        /// What came out.
        found: Vec<u8>,
    },
    /// It took another amount of fuel.
    #[error("the vector {name:?} of the manifest takes {found} units of fuel, not {expected}")]
    Fuel {
        /// The vector.
        name: String,
        /// What it states.
        expected: u64,
        /// What it took.
        found: u64,
    },
}

/// The reason why a vector has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VectorRunError {
    /// The vector does not fit the manifest.
    #[error("the vector does not fit its manifest")]
    Vector(#[from] VectorInputError),
    /// The input does not fit the interface.
    #[error("the vector does not fit the interface")]
    Input(#[from] InputError),
    /// The input that was written is not read back.
    #[error("the input of the vector is not read back")]
    View(#[from] ViewError),
    /// The run has no output.
    #[error("the run failed")]
    Run(#[from] RunError),
    /// The process for applications gives no output.
    #[error("the process for applications gives no output")]
    Host(#[from] Failure),
    /// The output is not permitted.
    #[error("the output is refused")]
    Accept(#[from] AcceptError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Misfit;
    use crate::package::with_manifest;
    use crate::samples::{MANIFEST, echo, guest};

    const VECTOR: &str = r#"{
        "name": "nothing",
        "window": { "from": "2026-11-23T12:00:00Z", "to": "2026-11-23T13:00:00Z" },
        "channels": [
            { "role": "energy", "obis": "1-0:1.8.0*255", "unit": "Wh", "step": "PT15M",
              "readings": [{ "at": "2026-11-23T12:00:00Z", "value": "1.5" }] }
        ],
        "outputs": [],
        "fuel": FUEL
    }"#;

    fn proven(module: &[u8], vector: &str) -> Result<(), VectorError> {
        let manifest = MANIFEST.replace("\"vectors\": []", &format!("\"vectors\": [{vector}]"));
        let package = with_manifest(module, manifest.as_bytes()).unwrap();
        prove(&Package::parse(&package).unwrap(), &mut |_| Go::On)
    }

    /// The fuel that the sample takes for its vector.
    fn fuel() -> u64 {
        match proven(&echo(), &VECTOR.replace("FUEL", "0")) {
            Err(VectorError::Fuel { found, .. }) => found,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn application_is_proven_to_the_unit_of_fuel() {
        let right = VECTOR.replace("FUEL", &fuel().to_string());
        assert_eq!(proven(&echo(), &right), Ok(()));
    }

    #[test]
    fn every_difference_is_named() {
        let right = VECTOR.replace("FUEL", &fuel().to_string());
        let failed = |vector: &str| match proven(&echo(), vector) {
            Err(VectorError::Failed { source, .. }) => *source,
            other => panic!("{other:?}"),
        };
        assert_eq!(proven(&echo(), ""), Err(VectorError::None));
        let outputs = r#""outputs": [{ "output": "stage-1", "obis": "1-0:1.8.1*255", "from": "2026-11-23T12:00:00Z",
            "to": "2026-11-23T13:00:00Z", "value": "1", "unit": "Wh", "basis": [0, 1] }]"#;
        let wrong = right.replace("\"outputs\": []", outputs);
        assert!(matches!(
            proven(&echo(), &wrong),
            Err(VectorError::Outputs { .. })
        ));
        let wrong = right.replace("\"outputs\": []", "\"outputs\": [], \"next_state\": [1]");
        assert!(matches!(proven(&echo(), &wrong), Err(VectorError::State { .. })));
        let role = right.replace("\"role\": \"energy\"", "\"role\": \"other\"");
        assert_eq!(failed(&role), VectorRunError::Vector(VectorInputError::Role));
        let fine = right.replace("PT15M", "PT1M");
        let misfit = VectorInputError::Misfit(Misfit::TooFine { channel: 0 });
        assert_eq!(failed(&fine), VectorRunError::Vector(misfit));
        let parameter = right.replace("\"channels\"", "\"parameters\": { \"x\": 1 }, \"channels\"");
        assert!(matches!(
            failed(&parameter),
            VectorRunError::Vector(VectorInputError::Parameter(_))
        ));
        let late = right.replace("\"at\": \"2026", "\"at\": \"2027");
        assert!(matches!(
            failed(&late),
            VectorRunError::Input(InputError::OutsideWindow { .. })
        ));
        assert!(matches!(
            proven(&guest("unreachable"), &right),
            Err(VectorError::Failed { source, .. }) if matches!(*source, VectorRunError::Run(_))
        ));
        assert!(matches!(
            proven(&guest("(i64.const 0)"), &right),
            Err(VectorError::Failed { source, .. }) if matches!(*source, VectorRunError::Accept(_))
        ));
        assert!(matches!(
            proven(b"\0asm\x01\0\0\0", &right),
            Err(VectorError::Module(_))
        ));
    }

    #[test]
    fn calendars_of_vectors_need_offsets() {
        let calendar = serde_json::to_string(&crate::samples::calendar()).unwrap();
        let right = VECTOR.replace("FUEL", "0");
        let with = |offsets: &str| {
            let parameters = format!("\"parameters\": {{ \"stages\": {calendar} }}, {offsets} \"channels\"");
            match proven(&echo(), &right.replace("\"channels\"", &parameters)) {
                Err(VectorError::Failed { source, .. }) => Some(*source),
                _ => None,
            }
        };
        assert_eq!(
            with(""),
            Some(VectorRunError::Vector(VectorInputError::NoOffsets))
        );
        let unknown = with("\"offsets\": [[\"2027-01-01T00:00:00Z\", 60]],");
        assert!(matches!(
            unknown,
            Some(VectorRunError::Vector(VectorInputError::Calendar(_)))
        ));
        assert_eq!(with("\"offsets\": [[\"2026-01-01T00:00:00Z\", 60]],"), None);
    }
}
