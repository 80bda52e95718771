//! Whole acts of the trust centre, from its foundation to a bundle on a gateway.

mod asking;
#[path = "../../counterparty/tests/conversations/door.rs"]
mod door;
mod founding;
mod gateway_double;
mod installing;

use std::path::{Path, PathBuf};
use std::process::Command;

use counterparty::archive::Archive;
use counterparty::clock;
use getrandom::SysRng;
use messages::certificate::{CertificationRequest, Role, Subject, VerifiedParty};
use messages::software::SoftwareKeys;
use model::{CardId, KeySlot};
use tempfile::TempDir;

use crate::arguments::CardPlace;
use crate::authority::{Authority, AuthorityError, Founding};
use crate::batch::station;
use crate::books::{Books, GuidPrefix};
use crate::certify::{CertifyError, certify};
use crate::install::{InstallError, Installed, Order, install};
use crate::keys::Secrets;
use crate::names::Standing;
use crate::personalize::{GuidSource, KeySource, Workplace, personalize};
use crate::soft_card::SoftCard;

const GRANTS: &str = r#"
[[grant]]
id = "billing"
elements = ["*/1-0:1.8.0*255"]
finest = "PT5S"
history = "P730D"
purpose = "billing"
"#;

/// A trust centre in a folder of its own.
pub(crate) struct House {
    folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) books: Books,
}

pub(crate) fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("trust-center");
    let authority = found(&home, "Demo Trust Centre").unwrap();
    let books = Books::open(&home).unwrap();
    House {
        folder,
        authority,
        books,
    }
}

/// Founds an authority with its keys and books in files.
fn found(home: &Path, name: &str) -> Result<Authority, AuthorityError> {
    let founding = Founding {
        name: &name.parse().unwrap(),
        secrets: &Secrets::default(),
        token: None,
        books: None,
    };
    Authority::init(home, &founding, clock::now())
}

impl House {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("trust-center")
    }

    fn records(&self) -> String {
        let records = self.books.page(0).unwrap();
        let lines = records
            .iter()
            .map(|record| serde_json::to_string(record).unwrap());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Loads the authority again, as the next run of the program does.
    pub(crate) fn load(&self) -> Result<Authority, AuthorityError> {
        Authority::load(&self.home(), &Secrets::default(), &self.books, clock::now())
    }

    fn workplace(&self, card: &str) -> Workplace<'_> {
        Workplace {
            authority: &self.authority,
            books: &self.books,
            source: GuidSource::Prefix(GuidPrefix::DEFAULT.parse().unwrap()),
            keys: KeySource::Card,
            station: station(&CardPlace::Soft(self.path(card)), ""),
            keeps_its_card: true,
        }
    }

    fn personalize(&self, card: &str) -> CardId {
        let inserted = SoftCard::insert(&self.path(card)).unwrap();
        let completed = personalize(&self.workplace(card), inserted, clock::now()).unwrap();
        assert_eq!(completed.party.card_id, Some(completed.guid));
        completed.guid
    }

    /// Certifies a supplier whose folder is called as it is.
    fn supplier(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        let name = match name {
            "supplier" => "Supplier",
            other => other,
        };
        write_requests(&folder, &[Role::Supplier; 3], &KeySlot::ALL, name);
        self.certify(&folder).unwrap();
        folder
    }

    /// Certifies the supplier of a folder, of whom nothing is known yet.
    fn certify(&self, folder: &Path) -> Result<VerifiedParty, CertifyError> {
        let (authority, books) = (&self.authority, &self.books);
        certify(authority, books, folder, Standing::Newcomer, clock::now())
    }

    fn order(&self, guid: CardId, gateway: &str, supplier: &Path) -> Order {
        let grants = self.path("grants.toml");
        std::fs::write(&grants, GRANTS).unwrap();
        Order {
            guid,
            gateway: gateway.parse().unwrap(),
            supplier: supplier.to_owned(),
            grants,
            application: None,
            assignments: None,
        }
    }

    async fn install(&self, order: &Order) -> Result<Installed, InstallError> {
        self.install_and_keep(order, None).await
    }

    async fn install_and_keep(
        &self,
        order: &Order,
        archive: Option<&mut Archive>,
    ) -> Result<Installed, InstallError> {
        install(&self.authority, &self.books, order, archive, clock::now).await
    }
}

/// Writes requests into sig.csr, enc.csr and tls.csr.
fn write_requests(folder: &Path, roles: &[Role; 3], slots: &[KeySlot; 3], name: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let keys = SoftwareKeys::generate(&mut SysRng).unwrap();
    let keys = [&keys.sig, &keys.enc, &keys.tls];
    for (index, file) in KeySlot::ALL.into_iter().enumerate() {
        let subject = Subject::party(name.parse().unwrap(), roles[index]).unwrap();
        let slot = slots[index];
        let key = keys[index];
        let request = CertificationRequest::build(subject, slot, key.public_point(), key).unwrap();
        std::fs::write(folder.join(format!("{file}.csr")), request.to_pem().unwrap()).unwrap();
    }
}

/// Has OpenSSL verify a certificate by the root, through the chain beside it.
fn openssl_verifies(root: &Path, certificate: &Path) {
    let verified = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile"])
        .arg(root)
        .arg("-untrusted")
        .arg(root.with_file_name("chain.pem"))
        .arg(certificate)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{}: {said}", certificate.display());
}
