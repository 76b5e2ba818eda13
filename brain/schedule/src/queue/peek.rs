//! What would go next, for people who look on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use oag_types::Tenant;

use super::share::{Lane, Lanes};
use super::{AdmissionQueue, Line};
use crate::policy::{Choice, View};
use crate::task::Ticket;
use crate::time::{Moment, micros};

/// What is left of one class.
struct Left<'a> {
    lanes: &'a Lanes,
    /// Lanes by their start; none of the later ones can be needed.
    starts: BTreeSet<(u64, &'a Arc<Tenant>)>,
    /// What each of the lanes hands out, once it was its turn, the next one last.
    ahead: BTreeMap<&'a Tenant, Vec<Choice>>,
}

impl AdmissionQueue {
    /// The first `most` tasks in the order in which they would go if nothing came, nothing ended
    /// and time stood still. Nothing is changed; the time grows with the square of `most` at the
    /// worst, and not with the queue.
    #[must_use]
    pub fn peek(&self, most: usize, now: Moment) -> Vec<Line> {
        let mut classes: Vec<Left<'_>> =
            self.classes.iter().map(|lanes| Left::of(lanes, most)).collect();
        let (mut passed_over, mut gone) = (self.passed_over, BTreeSet::new());
        let mut lines = Vec::new();
        while lines.len() < most {
            let turns = classes.iter().enumerate().map(|(class, left)| {
                let since = left.lanes.waits_since_without(&gone);
                (class, !left.starts.is_empty(), self.is_due(since, now))
            });
            let turns: Vec<(usize, bool, bool)> = turns.collect();
            let Some(class) = self.class_in_turn(turns.iter().copied(), passed_over) else { break };
            passed_over = Self::passes_over(turns.iter().copied(), class, passed_over);
            let most = most - lines.len();
            let next = classes.get_mut(class).and_then(|left| left.next(self.view(now), most));
            let Some(choice) = next else { break };
            gone.insert(choice.task.ticket);
            let Some(line) = self.line(&choice, now) else { break };
            lines.push(line);
        }
        lines
    }

    fn line(&self, choice: &Choice, now: Moment) -> Option<Line> {
        let entry = self.entry(choice.task.ticket)?;
        Some(Line {
            ticket: entry.ticket,
            tenant: entry.tenant.clone(),
            class: entry.class,
            waited: now.since(entry.arrived),
            work: entry.work,
            reason: choice.reason,
        })
    }
}

impl<'a> Left<'a> {
    fn of(lanes: &'a Lanes, most: usize) -> Self {
        let starts = lanes.in_order().take(most).collect();
        Self { lanes, starts, ahead: BTreeMap::new() }
    }

    /// The next one of the class; `most` are asked for at the most from now on.
    fn next(&mut self, view: View, most: usize) -> Option<Choice> {
        let (start, name) = self.starts.pop_first()?;
        let lane = self.lanes.get(name)?;
        let ahead = self.ahead.entry(name).or_insert_with(|| {
            let mut ahead = lane.tasks.ahead(view, most);
            ahead.reverse();
            ahead
        });
        let choice = ahead.pop()?;
        if !ahead.is_empty() {
            self.starts.insert((after(lane, start, choice.task.work), name));
        }
        Some(choice)
    }
}

/// The start of a lane once a task of it has begun.
fn after(lane: &Lane, start: u64, work: Duration) -> u64 {
    start.saturating_add_signed(lane.step(i64::try_from(micros(work)).unwrap_or(i64::MAX)))
}

impl Lanes {
    /// From when on the one waits that has waited longest, but for some that are gone.
    fn waits_since_without(&self, gone: &BTreeSet<Ticket>) -> Option<Moment> {
        self.ages().find(|(_, ticket)| !gone.contains(ticket)).map(|(since, _)| *since)
    }
}
