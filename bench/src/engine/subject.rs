//! The product's engine, in a process of its own as in the product.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use oag_engine::{Local, LocalConfig};
use oag_runtime::{ShutdownHandle, Supervisor};
use oag_serve::{Context, Engine as _, Event, Generation, Input};
use oag_types::Tenant;

use super::{Part, Question, Round};
use crate::figures::{Noise, count};
use crate::machine::{Meter, Took};

const MODEL: &str = "bench";
/// Tokens of the prompt and the answer that warm it up.
const WARM: u32 = 16;
/// So many tokens may one answer be ahead of another.
const AHEAD: u32 = 8;
/// Letters of a word.
const WORD: usize = 5;
/// How long a process may take to end.
const ENDING: Duration = Duration::from_secs(10);
const ENDING_STEP: Duration = Duration::from_millis(5);

/// An engine with its model.
pub(super) struct Subject {
    engine: Local,
    meter: Meter,
    temperature: f32,
    /// Keeps what runs the engine.
    _supervisor: Supervisor,
}

/// A moment of a round.
#[derive(Clone, Copy)]
struct Moment {
    at: Took,
    /// Tokens that had been written by then.
    written: usize,
}

impl Subject {
    /// Loads a model to write so many answers at once.
    pub(super) async fn start(
        question: &Question,
        file: &Path,
        batch: u32,
    ) -> anyhow::Result<Self> {
        let supervisor = Supervisor::new(ShutdownHandle::new());
        let mut config = LocalConfig::new(MODEL, file);
        config.threads = Some(question.threads());
        config.slots = batch;
        config.step_tokens = question.step.max(batch).max(WARM);
        let window = question.prompt + question.answer + AHEAD + 2 * WARM;
        config.window_tokens = Some(window);
        // Enough that nothing has to be forgotten within a round.
        config.memory_tokens = Some(window * (batch + 2));
        let engine = Local::start(config, &supervisor)?;
        engine.loaded().await?;
        let process = engine.process().context("the engine has no process")?;
        let meter = Meter::of(process);
        let temperature = question.temperature;
        Ok(Self { engine, meter, temperature, _supervisor: supervisor })
    }

    /// Touches everything once.
    pub(super) async fn warm(&self, noise: &mut Noise) -> anyhow::Result<()> {
        let prompts = self.prompts(noise, 1, WARM).await?;
        self.round(prompts, WARM).await.map(|_| ())
    }

    /// Prompts that have nothing in common, of so many tokens each.
    pub(super) async fn prompts(
        &self,
        noise: &mut Noise,
        batch: u32,
        tokens: u32,
    ) -> anyhow::Result<Vec<String>> {
        let mut prompts = Vec::new();
        for _ in 0..batch {
            prompts.push(self.prompt(noise, tokens).await?);
        }
        Ok(prompts)
    }

    /// Words without meaning, of so many tokens.
    pub(super) async fn prompt(&self, noise: &mut Noise, tokens: u32) -> anyhow::Result<String> {
        let tokens = usize::try_from(tokens)?;
        let mut text = String::new();
        loop {
            let have = self.engine.tokenize(MODEL, text.clone()).await?.len();
            if have == tokens {
                return Ok(text);
            }
            if have < tokens {
                for letter in 0..tokens - have {
                    text.push(if letter % (WORD + 1) == WORD { ' ' } else { self::letter(noise) });
                }
            } else {
                // No more letters than tokens: so it never gets too short.
                text.truncate(text.len() - (have - tokens).min(text.len()));
            }
        }
    }

    /// Has all prompts answered at once. Reading them ends when each has its first token. From then
    /// on each step brings one token of each, and so many of those are what is measured, less one;
    /// fewer where the model ends an answer before.
    pub(super) async fn round(&self, prompts: Vec<String>, answer: u32) -> anyhow::Result<Round> {
        let mut silent: Vec<bool> = vec![true; prompts.len()];
        let wanted = prompts.len() * usize::try_from(answer.saturating_sub(1))?;
        // Those that began a little earlier go on until the others have written enough.
        let limit = if wanted > 0 { answer + AHEAD } else { answer };
        let asked = prompts.into_iter().map(|prompt| self.asked(prompt, limit));
        let answers = asked.enumerate().map(|(at, asked)| {
            let events = stream::once(self.engine.generate(asked)).try_flatten();
            events.map_ok(move |event| (at, event)).boxed()
        });
        let mut events = stream::select_all(answers);
        let (mut written, mut read) = (0, 0);
        let (mut begun, mut ended) = (None::<Moment>, None::<Moment>);
        let began = self.meter.read()?;
        while let Some(event) = events.next().await {
            let mut last = false;
            match event? {
                (at, Event::Delta(delta)) => {
                    written += delta.tokens.len();
                    silent[at] &= delta.tokens.is_empty();
                }
                (at, Event::End(ending)) => {
                    (silent[at], last) = (false, true);
                    let usage = ending.usage.context("an answer without its usage")?;
                    read += usage.prompt.saturating_sub(usage.cached);
                }
            }
            if begun.is_none() && !silent.contains(&true) {
                begun = Some(Moment { at: self.meter.read()?, written });
            }
            if let Some(begun) = begun
                && ended.is_none()
                && (last || written >= begun.written + wanted)
            {
                ended = Some(Moment { at: self.meter.read()?, written });
            }
        }
        let (Some(begun), Some(ended)) = (begun, ended) else {
            bail!("no answer came");
        };
        let tokens = count(ended.written - begun.written);
        Ok(Round {
            prefill: Part { tokens: f64::from(read), took: begun.at.since(began) },
            decode: Part { tokens, took: ended.at.since(begun.at) },
        })
    }

    fn asked(&self, prompt: String, answer: u32) -> Generation {
        let context = Context::new(Tenant::default_tenant(), "bench".to_owned());
        let mut asked = Generation::new(MODEL, Input::Text(prompt), context);
        asked.limits.tokens_max = Some(answer);
        asked.sampling.temperature = Some(self.temperature);
        asked.sampling.seed = Some(1);
        asked
    }

    /// Ends it, and waits until its process is gone.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        let Self { engine, meter, .. } = self;
        drop(engine);
        let gone = async {
            while meter.read().is_ok() {
                tokio::time::sleep(ENDING_STEP).await;
            }
        };
        tokio::time::timeout(ENDING, gone).await.context("the engine's process does not end")
    }
}

/// One from a to z.
fn letter(noise: &mut Noise) -> char {
    let letters = ('a'..='z').enumerate();
    let at = noise.uniform() * 26.0;
    letters.take_while(|(letter, _)| count(*letter) <= at).last().map_or('a', |(_, letter)| letter)
}
