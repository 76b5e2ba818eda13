//! What nodes measured, on its way to whoever wants it.

use oag_schedule::Moment;
use oag_types::NodeName;

use super::node::Reported;
use super::sessions::SessionId;
use super::state::State;
use crate::protocol::{Reading, Report, SAMPLES_MAX, ToNode};

/// Takes what nodes measured.
///
/// Each report comes once as long as the controller lives. One whose acknowledgement was lost with
/// a controller comes once more to the next: the moments of its samples are the same. The call
/// returns quickly; only the node that reports waits for it.
pub trait Reports: Send + Sync + 'static {
    /// The samples of a report.
    fn take(&self, node: &NodeName, samples: Vec<Reading>);
}

impl<F: Fn(&NodeName, Vec<Reading>) + Send + Sync + 'static> Reports for F {
    fn take(&self, node: &NodeName, samples: Vec<Reading>) {
        self(node, samples);
    }
}

/// What is to be done with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is handed on and acknowledged.
    New,
    /// It is acknowledged again.
    Known,
    /// Nothing: its session is over.
    Ignored,
}

impl State {
    pub(super) fn report(&mut self, session: &SessionId, report: &Report, now: Moment) -> Judged {
        if !self.hear(session, now) {
            return Judged::Ignored;
        }
        let Report { run, sequence, dropped, samples } = report;
        if samples.len() > SAMPLES_MAX {
            let reason = format!("a report has at most {SAMPLES_MAX} samples");
            self.break_off(&session.node, &reason, now);
            return Judged::Ignored;
        }
        let Some(node) = self.nodes.get_mut(&session.node) else { return Judged::Ignored };
        let last = node.reported;
        let same_run = last.run == *run;
        if same_run && *sequence <= last.sequence {
            self.counted.reports_again += 1;
            return Judged::Known;
        }
        node.reported = Reported { run: *run, sequence: *sequence, dropped: *dropped };
        let before = if same_run { last.dropped } else { 0 };
        let dropped = dropped.saturating_sub(before);
        self.counted.samples_dropped = self.counted.samples_dropped.saturating_add(dropped);
        self.counted.reports += 1;
        self.counted.samples += samples.len() as u64;
        Judged::New
    }

    /// Tells a node something in a session, if that is still open.
    pub(super) fn tell_of(&mut self, session: &SessionId, message: ToNode, now: Moment) {
        if self.nodes.get(&session.node).is_some_and(|node| node.speaks(session.number)) {
            self.tell(&session.node, message, now);
        }
    }
}
