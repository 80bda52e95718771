//! First contact and installation, with a gateway in miniature on the other side.

use card::tsm::TsmError;
use counterparty::archive::Archive;
use counterparty::clock;
use counterparty::conversation::ConversationError;
use counterparty::exchange::ExchangeError;
use counterparty::files::FileError;
use counterparty::gateways::folder_name;
use messages::certificate::{CertificateError, RevocationReason};
use model::{GatewayState, KeySlot};

use super::gateway_double::{Behaviour, GatewayDouble};
use super::{GRANTS, openssl_verifies};
use crate::authority::read_certificate;
use crate::books::{Act, Witness, serial_of};
use crate::bundles::{Bundles, BundlesError};
use crate::install::{InstallError, Order, preview};
use crate::tsm::VisitError;
use crate::tsm::difference::Kind;
use counterparty::grants::GrantsError;

#[tokio::test(flavor = "multi_thread")]
async fn grants_get_in_force_on_a_gateway() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = house.supplier("supplier");
    let gateway = GatewayDouble::start(&house.authority, &house.path("card"), Behaviour::Good);
    let order = house.order(guid, &gateway.address(), &supplier);

    let installed = house.install(&order).await.unwrap();
    assert_eq!(
        (installed.version, installed.state),
        (1, GatewayState::Operational)
    );
    for slot in KeySlot::ALL {
        let published = supplier
            .join("gateways")
            .join(folder_name(guid))
            .join(format!("{slot}.pem"));
        openssl_verifies(&supplier.join("root.pem"), &published);
    }
    // What is installed once more is a new version, and nobody else's grants are lost by it.
    let second = house.supplier("second supplier");
    let order = Order {
        supplier: second,
        ..order
    };
    assert_eq!(house.install(&order).await.unwrap().version, 2);
    let bundle = gateway.bundle().unwrap();
    assert_eq!((bundle.suppliers.len(), bundle.grants.len()), (2, 2));
    assert_eq!(house.install(&order).await.unwrap().version, 3);
    assert_eq!(gateway.bundle().unwrap().suppliers.len(), 2);
    assert_eq!(house.records().matches("\"act\":\"installed\"").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_shows_what_would_change_and_changes_nothing() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = house.supplier("supplier");
    let gateway = GatewayDouble::start(&house.authority, &house.path("card"), Behaviour::Good);
    let order = house.order(guid, &gateway.address(), &supplier);
    let preview = || preview(&house.authority, &house.books, &order, clock::now()).unwrap();
    let first = preview();
    assert_eq!((first.from_version, first.to_version), (0, 1));
    assert_eq!(first.grants[0].change, Kind::Added);
    assert!(gateway.bundle().is_none() && house.records().matches("install-begun").count() == 0);
    house.install(&order).await.unwrap();

    std::fs::write(&order.grants, GRANTS.replace("PT5S", "PT15M")).unwrap();
    let narrowed = preview();
    assert_eq!((narrowed.from_version, narrowed.to_version), (1, 2));
    assert!(narrowed.suppliers.is_empty(), "{narrowed}");
    // A grant without times begins with its bundle, which is later by now.
    assert!(
        [Kind::Narrowed, Kind::Altered].contains(&narrowed.grants[0].change),
        "{narrowed}"
    );
    std::fs::write(&order.grants, GRANTS.replace("\"billing\"", "\"other\"")).unwrap();
    let other = preview().to_string();
    assert!(
        other.contains("+ grant \"other\"") && other.contains("- grant \"billing\""),
        "{other}"
    );
    // The policy holds for operators too.
    let policy = "[[limit]]\nelements = [\"*/7-0:3.0.0*255\"]\nfinest = \"PT1S\"\nhistory = \"P1D\"\n";
    std::fs::write(house.home().join("policy.toml"), policy).unwrap();
    let refused = house.install(&order).await.unwrap_err();
    assert!(
        matches!(refused, InstallError::Bundles(BundlesError::Contradiction(_))),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_kept_and_their_numbers_go_on() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = house.supplier("supplier");
    let gateway = GatewayDouble::start(&house.authority, &house.path("card"), Behaviour::Good);
    let order = house.order(guid, &gateway.address(), &supplier);
    let kept = house.path("kept");
    // The first message is the bundle, which waits; three are for the card, and the fifth is the bundle again.
    for last in [5, 10] {
        let mut archive = Archive::open(&kept).unwrap();
        house.install_and_keep(&order, Some(&mut archive)).await.unwrap();
        assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 2 * last);
        for kind in ["request", "answer"] {
            assert!(kept.join(format!("{last:04}-{kind}.cms")).exists());
        }
    }
    gateway.behave(Behaviour::AnswersGarbage);
    let mut archive = Archive::open(&kept).unwrap();
    house
        .install_and_keep(&order, Some(&mut archive))
        .await
        .unwrap_err();
    assert_eq!(std::fs::read(kept.join("0011-answer.cms")).unwrap(), b"garbage");
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_that_was_cut_off_is_sent_again_byte_for_byte() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = house.supplier("supplier");
    let gateway = GatewayDouble::start(&house.authority, &house.path("card"), Behaviour::CutsBundle);
    let order = house.order(guid, &gateway.address(), &supplier);
    let error = house.install(&order).await.unwrap_err();
    assert!(
        matches!(
            &error,
            InstallError::Visit(VisitError::Conversation(ConversationError::Exchange(cause)))
                if matches!(**cause, ExchangeError::Broken { .. })
        ),
        "{error:?}"
    );
    let cut = gateway.bundle().unwrap();
    gateway.behave(Behaviour::Good);
    assert_eq!(house.install(&order).await.unwrap().version, 1);
    assert_eq!(gateway.bundle().unwrap(), cut);

    // Another sense is another version.
    gateway.behave(Behaviour::CutsBundle);
    house.install(&order).await.unwrap_err();
    std::fs::write(&order.grants, GRANTS.replace("PT5S", "PT15M")).unwrap();
    gateway.behave(Behaviour::Good);
    assert_eq!(house.install(&order).await.unwrap().version, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_misbehave_are_named() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = house.supplier("supplier");
    let gateway = GatewayDouble::start(&house.authority, &house.path("card"), Behaviour::Good);
    let order = house.order(guid, &gateway.address(), &supplier);
    let refusal = async |behaviour| {
        gateway.behave(behaviour);
        match house.install(&order).await.unwrap_err() {
            InstallError::Visit(error) => error,
            other => panic!("{other:?}"),
        }
    };
    let conversation = |error| match error {
        VisitError::Conversation(error) => error,
        other => panic!("{other:?}"),
    };
    let exchange = |error| match conversation(error) {
        ConversationError::Exchange(error) => *error,
        other => panic!("{other:?}"),
    };
    let refused = exchange(refusal(Behaviour::RefusesInJson).await);
    assert!(
        refused
            .to_string()
            .ends_with("refuses the message: the gateway is busy (SMGW-W-0001)"),
        "{refused}"
    );
    let status = exchange(refusal(Behaviour::AnswersHtml).await);
    assert!(matches!(status, ExchangeError::Status { .. }), "{status}");
    let large = exchange(refusal(Behaviour::AnswersTooMuch).await);
    assert!(matches!(large, ExchangeError::TooLarge { .. }), "{large}");
    let garbage = conversation(refusal(Behaviour::AnswersGarbage).await);
    assert!(matches!(garbage, ConversationError::Open(_)), "{garbage}");
    let refused = conversation(refusal(Behaviour::RefusesInMessage).await);
    assert!(matches!(refused, ConversationError::Refused { .. }), "{refused}");
    let nonsense = conversation(refusal(Behaviour::AnswersNonsense).await);
    assert!(matches!(nonsense, ConversationError::Answer(_)), "{nonsense}");
    let party = conversation(refusal(Behaviour::NamesOtherGateway).await);
    assert!(matches!(party, ConversationError::Party(_)), "{party}");
    let other = conversation(refusal(Behaviour::AnswersOtherMessage).await);
    assert!(matches!(other, ConversationError::OtherMessage), "{other}");
    let stale = conversation(refusal(Behaviour::AnswersLate).await);
    assert!(matches!(stale, ConversationError::Freshness(_)), "{stale}");
    let unexpected = refusal(Behaviour::Reports).await;
    assert!(
        matches!(unexpected, VisitError::Unexpected { .. }),
        "{unexpected}"
    );
    let silent = refusal(Behaviour::KeepsCardAnswers).await;
    assert!(matches!(silent, VisitError::Card(_)), "{silent}");
    let other = refusal(Behaviour::ReportsOtherBundle).await;
    assert!(matches!(other, VisitError::OtherBundle { .. }), "{other}");

    // What it has got by now is in force; another bundle is not.
    std::fs::write(&order.grants, GRANTS.replace("PT5S", "PT15M")).unwrap();
    gateway.behave(Behaviour::ReportsBound);
    let bound = house.install(&order).await.unwrap_err();
    assert!(
        matches!(
            bound,
            InstallError::NotOperational {
                state: GatewayState::Bound,
                ..
            }
        ),
        "{bound}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn card_takes_no_older_bundle_and_no_crowd() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = house.supplier("supplier");
    let gateway = GatewayDouble::start(&house.authority, &house.path("card"), Behaviour::Good);
    let order = house.order(guid, &gateway.address(), &supplier);
    house.install(&order).await.unwrap();

    // Whoever restores an old backup of the bundles makes version 1 once more.
    let folder = house.home().join("gateways").join(folder_name(guid));
    let backup = house.path("backup");
    std::fs::rename(&folder, &backup).unwrap();
    let error = house.install(&order).await.unwrap_err();
    let card = crate::chain(&error);
    assert!(
        matches!(
            error,
            InstallError::Visit(VisitError::Card(TsmError::Refused { .. }))
        ),
        "{card}"
    );
    assert!(card.contains("UPDATE BINARY (anchor)"), "{card}");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::rename(&backup, &folder).unwrap();

    for number in 0..card::Suppliers::MAX {
        let supplier = house.supplier(&format!("supplier {number}"));
        let order = house.order(guid, &gateway.address(), &supplier);
        match house.install(&order).await {
            Ok(_) => assert!(number + 1 < card::Suppliers::MAX),
            Err(InstallError::Visit(VisitError::Suppliers { found, .. })) => assert_eq!(found, 17),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bundles_are_named() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = house.supplier("supplier");
    let order = house.order(guid, "[::1]:1", &supplier);
    house.install(&order).await.unwrap_err();
    let folder = house.home().join("gateways").join(folder_name(guid));
    let refusal = async || match house.install(&order).await.unwrap_err() {
        InstallError::Bundles(error) => error,
        other => panic!("{other:?}"),
    };
    std::fs::write(folder.join("00000001-bundle.json"), "{}").unwrap();
    assert!(matches!(refusal().await, BundlesError::Damaged { .. }));
    let last = format!("{}-bundle.json", u64::MAX);
    std::fs::rename(folder.join("00000001-bundle.json"), folder.join(&last)).unwrap();
    let installed = format!(
        r#"{{"version":{},"digest":"{}","time":"2026-01-01T00:00:00Z","state":"operational"}}"#,
        u64::MAX,
        "ab".repeat(32)
    );
    std::fs::write(folder.join("installed.json"), "{}").unwrap();
    assert!(matches!(refusal().await, BundlesError::Damaged { .. }));
    std::fs::write(folder.join("installed.json"), installed).unwrap();
    assert!(matches!(refusal().await, BundlesError::Damaged { .. }));
    std::fs::remove_file(folder.join(&last)).unwrap();
    assert!(matches!(
        refusal().await,
        BundlesError::File(FileError::Missing { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_gateway_with_the_guid_is_talked_to() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = house.supplier("supplier");
    house.personalize("other card");
    let other = GatewayDouble::start(&house.authority, &house.path("other card"), Behaviour::Good);
    let error = house
        .install(&house.order(guid, &other.address(), &supplier))
        .await
        .unwrap_err();
    let no_connection = |error: &InstallError| {
        matches!(
            error,
            InstallError::Visit(VisitError::Conversation(ConversationError::Exchange(cause)))
                if matches!(**cause, ExchangeError::Connect { .. })
        )
    };
    assert!(no_connection(&error), "{error:?}");
    assert!(
        crate::chain(&error).contains("certificate"),
        "{}",
        crate::chain(&error)
    );
    let nobody = house.order(guid, "[::1]:1", &supplier);
    let error = house.install(&nobody).await.unwrap_err();
    assert!(no_connection(&error), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_cannot_be_carried_out_are_refused_before_anything_is_sent() {
    let house = super::house();
    let guid = house.personalize("card");
    let supplier = house.supplier("supplier");
    let good = house.order(guid, "[::1]:1", &supplier);
    let refusal = async |order: &Order| house.install(order).await.unwrap_err();
    let unknown = Order {
        guid: "fd5a::1".parse().unwrap(),
        ..house.order(guid, "[::1]:1", &supplier)
    };
    assert!(matches!(refusal(&unknown).await, InstallError::Card(_)));
    let uncertified = house.order(guid, "[::1]:1", &house.path("nobody"));
    assert!(matches!(
        refusal(&uncertified).await,
        InstallError::SupplierFiles(_)
    ));
    std::fs::write(&good.grants, "[[grant]]").unwrap();
    assert!(matches!(
        refusal(&good).await,
        InstallError::Grants(GrantsError::Syntax { line: 1, .. })
    ));
    std::fs::write(&good.grants, GRANTS).unwrap();
    let busy = Bundles::open(&house.home(), guid).unwrap();
    assert!(matches!(
        refusal(&good).await,
        InstallError::Bundles(BundlesError::Busy { .. })
    ));
    drop(busy);
    let stranger = super::house();
    let theirs = stranger.supplier("supplier");
    let order = house.order(guid, "[::1]:1", &theirs);
    assert!(matches!(refusal(&order).await, InstallError::Supplier(_)));
    let witness = Witness::Card;
    let terminated = house
        .books
        .record(clock::now(), &Act::Terminated { guid, witness });
    terminated.unwrap();
    assert!(matches!(refusal(&good).await, InstallError::Terminated));
    assert!(!supplier.join("gateways").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_supplier_is_refused_and_left_out_of_the_next_bundle() {
    let mut house = super::house();
    let guid = house.personalize("card");
    let (supplier, second) = (house.supplier("supplier"), house.supplier("second supplier"));
    let gateway = GatewayDouble::start(&house.authority, &house.path("card"), Behaviour::Good);
    let order = house.order(guid, &gateway.address(), &supplier);
    house.install(&order).await.unwrap();

    let certificate = read_certificate(&supplier.join("sig.pem")).unwrap();
    let serial = serial_of(&certificate);
    let reason = RevocationReason::KeyCompromise;
    let revoked = house
        .books
        .revoke(clock::now(), "Supplier", Some(&serial), reason, &[]);
    assert_eq!(revoked.unwrap(), 1);
    house.authority = house.load().unwrap();
    let refused = house.install(&order).await.unwrap_err();
    assert!(
        matches!(refused, InstallError::Supplier(CertificateError::Revoked { .. })),
        "{refused}"
    );
    let order = Order {
        supplier: second,
        ..order
    };
    assert_eq!(house.install(&order).await.unwrap().version, 2);
    let bundle = gateway.bundle().unwrap();
    assert_eq!(bundle.suppliers.len(), 1);
    assert_ne!(bundle.suppliers[0].certificates.sig, certificate);
}
