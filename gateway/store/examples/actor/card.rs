//! The card that signs the heads of the logs: for somebody who does not look closely.

use std::convert::Infallible;

use store::{HeadAnchor, HeadRefusal, HeadSignature, HeadVerifier};

/// Its signature is made of the digest alone; what is tortured here is not the card.
pub(crate) struct TestCard;

impl TestCard {
    fn signature(digest: &[u8; 32]) -> HeadSignature {
        let mut signature = [0x0c; 64];
        for (place, byte) in signature.iter_mut().zip(digest) {
            *place = *byte;
        }
        HeadSignature {
            signature,
            certificate: b"certificate".to_vec(),
        }
    }
}

impl HeadAnchor for TestCard {
    type Error = Infallible;

    fn sign(&mut self, digest: &[u8; 32]) -> Result<HeadSignature, Infallible> {
        Ok(Self::signature(digest))
    }
}

impl HeadVerifier for TestCard {
    fn verify(&self, digest: &[u8; 32], signature: &HeadSignature) -> Result<(), HeadRefusal> {
        let expected = Self::signature(digest);
        if signature.certificate != expected.certificate {
            return Err(HeadRefusal::Key);
        }
        if *signature == expected {
            Ok(())
        } else {
            Err(HeadRefusal::Signature)
        }
    }
}
