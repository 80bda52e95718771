//! The package of an energy application: one file that stays a valid WebAssembly module.
//!
//! Behind the module's own sections stand up to three custom sections, in this order and at the very end:
//!
//! | section | content | covered by |
//! |---|---|---|
//! | `smgw.manifest` | the manifest, JSON | both signatures |
//! | `smgw.author` | a detached CMS SignedData (DER) of the author over every byte before the section | the TSM's signature |
//! | `smgw.tsm` | a detached CMS SignedData (DER) of the TSM over every byte before the section | |
//!
//! The signatures are opaque here: the caller verifies them over the ranges that [`Package::author`] and [`Package::tsm`]
//! name. Lengths are LEB128 in their shortest form only, so that there is one way to write a package.
//!
//! Spec: WebAssembly Core Specification 1.0, sections 5.5.2 (sections) and 5.5.3 (custom section).

use std::ops::Range;

use crate::limits::{
    MAX_MANIFEST_BYTES, MAX_MODULE_BYTES, MAX_PACKAGE_BYTES, MAX_SECTIONS, MAX_SIGNATURE_BYTES,
};
use crate::manifest::{Manifest, ManifestError};

/// The name of the section that holds the manifest.
pub const MANIFEST_SECTION: &str = "smgw.manifest";
/// The name of the section that holds the author's signature.
pub const AUTHOR_SECTION: &str = "smgw.author";
/// The name of the section that holds the TSM's signature.
pub const TSM_SECTION: &str = "smgw.tsm";

/// What every section of ours begins with.
const OURS: &str = "smgw.";
const HEADER: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];
const CUSTOM: u8 = 0;
const START: u8 = 8;
const LAST_STANDARD: u8 = 12;

/// A package whose form and manifest are right; nothing says yet that its signatures are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package<'a> {
    bytes: &'a [u8],
    module: Range<usize>,
    manifest: Manifest,
    author: Option<Signature<'a>>,
    tsm: Option<Signature<'a>>,
}

/// A signature and what it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The bytes of the package that it covers, from the first one on.
    pub covered: &'a [u8],
    /// The detached CMS SignedData, DER.
    pub cms: &'a [u8],
}

impl<'a> Package<'a> {
    /// Reads a package, whether or not it is signed yet.
    ///
    /// # Errors
    ///
    /// [`PackageError`] names the first thing that is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PackageError> {
        if bytes.len() > MAX_PACKAGE_BYTES {
            return Err(PackageError::TooLong { bytes: bytes.len() });
        }
        let sections = sections(bytes)?;
        let mut ours: [Option<Section<'a>>; 3] = [None, None, None];
        let mut next = 0;
        let mut module_end = HEADER.len();
        for section in sections {
            let Some(name) = section.name.filter(|name| name.starts_with(OURS)) else {
                if next > 0 {
                    return Err(PackageError::Trailing {
                        offset: section.begin,
                    });
                }
                module_end = section.end;
                continue;
            };
            let places = [MANIFEST_SECTION, AUTHOR_SECTION, TSM_SECTION];
            let place = places.iter().position(|known| *known == name);
            let place = place.ok_or(PackageError::UnknownSection {
                offset: section.begin,
            })?;
            if place != next {
                return Err(PackageError::Order {
                    offset: section.begin,
                });
            }
            next = place.saturating_add(1);
            if let Some(slot) = ours.get_mut(place) {
                *slot = Some(section);
            }
        }
        if module_end > MAX_MODULE_BYTES {
            return Err(PackageError::ModuleTooLong { bytes: module_end });
        }
        let [manifest, author, tsm] = ours;
        let manifest = manifest.ok_or(PackageError::NoManifest)?;
        Ok(Self {
            bytes,
            module: 0..module_end,
            manifest: Manifest::parse(manifest.content)?,
            author: author.map(|section| section.signature(bytes)).transpose()?,
            tsm: tsm.map(|section| section.signature(bytes)).transpose()?,
        })
    }

    /// Returns the manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the whole file, which the engine takes as it is.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the module's own sections, without those of the package.
    #[must_use]
    pub fn module(&self) -> &'a [u8] {
        self.bytes.get(self.module.clone()).unwrap_or_default()
    }

    /// Returns the author's signature and what it covers.
    #[must_use]
    pub const fn author(&self) -> Option<&Signature<'a>> {
        self.author.as_ref()
    }

    /// Returns the TSM's signature and what it covers.
    #[must_use]
    pub const fn tsm(&self) -> Option<&Signature<'a>> {
        self.tsm.as_ref()
    }
}

/// Puts a manifest behind a module.
///
/// # Errors
///
/// [`PackageError`] if the manifest is malformed, or the module is not one or carries a manifest already.
pub fn with_manifest(module: &[u8], manifest: &[u8]) -> Result<Vec<u8>, PackageError> {
    let sections = sections(module)?;
    if let Some(section) = sections
        .iter()
        .find(|section| section.name.is_some_and(|name| name.starts_with(OURS)))
    {
        return Err(PackageError::Order {
            offset: section.begin,
        });
    }
    let package = appended(module, MANIFEST_SECTION, manifest)?;
    Package::parse(&package)?;
    Ok(package)
}

/// Puts the author's signature over the whole package behind it.
///
/// # Errors
///
/// [`PackageError`] if the package is malformed or signed already, or the signature is too long.
pub fn with_author(package: &[u8], cms: &[u8]) -> Result<Vec<u8>, PackageError> {
    let signed = appended(package, AUTHOR_SECTION, cms)?;
    Package::parse(&signed)?;
    Ok(signed)
}

/// Puts the TSM's signature over the whole package, the author's signature included, behind it.
///
/// # Errors
///
/// [`PackageError`] if the package is malformed, not signed by an author or signed already, or the signature is too long.
pub fn with_tsm(package: &[u8], cms: &[u8]) -> Result<Vec<u8>, PackageError> {
    let signed = appended(package, TSM_SECTION, cms)?;
    Package::parse(&signed)?;
    Ok(signed)
}

/// Writes a custom section behind the bytes.
fn appended(bytes: &[u8], name: &str, content: &[u8]) -> Result<Vec<u8>, PackageError> {
    let too_long = || PackageError::TooLong { bytes: content.len() };
    let name_length = leb128(name.len()).ok_or_else(too_long)?;
    let inner = name_length.len().checked_add(name.len());
    let length = inner
        .and_then(|length| length.checked_add(content.len()))
        .and_then(leb128);
    let mut package = bytes.to_vec();
    package.push(CUSTOM);
    package.extend(length.ok_or_else(too_long)?);
    package.extend(name_length);
    package.extend(name.as_bytes());
    package.extend(content);
    Ok(package)
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

/// A section as far as a package looks at it.
struct Section<'a> {
    begin: usize,
    end: usize,
    /// The name of a custom section.
    name: Option<&'a str>,
    /// What stands behind the name.
    content: &'a [u8],
}

impl<'a> Section<'a> {
    fn signature(&self, bytes: &'a [u8]) -> Result<Signature<'a>, PackageError> {
        if self.content.is_empty() || self.content.len() > MAX_SIGNATURE_BYTES {
            return Err(PackageError::SignatureLength {
                bytes: self.content.len(),
            });
        }
        Ok(Signature {
            covered: bytes.get(..self.begin).unwrap_or_default(),
            cms: self.content,
        })
    }
}

/// Splits a module into its sections.
fn sections(bytes: &[u8]) -> Result<Vec<Section<'_>>, PackageError> {
    let mut rest = bytes.strip_prefix(&HEADER).ok_or(PackageError::NoModule)?;
    let mut sections = Vec::new();
    while let Some((id, behind)) = rest.split_first() {
        let begin = bytes.len().saturating_sub(rest.len());
        let malformed = || PackageError::Section { offset: begin };
        if sections.len() >= MAX_SECTIONS {
            return Err(PackageError::TooManySections);
        }
        if *id > LAST_STANDARD {
            return Err(malformed());
        }
        if *id == START {
            return Err(PackageError::StartFunction);
        }
        let mut behind = behind;
        let length = number(&mut behind).ok_or_else(malformed)?;
        let (content, after) = behind.split_at_checked(length).ok_or_else(malformed)?;
        let (name, content) = if *id == CUSTOM {
            let (name, content) = named(content).ok_or_else(malformed)?;
            (Some(name), content)
        } else {
            (None, content)
        };
        if name == Some(MANIFEST_SECTION) && content.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLong { bytes: content.len() }.into());
        }
        let end = bytes.len().saturating_sub(after.len());
        sections.push(Section {
            begin,
            end,
            name,
            content,
        });
        rest = after;
    }
    Ok(sections)
}

/// Splits the content of a custom section into its name and the rest.
fn named(mut content: &[u8]) -> Option<(&str, &[u8])> {
    let length = number(&mut content)?;
    let (name, rest) = content.split_at_checked(length)?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

/// Reads a LEB128 number of 32 bits in its shortest form.
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
            let shortest = part != 0 || shift == 0;
            return if shortest {
                usize::try_from(value).ok()
            } else {
                None
            };
        }
    }
    None
}

/// The reason why bytes are no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// Longer than a package may be.
    #[error("the package has a part of {bytes} bytes, more than the gateway takes")]
    TooLong {
        /// The length that was found.
        bytes: usize,
    },
    /// The module's own sections are longer than [`MAX_MODULE_BYTES`].
    #[error("the module has {bytes} bytes, more than {MAX_MODULE_BYTES}")]
    ModuleTooLong {
        /// Their length.
        bytes: usize,
    },
    /// The first bytes are not those of a WebAssembly module of version 1.
    #[error("the package is no WebAssembly module of version 1")]
    NoModule,
    /// A section is cut off, of an unknown kind, or its length is not written in the shortest form.
    #[error("the section of the package at byte {offset} is malformed")]
    Section {
        /// Where it begins.
        offset: usize,
    },
    /// More than [`MAX_SECTIONS`].
    #[error("the package has more than {MAX_SECTIONS} sections")]
    TooManySections,
    /// The module would run code when it is loaded.
    #[error("the module has a start function")]
    StartFunction,
    /// A section with a name of ours that this gateway does not know.
    #[error("the section of the package at byte {offset} has a name that is reserved")]
    UnknownSection {
        /// Where it begins.
        offset: usize,
    },
    /// Manifest, author's and TSM's signature are not in this order, once each.
    #[error(
        "manifest, author's and TSM's signature do not follow in this order (byte {offset} of the package)"
    )]
    Order {
        /// Where the first section that does not follow begins.
        offset: usize,
    },
    /// Something stands behind the manifest that is none of the package's sections.
    #[error("the package goes on with something else at byte {offset}, behind its manifest")]
    Trailing {
        /// Where it begins.
        offset: usize,
    },
    /// There is no manifest.
    #[error("the package has no manifest")]
    NoManifest,
    /// A signature is empty or longer than [`MAX_SIGNATURE_BYTES`].
    #[error("a signature of the package has {bytes} bytes; 1 to {MAX_SIGNATURE_BYTES} are taken")]
    SignatureLength {
        /// Its length.
        bytes: usize,
    },
    /// The manifest is refused.
    #[error("the manifest of the package is refused")]
    Manifest(#[from] ManifestError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::{MANIFEST, module};

    fn signed() -> Vec<u8> {
        let package = with_manifest(&module(), MANIFEST.as_bytes()).unwrap();
        with_tsm(&with_author(&package, b"author").unwrap(), b"tsm").unwrap()
    }

    fn fault(bytes: &[u8]) -> PackageError {
        Package::parse(bytes).map(|_| ()).unwrap_err()
    }

    #[test]
    fn signatures_cover_everything_before_them() {
        let bytes = signed();
        let package = Package::parse(&bytes).unwrap();
        assert_eq!(package.module(), module());
        assert_eq!(package.manifest().id().as_str(), "sample");
        let author = package.author().unwrap();
        assert_eq!(author.cms, b"author");
        assert_eq!(
            author.covered,
            with_manifest(&module(), MANIFEST.as_bytes()).unwrap()
        );
        let tsm = package.tsm().unwrap();
        assert_eq!(tsm.cms, b"tsm");
        assert_eq!(tsm.covered, with_author(author.covered, b"author").unwrap());
        assert_eq!(package.bytes(), bytes);
    }

    #[test]
    fn package_stays_a_valid_module() {
        assert!(crate::Module::load(&signed(), 1 << 22).is_ok());
    }

    #[test]
    fn parts_that_are_missing_doubled_or_out_of_order_are_named() {
        assert_eq!(fault(&module()), PackageError::NoManifest);
        assert_eq!(fault(b"\0asm\x02\0\0\0"), PackageError::NoModule);
        let manifest = with_manifest(&module(), MANIFEST.as_bytes()).unwrap();
        assert!(matches!(
            with_tsm(&manifest, b"tsm"),
            Err(PackageError::Order { .. })
        ));
        assert!(matches!(
            with_manifest(&manifest, MANIFEST.as_bytes()),
            Err(PackageError::Order { .. })
        ));
        let author = with_author(&manifest, b"author").unwrap();
        assert!(matches!(
            with_author(&author, b"author"),
            Err(PackageError::Order { .. })
        ));
        let stranger = appended(&manifest, "smgw.other", b"").unwrap();
        assert_eq!(
            fault(&stranger),
            PackageError::UnknownSection {
                offset: manifest.len()
            }
        );
        let trailing = appended(&manifest, "name", b"").unwrap();
        assert_eq!(
            fault(&trailing),
            PackageError::Trailing {
                offset: manifest.len()
            }
        );
        assert_eq!(
            with_author(&manifest, b""),
            Err(PackageError::SignatureLength { bytes: 0 })
        );
        let broken = appended(&module(), MANIFEST_SECTION, b"{").unwrap();
        assert!(matches!(
            fault(&broken),
            PackageError::Manifest(ManifestError::Json { .. })
        ));
    }

    #[test]
    fn malformed_sections_are_named() {
        let begin = HEADER.len();
        for section in [
            &[13, 0][..],
            &[1],
            &[1, 2, 0],
            &[1, 0x80, 0],
            &[1, 0xff, 0xff, 0xff, 0xff, 0x1f],
            &[0, 1, 2],
            &[0, 2, 1, 0xff],
        ] {
            let bytes = [&HEADER[..], section].concat();
            assert_eq!(
                fault(&bytes),
                PackageError::Section { offset: begin },
                "{section:?}"
            );
        }
        assert_eq!(
            fault(&[&HEADER[..], &[8, 1, 0]].concat()),
            PackageError::StartFunction
        );
        let many = [&HEADER[..], &[0, 1, 0].repeat(MAX_SECTIONS + 1)].concat();
        assert_eq!(fault(&many), PackageError::TooManySections);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert_eq!(
            fault(&vec![0; MAX_PACKAGE_BYTES + 1]),
            PackageError::TooLong {
                bytes: MAX_PACKAGE_BYTES + 1
            }
        );
        let large = appended(&module(), "name", &vec![0; MAX_MODULE_BYTES]).unwrap();
        assert!(matches!(
            with_manifest(&large, MANIFEST.as_bytes()),
            Err(PackageError::ModuleTooLong { .. })
        ));
        let package = with_manifest(&module(), MANIFEST.as_bytes()).unwrap();
        let bytes = MAX_SIGNATURE_BYTES + 1;
        assert_eq!(
            with_author(&package, &vec![1; bytes]),
            Err(PackageError::SignatureLength { bytes })
        );
        let bytes = MAX_MANIFEST_BYTES + 1;
        assert_eq!(
            with_manifest(&module(), &vec![b' '; bytes]),
            Err(PackageError::Manifest(ManifestError::TooLong { bytes }))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(rest: Vec<u8>) {
            let bytes = [&HEADER[..], &rest].concat();
            drop(Package::parse(&bytes));
            let mut package = signed();
            for (byte, noise) in package.iter_mut().skip(8).zip(&rest) {
                *byte ^= noise & 1;
            }
            drop(Package::parse(&package));
        }

        #[test]
        fn numbers_have_one_form(value in 0usize..=u32::MAX as usize) {
            let bytes = leb128(value).unwrap();
            prop_assert_eq!(number(&mut &bytes[..]), Some(value));
        }
    }
}
