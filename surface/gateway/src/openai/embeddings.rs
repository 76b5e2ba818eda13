//! `POST /v1/embeddings`.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oag_serve::Usage;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::params::absent;
use crate::edge::{Json, json};
use crate::state::{Asked, Gateway};
use crate::trouble::Trouble;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbedRequest {
    model: String,
    input: InputIn,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum InputIn {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

#[derive(Debug, Serialize)]
struct ListOut<'a> {
    object: &'static str,
    data: Vec<OneOut>,
    model: &'a str,
    usage: EmbedUsage,
}

#[derive(Debug, Serialize)]
struct OneOut {
    object: &'static str,
    index: usize,
    embedding: VectorOut,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum VectorOut {
    Numbers(Vec<f32>),
    /// Little-endian 32-bit numbers, in base 64.
    Text(String),
}

#[derive(Debug, Serialize)]
struct EmbedUsage {
    prompt_tokens: u32,
    total_tokens: u32,
}

pub(super) async fn embed(
    State(gateway): State<Gateway>,
    _: Asked,
    Json(request): Json<EmbedRequest>,
) -> Result<Response, Trouble> {
    let engine = gateway.engine(&request.model)?;
    absent(
        "dimensions",
        request.dimensions.is_some(),
        "vectors are as long as the model makes them",
    )?;
    let packed = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            let message = format!("'{other}' is neither 'float' nor 'base64'.");
            return Err(Trouble::invalid("encoding_format", message));
        }
    };
    let model = request.model;
    let texts = match request.input {
        InputIn::Text(text) => vec![text],
        InputIn::Texts(texts) => texts,
        InputIn::Tokens(tokens) => vec![engine.detokenize(&model, tokens).await?],
        InputIn::ManyTokens(many) => {
            let texts = many.into_iter().map(|tokens| engine.detokenize(&model, tokens));
            futures::future::try_join_all(texts).await?
        }
    };
    let most = gateway.config.embeddings_max;
    if texts.is_empty() || texts.len() > most || texts.iter().any(String::is_empty) {
        let message = format!("Invalid 'input': 1 to {most} texts, none of them empty.");
        return Err(Trouble::invalid("input", message));
    }
    let found = engine.embed(&model, texts).await?;
    let data = found.vectors.into_iter().enumerate().map(|(index, vector)| {
        let embedding =
            if packed { VectorOut::Text(pack(&vector)) } else { VectorOut::Numbers(vector) };
        OneOut { object: "embedding", index, embedding }
    });
    let Usage { prompt, .. } = found.usage.unwrap_or_default();
    let usage = EmbedUsage { prompt_tokens: prompt, total_tokens: prompt };
    let list = ListOut { object: "list", data: data.collect(), model: &model, usage };
    Ok(json(&list))
}

fn pack(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())
}
