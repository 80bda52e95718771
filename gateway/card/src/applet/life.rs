//! Files and the steps of the life cycle.

use model::KeySlot;
use rand_core::CryptoRng;

use super::{Applet, Outcome};
use crate::crypto::PrivateKey;
use crate::files::{self, AID, Anchor, BindingFile, Contact, Suppliers};
use crate::tlv;
use crate::{CardKey, CommandApdu, FileId, LifeCycle, Point, Reach, StatusWord, StoreHead};

/// The greatest length of a file; a certificate is below 1 KiB, sixteen suppliers below 2 KiB.
const MAX_FILE: usize = 4096;

/// What an imported key pair consists of: private key (92) and point (99), and their lengths.
pub(crate) const IMPORTED: &[u8] = &[0x92, 0x20, 0x99, 0x41];

impl Applet {
    pub(super) fn select_application(&mut self, data: &[u8]) -> Outcome {
        if data != AID {
            return Err(StatusWord::FILE_NOT_FOUND);
        }
        self.session = super::Session::default();
        Ok(Vec::new())
    }

    pub(super) fn select_file(&mut self, data: &[u8], reach: Reach) -> Outcome {
        let file = FileId::by_identifier(data).ok_or(StatusWord::FILE_NOT_FOUND)?;
        *self.selection(reach) = Some(file);
        Ok(Vec::new())
    }

    pub(super) fn read_binary(&mut self, command: &CommandApdu, reach: Reach) -> Outcome {
        let file = self.selection(reach).ok_or(StatusWord::FILE_NOT_FOUND)?;
        if !files::may_read(file, reach) {
            return Err(StatusWord::SECURITY_STATUS);
        }
        let content = self.content(file).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let expected = command.expected().ok_or(StatusWord::WRONG_LENGTH)?;
        let rest = content.get(offset(command)..).ok_or(StatusWord::WRONG_OFFSET)?;
        Ok(rest.iter().copied().take(expected).collect())
    }

    /// Writes a whole file, if the table of files permits it and the content is what belongs there.
    pub(super) fn update_binary(&mut self, command: &CommandApdu, reach: Reach) -> Outcome {
        let file = self.selection(reach).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let content = command.data();
        if offset(command) != 0 {
            return Err(StatusWord::WRONG_OFFSET);
        }
        if content.len() > MAX_FILE {
            return Err(StatusWord::WRONG_LENGTH);
        }
        if !files::may_write(file, reach, self.state.life_cycle()) {
            return Err(StatusWord::SECURITY_STATUS);
        }
        match file {
            FileId::Guid => {
                files::parse_guid(content).map_err(|_| StatusWord::WRONG_DATA)?;
            }
            FileId::CertificateSig => self.check_certificate(CardKey::Slot(KeySlot::Sig), content)?,
            FileId::CertificateEnc => self.check_certificate(CardKey::Slot(KeySlot::Enc), content)?,
            FileId::CertificateTls => self.check_certificate(CardKey::Slot(KeySlot::Tls), content)?,
            FileId::CertificateAttestation => self.check_certificate(CardKey::Attestation, content)?,
            FileId::Contact => {
                Contact::parse(content).map_err(|_| StatusWord::WRONG_DATA)?;
            }
            FileId::Suppliers => return self.unlock_suppliers(content),
            FileId::Anchor => return self.set_anchor(content),
            FileId::StoreHead => return self.advance_store_head(content),
            FileId::Binding | FileId::Pairing | FileId::State => return Err(StatusWord::SECURITY_STATUS),
        }
        self.state.write_file(file, content);
        Ok(Vec::new())
    }

    pub(super) fn generate_key_pair(&mut self, data: &[u8], random: &mut dyn CryptoRng) -> Outcome {
        let name = CardKey::ALL
            .into_iter()
            .find(|name| key_template(*name).is_ok_and(|template| template == data))
            .ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        let key = PrivateKey::generate(random);
        let point = key.point();
        self.state.write_key(name, key);
        public_key_object(&point)
    }

    /// Takes a key pair that was made elsewhere. It says which point belongs to the private key, so that neither can
    /// have changed on the way; nothing of it can be read again. Whoever gives the attestation key vouches for it himself:
    /// what it signs proves a card only as long as nobody has kept it.
    pub(super) fn import_key_pair(&mut self, data: &[u8]) -> Outcome {
        let [list] = tlv::exactly(data, [0x4D]).map_err(|_| StatusWord::WRONG_DATA)?;
        let mut objects = tlv::Reader::new(list);
        let mut next = || match objects.next() {
            Some(Ok(object)) => Ok(object),
            Some(Err(_)) | None => Err(StatusWord::WRONG_DATA),
        };
        let (template, lengths, key_pair) = (next()?, next()?, next()?);
        let is_form = (lengths.tag, lengths.value) == (0x7F48, IMPORTED) && key_pair.tag == 0x5F48;
        if !is_form || objects.next().is_some() {
            return Err(StatusWord::WRONG_DATA);
        }
        let name = CardKey::ALL
            .into_iter()
            .find(|name| {
                key_template(*name).is_ok_and(|known| {
                    tlv::encode([(template.tag, template.value)]).is_ok_and(|found| found == known)
                })
            })
            .ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        let (scalar, point) = key_pair
            .value
            .split_first_chunk::<{ PrivateKey::LENGTH }>()
            .ok_or(StatusWord::WRONG_DATA)?;
        let key = PrivateKey::try_from(scalar).map_err(|_| StatusWord::WRONG_DATA)?;
        if key.point().to_bytes() != point {
            return Err(StatusWord::WRONG_DATA);
        }
        self.state.write_key(name, key);
        Ok(Vec::new())
    }

    pub(super) fn terminate(&mut self) -> Outcome {
        self.state.die();
        Ok(Vec::new())
    }

    /// Replaces the list of suppliers; the first one makes the card operational. Whatever key was chosen for one of
    /// the old list is not chosen any more.
    fn unlock_suppliers(&mut self, content: &[u8]) -> Outcome {
        let suppliers = Suppliers::parse(content).map_err(|_| StatusWord::WRONG_DATA)?;
        self.session.key = None;
        self.state.write_file(FileId::Suppliers, content);
        if !suppliers.entries().is_empty() {
            self.state.advance_to(LifeCycle::Operational);
        }
        Ok(Vec::new())
    }

    /// Takes a bundle's version and digest, if the version grows; the same pair may come again.
    fn set_anchor(&mut self, content: &[u8]) -> Outcome {
        let next = Anchor::parse(content).map_err(|_| StatusWord::WRONG_DATA)?;
        let current = self.state.anchor();
        if next.version <= current.version && next != current {
            return Err(StatusWord::CONDITIONS);
        }
        self.state.write_file(FileId::Anchor, content);
        Ok(Vec::new())
    }

    /// Takes the next head of the gateway's store: counter + 1 and nothing else. The same may come
    /// again, since the gateway cannot know whether its last word arrived.
    fn advance_store_head(&mut self, content: &[u8]) -> Outcome {
        let next = StoreHead::parse(content).map_err(|_| StatusWord::WRONG_DATA)?;
        let current = self.state.store_head();
        if current.is_followed_by(&next) {
            self.state.write_file(FileId::StoreHead, content);
        } else if next != current {
            return Err(StatusWord::CONDITIONS);
        }
        Ok(Vec::new())
    }

    /// Takes a certificate only for the key that the card has.
    fn check_certificate(&self, key: CardKey, content: &[u8]) -> Result<(), StatusWord> {
        let key = self.state.key(key).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        let certified = super::access::certificate_key(content).ok_or(StatusWord::WRONG_DATA)?;
        if certified == key.point() {
            Ok(())
        } else {
            Err(StatusWord::WRONG_DATA)
        }
    }

    /// Returns what READ BINARY shows of a file; no private key and no secret is in any of them.
    fn content(&self, file: FileId) -> Option<Vec<u8>> {
        match file {
            FileId::State => Some(vec![self.state.life_cycle().to_byte()]),
            FileId::Suppliers => Some(self.state.suppliers().to_bytes()),
            FileId::Anchor => Some(self.state.anchor().to_bytes()),
            FileId::StoreHead => Some(self.state.store_head().to_bytes()),
            FileId::Pairing => self.state.binding().map(|_| self.state.pairing().to_bytes()),
            FileId::Binding => self.state.binding().map(|binding| {
                let file = BindingFile {
                    gateway: binding.gateway,
                    confirmed: binding.confirmed,
                };
                file.to_bytes()
            }),
            FileId::Guid
            | FileId::CertificateSig
            | FileId::CertificateEnc
            | FileId::CertificateTls
            | FileId::CertificateAttestation
            | FileId::Contact => self.state.file(file).map(<[u8]>::to_vec),
        }
    }

    /// Each channel has a selection of its own, so that nobody can shift the file under the TSM.
    const fn selection(&mut self, reach: Reach) -> &mut Option<FileId> {
        match reach {
            Reach::Anyone | Reach::Gateway => &mut self.session.selected_file,
            Reach::Tsm => &mut self.session.tsm.selected_file,
        }
    }
}

/// Returns the control reference template that names a key to GENERATE ASYMMETRIC KEY PAIR:
/// B6 (signature), A6 (key agreement) or A4 (authentication) around 84 (key reference).
pub(crate) fn key_template(key: CardKey) -> Result<Vec<u8>, tlv::TlvError> {
    let template = match key {
        CardKey::Slot(KeySlot::Sig) => 0xB6,
        CardKey::Slot(KeySlot::Enc) => 0xA6,
        CardKey::Slot(KeySlot::Tls) | CardKey::Attestation => 0xA4,
    };
    tlv::encode([(template, &tlv::encode([(0x84, &[super::keys::reference(key)])])?)])
}

/// Returns `7F49 { 86 point }`.
fn public_key_object(point: &Point) -> Outcome {
    tlv::encode([(0x86, &point.to_bytes()[..])])
        .and_then(|key| tlv::encode([(0x7F49, &key)]))
        .map_err(|_| StatusWord::WRONG_LENGTH)
}

/// P1 and P2 of READ and UPDATE BINARY are an offset of 15 bits; greater ones lie outside any file.
const fn offset(command: &CommandApdu) -> usize {
    let header = command.header();
    u16::from_be_bytes([header.p1, header.p2]) as usize
}
