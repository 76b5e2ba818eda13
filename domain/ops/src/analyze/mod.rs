//! Analysis of metrics that were pushed once: what they say, what should be done, and how sure
//! that is. Pure: the same input gives the same answer. Nothing is executed.

mod aliases;
mod input;
mod judge;
mod types;
mod words;

use oag_types::{
    Comparison, Evidence, Expectation, FindingKind, KindName, Observable, Problem, Risk,
    ServiceName, Severity,
};
use serde_json::json;

pub use types::{
    Analysis, AnalysisActionKind, AnalysisDecision, AnalysisFinding, AnalyzeConfig, AnalyzeRequest,
    Language, PlanDraft, PlannedAction, PlannedUndo,
};

pub(crate) use aliases::{Named, find_named, mentions, spelled};
pub(crate) use words::language_of;

use crate::ServiceSnapshot;
use crate::decide::numbers::{num, replicas_for};
use input::{Input, POINTS_MIN};
use judge::Saturation;
use words::Words;

/// Analyses with the default limits; see [`analyze_with`].
///
/// # Errors
/// When the input is not valid: the problem names the field.
pub fn analyze(
    request: &AnalyzeRequest,
    known: Option<&ServiceSnapshot>,
) -> Result<Analysis, Problem> {
    analyze_with(request, known, &AnalyzeConfig::default())
}

/// Analyses metrics, with what is known about the service, when it is in the catalogue. Answers
/// for bad input, units and the rules are in `docs/analyze.md`.
///
/// # Errors
/// When the input is not valid (no metric, a limit, contradicting bounds): the problem names the
/// field. Missing, short, unknown or strange values are no error: the answer says what was made
/// of them.
pub fn analyze_with(
    request: &AnalyzeRequest,
    known: Option<&ServiceSnapshot>,
    config: &AnalyzeConfig,
) -> Result<Analysis, Problem> {
    input::check(request, config)?;
    let language = language_of(request.context.as_deref());
    let words = Words(language);
    let input = input::read(request, words);
    let mut task = Task {
        request,
        known,
        config,
        words,
        service: None,
        several: Vec::new(),
        analysis: Analysis {
            action: String::new(),
            action_kind: AnalysisActionKind::None,
            decision: AnalysisDecision::NoAction,
            service: None,
            replicas: None,
            ratio: None,
            findings: Vec::new(),
            plan: None,
            confidence: 0.0,
            assumptions: input.assumptions.clone(),
            evidence: facts(&input, words),
            language,
        },
    };
    task.name_service();
    task.judge(&input);
    Ok(task.analysis)
}

/// The service a text is about, by the names of a catalogue and by a table of common names in
/// both languages. None when the text names none or several. An empty catalogue does not restrict.
#[must_use]
pub fn find_service(text: &str, catalogue: &[ServiceName]) -> Option<ServiceName> {
    match find_named(text, catalogue) {
        Named::One(name) => Some(name),
        Named::Several(_) | Named::None => None,
    }
}

struct Task<'a> {
    request: &'a AnalyzeRequest,
    known: Option<&'a ServiceSnapshot>,
    config: &'a AnalyzeConfig,
    words: Words,
    service: Option<ServiceName>,
    several: Vec<ServiceName>,
    analysis: Analysis,
}

/// The sizing of an answer.
struct Sizing {
    present: u32,
    bounded: u32,
    ratio: f64,
    stated: bool,
    most: u32,
}

impl Task<'_> {
    fn name_service(&mut self) {
        let asked = self.request.service.clone();
        let context = self.request.context.as_deref().unwrap_or_default();
        self.service = asked.or_else(|| match find_named(context, &[]) {
            Named::One(name) => Some(name),
            Named::Several(names) => {
                self.several = names;
                None
            }
            Named::None => None,
        });
        // A snapshot was looked up by name: its name is the catalogue's.
        if let Some(known) = self.known
            && self.several.is_empty()
        {
            self.service = Some(known.service.name.clone());
        }
        self.analysis.service.clone_from(&self.service);
        if self.service.is_none() {
            self.analysis.assumptions.push(self.words.not_named());
        }
    }

    fn judge(&mut self, input: &Input) {
        let (config, words) = (self.config, self.words);
        let saturation = judge::saturation(input, config, words);
        let errors = judge::errors(input, config, words);
        let latency = judge::latency(input, words);
        let memory = judge::memory(input, config, words);
        let anomalies = judge::anomalies(input, words);
        let findings = &mut self.analysis.findings;
        findings.extend(saturation.as_ref().and_then(|s| s.finding.clone()));
        findings.extend(errors.iter().cloned());
        findings.extend(latency.iter().cloned());
        let full = saturation.as_ref().is_some_and(|s| s.over);
        if !full {
            findings.extend(memory.iter().cloned());
        }
        findings.extend(anomalies.iter().map(|(_, finding)| finding.clone()));
        if input.points() < POINTS_MIN {
            self.analysis.confidence = 0.2;
            return self.ask(words.more_data(input.points(), POINTS_MIN));
        }
        let sizing = self.size(input, saturation.as_ref());
        if let Some(sizing) = sizing {
            if full && errors.is_some() {
                self.analysis.evidence.push(words.errors_from_load());
            }
            let agree =
                errors.is_some() || latency.is_some() || judge::grows(input, "request_rate");
            return self.grow(&sizing, saturation.as_ref(), agree, input);
        }
        let service = self.service.clone();
        let service = service.as_ref();
        if let Some(errors) = errors {
            let released = self.mentions_release();
            self.analysis.confidence = errors.confidence * 0.9;
            return self.investigate(words.investigate_errors(service, released));
        }
        if let Some(latency) = latency {
            self.analysis.confidence = latency.confidence * 0.9;
            return self.investigate(words.investigate_latency(service));
        }
        if let Some(memory) = memory {
            self.analysis.confidence = memory.confidence * 0.9;
            return self.investigate(words.investigate_memory(service));
        }
        self.rest(input, saturation.as_ref(), &anomalies);
    }

    /// Nothing calls for action by itself.
    fn rest(
        &mut self,
        input: &Input,
        saturation: Option<&Saturation>,
        anomalies: &[(String, AnalysisFinding)],
    ) {
        let words = self.words;
        let service = self.service.clone();
        let points = input.points();
        if saturation.is_none() && judge::grows(input, "request_rate") {
            self.analysis.confidence = judge::certainty(points, 0.5);
            return self.ask(words.ask_utilisation());
        }
        if !anomalies.is_empty() {
            let names: Vec<_> = anomalies.iter().map(|(name, _)| name.as_str()).collect();
            let best = anomalies.iter().map(|(_, f)| f.confidence).fold(0.0, f64::max);
            self.analysis.confidence = best;
            return self
                .investigate(words.investigate_anomaly(service.as_ref(), &names.join(", ")));
        }
        let falling = judge::falls(input, "request_rate") || judge::falls(input, "cpu_usage");
        self.analysis.confidence = judge::certainty(points, 0.95);
        self.analysis.findings.push(AnalysisFinding {
            kind: FindingKind::Calm,
            severity: Severity::Info,
            confidence: self.analysis.confidence,
            summary: words.calm(),
            evidence: vec![
                Evidence::new(words.calm())
                    .with("highest_utilisation", saturation.map(|s| s.level))
                    .with("threshold", self.config.threshold)
                    .with("points", points),
            ],
        });
        self.analysis.action = if falling {
            words.no_action_falling(service.as_ref())
        } else {
            words.no_action(service.as_ref())
        };
    }

    /// How many replicas are needed, when it is more than there are.
    fn size(&mut self, input: &Input, saturation: Option<&Saturation>) -> Option<Sizing> {
        let config = self.config;
        let last = input.series.get("replicas").and_then(|values| values.last().copied());
        let pushed = last.filter(|v| *v >= 1.0).map(|v| replicas_for(v, 1.0));
        let known = self.known.and_then(ServiceSnapshot::wanted).filter(|wanted| *wanted > 0);
        let stated = self.request.replicas.or(pushed).or(known);
        let present = stated.unwrap_or(config.assumed_replicas.max(1));
        let scaling = self.known.map(|known| &known.service.scaling);
        let most = self.request.max_replicas.or(scaling.map(|s| s.max_replicas));
        let most = most.unwrap_or(config.max_replicas).max(1);
        let least = self.request.min_replicas.or(scaling.map(|s| s.min_replicas)).unwrap_or(1);
        let mut needed = 0;
        let full = saturation.filter(|s| s.over);
        if let Some(full) = full {
            needed = replicas_for(f64::from(present) * full.level, config.target);
            self.analysis.evidence.push(format!(
                "ceil({present} * {} / {}) = {needed}",
                num(full.level),
                num(config.target)
            ));
        }
        // Without stated replicas a load divided by capacity has nothing to be compared with.
        let capacity = self.known.and_then(|known| known.capacity).filter(|_| stated.is_some());
        let threshold = scaling.map_or(config.threshold, |s| s.threshold.clamp(0.05, 1.0));
        let by_load = capacity.and_then(|c| judge::by_capacity(input, c.per_replica, threshold));
        if let Some((by_load, line)) = by_load
            && by_load > present
        {
            needed = needed.max(by_load);
            self.analysis.evidence.push(line);
        }
        if needed <= present {
            return None;
        }
        if stated.is_none() {
            let level = full.map_or(1.0, |full| full.level);
            let line = self.words.assumed_replicas(present, level, config.target);
            self.analysis.assumptions.push(line);
        }
        let by_ratio = full.map_or(0.0, |full| full.level / config.target);
        let ratio =
            by_ratio.max(if full.is_none() { f64::from(needed) / f64::from(present) } else { 0.0 });
        if needed > most {
            self.analysis.evidence.push(self.words.bounded(needed, most));
        }
        let bounded = needed.max(least.min(most)).min(most);
        Some(Sizing { present, bounded, ratio, stated: stated.is_some(), most })
    }

    fn grow(
        &mut self,
        sizing: &Sizing,
        saturation: Option<&Saturation>,
        agree: bool,
        input: &Input,
    ) {
        let words = self.words;
        let now = saturation.is_none_or(|s| s.now || !s.over);
        let points = saturation.map_or(input.points(), |s| s.points);
        let best = if now { 0.9 } else { 0.7 } + if agree { 0.08 } else { 0.0 };
        let known = if sizing.stated { 1.0 } else { 0.8 };
        self.analysis.confidence = (judge::certainty(points, best) * known).clamp(0.0, 1.0);
        self.analysis.ratio = Some(sizing.ratio);
        if let Some(full) = saturation.filter(|s| s.over) {
            let line = format!(
                "{}: {} / {} = {}",
                full.metric,
                num(full.level),
                num(self.config.target),
                num(sizing.ratio)
            );
            self.analysis.evidence.push(line);
        }
        let Some(service) = self.service.clone() else {
            return self.ask(words.scale_which(sizing.ratio, &self.several));
        };
        if sizing.bounded <= sizing.present {
            return self.investigate(words.at_max(Some(&service), sizing.most));
        }
        let replicas = sizing.bounded;
        let summary = words.scale(&service, replicas);
        self.analysis.replicas = Some(replicas);
        self.analysis.action_kind = AnalysisActionKind::ScaleUp;
        self.analysis.decision = AnalysisDecision::Act;
        self.analysis.action.clone_from(&summary);
        let step_ms = self.request.step_ms.unwrap_or(30_000);
        let undo = if sizing.stated {
            PlannedUndo::By(json!({"replicas": sizing.present}))
        } else {
            PlannedUndo::AsBefore
        };
        self.analysis.plan = Some(PlanDraft {
            summary,
            actions: vec![PlannedAction {
                kind: KindName::new("scale"),
                service,
                params: json!({"replicas": replicas}),
                expect: vec![Expectation {
                    observe: Observable::State("ready_replicas".to_owned()),
                    is: Comparison::Eq,
                    value: json!(replicas),
                    within_ms: step_ms.saturating_mul(8).clamp(20_000, 120_000),
                    hold_ms: 0,
                }],
                risk: Risk::Low,
                undo,
            }],
        });
    }

    fn ask(&mut self, action: String) {
        self.analysis.action = action;
        self.analysis.action_kind = AnalysisActionKind::Ask;
        self.analysis.decision = AnalysisDecision::Ask;
    }

    fn investigate(&mut self, action: String) {
        self.ask(action);
        self.analysis.action_kind = AnalysisActionKind::Investigate;
    }

    fn mentions_release(&self) -> bool {
        const WORDS: [&str; 9] =
            ["发布", "上线", "部署", "新版本", "升级", "deploy", "release", "rollout", "upgrade"];
        let context = self.request.context.as_deref().unwrap_or_default().to_lowercase();
        WORDS.iter().any(|word| context.contains(word))
    }
}

/// One line per metric: where it began, where it ended, its highest.
fn facts(input: &Input, words: Words) -> Vec<String> {
    let line = |(name, values): (&String, &Vec<f64>)| {
        let (first, last) = (values.first()?, values.last()?);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(words.fact(name, *first, *last, highest))
    };
    input.series.iter().filter_map(line).collect()
}
