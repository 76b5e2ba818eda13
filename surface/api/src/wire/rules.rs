//! The shapes of the guard's rules and of the catalogue, as the domain writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::schema::{Risk, Rung};

macro_rules! documents {
    ($($(#[$meta:meta])* $kind:ident $name:ident { $($body:tt)* })*) => {$(
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, rename_all = "snake_case")]
        $(#[$meta])*
        pub $kind $name { $($body)* }
    )*};
}

documents! {
    /// What a role may do, and to what.
    #[schema(example = json!({"role": "operator", "permissions": ["service:restart", "log:view"],
        "resources": ["staging-*", "group:payments"]}))]
    struct Policy {
        /// Whom it is for.
        pub role: String,
        /// Permissions, such as `service:restart`, `*:view` or `*`.
        pub permissions: Vec<String>,
        /// Services by glob, groups by `group:GLOB`, or `*` for everything.
        pub resources: Vec<String>,
    }

    /// Picks actions. An empty list leaves its dimension open; several lists must all match.
    struct Selector {
        /// Action kinds, by glob.
        #[serde(default)]
        pub kinds: Vec<String>,
        /// Action kinds left out even where `kinds` matches.
        #[serde(default)]
        pub except_kinds: Vec<String>,
        /// Services, by glob.
        #[serde(default)]
        pub services: Vec<String>,
        /// Groups, by glob.
        #[serde(default)]
        pub groups: Vec<String>,
    }

    /// So many in such a time.
    struct Rate {
        /// Most actions.
        pub count: u32,
        /// Within this many milliseconds.
        pub per_ms: i64,
    }

    /// How much may be touched in a time.
    struct BlastRadius {
        /// Most different services within the window.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub services_per_window: Option<u32>,
        /// Length of the window in milliseconds.
        pub window_ms: i64,
        /// Largest share of a service's replicas taken away or restarted, 0 to 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub share_of_capacity: Option<f64>,
    }

    /// One limit. Parts left out do not bind.
    #[schema(example = json!({"name": "replicas", "selector": {"kinds": ["scale"]},
        "quantity": "replicas", "min": 1, "max": 20, "max_step": 5, "cooldown_ms": 240000}))]
    struct LimitRule {
        /// A name for reasons, unique.
        pub name: String,
        /// Which actions it binds.
        #[serde(default)]
        pub selector: Option<Selector>,
        /// Which quantity `min`, `max` and the steps are about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub quantity: Option<String>,
        /// The quantity may not be set below this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub min: Option<f64>,
        /// The quantity may not be set above this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max: Option<f64>,
        /// Largest change in one direction within `step_window_ms`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max_step: Option<f64>,
        /// The same as a share of the value it started from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max_step_ratio: Option<f64>,
        /// Changes within this time count as one step; 60000 when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub step_window_ms: Option<i64>,
        /// Time between two actions of the same kind on the same service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub cooldown_ms: Option<i64>,
        /// The same for actions that raise the quantity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub cooldown_up_ms: Option<i64>,
        /// Most selected actions in a time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub rate: Option<Rate>,
        /// How much may be touched in a time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub blast_radius: Option<BlastRadius>,
    }

    /// A day of the week.
    enum Weekday {
        /// Monday.
        Monday,
        /// Tuesday.
        Tuesday,
        /// Wednesday.
        Wednesday,
        /// Thursday.
        Thursday,
        /// Friday.
        Friday,
        /// Saturday.
        Saturday,
        /// Sunday.
        Sunday,
    }

    /// A time of the day, on some days of the week.
    struct Recurrence {
        /// On these days; every day when left out.
        #[serde(default)]
        pub days: Vec<Weekday>,
        /// Minute of the day it starts at, 0 to 1439.
        pub start_minute: u32,
        /// Minute of the day it ends before, 0 to 1440.
        pub end_minute: u32,
        /// Minutes the local clock is ahead of UTC.
        #[serde(default)]
        pub utc_offset_minutes: i32,
    }

    /// A time in which the selected actions are denied.
    struct FreezeWindow {
        /// A name for people, unique.
        pub name: String,
        /// From this moment on.
        #[schema(format = DateTime)]
        pub from: String,
        /// Until before this moment.
        #[schema(format = DateTime)]
        pub to: String,
        /// Which actions; all when left out.
        #[serde(default)]
        pub selector: Option<Selector>,
        /// Why, shown to those who are stopped.
        pub reason: String,
        /// Only at these times of the day or week.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub repeat: Option<Recurrence>,
    }

    /// When two people must approve; any of these is enough.
    struct SecondPerson {
        /// An action of this risk or higher.
        #[serde(default)]
        pub risk: Option<Risk>,
        /// A quantity changed by at least this share of its value.
        #[serde(default)]
        pub change_ratio: Option<f64>,
        /// Changes of the same quantity within this time count as one, in milliseconds.
        #[serde(default)]
        pub change_window_ms: Option<i64>,
        /// Action kinds, by glob.
        #[serde(default)]
        pub kinds: Vec<String>,
        /// Whether the person who asks counts as the first of the two.
        #[serde(default)]
        pub proposer_counts: bool,
    }

    /// How approvals work.
    struct ApprovalRules {
        /// How long an approval counts, in milliseconds.
        #[serde(default)]
        pub expires_after_ms: i64,
        /// When two people must approve rather than one.
        #[serde(default)]
        pub second_person: Option<SecondPerson>,
    }

    /// What the kill switch stops.
    enum KillScope {
        /// Everything.
        All,
        /// Actions in these groups.
        Groups(Vec<String>),
    }

    /// Stops every action in its scope.
    struct KillSwitch {
        /// Whether it is on.
        pub on: bool,
        /// What it stops.
        pub scope: KillScope,
        /// Who switched it last.
        pub by: Option<String>,
        /// When it was switched last.
        #[schema(format = DateTime)]
        pub at: Option<String>,
        /// Why, shown to those who are stopped.
        pub reason: String,
    }

    /// Counts since the last change of the rung.
    struct TrackRecord {
        /// Proposals that were judged.
        pub proposals: u32,
        /// Of those, the right ones.
        pub proposals_right: u32,
        /// Dry runs.
        pub dry_runs: u32,
        /// Of those, the clean ones.
        pub dry_runs_clean: u32,
        /// Executed and verified.
        pub verified: u32,
        /// Executed without the promised effect.
        pub failed: u32,
        /// Executed and taken back by a person.
        pub undone: u32,
        /// Executed with unknown outcome.
        pub unknown: u32,
    }

    /// What it takes to climb.
    struct LadderRules {
        /// The share of successes that must be shown, 0 to 1.
        pub lower_bound: f64,
        /// Standard deviations of the interval.
        pub z: f64,
        /// Fewest judged proposals to leave observe.
        pub min_proposals: u32,
        /// Fewest dry runs to leave dry run.
        pub min_dry_runs: u32,
        /// Fewest executions to leave approve.
        pub min_executed: u32,
    }

    /// Where an action kind stands on the ladder of autonomy.
    struct KindAutonomy {
        /// Which kind.
        pub kind: String,
        /// Its rung.
        pub rung: Rung,
        /// The highest rung it may climb to by itself.
        pub ceiling: Rung,
        /// Its record since the last change.
        pub record: TrackRecord,
        /// When it last changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(format = DateTime)]
        pub changed_at: Option<String>,
    }

    /// Where a role holds.
    enum Scope {
        /// Everywhere.
        All,
        /// In these groups only.
        Groups(Vec<String>),
    }

    /// A role given to a principal.
    #[schema(example = json!({"role": "operator", "scope": {"groups": ["payments"]}}))]
    struct RoleBinding {
        /// Which role: `admin`, `operator`, `auditor`, or one of the policies'.
        pub role: String,
        /// Where it holds.
        pub scope: Scope,
    }

    /// Whether a principal is a person. Only people approve.
    enum PrincipalKind {
        /// A human being.
        Person,
        /// A program.
        ServiceAccount,
    }

    /// A call from one service to another.
    struct Dependency {
        /// The service that is called.
        pub service: String,
        /// Calls made there for each request here; 1 when left out.
        #[serde(default)]
        pub calls_per_request: f64,
        /// Whether it scales along when the caller grows; yes when left out.
        #[serde(default)]
        pub scales_along: bool,
    }

    /// A part of a service that can be switched off by itself.
    struct Feature {
        /// Its name.
        pub name: String,
        /// Requests whose path starts with this belong to it.
        pub path_prefix: String,
        /// Core features are never shed.
        #[serde(default)]
        pub core: bool,
    }

    /// Which rule decides on replicas.
    enum ScalingMode {
        /// By the forecast.
        Predictive,
        /// By present utilisation.
        Reactive,
        /// Not at all.
        Off,
    }

    /// How a service scales; what is left out has its default.
    struct ScalingSpec {
        /// Which rule decides.
        #[serde(default)]
        pub mode: Option<ScalingMode>,
        /// Fewest replicas.
        #[serde(default)]
        pub min_replicas: u32,
        /// Most replicas.
        #[serde(default)]
        pub max_replicas: u32,
        /// Length of one step, in milliseconds.
        #[serde(default)]
        pub step_ms: i64,
        /// Share of capacity above which a forecast is an overload, 0 to 1.
        #[serde(default)]
        pub threshold: f64,
        /// Requests per second that one replica carries; measured when absent.
        #[serde(default)]
        pub capacity_per_replica: Option<f64>,
        /// Steps in one season of its load.
        #[serde(default)]
        pub season_steps: Option<u64>,
        /// Fewest steps between two scale-downs.
        #[serde(default)]
        pub down_every_steps: u32,
        /// Most replicas removed at once.
        #[serde(default)]
        pub down_max: u32,
        /// Share of capacity the reactive rule aims at, 0 to 1.
        #[serde(default)]
        pub reactive_target: f64,
    }

    /// An entry of the catalogue of services.
    #[schema(example = json!({"name": "order-service", "group": "shop", "executor": "local",
        "spec": {}, "scaling": {"min_replicas": 2, "max_replicas": 10}}))]
    struct Service {
        /// Its name.
        pub name: String,
        /// The group it belongs to, for roles and limits.
        pub group: String,
        /// Which executor carries its actions out.
        pub executor: String,
        /// What the executor needs to run it.
        #[serde(default)]
        pub spec: Value,
        /// Services it calls.
        #[serde(default)]
        pub depends_on: Vec<Dependency>,
        /// How it scales.
        #[serde(default)]
        pub scaling: Option<ScalingSpec>,
        /// Parts that can be shed under pressure.
        #[serde(default)]
        pub features: Vec<Feature>,
        /// The revision it stands at; in a PUT it stands for `If-Match`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub revision: Option<u64>,
    }

    /// The state of a service as its executor reports it.
    struct Observed {
        /// Grows whenever the wanted state changes.
        pub revision: u64,
        /// Named facts, such as `replicas`, `ready_replicas`, `running`, `version`, `breaker`.
        pub fields: BTreeMap<String, Value>,
    }
}
