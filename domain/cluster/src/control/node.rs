//! What is known of one node.

use std::collections::BTreeMap;
use std::time::Duration;

use oag_schedule::Moment;
use oag_schedule::fleet::{Health, WorkerId};
use oag_types::{NodeName, Timestamp};
use tokio::sync::mpsc;

use crate::inventory::Listed;
use crate::protocol::{Hello, Load, NodeRole, Offer, ToNode};
use crate::views::NodeState;

/// A node, connected or not.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: NodeName,
    pub(super) role: NodeRole,
    pub(super) groups: Vec<String>,
    /// The role and groups it gives itself.
    own: (NodeRole, Vec<String>),
    pub(super) capabilities: Vec<String>,
    pub(super) endpoint: Option<String>,
    pub(super) version: String,
    pub(super) interval: Duration,
    /// The models it offers, each a worker of the scheduler.
    pub(super) offers: BTreeMap<String, Offered>,
    pub(super) link: Option<Link>,
    pub(super) load: Load,
    /// When something was heard of it last.
    pub(super) heard: Moment,
    /// When it came into its present state.
    pub(super) since: Moment,
    pub(super) joined_at: Timestamp,
    pub(super) presence: Presence,
    /// It said that it finishes what it has.
    pub(super) draining: bool,
    /// It said goodbye.
    pub(super) left: bool,
    /// It was said to be given nothing.
    pub(super) cordoned: bool,
    /// What of its reports has come.
    pub(super) reported: Reported,
}

/// How far the reports of a node have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reported {
    pub(super) run: u64,
    /// The last one that was handed on.
    pub(super) sequence: u64,
    /// Samples that found no room at the node.
    pub(super) dropped: u64,
}

/// Whether a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    /// It missed a heartbeat.
    Late,
    /// Its connection broke; it may come back.
    Away,
    Lost,
}

/// A model on a node.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) offer: Offer,
    pub(super) worker: WorkerId,
    /// As the scheduler was told last.
    pub(super) health: Health,
    /// It could not begin something, and is given nothing until then.
    pub(super) rests_until: Option<Moment>,
}

impl Offered {
    fn is_leaving(&self) -> bool {
        self.offer.held.as_ref().is_some_and(|held| held.leaving)
    }
}

/// The way to a connected node.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: u64,
    pub(super) outbox: mpsc::Sender<ToNode>,
}

impl Node {
    /// As it says of itself; nothing is offered yet.
    pub(super) fn new(hello: &Hello, at: Timestamp, now: Moment) -> Self {
        let mut node = Self {
            name: hello.node_id.clone(),
            role: hello.role,
            groups: Vec::new(),
            own: (hello.role, Vec::new()),
            capabilities: Vec::new(),
            endpoint: None,
            version: String::new(),
            interval: hello.interval(),
            offers: BTreeMap::new(),
            link: None,
            load: Load::default(),
            heard: now,
            since: now,
            joined_at: at,
            presence: Presence::Here,
            draining: false,
            left: false,
            cordoned: false,
            reported: Reported::default(),
        };
        node.says(hello, now);
        node
    }

    /// Takes over what it says of itself.
    pub(super) fn says(&mut self, hello: &Hello, now: Moment) {
        self.role = hello.role;
        self.groups.clone_from(&hello.groups);
        self.own = (hello.role, hello.groups.clone());
        self.capabilities.clone_from(&hello.capabilities);
        self.endpoint.clone_from(&hello.endpoint);
        self.version.clone_from(&hello.version);
        self.interval = hello.interval();
        self.heard = now;
        (self.draining, self.left) = (false, false);
    }

    /// Where an inventory speaks of it, its own words on role and groups do not count.
    pub(super) fn is_listed(&mut self, listed: Option<&Listed>) {
        let (role, groups) = &self.own;
        self.role = listed.and_then(|listed| listed.role).unwrap_or(*role);
        self.groups = listed.map_or(groups, |listed| &listed.groups).clone();
    }

    pub(super) fn is(&mut self, presence: Presence, now: Moment) {
        if self.presence != presence {
            (self.presence, self.since) = (presence, now);
        }
    }

    /// Whether a message belongs to the session that is open.
    pub(super) fn speaks(&self, session: u64) -> bool {
        self.link.as_ref().is_some_and(|link| link.session == session)
    }

    /// Whether it is given nothing by somebody's word, or because it is for something else.
    pub(super) fn is_held_back(&self) -> bool {
        let computes = matches!(self.role, NodeRole::Worker | NodeRole::Edge);
        self.draining || self.cordoned || !computes
    }

    /// What the scheduler is to think of one of its models.
    pub(super) fn health(&self, offered: &Offered, now: Moment) -> Health {
        let rests = offered.rests_until.is_some_and(|until| now < until);
        if self.presence != Presence::Here || rests {
            Health::Suspect
        } else if self.is_held_back() || offered.is_leaving() {
            Health::Draining
        } else {
            Health::Ready
        }
    }

    /// For people.
    pub(super) fn state(&self) -> NodeState {
        match self.presence {
            Presence::Lost if self.left => NodeState::Left,
            Presence::Lost => NodeState::Lost,
            Presence::Away => NodeState::Away,
            Presence::Late => NodeState::Late,
            Presence::Here if self.draining => NodeState::Draining,
            Presence::Here if self.cordoned => NodeState::Cordoned,
            Presence::Here => NodeState::Ready,
        }
    }

    /// Tells it something. False when it cannot be told: it is not connected, or has fallen so far
    /// behind that it is disconnected now.
    pub(super) fn tell(&mut self, message: ToNode, now: Moment) -> bool {
        let Some(link) = &self.link else { return false };
        if link.outbox.try_send(message).is_ok() {
            return true;
        }
        tracing::warn!(node = self.name.as_str(), "node does not take what it is told");
        self.link = None;
        self.is(Presence::Away, now);
        false
    }
}
