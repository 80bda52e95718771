//! Cards of every kind meet a gateway of every kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use card::applet::{Applet, CardState};
use card::personalization::{CardPoints, KeyOrigin, personalize};
use card::{CardKey, CardSession, Contact, Point, Transport};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use messages::certificate::Subject;
use messages::certificate::profile::{self, CertificateContent, SerialNumber};
use messages::keys::PublicPoint;
use messages::software::{SoftwareKey, SoftwareKeyError};
use model::{CardId, GatewayState, Period, Span};
use store::{Counter, DeviceKey, LogLimits, Logs, Protection};
use tempfile::TempDir;

use super::*;
use crate::card::custodian::Custodian;
use crate::card::inspection;
use crate::card::reader::{self, ReaderError};
use crate::card::slot::Slot;
use crate::config::{CardConfig, CardSlot};
use crate::journal::{self, CardKeyVerifier, Journal};

/// A trust centre that personalises cards.
pub(crate) struct Center {
    key: SoftwareKey,
    anchor: TrustAnchor,
    validity: Period,
}

impl Center {
    pub(crate) fn new() -> Self {
        let key = SoftwareKey::generate(&mut SysRng).unwrap();
        let now = clock::now();
        let validity = Period::new(now.saturating_sub(Span::DAY), now.saturating_add(Span::DAY)).unwrap();
        let serial = SerialNumber::from_random([1; 16]);
        let name = "Test centre".parse().unwrap();
        let anchor = profile::issue_root(name, key.public_point(), serial, validity, &key).unwrap();
        Self {
            key,
            anchor,
            validity,
        }
    }

    /// Puts a personalised card into the file.
    pub(crate) fn personalize(&self, file: &Path, guid: &str) {
        let guid: CardId = guid.parse().unwrap();
        std::fs::write(file, CardState::blank().to_bytes().unwrap()).unwrap();
        let contact = Contact {
            name: "Test centre".to_owned(),
            certificate: self.anchor.certificate().as_der().to_vec(),
            issuing: None,
        };
        let certify = |name, point: &Point| {
            let slot = match name {
                CardKey::Slot(slot) => slot,
                CardKey::Attestation => KeySlot::Sig,
            };
            let content = CertificateContent {
                subject: Subject::card(guid),
                slot,
                public_key: PublicPoint::from_sec1(&point.to_bytes()).unwrap(),
                serial_number: SerialNumber::from_random([2; 16]),
                validity: self.validity,
            };
            let certificate = profile::issue(&content, &self.anchor, &self.key);
            certificate.map(|certificate| certificate.as_der().to_vec())
        };
        let card = reader::power_on(&CardSlot::Soft(file.to_owned())).unwrap();
        let identify = |points: &CardPoints| {
            let certificates = points.certified(certify)?;
            Ok::<_, profile::IssueError<SoftwareKeyError>>((guid, certificates))
        };
        let personalized = personalize(card, &contact, KeyOrigin::Card, identify);
        assert!(personalized.is_ok(), "{personalized:?}");
    }
}

/// A gateway with its store, and the file that stands for its reader.
struct Gateway {
    folder: TempDir,
}

impl Gateway {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    fn card(&self) -> PathBuf {
        self.folder.path().join("card")
    }

    fn store(&self) -> Store {
        let key = DeviceKey::new([0x5a; DeviceKey::LENGTH]);
        let protection = Protection { key, otp: None };
        Store::open(&self.folder.path().join("data"), Ok(protection)).unwrap()
    }

    fn journal(&self) -> Journal {
        let logs = self.folder.path().join("logs");
        let logs = Logs::open(&logs, LogLimits::default(), false, journal::moment()).unwrap();
        Journal::new(logs, CardKeyVerifier::new(None)).unwrap()
    }

    /// Starts, examines what is in the reader, and stops.
    fn examine(&self) -> Result<Identity, Obstacle> {
        self.examine_with(Consent::Automatic)
    }

    fn examine_with(&self, consent: Consent) -> Result<Identity, Obstacle> {
        let mut session = CardSession::open(reader::power_on(&CardSlot::Soft(self.card()))?)?;
        examine(&mut session, &self.store(), consent)
    }

    /// Examines a card that is in no reader, whose power fails before or after the nth command.
    fn examine_until(&self, card: &Path, commands_left: usize, after: bool) -> Result<Identity, Obstacle> {
        let state = CardState::from_bytes(&std::fs::read(card).unwrap()).unwrap();
        let reader: reader::Reader = Box::new(Failing {
            applet: Applet::power_on(state),
            file: card.to_owned(),
            commands_left,
            after,
        });
        let mut session = CardSession::open(reader)?;
        examine(&mut session, &self.store(), Consent::Automatic)
    }

    /// What `smgw card check` finds.
    fn shown_obstacles(&self) -> Vec<String> {
        let slot = Slot::new(CardSlot::Soft(self.card()));
        inspection::inspect(&slot, None, Some(&self.store())).obstacles
    }

    fn refusal(&self) -> Obstacle {
        let obstacle = self.examine().map(|identity| identity.guid).unwrap_err();
        let bound = self.store().bindings().unwrap().binding().unwrap().is_some();
        let expected = if bound {
            GatewayState::CardForeign
        } else {
            GatewayState::Unbound
        };
        assert_eq!(obstacle.state(bound), expected, "{obstacle}");
        obstacle
    }
}

const GUID: &str = "fd5a::1";

fn bound() -> (Center, Gateway) {
    let (center, gateway) = (Center::new(), Gateway::new());
    center.personalize(&gateway.card(), GUID);
    gateway.examine().unwrap();
    (center, gateway)
}

#[test]
fn the_first_card_is_bound_and_known_again() {
    let (_, gateway) = bound();
    let identity = gateway.examine().unwrap();
    assert_eq!(identity.guid, GUID.parse().unwrap());
    let binding = gateway.store().bindings().unwrap().binding().unwrap().unwrap();
    assert_eq!(binding.card, identity.guid);
    let mut session = CardSession::open(reader::power_on(&CardSlot::Soft(gateway.card())).unwrap()).unwrap();
    assert_eq!(session.bound_to().unwrap(), Some((binding.gateway, true)));
}

#[test]
fn a_second_card_is_refused() {
    let (center, gateway) = bound();
    center.personalize(&gateway.card(), "fd5a::2");
    assert!(matches!(gateway.refusal(), Obstacle::OtherCard { .. }));
}

#[test]
fn a_wiped_card_is_refused() {
    let (_, gateway) = bound();
    std::fs::write(gateway.card(), CardState::blank().to_bytes().unwrap()).unwrap();
    assert!(matches!(gateway.refusal(), Obstacle::Blank));
}

#[test]
fn a_copy_with_other_keys_is_refused() {
    let (center, gateway) = bound();
    center.personalize(&gateway.card(), GUID);
    assert!(matches!(gateway.refusal(), Obstacle::OtherKey));
}

#[test]
fn the_bound_card_set_back_to_before_the_binding_is_refused() {
    let (center, gateway) = (Center::new(), Gateway::new());
    center.personalize(&gateway.card(), GUID);
    let before = std::fs::read(gateway.card()).unwrap();
    gateway.examine().unwrap();
    std::fs::write(gateway.card(), before).unwrap();
    assert!(matches!(gateway.refusal(), Obstacle::SetBack { .. }));
}

#[test]
fn a_card_of_another_gateway_is_refused_and_lives() {
    let (_, first) = bound();
    let second = Gateway::new();
    std::fs::copy(first.card(), second.card()).unwrap();
    assert!(matches!(second.refusal(), Obstacle::BoundElsewhere { .. }));
    std::fs::copy(second.card(), first.card()).unwrap();
    assert!(first.examine().is_ok());
}

#[test]
fn a_blank_card_is_no_card_to_bind() {
    let gateway = Gateway::new();
    std::fs::write(gateway.card(), CardState::blank().to_bytes().unwrap()).unwrap();
    assert!(matches!(gateway.refusal(), Obstacle::Blank));
}

#[test]
fn an_empty_reader_and_a_damaged_card_are_named() {
    let gateway = Gateway::new();
    let refused = gateway.examine().map(|identity| identity.guid);
    assert!(matches!(refused, Err(Obstacle::Reader(ReaderError::NoCard))));
    std::fs::write(gateway.card(), "no card").unwrap();
    let refused = gateway.examine().map(|identity| identity.guid);
    assert!(matches!(refused, Err(Obstacle::Reader(ReaderError::Damaged(_)))));
}

#[test]
fn a_card_in_another_reader_is_in_use() {
    let (_, gateway) = bound();
    let slot = CardSlot::Soft(gateway.card());
    let first = reader::power_on(&slot).unwrap();
    assert!(matches!(reader::power_on(&slot), Err(ReaderError::InUse)));
    drop(first);
    assert!(reader::power_on(&slot).is_ok());
}

#[test]
fn a_given_up_gateway_serves_no_more() {
    let (_, gateway) = bound();
    let store = gateway.store();
    store
        .bindings()
        .unwrap()
        .burn_tamper("the card was torn out", clock::now())
        .unwrap();
    drop(store);
    let refused = gateway.examine().map(|identity| identity.guid).unwrap_err();
    assert!(matches!(refused, Obstacle::GivenUp { .. }));
    assert_eq!(refused.state(true), GatewayState::Tampered);
}

mod anchor;
mod custody;
mod dummies;
mod kills;

/// Changes the stored state of a card as nothing but its own memory could.
fn alter(file: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut state = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    change(&mut state);
    std::fs::write(file, serde_json::to_vec(&state).unwrap()).unwrap();
}

#[test]
fn a_bound_card_is_paired_at_every_start_and_both_sides_count() {
    let (_, gateway) = bound();
    for sessions in 2..5 {
        let mut session =
            CardSession::open(reader::power_on(&CardSlot::Soft(gateway.card())).unwrap()).unwrap();
        let store = gateway.store();
        examine(&mut session, &store, Consent::Automatic).unwrap();
        assert!(session.is_paired());
        examine(&mut session, &store, Consent::Automatic).unwrap();
        assert_eq!(session.pairing().unwrap().sessions, sessions);
        let recorded = store.bindings().unwrap().counter(Counter::CardSession).unwrap();
        assert_eq!(recorded, sessions);
    }
}

#[test]
fn a_card_that_does_not_know_the_secret_is_refused() {
    let (_, gateway) = bound();
    alter(&gateway.card(), |card| {
        card["binding"]["pairing_secret"][0] =
            serde_json::json!(card["binding"]["pairing_secret"][0].as_u64().unwrap() ^ 1);
    });
    assert_eq!(gateway.shown_obstacles(), [""; 0]);
    assert!(matches!(gateway.refusal(), Obstacle::PairingRefused { tries: 9 }));
    assert!(gateway.shown_obstacles()[0].contains("9 tries left"));
    alter(&gateway.card(), |card| {
        card["pairing"]["tries"] = serde_json::json!(0);
    });
    assert!(matches!(gateway.refusal(), Obstacle::PairingBlocked));
    assert!(gateway.shown_obstacles()[0].contains("no pairing secret any more"));
}

#[test]
fn a_refused_secret_is_tried_once_and_not_at_every_heartbeat() {
    let (_, gateway) = bound();
    alter(&gateway.card(), |card| {
        card["binding"]["pairing_secret"] = serde_json::Value::from(vec![0_u8; 16]);
    });
    let config = CardConfig {
        waits_for_confirmation: false,
        slot: CardSlot::Soft(gateway.card()),
        heartbeat: Duration::from_millis(50),
    };
    let (handle, standing, thread) = Custodian::start(
        config,
        Arc::new(gateway.store()),
        gateway.journal(),
        &crate::liveness::Pulses::default(),
    )
    .unwrap();
    for _ in 0..3 {
        handle.examine().unwrap();
        assert_eq!(standing.borrow().state, GatewayState::CardForeign);
    }
    // Another program has the card for a moment, and gives it back: it has not been taken out.
    let other = loop {
        if let Ok(card) = reader::power_on(&CardSlot::Soft(gateway.card())) {
            break card;
        }
    };
    handle.examine().unwrap();
    assert_eq!(standing.borrow().state, GatewayState::CardMissing);
    drop(other);
    handle.examine().unwrap();
    assert_eq!(standing.borrow().state, GatewayState::CardForeign);
    alter(&gateway.card(), |card| assert_eq!(card["pairing"]["tries"], 9));
    // A card that is taken out and inserted anew is asked once more.
    let away = gateway.card().with_extension("away");
    std::fs::rename(gateway.card(), &away).unwrap();
    handle.examine().unwrap();
    std::fs::rename(&away, gateway.card()).unwrap();
    handle.examine().unwrap();
    drop(handle);
    thread.join(Duration::from_secs(60));
    alter(&gateway.card(), |card| assert_eq!(card["pairing"]["tries"], 8));
}

#[test]
fn a_card_that_was_paired_elsewhere_is_noticed() {
    let (_, gateway) = bound();
    alter(&gateway.card(), |card| {
        card["pairing"]["sessions"] = serde_json::json!(2);
    });
    let refused = gateway.examine().map(|identity| identity.guid).unwrap_err();
    assert!(matches!(
        refused,
        Obstacle::SessionCounterAhead {
            found: 3,
            recorded: 2
        }
    ));
    assert_eq!(refused.state(true), GatewayState::Tampered);
}

#[test]
fn a_store_that_was_set_back_is_noticed() {
    let (_, gateway) = bound();
    let (data, before) = (
        gateway.folder.path().join("data"),
        gateway.folder.path().join("before"),
    );
    let copy = |from: &Path, to: &Path| {
        let status = std::process::Command::new("cp")
            .arg("-r")
            .args([from, to])
            .status();
        assert!(status.unwrap().success());
    };
    copy(&data, &before);
    gateway.examine().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&before, &data);
    let refused = gateway.examine().map(|identity| identity.guid).unwrap_err();
    assert_eq!(refused.state(true), GatewayState::Tampered, "{refused}");
}

#[test]
fn a_bound_card_that_was_set_back_is_noticed() {
    let (_, gateway) = bound();
    let before = std::fs::read(gateway.card()).unwrap();
    gateway.examine().unwrap();
    gateway.examine().unwrap();
    std::fs::write(gateway.card(), before).unwrap();
    assert!(matches!(
        gateway.refusal(),
        Obstacle::SessionCounterBehind {
            found: 2,
            recorded: 4
        }
    ));
}

#[test]
fn a_card_whose_attestation_key_is_its_sig_key_is_refused() {
    let (center, gateway) = (Center::new(), Gateway::new());
    center.personalize(&gateway.card(), GUID);
    alter(&gateway.card(), |card| {
        // EF.CERT.SIG in place of EF.CERT.ATT.
        card["files"][0x0204.to_string()] = card["files"][0x0201.to_string()].clone();
    });
    assert!(matches!(gateway.refusal(), Obstacle::AttestationKey));
}

/// A card in whose reader the power fails before or after the nth command.
struct Failing {
    applet: Applet,
    file: PathBuf,
    commands_left: usize,
    after: bool,
}

impl Transport for Failing {
    type Error = ReaderError;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        if self.commands_left == 0 && !self.after {
            return Err(ReaderError::NoCard);
        }
        let answer = self.applet.process(command, &mut UnwrapErr(SysRng));
        std::fs::write(&self.file, self.applet.state().to_bytes()?)?;
        if self.commands_left == 0 {
            return Err(ReaderError::NoCard);
        }
        self.commands_left -= 1;
        Ok(answer.response)
    }
}

#[test]
fn a_power_cut_at_any_command_of_binding_and_pairing_costs_nothing() {
    let center = Center::new();
    let mut cuts = 0;
    for after in [false, true] {
        for commands_left in 0.. {
            let gateway = Gateway::new();
            center.personalize(&gateway.card(), GUID);
            let first = gateway.examine_until(&gateway.card(), commands_left, after);
            let second = gateway.examine().unwrap();
            assert_eq!(
                second.guid,
                GUID.parse().unwrap(),
                "cut at command {commands_left}"
            );
            if first.is_ok() {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts >= 40, "{cuts} cuts are fewer than the binding has commands");
}

#[test]
fn a_card_that_was_set_back_behind_its_bundle_is_refused() {
    let (_, gateway) = bound();
    assert!(gateway.examine().unwrap().bundle.is_none());
    let store = gateway.store();
    store.database().install_bundle(1, [7; 32], b"{}").unwrap();
    drop(store);
    assert!(matches!(
        gateway.refusal(),
        Obstacle::BundleSetBack {
            anchored: 0,
            stored: 1
        }
    ));
}

#[test]
fn a_card_that_is_exchanged_while_it_has_power_is_gone() {
    let (center, gateway) = bound();
    let other = Gateway::new();
    center.personalize(&other.card(), "fd5a::2");
    let theirs = std::fs::read(other.card()).unwrap();
    let mut session = CardSession::open(reader::power_on(&CardSlot::Soft(gateway.card())).unwrap()).unwrap();
    std::fs::rename(other.card(), gateway.card()).unwrap();
    assert!(session.life_cycle().is_err());
    assert!(session.life_cycle().is_err());
    assert_eq!(
        std::fs::read(gateway.card()).unwrap(),
        theirs,
        "the other card is untouched"
    );
}

#[test]
fn a_card_whose_state_cannot_be_written_loses_its_power() {
    let (center, gateway) = (Center::new(), Gateway::new());
    center.personalize(&gateway.card(), GUID);
    let before = std::fs::read(gateway.card()).unwrap();
    let mut session = CardSession::open(reader::power_on(&CardSlot::Soft(gateway.card())).unwrap()).unwrap();
    let shown = session.identity().unwrap();
    let away = gateway.folder.path().with_extension("away");
    std::fs::rename(gateway.folder.path(), &away).unwrap();
    let order = BindOrder {
        gateway: GatewayId::new([1; 16]),
        pairing_secret: Zeroizing::new([2; 16]),
        nonce: [3; 16],
    };
    assert!(session.bind(&order, &shown).is_err());
    std::fs::rename(&away, gateway.folder.path()).unwrap();
    assert!(
        session.life_cycle().is_err(),
        "the card has forgotten nothing and has no power"
    );
    assert_eq!(std::fs::read(gateway.card()).unwrap(), before);
}

#[test]
fn a_certificate_that_is_not_the_cards_is_refused() {
    let (_, gateway) = bound();
    let other = Center::new();
    let (card, second) = (Gateway::new(), Gateway::new());
    other.personalize(&card.card(), "fd5a::3");
    let stored = std::fs::read_to_string(card.card()).unwrap();
    let guids = [
        "fd5a0000000000000000000000000003",
        "fd5a0000000000000000000000000004",
    ];
    let forged = stored.replacen(guids[0], guids[1], 1);
    assert_ne!(stored, forged);
    std::fs::write(second.card(), forged).unwrap();
    let refusal = second.refusal();
    assert!(matches!(refusal, Obstacle::CertificateGuid { .. }), "{refusal:?}");
    assert!(gateway.examine().is_ok());
}
