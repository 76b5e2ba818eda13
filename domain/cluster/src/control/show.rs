//! What a controller shows of itself.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use oag_schedule::Moment;
use oag_schedule::length::Predictor;
use oag_schedule::queue::Line;
use oag_serve::ModelCard;
use oag_types::{GenerationId, NodeName};

use super::jobs::Job;
use super::node::{Node, Offered};
use super::state::State;
use crate::orders::LOADS_MODELS;
use crate::views::{
    FleetFigures, GroupView, Holding, LeaseView, ModelView, NodeModel, NodeState, NodeView,
    QueueLine, QueueView,
};

impl State {
    pub(super) fn nodes(&self, now: Moment) -> Vec<NodeView> {
        let mut leases: HashMap<NodeName, Vec<LeaseView>> = HashMap::new();
        for lease in self.jobs.iter().filter_map(|(task, job)| lease(*task, job, now)) {
            leases.entry(lease.node.clone()).or_default().push(lease);
        }
        let mut of = |node: &NodeName| leases.remove(node).unwrap_or_default();
        let show = |node: &Node| self.show(node, of(&node.name), now);
        self.nodes.values().map(show).collect()
    }

    pub(super) fn node(&self, name: &NodeName, now: Moment) -> Option<NodeView> {
        let node = self.nodes.get(name)?;
        let leases = self.jobs.iter().filter_map(|(task, job)| lease(*task, job, now));
        Some(self.show(node, leases.filter(|lease| lease.node == *name).collect(), now))
    }

    pub(super) fn listed(&self) -> (usize, usize) {
        let linked = |name| self.nodes.get(name).is_some_and(|node: &Node| node.link.is_some());
        let absent = self.inventory.hosts().filter(|(host, _)| !linked(*host)).count();
        (self.inventory.len(), absent)
    }

    /// Of the nodes that take orders about models alone: of ten thousand they may be a few.
    pub(super) fn holdings(&self) -> Vec<Holding> {
        let told = |node: &&Node| {
            node.capabilities.iter().any(|word| word == LOADS_MODELS)
                || node.offers.values().any(|offered| offered.offer.held.is_some())
        };
        let held = |(model, offered): (&String, &Offered)| {
            let held = offered.offer.held.clone();
            (model.clone(), held)
        };
        let holding = |node: &Node| Holding {
            node: node.name.clone(),
            state: node.state(),
            groups: node.groups.clone(),
            capabilities: node.capabilities.clone(),
            role: node.role,
            models: node.offers.iter().map(held).collect(),
        };
        self.nodes.values().filter(told).map(holding).collect()
    }

    pub(super) fn first_card(&self, model: &str) -> Option<ModelCard> {
        let mut offers = self.nodes.values().filter_map(|node| node.offers.get(model));
        offers.next().map(|offered| offered.offer.card.clone())
    }

    pub(super) fn cards(&self) -> Vec<ModelCard> {
        let offers = self.nodes.values().flat_map(|node| node.offers.values());
        offers.map(|offered| offered.offer.card.clone()).collect()
    }

    /// By name; hosts of an inventory that never joined are counted as well.
    pub(super) fn groups(&self) -> Vec<GroupView> {
        let mut found: BTreeMap<&String, GroupView> = BTreeMap::new();
        for node in self.nodes.values() {
            for name in &node.groups {
                let group = found.entry(name).or_default();
                group.nodes += 1;
                group.connected += usize::from(node.link.is_some());
                group.ready += usize::from(node.state() == NodeState::Ready);
                for (model, offered) in &node.offers {
                    let worker = self.scheduler.fleet().worker(offered.worker);
                    group.slots += offered.offer.slots as usize;
                    group.busy += worker.map_or(0, |worker| worker.in_flight() as usize);
                    if let Err(place) = group.models.binary_search(model) {
                        group.models.insert(place, model.clone());
                    }
                }
            }
        }
        let absent = self.inventory.hosts().filter(|(host, _)| !self.nodes.contains_key(*host));
        for name in absent.flat_map(|(_, listed)| &listed.groups) {
            found.entry(name).or_default().nodes += 1;
        }
        let named = |(name, group): (&String, GroupView)| GroupView { name: name.clone(), ..group };
        found.into_iter().map(named).collect()
    }

    pub(super) fn models(&self) -> Vec<ModelView> {
        let mut found: BTreeMap<&str, Vec<NodeName>> = BTreeMap::new();
        for node in self.nodes.values() {
            for model in node.offers.keys() {
                found.entry(model).or_default().push(node.name.clone());
            }
        }
        let fleet = self.scheduler.fleet();
        let view = |(name, nodes): (&str, Vec<NodeName>)| {
            let (slots, busy) = fleet.slots(name);
            ModelView {
                name: name.to_owned(),
                nodes,
                slots,
                busy,
                waiting: self.scheduler.queue(name).map_or(0, |queue| queue.len()),
                window_tokens: fleet.window(name).unwrap_or(0),
            }
        };
        found.into_iter().map(view).collect()
    }

    pub(super) fn queues(&self, most: usize, now: Moment) -> Vec<QueueView> {
        let config = &self.config.schedule;
        let view = |model: &str| {
            let queue = self.scheduler.queue(model)?;
            let (slots, busy) = self.scheduler.fleet().slots(model);
            let settings = config.queues.get(model).unwrap_or(&config.queue);
            let line = |line: Line| {
                Some(QueueLine {
                    task: self.tickets.get(&line.ticket).copied()?,
                    tenant: line.tenant,
                    class: line.class,
                    waited_ms: millis(line.waited),
                    work_ms: millis(line.work),
                    reason: line.reason.words(),
                })
            };
            let of_it = |(_, job): &(&GenerationId, &Job)| job.request.model == model;
            let running = self.jobs.iter().filter(of_it);
            Some(QueueView {
                model: model.to_owned(),
                policy: settings.policy.name(),
                waiting: queue.len(),
                tokens: queue.tokens(),
                expected_wait_ms: millis(queue.expected_wait()),
                slots,
                busy,
                next: queue.peek(most, now).into_iter().filter_map(line).collect(),
                running: running
                    .filter_map(|(task, job)| lease(*task, job, now))
                    .take(most)
                    .collect(),
            })
        };
        self.scheduler.models().filter_map(view).collect()
    }

    pub(super) fn figures(&self) -> FleetFigures {
        FleetFigures {
            open: self.jobs.len(),
            connected: self.nodes.values().filter(|node| node.link.is_some()).count(),
            ..self.counted
        }
    }

    pub(crate) const fn kept_ms(&self) -> i64 {
        self.config.kept_ms
    }

    pub(super) const fn predictor(&self) -> &Predictor {
        self.scheduler.predictor()
    }

    fn show(&self, node: &Node, leases: Vec<LeaseView>, now: Moment) -> NodeView {
        NodeView {
            name: node.name.clone(),
            role: node.role,
            state: node.state(),
            state_for_ms: millis(now.since(node.since)),
            joined_at: node.joined_at,
            heard_ms: millis(now.since(node.heard)),
            heartbeat_ms: millis(node.interval),
            version: node.version.clone(),
            groups: node.groups.clone(),
            capabilities: node.capabilities.clone(),
            endpoint: node.endpoint.clone(),
            cpu: node.load.cpu,
            memory: node.load.memory,
            models: node.offers.values().map(|offered| self.show_model(node, offered)).collect(),
            leases,
        }
    }

    fn show_model(&self, node: &Node, offered: &Offered) -> NodeModel {
        let card = &offered.offer.card;
        let worker = self.scheduler.fleet().worker(offered.worker);
        let told = node.load.models.iter().find(|load| load.model == card.name);
        NodeModel {
            name: card.name.clone(),
            about: card.about.clone(),
            slots: offered.offer.slots,
            busy: worker.map_or(0, |worker| worker.in_flight()),
            waiting: told.map_or(0, |load| load.waiting),
            tokens_per_s: told.map_or(0.0, |load| load.tokens_per_s),
            window_tokens: offered.offer.window_tokens,
            slowness: worker.map_or(1.0, |worker| worker.slowness()),
            latency_s: worker.map_or(0.0, |worker| worker.latency_s()),
        }
    }
}

fn lease(task: GenerationId, job: &Job, now: Moment) -> Option<LeaseView> {
    let run = job.run.as_ref()?;
    Some(LeaseView {
        task,
        model: job.request.model.clone(),
        tenant: job.request.context.tenant.clone(),
        node: run.node.clone(),
        attempt: job.begun,
        tokens: job.attained(),
        runs_ms: millis(now.since(run.began)),
        reason: job.why.map(|(reason, _)| reason.words()),
        placed: job.why.map(|(_, why)| why.words()),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
