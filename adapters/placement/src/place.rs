//! Which nodes are told what next, from what is wanted and what is there. Pure.

use std::collections::BTreeSet;

use oag_cluster::orders::{Deed, Held, LOADS_MODELS};
use oag_cluster::protocol::NodeRole;
use oag_cluster::{Holding, NodeState};
use oag_types::{Digest, NodeName};

use crate::wanted::Wanted;

/// What a decision rests on.
pub(crate) struct Scene<'a> {
    pub(crate) wanted: &'a Wanted,
    /// Only nodes of these groups; none: of any.
    pub(crate) groups: &'a [String],
    /// Every node.
    pub(crate) holdings: &'a [Holding],
    /// Nodes with an order of this model that is not answered yet.
    pub(crate) busy: &'a BTreeSet<NodeName>,
    /// Nodes that could not do an order lately.
    pub(crate) resting: &'a BTreeSet<NodeName>,
}

/// A node that serves the model because it was told to.
#[derive(Clone, Copy)]
pub(crate) struct Holder<'a> {
    pub(crate) node: &'a Holding,
    pub(crate) held: &'a Held,
}

impl Holder<'_> {
    /// Whether it can be given work.
    pub(crate) fn is_ready(&self) -> bool {
        self.node.state == NodeState::Ready && !self.held.leaving
    }

    /// Whether it is still there, or may come back with what it has.
    fn is_there(&self) -> bool {
        let there = [NodeState::Ready, NodeState::Late, NodeState::Away];
        there.contains(&self.node.state) && !self.held.leaving
    }

    /// Whether it can be told to let the model go, and was not yet.
    fn may_leave(&self) -> bool {
        let gone = [NodeState::Away, NodeState::Left, NodeState::Lost];
        !gone.contains(&self.node.state) && !self.held.leaving
    }
}

/// The nodes that serve a model because they were told to, by name.
pub(crate) fn holders<'a>(
    model: &str,
    holdings: &'a [Holding],
) -> impl Iterator<Item = Holder<'a>> + use<'a> {
    let model = model.to_owned();
    let gone = |state| matches!(state, NodeState::Left | NodeState::Lost);
    let there = holdings.iter().filter(move |node| !gone(node.state));
    there.filter_map(move |node| {
        let held = node.models.get(&model)?.as_ref()?;
        Some(Holder { node, held })
    })
}

/// Whether a node serves the model as it is wanted.
pub(crate) fn is_current(wanted: &Wanted, recipe: Digest, held: &Held) -> bool {
    held.recipe == recipe && held.generation >= wanted.since
}

/// What to tell nodes now. Loading and unloading go side by side; a node that serves an older
/// wish is renewed only while every other order is answered, one after the other, and not after
/// one has failed: what does not work stops at the first node.
pub(crate) fn moves(scene: &Scene<'_>) -> Vec<(NodeName, Deed)> {
    let wanted = scene.wanted;
    let recipe = wanted.recipe.digest();
    let model = wanted.recipe.model.as_str();
    let target = wanted.target() as usize;
    let all: Vec<Holder<'_>> = holders(model, scene.holdings).collect();
    let (mut counted, others): (Vec<_>, Vec<_>) =
        all.iter().copied().partition(|holder| holder.is_there() && scene.fits(holder.node));
    // Those to stay first: current before stale, ready before away.
    counted.sort_by_key(|holder| {
        let stale = !is_current(wanted, recipe, holder.held);
        (!holder.is_ready(), stale, holder.node.node.clone())
    });
    let mut moves = Vec::new();
    let mut leave = |holder: &Holder<'_>| {
        let node = &holder.node.node;
        if holder.may_leave() && !scene.busy.contains(node) && !scene.resting.contains(node) {
            moves.push((node.clone(), Deed::Leave { model: model.to_owned() }));
        }
    };
    counted.iter().skip(target).for_each(&mut leave);
    counted.truncate(target);
    let ready = counted.iter().filter(|holder| holder.is_ready()).count();
    if ready >= target {
        // What is held elsewhere is not needed any more.
        others.iter().for_each(&mut leave);
    }
    moves.extend(scene.loads(target.saturating_sub(counted.len())));
    if scene.busy.is_empty() && moves.is_empty() {
        moves.extend(scene.renewal(&counted, recipe));
    }
    moves
}

impl Scene<'_> {
    /// Nodes that are to load the model, so many are lacking.
    fn loads(&self, lacking: usize) -> Vec<(NodeName, Deed)> {
        let model = self.wanted.recipe.model.as_str();
        let empty = |node: &&Holding| !node.models.contains_key(model);
        let on_their_way = self.holdings.iter().filter(empty);
        let on_their_way = on_their_way.filter(|node| self.busy.contains(&node.node)).count();
        let mut free: Vec<&Holding> = self
            .holdings
            .iter()
            .filter(empty)
            .filter(|node| node.state == NodeState::Ready && self.fits(node))
            .filter(|node| node.capabilities.iter().any(|word| word == LOADS_MODELS))
            .filter(|node| !self.busy.contains(&node.node) && !self.resting.contains(&node.node))
            .collect();
        free.sort_by_key(|node| (node.models.len(), node.node.clone()));
        let deed = || Deed::Serve {
            generation: self.wanted.generation,
            recipe: self.wanted.recipe.clone(),
        };
        let lacking = lacking.saturating_sub(on_their_way);
        free.into_iter().take(lacking).map(|node| (node.node.clone(), deed())).collect()
    }

    /// The first node that serves an older wish.
    fn renewal(&self, counted: &[Holder<'_>], recipe: Digest) -> Option<(NodeName, Deed)> {
        let stale = || {
            let stale = |holder: &&Holder<'_>| !is_current(self.wanted, recipe, holder.held);
            counted.iter().filter(stale)
        };
        if stale().any(|holder| self.resting.contains(&holder.node.node)) {
            return None;
        }
        let holder = stale().find(|holder| holder.is_ready())?;
        let generation = self.wanted.generation;
        let wanted = self.wanted.recipe.clone();
        let deed = if holder.held.recipe == recipe {
            Deed::Restart { generation, model: wanted.model }
        } else if holder.held.file == wanted.file {
            Deed::Configure { generation, recipe: wanted }
        } else {
            Deed::Serve { generation, recipe: wanted }
        };
        Some((holder.node.node.clone(), deed))
    }

    fn fits(&self, node: &Holding) -> bool {
        let grouped =
            self.groups.is_empty() || node.groups.iter().any(|group| self.groups.contains(group));
        grouped && node.role == NodeRole::Worker
    }
}

#[cfg(test)]
mod tests {
    use oag_pilot::Operation;
    use oag_types::Service;
    use serde_json::json;

    use super::*;
    use crate::spec::ModelSpec;

    fn wanted(operations: &[Operation]) -> Wanted {
        let service: Service = serde_json::from_value(json!({
            "name": "m", "group": "ai", "executor": "fleet",
            "spec": {"file": "a.gguf", "versions": {"2": {"file": "b.gguf"}}},
        }))
        .unwrap();
        let spec = ModelSpec::read(&service).unwrap();
        let mut wanted = Wanted::first(&service, &spec);
        for operation in [&[Operation::SetRunning(true)], operations].concat() {
            wanted.play(&service, &spec, &operation).unwrap();
        }
        wanted
    }

    fn name(text: &str) -> NodeName {
        NodeName::try_from(text.to_owned()).unwrap()
    }

    fn node(text: &str, held: Option<&Wanted>) -> Holding {
        let held = held.map(|wanted| Held {
            generation: wanted.generation,
            recipe: wanted.recipe.digest(),
            file: wanted.recipe.file.clone(),
            leaving: false,
        });
        Holding {
            node: name(text),
            state: NodeState::Ready,
            groups: vec!["gpu".to_owned()],
            capabilities: vec![LOADS_MODELS.to_owned()],
            role: NodeRole::Worker,
            models: held.map(|held| ("m".to_owned(), Some(held))).into_iter().collect(),
        }
    }

    /// What is told, as `NODE DEED`.
    fn told(wanted: &Wanted, holdings: &[Holding], busy: &[&str], resting: &[&str]) -> Vec<String> {
        let set = |names: &[&str]| names.iter().map(|text| name(text)).collect();
        let (busy, resting): (BTreeSet<_>, BTreeSet<_>) = (set(busy), set(resting));
        let scene = Scene { wanted, groups: &[], holdings, busy: &busy, resting: &resting };
        let word = |deed: &Deed| serde_json::to_value(deed).unwrap()["do"].clone();
        let line = |(node, deed): (NodeName, Deed)| {
            format!("{node} {}", word(&deed).as_str().unwrap_or_default())
        };
        moves(&scene).into_iter().map(line).collect()
    }

    #[test]
    fn the_nodes_that_have_least_load_it_and_no_more_than_are_wanted() {
        let two = wanted(&[Operation::SetReplicas(2)]);
        let mut full = node("a", None);
        full.models = [("other".to_owned(), None)].into();
        let nodes = [full, node("b", None), node("c", None)];
        assert_eq!(told(&two, &nodes, &[], &[]), ["b serve", "c serve"]);
        // One is on its way, and one could not.
        assert_eq!(told(&two, &nodes, &["b"], &[]), ["c serve"]);
        assert_eq!(told(&two, &nodes, &["b"], &["c"]), ["a serve"]);
        let holds = [node("b", Some(&two)), node("c", Some(&two)), node("d", None)];
        assert!(told(&two, &holds, &[], &[]).is_empty());
    }

    #[test]
    fn nodes_that_cannot_or_are_in_other_groups_are_left_alone() {
        let one = wanted(&[]);
        let (mut deaf, mut cordoned, mut given) =
            (node("a", None), node("b", None), node("c", None));
        deaf.capabilities.clear();
        cordoned.state = NodeState::Cordoned;
        // It has the model by its own command line.
        given.models = [("m".to_owned(), None)].into();
        let nodes = [deaf, cordoned, given];
        assert!(told(&one, &nodes, &[], &[]).is_empty());
        let scene = Scene {
            wanted: &one,
            groups: &["cpu".to_owned()],
            holdings: &[node("d", None)],
            busy: &BTreeSet::new(),
            resting: &BTreeSet::new(),
        };
        assert!(moves(&scene).is_empty());
    }

    #[test]
    fn surplus_nodes_leave_it_and_all_do_when_it_is_stopped() {
        let one = wanted(&[]);
        let mut away = node("c", Some(&one));
        away.state = NodeState::Away;
        let nodes = [node("a", Some(&one)), node("b", Some(&one)), away];
        // The one that is away is told when it is back.
        assert_eq!(told(&one, &nodes, &[], &[]), ["b leave"]);
        let stopped = wanted(&[Operation::SetRunning(false)]);
        assert_eq!(told(&stopped, &nodes, &[], &[]), ["a leave", "b leave"]);
        let mut leaving = node("a", Some(&one));
        leaving.models.values_mut().flatten().for_each(|held| held.leaving = true);
        assert!(told(&stopped, &[leaving], &[], &[]).is_empty());
    }

    #[test]
    fn a_cordoned_node_keeps_it_until_another_has_it() {
        let one = wanted(&[]);
        let mut cordoned = node("a", Some(&one));
        cordoned.state = NodeState::Cordoned;
        let before = [cordoned.clone(), node("b", None)];
        assert_eq!(told(&one, &before, &[], &[]), ["b serve"]);
        let after = [cordoned, node("b", Some(&one))];
        assert_eq!(told(&one, &after, &[], &[]), ["a leave"]);
    }

    #[test]
    fn another_version_goes_node_after_node_and_stops_where_it_fails() {
        let old = wanted(&[Operation::SetReplicas(2)]);
        let new = wanted(&[Operation::SetReplicas(2), Operation::Deploy("2".to_owned())]);
        let nodes = [node("a", Some(&old)), node("b", Some(&old))];
        assert_eq!(told(&new, &nodes, &[], &[]), ["a serve"]);
        assert!(told(&new, &nodes, &["a"], &[]).is_empty());
        assert!(told(&new, &nodes, &[], &["a"]).is_empty());
        let half = [node("a", Some(&new)), node("b", Some(&old))];
        assert_eq!(told(&new, &half, &[], &[]), ["b serve"]);
        // Taken back: what never changed is as it should be.
        let back = Operation::Deploy("1".to_owned());
        let back = wanted(&[Operation::SetReplicas(2), Operation::Deploy("2".to_owned()), back]);
        assert!(told(&back, &nodes, &[], &[]).is_empty());
    }

    #[test]
    fn restarts_and_settings_are_orders_of_their_own() {
        let old = wanted(&[]);
        let nodes = [node("a", Some(&old))];
        let restarted = wanted(&[Operation::Restart(1)]);
        assert_eq!(told(&restarted, &nodes, &[], &[]), ["a restart"]);
        let slots = Operation::Configure([("slots".to_owned(), Some("2".to_owned()))].into());
        assert_eq!(told(&wanted(&[slots]), &nodes, &[], &[]), ["a configure"]);
    }
}
