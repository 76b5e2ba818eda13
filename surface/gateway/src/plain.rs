//! `POST /generate`: a prompt in, a text out.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use oag_serve::{EngineError, Generation, Input, Limits, Skill};
use serde::{Deserialize, Serialize};

use crate::choices;
use crate::edge::{self, Json, json};
use crate::state::{Asked, Gateway};
use crate::trouble::Trouble;

/// Tokens of an answer of which nothing is said.
const TOKENS_MAX: u32 = 128;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerateRequest {
    prompt: String,
    /// Most tokens of the answer.
    max_length: Option<u32>,
    /// Needed as soon as there are several language models.
    model: Option<String>,
}

#[derive(Debug, Serialize)]
struct Generated {
    result: String,
}

/// Its route.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/generate", post(generate).fallback(edge::unknown_method))
}

async fn generate(
    State(gateway): State<Gateway>,
    asked: Asked,
    Json(request): Json<GenerateRequest>,
) -> Result<Response, Trouble> {
    if request.prompt.is_empty() {
        return Err(Trouble::invalid("prompt", "Invalid 'prompt': it must not be empty."));
    }
    if request.max_length == Some(0) {
        return Err(Trouble::invalid("max_length", "Invalid 'max_length': it is at least 1."));
    }
    let model = match request.model {
        Some(model) => model,
        None => only(&gateway)?,
    };
    let entry = gateway.engines.of(&model)?;
    let input = if entry.card.skills.contains(&Skill::Chat) {
        Input::question(request.prompt)
    } else {
        Input::Text(request.prompt)
    };
    let tokens_max = Some(request.max_length.unwrap_or(TOKENS_MAX));
    let generation = Generation {
        limits: Limits { tokens_max, stop: Vec::new() },
        ..Generation::new(model, input, asked.context(gateway.config.answer_ms))
    };
    let answers = choices::begin(&*entry.engine, generation, 1).await;
    let answers = answers.map_err(|error| Trouble::from(error).asked_in("prompt"))?;
    let result = choices::whole(answers).await?.into_iter().map(|answer| answer.text).collect();
    Ok(json(&Generated { result }))
}

/// The only language model; where there is none, what answers without one.
fn only(gateway: &Gateway) -> Result<String, Trouble> {
    let writes = |entry: &oag_serve::Entry| {
        let skills = &entry.card.skills;
        skills.contains(&Skill::Complete) || skills.contains(&Skill::Chat)
    };
    let mut names: Vec<String> =
        gateway.engines.models().into_iter().filter(writes).map(|entry| entry.card.name).collect();
    if names.len() > 1 {
        names.retain(|name| name != BUILT_IN);
    }
    match &names[..] {
        [only] => Ok(only.clone()),
        [] => {
            let remedy = "load one: `openautoglm worker --model NAME …`".to_owned();
            Err(EngineError::NoModelLoaded { model: "any".to_owned(), remedy }.into())
        }
        several => {
            let text = format!("say which model: {}", several.join(", "));
            Err(Trouble::invalid("model", text))
        }
    }
}

/// What answers questions about operation, and is no language model.
const BUILT_IN: &str = "autoglm-rules";
