use std::sync::LazyLock;

use cms::authenveloped_data::AuthEnvelopedData;
use cms::cert::CertificateChoices;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::enveloped_data::{
    KeyAgreeRecipientInfo, OriginatorIdentifierOrKey, OriginatorInfo, OtherRecipientInfo, RecipientInfo,
    RecipientInfos, UserKeyingMaterial,
};
use cms::signed_data::{CertificateSet, SignedData, SignerIdentifier, SignerInfo, SignerInfos};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{
    ID_AES_256_WRAP, ID_CT_AUTH_ENVELOPED_DATA, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME,
};
use der::asn1::{Any, BitString, OctetString, SetOfVec};
use der::{Decode, Encode};
use model::Timestamp;
use proptest::prelude::*;
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;

use super::*;
use crate::certificate::{CertificateError, Role};
use crate::software::SoftwareKeyError;
use crate::testing::{Authority, Refused, Refusing, World, at, now, party, random, world};

mod structure;

/// One world for all tests of one process.
static WORLD: LazyLock<World> = LazyLock::new(world);

type Error = OpenError<SoftwareKeyError>;

fn message() -> Vec<u8> {
    WORLD.supplier.seal(b"hello", &WORLD.card)
}

fn refused(message: &[u8]) -> Error {
    let opened = WORLD.card.open(message, &WORLD.authority.anchor);
    opened.map(drop).unwrap_err()
}

/// The good message with another SignedData.
fn with_signed(edit: impl FnOnce(&mut SignedData)) -> Vec<u8> {
    let outer = ContentInfo::from_der(&message()).unwrap();
    let mut signed: SignedData = outer.content.decode_as().unwrap();
    edit(&mut signed);
    let outer = ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: Any::encode_from(&signed).unwrap(),
    };
    outer.to_der().unwrap()
}

/// The good message with another SignerInfo.
fn with_signer(edit: impl FnOnce(&mut SignerInfo)) -> Vec<u8> {
    with_signed(|signed| {
        let mut signer = signed.signer_infos.0.as_slice()[0].clone();
        edit(&mut signer);
        signed.signer_infos = SignerInfos::try_from(vec![signer]).unwrap();
    })
}

/// The good message with other signed attributes.
fn with_attributes(edit: impl FnOnce(&mut Vec<Attribute>)) -> Vec<u8> {
    with_signer(|signer| {
        let mut attributes = signer.signed_attrs.take().unwrap().into_vec();
        edit(&mut attributes);
        signer.signed_attrs = Some(attributes.try_into().unwrap());
    })
}

/// The good message's AuthEnvelopedData.
fn enveloped() -> AuthEnvelopedData {
    let outer = ContentInfo::from_der(&message()).unwrap();
    let signed: SignedData = outer.content.decode_as().unwrap();
    let content = signed.encap_content_info.econtent.unwrap();
    let inner = ContentInfo::from_der(content.value()).unwrap();
    inner.content.decode_as().unwrap()
}

/// Puts the header of a ContentInfo before an AuthEnvelopedData.
fn in_content_info(enveloped: &AuthEnvelopedData) -> Vec<u8> {
    let info = ContentInfo {
        content_type: ID_CT_AUTH_ENVELOPED_DATA,
        content: Any::encode_from(enveloped).unwrap(),
    };
    info.to_der().unwrap()
}

/// Something else than the good AuthEnvelopedData, properly signed by the supplier.
fn signed(enveloped: Vec<u8>) -> Vec<u8> {
    let supplier = &WORLD.supplier;
    let signing = Signing {
        certificate: &supplier.triple.sig,
        issuing: None,
        signer: &supplier.keys.sig,
        time: now(),
    };
    signed::sign(enveloped, signing).unwrap()
}

/// The good message with another AuthEnvelopedData, properly signed by the supplier.
fn with_enveloped(edit: impl FnOnce(&mut AuthEnvelopedData)) -> Vec<u8> {
    let mut parsed = enveloped();
    edit(&mut parsed);
    signed(in_content_info(&parsed))
}

/// The good message with another recipient, properly signed by the supplier.
fn with_recipient(edit: impl FnOnce(&mut KeyAgreeRecipientInfo)) -> Vec<u8> {
    with_enveloped(|enveloped| {
        let RecipientInfo::Kari(mut info) = enveloped.recip_infos.0.as_slice()[0].clone() else {
            panic!("the recipient is named by key agreement");
        };
        edit(&mut info);
        enveloped.recip_infos = RecipientInfos::try_from(vec![RecipientInfo::Kari(info)]).unwrap();
    })
}

fn algorithm(oid: ObjectIdentifier, parameters: Option<Any>) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters }
}

#[test]
fn sealed_content_is_opened_by_its_recipient() {
    for content in [b"".as_slice(), b"hello", &[0xa5; 100_000]] {
        let message = WORLD.supplier.seal(content, &WORLD.card);
        let opened = WORLD
            .card
            .open(&message, &WORLD.authority.anchor)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(opened.content.as_slice(), content);
        assert_eq!(opened.sender, WORLD.supplier.verified.sig);
        assert_eq!(opened.signing_time, now());
        assert!(message.len() <= content.len() + 1_300);
    }
}

#[test]
fn content_of_the_greatest_size_fits() {
    let message = WORLD.card.seal(&vec![7; MAX_CONTENT], &WORLD.supplier);
    assert!(message.len() <= MAX_MESSAGE);
    assert!(WORLD.supplier.open(&message, &WORLD.authority.anchor).is_ok());
}

#[test]
fn what_is_too_large_is_neither_sealed_nor_opened() {
    let content = vec![0; MAX_CONTENT + 1];
    let recipient = &WORLD.card.verified.enc;
    let sealed = seal(&content, recipient, WORLD.supplier.sender(1), &random(), now());
    assert_eq!(sealed, Err(SealError::TooLarge { size: content.len() }));
    let message = vec![0x30; MAX_MESSAGE + 1];
    assert_eq!(refused(&message), Error::TooLarge { size: message.len() });
}

#[test]
fn large_frames_are_refused_before_they_are_unfolded() {
    let surplus = || Attribute {
        oid: ID_DATA,
        values: SetOfVec::try_from(vec![Any::new(der::Tag::OctetString, vec![0; MAX_FRAME]).unwrap()])
            .unwrap(),
    };
    let frame = |message: Vec<u8>| match refused(&message) {
        Error::FrameTooLarge { size } => assert!(size > MAX_FRAME),
        other => panic!("{other:?}"),
    };
    frame(with_attributes(|attributes| attributes.push(surplus())));
    frame(with_enveloped(|enveloped| {
        enveloped.unauth_attrs = Some(SetOfVec::try_from(vec![surplus()]).unwrap());
    }));
    // What stands before the content moves it to another place; a crowd of recipients must not pass for it.
    frame(with_enveloped(|enveloped| {
        enveloped.originator_info = Some(OriginatorInfo {
            certs: None,
            crls: None,
        });
        let crowd = (0..4_000_u32).map(|number| {
            RecipientInfo::Ori(OtherRecipientInfo {
                ori_type: ID_DATA,
                ori_value: Any::encode_from(&number).unwrap(),
            })
        });
        enveloped.recip_infos = RecipientInfos::try_from(crowd.collect::<Vec<_>>()).unwrap();
    }));
}

#[test]
fn nothing_is_sealed_with_the_wrong_keys() {
    let world = &*WORLD;
    let recipient = &world.card.verified.enc;
    assert_eq!(
        seal(
            b"hello",
            &world.card.verified.sig,
            world.supplier.sender(1),
            &random(),
            now()
        ),
        Err(SealError::RecipientSlot { found: KeySlot::Sig })
    );
    let thief = Sender {
        certificate: &world.supplier.triple.sig,
        ..world.tsm.sender(1)
    };
    assert_eq!(
        seal(b"hello", recipient, thief, &random(), now()),
        Err(SealError::WrongKey)
    );
    let before = Timestamp::from_unix_seconds(-1).unwrap();
    assert_eq!(
        seal(b"hello", recipient, world.supplier.sender(1), &random(), before),
        Err(SealError::SigningTime)
    );
}

#[test]
fn refusals_of_a_card_are_passed_on() {
    /// Signs nothing, but agrees with everybody.
    struct Agreeing(crate::software::SoftwareEphemeral<crate::testing::TestRandom>);

    impl EphemeralKeyAgreement for Agreeing {
        type Error = Refused;

        fn agree_ephemeral(
            &mut self,
            recipient: &crate::keys::PublicPoint,
        ) -> Result<(crate::keys::PublicPoint, crate::keys::SharedSecret), Refused> {
            self.0.agree_ephemeral(recipient).map_err(|_| Refused)
        }
    }

    let world = &*WORLD;
    let recipient = &world.card.verified.enc;
    let certificate = &world.supplier.triple.sig;
    let sender = Sender {
        certificate,
        issuing: None,
        signer: Refusing,
        agreement: Refusing,
    };
    assert_eq!(
        seal(b"hello", recipient, sender, &random(), now()),
        Err(SealError::KeyAgreement(Refused))
    );
    let sender = Sender {
        certificate,
        issuing: None,
        signer: Refusing,
        agreement: Agreeing(world.supplier.sender(1).agreement),
    };
    assert_eq!(
        seal(b"hello", recipient, sender, &random(), now()),
        Err(SealError::Signature(Refused))
    );
    let anchor = &world.authority.anchor;
    let opened = open(&message(), anchor, now(), &world.card.triple.enc, Refusing);
    assert_eq!(opened.map(drop), Err(OpenError::KeyAgreement(Refused)));
}

#[test]
fn message_cut_off_anywhere_is_truncated() {
    let message = message();
    for length in 0..message.len() {
        assert_eq!(refused(&message[..length]), Error::Truncated, "{length}");
    }
}

#[test]
fn message_with_any_bit_flipped_is_refused() {
    let message = message();
    let halves = [0..message.len() / 2, message.len() / 2..message.len()];
    std::thread::scope(|scope| {
        for half in halves {
            let message = &message;
            scope.spawn(move || {
                for place in half {
                    for bit in 0..8 {
                        let mut flipped = message.clone();
                        flipped[place] ^= 1 << bit;
                        refused(&flipped);
                    }
                }
            });
        }
    });
}

#[test]
fn unknown_senders_are_refused() {
    let world = &*WORLD;
    let stranger = Authority::new(2, "Foreign trust centre").enroll(&party("Supplier", Role::Supplier));
    let foreign = stranger.seal(b"hello", &world.card);
    assert_eq!(
        refused(&foreign),
        Error::UnknownSender(CertificateError::UnknownIssuer)
    );
    let late = open(
        &message(),
        &world.authority.anchor,
        at("2027-06-01T00:00:00Z"),
        &world.card.triple.enc,
        &world.card.keys.enc,
    );
    assert!(matches!(
        late.map(drop),
        Err(OpenError::UnknownSender(CertificateError::Authority(_)))
    ));
    let supplier = &world.supplier;
    let wrong_slot = signed::sign(
        in_content_info(&enveloped()),
        Signing {
            certificate: &supplier.triple.tls,
            issuing: None,
            signer: &supplier.keys.tls,
            time: now(),
        },
    );
    assert_eq!(
        refused(&wrong_slot.unwrap()),
        Error::UnknownSender(CertificateError::WrongSlot {
            expected: KeySlot::Sig,
            found: KeySlot::Tls
        })
    );
}

#[test]
fn sender_may_be_named_by_issuer_and_serial_number() {
    let message = with_signer(|signer| {
        let tbs = WORLD.supplier.triple.sig.tbs();
        signer.version = CmsVersion::V1;
        signer.sid = SignerIdentifier::IssuerAndSerialNumber(cms::cert::IssuerAndSerialNumber {
            issuer: tbs.issuer().clone(),
            serial_number: tbs.serial_number().clone(),
        });
    });
    assert!(WORLD.card.open(&message, &WORLD.authority.anchor).is_ok());
}

#[test]
fn message_for_another_recipient_is_refused() {
    let message = WORLD.supplier.seal(b"hello", &WORLD.tsm);
    assert_eq!(refused(&message), Error::NotForThisRecipient);
}

#[test]
fn what_another_key_agreed_on_opens_nothing() {
    let world = &*WORLD;
    let anchor = &world.authority.anchor;
    let opened = open(
        &message(),
        anchor,
        now(),
        &world.card.triple.enc,
        &world.tsm.keys.enc,
    );
    assert_eq!(opened.map(drop), Err(OpenError::ContentKey));
}

#[test]
fn damaged_signatures_are_refused() {
    assert_eq!(
        refused(&with_signer(|signer| {
            signer.signature = OctetString::new([0x30, 0]).unwrap();
        })),
        Error::BadSignature
    );
    assert_eq!(
        refused(&with_attributes(|attributes| {
            let later = x509_cert::time::Time::from(der::DateTime::new(2026, 6, 2, 0, 0, 0).unwrap());
            let value = Any::from_der(&later.to_der().unwrap()).unwrap();
            let time = attributes.iter_mut().find(|a| a.oid == ID_SIGNING_TIME).unwrap();
            time.values = SetOfVec::try_from(vec![value]).unwrap();
        })),
        Error::BadSignature
    );
    assert_eq!(
        refused(&with_signed(|signed| {
            let other = OctetString::new(*b"something else").unwrap();
            signed.encap_content_info.econtent = Some(Any::encode_from(&other).unwrap());
        })),
        Error::WrongDigest
    );
}

#[test]
fn damage_that_the_sender_signed_is_noticed_too() {
    assert_eq!(
        refused(&with_enveloped(|enveloped| {
            enveloped.mac = OctetString::new([0; 16]).unwrap();
        })),
        Error::Authentication
    );
    assert_eq!(
        refused(&with_recipient(|info| {
            info.recipient_enc_keys[0].enc_key = OctetString::new([0; 24]).unwrap();
        })),
        Error::ContentKey
    );
    assert_eq!(
        refused(&with_recipient(|info| {
            info.recipient_enc_keys[0].enc_key = OctetString::new([0; 8]).unwrap();
        })),
        Error::ContentKey
    );
    assert_eq!(
        refused(&with_recipient(|info| {
            let OriginatorIdentifierOrKey::OriginatorKey(key) = &mut info.originator else {
                panic!("the ephemeral key is in the message");
            };
            key.public_key = BitString::from_bytes(&[4; 65]).unwrap();
        })),
        Error::EphemeralKey
    );
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>) {
        refused(&bytes);
    }

    #[test]
    fn any_signed_bytes_are_refused(bytes: Vec<u8>) {
        refused(&signed(bytes));
    }

    #[test]
    fn any_content_comes_back(content: Vec<u8>) {
        let message = WORLD.card.seal(&content, &WORLD.tsm);
        let opened = WORLD.tsm.open(&message, &WORLD.authority.anchor);
        prop_assert_eq!(opened.map(|opened| opened.content.to_vec()), Ok(content));
    }
}
