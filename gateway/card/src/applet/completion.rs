//! The completion: what a card must be before it takes its last step out of the personaliser's hands.
//!
//! The card says of itself what its certificates say. So it judges them once, as far as it can without a clock: each is
//! for its own key and for the use that its file names, carries its GUID, and is signed by the trust centre that it will
//! trust, or by that one's issuing authority. Whatever it would show wrongly for ever keeps it blank.

use model::{CardId, KeySlot};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

use super::access::{is_signed_by, slot_of};
use super::{Applet, Outcome};
use crate::files::public_key;
use crate::{CardKey, FileId, LifeCycle, Point, StatusWord};

impl Applet {
    /// Completes the card: from now on nothing of its identity can be written.
    pub(super) fn activate(&mut self) -> Outcome {
        if self.is_complete() != Some(true) {
            return Err(StatusWord::CONDITIONS);
        }
        self.state.advance_to(LifeCycle::Personalized);
        Ok(Vec::new())
    }

    /// Returns whether everything is there and agrees; nothing if something is missing or cannot be read.
    fn is_complete(&self) -> Option<bool> {
        let guid = self.state.guid()?;
        let issuer = self.issuer_of_certificates()?;
        let mut points: Vec<Point> = Vec::with_capacity(CardKey::ALL.len());
        for key in CardKey::ALL {
            let point = self.state.key(key)?.point();
            let certificate = self.state.file(FileId::certificate_of(key))?;
            let certificate = Certificate::from_der(certificate).ok()?;
            let agrees = public_key(&certificate)? == point
                && slot_of(&certificate)? == usage_of(key)
                && names(&certificate, guid)
                && is_signed_by(&certificate, &issuer)
                // One key for two uses would let the gateway sign what only the card may say.
                && !points.contains(&point);
            if !agrees {
                return Some(false);
            }
            points.push(point);
        }
        Some(true)
    }

    /// Returns the key that has to have signed the card's certificates: the trust centre's, or that of the issuing
    /// authority in the contact, if the trust centre made it one.
    fn issuer_of_certificates(&self) -> Option<Point> {
        let contact = self.state.contact()?;
        let trust_centre = self.trust_centre_key().ok()?;
        let Some(issuing) = contact.issuing else {
            return Some(trust_centre);
        };
        let issuing = Certificate::from_der(&issuing).ok()?;
        let (_, constraints) = issuing
            .tbs_certificate()
            .get_extension::<BasicConstraints>()
            .ok()??;
        (constraints.ca && is_signed_by(&issuing, &trust_centre))
            .then(|| public_key(&issuing))
            .flatten()
    }
}

/// The attestation key is certified as one that signs, as SIG is.
const fn usage_of(key: CardKey) -> KeySlot {
    match key {
        CardKey::Slot(slot) => slot,
        CardKey::Attestation => KeySlot::Sig,
    }
}

/// Returns whether the certificate is for the GUID, as its alternative name (iPAddress), and for no other address.
fn names(certificate: &Certificate, guid: CardId) -> bool {
    let Ok(Some((_, names))) = certificate.tbs_certificate().get_extension::<SubjectAltName>() else {
        return false;
    };
    let mut addresses = names.0.iter().filter_map(|name| match name {
        GeneralName::IpAddress(address) => Some(address.as_bytes()),
        _ => None,
    });
    addresses.next() == Some(&guid.to_bytes()[..]) && addresses.next().is_none()
}
