//! Suppliers ask, an operator or a policy decides, and what waits for a gateway gets there once.

mod interrupted;
mod queue;

use counterparty::clock;
use counterparty::random;
use getrandom::SysRng;
use messages::certificate::{Certificate, RevocationReason, Role, Subject, Triple, VerifiedParty};
use messages::content::{ApplicationEntry, Content, InstallationRequest, MessageId, application_digest};
use messages::envelope::{EnvelopeRandom, Sender, seal};
use messages::package::{self, Place};
use messages::software::{SoftwareEphemeral, SoftwareKeys};
use model::{CardId, Fingerprint, Grant, KeySlot, Period, Span};

use super::House;
use super::gateway_double::{Behaviour, GatewayDouble, Received};
use crate::applications::{Applications, ApplicationsError};
use crate::authority::issued;
use crate::books::{Act, Books, BooksError, Filter, RequestEntry, RequestState, Witness, later, serial_of};
use crate::tsm::admission::{Admission, AdmissionError};
use crate::tsm::delivery::{Delivery, DeliveryError};
use crate::tsm::narrow::Contradiction;
use crate::tsm::operator::{self, OperatorError};
use crate::tsm::policy::Policy;
use crate::tsm::trust::Trust;

/// A module with a custom section of its own.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\0\x05\x04what";

/// A supplier with its keys, and the application that it has signed.
struct Supplier {
    keys: SoftwareKeys,
    party: VerifiedParty,
    package: Vec<u8>,
}

impl Supplier {
    fn certified(house: &House, name: &str) -> Self {
        let keys = SoftwareKeys::generate(&mut SysRng).unwrap();
        let subject = Subject::party(name.parse().unwrap(), Role::Supplier).unwrap();
        let now = clock::now();
        let certify = |slot, key: &messages::software::SoftwareKey| {
            house
                .authority
                .certify(&subject, slot, key.public_point(), now)
                .unwrap()
        };
        let certificates = Triple {
            sig: certify(KeySlot::Sig, &keys.sig),
            enc: certify(KeySlot::Enc, &keys.enc),
            tls: certify(KeySlot::Tls, &keys.tls),
        };
        house.books.issued(now, &issued(&certificates)).unwrap();
        let party = house
            .authority
            .anchor()
            .verify_party(&certificates, now, Role::Supplier);
        let party = party.unwrap();
        let mut supplier = Self {
            keys,
            party,
            package: Vec::new(),
        };
        supplier.package = supplier.signed(MODULE);
        supplier
    }

    fn fingerprint(&self) -> Fingerprint {
        self.party.sig.certificate().fingerprint()
    }

    fn tls(&self) -> &Certificate {
        self.party.tls.certificate()
    }

    fn request(&self, guid: CardId) -> InstallationRequest {
        let now = clock::now();
        InstallationRequest {
            id: MessageId::new(*random::bytes().unwrap()),
            sender: self.fingerprint(),
            gateway: guid,
            time: now,
            certificates: Box::new(Triple {
                sig: self.party.sig.certificate().clone(),
                enc: self.party.enc.certificate().clone(),
                tls: self.party.tls.certificate().clone(),
            }),
            grants: vec![self.grant("billing", 900)],
            application: None,
        }
    }

    fn grant(&self, id: &str, finest: u32) -> Grant {
        let now = clock::now();
        Grant {
            id: id.to_owned(),
            supplier: self.fingerprint(),
            elements: vec!["*/1-0:1.8.0*255".parse().unwrap()],
            finest: Span::from_seconds(finest).unwrap(),
            aggregations: model::Aggregation::USUAL.into(),
            history: "P30D".parse().unwrap(),
            validity: Period::new(now, later(now, 86_400)).unwrap(),
            push: None,
            at_most: None,
            delivery: None,
            purpose: "billing".parse().unwrap(),
        }
    }

    /// Signs a module as its author.
    fn signed(&self, module: &[u8]) -> Vec<u8> {
        let by = (self.party.sig.certificate(), None);
        package::sign(module, Place::Author, by, &self.keys.sig, clock::now()).unwrap()
    }

    fn with_application(&self, request: InstallationRequest) -> InstallationRequest {
        self.with_package(request, &self.package)
    }

    fn with_package(&self, request: InstallationRequest, package: &[u8]) -> InstallationRequest {
        let application = ApplicationEntry {
            supplier: self.fingerprint(),
            name: "Tariff 1".parse().unwrap(),
            digest: application_digest(package),
            size: u32::try_from(package.len()).unwrap(),
            assignments: Vec::new(),
        };
        InstallationRequest {
            application: Some(application),
            ..request
        }
    }

    fn seal(&self, house: &House, content: &Content) -> Vec<u8> {
        let tsm = house.authority.tsm().unwrap();
        let certificate = self.party.sig.certificate();
        let sender = Sender {
            certificate,
            issuing: house.authority.anchor().issuing_of(certificate),
            signer: &self.keys.sig,
            agreement: SoftwareEphemeral::new(SysRng),
        };
        let random = EnvelopeRandom::new(random::bytes().unwrap());
        seal(
            &content.to_json().unwrap(),
            &tsm.party.enc,
            sender,
            &random,
            clock::now(),
        )
        .unwrap()
    }
}

#[test]
fn renewed_supplier_sees_what_it_has_asked_before_and_nobody_else_does() {
    let house = super::house();
    let guid = house.personalize("card");
    let (old, other) = (
        Supplier::certified(&house, "Works"),
        Supplier::certified(&house, "Other"),
    );
    let ask = |supplier: &Supplier| {
        let request = supplier.request(guid);
        let message = supplier.seal(&house, &Content::InstallationRequest(request));
        admit_message(&house, &message, supplier.tls()).unwrap().id
    };
    let (first, foreign) = (ask(&old), ask(&other));
    let new = Supplier::certified(&house, "Works");
    let second = ask(&new);
    let third = ask(&old);
    let seen = |supplier: &Supplier| {
        let filter = Filter {
            supplier: Some(supplier.fingerprint()),
            ..Filter::default()
        };
        let found = house.books.requests(filter).unwrap();
        found.iter().map(|request| request.id).collect::<Vec<_>>()
    };
    assert_eq!(seen(&new), [first, second, third]);
    assert_eq!(
        seen(&old),
        [first, third],
        "an old key learns nothing of what comes after it"
    );
    assert_eq!(seen(&other), [foreign]);
    let shown = |id, supplier: &Supplier| {
        house
            .books
            .request_of(id, supplier.fingerprint())
            .map(|found| found.id)
    };
    assert_eq!(shown(first, &new).unwrap(), first);
    for (id, supplier) in [(second, &old), (foreign, &new), (first, &other)] {
        assert!(
            matches!(shown(id, supplier), Err(BooksError::NoRequest { .. })),
            "{id}"
        );
    }
    // Of a page the beginning and the state are kept to.
    let filter = Filter {
        supplier: Some(new.fingerprint()),
        state: Some(RequestState::Installed),
        behind: 0,
    };
    assert!(house.books.requests(filter).unwrap().is_empty());

    // Who is revoked by one certificate alone is nobody by the others: the connection proves the TLS key.
    let tls = old.tls().fingerprint();
    assert_eq!(house.books.sig_beside(tls).unwrap(), old.fingerprint());
    let serial = serial_of(old.party.sig.certificate());
    let reason = RevocationReason::KeyCompromise;
    house
        .books
        .revoke(clock::now(), "Works", Some(&serial), reason, &[])
        .unwrap();
    assert!(matches!(
        house.books.sig_beside(tls),
        Err(BooksError::NotIssued { .. })
    ));
    assert_eq!(seen(&new), [first, second, third]);
}

/// Admits a message as it would come over a connection with this certificate.
fn admit_message(house: &House, message: &[u8], peer: &Certificate) -> Result<RequestEntry, AdmissionError> {
    let trust = Trust::new(house.load().unwrap());
    let anchor = trust.anchor(&house.books).unwrap();
    let policy = Policy::of_home(&house.home())?;
    let admission = Admission {
        tsm: trust.identity(&anchor).unwrap(),
        books: &house.books,
        applications: &Applications::of_home(&house.home()),
        policy: &policy,
        now: clock::now(),
    };
    admission.admit(message, peer)
}

fn admit(
    house: &House,
    supplier: &Supplier,
    request: &InstallationRequest,
) -> Result<RequestEntry, AdmissionError> {
    let message = supplier.seal(house, &Content::InstallationRequest(request.clone()));
    admit_message(house, &message, supplier.tls())
}

fn approve(house: &House, id: MessageId) {
    operator::approve(&house.authority, &house.books, id, clock::now()).unwrap();
}

/// Has a supplier ask for what it always asks for, and an operator approve it.
fn ask(house: &House, supplier: &Supplier, guid: CardId) -> MessageId {
    let request = supplier.request(guid);
    admit(house, supplier, &request).unwrap();
    approve(house, request.id);
    request.id
}

/// Has a supplier ask for an application besides, and an operator approve it.
fn ask_with_application(house: &House, supplier: &Supplier, guid: CardId) -> MessageId {
    let applications = Applications::of_home(&house.home());
    let package = &supplier.package;
    applications.keep(application_digest(package), package).unwrap();
    let request = supplier.with_application(supplier.request(guid));
    admit(house, supplier, &request).unwrap();
    approve(house, request.id);
    request.id
}

fn state(house: &House, id: MessageId) -> RequestState {
    house.books.request(id).unwrap().state
}

/// Visits the gateway once, as the worker does.
async fn visit(house: &House) -> Result<(), DeliveryError> {
    let trust = Trust::new(house.load().unwrap());
    let now = clock::now();
    let leased = house.books.lease("worker", now, later(now, 300), 8).unwrap();
    let [leased] = leased.as_slice() else {
        panic!("nothing is due: {leased:?}")
    };
    let delivery = Delivery {
        trust: &trust,
        books: &house.books,
        clock: clock::now,
    };
    let done = Box::pin(delivery.deliver(leased)).await;
    house.books.postpone(leased, now, "", false).unwrap();
    done
}

/// A house with a gateway that is registered.
fn house_with_gateway() -> (House, CardId, GatewayDouble) {
    let house = super::house();
    let guid = house.personalize("card");
    let gateway = GatewayDouble::start(&house.authority, &house.path("card"), Behaviour::Good);
    house
        .books
        .register(clock::now(), guid, Some(&gateway.address()))
        .unwrap();
    (house, guid, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn request_that_an_operator_approves_is_delivered_once() {
    let (house, guid, gateway) = house_with_gateway();
    let supplier = Supplier::certified(&house, "City Works");
    let request = supplier.request(guid);
    let entry = admit(&house, &supplier, &request).unwrap();
    assert_eq!(entry.state, RequestState::Waiting);
    // The same message may come again; another one must not have its identity.
    assert_eq!(admit(&house, &supplier, &request).unwrap().number, entry.number);
    let other = InstallationRequest {
        grants: vec![supplier.grant("other", 900)],
        ..request.clone()
    };
    assert!(matches!(
        admit(&house, &supplier, &other),
        Err(AdmissionError::Books(BooksError::OtherRequest { .. }))
    ));
    assert!(house.books.next_job(guid).unwrap().is_none());

    let shown = operator::shown_with_difference(&house.authority, &house.books, request.id, clock::now());
    let shown = shown.unwrap().to_string();
    assert!(
        shown.contains("+ supplier City Works") && shown.contains("+ grant \"billing\""),
        "{shown}"
    );
    approve(&house, request.id);
    let again = operator::approve(&house.authority, &house.books, request.id, clock::now());
    assert!(matches!(
        again,
        Err(OperatorError::Books(BooksError::DecidedAlready {
            state: RequestState::Approved,
            ..
        }))
    ));
    visit(&house).await.unwrap();
    assert_eq!(state(&house, request.id), RequestState::Installed);
    let bundle = gateway.bundle().unwrap();
    assert_eq!(
        (bundle.bundle_version, bundle.grants),
        (1, request.grants.clone())
    );
    let entry = house.books.gateway(guid).unwrap().unwrap();
    assert_eq!((entry.jobs, entry.suppliers), (0, vec![supplier.fingerprint()]));
    assert_eq!(entry.report.unwrap().bundle_version, 1);

    // What is asked for again in the same words is in force already, and costs no bundle.
    let same = InstallationRequest {
        id: MessageId::new([7; 16]),
        ..request
    };
    admit(&house, &supplier, &same).unwrap();
    approve(&house, same.id);
    visit(&house).await.unwrap();
    assert_eq!(state(&house, same.id), RequestState::Installed);
    let received = Received {
        applications: 0,
        bundles: 1,
    };
    assert_eq!(gateway.received(), received);
    house.books.verify().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_narrows_and_approves_by_itself() {
    let (house, guid, gateway) = house_with_gateway();
    let policy = "[[limit]]\nelements = [\"*\"]\nfinest = \"PT30M\"\nhistory = \"P7D\"\n\
                  [[supplier]]\nname = \"City Works\"\napprove = \"automatic\"\n";
    std::fs::write(house.home().join("policy.toml"), policy).unwrap();
    let supplier = Supplier::certified(&house, "City Works");
    let entry = admit(&house, &supplier, &supplier.request(guid)).unwrap();
    assert_eq!(entry.state, RequestState::Approved);
    visit(&house).await.unwrap();
    let grant = gateway.bundle().unwrap().grants.remove(0);
    assert_eq!(
        (grant.finest.seconds(), grant.history.to_string()),
        (1_800, "P7D".to_owned())
    );
    std::fs::write(house.home().join("policy.toml"), "limit = []").unwrap();
    assert!(matches!(
        admit(&house, &supplier, &supplier.request(guid)),
        Err(AdmissionError::Contradiction(Contradiction::Nothing { .. }))
    ));
    std::fs::write(house.home().join("policy.toml"), "limits = []").unwrap();
    assert!(matches!(
        admit(&house, &supplier, &supplier.request(guid)),
        Err(AdmissionError::Policy(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn application_that_a_gateway_has_is_not_sent_again() {
    let (house, guid, gateway) = house_with_gateway();
    let (first, second) = (
        Supplier::certified(&house, "City Works"),
        Supplier::certified(&house, "Country Works"),
    );
    let package = first.package.as_slice();
    let digest = application_digest(package);
    let early = first.with_application(first.request(guid));
    assert!(matches!(
        admit(&house, &first, &early),
        Err(AdmissionError::Application(ApplicationsError::Missing { .. }))
    ));
    Applications::of_home(&house.home())
        .keep(digest, package)
        .unwrap();
    for supplier in [&first, &second] {
        let request = supplier.with_package(supplier.request(guid), package);
        admit(&house, supplier, &request).unwrap();
        approve(&house, request.id);
    }
    visit(&house).await.unwrap();
    let received = Received {
        applications: 1,
        bundles: 2,
    };
    assert_eq!(gateway.received(), received);
    let bundle = gateway.bundle().unwrap();
    assert_eq!(bundle.applications.len(), 2);
    // What is installed is what the supplier has signed, with the TSM's signature behind it.
    let installed = Applications::of_home(&house.home())
        .read(bundle.applications[0].digest)
        .unwrap();
    assert_eq!(package::without_tsm(&installed).unwrap(), package);
    let anchor = house.authority.anchor();
    for place in [Place::Author, Place::Tsm] {
        package::verify(&installed, place, anchor, clock::now()).unwrap();
    }

    // An application that somebody has altered on the disk is not installed, and nobody else suffers from it.
    let other = first.signed(b"\0asm\x01\0\0\0\0\x06\x05other");
    let other = other.as_slice();
    Applications::of_home(&house.home())
        .keep(application_digest(other), other)
        .unwrap();
    let mut request = first.with_application(first.request(guid));
    if let Some(application) = &mut request.application {
        application.digest = application_digest(other);
        application.size = u32::try_from(other.len()).unwrap();
    }
    admit(&house, &first, &request).unwrap();
    approve(&house, request.id);
    let path = house
        .home()
        .join("applications")
        .join(format!("{}.wasm", application_digest(other)));
    std::fs::write(path, b"altered").unwrap();
    let good = second.request(guid);
    admit(&house, &second, &good).unwrap();
    approve(&house, good.id);
    visit(&house).await.unwrap();
    assert_eq!(state(&house, request.id), RequestState::Failed);
    assert_eq!(state(&house, good.id), RequestState::Installed);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_with_older_software_is_served_without_its_report() {
    let (house, guid, gateway) = house_with_gateway();
    let supplier = Supplier::certified(&house, "City Works");
    let request = supplier.request(guid);
    admit(&house, &supplier, &request).unwrap();
    approve(&house, request.id);
    gateway.behave(Behaviour::IsOlder);
    visit(&house).await.unwrap();
    assert_eq!(state(&house, request.id), RequestState::Installed);
    assert!(house.books.gateway(guid).unwrap().unwrap().report.is_none());
}

#[test]
fn forged_approval_is_found() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = Supplier::certified(&house, "City Works");
    let request = supplier.request(guid);
    admit(&house, &supplier, &request).unwrap();
    house.books.verify().unwrap();
    house
        .books
        .force("UPDATE tsm_requests SET state = 'approved'")
        .unwrap();
    assert!(matches!(
        house.books.verify(),
        Err(BooksError::Index {
            table: "tsm_requests"
        })
    ));
}

/// Uploads packages that the trust centre's suppliers have not signed, and one that they have; returns the request.
fn unsigned_are_refused(
    house: &House,
    supplier: &Supplier,
    request: InstallationRequest,
    foreign: &[u8],
) -> InstallationRequest {
    let applications = Applications::of_home(&house.home());
    for package in [MODULE, foreign, &supplier.package] {
        applications.keep(application_digest(package), package).unwrap();
    }
    for package in [MODULE, foreign] {
        let wrong = supplier.with_package(request.clone(), package);
        let refused = admit(house, supplier, &wrong);
        assert!(matches!(
            refused,
            Err(AdmissionError::Application(ApplicationsError::Signature(_)))
        ));
    }
    request
}

#[test]
fn requests_that_are_not_in_order_are_named() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = Supplier::certified(&house, "City Works");
    let other = Supplier::certified(&house, "Country Works");
    let good = supplier.request(guid);
    let refused = |request: &InstallationRequest| admit(&house, &supplier, request).unwrap_err();
    let with_grants = |grants| InstallationRequest {
        grants,
        ..good.clone()
    };
    let unknown = InstallationRequest {
        gateway: "fd5a::1".parse().unwrap(),
        ..good.clone()
    };
    assert!(matches!(refused(&unknown), AdmissionError::Gateway { .. }));
    let old = InstallationRequest {
        time: clock::now().saturating_sub(Span::DAY),
        ..good.clone()
    };
    assert!(matches!(refused(&old), AdmissionError::Freshness(_)));
    let foreign = InstallationRequest {
        certificates: other.request(guid).certificates,
        ..good.clone()
    };
    assert!(matches!(refused(&foreign), AdmissionError::OtherSupplier));
    assert!(matches!(
        refused(&with_grants(vec![other.grant("billing", 900)])),
        AdmissionError::Contradiction(Contradiction::OtherSupplier { .. })
    ));
    let twice = vec![supplier.grant("billing", 900), supplier.grant("billing", 60)];
    assert!(matches!(
        refused(&with_grants(twice)),
        AdmissionError::Contradiction(Contradiction::RepeatedId { .. })
    ));
    // Whoever is connected sends requests of its own only.
    let message = supplier.seal(&house, &Content::InstallationRequest(good.clone()));
    assert!(matches!(
        admit_message(&house, &message, other.tls()),
        Err(AdmissionError::OtherSupplier)
    ));
    assert!(matches!(
        admit_message(&house, b"garbage", supplier.tls()),
        Err(AdmissionError::Envelope(_))
    ));
    let stranger = super::house();
    let theirs = Supplier::certified(&stranger, "City Works");
    let message = theirs.seal(&house, &Content::InstallationRequest(theirs.request(guid)));
    assert!(matches!(
        admit_message(&house, &message, theirs.tls()),
        Err(AdmissionError::Envelope(_))
    ));
    let Content::InstallationRequest(mut wrong) = Content::InstallationRequest(good.clone()) else {
        unreachable!()
    };
    wrong = unsigned_are_refused(&house, &supplier, wrong, &theirs.signed(MODULE));
    wrong = supplier.with_application(wrong);
    if let Some(application) = &mut wrong.application {
        application.size = 1;
    }
    assert!(matches!(refused(&wrong), AdmissionError::ApplicationSize { .. }));
    assert!(
        house
            .books
            .page(0)
            .unwrap()
            .iter()
            .all(|record| !matches!(record.act, Act::Requested { .. }))
    );
}
