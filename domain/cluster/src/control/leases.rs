//! What nodes say of the work they were given.

use oag_schedule::Moment;
use oag_schedule::length::Ending;
use oag_serve::{EngineError, Event, Finish};
use oag_types::{GenerationId, NodeName};

use super::jobs::Job;
use super::state::State;
use crate::protocol::{Lease, ToNode};

impl State {
    /// A part of an answer. An error when a part before it is missing.
    pub(super) fn part(
        &mut self,
        node: &NodeName,
        lease: Lease,
        sequence: u64,
        event: Event,
        now: Moment,
    ) -> Result<(), String> {
        let Some(job) = self.job_of(node, lease, now) else { return Ok(()) };
        if !take_place(job, sequence)? {
            return Ok(());
        }
        let event = job.add(event);
        let (ticket, attained) = (job.ticket, job.attained());
        let (tokens, ending) = match &event {
            Event::Delta(delta) => (delta.tokens.len().max(1) as u64, None),
            Event::End(ending) => (0, Some(*ending)),
        };
        let bytes = job.answer.push(event);
        if let Some(ending) = ending {
            let written = ending.usage.map_or(attained, |usage| usage.answer.max(1));
            let learned = match ending.finish {
                Finish::Length => Ending::CutOff(written),
                _ => Ending::Complete(written),
            };
            self.scheduler.finished(ticket, learned, now);
            self.end(lease.task, Ok(()), now);
            self.tell(node, ToNode::Done { lease }, now);
            self.pump(now);
        } else if bytes > self.config.answer_bytes_max {
            let most = self.config.answer_bytes_max;
            let why = format!("the answer is larger than {most} bytes");
            self.end(lease.task, Err(EngineError::BrokeOff(why)), now);
            self.pump(now);
        } else {
            self.counted.tokens += tokens;
            self.scheduler.progress(ticket, attained);
        }
        Ok(())
    }

    /// An answer ended without its end: it is begun again where that may help.
    pub(super) fn failed(
        &mut self,
        node: &NodeName,
        lease: Lease,
        sequence: u64,
        error: EngineError,
        now: Moment,
    ) -> Result<(), String> {
        let attempts_max = self.config.attempts_max;
        let Some(job) = self.job_of(node, lease, now) else { return Ok(()) };
        if !take_place(job, sequence)? {
            return Ok(());
        }
        let (model, ticket, attained) = (job.request.model.clone(), job.ticket, job.attained());
        let again = may_be_begun_again(&error) && job.can_move() && job.begun < attempts_max;
        let error = if job.given { broke_off(error) } else { error };
        job.run = None;
        self.tell(node, ToNode::Done { lease }, now);
        if again {
            tracing::info!(task = %lease.task, node = node.as_str(), %error, "begun again");
            self.rest(node, &model, now);
            self.scheduler.stopped(ticket, attained, now);
        } else {
            self.end(lease.task, Err(error), now);
        }
        self.pump(now);
        Ok(())
    }

    /// The job of a lease, when it is this node's and the present attempt. Else the node is told
    /// to stop.
    fn job_of(&mut self, node: &NodeName, lease: Lease, now: Moment) -> Option<&mut Job> {
        let holds = |job: &Job| {
            let runs = job.run.as_ref().is_some_and(|run| run.node == *node);
            runs && job.attempt == lease.attempt
        };
        if !self.jobs.get(&lease.task).is_some_and(holds) {
            self.tell(node, ToNode::Stop { lease }, now);
            return None;
        }
        self.jobs.get_mut(&lease.task)
    }

    /// The leases of a node, by the controller's count, with the parts that came of each.
    pub(super) fn leases_of(&self, node: &NodeName) -> Vec<(Lease, u64)> {
        let of_it = |(task, job): (&GenerationId, &Job)| {
            let run = job.run.as_ref().filter(|run| run.node == *node)?;
            Some((job.lease(*task), run.received))
        };
        self.jobs.iter().filter_map(of_it).collect()
    }
}

impl Job {
    /// Counts a part in; the answer is the part as it is passed on.
    fn add(&mut self, event: Event) -> Event {
        match event {
            Event::Delta(delta) => {
                self.given |= !delta.is_empty();
                self.resumable &= !delta.tokens.is_empty() || delta.is_empty();
                self.parts = self.parts.saturating_add(1);
                self.tokens.extend_from_slice(&delta.tokens);
                Event::Delta(delta)
            }
            Event::End(mut ending) => {
                // The last node counts what was written before it as part of the prompt, or not.
                if let Some(usage) = &mut ending.usage {
                    usage.answer = usage.answer.max(self.attained_tokens());
                }
                Event::End(ending)
            }
        }
    }

    fn attained_tokens(&self) -> u32 {
        u32::try_from(self.tokens.len()).unwrap_or(u32::MAX)
    }
}

/// Whether a message is the next of its attempt; those before it came already.
fn take_place(job: &mut Job, sequence: u64) -> Result<bool, String> {
    let Some(run) = &mut job.run else { return Ok(false) };
    if sequence > run.received {
        return Err(format!("part {} is missing before part {sequence}", run.received));
    }
    let next = sequence == run.received;
    run.received += u64::from(next);
    Ok(next)
}

const fn may_be_begun_again(error: &EngineError) -> bool {
    let elsewhere = matches!(error, EngineError::BrokeOff(_) | EngineError::NoModelLoaded { .. });
    error.may_be_tried_again() || elsewhere
}

/// What was begun is broken off, whatever the last node says.
fn broke_off(error: EngineError) -> EngineError {
    match error {
        EngineError::Late | EngineError::Filtered(_) | EngineError::BrokeOff(_) => error,
        other => EngineError::BrokeOff(other.to_string()),
    }
}
