//! From a request to what is worked on.

use oag_serve::{EngineError, Generation, Input, Limits, Tool, ToolChoice};

use super::chat::Chat;
use super::draw::Draw;
use super::forced;
use super::model::Model;
use super::outlet::Outlet;
use super::piece::Piece;
use super::scan::Scan;
use super::shape::Shape;
use super::tools::Style;

/// Most stop texts of a request, and bytes of each.
const STOPS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 256;
/// Most alternatives that are shown for a token.
const TOP_MAX: u8 = 20;

/// A request as a piece of work; its end, when all of it was said before.
pub(super) fn piece(
    model: &Model,
    id: u64,
    asked: &Generation,
) -> Result<(Piece, Option<oag_serve::Ending>), EngineError> {
    check(asked)?;
    let (text, tokens) = match &asked.input {
        // Whoever continues text writes the marks as well.
        Input::Text(text) => (text.clone(), model.tokens(text, true)),
        Input::Chat { .. } => {
            let text = conversation(model, asked)?;
            let tokens = model.prompt_tokens(&text);
            (text, tokens)
        }
    };
    let prompt = tokens.len();
    let window = usize::try_from(model.window).unwrap_or(usize::MAX);
    if tokens.is_empty() {
        return Err(EngineError::refused("input", "must not be empty"));
    }
    if prompt >= window {
        let problem =
            format!("has {prompt} tokens; the model's window holds {window} with the answer");
        return Err(EngineError::refused("input", problem));
    }
    let scan = scan(model, asked, &text, &tokens);
    let shape = match call(model, asked, inside_thought(&text))? {
        Some(call) => Some(call),
        None => Shape::of(model, &asked.format)?,
    };
    let count = |tokens: Option<u32>| {
        tokens.and_then(|tokens| usize::try_from(tokens).ok()).unwrap_or(window)
    };
    let most = count(model.config.answer_tokens_max).min(window - prompt);
    let mut piece = Piece {
        id,
        request: asked.context.request.clone(),
        tokens,
        prompt,
        limit: count(asked.limits.tokens_max).min(most),
        logprobs: asked.logprobs.map(usize::from),
        draw: Draw::new(asked.sampling)?,
        outlet: Outlet::new(scan),
        shape,
        sequence: None,
        known: 0,
        reused: None,
    };
    let ending = piece.resume(model, &asked.resume)?;
    Ok((piece, ending))
}

fn check(asked: &Generation) -> Result<(), EngineError> {
    let Limits { tokens_max, stop } = &asked.limits;
    if *tokens_max == Some(0) {
        return Err(EngineError::refused("tokens_max", "must be at least 1"));
    }
    if stop.len() > STOPS_MAX {
        return Err(EngineError::refused("stop", format!("at most {STOPS_MAX} are possible")));
    }
    if stop.iter().any(|stop| stop.is_empty() || stop.len() > STOP_BYTES_MAX) {
        let problem = format!("each must have 1 to {STOP_BYTES_MAX} bytes");
        return Err(EngineError::refused("stop", problem));
    }
    if asked.logprobs.is_some_and(|top| top > TOP_MAX) {
        return Err(EngineError::refused("logprobs", format!("at most {TOP_MAX} are possible")));
    }
    Ok(())
}

fn conversation(model: &Model, asked: &Generation) -> Result<String, EngineError> {
    let Input::Chat { messages, tools, tool_choice } = &asked.input else {
        return Ok(String::new());
    };
    let chat = model.chat.as_ref().map_err(|why| {
        let problem = format!("this model continues text but holds no conversations: {why}");
        EngineError::refused("messages", problem)
    })?;
    let tools = match tool_choice {
        ToolChoice::Never => &[],
        ToolChoice::Auto | ToolChoice::Required | ToolChoice::Named(_) => &**tools,
    };
    if !tools.is_empty() && chat.style().is_none() {
        return Err(EngineError::refused("tools", "this model's chat template knows no tools"));
    }
    chat.render(messages, tools, asked.thinking)
}

/// Whether a prompt ends in the middle of a thought.
fn inside_thought(prompt: &str) -> bool {
    prompt.trim_end().ends_with("<think>")
}

/// The form of an answer that must call a tool; none where it need not.
fn call(model: &Model, asked: &Generation, thinks: bool) -> Result<Option<Shape>, EngineError> {
    let Input::Chat { tools, tool_choice, .. } = &asked.input else { return Ok(None) };
    let refuse = |problem: String| Err(EngineError::refused("tool_choice", problem));
    let wanted: Vec<&Tool> = match tool_choice {
        ToolChoice::Auto | ToolChoice::Never => return Ok(None),
        ToolChoice::Required if tools.is_empty() => {
            return refuse("a call is required, and there are no tools".to_owned());
        }
        ToolChoice::Required => tools.iter().collect(),
        ToolChoice::Named(name) => match tools.iter().find(|tool| tool.name == *name) {
            Some(tool) => vec![tool],
            None => return refuse(format!("there is no tool {name:?}")),
        },
    };
    let style = model.chat.as_ref().ok().and_then(Chat::style).unwrap_or(Style::Json);
    let grammar = forced::grammar(style, &wanted, thinks)?;
    match Shape::by(model, &grammar) {
        Some(shape) => Ok(Some(shape)),
        None => refuse("this engine cannot write a call of these tools".to_owned()),
    }
}

fn scan(
    model: &Model,
    asked: &Generation,
    prompt: &str,
    tokens: &[llama_cpp_2::token::LlamaToken],
) -> Scan {
    let mut scan = Scan::new(&asked.limits.stop);
    let (Input::Chat { tools, tool_choice, .. }, Ok(chat)) = (&asked.input, &model.chat) else {
        return scan;
    };
    if chat.thinks() {
        scan = scan.with_thoughts(inside_thought(prompt));
    }
    if let Some(style) = chat.style()
        && !tools.is_empty()
        && *tool_choice != ToolChoice::Never
    {
        let names = tools.iter().map(|tool| tool.name.clone()).collect();
        // Ids of calls are the same wherever the answer is gone on with.
        let hash = tokens.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, token| {
            (hash ^ u64::from(token.0.unsigned_abs())).wrapping_mul(0x0000_0100_0000_01b3)
        });
        scan = scan.with_tools(style, names, hash);
    }
    scan
}
