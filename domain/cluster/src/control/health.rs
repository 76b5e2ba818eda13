//! Which nodes are there, late, away or lost.

use std::time::Duration;

use oag_schedule::Moment;
use oag_types::NodeName;

use super::node::Presence;
use super::state::State;
use crate::protocol::{Load, ToNode};

/// Intervals without a heartbeat from which a node is given nothing.
const LATE: f64 = 1.5;

impl State {
    pub(super) fn heartbeat(&mut self, name: &NodeName, mut load: Load, now: Moment) {
        if let Some(node) = self.nodes.get_mut(name) {
            for told in &mut load.models {
                // What the engine remembers counts, not what it was supposed to.
                let prefixes = told.prefixes.take();
                if let (Some(prefixes), Some(offered)) = (prefixes, node.offers.get(&told.model)) {
                    self.scheduler.holds(offered.worker, &prefixes);
                }
            }
            node.load = load;
        }
        self.counted.heartbeats += 1;
        self.tell(name, ToNode::Heard, now);
    }

    pub(super) fn drain(&mut self, name: &NodeName, now: Moment) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.draining = true;
        }
        self.apply_health(name, now);
    }

    /// Gives a model of a node nothing for a while.
    pub(super) fn rest(&mut self, name: &NodeName, model: &str, now: Moment) {
        let rest = Duration::from_millis(self.config.rest_ms);
        let offered = self.nodes.get_mut(name).and_then(|node| node.offers.get_mut(model));
        if let Some(offered) = offered {
            offered.rests_until = Some(now.plus(rest));
        }
        self.apply_health(name, now);
    }

    /// Tells the scheduler what to think of a node's models, where that has changed.
    pub(super) fn apply_health(&mut self, name: &NodeName, now: Moment) {
        let Some(node) = self.nodes.get(name) else { return };
        let changed = node.offers.iter().filter_map(|(model, offered)| {
            let health = node.health(offered, now);
            (health != offered.health).then(|| (model.clone(), health))
        });
        let changed: Vec<_> = changed.collect();
        let Some(node) = self.nodes.get_mut(name) else { return };
        for (model, health) in changed {
            if let Some(offered) = node.offers.get_mut(&model) {
                offered.health = health;
                self.scheduler.set_health(offered.worker, health, now);
            }
        }
    }

    /// Looks at every node for what has come with time.
    pub(super) fn look_at_nodes(&mut self, now: Moment) {
        let mut lost = Vec::new();
        let mut changed = Vec::new();
        let misses = self.config.misses_max;
        let reconnect = Duration::from_millis(self.config.reconnect_ms);
        let shown = Duration::from_millis(self.config.lost_shown_ms);
        self.nodes
            .retain(|_, node| node.presence != Presence::Lost || now.since(node.since) <= shown);
        for (name, node) in &mut self.nodes {
            let quiet = now.since(node.heard);
            match node.presence {
                Presence::Here | Presence::Late if quiet > node.interval * misses => {
                    lost.push((name.clone(), "its heartbeats stopped"));
                }
                Presence::Here if quiet > node.interval.mul_f64(LATE) => {
                    node.is(Presence::Late, now);
                    changed.push(name.clone());
                }
                Presence::Away if now.since(node.since) > reconnect => {
                    lost.push((name.clone(), "it did not come back"));
                }
                _ => {}
            }
            for offered in node.offers.values_mut() {
                if offered.rests_until.is_some_and(|until| until <= now) {
                    offered.rests_until = None;
                    changed.push(name.clone());
                }
            }
        }
        for name in changed {
            self.apply_health(&name, now);
        }
        for (name, reason) in lost {
            tracing::warn!(node = name.as_str(), reason, "node lost");
            self.counted.lost += 1;
            let close = ToNode::Close { reason: reason.to_owned(), again: true };
            self.tell(&name, close, now);
            self.lose(&name, now);
        }
    }
}
