//! The sessions of the local web: bounded in number and time, several at once. The time and randomness are arguments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::roster::Identity;
use super::secret::Secret;

/// How long a session may stay idle.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How long a session may last.
const LONGEST: Duration = Duration::from_secs(8 * 3_600);
/// Sessions of one account at the same time: a phone, a tablet and some computers. Behind that the one that was idle the
/// longest ends, so that nobody is locked out by forgotten browsers.
const MOST_OF_ONE: usize = 6;

/// What a browser may do that has logged in.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) identity: Identity,
    /// Whether nothing is permitted before the password is changed.
    pub(super) must_change: bool,
    /// What each form of the session has to carry.
    pub(super) form_token: Secret,
    opened: Instant,
    used: Instant,
}

/// The sessions there are. Accounts are bounded by the configuration, and so are these.
#[derive(Default)]
pub(super) struct Sessions {
    open: HashMap<Secret, Session>,
}

impl Sessions {
    /// Opens a session under a secret that nobody else knows.
    pub(super) fn open(
        &mut self,
        id: Secret,
        form_token: Secret,
        (identity, must_change): (Identity, bool),
        now: Instant,
    ) {
        self.open.retain(|_, session| session.lasts(now));
        let own = |session: &Session| session.identity.name == identity.name;
        if self.open.values().filter(|session| own(session)).count() >= MOST_OF_ONE {
            let of_account = self.open.iter().filter(|(_, session)| own(session));
            let oldest = of_account.min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.open.remove(&oldest);
            }
        }
        let session = Session {
            identity,
            must_change,
            form_token,
            opened: now,
            used: now,
        };
        self.open.insert(id, session);
    }

    /// Returns the session, and notes that it is in use.
    pub(super) fn enter(&mut self, id: &Secret, now: Instant) -> Option<Session> {
        let session = self.open.get_mut(id)?;
        if session.lasts(now) {
            session.used = now;
            return Some(session.clone());
        }
        self.open.remove(id);
        None
    }

    /// Returns the session, and does not note that it is in use.
    pub(super) fn look(&self, id: &Secret, now: Instant) -> Option<Session> {
        self.open.get(id).filter(|session| session.lasts(now)).cloned()
    }

    /// Ends a session.
    pub(super) fn end(&mut self, id: &Secret) {
        self.open.remove(id);
    }

    /// Ends every session of an account.
    pub(super) fn end_all_of(&mut self, account: &str) {
        self.open.retain(|_, session| *session.identity.name != *account);
    }

    /// Ends every session.
    pub(super) fn end_all(&mut self) {
        self.open.clear();
    }
}

impl Session {
    fn lasts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < IDLE
            && now.saturating_duration_since(self.opened) < LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::super::roster::Role;
    use super::*;

    fn secret(number: u8) -> Secret {
        Secret::of([number; Secret::LENGTH])
    }

    fn technician() -> (Identity, bool) {
        let name = "technician".into();
        let role = Role::Technician;
        (Identity { name, role }, false)
    }

    #[test]
    fn session_ends_when_it_is_idle_or_old() {
        let start = Instant::now();
        let mut sessions = Sessions::default();
        sessions.open(secret(1), secret(2), technician(), start);
        assert!(sessions.enter(&secret(2), start).is_none());
        let mut now = start;
        while now.duration_since(start) < LONGEST - Duration::from_secs(600) {
            now += Duration::from_secs(600);
            let used = sessions.enter(&secret(1), now).is_some();
            assert_eq!(used, now.duration_since(start) < LONGEST);
        }
        assert!(sessions.enter(&secret(1), start + LONGEST).is_none());
        sessions.open(secret(3), secret(4), technician(), now);
        assert!(
            sessions
                .look(&secret(3), now + IDLE - Duration::from_secs(1))
                .is_some()
        );
        assert!(
            sessions.look(&secret(3), now + IDLE).is_none(),
            "a look prolongs nothing"
        );
        assert!(sessions.enter(&secret(3), now + IDLE).is_none());
        assert!(sessions.open.is_empty());
    }

    #[test]
    fn one_account_has_so_many_sessions_and_its_idlest_ends() {
        let start = Instant::now();
        let mut sessions = Sessions::default();
        for number in 0..8 {
            let now = start + Duration::from_secs(u64::from(number));
            sessions.open(secret(number), secret(100), technician(), now);
        }
        let now = start + Duration::from_secs(10);
        assert_eq!(sessions.open.len(), MOST_OF_ONE);
        assert!(sessions.enter(&secret(1), now).is_none());
        assert!(sessions.enter(&secret(2), now).is_some());
        sessions.end(&secret(2));
        assert!(sessions.enter(&secret(2), now).is_none());
        sessions.end_all_of("consumer");
        assert_eq!(sessions.open.len(), MOST_OF_ONE - 1);
        sessions.end_all_of("technician");
        assert!(sessions.open.is_empty());
    }
}
