//! The answers as an engine that serves one model.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use oag_serve::{
    Context, Delta, Ending, Engine, EngineError, EngineStats, Event, Events, Format, Generation,
    Input, ModelCard, Role, Skill, Thinking, ToolChoice,
};
use oag_types::Problem;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Asker, Facts, Records, answer, cut, states_for};

/// The name of the model that answers by rules.
pub const RULES_MODEL: &str = "autoglm-rules";

/// Bytes of one message at most.
const MESSAGE_BYTES_MAX: usize = 4_000;
/// Answers that are made at once. An answer takes milliseconds; more are told to come again.
const AT_ONCE: u32 = 8;
/// How long reading the records may take, and the state of one service.
const RECORDS_WITHIN: Duration = Duration::from_secs(10);
const STATE_WITHIN: Duration = Duration::from_secs(1);

/// Serves [`RULES_MODEL`]: answers from the product's own records, by rules, without a language
/// model. It needs nothing loaded and is always there.
///
/// A request's last message of the user is the question; what came before it is not read. Draws
/// make no difference to it, since it always writes the same. Tokens are limited by an estimate
/// (a Chinese character is one, four others are one), and not counted. Tools, forms of the text,
/// probabilities and thinking are refused.
pub struct RulesEngine {
    records: Arc<dyn Records>,
    slots: Semaphore,
    answers: AtomicU64,
}

impl RulesEngine {
    /// Over these records.
    #[must_use]
    pub fn new(records: Arc<dyn Records>) -> Self {
        Self { records, slots: Semaphore::new(AT_ONCE as usize), answers: AtomicU64::new(0) }
    }

    fn slot(&self) -> Result<SemaphorePermit<'_>, EngineError> {
        let retry_after = Duration::from_secs(1);
        self.slots.try_acquire().map_err(|_| EngineError::Overloaded { retry_after })
    }

    /// What the asker may see; none when it is not known who asks.
    async fn facts(&self, message: &str, context: &Context) -> Result<Option<Facts>, EngineError> {
        let Some(asker) = asker(context) else { return Ok(None) };
        let Some(mut facts) = self.records.facts(&asker).await.map_err(|p| unavailable(&p))? else {
            return Ok(None);
        };
        let states = states_for(message, &facts).into_iter().map(async |name| {
            let state = self.records.state(&asker, &name);
            let state = tokio::time::timeout(STATE_WITHIN, state).await.ok().flatten()?;
            Some((name, state))
        });
        facts.states.extend(futures::future::join_all(states).await.into_iter().flatten());
        Ok(Some(facts))
    }
}

impl std::fmt::Debug for RulesEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RulesEngine").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Engine for RulesEngine {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn models(&self) -> Vec<ModelCard> {
        vec![ModelCard {
            name: RULES_MODEL.to_owned(),
            skills: vec![Skill::Complete, Skill::Chat],
            window_tokens: None,
            about:
                "built in: answers about operation by rules, from the product's own records; no \
                    language model"
                    .to_owned(),
        }]
    }

    fn stats(&self) -> EngineStats {
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(AT_ONCE);
        EngineStats {
            slots: AT_ONCE,
            busy: AT_ONCE.saturating_sub(free),
            answers: self.answers.load(Ordering::Relaxed),
            ..EngineStats::default()
        }
    }

    async fn generate(&self, request: Generation) -> Result<Events, EngineError> {
        check(&request)?;
        let message = message(&request.input)?;
        let _slot = self.slot()?;
        let asked = request.context.within;
        let within = asked.map_or(RECORDS_WITHIN, |asked| asked.min(RECORDS_WITHIN));
        let late = |_| match asked {
            Some(asked) if asked <= RECORDS_WITHIN => EngineError::Late,
            _ => EngineError::Unavailable("the records are slow to read".to_owned()),
        };
        let facts = self.facts(message, &request.context);
        let facts = tokio::time::timeout(within, facts).await.map_err(late)??;
        let whole = answer(message, facts.as_ref());
        let (text, finish) = cut::cut(&whole, &request.limits);
        let deltas = text.split_inclusive('\n').map(|line| Ok(Event::Delta(Delta::text(line))));
        let mut events: Vec<Result<Event, EngineError>> = deltas.collect();
        events.push(Ok(Event::End(Ending { finish, usage: None })));
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(stream::iter(events).boxed())
    }
}

/// Who asks, when that is known in full: a user without the bounds of their credential is nobody.
fn asker(context: &Context) -> Option<Asker> {
    let user = context.user.as_deref()?.parse().ok()?;
    let scopes = context.scopes.clone()?;
    Some(Asker { tenant: context.tenant.clone(), user, scopes })
}

/// Refuses what would have to be ignored.
fn check(request: &Generation) -> Result<(), EngineError> {
    let refuse = |field, problem: &str| Err(EngineError::refused(field, problem));
    if request.model != RULES_MODEL {
        let remedy = format!("served here is {RULES_MODEL}");
        return Err(EngineError::NoModelLoaded { model: request.model.clone(), remedy });
    }
    if request.format != Format::Text {
        return refuse("format", "this model writes text only, and keeps to no schema");
    }
    if request.logprobs.is_some() {
        return refuse("logprobs", "this model has no probabilities");
    }
    if request.thinking == Thinking::On {
        return refuse("thinking", "this model follows rules and does not think");
    }
    if !request.resume.is_empty() {
        return refuse("resume", "this model has no tokens to go on from");
    }
    if let Input::Chat { tools, tool_choice, .. } = &request.input {
        if !tools.is_empty() {
            return refuse("tools", "this model calls no tools");
        }
        if !matches!(tool_choice, ToolChoice::Auto | ToolChoice::Never) {
            return refuse("tool_choice", "this model calls no tools");
        }
    }
    cut::check(&request.limits)
}

/// The question: the text, or the last message of the user.
fn message(input: &Input) -> Result<&str, EngineError> {
    let (field, text) = match input {
        Input::Text(text) => ("prompt", Some(text)),
        Input::Chat { messages, .. } => {
            let last = messages.iter().rfind(|message| message.role == Role::User);
            ("messages", last.map(|message| &message.text))
        }
    };
    match text.map(|text| text.trim()) {
        None | Some("") => Err(EngineError::refused(field, "there is no question of a user")),
        Some(text) if text.len() > MESSAGE_BYTES_MAX => {
            let problem = format!("a question of at most {MESSAGE_BYTES_MAX} bytes is read");
            Err(EngineError::refused(field, problem))
        }
        Some(text) => Ok(text),
    }
}

fn unavailable(problem: &Problem) -> EngineError {
    EngineError::Unavailable(problem.to_string())
}
