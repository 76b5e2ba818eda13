//! `POST /v1/completions`: plain text that is gone on with.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use oag_serve::{Collected, Delta, Ending, Engine, Events, Generation, Input, TokenLogprob};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{AnswerOut, Name, finish};
use super::logprobs;
use super::params::{Draws, OneOrMany, StreamOptions, absent, choices as count, limits};
use super::stream::{Form, stream};
use crate::choices;
use crate::edge::{Json, json};
use crate::state::{Asked, Gateway};
use crate::trouble::Trouble;

/// Tokens of an answer of which nothing is said; OpenAI's own default.
const TOKENS_MAX: u32 = 16;
/// Most alternatives that are shown for a token.
const TOP_MAX: u8 = 20;
/// Most prompts of one request.
const PROMPTS_MAX: usize = 64;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextRequest {
    model: String,
    #[serde(default)]
    prompt: Option<PromptIn>,
    max_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    seed: Option<i64>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    n: Option<u32>,
    best_of: Option<u32>,
    echo: Option<bool>,
    suffix: Option<String>,
    stop: Option<OneOrMany<String>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    logprobs: Option<u8>,
    logit_bias: Option<BTreeMap<String, f32>>,
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
}

/// Texts, or the tokens of texts.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PromptIn {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

pub(super) async fn complete(
    State(gateway): State<Gateway>,
    asked: Asked,
    Json(request): Json<TextRequest>,
) -> Result<Response, Trouble> {
    let engine = gateway.engine(&request.model)?;
    let count = count(&gateway, request.n)?;
    request.only_what_is_done()?;
    let streams = request.stream.unwrap_or(false);
    let include_usage = request.stream_options.is_some_and(|options| options.include_usage);
    let name = Name {
        id: format!("cmpl-{}", gateway.ids.uuid().simple()),
        created: gateway.now_s(),
        model: request.model.clone(),
    };
    let (generation, prompts) = request.generation(&gateway, &asked, &*engine).await?;
    let most = gateway.config.choices_max as usize;
    if prompts.len() * count as usize > most.max(PROMPTS_MAX) {
        let message = format!("at most {} answers to one request", most.max(PROMPTS_MAX));
        return Err(Trouble::invalid("prompt", message));
    }
    let answers = begin(&*engine, &generation, prompts, count).await;
    let answers = answers.map_err(|trouble| trouble.asked_in("prompt"))?;
    if streams {
        let form = Text { letters: vec![0; answers.len()] };
        return Ok(stream(form, name, answers, include_usage));
    }
    let answers = choices::whole(answers).await?;
    let all = answers.iter().enumerate().map(|(index, answer)| Choice::whole(index, answer));
    let usages = answers
        .chunks(count as usize)
        .map(|of_prompt| choices::sum(of_prompt.iter().filter_map(|answer| answer.ending?.usage)));
    let mut document = AnswerOut::new(&name, "text_completion", all.collect());
    let total = usages.reduce(|sum, more| oag_serve::Usage {
        prompt: sum.prompt.saturating_add(more.prompt),
        cached: sum.cached.saturating_add(more.cached),
        answer: sum.answer.saturating_add(more.answer),
        reasoning: sum.reasoning.saturating_add(more.reasoning),
    });
    document.usage = Some(Some(total.unwrap_or_default().into()));
    Ok(json(&document))
}

/// Every answer to every prompt, prompt by prompt.
async fn begin(
    engine: &dyn Engine,
    generation: &Generation,
    prompts: Vec<String>,
    count: u32,
) -> Result<Vec<Events>, Trouble> {
    let several = prompts.len() > 1;
    let of = |(at, prompt): (usize, String)| {
        let mut generation = generation.clone();
        generation.input = Input::Text(prompt);
        if several {
            generation.context.request = format!("{}-p{at}", generation.context.request);
        }
        choices::begin(engine, generation, count)
    };
    let all = prompts.into_iter().enumerate().map(of);
    Ok(futures::future::try_join_all(all).await?.into_iter().flatten().collect())
}

impl TextRequest {
    fn only_what_is_done(&self) -> Result<(), Trouble> {
        let bias = self.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty());
        absent("logit_bias", bias, "scores of single tokens cannot be changed here")?;
        absent("echo", self.echo == Some(true), "the prompt is not said again here")?;
        let suffix = self.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty());
        absent("suffix", suffix, "text is gone on with here, not filled in")?;
        let more = self.best_of.is_some_and(|best| best > self.n.unwrap_or(1));
        absent("best_of", more, "no more answers are made here than are sent")
    }

    async fn generation(
        self,
        gateway: &Gateway,
        asked: &Asked,
        engine: &dyn Engine,
    ) -> Result<(Generation, Vec<String>), Trouble> {
        let prompts = match self.prompt {
            Some(PromptIn::Text(text)) => vec![text],
            Some(PromptIn::Texts(texts)) => texts,
            Some(PromptIn::Tokens(tokens)) => vec![engine.detokenize(&self.model, tokens).await?],
            Some(PromptIn::ManyTokens(many)) => {
                let texts = many.into_iter().map(|tokens| engine.detokenize(&self.model, tokens));
                futures::future::try_join_all(texts).await?
            }
            None => Vec::new(),
        };
        if prompts.is_empty() || prompts.iter().any(String::is_empty) {
            let message = "Invalid 'prompt': at least one text, none of them empty.";
            return Err(Trouble::invalid("prompt", message));
        }
        if self.logprobs.is_some_and(|top| top > TOP_MAX) {
            let message = format!("Invalid 'logprobs': it is from 0 to {TOP_MAX}.");
            return Err(Trouble::invalid("logprobs", message));
        }
        let draws = Draws {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            seed: self.seed,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
        };
        let context = asked.context(gateway.config.answer_ms);
        let tokens_max = Some(self.max_tokens.unwrap_or(TOKENS_MAX));
        let generation = Generation {
            limits: limits(tokens_max, "max_tokens", self.stop)?,
            sampling: draws.sampling()?,
            logprobs: self.logprobs,
            ..Generation::new(self.model, Input::Text(String::new()), context)
        };
        Ok((generation, prompts))
    }
}

/// An answer, or a part of one.
#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: usize,
    text: &'a str,
    logprobs: Option<Value>,
    finish_reason: Option<&'static str>,
}

impl<'a> Choice<'a> {
    fn whole(index: usize, answer: &'a Collected) -> Self {
        let finish_reason = answer.ending.map(|ending| finish(ending.finish));
        let logprobs = logprobs::text(&answer.logprobs, 0);
        Self { index, text: &answer.text, logprobs, finish_reason }
    }
}

/// Plain text in parts.
struct Text {
    /// How many letters each choice has said.
    letters: Vec<usize>,
}

impl Form for Text {
    fn opening(&mut self, _: usize) -> Option<impl Serialize> {
        None::<()>
    }

    fn part<'a>(&mut self, index: usize, part: &'a Delta) -> Option<impl Serialize + 'a> {
        let before = self.letters.get(index).copied().unwrap_or(0);
        let said = |token: &TokenLogprob| token.token.chars().count();
        if let Some(letters) = self.letters.get_mut(index) {
            *letters += part.logprobs.iter().map(said).sum::<usize>();
        }
        let logprobs = logprobs::text(&part.logprobs, before);
        let says = !part.text.is_empty() || logprobs.is_some();
        says.then_some(Choice { index, text: &part.text, logprobs, finish_reason: None })
    }

    fn end(&mut self, index: usize, ending: Ending) -> impl Serialize {
        let finish_reason = Some(finish(ending.finish));
        Choice { index, text: "", logprobs: None, finish_reason }
    }

    fn object(&self) -> &'static str {
        "text_completion"
    }
}
