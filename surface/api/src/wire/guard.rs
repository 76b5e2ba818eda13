//! The guard's rules on the wire, each part with the revision of the whole.

use oag_guard::{
    ApprovalRules, Book, FreezeWindow, KillScope, KillSwitch, LadderEntry, LadderRules, LimitRule,
    Policy, Rung, TrackRecord,
};
use oag_pilot::Versioned;
use oag_types::{KindName, Timestamp};
use serde::{Deserialize, Serialize};

wire! {
    /// Who may do what.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct PoliciesView {
        /// The policies; their order has no meaning.
        pub(crate) policies: Vec<Policy>,
        /// The revision it stands at; in a PUT it stands for `If-Match`.
        #[serde(default)]
        pub(crate) revision: Option<u64>,
    }

    /// How much, how fast, how often.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct LimitsView {
        /// The rules; all that select an action bind it.
        pub(crate) rules: Vec<LimitRule>,
        /// The revision it stands at; in a PUT it stands for `If-Match`.
        #[serde(default)]
        pub(crate) revision: Option<u64>,
    }

    /// When not.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct FreezesView {
        /// The windows.
        pub(crate) freezes: Vec<FreezeWindow>,
        /// The revision it stands at; in a PUT it stands for `If-Match`.
        #[serde(default)]
        pub(crate) revision: Option<u64>,
    }

    /// Whose agreement is needed.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct ApprovalRulesView {
        /// The rules.
        pub(crate) rules: ApprovalRules,
        /// The revision it stands at; in a PUT it stands for `If-Match`.
        #[serde(default)]
        pub(crate) revision: Option<u64>,
    }

    /// Whether anything acts at all.
    #[derive(Serialize)]
    pub(crate) struct KillSwitchView {
        /// The switch.
        pub(crate) kill_switch: KillSwitch,
        /// The revision it stands at.
        pub(crate) revision: Option<u64>,
    }

    /// Where an action kind stands on the ladder of autonomy.
    #[derive(Serialize)]
    pub(crate) struct KindAutonomy {
        /// Which kind.
        pub(crate) kind: KindName,
        /// Its rung.
        pub(crate) rung: Rung,
        /// The highest rung it may climb to by itself.
        pub(crate) ceiling: Rung,
        /// Its record since the last change.
        pub(crate) record: TrackRecord,
        /// When it last changed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) changed_at: Option<Timestamp>,
    }
}

wire! {
    /// Switches the kill switch.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"on": true, "reason": "looks wrong, stopping everything"})]
    pub(crate) struct KillSwitchChange {
        /// Whether it is to be on.
        pub(crate) on: bool,
        /// What it stops; everything when left out.
        #[serde(default)]
        pub(crate) scope: Option<KillScope>,
        /// Why, shown to those who are stopped.
        pub(crate) reason: String,
    }

    /// The ladder of autonomy.
    #[derive(Serialize)]
    pub(crate) struct AutonomyView {
        /// Every kind and where it stands.
        pub(crate) kinds: Vec<KindAutonomy>,
        /// What it takes to climb.
        pub(crate) rules: LadderRules,
        /// The revision it stands at.
        pub(crate) revision: u64,
    }
}

impl AutonomyView {
    /// Every kind of the catalogue, and others that have an entry.
    #[must_use]
    pub(crate) fn of(book: Versioned<Book>, kinds: impl Iterator<Item = KindName>) -> Self {
        let ladder = book.value.ladder;
        let mut names: Vec<KindName> = kinds.chain(ladder.entries.keys().cloned()).collect();
        names.sort();
        names.dedup();
        let entry = |kind: KindName| {
            let LadderEntry { rung, ceiling, record, changed_at } = ladder.entry(&kind);
            KindAutonomy { kind, rung, ceiling, record, changed_at }
        };
        Self {
            kinds: names.into_iter().map(entry).collect(),
            rules: ladder.rules.clone(),
            revision: book.revision,
        }
    }
}

wire! {
    /// Sets a kind's rung and ceiling.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"rung": "approve", "ceiling": "automatic", "reason": "ran well for a month"})]
    pub(crate) struct AutonomyChange {
        /// The rung.
        pub(crate) rung: Rung,
        /// The highest rung it may climb to by itself; the rung itself when left out.
        #[serde(default)]
        pub(crate) ceiling: Option<Rung>,
        /// Why, for the ledger.
        pub(crate) reason: String,
    }
}
