//! PACE: two ends that know one secret prove it to each other and agree the keys of a channel.
//!
//! Elliptic curves, generic mapping, AES-128 in CBC mode and CMAC. Both ends go through the same
//! steps, so there is one machine for both; who speaks first is the callers' matter. Each step
//! consumes the one before it, so none can be repeated or left out, and random keys come in as
//! arguments. The curve is a parameter: the card has P-256, the published example another one.
//!
//! Spec: BSI TR-03110-3, section A.3; ICAO Doc 9303-11, section 4.4.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use p256::NistP256;
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{
    AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, Generate, Group, NonZeroScalar,
    ProjectivePoint, Scalar,
};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secure_messaging::{Channel, derive};
use crate::tlv;

/// The length of the nonce that both ends map to a base point, in bytes: one block of AES.
pub(crate) const NONCE: usize = 16;
/// The length of an authentication token in bytes.
pub(crate) const TOKEN: usize = 8;

/// id-PACE-ECDH-GM-AES-CBC-CMAC-128, 0.4.0.127.0.7.2.2.4.2.2, as the content of its DER encoding.
pub(crate) const PROTOCOL: [u8; 10] = [0x04, 0x00, 0x7F, 0x00, 0x07, 0x02, 0x02, 0x04, 0x02, 0x02];

/// A curve that PACE can run on.
pub(crate) trait PaceCurve: CurveArithmetic
where
    Self: CurveArithmetic<AffinePoint: FromSec1Point<Self> + ToSec1Point<Self>>,
    FieldBytesSize<Self>: ModulusSize,
{
}

impl PaceCurve for NistP256 {}

/// The reason why a run of PACE breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PaceError {
    /// The peer's point does not lie on the curve, or is the point at infinity.
    #[error("the peer's point of PACE is none of the curve")]
    Point,
    /// The peer's ephemeral key is our own: it is sent back by somebody who has none.
    #[error("the peer of PACE sends our own key back")]
    Reflected,
    /// The secret of this run maps to no base point; another nonce will do.
    #[error("the nonce of PACE cannot be mapped")]
    Mapping,
    /// The peer's token is wrong: it does not know the secret.
    #[error("the peer's token of PACE is wrong")]
    Token,
}

/// The key that encrypts the nonce, derived from the secret that both ends share.
pub(crate) struct NonceKey(Zeroizing<[u8; 16]>);

/// The nonce in clear; wiped when dropped.
pub(crate) struct Nonce(Zeroizing<[u8; NONCE]>);

impl NonceKey {
    /// Derives the key. Spec: ICAO Doc 9303-11, section 9.7.3.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Zeroizing::new(derive(secret, &[], 3)))
    }

    /// Encrypts a nonce: one block, with an initialisation vector of zeros.
    pub(crate) fn encrypt(&self, nonce: &Nonce) -> [u8; NONCE] {
        let mut block = (*nonce.0).into();
        Aes128::new(&(*self.0).into()).encrypt_block(&mut block);
        block.into()
    }

    /// Decrypts a nonce. With a wrong secret this gives another nonce, and the tokens will differ.
    pub(crate) fn decrypt(&self, encrypted: [u8; NONCE]) -> Nonce {
        let mut block = encrypted.into();
        Aes128::new(&(*self.0).into()).decrypt_block(&mut block);
        Nonce(Zeroizing::new(block.into()))
    }
}

impl Nonce {
    /// Draws a nonce.
    pub(crate) fn generate(random: &mut dyn CryptoRng) -> Self {
        let mut nonce = Zeroizing::new([0; NONCE]);
        random.fill_bytes(nonce.as_mut_slice());
        Self(nonce)
    }
}

/// First step: the nonce is known, and the mapping's key pair made.
pub(crate) struct Mapping<C: CurveArithmetic> {
    nonce: Nonce,
    private: Zeroizing<NonZeroScalar<C>>,
}

/// Second step: the base point is mapped, and the ephemeral key pair made on it.
pub(crate) struct Agreement<C: CurveArithmetic> {
    base: ProjectivePoint<C>,
    private: Zeroizing<NonZeroScalar<C>>,
}

/// Third step: the keys are agreed; what is left is that both ends show it.
pub(crate) struct Agreed {
    channel: Channel,
    own_token: [u8; TOKEN],
    expected_token: [u8; TOKEN],
}

impl<C> Mapping<C>
where
    C: PaceCurve,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
    Scalar<C>: Reduce<FieldBytes<C>>,
{
    /// Begins with a nonce and draws the mapping's key.
    pub(crate) fn begin(nonce: Nonce, random: &mut dyn CryptoRng) -> Self {
        Self::with_key(nonce, NonZeroScalar::<C>::generate_from_rng(random))
    }

    fn with_key(nonce: Nonce, private: NonZeroScalar<C>) -> Self {
        Self {
            nonce,
            private: Zeroizing::new(private),
        }
    }

    /// Returns the mapping's public key, uncompressed.
    pub(crate) fn public(&self) -> Vec<u8> {
        encode::<C>(times::<C>(ProjectivePoint::<C>::generator(), &self.private))
    }

    /// Maps the nonce to a base point (s × G + H) and draws the ephemeral key on it.
    pub(crate) fn map(self, peer: &[u8], random: &mut dyn CryptoRng) -> Result<Agreement<C>, PaceError> {
        self.map_with(peer, NonZeroScalar::<C>::generate_from_rng(random))
    }

    fn map_with(self, peer: &[u8], private: NonZeroScalar<C>) -> Result<Agreement<C>, PaceError> {
        let shared = times::<C>(decode::<C>(peer)?, &self.private);
        let mut wide = Zeroizing::new(FieldBytes::<C>::default());
        // The nonce is a big-endian number at the end of a field element.
        for (byte, value) in wide.iter_mut().rev().zip(self.nonce.0.iter().rev()) {
            *byte = *value;
        }
        let nonce = Scalar::<C>::reduce(&wide);
        let base = plus::<C>(times::<C>(ProjectivePoint::<C>::generator(), &nonce), shared);
        if base.is_identity().into() {
            return Err(PaceError::Mapping);
        }
        let private = Zeroizing::new(private);
        Ok(Agreement { base, private })
    }
}

impl<C> Agreement<C>
where
    C: PaceCurve,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    /// Returns the ephemeral public key, uncompressed.
    pub(crate) fn public(&self) -> Vec<u8> {
        encode::<C>(times::<C>(self.base, &self.private))
    }

    /// Agrees the keys with the peer's ephemeral key.
    pub(crate) fn agree(self, peer: &[u8]) -> Result<Agreed, PaceError> {
        let own = self.public();
        let point = decode::<C>(peer)?;
        if own == peer {
            return Err(PaceError::Reflected);
        }
        let shared: AffinePoint<C> = times::<C>(point, &self.private).into();
        let secret = Zeroizing::new(shared.x());
        let channel = Channel::new(&secret, &[]);
        Ok(Agreed {
            own_token: channel.token(&token_input(peer)),
            expected_token: channel.token(&token_input(&own)),
            channel,
        })
    }
}

impl Agreed {
    /// Returns the token that proves to the peer that this end has the same keys.
    pub(crate) const fn token(&self) -> [u8; TOKEN] {
        self.own_token
    }

    /// Compares the peer's token, in constant time, and gives out the channel.
    pub(crate) fn verify(self, token: &[u8]) -> Result<Channel, PaceError> {
        if bool::from(self.expected_token.as_slice().ct_eq(token)) {
            Ok(self.channel)
        } else {
            Err(PaceError::Token)
        }
    }
}

/// Returns what a token is computed over: `7F49 { 06 protocol, 86 the other end's ephemeral key }`.
///
/// Spec: BSI TR-03110-3, section A.2.4.
fn token_input(point: &[u8]) -> Vec<u8> {
    // A point has 65 bytes, so nothing of this is too long for its length field.
    tlv::encode([(0x06, &PROTOCOL[..]), (0x86, point)])
        .and_then(|key| tlv::encode([(0x7F49, &key)]))
        .unwrap_or_default()
}

#[expect(clippy::arithmetic_side_effects, reason = "a point times a scalar is a point")]
fn times<C: CurveArithmetic>(point: ProjectivePoint<C>, scalar: &Scalar<C>) -> ProjectivePoint<C> {
    point * *scalar
}

#[expect(clippy::arithmetic_side_effects, reason = "the sum of two points is a point")]
fn plus<C: CurveArithmetic>(one: ProjectivePoint<C>, two: ProjectivePoint<C>) -> ProjectivePoint<C> {
    one + two
}

fn encode<C>(point: ProjectivePoint<C>) -> Vec<u8>
where
    C: PaceCurve,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let point: AffinePoint<C> = point.into();
    point.to_sec1_point(false).as_bytes().to_vec()
}

/// Reads an uncompressed point that lies on the curve and is not the point at infinity.
fn decode<C>(bytes: &[u8]) -> Result<ProjectivePoint<C>, PaceError>
where
    C: PaceCurve,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    const UNCOMPRESSED: u8 = 0x04;
    if bytes.first() != Some(&UNCOMPRESSED) {
        return Err(PaceError::Point);
    }
    let point = AffinePoint::<C>::from_sec1_bytes(bytes).map_err(|_| PaceError::Point)?;
    Ok(point.into())
}

#[cfg(test)]
mod tests;
