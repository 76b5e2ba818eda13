//! One model in charge: its entry, what is wanted, and what was told to nodes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use oag_cluster::{Holding, NodeState};
use oag_pilot::{LogLine, Observed};
use oag_types::{NodeName, Service, Timestamp};
use serde_json::{Value, json};

use crate::place::{Holder, Scene, holders, is_current};
use crate::spec::ModelSpec;
use crate::wanted::Wanted;

/// Lines that are remembered of each model.
const LINES_MAX: usize = 500;

/// A model in charge.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) service: Service,
    pub(crate) spec: ModelSpec,
    pub(crate) wanted: Wanted,
    /// Nodes with an order that is not answered yet.
    pub(crate) busy: BTreeSet<NodeName>,
    /// Nodes that could not do an order: until when they are left alone, and for how long that is.
    rests: BTreeMap<NodeName, (Duration, Duration)>,
    /// What went wrong last, until something goes right.
    trouble: Option<String>,
    lines: VecDeque<LogLine>,
}

impl Unit {
    pub(crate) fn new(service: Service, spec: ModelSpec, wanted: Wanted) -> Self {
        Self {
            service,
            spec,
            wanted,
            busy: BTreeSet::new(),
            rests: BTreeMap::new(),
            trouble: None,
            lines: VecDeque::new(),
        }
    }

    /// What to tell nodes now.
    pub(crate) fn moves(
        &self,
        holdings: &[Holding],
        now: Duration,
    ) -> Vec<(NodeName, oag_cluster::orders::Deed)> {
        let resting = self.rests.iter().filter(|(_, (until, _))| *until > now);
        let resting = resting.map(|(node, _)| node.clone()).collect();
        let scene = Scene {
            wanted: &self.wanted,
            groups: &self.spec.groups,
            holdings,
            busy: &self.busy,
            resting: &resting,
        };
        crate::place::moves(&scene)
    }

    /// Another wish: nodes that could not do the one before are asked again.
    pub(crate) fn wishes_again(&mut self) {
        self.rests.clear();
        self.trouble = None;
    }

    /// A node did what it was told.
    pub(crate) fn done(&mut self, node: &NodeName, what: &str, at: Timestamp) {
        self.busy.remove(node);
        self.rests.remove(node);
        self.trouble = None;
        self.line(node, format!("{what}: done"), false, at);
    }

    /// A node did not do what is not wanted any more.
    pub(crate) fn overtaken(&mut self, node: &NodeName, text: String, at: Timestamp) {
        self.busy.remove(node);
        self.line(node, text, true, at);
    }

    /// A node did not; it is left alone for a while, longer each time.
    pub(crate) fn failed(
        &mut self,
        node: &NodeName,
        (what, why): (&str, &str),
        (first, longest): (Duration, Duration),
        (at, now): (Timestamp, Duration),
    ) {
        self.busy.remove(node);
        let pause = self.rests.get(node).map_or(first, |(_, pause)| (*pause * 2).min(longest));
        self.rests.insert(node.clone(), (now + pause, pause));
        self.trouble = Some(format!("{node}: {what}: {why}"));
        self.line(node, format!("{what}: {why}"), true, at);
    }

    pub(crate) fn line(&mut self, node: &NodeName, text: String, error: bool, at: Timestamp) {
        if self.lines.len() >= LINES_MAX {
            self.lines.pop_front();
        }
        let replica = node.as_str().to_owned();
        self.lines.push_back(LogLine { at, replica, error, text });
    }

    /// The last lines, oldest first.
    pub(crate) fn lines(&self, limit: usize) -> Vec<LogLine> {
        let skipped = self.lines.len().saturating_sub(limit);
        self.lines.iter().skip(skipped).cloned().collect()
    }

    /// Everything there is to see.
    pub(crate) fn observe(&self, holdings: &[Holding]) -> Observed {
        let wanted = &self.wanted;
        let recipe = wanted.recipe.digest();
        let all: Vec<Holder<'_>> = holders(&wanted.recipe.model, holdings).collect();
        let ready = || all.iter().filter(|holder| holder.is_ready());
        let current = |holder: &&Holder<'_>| is_current(wanted, recipe, holder.held);
        let updated = ready().filter(current).count();
        // The version that serves; while two do, the older one, so that a change is seen only
        // when it is complete.
        let old = ready().filter(|holder| holder.held.recipe != recipe);
        let old = old.min_by_key(|holder| holder.held.generation);
        let version = match old {
            Some(holder) => wanted.version_of(holder.held.generation).unwrap_or("unknown"),
            None => wanted.version.as_str(),
        };
        let nodes: Vec<&str> = all.iter().map(|holder| holder.node.node.as_str()).collect();
        let mut fields = wanted.facts(&self.spec);
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("model", json!(wanted.recipe.model));
        set("ready_replicas", json!(ready().count()));
        set("updated_replicas", json!(updated));
        set("version", json!(version));
        set("versions", json!(self.spec.all_versions()));
        set("nodes", json!(nodes));
        set("breaker", json!("closed"));
        let target = wanted.target() as usize;
        let settled = all.len() == updated && updated == target && self.busy.is_empty();
        set("settled", json!(settled));
        if let Some(text) = self.unhealthy(holdings, all.len(), target) {
            set("unhealthy", json!(text));
        }
        Observed { revision: wanted.revision, fields }
    }

    /// What is wrong, when something is.
    fn unhealthy(&self, holdings: &[Holding], held: usize, target: usize) -> Option<String> {
        if self.trouble.is_some() || held >= target || !self.busy.is_empty() {
            return self.trouble.clone();
        }
        let loads = |node: &&Holding| {
            let word = oag_cluster::orders::LOADS_MODELS;
            node.state == NodeState::Ready && node.capabilities.iter().any(|have| have == word)
        };
        let able = holdings.iter().filter(loads).count();
        Some(format!(
            "{held} of {target} nodes serve it, and {able} nodes that load models are there: \
             start more with `openautoglm worker --models-dir DIR`"
        ))
    }
}
