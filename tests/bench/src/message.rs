//! The bench of a message: a month of quarter hours of four elements, from the gateway's store to the supplier.
//!
//! Both ends run in this process, whose processor time is taken, that of all its threads and of the kernel. The gateway
//! decides, reads its store, lays the values on the grid, writes, encrypts and signs; the supplier verifies the certificates
//! and the signature, decrypts, reads and checks, puts the values and the signed message into a new store (SQLite), and
//! seals the receipt that the gateway opens. What a card does, the signature and both key agreements of the gateway, is done
//! in software here and left out.
//!
//! The bulk path is sealing and opening a message of the greatest size, beside AES-128-GCM alone on as many bytes, by the
//! same crate at its best; what OpenSSL takes for them is told as well. What an empty message takes, the work with keys and
//! certificates, is no bulk and left out. So is the hash that a signature needs, measured by itself: where the processor has
//! wide AES instructions, SHA-256 alone takes twice as long as AES-GCM. The whole is told beside it.

use std::cell::Cell;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, KeyInit};
use authorization::{Asker, Occasion, Registration, Rules, decide};
use clap::Args;
use getrandom::SysRng;
use messages::certificate::profile::{
    CertificateContent, Key, SerialNumber, issue_authority, issue_root, issue_under,
};
use messages::certificate::{Certificate, Role, Subject, Triple, TrustAnchor, VerifiedParty};
use messages::content::{Answer, Content, MessageId, Receipt};
use messages::envelope::{EnvelopeRandom, MAX_CONTENT, Sender, open, seal};
use messages::keys::{EphemeralKeyAgreement, KeyAgreement, PublicPoint, SharedSecret, Signer};
use messages::software::{SoftwareEphemeral, SoftwareKey, SoftwareKeyError, SoftwareKeys};
use model::{
    Decimal, Element, Grant, KeySlot, Period, Quantity, Query, Reading, Span, Status, Timestamp, Unit,
};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use store::{Database, Round};
use supplier::{Store, StorePlace};
use zeroize::Zeroizing;

use crate::error::BenchError;
use crate::figures::{line, median};

/// What both ends may take.
const LIMIT: Duration = Duration::from_millis(50);
/// Which part of AES-GCM's own speed the bulk path has at least: one in so many.
const SLOWER: u32 = 3;
/// How often it is measured; the median counts.
const RUNS: usize = 15;
const SHORT_RUNS: usize = 3;
/// The days of the month, and the quarter hours of a day.
const DAYS: u64 = 31;
const QUARTERS: u64 = 96;
/// 2026-10-01T00:00:00Z, when the month begins.
const BEGIN: i64 = 1_790_812_800;
/// What is measured.
const ELEMENTS: [(&str, &str, Unit); 4] = [
    ("ELS-10000000-3C-02", "1-0:1.8.0*255", Unit::WattHour),
    ("ELS-10000000-3C-02", "1-0:2.8.0*255", Unit::WattHour),
    ("ELS-10000001-3C-07", "8-0:1.0.0*255", Unit::CubicMetre),
    ("ELS-10000002-3C-03", "7-0:3.0.0*255", Unit::CubicMetre),
];

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fewer runs: to see that it works.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let runs = if options.short { SHORT_RUNS } else { RUNS };
    let folder = tempfile::tempdir().map_err(BenchError::Network)?;
    let database = Database::open(&folder.path().join("gateway.db"))?;
    let world = World::new()?;
    let values = fill(&database)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::Network)?;
    let mut month = Vec::new();
    let mut bytes = 0;
    for run in 0..runs {
        let place = StorePlace::File(folder.path().join(format!("supplier-{run}.db")));
        let kept = Kept {
            store: runtime.block_on(Store::open(&place))?,
            runtime: &runtime,
        };
        let (took, length) = world.exchange(&database, values, &kept)?;
        runtime.block_on(kept.store.close());
        month.push(took);
        bytes = length;
    }
    let (gateway, supplier): (Vec<_>, Vec<_>) = month.iter().copied().unzip();
    let both = median(
        month
            .into_iter()
            .map(|(gateway, supplier)| gateway + supplier)
            .collect(),
    );
    let bulk: Vec<Bulk> = (0..runs).map(|_| world.bulk()).collect::<Result<_, _>>()?;
    let Medians {
        parts,
        without_hash,
        limit: bulk_limit,
    } = Medians::of(&bulk);
    let mut text = line("", "limit", "found");
    text += &line(
        &format!("a month of four elements, {values} values, {bytes} bytes: both ends"),
        &format!("{LIMIT:?}"),
        &format!("{both:.1?}"),
    );
    text += &line("of it the gateway", "-", &format!("{:.1?}", median(gateway)));
    text += &line("of it the supplier", "-", &format!("{:.1?}", median(supplier)));
    text += &line(
        "AES-128-GCM by OpenSSL, 4 MiB",
        "-",
        &format!("{:.2?}", openssl()?),
    );
    for (what, found) in parts {
        text += &line(what, "-", &format!("{found:.2?}"));
    }
    for (what, found) in ["sealing", "opening"].into_iter().zip(without_hash) {
        let what = format!("bulk of {what}, without the hash");
        text += &line(&what, &format!("{bulk_limit:.2?}"), &format!("{found:.2?}"));
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(BenchError::Output)?;
    let kept = both <= LIMIT && without_hash.iter().all(|found| *found <= bulk_limit);
    if kept || options.short || options.no_limits {
        return Ok(());
    }
    Err(BenchError::AboveLimit("messages".to_owned()))
}

/// The medians of the bulk path.
struct Medians {
    parts: [(&'static str, Duration); 6],
    /// What sealing and opening take for the content alone, without the hash.
    without_hash: [Duration; 2],
    /// What each of them may take.
    limit: Duration,
}

impl Medians {
    fn of(bulk: &[Bulk]) -> Self {
        let part = |which: fn(&Bulk) -> Duration| median(bulk.iter().map(which).collect());
        let (alone, hash) = (part(|b| b.alone), part(|b| b.hash));
        let (sealing, opening) = (part(|b| b.full.sealing), part(|b| b.full.opening));
        let (sealing_nothing, opening_nothing) = (part(|b| b.empty.sealing), part(|b| b.empty.opening));
        let without_hash = [(sealing, sealing_nothing), (opening, opening_nothing)]
            .map(|(whole, nothing)| whole.saturating_sub(nothing).saturating_sub(hash));
        Self {
            parts: [
                ("AES-128-GCM alone, 4 MiB", alone),
                ("SHA-256 alone, 4 MiB", hash),
                ("sealing 4 MiB", sealing),
                ("sealing an empty content", sealing_nothing),
                ("opening 4 MiB", opening),
                ("opening an empty content", opening_nothing),
            ],
            without_hash,
            limit: alone.saturating_mul(SLOWER),
        }
    }
}

/// Returns the processor time that this process has taken.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns how long OpenSSL takes to encrypt a content of the greatest size.
fn openssl() -> Result<Duration, BenchError> {
    let program = || "openssl speed".to_owned();
    let size = MAX_CONTENT.to_string();
    let output = Command::new("openssl")
        .args([
            "speed",
            "-mr",
            "-evp",
            "aes-128-gcm",
            "-seconds",
            "1",
            "-bytes",
            &size,
        ])
        .output()
        .map_err(|source| BenchError::Start {
            program: program(),
            source,
        })?;
    // +F:23:AES-128-GCM:4456789012.34, in bytes per second
    let said = String::from_utf8_lossy(&output.stdout);
    let speed = said
        .lines()
        .find_map(|line| line.strip_prefix("+F:")?.rsplit(':').next()?.parse::<f64>().ok());
    let content = u32::try_from(MAX_CONTENT).map(f64::from);
    match (speed, content) {
        (Some(speed), Ok(content)) if speed > 0.0 => Ok(Duration::from_secs_f64(content / speed)),
        _ => Err(BenchError::Program {
            program: program(),
            said: format!("{said}{}", String::from_utf8_lossy(&output.stderr)),
        }),
    }
}

/// Registers the month, and returns how many values that are.
fn fill(database: &Database) -> Result<usize, BenchError> {
    for quarter in 0..DAYS * QUARTERS {
        let time = at(quarter);
        let readings = ELEMENTS
            .iter()
            .zip(1_i128..)
            .filter_map(|((meter, obis, unit), number)| {
                Some(Reading {
                    element: Element {
                        meter: meter.parse().ok()?,
                        obis: obis.parse().ok()?,
                    },
                    time,
                    quantity: Quantity {
                        value: Decimal::new(4_711_000 + i128::from(quarter) * 13 * number, -3)?,
                        unit: *unit,
                    },
                    status: Status::GOOD,
                })
            });
        let readings = readings.collect();
        database.register(&Round {
            readings,
            gaps: Vec::new(),
        })?;
    }
    while database.seal_days(at(DAYS * QUARTERS))?.more {}
    let values = DAYS * QUARTERS * u64::try_from(ELEMENTS.len()).unwrap_or_default();
    Ok(usize::try_from(values).unwrap_or_default())
}

fn at(quarter: u64) -> Timestamp {
    let seconds = i64::try_from(quarter * u64::from(Span::QUARTER_HOUR.seconds())).unwrap_or_default();
    Timestamp::from_unix_seconds(BEGIN + seconds).unwrap_or(Timestamp::EPOCH)
}

/// Where the supplier keeps what it gets.
struct Kept<'a> {
    store: Store,
    runtime: &'a tokio::runtime::Runtime,
}

/// A trust centre with an issuing authority, a gateway's card in software, and a supplier.
struct World {
    anchor: TrustAnchor,
    issuing: Certificate,
    gateway: Party,
    supplier: Party,
    now: Timestamp,
}

struct Party {
    keys: SoftwareKeys,
    verified: VerifiedParty,
}

/// How long the bulk path took.
struct Bulk {
    alone: Duration,
    hash: Duration,
    full: BothWays,
    empty: BothWays,
}

/// How long it took to seal and to open a content.
struct BothWays {
    sealing: Duration,
    opening: Duration,
}

impl World {
    fn new() -> Result<Self, BenchError> {
        let made = |error: Box<dyn std::error::Error + Send + Sync>| BenchError::World(error);
        Self::try_new().map_err(made)
    }

    fn try_new() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let now = at(DAYS * QUARTERS);
        let validity = Period::new(at(0), now.saturating_add(Span::DAY))?;
        let (root, authority) = (
            SoftwareKey::generate(&mut SysRng)?,
            SoftwareKey::generate(&mut SysRng)?,
        );
        let serial = |number| SerialNumber::from_random([number; 16]);
        let name = "Trust Centre".parse()?;
        let anchor = issue_root(name, root.public_point(), serial(1), validity, &root)?;
        let key = Key {
            public_key: authority.public_point(),
            serial_number: serial(2),
            validity,
        };
        let issuing = issue_authority("Issuing".parse()?, key, &anchor, &root)?;
        let anchor = anchor.with_issuing(issuing.clone())?;
        let enroll =
            |subject: Subject, first: u8| -> Result<Party, Box<dyn std::error::Error + Send + Sync>> {
                let keys = SoftwareKeys::generate(&mut SysRng)?;
                let certify = |slot, key: &SoftwareKey, number| {
                    let content = CertificateContent {
                        subject: subject.clone(),
                        slot,
                        public_key: *key.public_point(),
                        serial_number: serial(number),
                        validity,
                    };
                    issue_under(&content, &issuing, &authority)
                };
                let triple = Triple {
                    sig: certify(KeySlot::Sig, &keys.sig, first)?,
                    enc: certify(KeySlot::Enc, &keys.enc, first + 1)?,
                    tls: certify(KeySlot::Tls, &keys.tls, first + 2)?,
                };
                let verified = anchor.verify_party(&triple, now, subject.role())?;
                Ok(Party { keys, verified })
            };
        let gateway = enroll(Subject::card("fd5a::1".parse()?), 3)?;
        let supplier = enroll(Subject::party("City Works".parse()?, Role::Supplier)?, 6)?;
        Ok(Self {
            anchor,
            issuing,
            gateway,
            supplier,
            now,
        })
    }

    /// Makes the exchange once; returns what the gateway and the supplier took, and the length of the message.
    fn exchange(
        &self,
        database: &Database,
        values: usize,
        kept: &Kept<'_>,
    ) -> Result<((Duration, Duration), usize), BenchError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| BenchError::World(error);
        let card = Card::default();
        let begun = processor_time();
        let message = self.answer(database, &card).map_err(failed)?;
        let answered = processor_time();
        let receipt = self.take(&message, values, kept).map_err(failed)?;
        let taken = processor_time();
        let enc = self.gateway.verified.enc.certificate();
        let keys = card.with(&self.gateway.keys.enc);
        let opened =
            open(&receipt, &self.anchor, self.now, enc, keys).map_err(|error| failed(error.into()))?;
        Content::parse(&opened.content).map_err(|error| failed(error.into()))?;
        let gateway = (answered - begun) + (processor_time() - taken);
        Ok((
            (gateway.saturating_sub(card.took.get()), taken - answered),
            message.len(),
        ))
    }

    /// What the gateway does with a request for the month.
    fn answer(
        &self,
        database: &Database,
        card: &Card,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let supplier = self.supplier.verified.sig.certificate().fingerprint();
        let period = Period::new(at(0), self.now)?;
        let query = Query {
            elements: model::ElementPattern::ANY,
            period,
            resolution: Span::QUARTER_HOUR,
            aggregation: model::Aggregation::Value,
        };
        let grants = [Grant {
            id: "billing".to_owned(),
            supplier,
            elements: vec![model::ElementPattern::ANY],
            finest: Span::QUARTER_HOUR,
            history: Span::from_seconds(86_400 * 730).ok_or("no such span")?,
            validity: Period::new(at(0), self.now.saturating_add(Span::DAY))?,
            purpose: "billing".parse()?,
            aggregations: model::Aggregation::USUAL.into(),
            push: None,
            at_most: None,
            delivery: None,
        }];
        let asker = Asker { supplier, name: "" };
        let rules = Rules {
            grants: &grants,
            policy: &[],
            restrictions: &[],
        };
        let granted = decide(&query, asker, &rules, &Occasion::FIRST, self.now)
            .map_err(|denied| denied.reason.to_string())?;
        let (mut readings, mut gaps, mut rest) = (Vec::new(), Vec::new(), Some(period));
        while let Some(period) = rest {
            let page = database.readings(&query.elements, period)?;
            readings.extend(page.readings);
            gaps.extend(page.gaps);
            rest = page.rest;
        }
        let mut release = granted.begin();
        let registration = Registration {
            period: Span::QUARTER_HOUR,
            is_made: &|_| false,
        };
        release.take(readings, gaps);
        let answer = Content::Answer(Answer {
            id: MessageId::new([1; 16]),
            in_reply_to: MessageId::new([2; 16]),
            gateway: "fd5a::1".parse()?,
            supplier,
            time: self.now,
            series: release
                .finish(None, registration)
                .series
                .into_series(|_, meter| Ok::<_, std::convert::Infallible>(meter.clone()))
                .unwrap_or_default(),
            refusals: Vec::new(),
            rest: Vec::new(),
        });
        self.seal(&answer.to_json()?, &self.gateway, &self.supplier, card)
    }

    /// What the supplier does with the answer; returns the receipt.
    fn take(
        &self,
        message: &[u8],
        values: usize,
        kept: &Kept<'_>,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let enc = self.supplier.verified.enc.certificate();
        let opened = open(message, &self.anchor, self.now, enc, &self.supplier.keys.enc)?;
        let content = Content::parse(&opened.content)?;
        content.check_sender(&opened.sender)?;
        let Content::Answer(answer) = &content else {
            return Err("it is no answer".into());
        };
        let mut found = 0;
        for series in &answer.series {
            series.check()?;
            found += series.points().count();
        }
        if found != values {
            return Err(format!("{found} values came, {values} were registered").into());
        }
        let stored = kept.runtime.block_on(kept.store.keep(answer, message, None))?;
        if stored.is_none_or(|stored| usize::try_from(stored.new) != Ok(values)) {
            return Err("the store has not taken all values".into());
        }
        let receipt = Content::Receipt(Receipt {
            id: MessageId::new([3; 16]),
            received: answer.id,
            sender: self.supplier.verified.sig.certificate().fingerprint(),
            recipient: answer.gateway,
            time: self.now,
        });
        self.seal(
            &receipt.to_json()?,
            &self.supplier,
            &self.gateway,
            &Card::default(),
        )
    }

    fn seal(
        &self,
        content: &[u8],
        from: &Party,
        to: &Party,
        card: &Card,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let sender = Sender {
            certificate: from.verified.sig.certificate(),
            issuing: Some(&self.issuing),
            signer: card.with(&from.keys.sig),
            agreement: card.with(SoftwareEphemeral::new(SysRng)),
        };
        let random = EnvelopeRandom::new(Zeroizing::new([4; EnvelopeRandom::LENGTH]));
        Ok(seal(content, &to.verified.enc, sender, &random, self.now)?)
    }

    /// Seals and opens a content of the greatest size, and encrypts as many bytes with nothing around them.
    fn bulk(&self) -> Result<Bulk, BenchError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| BenchError::World(error);
        let mut content = vec![0x5a; MAX_CONTENT];
        let cipher = Aes128Gcm::new(&[7; 16].into());
        let begun = processor_time();
        let tag = cipher.encrypt_inout_detached(&[8; 12].into(), &[], content.as_mut_slice().into());
        let alone = processor_time() - begun;
        std::hint::black_box(tag.map_err(|_| failed("AES-GCM refuses".into()))?);
        let begun = processor_time();
        std::hint::black_box(Sha256::digest(&content));
        let hash = processor_time() - begun;
        Ok(Bulk {
            alone,
            hash,
            full: self.both_ways(&content).map_err(failed)?,
            empty: self.both_ways(&[]).map_err(failed)?,
        })
    }

    fn both_ways(&self, content: &[u8]) -> Result<BothWays, Box<dyn std::error::Error + Send + Sync>> {
        let begun = processor_time();
        let message = self.seal(content, &self.gateway, &self.supplier, &Card::default())?;
        let sealed = processor_time();
        let enc = self.supplier.verified.enc.certificate();
        let opened = open(&message, &self.anchor, self.now, enc, &self.supplier.keys.enc)?;
        let opening = processor_time() - sealed;
        if opened.content.as_slice() != content {
            return Err("another content was opened than was sealed".into());
        }
        Ok(BothWays {
            sealing: sealed - begun,
            opening,
        })
    }
}

/// How long the card would have been at work.
#[derive(Debug, Default)]
struct Card {
    took: Cell<Duration>,
}

/// A key whose work is the card's.
struct OnCard<'a, K> {
    card: &'a Card,
    key: K,
}

impl Card {
    const fn with<K>(&self, key: K) -> OnCard<'_, K> {
        OnCard { card: self, key }
    }
}

impl<K> OnCard<'_, K> {
    fn timed<T>(&mut self, work: impl FnOnce(&mut K) -> T) -> T {
        let begun = processor_time();
        let done = work(&mut self.key);
        self.card
            .took
            .set(self.card.took.get() + (processor_time() - begun));
        done
    }
}

impl<K: Signer<Error = SoftwareKeyError>> Signer for OnCard<'_, K> {
    type Error = SoftwareKeyError;

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], SoftwareKeyError> {
        self.timed(|key| key.sign_digest(digest))
    }
}

impl<K: KeyAgreement<Error = SoftwareKeyError>> KeyAgreement for OnCard<'_, K> {
    type Error = SoftwareKeyError;

    fn agree(&mut self, peer: &PublicPoint) -> Result<SharedSecret, SoftwareKeyError> {
        self.timed(|key| key.agree(peer))
    }
}

impl<K: EphemeralKeyAgreement<Error = SoftwareKeyError>> EphemeralKeyAgreement for OnCard<'_, K> {
    type Error = SoftwareKeyError;

    fn agree_ephemeral(
        &mut self,
        recipient: &PublicPoint,
    ) -> Result<(PublicPoint, SharedSecret), SoftwareKeyError> {
        self.timed(|key| key.agree_ephemeral(recipient))
    }
}
