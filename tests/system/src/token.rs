//! An HSM of a run's own: SoftHSM2 with one token.

use std::path::{Path, PathBuf};

use crate::{Command, Stage, StageError};

/// A token of SoftHSM2 in a folder of the stage.
#[derive(Debug, Clone)]
pub struct HsmToken {
    configuration: PathBuf,
}

impl HsmToken {
    /// The PKCS#11 library.
    pub const MODULE: &'static str = "/usr/lib/softhsm/libsofthsm2.so";
    /// The token's label.
    pub const LABEL: &'static str = "centre";
    /// The PIN of who uses it.
    pub const PIN: &'static str = "1234";

    /// Makes a token in the folder `name` of the stage.
    ///
    /// # Errors
    ///
    /// [`StageError`] with the last words of `softhsm2-util`; that it is not installed is among them.
    pub fn make(stage: &Stage, name: &str) -> Result<Self, StageError> {
        let tokens = stage.path(name).join("tokens");
        std::fs::create_dir_all(&tokens).map_err(StageError::file(&tokens))?;
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        let token = Self {
            configuration: stage.write(&format!("{name}/softhsm2.conf"), &text)?,
        };
        let init = Command::new("softhsm2-util", Path::new("softhsm2-util"))
            .arg("--init-token")
            .arg("--free")
            .option("--label", Self::LABEL)
            .option("--so-pin", "5678")
            .option("--pin", Self::PIN);
        stage.run(&token.environment(init))?.success()?;
        Ok(token)
    }

    /// Lets a command find the token, and know its PIN.
    #[must_use]
    pub fn environment(&self, command: Command) -> Command {
        command
            .env("SOFTHSM2_CONF", &self.configuration)
            .env("TRUST_CENTER_PIN", Self::PIN)
    }
}
