//! The commands of the two facilities: what is done for what is on the command line.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use counterparty::clock;
use counterparty::files::{self, Access, FileError};
use counterparty::random::{self, RandomError};
use counterparty::stop::stopped;
use messages::envelope::MAX_MESSAGE;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::arguments::{Cancel, FacilityCommand, Guids, Import, Order, Personalize, Report, Serve};
use super::bench::{Bench, BenchError, Made};
use super::center::{Center, CenterError};
use super::errand::{Errand, ErrandError};
use super::home::{Facility, HomeError};
use super::message::{Answer, Ask, Keys};
use super::output::FacilityOutput;
use super::stock::StockError;
use super::wire;
use crate::arguments::{CardPlace, Common};
use crate::authority::{Authority, AuthorityError};
use crate::books::{Books, BooksError, DeliveryId};
use crate::labels::{Labels, LabelsError};
use crate::personalize::{GuidSource, PersonalizeError};
use crate::reader::{InsertedCard, ReaderError};

/// How many cards in a row may fail before the batch is given up: then it is not the cards.
const MAX_FAILURES: u32 = 5;
/// How long the end waits for letters that are being answered.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// The reason why a facility or the trust centre did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FacilityError {
    /// There is no facility.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// There is no trust centre.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// There are no books.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// The trust centre does not answer a facility.
    #[error(transparent)]
    Center(#[from] CenterError),
    /// The facility has not got what it asked for.
    #[error(transparent)]
    Errand(#[from] ErrandError),
    /// The material cannot be thrown away.
    #[error(transparent)]
    Stock(#[from] StockError),
    /// No card was made.
    #[error("no card was made")]
    Bench(#[from] BenchError<ReaderError>),
    /// There is no card.
    #[error("there is no card to personalise")]
    Reader(#[from] ReaderError),
    /// The labels cannot be written.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Some cards of a batch are missing.
    #[error("{completed} of {cards} cards are complete; the same command continues")]
    Incomplete {
        /// How many are complete.
        completed: usize,
        /// How many there should be.
        cards: u32,
    },
    /// No name could be drawn for a delivery.
    #[error("no name can be drawn for the delivery")]
    Random(#[from] RandomError),
    /// The file answers a report, and material was expected, or the other way round.
    #[error("material is confirmed, and an answer is not; give --out with material alone")]
    Out,
    /// There is nothing to report.
    #[error("the trust centre knows what became of every card; there is nothing to report")]
    NothingToReport,
    /// The address is taken or not this machine's.
    #[error("facilities cannot be served at {listen}; name another address")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No runtime for the network, or no signals.
    #[error("the network cannot be used")]
    Runtime(#[source] io::Error),
    /// The result could not be printed.
    #[error("the result cannot be printed, though the act is done")]
    Output(#[source] io::Error),
}

/// Does what a command asks for.
pub(crate) fn run(command: FacilityCommand) -> Result<(), FacilityError> {
    match command {
        FacilityCommand::Init(act) => {
            Facility::init(&act.common.home, &act.name, &act.common.secrets)?;
            let output = FacilityOutput::Init { name: act.name };
            output.print(act.common.json).map_err(FacilityError::Output)
        }
        FacilityCommand::Serve(act) => serve(&act),
        FacilityCommand::Answer(act) => {
            let center = center(&act.common, &act.guids)?;
            let letter = files::read(&act.file, MAX_MESSAGE)?;
            let answer = center.answer(&letter, clock::now())?;
            files::replace(&act.out, &answer, Access::Private)?;
            let output = FacilityOutput::File { file: act.out };
            output.print(act.common.json).map_err(FacilityError::Output)
        }
        FacilityCommand::Export(act) => {
            let center = center(&act.common, &act.guids)?;
            let delivery = draw()?;
            let letter = center.export(&act.facility, delivery, act.cards.into(), clock::now())?;
            files::replace(&act.out, &letter, Access::Private)?;
            let output = FacilityOutput::Export {
                delivery,
                file: act.out,
            };
            output.print(act.common.json).map_err(FacilityError::Output)
        }
        FacilityCommand::Deliveries(act) => {
            let deliveries = Books::open(&act.common.home)?.pending_deliveries()?;
            let output = FacilityOutput::Deliveries { deliveries };
            output.print(act.common.json).map_err(FacilityError::Output)
        }
        FacilityCommand::Cancel(act) => cancel(&act),
        FacilityCommand::Order(act) => order(&act),
        FacilityCommand::Import(act) => import(act),
        FacilityCommand::Discard(act) => {
            let guid = act.guid;
            load(&act.common)?.discard(guid, clock::now())?;
            let output = FacilityOutput::Discarded { guid };
            output.print(act.common.json).map_err(FacilityError::Output)
        }
        FacilityCommand::Personalize(act) => personalize(&act),
        FacilityCommand::Report(act) => report(act),
    }
}

fn cancel(act: &Cancel) -> Result<(), FacilityError> {
    let center = center_with(&act.common, GuidSource::CardKey)?;
    let delivery = act.delivery;
    let (facility, guids) = center.cancel(delivery, clock::now())?;
    let output = FacilityOutput::Cancelled {
        delivery,
        facility,
        guids,
    };
    output.print(act.common.json).map_err(FacilityError::Output)
}

fn center(common: &Common, guids: &Guids) -> Result<Center, FacilityError> {
    center_with(
        common,
        if guids.guid_from_key {
            GuidSource::CardKey
        } else {
            GuidSource::Prefix(guids.prefix)
        },
    )
}

fn center_with(common: &Common, source: GuidSource) -> Result<Center, FacilityError> {
    let books = Books::open(&common.home)?;
    let authority = Authority::load(&common.home, &common.secrets, &books, clock::now())?;
    let center = Center {
        authority,
        books,
        source,
    };
    center.sweep()?;
    Ok(center)
}

fn serve(act: &Serve) -> Result<(), FacilityError> {
    let center = Arc::new(center(&act.common, &act.guids)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(FacilityError::Runtime)?;
    let listen = act.listen;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|source| FacilityError::Listen { listen, source })?;
        let stopped = stopped().map_err(FacilityError::Runtime)?;
        let listen = listener.local_addr().map_err(FacilityError::Runtime)?;
        FacilityOutput::Serve { listen }
            .print(act.common.json)
            .map_err(FacilityError::Output)?;
        wire::serve(listener, center, stopped).await;
        Ok(())
    });
    runtime.shutdown_timeout(END_PATIENCE);
    served
}

fn runtime() -> Result<Runtime, FacilityError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(FacilityError::Runtime)
}

fn draw() -> Result<DeliveryId, RandomError> {
    Ok(DeliveryId::new(*random::bytes()?))
}

fn load(common: &Common) -> Result<Facility, HomeError> {
    Facility::load(&common.home, &common.secrets, clock::now())
}

fn order(act: &Order) -> Result<(), FacilityError> {
    let facility = load(&act.common)?;
    let runtime = runtime()?;
    let guids = runtime.block_on(async {
        let mut errand = Errand::begin(&facility, &act.center, clock::now).await?;
        errand.go().await?;
        let guids = errand.order(draw()?, Keys::Center(act.cards.into())).await?;
        Ok::<_, FacilityError>(guids)
    })?;
    let output = FacilityOutput::Stock { guids };
    output.print(act.common.json).map_err(FacilityError::Output)
}

fn import(act: Import) -> Result<(), FacilityError> {
    let facility = load(&act.common)?;
    let now = clock::now();
    let letter = files::read(&act.file, MAX_MESSAGE)?;
    let output = match (facility.read(&letter, now)?, act.out) {
        (Answer::Material(material), Some(out)) => {
            let delivery = material.delivery;
            let guids = facility.accept(&letter, now, None)?;
            let confirmation = facility.letter(&Ask::Confirm { delivery }, now)?;
            files::replace(&out, &confirmation, Access::Private)?;
            FacilityOutput::Stock { guids }
        }
        (Answer::Done { to }, None) => {
            facility.note(&to, now)?;
            FacilityOutput::Report
        }
        (
            Answer::Material(_) | Answer::Done { .. } | Answer::Cancelled { .. } | Answer::Refusal { .. },
            _,
        ) => {
            return Err(FacilityError::Out);
        }
    };
    output.print(act.common.json).map_err(FacilityError::Output)
}

fn report(act: Report) -> Result<(), FacilityError> {
    let facility = load(&act.common)?;
    let output = match (act.center, act.out) {
        (Some(center), _) => {
            runtime()?.block_on(async {
                let mut errand = Errand::begin(&facility, &center, clock::now).await?;
                errand.go().await
            })?;
            FacilityOutput::Report
        }
        (None, out) => {
            let ask = facility.outcomes()?.ok_or(FacilityError::NothingToReport)?;
            let file = out.unwrap_or_default();
            let letter = facility.letter(&ask, clock::now())?;
            files::replace(&file, &letter, Access::Private)?;
            FacilityOutput::File { file }
        }
    };
    output.print(act.common.json).map_err(FacilityError::Output)
}

fn personalize(act: &Personalize) -> Result<(), FacilityError> {
    let facility = load(&act.common)?;
    let runtime = runtime()?;
    let errand = match &act.center {
        Some(center) => Some(runtime.block_on(async {
            let mut errand = Errand::begin(&facility, center, clock::now).await?;
            errand.go().await?;
            Ok::<_, ErrandError>(errand)
        })?),
        None => {
            facility.clear(clock::now())?;
            None
        }
    };
    let mut floor = Floor {
        facility: &facility,
        errand,
        from_material: act.from_material,
        runtime: &runtime,
    };
    let made = match (act.batch, &act.labels) {
        (Some(cards), Some(labels)) => floor.batch(&act.card, cards, labels),
        _ => floor
            .card(&act.card, "")
            .map(|Made { guid, party }| FacilityOutput::made(guid, &party)),
    };
    // What became of the cards is told in any case; what could not be told is told the next time.
    let told = match &mut floor.errand {
        Some(errand) => runtime.block_on(errand.report()),
        None => Ok(()),
    };
    let output = made?;
    told?;
    output.print(act.common.json).map_err(FacilityError::Output)
}

/// Where the facility makes one card after the other.
struct Floor<'a, 'b> {
    facility: &'a Facility,
    /// The connection to the trust centre, if there is one.
    errand: Option<Errand<'a>>,
    /// Whether the cards are made of what has been delivered before.
    from_material: bool,
    runtime: &'b Runtime,
}

impl Floor<'_, '_> {
    fn card(&mut self, place: &CardPlace, batch: &str) -> Result<Made, FacilityError> {
        let bench = Bench {
            facility: self.facility,
            station: crate::batch::station(place, batch),
            keeps_its_card: matches!(place, CardPlace::Soft(_)),
        };
        let now = clock::now();
        let mut card = InsertedCard::insert(place)?;
        if let Some(completed) = bench.look(&mut card, now)? {
            return Ok(completed);
        }
        Ok(match &mut self.errand {
            Some(errand) if !self.from_material => {
                bench.with_own_keys(card, draw()?, errand, self.runtime, now)?
            }
            Some(_) | None => bench.with_keys_from_stock(card, now)?,
        })
    }

    /// Makes the cards of a folder, or those that are put into the reader one after the other. A card that fails is left
    /// out; the same command continues.
    fn batch(
        &mut self,
        place: &CardPlace,
        cards: u32,
        labels: &Path,
    ) -> Result<FacilityOutput, FacilityError> {
        let mut labels = Labels::open(labels, cards)?;
        let batch = labels.batch().to_owned();
        let books = self.facility.books();
        let begun = books.made_in(&batch)?;
        labels.begin(&begun)?;
        let wanted = usize::try_from(cards).unwrap_or(usize::MAX);
        let (mut number, mut made, mut failures, mut failed) = (0, begun.len(), 0, 0);
        while made < wanted && number < cards.saturating_add(MAX_FAILURES) {
            number = number.saturating_add(1);
            let card = match place {
                CardPlace::Soft(folder) => {
                    files::make_folder(folder)?;
                    self.card(&CardPlace::Soft(folder.join(format!("card-{number:05}"))), &batch)
                }
                CardPlace::Pcsc(reader) => {
                    say(&format!(
                        "{made}/{cards}: put the next blank card into the reader"
                    ));
                    crate::pcsc_card::wait(reader, true).map_err(ReaderError::from)?;
                    let card = self.card(place, &batch);
                    say(&format!("{made}/{cards}: take the card out"));
                    crate::pcsc_card::wait(reader, false).map_err(ReaderError::from)?;
                    card
                }
            };
            match card {
                Ok(card) => {
                    labels.add(card.guid)?;
                    made = made.saturating_add(1);
                    failures = 0;
                }
                // A card of this batch that was complete before.
                Err(FacilityError::Bench(BenchError::Card(PersonalizeError::NotBlank { .. })))
                    if matches!(place, CardPlace::Soft(_)) => {}
                Err(FacilityError::Bench(BenchError::Card(error))) => {
                    tracing::warn!("{}", crate::chain(&error));
                    failed += 1u32;
                    failures += 1;
                    if failures >= MAX_FAILURES {
                        return Err(BenchError::Card(error).into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        labels.finish()?;
        let guids = books.made_in(&batch)?;
        if guids.len() < wanted {
            let completed = guids.len();
            return Err(FacilityError::Incomplete { completed, cards });
        }
        Ok(FacilityOutput::Batch { batch, guids, failed })
    }
}

/// Asks the operator for something.
fn say(text: &str) {
    // Progress that cannot be shown is no reason to stop.
    drop(writeln!(io::stderr(), "{text}"));
}
