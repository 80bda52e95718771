//! Health metrics for a monitoring system on the device, without any value of a meter.
//!
//! Spec: OpenMetrics 1.0.

use model::Timestamp;

use crate::metering::{MeterView, StatisticsView};
use crate::status::Status;

/// The media type of the text.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted of a meter, with its name and what it means.
type Counter = (&'static str, &'static str, fn(&StatisticsView) -> u64);

const COUNTERS: [Counter; 5] = [
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
    ("smgw_meter_requests", "Requests that were sent.", |counted| {
        counted.requests
    }),
    (
        "smgw_meter_retries",
        "Requests that repeated an earlier one.",
        |counted| counted.retries,
    ),
    (
        "smgw_meter_checksum_errors",
        "Tries in which damaged frames came.",
        |counted| counted.checksum_errors,
    ),
];

/// Writes a status as metrics.
pub(super) fn text(status: &Status, now: Timestamp) -> String {
    let mut text = String::new();
    gauge(
        &mut text,
        "smgw_state",
        "The state of the gateway; the one it is in has 1.",
    );
    for state in model::GatewayState::ALL {
        let is_in = u8::from(state == status.state);
        text.push_str(&format!("smgw_state{{state=\"{state}\"}} {is_in}\n"));
    }
    gauge(
        &mut text,
        "smgw_findings",
        "What is wrong with the device and does not stop it.",
    );
    text.push_str(&format!("smgw_findings {}\n", status.findings.len()));
    if let Some(kib) = status.rss_kb {
        gauge(&mut text, "smgw_resident_memory_bytes", "The memory in use.");
        text.push_str(&format!(
            "smgw_resident_memory_bytes {}\n",
            kib.saturating_mul(1_024)
        ));
    }
    let meaning = "How long ago the meter last gave values.";
    gauge(&mut text, "smgw_meter_silence_seconds", meaning);
    for meter in &status.meters {
        if let Some(last) = meter.last_success {
            let silence = now.seconds_since(last);
            text.push_str(&format!(
                "smgw_meter_silence_seconds{} {silence}\n",
                labels(meter)
            ));
        }
    }
    for (name, meaning, count) in COUNTERS {
        text.push_str(&format!("# TYPE {name} counter\n# HELP {name} {meaning}\n"));
        for meter in &status.meters {
            text.push_str(&format!(
                "{name}_total{} {}\n",
                labels(meter),
                count(&meter.statistics)
            ));
        }
    }
    text.push_str("# EOF\n");
    text
}

fn gauge(text: &mut String, name: &str, meaning: &str) {
    text.push_str(&format!("# TYPE {name} gauge\n# HELP {name} {meaning}\n"));
}

fn labels(meter: &MeterView) -> String {
    format!(
        "{{bus=\"{}\",meter=\"{}\"}}",
        escaped(&meter.bus),
        escaped(&meter.name)
    )
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
