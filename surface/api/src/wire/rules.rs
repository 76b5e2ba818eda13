//! The guard's rules and the catalogue, as the domain writes them.

use std::collections::BTreeMap;

use oag_guard::{BlastRadius, KillScope, Rate, Recurrence, SecondPerson, Selector, Weekday};
use oag_types::{
    GroupName, Permission, PrincipalId, Risk, Role, ScalingMode, Scope, ServiceName, Timestamp,
};
use serde_json::Value;

describe! {
    /// What a role may do, and to what.
    #[example({"role": "operator", "permissions": ["service:restart", "log:view"],
        "resources": ["staging-*", "group:payments"]})]
    struct Policy = oag_guard::Policy {
        /// Whom it is for.
        role: Role,
        /// Permissions, such as `service:restart`, `*:view` or `*`.
        permissions: Vec<Permission>,
        /// Services by glob, groups by `group:GLOB`, or `*` for everything.
        resources: Vec<String>,
    }

    /// Picks actions. An empty list leaves its dimension open; several lists must all match.
    struct Selector = oag_guard::Selector {
        /// Action kinds, by glob.
        kinds: Vec<String> = optional,
        /// Action kinds left out even where `kinds` matches.
        except_kinds: Vec<String> = optional,
        /// Services, by glob.
        services: Vec<String> = optional,
        /// Groups, by glob.
        groups: Vec<String> = optional,
    }

    /// So many in such a time.
    struct Rate = oag_guard::Rate {
        /// Most actions.
        count: u32,
        /// Within this many milliseconds.
        per_ms: i64,
    }

    /// How much may be touched in a time.
    struct BlastRadius = oag_guard::BlastRadius {
        /// Most different services within the window.
        services_per_window: Option<u32> = optional,
        /// Length of the window in milliseconds.
        window_ms: i64,
        /// Largest share of a service's replicas taken away or restarted, 0 to 1.
        share_of_capacity: Option<f64> = optional,
    }

    /// One limit. Parts left out do not bind.
    #[example({"name": "replicas", "selector": {"kinds": ["scale"]},
        "quantity": "replicas", "min": 1, "max": 20, "max_step": 5, "cooldown_ms": 240000})]
    struct LimitRule = oag_guard::LimitRule {
        /// A name for reasons, unique.
        name: String,
        /// Which actions it binds.
        selector: Selector = optional,
        /// Which quantity `min`, `max` and the steps are about.
        quantity: Option<String> = optional,
        /// The quantity may not be set below this.
        min: Option<f64> = optional,
        /// The quantity may not be set above this.
        max: Option<f64> = optional,
        /// Largest change in one direction within `step_window_ms`.
        max_step: Option<f64> = optional,
        /// The same as a share of the value it started from.
        max_step_ratio: Option<f64> = optional,
        /// Changes within this time count as one step; 60000 when left out.
        step_window_ms: i64 = optional,
        /// Time between two actions of the same kind on the same service.
        cooldown_ms: Option<i64> = optional,
        /// The same for actions that raise the quantity.
        cooldown_up_ms: Option<i64> = optional,
        /// Most selected actions in a time.
        rate: Option<Rate> = optional,
        /// How much may be touched in a time.
        blast_radius: Option<BlastRadius> = optional,
    }

    /// A day of the week.
    enum Weekday = oag_guard::Weekday {
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
    struct Recurrence = oag_guard::Recurrence {
        /// On these days; every day when left out.
        days: Vec<Weekday> = optional,
        /// Minute of the day it starts at, 0 to 1439.
        start_minute: u32,
        /// Minute of the day it ends before, 0 to 1440.
        end_minute: u32,
        /// Minutes the local clock is ahead of UTC.
        utc_offset_minutes: i32 = optional,
    }

    /// A time in which the selected actions are denied.
    struct FreezeWindow = oag_guard::FreezeWindow {
        /// A name for people, unique.
        name: String,
        /// From this moment on.
        from: Timestamp,
        /// Until before this moment.
        to: Timestamp,
        /// Which actions; all when left out.
        selector: Selector = optional,
        /// Why, shown to those who are stopped.
        reason: String,
        /// Only at these times of the day or week.
        repeat: Option<Recurrence> = optional,
    }

    /// When two people must approve; any of these is enough.
    struct SecondPerson = oag_guard::SecondPerson {
        /// An action of this risk or higher.
        risk: Option<Risk> = optional,
        /// A quantity changed by at least this share of its value.
        change_ratio: Option<f64> = optional,
        /// Changes of the same quantity within this time count as one, in milliseconds.
        change_window_ms: i64 = optional,
        /// Action kinds, by glob.
        kinds: Vec<String> = optional,
        /// Whether the person who asks counts as the first of the two.
        proposer_counts: bool = optional,
    }

    /// How approvals work.
    struct ApprovalRules = oag_guard::ApprovalRules {
        /// How long an approval counts, in milliseconds.
        expires_after_ms: i64 = optional,
        /// When two people must approve rather than one.
        second_person: SecondPerson = optional,
    }

    /// What the kill switch stops.
    enum KillScope = oag_guard::KillScope {
        /// Everything.
        All,
        /// Actions in these groups.
        Groups(Vec<GroupName>),
    }

    /// Stops every action in its scope.
    struct KillSwitch = oag_guard::KillSwitch {
        /// Whether it is on.
        on: bool,
        /// What it stops.
        scope: KillScope,
        /// Who switched it last.
        by: Option<PrincipalId>,
        /// When it was switched last.
        at: Option<Timestamp>,
        /// Why, shown to those who are stopped.
        reason: String,
    }

    /// Counts since the last change of the rung.
    struct TrackRecord = oag_guard::TrackRecord {
        /// Proposals that were judged.
        proposals: u32,
        /// Of those, the right ones.
        proposals_right: u32,
        /// Dry runs.
        dry_runs: u32,
        /// Of those, the clean ones.
        dry_runs_clean: u32,
        /// Executed and verified.
        verified: u32,
        /// Executed without the promised effect.
        failed: u32,
        /// Executed and taken back by a person.
        undone: u32,
        /// Executed with unknown outcome.
        unknown: u32,
    }

    /// What it takes to climb.
    struct LadderRules = oag_guard::LadderRules {
        /// The share of successes that must be shown, 0 to 1.
        lower_bound: f64,
        /// Standard deviations of the interval.
        z: f64,
        /// Fewest judged proposals to leave observe.
        min_proposals: u32,
        /// Fewest dry runs to leave dry run.
        min_dry_runs: u32,
        /// Fewest executions to leave approve.
        min_executed: u32,
    }

    /// Where a role holds.
    enum Scope = oag_types::Scope {
        /// Everywhere.
        All,
        /// In these groups only.
        Groups(Vec<GroupName>),
    }

    /// A role given to a principal.
    #[example({"role": "operator", "scope": {"groups": ["payments"]}})]
    struct RoleBinding = oag_types::RoleBinding {
        /// Which role: `admin`, `operator`, `auditor`, or one of the policies'.
        role: Role,
        /// Where it holds.
        scope: Scope,
    }

    /// Whether a principal is a person. Only people approve.
    enum PrincipalKind = oag_types::PrincipalKind {
        /// A human being.
        Person,
        /// A program.
        ServiceAccount,
    }

    /// A call from one service to another.
    struct Dependency = oag_types::Dependency {
        /// The service that is called.
        service: ServiceName,
        /// Calls made there for each request here; 1 when left out.
        calls_per_request: f64 = optional,
        /// Whether it scales along when the caller grows; yes when left out.
        scales_along: bool = optional,
    }

    /// A part of a service that can be switched off by itself.
    struct Feature = oag_types::Feature {
        /// Its name.
        name: String,
        /// Requests whose path starts with this belong to it.
        path_prefix: String,
        /// Core features are never shed.
        core: bool = optional,
    }

    /// Which rule decides on replicas.
    enum ScalingMode = oag_types::ScalingMode {
        /// By the forecast.
        Predictive,
        /// By present utilisation.
        Reactive,
        /// Not at all.
        Off,
    }

    /// How a service scales; what is left out has its default.
    struct ScalingSpec = oag_types::ScalingSpec {
        /// Which rule decides.
        mode: ScalingMode = optional,
        /// Fewest replicas.
        min_replicas: u32 = optional,
        /// Most replicas.
        max_replicas: u32 = optional,
        /// Length of one step, in milliseconds.
        step_ms: i64 = optional,
        /// Share of capacity above which a forecast is an overload, 0 to 1.
        threshold: f64 = optional,
        /// Requests per second that one replica carries; measured when absent.
        capacity_per_replica: Option<f64> = optional,
        /// Steps in one season of its load.
        season_steps: Option<usize> = optional,
        /// Fewest steps between two scale-downs.
        down_every_steps: u32 = optional,
        /// Most replicas removed at once.
        down_max: u32 = optional,
        /// Share of capacity the reactive rule aims at, 0 to 1.
        reactive_target: f64 = optional,
    }

    /// The state of a service as its executor reports it.
    struct Observed = oag_pilot::Observed {
        /// Grows whenever the wanted state changes.
        revision: u64,
        /// Named facts, such as `replicas`, `ready_replicas`, `running`, `version`, `breaker`.
        fields: BTreeMap<String, Value>,
    }
}
