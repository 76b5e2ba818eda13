//! What answers say of services, findings and stories.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use oag_pilot::{Observed, Story};
use oag_types::{
    Evidence, Finding, FindingId, FindingKind, Service, ServiceName, Severity, StoryId,
};
use serde_json::Value;

use super::compose::{SHOWN_MAX, Writer};
use super::quote::{plain, quote};
use super::words::{self, join, say};
use super::{Facts, Found};
use crate::decide::numbers::{num, percent};

/// Statements of evidence that are shown of a finding, and numbers of each.
const EVIDENCE_MAX: usize = 3;
const NUMBERS_MAX: usize = 6;
/// Characters of the name of a number.
const NAME_CHARS_MAX: usize = 40;

impl Writer<'_> {
    /// How one service is, and what the records say about why.
    pub(super) fn status(&mut self, service: &Service, facts: &Facts) {
        let l = self.language;
        let name = &service.name;
        if facts.kill_switch.as_ref().is_some_and(|switch| switch.stops(&service.group)) {
            self.stopped(facts);
        }
        self.state(service, facts);
        match &facts.found {
            None => self.findings_hidden(),
            Some(found) => {
                let open = open(found, Some(name));
                if open.is_empty() {
                    self.calm(name, found);
                }
                for finding in open.iter().take(SHOWN_MAX) {
                    self.finding(finding);
                    self.evidence(finding);
                }
                self.more(open.len().saturating_sub(SHOWN_MAX));
                self.beneath(service, found);
                self.older_found(found);
            }
        }
        self.plans_of(name, facts);
        if facts.found.is_some() {
            self.line(say!(
                l,
                ("除此之外没有关于 {name} 的记录；没有测量到的东西我不知道。"),
                ("That is all there is on record about {name}; what was not measured I do not know.")
            ));
        }
    }

    /// Every service with something open, worst first.
    pub(super) fn problems(&mut self, facts: &Facts) {
        let l = self.language;
        self.stopped(facts);
        let Some(found) = &facts.found else {
            self.findings_hidden();
            return;
        };
        let open = open(found, None);
        let (bad, notes): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|finding| finding.severity >= Severity::Warning);
        if bad.is_empty() {
            self.line(say!(
                l,
                ("没有未结束的警告或严重发现。"),
                ("No finding of warning or worse is open.")
            ));
        } else {
            let mut names: Vec<_> =
                bad.iter().filter_map(|finding| finding.service.as_ref()).collect();
            names.sort();
            names.dedup();
            let (count, services) = (names.len(), join(names.into_iter().take(SHOWN_MAX), l));
            self.line(say!(
                l,
                ("有未结束的警告或严重发现的服务：{count} 个（{services}）"),
                ("Services with open findings of warning or worse: {count} ({services})")
            ));
            for finding in bad.iter().take(SHOWN_MAX) {
                self.finding(finding);
            }
            self.more(bad.len().saturating_sub(SHOWN_MAX));
        }
        if !notes.is_empty() {
            let (count, ids) = (notes.len(), notes.iter().map(|finding| finding.id));
            let ids = join(ids.take(SHOWN_MAX), l);
            self.line(say!(
                l,
                ("另有 {count} 个提示级发现：{ids}"),
                ("Open besides, good to know only: {count} ({ids})")
            ));
        }
        self.older_found(found);
    }

    /// Replicas: what runs, the bounds, and what is planned.
    pub(super) fn replicas(&mut self, services: &[ServiceName], facts: &Facts) {
        let named = |service: &&Service| services.is_empty() || services.contains(&service.name);
        let wanted: Vec<&Service> = facts.services.iter().filter(named).collect();
        for service in wanted.iter().take(SHOWN_MAX) {
            self.state(service, facts);
            self.scaling_plans(&service.name, facts);
        }
        self.more(wanted.len().saturating_sub(SHOWN_MAX));
    }

    pub(super) fn one_story(&mut self, id: StoryId, facts: &Facts) {
        let found = facts.found.as_ref();
        let story = found.and_then(|found| found.stories.iter().find(|story| story.id == id));
        let Some(story) = story else { return self.not_found(&id) };
        self.story(story);
        let last = story.findings.iter().rev().take(SHOWN_MAX);
        for finding in last {
            self.finding(finding);
        }
        self.more(story.findings.len().saturating_sub(SHOWN_MAX));
        if !story.plans.is_empty() {
            let plans = join(story.plans.iter().rev().take(SHOWN_MAX), self.language);
            self.line(say!(self.language, ("它的计划：{plans}"), ("Its plans: {plans}")));
        }
    }

    pub(super) fn one_finding(&mut self, id: FindingId, facts: &Facts) {
        let found = facts.found.as_ref();
        let finding = found.and_then(|found| all(found).find(|finding| finding.id == id));
        let Some(finding) = finding else { return self.not_found(&id) };
        self.finding(finding);
        self.evidence(finding);
    }

    pub(super) fn not_found(&mut self, id: &dyn std::fmt::Display) {
        self.line(say!(
            self.language,
            ("在我能读到的记录（较新的一部分）中没有您可以查看的 {id}；用 `openautoglm describe` 或 `openautoglm get` 可以查更早的。"),
            ("Among the newest records, which are all I read, there is no {id} that you may see; `openautoglm describe` and `openautoglm get` reach older ones.")
        ));
    }

    fn story(&mut self, story: &Story) {
        let (l, id, title) = (self.language, story.id, quote(&story.title));
        let opened = story.opened_at;
        self.line(match story.closed_at {
            None => say!(
                l,
                ("故事 {id}：{title}，自 {opened}，未结束"),
                ("Story {id}: {title}, since {opened}, not over")
            ),
            Some(at) => say!(
                l,
                ("故事 {id}：{title}，{opened} 至 {at}"),
                ("Story {id}: {title}, from {opened} to {at}")
            ),
        });
    }

    fn finding(&mut self, finding: &Finding) {
        let l = self.language;
        let (severity, kind) = (words::severity(finding.severity, l), words::kind(finding.kind, l));
        let (sure, at) = (percent(finding.confidence), finding.at);
        let (id, story) = (finding.id, finding.story);
        let summary = quote(&finding.summary);
        self.line(say!(
            l,
            ("- {severity}（{kind}，置信度 {sure}）：{summary}，{at} [{id}，{story}]"),
            ("- {severity} ({kind}, {sure} sure): {summary}, found {at} [{id}, {story}]")
        ));
    }

    fn evidence(&mut self, finding: &Finding) {
        for evidence in finding.evidence.iter().take(EVIDENCE_MAX) {
            let (text, numbers) = (quote(&evidence.text), numbers(evidence));
            self.line(say!(
                self.language,
                ("  依据：{text}{numbers}"),
                ("  because: {text}{numbers}")
            ));
        }
        let more = finding.evidence.len().saturating_sub(EVIDENCE_MAX);
        if more > 0 {
            self.line(say!(self.language, ("  另有 {more} 条依据"), ("  and {more} more reasons")));
        }
    }

    fn state(&mut self, service: &Service, facts: &Facts) {
        let (l, name) = (self.language, &service.name);
        let (least, most) = (service.scaling.min_replicas, service.scaling.max_replicas);
        let Some(state) = facts.states.get(name) else {
            self.line(say!(
                l,
                ("{name}：执行器没有报告当前状态；目录规定 {least} 到 {most} 个副本。"),
                ("{name}: its executor reports no present state; the catalogue allows {least} to {most} replicas.")
            ));
            return;
        };
        let (wanted, ready) = (count(state, "replicas"), count(state, "ready_replicas"));
        let breaker = plain(state.text("breaker").unwrap_or("?"), NAME_CHARS_MAX);
        let version = quote(state.text("version").unwrap_or_default());
        self.line(say!(
            l,
            ("{name}：应有 {wanted} 个副本，就绪 {ready} 个（目录规定 {least} 到 {most}）；版本 {version}，熔断器 {breaker}（由其执行器报告）。"),
            ("{name}: {wanted} replicas wanted, {ready} ready (the catalogue allows {least} to {most}); version {version}, breaker {breaker}, as its executor reports.")
        ));
    }

    fn calm(&mut self, name: &ServiceName, found: &Found) {
        let l = self.language;
        self.line(say!(
            l,
            ("没有关于 {name} 的未结束发现。"),
            ("No finding about {name} is open.")
        ));
        let about =
            |story: &&Story| story.service.as_ref() == Some(name) && !story.findings.is_empty();
        if let Some(last) = found.stories.iter().find(about) {
            self.story(last);
        }
    }

    /// What is open about services that this one calls.
    fn beneath(&mut self, service: &Service, found: &Found) {
        for dependency in service.depends_on.iter().take(SHOWN_MAX) {
            let bad = open(found, Some(&dependency.service));
            let bad: Vec<_> = bad.iter().filter(|f| f.severity >= Severity::Warning).collect();
            if bad.is_empty() {
                continue;
            }
            let called = &dependency.service;
            self.line(say!(
                self.language,
                ("它调用 {called}，后者有未结束的发现："),
                ("It calls {called}, about which is open:")
            ));
            for finding in bad.into_iter().take(EVIDENCE_MAX) {
                self.finding(finding);
            }
        }
    }

    fn findings_hidden(&mut self) {
        self.line(say!(
            self.language,
            ("您没有查看发现的权限（finding:view），所以我不能说发现了什么。"),
            ("You may not see findings (finding:view), so I cannot say what was found.")
        ));
    }

    fn older_found(&mut self, found: &Found) {
        if found.older {
            self.line(say!(
                self.language,
                ("只读了较新的故事和发现。"),
                ("Only the newest stories and findings were read.")
            ));
        }
    }
}

/// Every finding that was read, each once.
fn all(found: &Found) -> impl Iterator<Item = &Finding> {
    let in_stories = found.stories.iter().flat_map(|story| &story.findings);
    found.findings.iter().chain(in_stories)
}

/// What was found last of each kind in each story that is not over, worst first.
fn open<'a>(found: &'a Found, service: Option<&ServiceName>) -> Vec<&'a Finding> {
    let still: BTreeSet<StoryId> =
        found.stories.iter().filter(|s| s.closed_at.is_none()).map(|s| s.id).collect();
    let mut last: BTreeMap<(StoryId, Option<&ServiceName>, FindingKind), &Finding> =
        BTreeMap::new();
    let wanted = |finding: &&Finding| {
        still.contains(&finding.story)
            && service.is_none_or(|service| finding.service.as_ref() == Some(service))
    };
    for finding in all(found).filter(wanted) {
        let key = (finding.story, finding.service.as_ref(), finding.kind);
        let kept = last.entry(key).or_insert(finding);
        if (finding.at, finding.id) > (kept.at, kept.id) {
            *kept = finding;
        }
    }
    let mut open: Vec<&Finding> = last.into_values().collect();
    open.sort_by_key(|finding| Reverse((finding.severity, finding.at, finding.id)));
    open
}

fn count(state: &Observed, field: &str) -> String {
    state.number(field).map_or_else(|| "?".to_owned(), num)
}

/// The numbers of a statement, after it.
fn numbers(evidence: &Evidence) -> String {
    let shown = evidence.numbers.iter().take(NUMBERS_MAX).map(|(name, value)| {
        let value = match value {
            Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), num),
            Value::Null => "?".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::String(text) => quote(text),
            other => quote(&other.to_string()),
        };
        format!("{} = {value}", plain(name, NAME_CHARS_MAX))
    });
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() { String::new() } else { format!(" ({})", shown.join(", ")) }
}
