//! How long commands take through a real pcscd.
//!
//! The step runs as a process of its own: the variable that leads to the private pcscd is one of a process.

use std::ffi::{CStr, CString};
use std::io::Write;
use std::process::Output;
use std::time::{Duration, Instant};

use card::CardSession;
use card::session::BindOrder;
use clap::Args;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use model::GatewayId;
use pcsc::{Context, MAX_BUFFER_SIZE_EXTENDED, Protocols, ReaderState, Scope, ShareMode, State};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Figure, quantile};
use crate::error::BenchError;

/// How long pcscd may take to see the card.
const INSERTION_TIMEOUT: Duration = Duration::from_secs(10);

/// GET CHALLENGE for 16 bytes.
const GET_CHALLENGE: [u8; 5] = [0x00, 0x84, 0x00, 0x00, 0x10];

/// What a step is to do.
#[derive(Debug, Args)]
pub(crate) struct StepOptions {
    #[arg(long)]
    rounds: usize,
    #[arg(long)]
    reader: String,
}

/// What a step found, in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    challenge_median: f64,
    challenge_slowest_percent: f64,
    signature_median: f64,
    signature_slowest_percent: f64,
}

/// The reader as the session wants it.
struct Reader {
    card: pcsc::Card,
    buffer: Vec<u8>,
}

impl card::Transport for Reader {
    type Error = pcsc::Error;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, pcsc::Error> {
        let answer = self.card.transmit(command, &mut self.buffer)?;
        Ok(Zeroizing::new(answer.to_vec()))
    }
}

/// Binds the personalised card in the reader to nobody in particular, and measures.
pub(crate) fn run_step(options: &StepOptions) -> Result<(), BenchError> {
    let context = Context::establish(Scope::System)?;
    let name = CString::new(options.reader.as_str()).unwrap_or_default();
    wait_for_card(&context, &name)?;
    let card = context.connect(&name, ShareMode::Exclusive, Protocols::T1)?;
    let buffer = vec![0; MAX_BUFFER_SIZE_EXTENDED];
    let mut session = CardSession::open(Reader { card, buffer })?;
    let identity = session.identity()?;
    let order = BindOrder {
        gateway: GatewayId::new([7; 16]),
        pairing_secret: Zeroizing::new([7; 16]),
        nonce: [7; 16],
    };
    session.bind(&order, &identity)?;
    // A bound card does nothing for its gateway without PACE, so what is measured goes under secure messaging.
    session.pair(&order.pairing_secret, &mut UnwrapErr(SysRng))?;
    session.confirm(&order)?;
    let challenges = times(options.rounds, || session.pass(&GET_CHALLENGE).map(drop))?;
    let signatures = times(options.rounds, || session.sign_handshake(&[9; 32]).map(drop))?;
    let found = Found {
        challenge_median: quantile(&challenges, 0.5),
        challenge_slowest_percent: quantile(&challenges, 0.99),
        signature_median: quantile(&signatures, 0.5),
        signature_slowest_percent: quantile(&signatures, 0.99),
    };
    let line = serde_json::to_string(&found).map_err(step_error)?;
    writeln!(std::io::stdout(), "{line}").map_err(BenchError::Output)
}

/// Waits until pcscd has seen the card; it looks every 400 ms.
fn wait_for_card(context: &Context, reader: &CStr) -> Result<(), BenchError> {
    let mut states = [ReaderState::new(reader, State::UNAWARE)];
    loop {
        context.get_status_change(INSERTION_TIMEOUT, &mut states)?;
        let [state] = &mut states;
        if state.event_state().contains(State::PRESENT) {
            return Ok(());
        }
        state.sync_current_state();
    }
}

/// Returns how long each round took, in milliseconds, sorted.
fn times<E: Into<BenchError>>(
    rounds: usize,
    mut round: impl FnMut() -> Result<(), E>,
) -> Result<Vec<f64>, BenchError> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begun = Instant::now();
        round().map_err(Into::into)?;
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn step_error(source: serde_json::Error) -> BenchError {
    BenchError::Step {
        step: "card".to_owned(),
        source,
    }
}

/// Reads what a step has printed.
pub(super) fn read(output: &Output) -> Result<[Figure; 4], BenchError> {
    if !output.status.success() {
        return Err(BenchError::Program {
            program: "the step card".to_owned(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let found: Found = serde_json::from_slice(&output.stdout).map_err(step_error)?;
    let figure = |name, limit_ms, ms| Figure { name, limit_ms, ms };
    Ok([
        figure("GET CHALLENGE, median", Some(0.2), found.challenge_median),
        figure(
            "GET CHALLENGE, slowest in 100",
            None,
            found.challenge_slowest_percent,
        ),
        figure(
            "signature (MSE SET, PSO: CDS), median",
            Some(1.0),
            found.signature_median,
        ),
        figure("signature, slowest in 100", None, found.signature_slowest_percent),
    ])
}
