//! Who is heard, and which applications are taken.

use evaluation::package::with_manifest;
use getrandom::SysRng;
use messages::certificate::profile::{CertificateContent, SerialNumber, issue, issue_root};
use messages::certificate::{PartyName, RevocationReason, Subject};
use messages::content::{ApplicationEntry, Assignment, MessageId, Piece, RevokedCertificate};
use messages::software::SoftwareKey;
use model::{KeySlot, Period, Span, Window};
use store::{DeviceKey, OutboxMessage, Protection};

use super::*;

#[test]
fn answers_wait_on_for_those_alone_whom_a_bundle_names() {
    let folder = tempfile::tempdir().unwrap();
    let key = DeviceKey::new([7; 32]);
    let store = Store::open(folder.path(), Ok(Protection { key, otp: None })).unwrap();
    let [named, gone, tsm] = [1, 2, 3].map(|byte| Fingerprint::new([byte; 32]));
    for (id, recipient) in (0..).zip([named, gone, tsm, gone]) {
        let (id, content) = ([id; 16], b"sealed".to_vec());
        let message = OutboxMessage {
            id,
            recipient,
            content,
        };
        store.database().enqueue(&message).unwrap();
    }
    forget_answers(&store, &BTreeSet::from([named, tsm])).unwrap();
    let waiting = store.database().pending(None).unwrap().messages;
    let waiting: Vec<_> = waiting.iter().map(|(_, message)| message.recipient).collect();
    assert_eq!(waiting, [named, tsm]);
}

#[test]
fn bundle_that_the_card_does_not_vouch_for_is_refused_by_what_is_wrong_with_it() {
    let [one, two] = [1, 2].map(|byte| Fingerprint::new([byte; 32]));
    for (anchored, offered, expected) in [
        ((2, one), (1, one), Err("older-bundle")),
        ((2, one), (2, two), Err("altered-bundle")),
        ((2, one), (3, two), Ok(true)),
        ((0, one), (1, two), Ok(true)),
        ((2, one), (2, one), Ok(false)),
    ] {
        let awaited = is_awaited(anchored, offered).map_err(|rejection| rejection.code());
        assert_eq!(awaited, expected);
    }
}

const MANIFEST: &str = r#"{
    "schema": "smgw.manifest/1", "id": "sample", "version": "VERSION", "interface": "smgw:tariff/1",
    "name": { "de": "Muster", "en": "Sample" }, "description": { "de": "Muster", "en": "Sample" },
    "inputs": [{ "role": "register", "obis": "*", "units": ["Wh"], "finest": "PT15M", "history": "P30D" }],
    "outputs": [{ "output": "copy", "obis": "*" }]
}"#;

const FRAME: Frame = Frame {
    period: Span::QUARTER_HOUR,
    history: Span::DAY,
};

/// A trust centre, and those whom it has certified.
struct Center {
    key: SoftwareKey,
    anchor: TrustAnchor,
}

/// A party that signs.
struct Party {
    key: SoftwareKey,
    certificate: Certificate,
}

fn validity() -> Period {
    let now = clock::now();
    Period::new(now.saturating_sub(Span::DAY), now.saturating_add(Span::DAY)).unwrap()
}

fn serial(number: u8) -> SerialNumber {
    SerialNumber::from_random([number; 16])
}

impl Center {
    fn new() -> Self {
        let key = SoftwareKey::generate(&mut SysRng).unwrap();
        let name: PartyName = "Trust Centre".parse().unwrap();
        let anchor = issue_root(name, key.public_point(), serial(1), validity(), &key).unwrap();
        Self { key, anchor }
    }

    fn certify(&self, name: &str, role: Role) -> Party {
        let key = SoftwareKey::generate(&mut SysRng).unwrap();
        let content = CertificateContent {
            subject: Subject::party(name.parse().unwrap(), role).unwrap(),
            slot: KeySlot::Sig,
            public_key: *key.public_point(),
            serial_number: serial(2),
            validity: validity(),
        };
        let certificate = issue(&content, &self.anchor, &self.key).unwrap();
        Party { key, certificate }
    }
}

impl Party {
    fn sign(&self, package: &[u8], place: Place) -> Vec<u8> {
        package::sign(package, place, (&self.certificate, None), &self.key, clock::now()).unwrap()
    }
}

fn unsigned(version: &str) -> Vec<u8> {
    let manifest = MANIFEST.replace("VERSION", version);
    with_manifest(b"\0asm\x01\0\0\0", manifest.as_bytes()).unwrap()
}

fn delivered(bytes: &[u8], reply_to: &Certificate) -> Application {
    Application {
        id: MessageId::new([1; 16]),
        recipient: "fd5a::1".parse().unwrap(),
        time: clock::now(),
        reply_to: reply_to.clone(),
        digest: application_digest(bytes),
        content: Piece::cut(bytes),
    }
}

/// A bundle that names one application.
fn bundle_of(tsm: &Party, digest: Fingerprint) -> Bundle {
    Bundle {
        id: MessageId::new([2; 16]),
        recipient: "fd5a::1".parse().unwrap(),
        bundle_version: 1,
        time: clock::now(),
        reply_to: tsm.certificate.clone(),
        issuing: Vec::new(),
        suppliers: Vec::new(),
        grants: Vec::new(),
        applications: vec![ApplicationEntry {
            supplier: Fingerprint::new([1; 32]),
            name: "Sample".parse().unwrap(),
            digest,
            size: 1,
            assignments: Vec::new(),
        }],
        revoked: Vec::new(),
        policy: Vec::new(),
    }
}

fn assignment(name: &str, meter: &str) -> Assignment {
    let pattern = format!("{meter}/1-0:1.8.0*255").parse().unwrap();
    Assignment {
        name: name.parse().unwrap(),
        inputs: [("register".to_owned(), vec![pattern])].into(),
        parameters: BTreeMap::new(),
        window: Window::Day,
        zone: "UTC0".parse().unwrap(),
        from: clock::now(),
        to: None,
    }
}

fn install(store: &Store, bundle: &Bundle) {
    let json = Content::Bundle(bundle.clone()).to_json().unwrap();
    let version = bundle.bundle_version;
    store.database().install_bundle(version, [1; 32], &json).unwrap();
}

fn open(folder: &std::path::Path) -> Store {
    let key = DeviceKey::new([7; 32]);
    Store::open(folder, Ok(Protection { key, otp: None })).unwrap()
}

#[test]
fn package_is_taken_from_those_alone_who_may_sign_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let center = Center::new();
    let author = center.certify("City Works", Role::Supplier);
    let tsm = center.certify("TSM", Role::Tsm);
    let code = |bytes: &[u8]| {
        let application = delivered(bytes, &tsm.certificate);
        let kept = keep_application(&store, &application, &center.anchor);
        kept.map_err(|rejection| (rejection.code(), rejection.reason()))
            .unwrap_err()
    };
    let package = unsigned("1.0.0");
    let by_author = author.sign(&package, Place::Author);
    let by_both = tsm.sign(&by_author, Place::Tsm);
    // Signed by both, it gets as far as the proof; there are no vectors in it.
    let (of_both, reason) = code(&by_both);
    assert!(
        of_both == "application" && reason.contains("no test vectors"),
        "{reason}"
    );
    let stranger = Center::new();
    let foreign = stranger
        .certify("City Works", Role::Supplier)
        .sign(&package, Place::Author);
    let self_signed = tsm.sign(&tsm.sign(&package, Place::Author), Place::Tsm);
    let mut altered = by_both.clone();
    let place = altered.windows(5).position(|window| window == b"1.0.0").unwrap();
    altered[place] = b'2';
    for (bytes, cause) in [
        (package.clone(), "not signed by its author"),
        (by_author.clone(), "not signed by its TSM"),
        (tsm.sign(&foreign, Place::Tsm), "author is refused"),
        (self_signed, "author is refused"),
        (author.sign(&by_author, Place::Tsm), "TSM is refused"),
        (altered, "author is refused"),
    ] {
        let (found, reason) = code(&bytes);
        assert_eq!(found, "application-signature", "{reason}");
        assert!(reason.contains(cause), "{cause}: {reason}");
    }
    assert_eq!(store.applications().list().unwrap(), []);
}

#[test]
fn version_only_grows_and_the_same_module_may_be_signed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let center = Center::new();
    let [author, other] = ["City Works", "Country Works"].map(|name| center.certify(name, Role::Supplier));
    let tsm = center.certify("TSM", Role::Tsm);
    let signed = |author: &Party, version| {
        let by_author = author.sign(&unsigned(version), Place::Author);
        tsm.sign(&by_author, Place::Tsm)
    };
    let installed = signed(&author, "1.2.0");
    let bundle = bundle_of(&tsm, store.applications().keep(&installed).unwrap());
    install(&store, &bundle);
    let code = |bytes: &[u8]| {
        let application = delivered(bytes, &tsm.certificate);
        keep_application(&store, &application, &center.anchor)
            .unwrap_err()
            .code()
    };
    assert_eq!(code(&signed(&author, "1.1.9")), "application-version");
    // What is higher, the same once more, or somebody else's gets as far as the proof.
    for package in [
        signed(&author, "1.2.1"),
        signed(&author, "1.2.0"),
        signed(&other, "1.0.0"),
        installed,
    ] {
        assert_eq!(code(&package), "application");
    }
    // What no bundle names any more, and is kept for the values that it has made, counts as well.
    store.applications().keep(&signed(&author, "1.4.0")).unwrap();
    assert_eq!(code(&signed(&author, "1.3.0")), "application-version");
    assert_eq!(code(&signed(&author, "1.4.1")), "application");
    assert_eq!(code(&signed(&other, "1.0.0")), "application");
    let mut next = bundle.clone();
    next.applications[0].digest = store.applications().keep(&signed(&author, "1.3.0")).unwrap();
    let refused = check_applications(&store, &next, FRAME).unwrap_err();
    assert_eq!(refused.code(), "application-version");
    assert!(
        refused.reason().contains("sample 1.3.0") && refused.reason().contains("1.4.0"),
        "{}",
        refused.reason()
    );
    // What is in force stays, also signed once more, so that grants can change without it.
    assert!(check_applications(&store, &bundle, FRAME).is_ok());
    assert_eq!(code(&signed(&author, "1.2.0")), "application");
    // A bundle does not go back to what is still kept for the values that it has made.
    let mut back = bundle;
    let earlier = store.applications().keep(&signed(&author, "1.1.0")).unwrap();
    back.applications[0].digest = earlier;
    let refused = check_applications(&store, &back, FRAME).unwrap_err();
    assert_eq!(refused.code(), "application-version");
    back.applications[0].digest = Fingerprint::new([9; 32]);
    assert_eq!(
        check_applications(&store, &back, FRAME).unwrap_err().code(),
        "no-application"
    );
}

#[test]
fn revoked_author_gets_nothing_new_installed_and_what_ran_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let center = Center::new();
    let author = center.certify("City Works", Role::Supplier);
    let tsm = center.certify("TSM", Role::Tsm);
    let signed = |version| tsm.sign(&author.sign(&unsigned(version), Place::Author), Place::Tsm);
    let installed = signed("1.0.0");
    let mut bundle = bundle_of(&tsm, store.applications().keep(&installed).unwrap());
    bundle.applications[0].assignments = vec![assignment("house", "M1")];
    install(&store, &bundle);
    check_applications(&store, &bundle, FRAME).unwrap();
    assert_eq!(stopped(&store, &bundle).unwrap(), []);

    let mut revoking = bundle.clone();
    revoking.bundle_version = 2;
    revoking.revoked = vec![RevokedCertificate {
        certificate: author.certificate.fingerprint(),
        time: clock::now(),
        reason: RevocationReason::KeyCompromise,
    }];
    // What ran stays, stopped; the event is told once.
    check_applications(&store, &revoking, FRAME).unwrap();
    let events = stopped(&store, &revoking).unwrap();
    let codes: Vec<_> = events.iter().map(LogEvent::code).collect();
    assert_eq!(codes, ["SMGW-L-1020"]);
    let all = |bundle: &Bundle| {
        let entries = (bundle.applications.as_slice(), bundle.revoked.as_slice());
        Assigned::all(&store, entries, &BTreeMap::new())
    };
    assert!(all(&bundle)[0].stopped.is_none());
    assert_eq!(all(&revoking)[0].stopped.as_ref(), revoking.revoked.first());
    let mut more = revoking.clone();
    more.applications[0].assignments.push(assignment("cellar", "M2"));
    let refused = check_applications(&store, &more, FRAME).unwrap_err();
    assert_eq!(refused.code(), "author-revoked");

    // Another certificate that only takes the place of this one stops nothing, and brings nothing new either.
    let mut superseding = revoking.clone();
    superseding.revoked[0].reason = RevocationReason::Superseded;
    assert!(all(&superseding)[0].stopped.is_none());
    assert_eq!(stopped(&store, &superseding).unwrap(), []);
    superseding.applications = more.applications;
    let refused = check_applications(&store, &superseding, FRAME).unwrap_err();
    assert_eq!(refused.code(), "author-revoked");

    install(&store, &revoking);
    assert_eq!(stopped(&store, &revoking).unwrap(), []);
    let kept = |bytes: &[u8]| {
        let application = delivered(bytes, &tsm.certificate);
        keep_application(&store, &application, &center.anchor)
            .unwrap_err()
            .code()
    };
    assert_eq!(kept(&signed("1.1.0")), "author-revoked");
    // What the bundle names may have been lost, and another certificate's signature is as good as any: both get as far as the
    // proof, and there are no vectors.
    assert_eq!(kept(&installed), "application");
    let renewed = center.certify("City Works", Role::Supplier);
    let anew = tsm.sign(&renewed.sign(&unsigned("1.0.0"), Place::Author), Place::Tsm);
    assert_eq!(kept(&anew), "application");
}
