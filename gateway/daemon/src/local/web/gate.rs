//! The gate of the local web: who gets in, how often it may be tried, and what is written down about it.
//!
//! What changes is logged before it holds, and holds when the call returns. Everything here that hashes or writes blocks.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use billing::{StageDocument, TariffDocument};
use model::{ElementPattern, Fingerprint, LogEvent, LogText, SystemEvent};
use store::{AccessRecord, LogError, Store};
use tokio::sync::Semaphore;

use super::accounts::{Account, Accounts, AccountsError, LONGEST_NAME, MOST_TOKENS, Token};
use super::bucket::{Buckets, Rate};
use super::live::Streams;
use super::password::{HashError, Password, PasswordHash, Weakness, waste_time};
use super::prices::{self, PricesError};
use super::roster::{Identity, Roster};
use super::secret::{Secret, first_password};
use super::session::{Session, Sessions};
use super::zone::Zone;
use crate::clock;
use crate::journal::Journal;
use crate::network::Network;
use crate::random::{self, RandomError};
use crate::threads::{self, ThreadFailed};

/// Tries from one network, and from it again: fewer than an account has, so that nobody of the house keeps the account of
/// another one shut by trying.
const RATE_OF_NETWORK: Rate = Rate {
    burst: 5,
    refill: Duration::from_secs(90),
};
/// Tries at one account, from wherever: 60 an hour leave a password of ten characters alone for ages.
const RATE_OF_ACCOUNT: Rate = Rate {
    burst: 10,
    refill: Duration::from_secs(60),
};
/// Networks that are remembered.
const MOST_NETWORKS: usize = 256;
/// Accounts that are remembered, names that are none included.
const MOST_NAMES: usize = 128;
/// How long somebody waits for the others whose passwords are compared: one at a time bounds the memory.
const LONGEST_QUEUE: Duration = Duration::from_secs(5);

/// The reason why somebody does not get in, or nothing is changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    /// The name or the password is wrong.
    #[error("the account or the password is wrong")]
    Wrong,
    /// It was tried too often.
    #[error("it was tried too often; wait {} s", wait.as_secs().saturating_add(1))]
    TooOften {
        /// How long to wait.
        wait: Duration,
    },
    /// There is no such account.
    #[error("there is no account {named:?}; there are: {known}")]
    Unknown {
        /// The name.
        named: String,
        /// The names that there are.
        known: String,
    },
    /// The password is weak.
    #[error(transparent)]
    Weak(#[from] Weakness),
    /// The new password is the old one.
    #[error("the new password is the old one")]
    Same,
    /// The token's name is empty, too long or taken, or there are too many.
    #[error(
        "a token has a name of its own of 1 to {LONGEST_NAME} characters, and an account {MOST_TOKENS} tokens at most"
    )]
    Token,
    /// The accounts cannot be read or written.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// A hash failed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// There are no random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// It cannot be logged.
    #[error("it cannot be logged, so that it is not done")]
    Log(#[from] LogError),
    /// A thread has failed.
    #[error("a thread of the local web has failed")]
    Thread(#[from] ThreadFailed),
}

/// What is tried by whom how often.
struct Tries {
    of_networks: Buckets<Network>,
    of_accounts: Buckets<String>,
}

/// The gate. Clones share everything.
#[derive(Clone)]
pub(crate) struct Gate {
    store: Arc<Store>,
    journal: Journal,
    roster: Roster,
    sessions: Arc<Mutex<Sessions>>,
    /// What is shown as it comes.
    streams: Streams,
    tries: Arc<Mutex<Tries>>,
    /// One hash at a time.
    hashing: Arc<Semaphore>,
    /// Held while the accounts, or what they have entered, change.
    changing: Arc<Mutex<()>>,
}

/// What becomes of the tokens of an account that gets a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    /// They stay: the password is for the one who has made them.
    Stay,
    /// They end: it may be for somebody else, who has moved in.
    End,
}

/// A session that was opened, with what its browser keeps.
pub(super) struct Opened {
    pub(super) id: Secret,
    pub(super) must_change: bool,
}

impl Gate {
    pub(crate) fn new(store: Arc<Store>, journal: Journal, roster: Roster) -> Self {
        let tries = Tries {
            of_networks: Buckets::new(RATE_OF_NETWORK, MOST_NETWORKS),
            of_accounts: Buckets::new(RATE_OF_ACCOUNT, MOST_NAMES),
        };
        Self {
            store,
            journal,
            roster,
            sessions: Arc::default(),
            streams: Streams::default(),
            tries: Arc::new(Mutex::new(tries)),
            hashing: Arc::new(Semaphore::new(1)),
            changing: Arc::default(),
        }
    }

    /// Opens a session for whoever knows the password.
    pub(super) async fn log_in(
        &self,
        peer: IpAddr,
        name: String,
        password: Password,
    ) -> Result<Opened, GateError> {
        if let Err(refused) = self.take_try(peer, &name) {
            let known = self.roster.find(&name);
            self.journal.note_outside(SystemEvent::LoginRefused {
                account: known.map(|identity| LogText::cut(&identity.name)),
                peer: LogText::cut(&peer.to_string()),
            });
            return Err(refused);
        }
        let gate = self.clone();
        let checked = self
            .hash(move || {
                let opened = gate.check(peer, &name, &password)?;
                gate.give_back(peer, &name);
                Ok(opened)
            })
            .await;
        if let Err(GateError::Wrong) = &checked {
            tracing::info!(%peer, "a login to the local web failed");
        }
        checked
    }

    /// Has one thing hashed at a time, on a blocking thread.
    async fn hash<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, GateError> + Send + 'static,
    ) -> Result<T, GateError> {
        let wait = LONGEST_QUEUE;
        let queued = tokio::time::timeout(wait, Arc::clone(&self.hashing).acquire_owned()).await;
        let Ok(Ok(turn)) = queued else {
            return Err(GateError::TooOften { wait });
        };
        threads::blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await?
    }

    fn check(&self, peer: IpAddr, name: &str, password: &Password) -> Result<Opened, GateError> {
        let accounts = Accounts::read(&self.store)?;
        let known = self.roster.find(name).zip(accounts.by_name.get(name));
        let Some((identity, account)) = known else {
            waste_time(password)?;
            return Err(self.refuse(peer, self.roster.find(name)));
        };
        if !account.password.is_of(password)? {
            return Err(self.refuse(peer, Some(identity)));
        }
        let event = SystemEvent::LoggedIn {
            account: LogText::cut(name),
            peer: LogText::cut(&peer.to_string()),
        };
        self.journal.write([event.into()])?;
        self.open(identity.clone(), account.must_change)
    }

    fn open(&self, identity: Identity, must_change: bool) -> Result<Opened, GateError> {
        let (id, form_token) = (Secret::draw()?, Secret::draw()?);
        self.sessions()
            .open(id.clone(), form_token, (identity, must_change), Instant::now());
        Ok(Opened { id, must_change })
    }

    fn refuse(&self, peer: IpAddr, known: Option<&Identity>) -> GateError {
        self.journal.note_outside(SystemEvent::LoginFailed {
            account: known.map(|identity| LogText::cut(&identity.name)),
            peer: LogText::cut(&peer.to_string()),
        });
        GateError::Wrong
    }

    fn take_try(&self, peer: IpAddr, name: &str) -> Result<(), GateError> {
        let now = Instant::now();
        let mut tries = self.tries();
        let too_often = |wait| GateError::TooOften { wait };
        tries.of_networks.take(&peer.into(), now).map_err(too_often)?;
        tries.of_accounts.take(&name.to_owned(), now).map_err(too_often)
    }

    /// A try that succeeded does not count.
    fn give_back(&self, peer: IpAddr, name: &str) {
        let mut tries = self.tries();
        tries.of_networks.give_back(&peer.into());
        tries.of_accounts.give_back(&name.to_owned());
    }

    /// Returns the session with this id, if it lasts.
    pub(super) fn enter(&self, id: &Secret) -> Option<Session> {
        self.sessions().enter(id, Instant::now())
    }

    /// Returns the session with this id, if it lasts, and does not prolong it.
    pub(super) fn look(&self, id: &Secret) -> Option<Session> {
        self.sessions().look(id, Instant::now())
    }

    /// Returns what bounds the streams.
    pub(super) const fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Ends a session in whose place another one has come.
    pub(super) fn end(&self, id: &Secret) {
        self.sessions().end(id);
    }

    /// Ends a session, whether or not it can be logged.
    pub(super) fn log_out(
        &self,
        id: &Secret,
        (peer, identity): (IpAddr, &Identity),
    ) -> Result<(), GateError> {
        self.end(id);
        let (account, peer) = (LogText::cut(&identity.name), LogText::cut(&peer.to_string()));
        let event = SystemEvent::LoggedOut { account, peer };
        Ok(self.journal.write([event.into()])?)
    }

    /// Writes down that there is a new certificate.
    pub(super) fn note_certificate(&self, certificate: Fingerprint) -> Result<(), GateError> {
        let event = SystemEvent::CertificateRenewed { certificate };
        Ok(self.journal.write([event.into()])?)
    }

    /// Returns who has this token.
    pub(super) fn bearer(&self, token: &Secret) -> Result<Identity, GateError> {
        let accounts = Accounts::read(&self.store)?;
        let owner = accounts.owner_of(&token.digest());
        let owner = owner.and_then(|name| self.roster.find(name));
        owner.cloned().ok_or(GateError::Wrong)
    }

    /// Changes somebody's own password. All sessions of the account end, and a new one begins.
    pub(super) async fn change_password(
        &self,
        (peer, identity): (IpAddr, Identity),
        old: Password,
        new: Password,
    ) -> Result<Opened, GateError> {
        if let Some(weakness) = new.weakness(&identity.name) {
            return Err(weakness.into());
        }
        if old.reveal() == new.reveal() {
            return Err(GateError::Same);
        }
        self.take_try(peer, &identity.name)?;
        let gate = self.clone();
        self.hash(move || {
            let known = Accounts::read(&gate.store)?.by_name.remove(&*identity.name);
            if !known.ok_or(GateError::Wrong)?.password.is_of(&old)? {
                return Err(gate.refuse(peer, Some(&identity)));
            }
            gate.give_back(peer, &identity.name);
            gate.set_password(&identity.name, &new, (false, Tokens::Stay))?;
            gate.open(identity, false)
        })
        .await
    }

    /// Issues a first password, the given one or one that is drawn, which has to be changed at the login.
    pub(super) async fn issue(
        &self,
        name: String,
        given: Option<Password>,
        tokens: Tokens,
    ) -> Result<Password, GateError> {
        if self.roster.find(&name).is_none() {
            let known: Vec<_> = self.roster.names().collect();
            let known = known.join(", ");
            return Err(GateError::Unknown { named: name, known });
        }
        let password = match given {
            Some(given) => match given.weakness(&name) {
                Some(weakness) => return Err(weakness.into()),
                None => given,
            },
            None => Password::new(first_password(&random::bytes()?)),
        };
        let gate = self.clone();
        self.hash(move || {
            gate.set_password(&name, &password, (true, tokens))?;
            Ok(password)
        })
        .await
    }

    /// Sets a password and ends the sessions of the account.
    fn set_password(
        &self,
        name: &str,
        password: &Password,
        (issued, tokens): (bool, Tokens),
    ) -> Result<(), GateError> {
        let hash = PasswordHash::new(password, random::bytes()?)?;
        self.change_all(|accounts| {
            let known = accounts.by_name.remove(name).map(|known| known.tokens);
            let known = known.unwrap_or_default();
            let (kept, revoked) = match tokens {
                Tokens::Stay => (known, Vec::new()),
                Tokens::End => (Vec::new(), known),
            };
            let account = Account {
                password: hash,
                must_change: issued,
                tokens: kept,
            };
            accounts.by_name.insert(name.to_owned(), account);
            let account = LogText::cut(name);
            let ended = revoked.iter().map(|token| SystemEvent::TokenRevoked {
                account: account.clone(),
                name: LogText::cut(&token.name),
            });
            let mut events: Vec<_> = ended.collect();
            events.push(SystemEvent::PasswordChanged { account, issued });
            Ok(events)
        })?;
        self.sessions().end_all_of(name);
        Ok(())
    }

    /// Finds somebody by the name of the account.
    pub(super) fn identity(&self, account: &str) -> Option<Identity> {
        self.roster.find(account).cloned()
    }

    /// Returns the tokens of an account: what each is called, and when it was made.
    pub(super) fn tokens(&self, account: &str) -> Result<Vec<Token>, GateError> {
        let known = Accounts::read(&self.store)?.by_name.remove(account);
        Ok(known.map(|account| account.tokens).unwrap_or_default())
    }

    /// Makes a token for reading, and returns it: it is shown once.
    pub(super) fn make_token(&self, account: &str, name: &str) -> Result<Secret, GateError> {
        let secret = Secret::draw()?;
        let name = LogText::cut(name.trim());
        let length = name.as_str().chars().count();
        self.change(|accounts| {
            let known = accounts.by_name.get_mut(account).ok_or(GateError::Wrong)?;
            let taken = known.tokens.iter().any(|token| token.name == name.as_str());
            if taken || !(1..=LONGEST_NAME).contains(&length) || known.tokens.len() >= MOST_TOKENS {
                return Err(GateError::Token);
            }
            known.tokens.push(Token {
                name: name.as_str().to_owned(),
                digest: secret.digest(),
                made: clock::now(),
            });
            let account = LogText::cut(account);
            Ok(SystemEvent::TokenMade { account, name })
        })?;
        Ok(secret)
    }

    /// Revokes a token; it is of no use from then on.
    pub(super) fn revoke_token(&self, account: &str, name: &str) -> Result<(), GateError> {
        self.change(|accounts| {
            let known = accounts.by_name.get_mut(account).ok_or(GateError::Wrong)?;
            known.tokens.retain(|token| token.name != name);
            let (account, name) = (LogText::cut(account), LogText::cut(name));
            Ok(SystemEvent::TokenRevoked { account, name })
        })
    }

    /// Returns the prices that an account has entered.
    pub(super) fn prices(&self, account: &str) -> Result<Option<TariffDocument>, PricesError> {
        prices::read(self.store.access(), account)
    }

    /// Adds a stage to the prices of an account.
    pub(super) fn add_price(
        &self,
        account: &str,
        priced: (StageDocument, &str),
        zone: &Zone,
    ) -> Result<(), PricesError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        prices::add(self.store.access(), account, priced, zone)
    }

    /// Removes a stage from the prices of an account.
    pub(super) fn remove_price(
        &self,
        account: &str,
        stage: (&str, &ElementPattern),
    ) -> Result<(), PricesError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        prices::remove(self.store.access(), account, stage)
    }

    /// Deletes every password and token and what the accounts have entered, and ends every session.
    pub(super) fn reset(&self) -> Result<(), GateError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.journal.write([SystemEvent::AccessReset.into()])?;
        let deleted = self.store.access().delete(AccessRecord::Accounts);
        deleted.map_err(AccountsError::from)?;
        let deleted = self.store.access().delete(AccessRecord::Prices);
        deleted.map_err(AccountsError::from)?;
        self.sessions().end_all();
        Ok(())
    }

    /// Changes the accounts: logged first, then written.
    fn change(
        &self,
        how: impl FnOnce(&mut Accounts) -> Result<SystemEvent, GateError>,
    ) -> Result<(), GateError> {
        self.change_all(|accounts| how(accounts).map(|event| vec![event]))
    }

    /// As [`Gate::change`], where one change is several events.
    fn change_all(
        &self,
        how: impl FnOnce(&mut Accounts) -> Result<Vec<SystemEvent>, GateError>,
    ) -> Result<(), GateError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts = Accounts::read(&self.store)?;
        let events = how(&mut accounts)?;
        self.journal.write(events.into_iter().map(LogEvent::from))?;
        Ok(accounts.write(&self.store)?)
    }

    /// A panic under the lock leaves nothing half done.
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic under the lock leaves nothing half done.
    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
