//! `smgw grants`: who may have what and why, and the consumer's restrictions.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use model::{Aggregation, Effect, ElementPattern, Span, Timestamp};

use super::ordering::{Output, PeriodArgument, order};
use super::{answer, schema, with_config};
use crate::grants::{ExplanationView, GrantsView, LiftedView, RestrictionView};
use crate::local::control;
use crate::local::grants::{self, Lift, Order, Question};

#[derive(Debug, Subcommand)]
pub(super) enum GrantsCommand {
    /// Shows the grants, the limits of the TSM's policy and the restrictions.
    #[command(mut_arg("json", schema("smgw.grants/1")))]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Decides what a supplier would get if it asked now, and names every rule that was looked at and the one that decided.
    ///
    /// Nothing is handed out, and nothing counts as asked for.
    #[command(mut_arg("json", schema("smgw.grants-explanation/1")))]
    Explain(ExplainOptions),
    /// Restricts what a supplier gets, or all of them: nothing of some elements, or coarser values only. It holds until it
    /// is lifted, and stands in the consumer log.
    #[command(mut_arg("json", schema("smgw.grants-restriction/1")))]
    Restrict(RestrictOptions),
    /// Lifts a restriction.
    #[command(mut_arg("json", schema("smgw.grants-restriction/1")))]
    Lift {
        /// The number of the restriction, as smgw grants list shows it.
        id: u64,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(super) struct ExplainOptions {
    /// The supplier, by its name or the fingerprint of its SIG certificate.
    #[arg(long)]
    supplier: String,
    /// The elements, as in M1/1-0:1.8.0*255 or */1-0:1.8.0*255.
    #[arg(long, visible_alias = "elements")]
    element: ElementPattern,
    /// The distance between two values, as in PT15M.
    #[arg(long)]
    resolution: Span,
    /// How values are made: value, difference, minimum, maximum, mean or latest.
    #[arg(long, default_value = "value")]
    aggregation: Aggregation,
    /// From when until when, as in 2026-11-22T00:00:00Z/2026-11-23T00:00:00Z; without it, the last point of the grid.
    #[arg(long, value_name = "FROM/TO")]
    period: Option<PeriodArgument>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct RestrictOptions {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    what: What,
    /// Which elements become coarser; all, if it is not said.
    #[arg(long, value_name = "ELEMENTS", requires = "finest")]
    elements: Option<ElementPattern>,
    /// From when on, as in 2026-12-01T00:00:00Z: for what is asked then, however old the values are. Without it, from now
    /// on.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// The supplier, by its name or the fingerprint of its SIG certificate.
    #[arg(long)]
    supplier: Option<String>,
    /// All suppliers, those that come later too.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Objects to these elements, as in M1/* or *: nothing of them is handed out.
    #[arg(long, value_name = "ELEMENTS")]
    object: Option<ElementPattern>,
    /// Leaves values at multiples of this resolution only, as in PT1H.
    #[arg(long, value_name = "RESOLUTION")]
    finest: Option<Span>,
}

impl GrantsCommand {
    pub(super) fn run(self) -> ExitCode {
        match self {
            Self::List { output } => with_config(output.file.config, |config| {
                let view = control::ask_for::<GrantsView>(&config.control_socket, grants::GRANTS);
                answer(view, output.json)
            }),
            Self::Explain(options) => {
                let question = Question {
                    supplier: options.supplier,
                    elements: options.element,
                    resolution: options.resolution,
                    aggregation: options.aggregation,
                    period: options.period.map(|period| period.0),
                };
                order::<ExplanationView>(options.output, grants::EXPLAIN, &question)
            }
            Self::Restrict(options) => {
                let (elements, effect) = match (options.what.object, options.what.finest) {
                    (Some(elements), _) => (elements, Effect::Object),
                    (None, finest) => (
                        options.elements.unwrap_or(ElementPattern::ANY),
                        finest.map_or(Effect::Object, Effect::Coarser),
                    ),
                };
                let restriction = Order {
                    supplier: options.whom.supplier,
                    elements,
                    effect,
                    from: options.from,
                };
                order::<RestrictionView>(options.output, grants::RESTRICT, &restriction)
            }
            Self::Lift { id, output } => order::<LiftedView>(output, grants::LIFT, &Lift { id }),
        }
    }
}
