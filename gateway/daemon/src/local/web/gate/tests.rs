use std::path::Path;

use model::LogKind;
use store::{DeviceKey, LogLimits, Logs, Protection};

use super::*;
use crate::journal::{CardKeyVerifier, moment};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 7));

fn gate(folder: &Path) -> Gate {
    let key = DeviceKey::new([0x5a; DeviceKey::LENGTH]);
    let store = Store::open(&folder.join("data"), Ok(Protection { key, otp: None })).unwrap();
    let logs = Logs::open(&folder.join("logs"), LogLimits::default(), false, moment()).unwrap();
    let journal = Journal::new(logs, CardKeyVerifier::new(None)).unwrap();
    Gate::new(Arc::new(store), journal, Roster::new(&[]))
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned().into())
}

fn codes(gate: &Gate) -> Vec<String> {
    let page = gate.journal.logs().page(LogKind::System, 0, None).unwrap();
    let code = |entry: store::LogEntry| entry.event().unwrap().code().to_owned();
    page.entries.into_iter().map(code).collect()
}

#[tokio::test]
async fn first_password_lets_in_once_changed_and_only_the_one_who_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(folder.path());
    let wrong = gate.log_in(PEER, "consumer".into(), password("anything")).await;
    assert!(matches!(wrong, Err(GateError::Wrong)));
    let first = gate
        .issue("consumer".into(), None, Tokens::End)
        .await
        .ok()
        .unwrap();
    let opened = gate
        .log_in(PEER, "consumer".into(), first.clone())
        .await
        .ok()
        .unwrap();
    assert!(opened.must_change);
    let session = gate.enter(&opened.id).unwrap();
    let who = || (PEER, session.identity.clone());
    for (old, new, is_expected) in [
        (
            first.reveal(),
            "short",
            (|error| matches!(error, GateError::Weak(_))) as fn(&GateError) -> bool,
        ),
        (first.reveal(), first.reveal(), |error| {
            matches!(error, GateError::Same)
        }),
        ("not the old one", "my new secret words", |error| {
            matches!(error, GateError::Wrong)
        }),
    ] {
        let changed = gate.change_password(who(), password(old), password(new)).await;
        assert!(is_expected(&changed.err().unwrap()), "{new}");
    }
    let changed = gate.change_password(who(), first.clone(), password("my new secret words"));
    let changed = changed.await.ok().unwrap();
    assert!(!changed.must_change);
    assert!(
        gate.enter(&opened.id).is_none(),
        "the session with the first password ends"
    );
    assert!(gate.enter(&changed.id).is_some());
    assert!(gate.log_in(PEER, "consumer".into(), first).await.is_err());
    assert_eq!(
        codes(&gate),
        [
            "SMGW-L-1032",
            "SMGW-L-1033",
            "SMGW-L-1031",
            "SMGW-L-1032",
            "SMGW-L-1033",
            "SMGW-L-1032"
        ]
    );
}

#[tokio::test]
async fn wrong_tries_are_bounded_and_right_ones_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(folder.path());
    let label = password("from the label 1");
    drop(
        gate.issue("technician".into(), Some(label.clone()), Tokens::End)
            .await,
    );
    for _ in 0..2 * RATE_OF_NETWORK.burst {
        assert!(
            gate.log_in(PEER, "technician".into(), label.clone())
                .await
                .is_ok()
        );
    }
    for _ in 0..RATE_OF_NETWORK.burst {
        let wrong = gate.log_in(PEER, "nobody".into(), password("wrong")).await;
        assert!(matches!(wrong, Err(GateError::Wrong)));
    }
    let refused = gate.log_in(PEER, "technician".into(), label.clone()).await;
    assert!(matches!(refused, Err(GateError::TooOften { wait }) if wait <= RATE_OF_NETWORK.refill));
    let elsewhere = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 8));
    assert!(gate.log_in(elsewhere, "technician".into(), label).await.is_ok());
}

#[test]
fn nobody_keeps_the_account_of_another_one_shut_by_trying() {
    let start = Instant::now();
    let mut networks = Buckets::new(RATE_OF_NETWORK, MOST_NETWORKS);
    let mut accounts = Buckets::new(RATE_OF_ACCOUNT, MOST_NAMES);
    let mut tries = |network: &'static str, now| {
        networks.take(&network, now)?;
        accounts.take(&"consumer", now)
    };
    for second in 0..6 * 3_600 {
        let now = start + Duration::from_secs(second);
        tries("somebody who tries and tries", now).ok();
        if second % 600 == 599 {
            assert_eq!(tries("the one who knows the password", now), Ok(()), "{second}");
        }
    }
}

#[tokio::test]
async fn logging_out_ends_the_session_and_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(folder.path());
    let label = password("from the label 1");
    drop(
        gate.issue("consumer".into(), Some(label.clone()), Tokens::End)
            .await,
    );
    let opened = gate.log_in(PEER, "consumer".into(), label).await.ok().unwrap();
    let session = gate.enter(&opened.id).unwrap();
    gate.log_out(&opened.id, (PEER, &session.identity)).unwrap();
    assert!(gate.enter(&opened.id).is_none());
    assert_eq!(codes(&gate), ["SMGW-L-1033", "SMGW-L-1031", "SMGW-L-1037"]);
}

#[tokio::test]
async fn refused_tries_are_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(folder.path());
    for _ in 0..RATE_OF_NETWORK.burst {
        drop(gate.log_in(PEER, "nobody".into(), password("wrong")).await);
    }
    let refused = gate.log_in(PEER, "consumer".into(), password("wrong")).await;
    assert!(matches!(refused, Err(GateError::TooOften { .. })));
    assert_eq!(codes(&gate).last().map(String::as_str), Some("SMGW-L-1038"));
}

#[tokio::test]
async fn damaged_accounts_let_nobody_in_until_they_are_reset() {
    let folder = tempfile::tempdir().unwrap();
    let label = password("from the label 1");
    drop(
        gate(folder.path())
            .issue("consumer".into(), Some(label.clone()), Tokens::End)
            .await,
    );
    let file = folder.path().join("data/web-accounts");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let gate = gate(folder.path());
    let refused = gate.log_in(PEER, "consumer".into(), label.clone()).await;
    assert!(matches!(refused, Err(GateError::Accounts(_))));
    assert!(
        gate.issue("consumer".into(), Some(label.clone()), Tokens::End)
            .await
            .is_err()
    );
    assert_eq!(gate.store.access().damaged(), ["web-accounts"]);
    gate.reset().unwrap();
    assert!(gate.store.access().damaged().is_empty());
    drop(
        gate.issue("consumer".into(), Some(label.clone()), Tokens::End)
            .await,
    );
    assert!(gate.log_in(PEER, "consumer".into(), label).await.is_ok());
}

#[tokio::test]
async fn tokens_are_known_by_their_digest_until_they_are_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(folder.path());
    assert!(
        gate.make_token("consumer", "display").is_err(),
        "it has no password yet"
    );
    drop(gate.issue("consumer".into(), None, Tokens::End).await);
    let token = gate.make_token("consumer", " display ").ok().unwrap();
    assert_eq!(&*gate.bearer(&token).unwrap().name, "consumer");
    let file = std::fs::read(folder.path().join("data/web-accounts")).unwrap();
    let file = String::from_utf8_lossy(&file).into_owned();
    assert!(!file.contains(&**token.reveal()), "only its digest is kept");
    for name in ["display", "", &"x".repeat(LONGEST_NAME + 1)] {
        assert!(
            matches!(gate.make_token("consumer", name), Err(GateError::Token)),
            "{name}"
        );
    }
    drop(gate.issue("consumer".into(), None, Tokens::Stay).await);
    assert!(
        gate.bearer(&token).is_ok(),
        "whoever has forgotten a password keeps the display"
    );
    gate.revoke_token("consumer", "display").unwrap();
    assert!(matches!(gate.bearer(&token), Err(GateError::Wrong)));
    for number in 0..MOST_TOKENS {
        assert!(gate.make_token("consumer", &number.to_string()).is_ok());
    }
    assert!(gate.make_token("consumer", "one more").is_err());
}

#[tokio::test]
async fn who_moves_in_is_not_read_by_the_tokens_of_who_has_moved_out() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(folder.path());
    drop(gate.issue("consumer".into(), None, Tokens::End).await);
    let token = gate.make_token("consumer", "display").ok().unwrap();
    drop(gate.issue("consumer".into(), None, Tokens::End).await);
    assert!(matches!(gate.bearer(&token), Err(GateError::Wrong)));
    assert!(gate.tokens("consumer").unwrap().is_empty());
    assert_eq!(
        codes(&gate),
        ["SMGW-L-1033", "SMGW-L-1034", "SMGW-L-1035", "SMGW-L-1033"]
    );
}

#[tokio::test]
async fn there_is_no_password_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(folder.path());
    let error = gate
        .issue("nobody".into(), None, Tokens::End)
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "there is no account \"nobody\"; there are: technician, consumer"
    );
    let weak = gate
        .issue("consumer".into(), Some(password("short")), Tokens::End)
        .await;
    assert!(matches!(weak, Err(GateError::Weak(Weakness::TooShort))));
}
