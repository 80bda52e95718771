//! Pulling from a gateway into the store: page by page, from where the store ends, and what is missing again.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use counterparty::archive::Archive;
use counterparty::conversation::{ConversationError, Keeper};
use counterparty::exchange::{Exchange, ExchangeError};
use counterparty::random;
use messages::content::{Answer, Content, MAX_QUERIES, MessageId, Push, Refusal, Request};
use model::{Aggregation, CardId, ElementPattern, Period, Query, Span, Timestamp};

use crate::home::Home;
use crate::pull::{Pull, PullError, check_answer};
use crate::store::{Kept, MAX_TRIES, MissingRun, Store, StoreError};

/// How many answers one pull takes at most: four elements of four years, at a megabyte each, are a tenth of it.
pub const MAX_PAGES: u32 = 1_000;
/// How many runs of missing points one pull asks for again at most; the next pull goes on.
pub const MAX_RUNS: usize = 256;
/// How long is waited before the first of the further attempts; each later one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long is waited before a further attempt at most.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The code with which a gateway refuses what lies farther back than the grant reaches.
const TOO_FAR_BACK: &str = "too-far-back";
/// The code with which a gateway refuses what it may be asked for again only later; nothing was tried then.
const TOO_OFTEN: &str = "too-often";

/// The reason why a pull did not come to its end. What was kept before stays, and the next pull goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum PullerError {
    /// The gateway gave no answer that can be relied on, or the answer could not be kept.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway says again and again that something remains, and gives nothing.
    #[error("the gateway {guid} has more and does not give it; tell its operator")]
    Stalled {
        /// Which gateway.
        guid: CardId,
    },
    /// The gateway was not asked to the end.
    #[error("the gateway {guid} has more than {MAX_PAGES} answers; pull again with --since-last")]
    TooMuch {
        /// Which gateway.
        guid: CardId,
    },
}

/// What to pull from a gateway.
#[derive(Debug, Clone)]
pub struct Order {
    /// The elements.
    pub elements: Vec<ElementPattern>,
    /// The distance between two values.
    pub resolution: Span,
    /// How each value is made of what is registered.
    pub aggregation: Aggregation,
    /// The time.
    pub period: Period,
    /// Whether what the store has already is left out: each element is asked for from where the store ends, and what a
    /// pull that was cut off had still to ask is asked first. The beginning of the time counts for elements only of which
    /// the store has nothing.
    pub since_last: bool,
    /// Whether missing points are asked for again.
    pub fill_gaps: bool,
    /// How many further attempts there are if a gateway is not reached.
    pub retries: u32,
}

/// What a pull has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The gateway, by its card's GUID.
    pub guid: CardId,
    /// The answers, by their identities.
    pub answers: Vec<MessageId>,
    /// What became of them in the store.
    pub kept: Kept,
    /// What was refused.
    pub refusals: Vec<Refusal>,
}

impl Pulled {
    /// Begins with a gateway that has given nothing yet.
    #[must_use]
    pub const fn nothing(guid: CardId) -> Self {
        Self {
            guid,
            answers: Vec::new(),
            kept: Kept {
                new: 0,
                repeated: 0,
                filled: 0,
                gaps: 0,
                conflicts: Vec::new(),
            },
            refusals: Vec::new(),
        }
    }

    /// Returns whether everything that was asked for was refused.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        let brought = self.kept.new.saturating_add(self.kept.repeated);
        !self.refusals.is_empty() && brought == 0 && self.kept.gaps == 0
    }
}

/// Where the messages of a pull go besides the store, and who sees its answers.
pub struct Witness<'a> {
    /// A folder for every message as it goes over the WAN.
    pub archive: Option<&'a mut Archive>,
    /// Gets each answer after it was kept.
    pub show: &'a mut (dyn FnMut(&Answer) + Send),
}

impl std::fmt::Debug for Witness<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Witness").finish_non_exhaustive()
    }
}

/// Pulls from gateways into a store.
#[derive(Debug, Clone)]
pub struct Puller {
    home: Arc<Home>,
    store: Store,
    clock: fn() -> Timestamp,
}

impl Puller {
    /// Prepares pulls; nothing is sent yet. `clock` is read when requests are written and answers are checked.
    #[must_use]
    pub const fn new(home: Arc<Home>, store: Store, clock: fn() -> Timestamp) -> Self {
        Self { home, store, clock }
    }

    /// Returns the supplier on whose behalf is pulled.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Pulls from a gateway. Each answer is in the store before the gateway gets its receipt and before the next one is
    /// asked for.
    ///
    /// # Errors
    ///
    /// [`PullerError`] names what failed. What was kept before stays; a pull with [`Order::since_last`] goes on from there.
    pub async fn pull(
        &self,
        guid: CardId,
        exchange: &Exchange,
        order: &Order,
        witness: &mut Witness<'_>,
    ) -> Result<Pulled, PullerError> {
        let mut pulled = Pulled::nothing(guid);
        let left_over = self.store.rest(guid).await?;
        let asked = self.questions(guid, order).await?;
        let (asked, others) = if order.since_last {
            (merged(left_over, asked), Vec::new())
        } else {
            (asked, left_over)
        };
        let visit = Visit {
            puller: self,
            guid,
            exchange,
            retries: order.retries,
        };
        visit.ask_all(asked, &others, &mut pulled, witness).await?;
        if order.fill_gaps {
            self.fill(&visit, &others, &mut pulled, witness).await?;
        }
        Ok(pulled)
    }

    /// Returns what to ask a gateway.
    async fn questions(&self, guid: CardId, order: &Order) -> Result<Vec<Query>, StoreError> {
        let query = |elements: &ElementPattern, period| Query {
            elements: elements.clone(),
            period,
            resolution: order.resolution,
            aggregation: order.aggregation,
        };
        if !order.since_last {
            let queries = order.elements.iter();
            return Ok(queries.map(|elements| query(elements, order.period)).collect());
        }
        let mut questions = Vec::new();
        let known = self.store.elements(Some(guid)).await?;
        for pattern in &order.elements {
            let ends: Vec<_> = known
                .iter()
                .filter(|stored| stored.aggregation == order.aggregation && pattern.matches(&stored.element))
                .filter_map(|stored| {
                    let grid = stored.grids.iter().find(|(step, ..)| *step == order.resolution)?;
                    Some((&stored.element, grid.2.saturating_add(order.resolution)))
                })
                .collect();
            let Some(newest) = ends.iter().map(|(_, end)| *end).max() else {
                questions.push(query(pattern, order.period));
                continue;
            };
            // Elements that lag behind are asked for by themselves, so that the others need not come again.
            for (element, end) in ends.iter().filter(|(_, end)| *end < newest) {
                let begin = (*end).max(order.period.from());
                let period = Period::new(begin, newest).ok();
                questions.extend(period.map(|period| query(&(*element).clone().into(), period)));
            }
            let period = Period::new(newest, order.period.to()).ok();
            questions.extend(period.map(|period| query(pattern, period)));
        }
        Ok(questions)
    }

    /// Asks again for points that have no value. Whatever comes of it counts as a try, so that it ends.
    async fn fill(
        &self,
        visit: &Visit<'_>,
        others: &[Query],
        pulled: &mut Pulled,
        witness: &mut Witness<'_>,
    ) -> Result<(), PullerError> {
        let mut runs = Vec::new();
        for element in self.store.elements(Some(visit.guid)).await? {
            let missing = self.store.missing(&element).await?;
            // The latest value of before is nowhere any more.
            let missing = missing
                .into_iter()
                .filter(|run| run.aggregation != Aggregation::Latest);
            runs.extend(missing.filter(is_worth_a_try));
            if runs.len() > MAX_RUNS {
                break;
            }
        }
        runs.truncate(MAX_RUNS);
        for runs in runs.chunks(MAX_QUERIES) {
            let second = Span::from_seconds(1);
            let asked: Vec<(Query, &MissingRun)> = runs
                .iter()
                .filter_map(|run| {
                    let end = second.map_or(run.last, |second| run.last.saturating_add(second));
                    let query = Query {
                        elements: run.element.clone().into(),
                        period: Period::new(run.first, end).ok()?,
                        resolution: run.step,
                        aggregation: run.aggregation,
                    };
                    Some((query, run))
                })
                .collect();
            let refused_before = pulled.refusals.len();
            let queries = asked.iter().map(|(query, _)| query.clone()).collect();
            visit.ask_all(queries, others, pulled, witness).await?;
            let refusals = pulled.refusals.get(refused_before..).unwrap_or_default();
            let is_refused = |query: &Query, code: &str| {
                refusals
                    .iter()
                    .any(|refusal| refusal.code.as_str() == code && refusal.query == *query)
            };
            let asked = asked
                .into_iter()
                .filter(|(query, _)| !is_refused(query, TOO_OFTEN));
            let out_of_reach = |query: &Query| is_refused(query, TOO_FAR_BACK);
            let (never, later): (Vec<_>, Vec<_>) = asked.partition(|(query, _)| out_of_reach(query));
            let runs = |asked: Vec<(Query, &MissingRun)>| -> Vec<MissingRun> {
                asked.into_iter().map(|(_, run)| run.clone()).collect()
            };
            self.store.note_tries(&runs(later), 1).await?;
            self.store.note_tries(&runs(never), MAX_TRIES).await?;
        }
        Ok(())
    }
}

/// Returns whether a gateway may have a value after all: what it gives a reason for is asked for once more, what it has said
/// nothing of a few times.
const fn is_worth_a_try(run: &MissingRun) -> bool {
    match run.reason {
        Some(_) => run.tries < 1,
        None => run.tries < MAX_TRIES,
    }
}

/// Puts questions behind others, without those that are there already.
fn merged(mut first: Vec<Query>, then: Vec<Query>) -> Vec<Query> {
    for query in then {
        if !first.contains(&query) {
            first.push(query);
        }
    }
    first
}

/// A pull that is under way at one gateway.
struct Visit<'a> {
    puller: &'a Puller,
    guid: CardId,
    exchange: &'a Exchange,
    retries: u32,
}

impl Visit<'_> {
    /// Asks until nothing remains. `others` are questions of an earlier pull that stay due.
    async fn ask_all(
        &self,
        mut asked: Vec<Query>,
        others: &[Query],
        pulled: &mut Pulled,
        witness: &mut Witness<'_>,
    ) -> Result<(), PullerError> {
        for _ in 0..MAX_PAGES {
            if asked.is_empty() {
                return Ok(());
            }
            let later = asked.split_off(asked.len().min(MAX_QUERIES));
            let due: Vec<Query> = later.iter().chain(others).cloned().collect();
            let (answer, kept) = self.ask_patiently(&asked, &due, witness).await?;
            let rest = answer.rest.clone();
            if rest == asked && kept.new == 0 {
                return Err(PullerError::Stalled { guid: self.guid });
            }
            (witness.show)(&answer);
            pulled.answers.push(answer.id);
            pulled.kept.add(kept);
            pulled.refusals.extend(answer.refusals);
            asked = rest;
            asked.extend(later);
        }
        Err(PullerError::TooMuch { guid: self.guid })
    }

    /// Asks once, and again if the gateway was not reached.
    async fn ask_patiently(
        &self,
        asked: &[Query],
        due: &[Query],
        witness: &mut Witness<'_>,
    ) -> Result<(Answer, Kept), PullerError> {
        let mut attempt = 0;
        loop {
            match self.ask(asked, due, witness).await {
                Err(PullerError::Pull(error)) if attempt < self.retries && is_passing(&error) => {
                    let wait = wait_before(attempt);
                    tracing::debug!(guid = %self.guid, %error, ?wait, "the gateway is asked again");
                    tokio::time::sleep(wait).await;
                    attempt = attempt.saturating_add(1);
                }
                done => return done,
            }
        }
    }

    async fn ask(
        &self,
        asked: &[Query],
        due: &[Query],
        witness: &mut Witness<'_>,
    ) -> Result<(Answer, Kept), PullerError> {
        let Puller { home, store, clock } = self.puller;
        let pull = Pull::new(home, self.guid, self.exchange, *clock);
        let request = pull.request(asked)?;
        let mut keeper = IntoStore {
            store,
            request: &request,
            due,
            kept: Kept::default(),
        };
        let archive = witness.archive.as_deref_mut();
        let answer = pull.send(&request, archive, &mut keeper).await?;
        Ok((answer, keeper.kept))
    }
}

/// Puts answers into the store.
struct IntoStore<'a> {
    store: &'a Store,
    request: &'a Request,
    /// What remains to be asked besides what the answer leaves.
    due: &'a [Query],
    kept: Kept,
}

impl Keeper for IntoStore<'_> {
    async fn keep(&mut self, content: &Content, message: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(answer) = answer_in(content) else {
            return Ok(());
        };
        let answer = answer.as_ref();
        if answer.supplier != self.request.sender {
            return Ok(());
        }
        let kept = if answer.in_reply_to == self.request.id {
            // What nobody asked for is refused with the answer, and is not for the store.
            if check_answer(answer, &self.request.queries).is_err() {
                return Ok(());
            }
            let rest: Vec<Query> = answer.rest.iter().chain(self.due).cloned().collect();
            self.store.keep(answer, message, Some(&rest)).await?
        } else {
            // The answer to a pull that was cut off, or what the gateway has sent by itself.
            self.store.keep(answer, message, None).await?
        };
        self.kept.add(kept.unwrap_or_default());
        Ok(())
    }

    fn takes_pushes(&self) -> bool {
        true
    }
}

/// Returns the answer that a content is, if it has values for the store. What a gateway has sent by itself is the answer to a
/// question that nobody asked: it has no other request than itself.
pub(crate) fn answer_in(content: &Content) -> Option<Cow<'_, Answer>> {
    match content {
        Content::Answer(answer) => Some(Cow::Borrowed(answer)),
        Content::Push(push) => Some(Cow::Owned(answer_of(push))),
        Content::Request(_)
        | Content::Refused(_)
        | Content::Bundle(_)
        | Content::Report(_)
        | Content::ReportRequest(_)
        | Content::Application(_)
        | Content::InstallationRequest(_)
        | Content::CardCommands(_)
        | Content::CardAnswers(_)
        | Content::Receipt(_) => None,
    }
}

fn answer_of(push: &Push) -> Answer {
    Answer {
        id: push.id,
        in_reply_to: push.id,
        gateway: push.gateway,
        supplier: push.supplier,
        time: push.time,
        series: push.series.clone(),
        refusals: Vec::new(),
        rest: Vec::new(),
    }
}

/// Returns whether a further attempt may do better.
fn is_passing(error: &PullError) -> bool {
    let PullError::Conversation(ConversationError::Exchange(error)) = error else {
        return matches!(error, PullError::OtherRequest);
    };
    match **error {
        ExchangeError::Connect { .. }
        | ExchangeError::Broken { .. }
        | ExchangeError::Timeout { .. }
        | ExchangeError::Broker(_)
        | ExchangeError::Unsent(_)
        | ExchangeError::Away { .. }
        | ExchangeError::Status { .. } => true,
        ExchangeError::Key(_)
        | ExchangeError::Identity(_)
        | ExchangeError::KeyForm(_)
        | ExchangeError::Request { .. }
        | ExchangeError::TooLarge { .. }
        | ExchangeError::Refused { .. }
        | ExchangeError::NotPassedOn { .. }
        | ExchangeError::Engaged { .. }
        | ExchangeError::NoBroker { .. }
        | ExchangeError::Random(_) => false,
    }
}

/// Returns how long to wait before a further attempt: at least half of a span that doubles with each, so that those who
/// have failed together do not come again together.
pub(crate) fn wait_before(attempt: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
    let span = FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT);
    let half = span.checked_div(2).unwrap_or_default();
    let [random] = random::bytes::<1>().map_or([0], |byte| *byte);
    half.saturating_add(
        half.saturating_mul(u32::from(random))
            .checked_div(256)
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        for (attempt, span) in [(0, 1_000), (1, 2_000), (4, 16_000), (5, 30_000), (99, 30_000)] {
            let wait = wait_before(attempt).as_millis();
            assert!((span / 2..=span).contains(&wait), "{attempt}: {wait}");
        }
    }

    #[test]
    fn what_is_asked_twice_is_asked_once() {
        let query = |elements: &str| Query {
            elements: elements.parse().unwrap(),
            period: Period::new(Timestamp::EPOCH, Timestamp::EPOCH.saturating_add(Span::DAY)).unwrap(),
            resolution: Span::QUARTER_HOUR,
            aggregation: Aggregation::Value,
        };
        let questions = merged(vec![query("M1/*")], vec![query("M1/*"), query("M2/*")]);
        assert_eq!(questions, [query("M1/*"), query("M2/*")]);
    }
}
