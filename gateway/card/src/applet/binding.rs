//! Binding: the card takes one gateway, once.

use model::{GatewayId, KeySlot};
use subtle::ConstantTimeEq;

use super::state::{BoundTo, PairingSecret};
use super::{Applet, Outcome};
use crate::crypto::sha256;
use crate::tlv;
use crate::{LifeCycle, StatusWord};

/// The domain of the receipt that the card signs when it is bound.
pub(crate) const BIND_DOMAIN: &[u8] = b"smgw/bind/1";

impl Applet {
    /// Takes the gateway's identity and the pairing secret for good.
    ///
    /// Until the gateway has confirmed, the same gateway may repeat the command with the same
    /// secret, so that a power cut between the two phases costs nothing. A bound card that another
    /// gateway tries to bind terminates itself.
    pub(super) fn bind(&mut self, data: &[u8]) -> Outcome {
        let [gateway, secret, nonce] =
            tlv::exactly(data, [0x80, 0x81, 0x82]).map_err(|_| StatusWord::WRONG_DATA)?;
        let gateway = GatewayId::try_from(gateway).map_err(|_| StatusWord::WRONG_DATA)?;
        let secret: [u8; 16] = secret.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
        if nonce.len() != super::keys::NONCE {
            return Err(StatusWord::WRONG_DATA);
        }
        match self.state.binding() {
            None => {
                self.state.write_binding(BoundTo {
                    gateway,
                    pairing_secret: PairingSecret(secret),
                    confirmed: false,
                });
                self.state.advance_to(LifeCycle::Bound);
            }
            Some(bound) if bound.gateway != gateway => {
                self.state.die();
                return Err(StatusWord::TERMINATED);
            }
            Some(bound) if bound.confirmed || !same(&bound.pairing_secret.0, &secret) => {
                return Err(StatusWord::CONDITIONS);
            }
            Some(_) => {}
        }
        let guid = self.state.guid().ok_or(StatusWord::CONDITIONS)?;
        let digest = sha256(&[BIND_DOMAIN, &guid.to_bytes(), gateway.as_bytes(), nonce]);
        let receipt = self.sign(KeySlot::Sig, &digest)?;
        tlv::encode([(0x9E, &receipt.as_bytes()[..])]).map_err(|_| StatusWord::WRONG_LENGTH)
    }

    /// Learns that the gateway has burned the binding. May be repeated.
    pub(super) fn confirm_binding(&mut self, data: &[u8]) -> Outcome {
        let [gateway, secret] = tlv::exactly(data, [0x80, 0x81]).map_err(|_| StatusWord::WRONG_DATA)?;
        let bound = self.state.binding().ok_or(StatusWord::CONDITIONS)?;
        let known = same(bound.gateway.as_bytes(), gateway) & same(&bound.pairing_secret.0, secret);
        if !known {
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
}

/// Compares in a time that does not depend on where the first difference lies.
fn same(one: &[u8], two: &[u8]) -> bool {
    one.ct_eq(two).into()
}
