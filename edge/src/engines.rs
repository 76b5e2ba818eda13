//! What runs the models of a node: the one place where engines are made for every kind of node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use oag_cluster::protocol::Offer;
use oag_engine::{
    Dialect, OnnxConfig, SetupError, Upstream, UpstreamConfig, UpstreamModel, load_onnx,
};
use oag_schedule::Rates;
use oag_serve::{Engine, Engines, ModelCard};

/// Where models of Zhipu are, when a node is told only their names.
const ZHIPU: &str = "https://open.bigmodel.cn/api/paas/v4";
/// The variable in which Zhipu's own tools look for the key.
const ZHIPU_KEY: &str = "ZHIPUAI_API_KEY";
/// The variable with the key of another upstream.
const UPSTREAM_KEY: &str = "OPENAUTOGLM_UPSTREAM_KEY";

/// Which models are served, and what is known of what runs them.
#[derive(Debug, Clone, Copy)]
pub struct ModelArgs<'a> {
    /// The models: `NAME` or `NAME=NAME-THERE`.
    pub models: &'a [String],
    /// The server that runs them, up to the version.
    pub upstream: Option<&'a str>,
    /// Answers worked on at once.
    pub slots: Option<u32>,
    /// Tokens of prompt and answer that one request may have.
    pub max_tokens: u32,
    /// Other ways to run a model here, for people who named none.
    pub hint: &'static str,
}

/// The engine of an ONNX file. Only in builds with the feature `onnx`; others say so.
///
/// # Errors
/// When the file cannot be used.
pub async fn onnx(
    model: &str,
    file: &Path,
    threads: Option<u32>,
) -> Result<Arc<dyn Engine>, SetupError> {
    let mut config = OnnxConfig::new(model, file);
    config.threads = threads;
    let engine = load_onnx(config).await?;
    if let Some(card) = engine.card(model) {
        tracing::info!(model, about = card.about, "model loaded");
    }
    Ok(engine)
}

/// The engines of ONNX files, each for the model of its place.
///
/// # Errors
/// When a file cannot be used.
pub async fn onnx_files(
    models: &[String],
    files: &[PathBuf],
    threads: Option<u32>,
) -> Result<Vec<Arc<dyn Engine>>> {
    let mut engines = Vec::new();
    for (model, file) in models.iter().zip(files) {
        engines.push(onnx(model, file, threads).await.context("an ONNX model cannot be loaded")?);
    }
    Ok(engines)
}

/// The engines of some models; none for no models.
///
/// # Errors
/// When nothing is said of what runs a model, or a setting cannot be used.
pub fn engines(args: &ModelArgs<'_>) -> Result<Vec<Arc<dyn Engine>>> {
    match (args.models, args.upstream) {
        ([], Some(url)) => {
            bail!("--upstream {url} runs no model: name one that it has with --model NAME")
        }
        ([], None) => Ok(Vec::new()),
        _ => Ok(vec![Arc::new(upstream(args)?)]),
    }
}

fn upstream(args: &ModelArgs<'_>) -> Result<Upstream> {
    let upstream = match (args.upstream, variable(ZHIPU_KEY)) {
        (Some(url), _) => Some((url.to_owned(), variable(UPSTREAM_KEY))),
        (None, Some(key)) => Some((ZHIPU.to_owned(), Some(key))),
        (None, None) => None,
    };
    let Some((url, key)) = upstream else {
        bail!(
            "say what runs {}: {}--upstream URL for an OpenAI-compatible server (its key in \
             {UPSTREAM_KEY}), or set {ZHIPU_KEY} for Zhipu's own",
            args.models.join(", "),
            args.hint
        );
    };
    let mut config = UpstreamConfig::new("upstream", url);
    if config.url.contains("/api/paas/") {
        config.dialect = Dialect::Zhipu;
    }
    config.key = key.map(Into::into);
    if let Some(slots) = args.slots {
        config.concurrent_max = slots as usize;
    }
    config.models = args.models.iter().map(|name| upstream_model(name, args.max_tokens)).collect();
    Ok(Upstream::new(config)?)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `NAME` or `NAME=NAME-THERE`.
fn upstream_model(text: &str, window_tokens: u32) -> UpstreamModel {
    let (name, there) =
        text.split_once('=').map_or((text, None), |(name, there)| (name, Some(there)));
    UpstreamModel {
        upstream: there.map(str::to_owned),
        window_tokens: Some(window_tokens),
        completes: true,
        embeds: true,
        ..UpstreamModel::new(name)
    }
}

/// What a node offers of its engines: `slots` of each model, or as many as the engine has.
#[must_use]
pub fn offers(engines: &Engines, slots: Option<u32>, window: u32) -> Vec<Offer> {
    let of = |entry: oag_serve::Entry| offer(entry.card, entry.engine.stats().slots, slots, window);
    engines.models().into_iter().map(of).collect()
}

/// What a node offers of a model whose engine is able to give so many answers at once.
#[must_use]
pub fn offer(card: ModelCard, able: u32, slots: Option<u32>, window: u32) -> Offer {
    let slots = slots.unwrap_or(able).max(1);
    let window = u64::from(card.window_tokens.unwrap_or(window).min(window));
    Offer {
        card,
        slots,
        window_tokens: window,
        memory_tokens: window * u64::from(slots),
        rates: Rates::default(),
        held: None,
    }
}
