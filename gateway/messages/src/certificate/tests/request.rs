//! Requests for certificates.

use super::*;

#[test]
fn request_proves_possession_of_its_key() {
    let key = SoftwareKey::generate(&mut TestRandom::new(5)).unwrap();
    for slot in KeySlot::ALL {
        let request = CertificationRequest::build(supplier(), slot, key.public_point(), &key).unwrap();
        let read = CertificationRequest::from_pem(&request.to_pem().unwrap()).unwrap();
        assert_eq!(read, request);
        assert_eq!(read.slot(), slot);
        assert_eq!(read.subject(), &supplier());
        assert_eq!(read.public_key(), key.public_point());
    }
    let other = SoftwareKey::generate(&mut TestRandom::new(6)).unwrap();
    assert!(matches!(
        CertificationRequest::build(supplier(), KeySlot::Sig, key.public_point(), &other),
        Err(IssueError::WrongKey)
    ));
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let key = SoftwareKey::generate(&mut TestRandom::new(5)).unwrap();
    let request = CertificationRequest::build(supplier(), KeySlot::Tls, key.public_point(), &key).unwrap();
    let good = request.as_der();
    let read = CertificationRequest::from_der;
    assert_eq!(read(&[0; 4_097]), Err(RequestError::TooLarge { size: 4_097 }));
    assert_eq!(CertificationRequest::from_pem("hello"), Err(RequestError::Pem));
    assert!(matches!(
        read(&good[..good.len() - 1]),
        Err(RequestError::Malformed(_))
    ));
    let renamed = patched(good, b"Supplier", b"Customer");
    assert_eq!(read(&renamed), Err(RequestError::ProofOfPossession));
    let p256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let other_curve = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x06];
    assert!(matches!(
        read(&patched(good, &p256, &other_curve)),
        Err(RequestError::PublicKey(_))
    ));
    let sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let sha384 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    assert!(matches!(
        read(&patched(good, &sha256, &sha384)),
        Err(RequestError::UnsupportedAlgorithm { .. })
    ));
}

#[test]
fn request_with_unsorted_attributes_is_not_canonical() {
    let key = SoftwareKey::generate(&mut TestRandom::new(5)).unwrap();
    let request = CertificationRequest::build(supplier(), KeySlot::Sig, key.public_point(), &key).unwrap();
    let mut parsed = x509_cert::request::CertReq::from_der(request.as_der()).unwrap();
    let attribute = |last: &str| x509_cert::attr::Attribute {
        oid: last.parse().unwrap(),
        values: Default::default(),
    };
    for last in ["1.2.3", "1.2.4"] {
        parsed.info.attributes.insert(attribute(last)).unwrap();
    }
    let sorted = parsed.to_der().unwrap();
    let first = attribute("1.2.3").to_der().unwrap();
    let second = attribute("1.2.4").to_der().unwrap();
    let unsorted = patched(
        &sorted,
        &[first.clone(), second.clone()].concat(),
        &[second, first].concat(),
    );
    assert_eq!(
        CertificationRequest::from_der(&unsorted),
        Err(RequestError::NotCanonical)
    );
}

#[test]
fn request_without_a_usable_subject_or_slot_is_refused() {
    use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};

    let key = SoftwareKey::generate(&mut TestRandom::new(5)).unwrap();
    let signed = |subject: &str, extensions: Option<Vec<Extension>>| {
        let mut info = CertReqInfo {
            version: Version::V1,
            subject: subject.parse().unwrap(),
            public_key: Decode::from_der(&key.public_point().to_spki()).unwrap(),
            attributes: Default::default(),
        };
        if let Some(extensions) = extensions {
            let attribute = ExtensionReq(extensions).try_into().unwrap();
            info.attributes.insert(attribute).unwrap();
        }
        let signature = profile::sign_bytes(&info.to_der().unwrap(), key.public_point(), &mut &key).unwrap();
        let request = CertReq {
            info,
            algorithm: profile::signature_algorithm(),
            signature: der::asn1::BitString::from_bytes(&signature).unwrap(),
        };
        CertificationRequest::from_der(&request.to_der().unwrap())
    };
    let good = "CN=Supplier,OU=Supplier";
    let sig = extensions::for_slot(KeySlot::Sig).unwrap();
    assert!(signed(good, Some(sig.clone())).is_ok());
    assert_eq!(
        signed("CN=Supplier", Some(sig.clone())),
        Err(RequestError::Subject(SubjectError::Role))
    );
    assert_eq!(signed(good, None), Err(RequestError::Slot(None)));
    assert_eq!(
        signed(good, Some([sig.clone(), sig].concat())),
        Err(RequestError::Slot(Some(CertificateError::RepeatedExtension {
            oid: KeyUsage::OID
        })))
    );
}
