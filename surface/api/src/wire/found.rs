//! Findings and output, as the domain writes them.

use oag_types::{Evidence, FindingId, FindingKind, ServiceName, Severity, StoryId, Timestamp};
use serde_json::{Map, Value};

describe! {
    /// One value at one moment.
    struct SampleView = oag_types::Sample {
        /// When.
        at: Timestamp,
        /// What.
        value: f64,
    }

    /// What was found.
    enum FindingKind = oag_types::FindingKind {
        /// A series left its band.
        Anomaly,
        /// The forecast crosses the threshold of capacity.
        ForecastOverload,
        /// Present load is above the threshold of capacity.
        Overload,
        /// More capacity than the forecast needs.
        Surplus,
        /// Requests fail more often than allowed.
        Errors,
        /// Requests take longer than usual.
        Latency,
        /// Expected data did not come.
        MissingData,
        /// Nothing is wrong.
        Calm,
        /// A replica or a probe failed.
        Unhealthy,
    }

    /// How bad it is.
    enum Severity = oag_types::Severity {
        /// Good to know.
        Info,
        /// Will hurt if nothing is done.
        Warning,
        /// Hurts now.
        Critical,
    }

    /// One piece of evidence.
    struct Evidence = oag_types::Evidence {
        /// The statement, in plain words.
        text: String,
        /// The series it rests on.
        series: Option<String> = optional,
        /// Named numbers.
        numbers: Map<String, Value> = optional,
    }

    /// A finding, with its evidence and a calibrated confidence.
    struct Finding = oag_types::Finding {
        /// Its id.
        id: FindingId,
        /// The story it opened or belongs to.
        story: StoryId,
        /// What was found.
        kind: FindingKind,
        /// The service it is about.
        service: Option<ServiceName> = optional,
        /// How bad it is.
        severity: Severity,
        /// Probability that the finding is right, 0 to 1.
        confidence: f64,
        /// One line for people.
        summary: String,
        /// What it rests on.
        evidence: Vec<Evidence>,
        /// When it was made.
        at: Timestamp,
    }

    /// A line that a replica wrote.
    struct LogLine = oag_pilot::LogLine {
        /// When it was read.
        at: Timestamp,
        /// Which replica.
        replica: String,
        /// Whether it came from standard error.
        error: bool,
        /// The line.
        text: String,
    }
}
