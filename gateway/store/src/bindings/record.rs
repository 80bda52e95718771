//! The bindings in files: sled, and two sealed copies beside it.
//!
//! A burn is done when it stands in all three: compare-and-swap in sled, flush, fsync of its files and
//! folders, read-back, then one copy and then the other. When they are opened, all that is authentic is
//! put together ([`Evidence`]); whatever lags behind, is damaged or is missing is made again from that.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::copies::{self, Found};
use super::device_key::DeviceKey;
use super::engine::{self, Content, Engine};
use super::error::Tampering;
use super::otp;
use super::report::{Health, PartReport, Repair, Strength};
use super::row::{Key, NO_LINK, Row, RowFault};
use super::state::{Evidence, State};
use super::words::{StoredIntent, Tamper, Termination};
use super::write_once::{Fact, Outcome, WriteOnce};
use super::{BindingsError, reserve};
use crate::files;

/// The name of sled's folder and of the part.
const SLED: &str = "sled";

/// Where the files are, and what they are sealed with.
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) device: DeviceKey,
}

impl Place {
    fn sled(&self) -> PathBuf {
        self.folder.join(SLED)
    }

    /// Where sled's last damaged files are kept, for whoever looks into what happened.
    fn aside(&self) -> PathBuf {
        self.folder.join("set-aside")
    }
}

/// The key is left out: it is secret.
impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Place")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// The files of one gateway.
#[derive(Debug)]
pub(super) struct Record {
    place: Arc<Place>,
    engine: Engine,
    state: State,
    /// Of the copies, in the order of their names.
    generations: [u64; 2],
}

impl Record {
    /// Opens the files, makes them at the first start, and puts right what can be put right safely.
    ///
    /// If the disk is full, the space that is kept aside is given up for it.
    pub(super) fn open(place: &Arc<Place>, repairs: &mut Vec<Repair>) -> Result<Self, BindingsError> {
        let mut made = Vec::new();
        let opened = match Self::attempt(place, &mut made) {
            Err(error) if error.is_full() && reserve::give_up(&place.folder)? => {
                made = vec![Repair::ReserveUsed];
                Self::attempt(place, &mut made)
            }
            outcome => outcome,
        };
        repairs.append(&mut made);
        opened
    }

    fn attempt(place: &Arc<Place>, repairs: &mut Vec<Repair>) -> Result<Self, BindingsError> {
        for name in copies::NAMES {
            files::remove(&place.folder, &format!("{name}.tmp"))?;
        }
        let [a, b] = copies::NAMES;
        let found = [
            copies::read(&place.device, &place.folder, a)?,
            copies::read(&place.device, &place.folder, b)?,
        ];
        let is_first =
            found.iter().all(|copy| matches!(copy, Found::Missing)) && !Engine::exists(&place.sled());
        let (state, engine) = if is_first {
            let blank = State::blank(&place.device).map_err(BindingsError::Encode)?;
            (blank, Err(Health::Missing))
        } else {
            read(place, &found, repairs)?
        };
        check_contents(&state)?;
        let mut generations = [0; 2];
        for (generation, copy) in generations.iter_mut().zip(&found) {
            if let Found::Sound(copy) = copy {
                *generation = copy.generation;
            }
        }
        for (name, copy) in copies::NAMES.into_iter().zip(&found) {
            let was = health(copy, &state);
            if was != Health::Sound {
                write_copy(place, &state, &mut generations, name)?;
                repairs.push(Repair::Renewed { part: name, was });
            }
        }
        let engine = match engine {
            Ok((engine, content)) => match behind(&content, &state) {
                Ok(behind) if behind.is_empty() => Ok(engine),
                Ok(behind) => {
                    repairs.push(Repair::Completed);
                    complete(&engine, &behind).map(|()| Ok(engine))?
                }
                Err(was) => Err(was),
            },
            Err(was) => Err(was),
        };
        let engine = match engine {
            Ok(engine) => engine,
            Err(was) => {
                repairs.push(Repair::Renewed { part: SLED, was });
                rebuilt(place, &state)?
            }
        };
        if is_first {
            repairs.clear();
        }
        Ok(Self {
            place: Arc::clone(place),
            engine,
            state,
            generations,
        })
    }

    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// Returns a burned fact in the forms that the memories keep.
    pub(super) fn fact(&self, key: Key) -> Result<Option<Fact<'_>>, BindingsError> {
        let Some(row) = self.state.row(key) else {
            return Ok(None);
        };
        let digest = match key {
            Key::Binding => self
                .state
                .content(key)?
                .map(|stored: StoredIntent| otp::digest(&stored.binding)),
            Key::Tamper
            | Key::CardTerminated
            | Key::Head
            | Key::CardSession
            | Key::PairingAttempt
            | Key::PairingFailed
            | Key::Intent => None,
        };
        Ok(Some(Fact {
            key,
            content: &row.content,
            digest: digest.unwrap_or_default(),
        }))
    }

    /// Burns a row whose key is free.
    fn burn_row(&mut self, key: Key, content: &[u8]) -> Result<(), BindingsError> {
        let next = self.state.next(&self.place.device, key, content);
        let next = next.map_err(BindingsError::Encode)?;
        let head = self.state.row(Key::Head).map(|head| head.bytes.as_slice());
        self.swap(&next.row, None)?;
        self.swap(&next.head, head)?;
        self.engine.persist()?;
        self.read_back(&next.row)?;
        self.read_back(&next.head)?;
        self.state.push(next);
        self.write_copies()
    }

    /// Gives up the space that is kept aside, for a burn that must not fail for want of it.
    pub(super) fn give_up_reserve(&self) -> Result<(), BindingsError> {
        reserve::give_up(&self.place.folder)?;
        Ok(())
    }

    /// Advances a counter; the caller has seen to it that it grows.
    pub(super) fn count(&mut self, key: Key, value: u64) -> Result<(), BindingsError> {
        let counter =
            Row::seal(&self.place.device, key, (value, NO_LINK), &[]).map_err(BindingsError::Encode)?;
        self.swap(&counter, self.state.row(key).map(|known| known.bytes.as_slice()))?;
        self.engine.persist()?;
        self.read_back(&counter)?;
        self.state.count(counter);
        self.write_copies()
    }

    /// Writes down what is about to be burned.
    pub(super) fn intend(&mut self, content: &[u8]) -> Result<(), BindingsError> {
        let earlier = self.state.row(Key::Intent).map_or(0, |intent| intent.sequence);
        let place_in_time = (earlier.saturating_add(1), NO_LINK);
        let intent = Row::seal(&self.place.device, Key::Intent, place_in_time, content);
        self.state.intend(intent.map_err(BindingsError::Encode)?);
        self.write_copies()
    }

    fn swap(&self, row: &Row, old: Option<&[u8]>) -> Result<(), BindingsError> {
        if self.engine.swap(row.key, old, &row.bytes)? {
            Ok(())
        } else {
            Err(contradiction(row.key).into())
        }
    }

    fn read_back(&self, row: &Row) -> Result<(), BindingsError> {
        let found = self.engine.row(row.key)?;
        if found.as_deref() == Some(row.bytes.as_slice()) {
            Ok(())
        } else {
            Err(contradiction(row.key).into())
        }
    }

    /// Writes both copies, the older one first.
    fn write_copies(&mut self) -> Result<(), BindingsError> {
        let [a, b] = copies::NAMES;
        let [of_a, of_b] = self.generations;
        for name in if of_a <= of_b { [a, b] } else { [b, a] } {
            write_copy(&self.place, &self.state, &mut self.generations, name)?;
        }
        Ok(())
    }

    /// Looks at sled and at both copies as they are at this moment.
    pub(super) fn parts(&self) -> Result<Vec<PartReport>, BindingsError> {
        let sled = match self.engine.content() {
            Ok(content) if is_complete(&content, &self.state) => Health::Sound,
            Ok(_) | Err(_) => Health::Damaged,
        };
        let mut parts = vec![PartReport {
            name: SLED,
            health: sled,
            generation: None,
        }];
        for name in copies::NAMES {
            let found = copies::read(&self.place.device, &self.place.folder, name)?;
            parts.push(PartReport {
                name,
                health: health(&found, &self.state),
                generation: match found {
                    Found::Sound(copy) => Some(copy.generation),
                    Found::Missing | Found::Damaged => None,
                },
            });
        }
        Ok(parts)
    }
}

impl WriteOnce for Record {
    fn strength(&self) -> Strength {
        Strength::Files
    }

    fn is_burned(&self, key: Key) -> Result<bool, BindingsError> {
        Ok(key.is_burned() && self.state.row(key).is_some())
    }

    fn burn(&mut self, fact: &Fact<'_>) -> Result<Outcome, BindingsError> {
        match self.state.row(fact.key) {
            Some(row) if row.content.as_slice() == fact.content => Ok(Outcome::AlreadyBurned),
            Some(_) => Ok(Outcome::Refused),
            None => {
                self.burn_row(fact.key, fact.content)?;
                Ok(Outcome::Burned)
            }
        }
    }
}

/// sled with its rows, or why it must be made again.
type Opened = Result<(Engine, Content), Health>;

/// Puts everything together that is authentic.
fn read(
    place: &Place,
    copies: &[Found],
    repairs: &mut Vec<Repair>,
) -> Result<(State, Opened), BindingsError> {
    let mut evidence = Evidence::default();
    let mut is_vouched = false;
    for copy in copies {
        if let Found::Sound(copy) = copy {
            is_vouched = true;
            for row in &copy.rows {
                evidence.add(row.clone())?;
            }
        }
    }
    let engine = open_engine(place, is_vouched, repairs)?;
    for (name, bytes) in engine.iter().flat_map(|(_, content)| content) {
        let key = Key::named(name).ok_or_else(|| BindingsError::unknown_row(name))?;
        match Row::open(&place.device, key, bytes) {
            Ok(row) => evidence.add(row)?,
            Err(RowFault::Newer { found }) => return Err(BindingsError::TooNew { found }),
            Err(fault) => evidence.add_damaged(key, fault),
        }
    }
    // Both copies are there before anything can be burned. So when both are gone, something happened to
    // them, and sled's word that nothing was burned is not enough: a flipped bit can make it forget.
    let is_known = is_vouched || evidence.is_anything_burned();
    let state = evidence.conclude(&place.device)?;
    if is_known {
        Ok((state, engine))
    } else {
        Err(Tampering::NothingAuthentic.into())
    }
}

/// Opens sled, at the worst without its snapshots; says why if it must be made again from the copies.
fn open_engine(place: &Place, is_vouched: bool, repairs: &mut Vec<Repair>) -> Result<Opened, BindingsError> {
    let sled = place.sled();
    if !Engine::exists(&sled) {
        return if is_vouched {
            Ok(Err(Health::Missing))
        } else {
            Err(Tampering::NothingAuthentic.into())
        };
    }
    let error = match Engine::open(&sled, repairs) {
        Ok(opened) => return Ok(Ok(opened)),
        Err(error) => error,
    };
    if error.is_full() || matches!(error, engine::EngineError::ForeignConfiguration) {
        return Err(error.into());
    }
    if engine::set_snapshots_aside(&sled, &place.aside())? {
        match Engine::open(&sled, repairs) {
            Ok(opened) => {
                repairs.push(Repair::SnapshotsSetAside);
                return Ok(Ok(opened));
            }
            Err(error) if error.is_full() => return Err(error.into()),
            Err(_) => {}
        }
    }
    if is_vouched {
        Ok(Err(Health::Damaged))
    } else {
        Err(error.into())
    }
}

/// Compares sled with what it should hold; returns the rows that are behind, or why it must be made again.
///
/// Head and counters may lag behind, when a burn or a count was cut off. A burned row that is missing, or
/// anything that is not authentic, is a reason to trust the file no more.
fn behind<'a>(content: &'a Content, state: &'a State) -> Result<Vec<Behind<'a>>, Health> {
    let find = |row: &Row| {
        let named = |(name, _): &&(Vec<u8>, Vec<u8>)| name == row.key.name().as_bytes();
        content.iter().find(named).map(|(_, bytes)| bytes.as_slice())
    };
    let mut behind = Vec::new();
    for row in state.permanent() {
        match find(row) {
            Some(found) if found == row.bytes.as_slice() => {}
            None if row.key.is_burned() => return Err(Health::Old),
            None if row.key == Key::Head => return Err(Health::Damaged),
            Some(_) if row.key.is_burned() => return Err(Health::Damaged),
            found => behind.push(Behind { row, found }),
        }
    }
    if content.len() > state.permanent().count() {
        return Err(Health::Damaged);
    }
    Ok(behind)
}

/// A row that lags behind in sled, and what stands there.
struct Behind<'a> {
    row: &'a Row,
    found: Option<&'a [u8]>,
}

fn complete(engine: &Engine, behind: &[Behind<'_>]) -> Result<(), BindingsError> {
    for Behind { row, found } in behind {
        if !engine.swap(row.key, *found, &row.bytes)? {
            return Err(contradiction(row.key).into());
        }
    }
    Ok(engine.persist()?)
}

/// Makes sled again from the authentic rows; its old files are set aside.
fn rebuilt(place: &Place, state: &State) -> Result<Engine, BindingsError> {
    let sled = place.sled();
    if sled.exists() {
        let aside = place.aside();
        files::remove_tree(&aside)?;
        files::make_folder(&aside)?;
        files::relocate(&sled, &aside.join(SLED))?;
    }
    let (engine, _) = Engine::open(&sled, &mut Vec::new())?;
    let rows: Vec<Behind<'_>> = state.permanent().map(|row| Behind { row, found: None }).collect();
    complete(&engine, &rows)?;
    if is_complete(&engine.content()?, state) {
        Ok(engine)
    } else {
        Err(contradiction(Key::Head).into())
    }
}

fn is_complete(content: &Content, state: &State) -> bool {
    let holds = |row: &Row| {
        let found = content.iter().find(|(name, _)| name == row.key.name().as_bytes());
        found.is_some_and(|(_, bytes)| bytes == row.bytes.as_slice())
    };
    content.len() == state.permanent().count() && state.permanent().all(holds)
}

fn health(copy: &Found, state: &State) -> Health {
    match copy {
        Found::Missing => Health::Missing,
        Found::Damaged => Health::Damaged,
        Found::Sound(copy) if copy.rows.iter().eq(state.rows()) => Health::Sound,
        Found::Sound(_) => Health::Old,
    }
}

/// Writes one copy as the newest.
fn write_copy(
    place: &Place,
    state: &State,
    generations: &mut [u64; 2],
    name: &'static str,
) -> Result<(), BindingsError> {
    let newest = generations.iter().max().copied().unwrap_or(0);
    let generation = newest.saturating_add(1);
    copies::write(&place.device, &place.folder, name, generation, state)?;
    for (known, written) in generations.iter_mut().zip(copies::NAMES) {
        if written == name {
            *known = generation;
        }
    }
    Ok(())
}

/// Checks that every content is what belongs under its key.
fn check_contents(state: &State) -> Result<(), BindingsError> {
    state.content::<StoredIntent>(Key::Binding)?;
    state.content::<StoredIntent>(Key::Intent)?;
    state.content::<Tamper>(Key::Tamper)?;
    state.content::<Termination>(Key::CardTerminated)?;
    Ok(())
}

const fn contradiction(key: Key) -> Tampering {
    Tampering::Contradiction { key: key.name() }
}
