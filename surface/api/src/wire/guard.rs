//! The guard's rules on the wire, each part with the revision of the whole.

use oag_guard::{ApprovalRules, Book, FreezeWindow, KillScope, KillSwitch, LadderRules, LimitRule};
use oag_guard::{Policy, Rung};
use oag_pilot::Versioned;
use oag_types::KindName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{rules, schema};

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident { $(#[$about:meta])* $field:ident: $kind:ty as $shape:ty, $from:expr })*) => {$(
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$doc])*
        pub struct $name {
            $(#[$about])*
            #[schema(value_type = $shape)]
            pub $field: $kind,
            /// The revision it stands at; in a PUT it stands for `If-Match`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub revision: Option<u64>,
        }

        impl From<Versioned<Book>> for $name {
            fn from(book: Versioned<Book>) -> Self {
                let take: fn(Book) -> $kind = $from;
                Self { $field: take(book.value), revision: Some(book.revision) }
            }
        }
    )*};
}

parts! {
    /// Who may do what.
    PoliciesView {
        /// The policies; their order has no meaning.
        policies: Vec<Policy> as Vec<rules::Policy>, |book| book.policies.policies
    }
    /// How much, how fast, how often.
    LimitsView {
        /// The rules; all that select an action bind it.
        rules: Vec<LimitRule> as Vec<rules::LimitRule>, |book| book.limits.rules
    }
    /// When not.
    FreezesView {
        /// The windows.
        freezes: Vec<FreezeWindow> as Vec<rules::FreezeWindow>, |book| book.freezes
    }
    /// Whose agreement is needed.
    ApprovalRulesView {
        /// The rules.
        rules: ApprovalRules as rules::ApprovalRules, |book| book.approval_rules
    }
    /// Whether anything acts at all.
    KillSwitchView {
        /// The switch.
        kill_switch: KillSwitch as rules::KillSwitch, |book| book.kill_switch
    }
}

/// Switches the kill switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"on": true, "reason": "looks wrong, stopping everything"}))]
pub struct KillSwitchChange {
    /// Whether it is to be on.
    pub on: bool,
    /// What it stops; everything when left out.
    #[serde(default)]
    #[schema(value_type = Option<rules::KillScope>)]
    pub scope: Option<KillScope>,
    /// Why, shown to those who are stopped.
    pub reason: String,
}

/// The ladder of autonomy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AutonomyView {
    /// Every kind and where it stands.
    pub kinds: Vec<rules::KindAutonomy>,
    /// What it takes to climb.
    #[schema(value_type = rules::LadderRules)]
    pub rules: LadderRules,
    /// The revision it stands at.
    pub revision: u64,
}

impl AutonomyView {
    /// Every kind of the catalogue, and others that have an entry.
    #[must_use]
    pub fn of(book: Versioned<Book>, kinds: impl Iterator<Item = KindName>) -> Self {
        let ladder = book.value.ladder;
        let mut names: Vec<KindName> = kinds.chain(ladder.entries.keys().cloned()).collect();
        names.sort();
        names.dedup();
        let entry = |kind: KindName| {
            let entry = ladder.entry(&kind);
            rules::KindAutonomy {
                kind: kind.0,
                rung: rung(entry.rung),
                ceiling: rung(entry.ceiling),
                record: rules::TrackRecord {
                    proposals: entry.record.proposals,
                    proposals_right: entry.record.proposals_right,
                    dry_runs: entry.record.dry_runs,
                    dry_runs_clean: entry.record.dry_runs_clean,
                    verified: entry.record.verified,
                    failed: entry.record.failed,
                    undone: entry.record.undone,
                    unknown: entry.record.unknown,
                },
                changed_at: entry.changed_at.map(|at| at.to_string()),
            }
        };
        Self {
            kinds: names.into_iter().map(entry).collect(),
            rules: ladder.rules.clone(),
            revision: book.revision,
        }
    }
}

const fn rung(rung: Rung) -> schema::Rung {
    match rung {
        Rung::Observe => schema::Rung::Observe,
        Rung::DryRun => schema::Rung::DryRun,
        Rung::Approve => schema::Rung::Approve,
        Rung::Automatic => schema::Rung::Automatic,
    }
}

/// Sets a kind's rung and ceiling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rung": "approve", "ceiling": "automatic", "reason": "ran well for a month"}))]
pub struct AutonomyChange {
    /// The rung.
    #[schema(value_type = schema::Rung)]
    pub rung: Rung,
    /// The highest rung it may climb to by itself; the rung itself when left out.
    #[serde(default)]
    #[schema(value_type = Option<schema::Rung>)]
    pub ceiling: Option<Rung>,
    /// Why, for the ledger.
    pub reason: String,
}
