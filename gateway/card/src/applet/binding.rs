//! Binding: the card takes one gateway, once.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use model::{CardId, GatewayId, KeySlot};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::state::{BoundTo, PairingSecret};
use super::{Applet, Outcome};
use crate::crypto::{PrivateKey, sha256};
use crate::secure_messaging::derive;
use crate::tlv;
use crate::{CardKey, LifeCycle, Point, SharedSecret, StatusWord};

/// The domain of the receipt that the card signs when it is bound.
pub(crate) const BIND_DOMAIN: &[u8] = b"smgw/bind/2";

/// Returns what the receipt signs. It covers the secret, so that it proves that the card has the right
/// one; whoever does not know its 128 bits learns nothing from that.
pub(crate) fn receipt_digest(
    card: &CardId,
    gateway: &GatewayId,
    secret: &[u8; 16],
    nonce: &[u8],
) -> [u8; 32] {
    sha256(&[BIND_DOMAIN, &card.to_bytes(), gateway.as_bytes(), secret, nonce])
}

/// The domain of the gateway's ephemeral key, with which it seals the pairing secret.
const SEAL_DOMAIN: &[u8] = b"smgw/bind-ephemeral/1";

/// Seals the pairing secret for the card, so that nobody who listens on the way learns it: one block of
/// AES under a key that the card's ENC key and the returned ephemeral key agree. The receipt shows that
/// the card got it unaltered.
pub(crate) fn seal_secret(secret: &[u8; 16], nonce: &[u8], card: &Point) -> Option<(Point, [u8; 16])> {
    let ephemeral = PrivateKey::derived(SEAL_DOMAIN, secret, nonce)?;
    let mut block = (*secret).into();
    cipher(&ephemeral.agree(card), nonce).encrypt_block(&mut block);
    Some((ephemeral.point(), block.into()))
}

fn open_secret(sealed: [u8; 16], shared: &SharedSecret, nonce: &[u8]) -> Zeroizing<[u8; 16]> {
    let mut block = sealed.into();
    cipher(shared, nonce).decrypt_block(&mut block);
    Zeroizing::new(block.into())
}

fn cipher(shared: &SharedSecret, nonce: &[u8]) -> Aes128 {
    let key = Zeroizing::new(derive(shared.as_bytes(), nonce, 1));
    Aes128::new(&(*key).into())
}

impl Applet {
    /// Takes the gateway's identity and the pairing secret for good.
    ///
    /// Until the gateway has confirmed, the same gateway may repeat the command with the same
    /// secret, so that a power cut between the two phases costs nothing; a wrong secret uses up a try.
    /// A bound card that another gateway tries to bind terminates itself: a well-formed BIND with
    /// another gateway's identity is the proof, and no reader that selects and reads ever sends one.
    pub(super) fn bind(&mut self, data: &[u8]) -> Outcome {
        let [gateway, sealed, nonce, ephemeral] =
            tlv::exactly(data, [0x80, 0x81, 0x82, 0x86]).map_err(|_| StatusWord::WRONG_DATA)?;
        let gateway = GatewayId::try_from(gateway).map_err(|_| StatusWord::WRONG_DATA)?;
        let sealed = sealed.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
        let ephemeral = Point::try_from(ephemeral).map_err(|_| StatusWord::WRONG_DATA)?;
        if nonce.len() != super::keys::NONCE {
            return Err(StatusWord::WRONG_DATA);
        }
        let key = self.state.key(CardKey::Slot(KeySlot::Enc));
        let shared = key.ok_or(StatusWord::CONDITIONS)?.agree(&ephemeral);
        let secret = open_secret(sealed, &shared, nonce);
        match self.state.binding() {
            None => {
                self.state.write_binding(BoundTo {
                    gateway,
                    pairing_secret: PairingSecret(*secret),
                    confirmed: false,
                });
                self.state.advance_to(LifeCycle::Bound);
            }
            Some(bound) if bound.gateway != gateway => {
                self.state.die();
                return Err(StatusWord::TERMINATED);
            }
            Some(bound) if bound.confirmed => return Err(StatusWord::CONDITIONS),
            Some(bound) => {
                let known = bound.pairing_secret.clone();
                self.compare_secret(&known.0, secret.as_slice())?;
            }
        }
        let guid = self.state.guid().ok_or(StatusWord::CONDITIONS)?;
        let digest = receipt_digest(&guid, &gateway, &secret, nonce);
        let receipt = self.sign(CardKey::Attestation, &digest)?;
        tlv::encode([(0x9E, &receipt.as_bytes()[..])]).map_err(|_| StatusWord::WRONG_LENGTH)
    }

    /// Learns that the gateway has burned the binding. May be repeated. That it comes under the secure
    /// messaging of a pairing proves that the gateway has the secret.
    pub(super) fn confirm_binding(&mut self, data: &[u8]) -> Outcome {
        let [gateway] = tlv::exactly(data, [0x80]).map_err(|_| StatusWord::WRONG_DATA)?;
        let bound = self.state.binding().ok_or(StatusWord::CONDITIONS)?;
        if bound.gateway.as_bytes() != gateway {
            return Err(StatusWord::SECURITY_STATUS);
        }
        if !bound.confirmed {
            let confirmed = BoundTo {
                confirmed: true,
                ..bound.clone()
            };
            self.state.write_binding(confirmed);
        }
        Ok(Vec::new())
    }

    /// Compares a secret in constant time, after a try was used up for it.
    fn compare_secret(&mut self, known: &[u8], offered: &[u8]) -> Result<(), StatusWord> {
        if !self.state.use_try() {
            return Err(StatusWord::BLOCKED);
        }
        if !bool::from(known.ct_eq(offered)) {
            return Err(StatusWord::tries_left(self.state.pairing().tries));
        }
        self.state.restore_tries();
        Ok(())
    }
}
