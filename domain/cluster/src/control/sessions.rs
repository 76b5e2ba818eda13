//! Nodes that come, speak and go.

use oag_schedule::Moment;
use oag_schedule::fleet::{Health, WorkerSpec};
use oag_types::{NodeName, Timestamp};
use tokio::sync::mpsc;

use super::node::{Link, Node, Offered, Presence};
use super::state::State;
use crate::config::ClusterConfig;
use crate::inventory::Inventory;
use crate::protocol::{FromNode, Hello, Kept, Lease, Offer, PROTOCOL, ToNode, Welcome};

/// What a node is to be told.
pub type Inbox = mpsc::Receiver<ToNode>;

/// A connected node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// Which node.
    pub node: NodeName,
    pub(super) number: u64,
}

/// Why a node is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It speaks something else.
    #[error("this controller speaks protocol {PROTOCOL}, the node speaks {0}; use one version")]
    Protocol(u32),
    /// There are too many.
    #[error("{0} nodes are known, which is the limit (fleet.nodes_max)")]
    Full(usize),
    /// It offers something without meaning.
    #[error("the offer of {model:?} is not valid: {problem}")]
    Offer {
        /// Which model.
        model: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Models one node may offer.
const MODELS_MAX: usize = 256;

impl State {
    pub(super) fn attach(
        &mut self,
        hello: Hello,
        at: Timestamp,
        now: Moment,
    ) -> Result<(SessionId, Inbox), Refused> {
        if hello.protocol != PROTOCOL {
            return Err(Refused::Protocol(hello.protocol));
        }
        check_offers(&hello.models)?;
        let name = hello.node_id.clone();
        if !self.nodes.contains_key(&name) {
            self.make_room(&self.config.clone())?;
        }
        self.sessions += 1;
        let session = self.sessions;
        let (outbox, inbox) = mpsc::channel(self.config.outbox_max);
        let node = self.nodes.entry(name.clone()).or_insert_with(|| Node::new(&hello, at, now));
        let reason = "the node has opened another session".to_owned();
        node.tell(ToNode::Close { reason, again: false }, now);
        node.says(&hello, now);
        node.is_listed(self.inventory.of(&name));
        if node.presence == Presence::Lost {
            node.joined_at = at;
        }
        node.link = Some(Link { session, outbox });
        node.is(Presence::Here, now);
        self.offer(&name, hello.models, now);
        let kept = self.keep_leases(&name, &hello.leases, now);
        let (terms, reports) = (self.terms.clone(), true);
        let welcome = Welcome { protocol: PROTOCOL, epoch: self.epoch, kept, terms, reports };
        self.tell(&name, ToNode::Welcome(welcome), now);
        self.apply_health(&name, now);
        self.counted.sessions += 1;
        tracing::info!(node = name.as_str(), version = hello.version, "node joined");
        self.pump(now);
        Ok((SessionId { node: name, number: session }, inbox))
    }

    pub(super) fn take(&mut self, session: &SessionId, said: FromNode, now: Moment) {
        let name = &session.node;
        if !self.hear(session, now) {
            return;
        }
        let understood = match said {
            FromNode::Heartbeat { load } => {
                self.heartbeat(name, load, now);
                Ok(())
            }
            FromNode::Offers { models } => self.offers(name, models, now),
            FromNode::Part { lease, sequence, event } => {
                self.part(name, lease, sequence, event, now)
            }
            FromNode::Failed { lease, sequence, error } => {
                self.failed(name, lease, sequence, error, now)
            }
            FromNode::Reply { .. } | FromNode::Report(_) => Ok(()),
            FromNode::Draining => {
                self.drain(name, now);
                Ok(())
            }
            FromNode::Bye => {
                tracing::info!(node = name.as_str(), "node left");
                self.nodes.entry(name.clone()).and_modify(|node| node.left = true);
                self.lose(name, now);
                Ok(())
            }
        };
        if let Err(reason) = understood {
            self.break_off(name, &reason, now);
        }
    }

    /// Notes that a node has spoken; false when its session is not the one that is open.
    pub(super) fn hear(&mut self, session: &SessionId, now: Moment) -> bool {
        let name = &session.node;
        let node = self.nodes.get_mut(name).filter(|node| node.speaks(session.number));
        let Some(node) = node else { return false };
        node.heard = now;
        if node.presence == Presence::Late {
            node.is(Presence::Here, now);
            self.apply_health(name, now);
        }
        true
    }

    /// Ends a session in which something odd was said.
    pub(super) fn break_off(&mut self, name: &NodeName, reason: &str, now: Moment) {
        tracing::warn!(node = name.as_str(), reason, "node disconnected");
        self.close(name, reason, true, now);
    }

    pub(super) fn detach(&mut self, session: &SessionId, now: Moment) {
        let node = self.nodes.get_mut(&session.node);
        let Some(node) = node.filter(|node| node.speaks(session.number)) else { return };
        node.link = None;
        node.is(Presence::Away, now);
        self.apply_health(&session.node, now);
    }

    pub(super) fn cordon(&mut self, name: &NodeName, cordoned: bool, now: Moment) -> bool {
        let Some(node) = self.nodes.get_mut(name) else { return false };
        node.cordoned = cordoned;
        self.apply_health(name, now);
        self.pump(now);
        true
    }

    /// Takes over what is known of nodes beforehand, those that are connected included.
    pub(super) fn take_inventory(&mut self, inventory: Inventory, now: Moment) {
        for node in self.nodes.values_mut() {
            node.is_listed(inventory.of(&node.name));
        }
        self.inventory = inventory;
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        for name in names {
            self.apply_health(&name, now);
        }
        self.pump(now);
    }

    pub(super) fn disconnect(
        &mut self,
        name: &NodeName,
        reason: &str,
        again: bool,
        now: Moment,
    ) -> bool {
        let linked = self.nodes.get(name).is_some_and(|node| node.link.is_some());
        if linked {
            self.close(name, reason, again, now);
            self.lose(name, now);
        }
        linked
    }

    /// Ends a session; the node may come back.
    fn close(&mut self, name: &NodeName, reason: &str, again: bool, now: Moment) {
        self.tell(name, ToNode::Close { reason: reason.to_owned(), again }, now);
        if let Some(node) = self.nodes.get_mut(name) {
            node.link = None;
            node.is(Presence::Away, now);
        }
        self.apply_health(name, now);
    }

    fn offers(&mut self, name: &NodeName, models: Vec<Offer>, now: Moment) -> Result<(), String> {
        check_offers(&models).map_err(|why| why.to_string())?;
        self.offer(name, models, now);
        self.pump(now);
        Ok(())
    }

    /// Compares what a node offers with what it offered, and tells the scheduler the difference.
    fn offer(&mut self, name: &NodeName, models: Vec<Offer>, now: Moment) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let mut before = std::mem::take(&mut node.offers);
        let mut offers = std::collections::BTreeMap::new();
        let mut changed = Vec::new();
        for offer in models {
            let model = offer.card.name.clone();
            let known = before.remove(&model);
            let offered = match known {
                // What the scheduler does not see is no other worker.
                Some(known) if spec(&known.offer) == spec(&offer) => Offered { offer, ..known },
                known => {
                    changed.extend(known.map(|known| known.worker));
                    let worker = self.scheduler.join(spec(&offer), now);
                    self.workers.insert(worker, name.clone());
                    Offered { offer, worker, health: Health::Ready, rests_until: None }
                }
            };
            offers.insert(model, offered);
        }
        node.offers = offers;
        for gone in before.into_values().map(|gone| gone.worker).chain(changed) {
            self.lose_worker(gone, now);
        }
        self.apply_health(name, now);
    }

    /// Which leases go on after a node has come back. What only one side knows of is over: the
    /// node drops what the controller does not name, and what the node does not have waits again.
    fn keep_leases(&mut self, name: &NodeName, held: &[Lease], now: Moment) -> Vec<Kept> {
        let mut kept = Vec::new();
        for (lease, from) in self.leases_of(name) {
            if held.contains(&lease) {
                kept.push(Kept { lease, from });
                continue;
            }
            let Some(job) = self.jobs.get_mut(&lease.task) else { continue };
            job.run = None;
            if job.can_move() {
                self.scheduler.stopped(job.ticket, job.attained(), now);
            } else {
                let error = job.gone("its worker was started anew".to_owned());
                self.end(lease.task, Err(error), now);
            }
        }
        let known: Vec<Lease> = kept.iter().map(|kept| kept.lease).collect();
        for lease in held.iter().filter(|lease| !known.contains(lease)) {
            if self.adopt(name, *lease, now) {
                kept.push(Kept { lease: *lease, from: 0 });
            }
        }
        kept
    }

    /// Forgets the node that was lost first, when there are too many.
    fn make_room(&mut self, config: &ClusterConfig) -> Result<(), Refused> {
        if self.nodes.len() < config.nodes_max {
            return Ok(());
        }
        let lost = self.nodes.values().filter(|node| node.presence == Presence::Lost);
        let oldest = lost.min_by_key(|node| node.since).map(|node| node.name.clone());
        let Some(oldest) = oldest else { return Err(Refused::Full(self.nodes.len())) };
        self.nodes.remove(&oldest);
        Ok(())
    }
}

fn spec(offer: &Offer) -> WorkerSpec {
    WorkerSpec {
        models: vec![offer.card.name.clone()],
        slots: offer.slots,
        window_tokens: offer.window_tokens,
        memory_tokens: offer.memory_tokens,
        rates: offer.rates,
    }
}

fn check_offers(offers: &[Offer]) -> Result<(), Refused> {
    let wrong = |offer: &Offer, problem| {
        let model = offer.card.name.chars().take(128).collect();
        Err(Refused::Offer { model, problem })
    };
    for (at, offer) in offers.iter().enumerate() {
        let name = &offer.card.name;
        if name.is_empty() || name.len() > 128 {
            return wrong(offer, "a name has 1 to 128 bytes");
        }
        if offer.slots == 0 || offer.window_tokens == 0 || offer.memory_tokens == 0 {
            return wrong(offer, "slots, window and memory are at least 1");
        }
        if offers.iter().take(at).any(|other| other.card.name == *name) {
            return wrong(offer, "it is offered twice");
        }
    }
    match offers.get(MODELS_MAX) {
        Some(offer) => wrong(offer, "a node offers at most 256 models"),
        None => Ok(()),
    }
}
