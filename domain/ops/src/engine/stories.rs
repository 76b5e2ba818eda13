//! Findings that last: each is told once, again when it gets worse, and closed when it is over.

use std::collections::{BTreeMap, HashMap};

use oag_runtime::IdSource;
use oag_types::{Finding, FindingKind, ServiceName, Severity, StoryId, Timestamp};

use crate::FindingDraft;

/// The findings of one tenant that are not over.
#[derive(Debug, Default)]
pub(super) struct Stories {
    services: HashMap<ServiceName, Story>,
}

#[derive(Debug)]
struct Story {
    id: StoryId,
    open: BTreeMap<FindingKind, Open>,
}

#[derive(Debug)]
struct Open {
    finding: Finding,
    since: Timestamp,
    missed: u32,
}

/// A story that is over.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) story: StoryId,
    pub(super) note: String,
    pub(super) findings: u64,
}

impl Stories {
    /// The findings that have to be told: new ones, and those that got worse. Nothing is kept
    /// until [`Stories::told`], so that what could not be recorded is told again.
    pub(super) fn to_tell(
        &self,
        drafts: &[FindingDraft],
        ids: &dyn IdSource,
        now: Timestamp,
    ) -> Vec<Finding> {
        let mut new: HashMap<ServiceName, StoryId> = HashMap::new();
        let mut findings = Vec::new();
        for draft in drafts {
            let story = self.services.get(&draft.service);
            let open = story.and_then(|story| story.open.get(&draft.kind));
            if open.is_some_and(|open| open.finding.severity >= draft.severity) {
                continue;
            }
            let story = story.map(|story| story.id);
            let story = story
                .unwrap_or_else(|| *new.entry(draft.service.clone()).or_insert_with(|| ids.next()));
            findings.push(Finding {
                id: ids.next(),
                story,
                kind: draft.kind,
                service: Some(draft.service.clone()),
                severity: draft.severity,
                confidence: draft.confidence.clamp(0.0, 1.0),
                summary: draft.summary.clone(),
                evidence: draft.evidence.clone(),
                at: now,
            });
        }
        findings
    }

    /// Keeps what was recorded.
    pub(super) fn told(&mut self, findings: &[Finding]) {
        for finding in findings {
            let Some(service) = finding.service.clone() else { continue };
            let story = self
                .services
                .entry(service)
                .or_insert_with(|| Story { id: finding.story, open: BTreeMap::new() });
            let since = story.open.get(&finding.kind).map_or(finding.at, |open| open.since);
            story.open.insert(finding.kind, Open { finding: finding.clone(), since, missed: 0 });
        }
    }

    /// Closes what has not been found for `close_after` decisions of services that were due.
    pub(super) fn close(
        &mut self,
        due: &[ServiceName],
        drafts: &[FindingDraft],
        close_after: u32,
        now: Timestamp,
    ) -> Vec<Closed> {
        let mut closed = Vec::new();
        for service in due {
            let Some(story) = self.services.get_mut(service) else { continue };
            let mut over = Vec::new();
            for (kind, open) in &mut story.open {
                let found = drafts.iter().any(|d| d.kind == *kind && d.service == *service);
                open.missed = if found { 0 } else { open.missed + 1 };
                if open.missed >= close_after.max(1) {
                    let lasted_s = now.millis_since(open.since) / 1000;
                    over.push((
                        *kind,
                        format!("{} (over after {lasted_s} s)", open.finding.summary),
                    ));
                }
            }
            for (kind, _) in &over {
                story.open.remove(kind);
            }
            if story.open.is_empty() {
                let lines: Vec<_> = over.iter().map(|(_, line)| line.as_str()).collect();
                closed.push(Closed {
                    story: story.id,
                    note: lines.join("; "),
                    findings: over.len() as u64,
                });
                self.services.remove(service);
            } else if !over.is_empty() {
                // The story goes on with the rest; only the count is told.
                let findings = over.len() as u64;
                closed.push(Closed { story: story.id, note: String::new(), findings });
            }
        }
        closed
    }

    /// The finding a proposal answers.
    pub(super) fn finding(&self, service: &ServiceName, kind: FindingKind) -> Option<&Finding> {
        self.services.get(service)?.open.get(&kind).map(|open| &open.finding)
    }

    /// The story of a service, while one is open.
    pub(super) fn story(&self, service: &ServiceName) -> Option<StoryId> {
        self.services.get(service).map(|story| story.id)
    }

    /// Forgets services that are gone; their stories are closed.
    pub(super) fn keep(&mut self, wanted: impl Fn(&ServiceName) -> bool) -> Vec<Closed> {
        let mut closed = Vec::new();
        self.services.retain(|service, story| {
            let keep = wanted(service);
            if !keep {
                closed.push(Closed {
                    story: story.id,
                    note: format!("{service} is no longer in the catalogue"),
                    findings: story.open.len() as u64,
                });
            }
            keep
        });
        closed
    }

    pub(super) fn open(&self) -> usize {
        self.services.values().map(|story| story.open.len()).sum()
    }
}

/// Severity as text, for logs.
pub(super) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}
