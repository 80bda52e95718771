//! How the words of the model are written in JSON, for the schemas: the model itself knows no schemas.
//!
//! Nothing is ever made of these types. The tests hold what the model writes against them.
#![expect(dead_code, reason = "they are written down for their schemas alone")]

use model::{ConsumerEvent, Element, Medium};
use schemars::JsonSchema;

/// A measurement element: what one meter measures under one OBIS code.
#[derive(JsonSchema)]
#[schemars(rename = "Element", deny_unknown_fields)]
pub(in super::super) struct ElementWords {
    /// The identity of the meter: maker, number, version and device type, or the one that the configuration gives.
    #[schemars(extend("examples" = ["ELS-12345678-3C-07"]))]
    meter: String,
    /// The OBIS code (IEC 62056-61).
    #[schemars(extend("examples" = ["1-0:1.8.0*255"]), regex(pattern = r"^\d+-\d+:\d+\.\d+\.\d+\*\d+$"))]
    obis: String,
}

/// The kind of energy or good that is metered.
#[derive(JsonSchema)]
#[schemars(rename = "Medium", rename_all = "kebab-case")]
pub(in super::super) enum MediumWords {
    Electricity,
    HeatCostAllocator,
    Cooling,
    Heat,
    Gas,
    Water,
    WarmWater,
    Other,
}

/// An event of the consumer log.
#[derive(JsonSchema)]
#[schemars(rename = "ConsumerEvent", tag = "event", rename_all = "kebab-case")]
pub(in super::super) enum EventWords {
    /// A supplier was given values.
    Answered {
        #[schemars(flatten)]
        asked: Asked,
        /// The grants that permitted it.
        rules: Vec<String>,
        /// What the values are for, by those grants.
        purpose: Vec<String>,
        /// How many values left the gateway.
        values: u64,
        /// The length of the sealed message in bytes; entries of one request share it.
        bytes: u64,
    },
    /// A supplier was refused.
    Denied {
        #[schemars(flatten)]
        asked: Asked,
        /// The stable code of the reason.
        code: String,
        /// The grant that came closest to permitting it.
        #[schemars(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// The trust centre has changed who may have what.
    GrantsChanged {
        /// The version of the bundle.
        version: u64,
        /// How many suppliers it unlocks.
        suppliers: u64,
        /// How many grants it has.
        grants: u64,
    },
    /// The consumer has restricted what suppliers get.
    Restricted {
        /// The restriction.
        restriction: RestrictionWords,
    },
    /// The consumer has lifted a restriction.
    RestrictionLifted {
        /// The restriction.
        restriction: RestrictionWords,
    },
}

/// What a supplier has asked for.
#[derive(JsonSchema)]
pub(in super::super) struct Asked {
    /// The supplier, by the SHA-256 fingerprint of its certificate.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    supplier: String,
    /// The supplier's name.
    name: String,
    /// The message that asked, by its id in hexadecimal digits.
    request: String,
    /// A pattern of elements, METER/OBIS; `*` stands for every meter.
    #[schemars(extend("examples" = ["*/1-0:1.8.0*255"]))]
    elements: String,
    /// From when until when.
    period: PeriodWords,
    /// The distance between two values, ISO 8601.
    #[schemars(extend("examples" = ["PT15M"]))]
    resolution: String,
    /// How each value was made of what is registered; without it, each is the value itself.
    #[schemars(default, skip_serializing_if = "Option::is_none")]
    aggregation: Option<String>,
}

/// A period: its beginning is in it, its end is not.
#[derive(JsonSchema)]
#[schemars(rename = "Period")]
pub(in super::super) struct PeriodWords {
    #[schemars(extend("format" = "date-time"))]
    from: String,
    #[schemars(extend("format" = "date-time"))]
    to: String,
}

/// A restriction that a consumer has set.
#[derive(JsonSchema)]
#[schemars(rename = "Restriction", deny_unknown_fields)]
pub(in super::super) struct RestrictionWords {
    /// Its number, which no other restriction of the gateway ever has.
    id: u64,
    /// The supplier that it is for; all, if it does not say.
    #[schemars(default, skip_serializing_if = "Option::is_none")]
    supplier: Option<SupplierWords>,
    /// A pattern of elements, METER/OBIS; `*` stands for every meter.
    elements: String,
    /// What is left of them.
    effect: EffectWords,
    /// From when on it holds.
    #[schemars(extend("format" = "date-time"))]
    from: String,
}

/// A supplier that a restriction is for.
#[derive(JsonSchema)]
#[schemars(rename = "RestrictedSupplier", deny_unknown_fields)]
pub(in super::super) struct SupplierWords {
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    fingerprint: String,
    name: String,
}

/// What a restriction leaves.
#[derive(JsonSchema)]
#[schemars(rename = "Effect", rename_all = "kebab-case")]
pub(in super::super) enum EffectWords {
    /// Nothing: the consumer objects.
    Object,
    /// Resolutions that are a multiple of this one, ISO 8601.
    Coarser(String),
}

/// Fails to compile when the model gets a word that is not described here.
const fn every_word_is_described(medium: Medium, event: &ConsumerEvent, element: &Element) {
    match medium {
        Medium::Electricity
        | Medium::HeatCostAllocator
        | Medium::Cooling
        | Medium::Heat
        | Medium::Gas
        | Medium::Water
        | Medium::WarmWater
        | Medium::Other => {}
    }
    match event {
        ConsumerEvent::Answered { .. }
        | ConsumerEvent::Denied { .. }
        | ConsumerEvent::GrantsChanged { .. }
        | ConsumerEvent::Restricted { .. }
        | ConsumerEvent::RestrictionLifted { .. } => {}
    }
    let Element { meter: _, obis: _ } = element;
}
