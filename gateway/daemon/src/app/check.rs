//! `smgw app check`: whether a package is an application that does what its manifest says.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use evaluation::limits::MAX_PACKAGE_BYTES;
use evaluation::package::Signature;
use evaluation::{Package, PackageError, VectorError};
use messages::content::application_digest;
use messages::package::claimed_signer;
use serde::Serialize;

use crate::cli::CONFIGURATION;
use crate::mbus::session::{failure, print, say};
use crate::report::Chain;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 in order, 2 wrong usage, 78 faulty, or no file that can be read.\nWith --json: schema smgw.app.check/1, whatever the exit code but 2."
)]
pub(crate) struct Arguments {
    /// The package.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What a check has found out.
#[derive(Debug, Serialize)]
struct Checked {
    schema: &'static str,
    file: String,
    /// Whether it is in order.
    valid: bool,
    /// What is wrong.
    fault: Option<String>,
    /// The SHA-256 of the whole file, by which a bundle names it.
    digest: Option<String>,
    application: Option<Shown>,
}

/// What the manifest says.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    version: String,
    taf: Option<u8>,
    name_de: String,
    name_en: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    vectors: usize,
    /// Who says to have signed it; whether that holds is for the gateway to judge, which knows the root.
    author: Option<Signer>,
    tsm: Option<Signer>,
}

/// A certificate that goes with a signature.
#[derive(Debug, Serialize)]
struct Signer {
    name: String,
    role: String,
    /// The SHA-256 of the certificate.
    fingerprint: String,
}

impl Signer {
    fn of(signature: &Signature<'_>) -> Option<Self> {
        let certificate = claimed_signer(signature.cms)?;
        let subject = certificate.subject().ok()?;
        Some(Self {
            name: subject.name().to_string(),
            role: subject.role().to_string(),
            fingerprint: certificate.fingerprint().to_string(),
        })
    }
}

/// The reason why a package is not in order.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the file cannot be read")]
    File(#[from] io::Error),
    #[error("the file has more than the {MAX_PACKAGE_BYTES} bytes of a package")]
    TooLong,
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Proof(#[from] VectorError),
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let checked = Checked::of(&arguments.file);
    if let Some(fault) = &checked.fault {
        say(&format!("smgw: {}: {fault}", checked.file));
    }
    match print(&checked, arguments.json, Checked::text) {
        Ok(()) if checked.valid => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(CONFIGURATION),
        Err(error) => failure(&error),
    }
}

impl Checked {
    fn of(file: &Path) -> Self {
        let mut checked = Self {
            schema: "smgw.app.check/1",
            file: file.display().to_string(),
            valid: false,
            fault: None,
            digest: None,
            application: None,
        };
        match checked.look(file) {
            Ok(()) => checked.valid = true,
            Err(fault) => checked.fault = Some(Chain(&fault).to_string()),
        }
        checked
    }

    fn look(&mut self, file: &Path) -> Result<(), Fault> {
        let bytes = read(file)?;
        self.digest = Some(application_digest(&bytes).to_string());
        let package = Package::parse(&bytes)?;
        self.application = Some(Shown::of(&package));
        Ok(super::prove(&package)?)
    }

    fn text(&self) -> String {
        let Some(shown) = &self.application else {
            return String::new();
        };
        let taf = shown.taf.map(|taf| format!(", TAF {taf}")).unwrap_or_default();
        let signer = |signer: &Option<Signer>| {
            let signer = signer.as_ref();
            signer.map_or_else(
                || "nobody".to_owned(),
                |signer| format!("{} ({})", signer.name, signer.role),
            )
        };
        let mut text = format!(
            "{} {}{taf}: {}\ndigest   {}\nreads    {}\nmakes    {}\nauthor   {}\nTSM      {}\n",
            shown.id,
            shown.version,
            shown.name_en,
            self.digest.as_deref().unwrap_or_default(),
            shown.inputs.join(", "),
            shown.outputs.join(", "),
            signer(&shown.author),
            signer(&shown.tsm),
        );
        if self.valid {
            text += &format!("in order: {} vectors give what they state\n", shown.vectors);
        }
        text
    }
}

impl Shown {
    fn of(package: &Package<'_>) -> Self {
        let manifest = package.manifest();
        let inputs = manifest.inputs().iter();
        let outputs = manifest.outputs().iter();
        Self {
            id: manifest.id().to_string(),
            version: manifest.version().to_string(),
            taf: manifest.taf(),
            name_de: manifest.name().de.clone(),
            name_en: manifest.name().en.clone(),
            inputs: inputs
                .map(|role| format!("{} ({})", role.role, role.obis))
                .collect(),
            outputs: outputs
                .map(|role| format!("{} ({})", role.output, role.obis))
                .collect(),
            vectors: manifest.vectors().len(),
            author: package.author().and_then(Signer::of),
            tsm: package.tsm().and_then(Signer::of),
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Fault> {
    let most = u64::try_from(MAX_PACKAGE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(file)?
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAX_PACKAGE_BYTES {
        return Err(Fault::TooLong);
    }
    Ok(bytes)
}
