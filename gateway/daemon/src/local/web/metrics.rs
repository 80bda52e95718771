//! Health metrics for a monitoring system on the device, without any value of a meter.
//!
//! Spec: OpenMetrics 1.0.

use model::Timestamp;

use crate::liveness::VitalSigns;
use crate::metering::{MeterView, StatisticsView};
use crate::status::Status;

/// The media type of the text.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted of a meter, with its name and what it means.
type Counter = (&'static str, &'static str, fn(&StatisticsView) -> u64);

const COUNTERS: [Counter; 10] = [
    (
        "smgw_meter_polls",
        "Rounds in which the meter was asked.",
        |counted| counted.polls,
    ),
    (
        "smgw_meter_answers",
        "Rounds in which it gave its values.",
        |counted| counted.answers,
    ),
    (
        "smgw_meter_skipped",
        "Rounds in which it was left out, since it has failed too often.",
        |counted| counted.skipped,
    ),
    ("smgw_meter_requests", "Requests that were sent.", |counted| {
        counted.requests
    }),
    (
        "smgw_meter_retries",
        "Requests that repeated an earlier one.",
        |counted| counted.retries,
    ),
    (
        "smgw_meter_connections",
        "Connections that were opened.",
        |counted| counted.connections,
    ),
    (
        "smgw_meter_timeouts",
        "M-Bus tries that nothing answered.",
        |counted| counted.timeouts,
    ),
    (
        "smgw_meter_checksum_errors",
        "M-Bus tries in which damaged frames came.",
        |counted| counted.checksum_errors,
    ),
    (
        "smgw_meter_collisions",
        "M-Bus tries in which several meters answered at once.",
        |counted| counted.collisions,
    ),
    (
        "smgw_meter_strays",
        "M-Bus frames that answered nothing.",
        |counted| counted.strays,
    ),
];

/// Writes a status and vital signs as metrics.
pub(super) fn text(status: &Status, signs: &VitalSigns, now: Timestamp) -> String {
    let mut text = Text::default();
    of_the_gateway(&mut text, status);
    of_the_meters(&mut text, &status.meters, now);
    of_the_inside(&mut text, signs);
    text.0.push_str("# EOF\n");
    text.0
}

fn of_the_gateway(text: &mut Text, status: &Status) {
    text.family(
        "smgw_state",
        "gauge",
        "The state of the gateway; the one it is in has 1.",
    );
    for state in model::GatewayState::ALL {
        text.sample(
            "smgw_state",
            &[("state", &state.to_string())],
            u8::from(state == status.state),
        );
    }
    let meaning = "What is wrong with the device and does not stop it.";
    text.gauge("smgw_findings", meaning, status.findings.len());
    if let Some(kib) = status.rss_kb {
        let bytes = kib.saturating_mul(1_024);
        text.gauge("smgw_resident_memory_bytes", "The memory in use.", bytes);
    }
    if let Some(broker) = &status.broker {
        let meaning = "Whether the gateway is connected with the broker of the WAN.";
        text.gauge("smgw_broker_connected", meaning, u8::from(broker.connected));
    }
}

fn of_the_meters(text: &mut Text, meters: &[MeterView], now: Timestamp) {
    let meaning = "Whether the meter has answered the last time it was asked.";
    text.family("smgw_meter_up", "gauge", meaning);
    for meter in meters {
        let is_up = meter.error.is_none() && meter.last_success.is_some();
        text.sample("smgw_meter_up", &labels(meter), u8::from(is_up));
    }
    let meaning = "How long ago the meter last gave values.";
    text.family("smgw_meter_silence_seconds", "gauge", meaning);
    for meter in meters {
        if let Some(last) = meter.last_success {
            let silence = now.seconds_since(last);
            text.sample("smgw_meter_silence_seconds", &labels(meter), silence);
        }
    }
    for (name, meaning, count) in COUNTERS {
        text.family(name, "counter", meaning);
        for meter in meters {
            text.sample(&format!("{name}_total"), &labels(meter), count(&meter.statistics));
        }
    }
}

fn of_the_inside(text: &mut Text, signs: &VitalSigns) {
    let meaning = "Whether a task or thread gets on; one that does not has the daemon restarted.";
    text.family("smgw_task_alive", "gauge", meaning);
    for (task, is_alive) in &signs.tasks {
        text.sample("smgw_task_alive", &[("task", task)], u8::from(*is_alive));
    }
    let card = signs.card;
    text.counter(
        "smgw_card_calls",
        "How often the card was asked for something.",
        card.calls,
    );
    text.counter(
        "smgw_card_failures",
        "How often nothing came of it.",
        card.failures,
    );
    let store = signs.store;
    let meaning = "Rounds of readings in the store, of days that are not sealed yet.";
    text.gauge("smgw_store_rounds", meaning, store.rounds);
    let meaning = "Sealed days in the store, one of each element.";
    text.gauge("smgw_store_sealed_days", meaning, store.sealed_days);
    let meaning = "The length of the database's files.";
    text.gauge("smgw_store_bytes", meaning, store.file_bytes);
    let meaning = "Messages that wait for the recipients' receipts.";
    text.gauge("smgw_outbox_messages", meaning, store.waiting_messages);
    let meaning = "The length of their contents.";
    text.gauge("smgw_outbox_bytes", meaning, store.waiting_bytes);
}

/// The text while it is written.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, meaning: &str) {
        self.0
            .push_str(&format!("# TYPE {name} {kind}\n# HELP {name} {meaning}\n"));
    }

    fn gauge(&mut self, name: &str, meaning: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", meaning);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, meaning: &str, value: u64) {
        self.family(name, "counter", meaning);
        self.sample(&format!("{name}_total"), &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        self.0.push_str(&format!("{name}{labels} {value}\n"));
    }
}

fn labels(meter: &MeterView) -> [(&str, &str); 2] {
    [("bus", &meter.bus), ("meter", &meter.name)]
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
