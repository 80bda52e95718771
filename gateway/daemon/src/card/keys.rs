//! The card's keys as the messages need them.

use card::{Partner, Point};
use messages::keys::{EphemeralKeyAgreement, KeyAgreement, PublicPoint, SharedSecret, Signer};

use super::handle::{CardFault, CardHandle};

/// The keys of the card, in use for one partner.
#[derive(Debug, Clone)]
pub(crate) struct CardKeys {
    card: CardHandle,
    partner: Partner,
}

impl CardKeys {
    /// Uses the card's keys for a partner.
    pub(crate) const fn new(card: CardHandle, partner: Partner) -> Self {
        Self { card, partner }
    }
}

impl Signer for CardKeys {
    type Error = CardFault;

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], CardFault> {
        let (partner, digest) = (self.partner, *digest);
        let signature = self.card.call(move |session| session.sign(partner, &digest))?;
        Ok(*signature.as_bytes())
    }
}

impl KeyAgreement for CardKeys {
    type Error = CardFault;

    fn agree(&mut self, peer: &PublicPoint) -> Result<SharedSecret, CardFault> {
        let (partner, peer) = (self.partner, point(peer)?);
        let secret = self.card.call(move |session| session.agree(partner, &peer))?;
        Ok(SharedSecret::new(*secret.as_bytes()))
    }
}

impl EphemeralKeyAgreement for CardKeys {
    type Error = CardFault;

    fn agree_ephemeral(&mut self, recipient: &PublicPoint) -> Result<(PublicPoint, SharedSecret), CardFault> {
        const COMMAND: &str = "GENERAL AUTHENTICATE";
        let (partner, recipient) = (self.partner, point(recipient)?);
        let (ephemeral, secret) = self
            .card
            .call(move |session| session.agree_ephemeral(partner, &recipient))?;
        let ephemeral = PublicPoint::from_sec1(&ephemeral.to_bytes())
            .map_err(|_| card::CardError::Answer { command: COMMAND })?;
        Ok((ephemeral, SharedSecret::new(*secret.as_bytes())))
    }
}

/// Both crates have checked that their points lie on the curve, so this never fails in practice.
fn point(point: &PublicPoint) -> Result<Point, CardFault> {
    const COMMAND: &str = "GENERAL AUTHENTICATE";
    let point = Point::try_from(point.as_sec1().as_slice());
    Ok(point.map_err(|_| card::CardError::Answer { command: COMMAND })?)
}
