//! The tasks that speak to the outside: the control socket, the local page and web, and the ways of the WAN.

use std::sync::Arc;

use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Doors, Gateway, Made, Metering, Tasks};
use crate::applications::Frame;
use crate::binding::BindingSource;
use crate::card::{CardHandle, Standing};
use crate::config::Config;
use crate::doctor::{Climber, Inside, Way};
use crate::grants::Restrictions;
use crate::liveness::Vitals;
use crate::local::control;
use crate::local::grants::GrantsSource;
use crate::local::web::{self, AccessSource, Portal, Site, Wizard};
use crate::status::StatusSource;
use crate::wan::{self, BrokerWay, Exchange, Samples};

/// Starts what is spoken to from outside: the control socket, the local page, and the ways of the WAN.
pub(super) fn start_serving(
    config: &Config,
    doors: Doors,
    gateway: Gateway,
    ((meters, lines), (explainer, made)): (Metering, Made),
    (tasks, stop): (&mut Tasks, &CancellationToken),
) {
    let Gateway {
        store,
        journal,
        card,
        standing,
        findings,
        restart,
    } = gateway;
    let exchange = Exchange::new(
        card.clone(),
        Arc::clone(&store),
        journal.clone(),
        standing.clone(),
        Arc::clone(&findings),
        meters.clone(),
        frame(config),
    );
    let broker = config
        .broker
        .clone()
        .map(|config| BrokerWay::new(config, card.clone(), exchange.clone(), standing.clone()));
    let (broker, broker_view) = broker.unzip();
    let address = |door: &Option<TcpListener>| door.as_ref().and_then(|door| door.local_addr().ok());
    let access = AccessSource::open(config.https.as_ref(), &store, &journal);
    let source = StatusSource {
        standing: standing.clone(),
        meters,
        made,
        registration_period: config.registration_period,
        live_period: config.live_period,
        web: address(&doors.web),
        https: address(&doors.https),
        certificate: access.shelf(),
        wan: address(&doors.wan),
        broker: broker_view,
        findings: Arc::clone(&findings),
        journal: journal.clone(),
        store: Arc::clone(&store),
        vitals: Vitals {
            pulses: tasks.pulses.clone(),
            card: card.clone(),
        },
    };
    tracing::info!(web = ?source.web, wan = ?source.wan, period = %source.registration_period, "running");
    let bindings = bindings(config, &store, &standing);
    let restrictions = Restrictions::new(Arc::clone(&store), journal.clone());
    tasks.spawn("restrictions", restrictions.clone().keep_in_force(stop.clone()));
    let granting = GrantsSource::new(standing.clone(), Arc::clone(&store), restrictions);
    let climber = climber(config, &card, &source);
    let site = Site::of(
        config,
        (&card, &bindings, &source),
        (lines, climber.clone()),
        restart,
    );
    let control = control::serve(
        doors.control,
        source,
        bindings,
        (journal.clone(), granting.clone(), explainer, access.clone()),
        (card.clone(), climber),
        stop.clone(),
    );
    tasks.spawn("control", control);
    let doors_of_web = (doors.web, doors.https);
    start_web(config, doors_of_web, access, (site, granting), (tasks, stop));
    start_wan((doors.wan, broker), (card, exchange, standing), (tasks, stop));
}

/// Takes from the configuration what applications are evaluated within.
const fn frame(config: &Config) -> Frame {
    Frame {
        period: config.registration_period,
        history: config.history,
    }
}

/// Makes what shows the bindings.
fn bindings(config: &Config, store: &Arc<Store>, standing: &watch::Receiver<Standing>) -> BindingSource {
    BindingSource {
        store: Arc::clone(store),
        device_key: config.device_key.clone(),
        waits_for_confirmation: config.card.waits_for_confirmation,
        standing: standing.clone(),
    }
}

/// Makes what climbs the way to the TSM for whoever asks.
fn climber(config: &Config, card: &CardHandle, source: &StatusSource) -> Climber {
    let inside = Inside {
        card: card.clone(),
        standing: source.standing.clone(),
        listens: source.wan,
    };
    Climber::new(Way::of(config), inside)
}

/// Starts the ways of the WAN that there are.
fn start_wan(
    (door, broker): (Option<TcpListener>, Option<BrokerWay>),
    (card, exchange, standing): (CardHandle, Exchange, watch::Receiver<Standing>),
    (tasks, stop): (&mut Tasks, &CancellationToken),
) {
    if let Some(door) = door {
        let serving = wan::serve(door, card, exchange.clone(), standing, stop.clone());
        tasks.spawn("WAN", serving);
    }
    if let Some(broker) = broker {
        tasks.spawn("broker", broker.run(stop.clone()));
        start_sending(exchange, (tasks, stop));
    }
}

/// Starts what sends by itself: schedules, and delivery rules with the values that they watch.
fn start_sending(exchange: Exchange, (tasks, stop): (&mut Tasks, &CancellationToken)) {
    let samples = Samples::default();
    let sampling = wan::sample(exchange.clone(), samples.clone(), stop.clone());
    tasks.spawn("samples", sampling);
    let keeping = wan::keep_the_schedules(exchange, samples, stop.clone());
    tasks.spawn("schedules", keeping);
}

/// Starts the local page, and the local web with its login.
fn start_web(
    config: &Config,
    (page, https): (Option<TcpListener>, Option<TcpListener>),
    access: AccessSource,
    (site, granting): (Site, GrantsSource),
    (tasks, stop): (&mut Tasks, &CancellationToken),
) {
    if let Some(door) = page {
        let serving = web::serve_loopback(door, site.source.clone(), stop.clone());
        tasks.spawn("local page", serving);
    }
    let home_assistant = config.home_assistant.clone();
    if let (Some(door), Some(config), Some((gate, shelf))) = (https, &config.https, access.0) {
        let source = site.source.clone();
        let (wizard, worker) = Wizard::open(site);
        tasks.spawn("wizard", web::work(worker, stop.clone()));
        if let Some(told) = home_assistant.clone() {
            let telling = web::HomeAssistant::new(told, gate.clone(), source.clone());
            tasks.spawn("Home Assistant", telling.run(stop.clone()));
        }
        let portal = Portal {
            gate,
            granting,
            source,
            zone: config.zone.clone(),
            names: config.names.clone().into(),
            home_assistant: home_assistant.map(Arc::new),
            wizard,
        };
        tasks.spawn("local web", web::serve(door, portal, shelf, stop.clone()));
    }
}
