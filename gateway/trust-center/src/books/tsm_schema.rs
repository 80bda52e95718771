//! The tables of the TSM: what suppliers have asked for, what waits for which gateway, and how gateways are.
//!
//! Beside the records, which are history, these hold the present, so their rows change. What was decided is in the records
//! too, and [`super::Books::verify`] compares.

use crate::books::schema::{Guard, Table};

/// The table of the requests.
pub(super) const REQUESTS: &str = "tsm_requests";

/// The tables.
///
/// Times on which something waits are seconds of the Unix epoch, so that the database can compare them.
pub(super) const DEFINITION: &str = "
CREATE TABLE tsm_gateways (
    guid TEXT PRIMARY KEY,
    address TEXT,
    report TEXT,
    report_due BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    leased_by TEXT,
    trouble TEXT
);
CREATE TABLE tsm_served (
    guid TEXT NOT NULL,
    supplier TEXT NOT NULL,
    PRIMARY KEY (guid, supplier)
);
CREATE INDEX tsm_served_by_supplier ON tsm_served (supplier);
CREATE TABLE tsm_requests (
    id TEXT PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    guid TEXT NOT NULL,
    supplier TEXT NOT NULL,
    name TEXT NOT NULL,
    received TEXT NOT NULL,
    content TEXT NOT NULL,
    granted TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    changed TEXT NOT NULL,
    record BIGINT NOT NULL,
    decision BIGINT
);
CREATE INDEX tsm_requests_by_supplier ON tsm_requests (supplier, state, number);
CREATE INDEX tsm_requests_by_state ON tsm_requests (state, number);
CREATE INDEX tsm_requests_by_gateway ON tsm_requests (guid, number);
CREATE TABLE tsm_jobs (
    number BIGINT PRIMARY KEY,
    guid TEXT NOT NULL,
    urgency BIGINT NOT NULL,
    request TEXT
);
CREATE INDEX tsm_jobs_by_gateway ON tsm_jobs (guid, urgency, number);
";

/// The same tables, for whoever copies them.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "tsm_gateways",
        guard: Guard::Changing,
        texts: &["guid", "address", "report", "leased_by", "trouble"],
        numbers: &["report_due", "attempts", "due", "lease"],
        order: "guid",
    },
    Table {
        name: "tsm_served",
        guard: Guard::Changing,
        texts: &["guid", "supplier"],
        numbers: &[],
        order: "guid, supplier",
    },
    Table {
        name: REQUESTS,
        guard: Guard::Changing,
        texts: &[
            "id", "guid", "supplier", "name", "received", "content", "granted", "state", "reason", "changed",
        ],
        numbers: &["number", "record", "decision"],
        order: "number",
    },
    Table {
        name: "tsm_jobs",
        guard: Guard::Changing,
        texts: &["guid", "request"],
        numbers: &["number", "urgency"],
        order: "number",
    },
];
