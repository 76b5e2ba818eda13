//! The shapes of findings and of output, as the domain writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

macro_rules! documents {
    ($($(#[$meta:meta])* $kind:ident $name:ident { $($body:tt)* })*) => {$(
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, rename_all = "snake_case")]
        $(#[$meta])*
        pub $kind $name { $($body)* }
    )*};
}

documents! {
    /// What was found.
    enum FindingKind {
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
    enum Severity {
        /// Good to know.
        Info,
        /// Will hurt if nothing is done.
        Warning,
        /// Hurts now.
        Critical,
    }

    /// One piece of evidence.
    struct Evidence {
        /// The statement, in plain words.
        pub text: String,
        /// The series it rests on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub series: Option<String>,
        /// Named numbers.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        pub numbers: BTreeMap<String, Value>,
    }

    /// A finding, with its evidence and a calibrated confidence.
    struct Finding {
        /// Its id.
        pub id: String,
        /// The story it opened or belongs to.
        pub story: String,
        /// What was found.
        pub kind: FindingKind,
        /// The service it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub service: Option<String>,
        /// How bad it is.
        pub severity: Severity,
        /// Probability that the finding is right, 0 to 1.
        pub confidence: f64,
        /// One line for people.
        pub summary: String,
        /// What it rests on.
        pub evidence: Vec<Evidence>,
        /// When it was made.
        #[schema(format = DateTime)]
        pub at: String,
    }

    /// A line that a replica wrote.
    struct LogLine {
        /// When it was read.
        #[schema(format = DateTime)]
        pub at: String,
        /// Which replica.
        pub replica: String,
        /// Whether it came from standard error.
        pub error: bool,
        /// The line.
        pub text: String,
    }
}
