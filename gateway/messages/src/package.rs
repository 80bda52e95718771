//! The signatures of an energy application's package: where they stand in the file, who makes them, and how they are judged.
//!
//! A package is a WebAssembly module that ends in custom sections of ours: `smgw.manifest`, then `smgw.author`, then
//! `smgw.tsm`. Each signature is a detached CMS SignedData over every byte before its section. This module knows of the file
//! no more than where its sections begin; what the module and its manifest are is judged where they are run, by a reader of
//! its own: whoever signs knows nothing of running, and lengths have one form for both.
//!
//! Spec: WebAssembly Core Specification 1.0, sections 5.5.2 (sections) and 5.5.3 (custom section).

use model::Timestamp;

use crate::certificate::{Certificate, CertificateError, Role, TrustAnchor, VerifiedCertificate};
use crate::content::MAX_APPLICATION;
use crate::envelope::{OpenError, SealError, sign_apart, verify_apart};

pub use crate::envelope::claimed_signer;
use crate::keys::Signer;

const HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";
const CUSTOM: u8 = 0;
/// The most sections of a package: the twelve that the standard knows, and some custom ones.
const MAX_SECTIONS: usize = 32;

/// A signature of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Whoever wrote the application: a supplier.
    Author,
    /// The TSM that has it installed.
    Tsm,
}

impl Place {
    const fn section(self) -> &'static str {
        match self {
            Self::Author => "smgw.author",
            Self::Tsm => "smgw.tsm",
        }
    }

    /// Returns the role that has to have made the signature.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Author => Role::Supplier,
            Self::Tsm => Role::Tsm,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Author => "author",
            Self::Tsm => "TSM",
        })
    }
}

/// Signs a package: puts a signature over every byte of it behind it.
///
/// # Errors
///
/// [`SignError`] if the package has that signature already, its author's is missing before the TSM's, or the key refuses.
pub fn sign<S: Signer>(
    package: &[u8],
    place: Place,
    (certificate, issuing): (&Certificate, Option<&Certificate>),
    signer: S,
    now: Timestamp,
) -> Result<Vec<u8>, SignError<S::Error>> {
    let is_signed = |place| signature(package, place).map(|found| found.is_some());
    if is_signed(Place::Tsm)? || (place == Place::Author && is_signed(Place::Author)?) {
        return Err(SignError::Signed);
    }
    if place == Place::Tsm && !is_signed(Place::Author)? {
        return Err(SignatureError::Missing { place: Place::Author }.into());
    }
    let signature = sign_apart(package, certificate, issuing, signer, now).map_err(Box::new)?;
    let section = section(place.section(), &signature);
    let signed = [package, &section.ok_or(SignatureError::Package)?].concat();
    if signed.len() > MAX_APPLICATION {
        return Err(SignatureError::Package.into());
    }
    Ok(signed)
}

/// Checks one signature of a package; returns who made it.
///
/// # Errors
///
/// [`SignatureError`] if it is missing, wrong, or made by somebody else than this role.
pub fn verify(
    package: &[u8],
    place: Place,
    anchor: &TrustAnchor,
    now: Timestamp,
) -> Result<VerifiedCertificate, SignatureError> {
    let (covered, cms) = signature(package, place)?.ok_or(SignatureError::Missing { place })?;
    verify_over(cms, covered, place, anchor, now)
}

/// Checks a signature that somebody else has found, over the bytes that it covers; returns who made it.
///
/// # Errors
///
/// As [`verify`] has.
pub fn verify_over(
    cms: &[u8],
    covered: &[u8],
    place: Place,
    anchor: &TrustAnchor,
    now: Timestamp,
) -> Result<VerifiedCertificate, SignatureError> {
    let (signer, _) = verify_apart(cms, covered, anchor, now).map_err(|source| SignatureError::Refused {
        place,
        source: Box::new(source),
    })?;
    let (expected, found) = (place.role(), signer.role());
    if expected == found {
        return Ok(signer);
    }
    let source = CertificateError::WrongRole { expected, found };
    Err(SignatureError::Refused {
        place,
        source: Box::new(source.into()),
    })
}

/// Returns what a package was before the TSM signed it: what its author has published, signature and all.
///
/// # Errors
///
/// [`SignatureError::Package`] if the bytes are none.
pub fn without_tsm(package: &[u8]) -> Result<&[u8], SignatureError> {
    Ok(signature(package, Place::Tsm)?.map_or(package, |(covered, _)| covered))
}

/// Returns the certificate that a package names as its author's; it is not judged.
///
/// # Errors
///
/// [`SignatureError::Package`] if the bytes are none.
pub fn claimed_author(package: &[u8]) -> Result<Option<Certificate>, SignatureError> {
    let found = signature(package, Place::Author)?;
    Ok(found.and_then(|(_, cms)| claimed_signer(cms)))
}

/// A signature: the bytes that it covers, and the CMS.
type Found<'a> = (&'a [u8], &'a [u8]);

/// Finds a signature.
fn signature(package: &[u8], place: Place) -> Result<Option<Found<'_>>, SignatureError> {
    let mut rest = package.strip_prefix(&HEADER).ok_or(SignatureError::Package)?;
    for _ in 0..MAX_SECTIONS {
        let begin = package.len().saturating_sub(rest.len());
        let Some((id, behind)) = rest.split_first() else {
            return Ok(None);
        };
        let mut behind = behind;
        let length = number(&mut behind).ok_or(SignatureError::Package)?;
        let (mut content, after) = behind.split_at_checked(length).ok_or(SignatureError::Package)?;
        if *id == CUSTOM {
            let name = number(&mut content).and_then(|length| content.split_at_checked(length));
            let (name, content) = name.ok_or(SignatureError::Package)?;
            if name == place.section().as_bytes() {
                return Ok(Some((package.get(..begin).unwrap_or_default(), content)));
            }
        }
        rest = after;
    }
    Err(SignatureError::Package)
}

/// Writes a custom section.
fn section(name: &str, content: &[u8]) -> Option<Vec<u8>> {
    let name_length = leb128(name.len())?;
    let length = name_length.len().checked_add(name.len())?;
    let length = leb128(length.checked_add(content.len())?)?;
    let parts = [&[CUSTOM][..], &length, &name_length, name.as_bytes(), content];
    Some(parts.concat())
}

/// Reads a LEB128 number of 32 bits in its shortest form, the only one that whoever runs the package reads.
fn number(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0u32;
    for shift in [0u32, 7, 14, 21, 28] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u32::from(byte & 0x7f);
        let shifted = part.checked_shl(shift)?;
        if shifted.checked_shr(shift) != Some(part) {
            return None;
        }
        value |= shifted;
        if byte & 0x80 == 0 {
            let is_shortest = part != 0 || shift == 0;
            return is_shortest.then(|| usize::try_from(value).ok()).flatten();
        }
    }
    None
}

/// Writes a number as LEB128 in its shortest form.
fn leb128(number: usize) -> Option<Vec<u8>> {
    let mut number = u32::try_from(number).ok()?;
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).ok()?;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return Some(bytes);
        }
        bytes.push(low | 0x80);
    }
}

/// The reason why a signature of a package is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The bytes are no module, or longer than a package.
    #[error("the application is no WebAssembly module of version 1, or too long to be signed")]
    Package,
    /// It is not there.
    #[error("the application is not signed by its {place}")]
    Missing {
        /// Whose it is.
        place: Place,
    },
    /// It is wrong, or somebody else's.
    #[error("the signature of the application's {place} is refused")]
    Refused {
        /// Whose it should be.
        place: Place,
        /// Why.
        source: Box<OpenError<std::convert::Infallible>>,
    },
}

/// The reason why a package is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError<E: std::error::Error + 'static> {
    /// It has that signature already, or one behind it.
    #[error("the application is signed already; sign it as it was built")]
    Signed,
    /// It cannot be signed as it is.
    #[error(transparent)]
    Package(#[from] SignatureError),
    /// The signature was not made.
    #[error("the signature of the application cannot be made")]
    Signature(#[from] Box<SealError<E>>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Party, World, now, world};

    /// A module with a custom section in the place of the manifest.
    fn package() -> Vec<u8> {
        [&HEADER[..], &section("smgw.manifest", b"{}").unwrap()].concat()
    }

    fn signed(package: &[u8], place: Place, party: &Party) -> Vec<u8> {
        sign(package, place, (&party.triple.sig, None), &party.keys.sig, now()).unwrap()
    }

    fn refused(package: &[u8], place: Place, world: &World) -> SignatureError {
        verify(package, place, &world.authority.anchor, now()).unwrap_err()
    }

    #[test]
    fn author_and_tsm_sign_what_is_before_them() {
        let world = world();
        let anchor = &world.authority.anchor;
        let by_author = signed(&package(), Place::Author, &world.supplier);
        let by_both = signed(&by_author, Place::Tsm, &world.tsm);
        let author = verify(&by_both, Place::Author, anchor, now()).unwrap();
        assert_eq!(author, world.supplier.verified.sig);
        let tsm = verify(&by_both, Place::Tsm, anchor, now()).unwrap();
        assert_eq!(tsm, world.tsm.verified.sig);
        let claimed = claimed_author(&by_both).unwrap().unwrap();
        assert_eq!(claimed, world.supplier.triple.sig);
        assert_eq!(claimed_author(&package()), Ok(None));
        assert_eq!(without_tsm(&by_both), Ok(&by_author[..]));
        assert_eq!(without_tsm(&by_author), Ok(&by_author[..]));
        assert_eq!(
            refused(&by_author, Place::Tsm, &world),
            SignatureError::Missing { place: Place::Tsm }
        );
    }

    #[test]
    fn altered_and_foreign_packages_are_refused() {
        let world = world();
        let by_author = signed(&package(), Place::Author, &world.supplier);
        let mut altered = by_author.clone();
        altered[20] ^= 1;
        let cause = |error| match error {
            SignatureError::Refused { source, .. } => *source,
            other => panic!("{other}"),
        };
        assert_eq!(
            cause(refused(&altered, Place::Author, &world)),
            OpenError::WrongDigest
        );
        let by_card = signed(&package(), Place::Author, &world.card);
        assert!(matches!(
            cause(refused(&by_card, Place::Author, &world)),
            OpenError::UnknownSender(CertificateError::WrongRole { .. })
        ));
        let foreign = crate::testing::Authority::new(7, "Another trust centre");
        let error = verify(&by_author, Place::Author, &foreign.anchor, now()).unwrap_err();
        assert!(matches!(cause(error), OpenError::UnknownSender(_)));
        let late = "2027-06-01T00:00:00Z".parse().unwrap();
        let error = verify(&by_author, Place::Author, &world.authority.anchor, late).unwrap_err();
        assert!(matches!(cause(error), OpenError::UnknownSender(_)));
        for bytes in [
            &b""[..],
            b"\0asm\x01\0\0\0\0",
            &[HEADER.as_slice(), &[0, 200, 1]].concat(),
            // The length 2, not in its shortest form.
            &[HEADER.as_slice(), &[0, 0x82, 0, 1, b'a']].concat(),
        ] {
            assert_eq!(refused(bytes, Place::Author, &world), SignatureError::Package);
        }
    }

    #[test]
    fn nobody_signs_twice_or_out_of_turn() {
        let world = world();
        let sign = |package: &[u8], place| {
            let party = &world.supplier;
            sign(package, place, (&party.triple.sig, None), &party.keys.sig, now()).unwrap_err()
        };
        let missing = SignatureError::Missing { place: Place::Author };
        assert_eq!(sign(&package(), Place::Tsm), SignError::Package(missing));
        let by_author = signed(&package(), Place::Author, &world.supplier);
        assert_eq!(sign(&by_author, Place::Author), SignError::Signed);
        let by_both = signed(&by_author, Place::Tsm, &world.tsm);
        assert_eq!(sign(&by_both, Place::Tsm), SignError::Signed);
        let error = sign(b"nothing", Place::Author);
        assert_eq!(error, SignError::Package(SignatureError::Package));
    }
}
