//! What is known of a request before it runs, without a tokenizer.

use std::hash::{DefaultHasher, Hash, Hasher};

use oag_schedule::fleet::BLOCK_TOKENS;
use oag_schedule::length::Facts;
use oag_serve::{Format, Generation, Input, Message, Role, Tool};

/// Bytes of English and of code for one token, about.
const BYTES_PER_TOKEN: f64 = 4.0;
/// Tokens of a character that is not ASCII, about.
const TOKENS_PER_CHARACTER: f64 = 0.75;
/// Tokens that a template puts around each message, about.
const TOKENS_PER_MESSAGE: f64 = 4.0;
/// Most blocks of a prompt that are told apart.
const BLOCKS_MAX: usize = 512;

/// Tokens of a text, about: a quarter of its ASCII bytes, three quarters of its other characters.
#[must_use]
pub fn estimate_tokens(text: &str) -> f64 {
    text.chars().map(weight).sum()
}

fn weight(character: char) -> f64 {
    if character.is_ascii() { 1.0 / BYTES_PER_TOKEN } else { TOKENS_PER_CHARACTER }
}

/// Hashes of a prompt's prefixes, shortest first, each one block of about [`BLOCK_TOKENS`] tokens
/// longer than the one before.
#[must_use]
pub fn prefixes(request: &Generation) -> Vec<u64> {
    let mut blocks = Blocks::new(&request.model);
    walk(request, &mut |text| blocks.take(text));
    blocks.found
}

/// What the length of the answer may be predicted from.
pub(crate) fn facts(request: &Generation) -> Facts {
    let (mut tokens, mut messages) = (0.0, 0.0);
    walk(request, &mut |text| tokens += estimate_tokens(text));
    let mut tools = false;
    if let Input::Chat { messages: said, tools: offered, .. } = &request.input {
        messages = said.len() as f64;
        tools = !offered.is_empty();
    }
    let prompt = (tokens + messages * TOKENS_PER_MESSAGE).ceil().max(1.0);
    Facts {
        model: request.model.clone(),
        // Positive; the cast saturates.
        prompt_tokens: prompt as u32,
        answer_tokens_max: request.limits.tokens_max,
        route: Some(if messages > 0.0 { "chat" } else { "text" }.to_owned()),
        stops: u8::try_from(request.limits.stop.len()).unwrap_or(u8::MAX),
        tools,
        schema: request.format != Format::Text,
    }
}

/// A hash of who asks, so that rules which go by it send the same to the same.
pub(crate) fn affinity(request: &Generation) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.context.tenant.as_str().hash(&mut hasher);
    request.context.user.hash(&mut hasher);
    hasher.finish()
}

/// Goes through the texts of a prompt in their order.
fn walk(request: &Generation, take: &mut dyn FnMut(&str)) {
    match &request.input {
        Input::Text(text) => take(text),
        Input::Chat { messages, tools, .. } => {
            for Tool { name, description, parameters } in tools {
                take(name);
                take(description.as_deref().unwrap_or_default());
                take(&parameters.to_string());
            }
            for Message { role, text, tool_calls, .. } in messages {
                take(match role {
                    Role::System => "\0s",
                    Role::User => "\0u",
                    Role::Assistant => "\0a",
                    Role::Tool => "\0t",
                });
                take(text);
                for call in tool_calls {
                    take(&call.name);
                    take(&call.arguments);
                }
            }
        }
    }
}

/// FNV-1a (Fowler, Noll, Vo): nodes and controllers of every build must make the same hashes.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct Blocks {
    hasher: Fnv,
    tokens: f64,
    found: Vec<u64>,
}

impl Blocks {
    fn new(model: &str) -> Self {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        hasher.write(model.as_bytes());
        Self { hasher, tokens: 0.0, found: Vec::new() }
    }

    fn take(&mut self, text: &str) {
        let mut from = 0;
        for (at, character) in text.char_indices() {
            if self.found.len() >= BLOCKS_MAX {
                return;
            }
            self.tokens += weight(character);
            if self.tokens >= BLOCK_TOKENS as f64 {
                let to = at + character.len_utf8();
                self.hasher.write(&text.as_bytes()[from..to]);
                self.found.push(self.hasher.finish());
                (from, self.tokens) = (to, 0.0);
            }
        }
        self.hasher.write(&text.as_bytes()[from..]);
    }
}

#[cfg(test)]
mod tests {
    use oag_serve::Context;
    use oag_types::Tenant;

    use super::*;

    fn asked(texts: &[&str]) -> Generation {
        let messages = texts.iter().map(|text| Message::new(Role::User, *text)).collect();
        let input = Input::Chat { messages, tools: Vec::new(), tool_choice: Default::default() };
        let tenant = Tenant::try_from("shop".to_owned()).unwrap();
        Generation::new("m", input, Context::new(tenant, "r".to_owned()))
    }

    #[test]
    fn prompts_share_the_prefixes_of_what_they_share() {
        let long = "stock of the blue kettle ".repeat(200);
        let one = prefixes(&asked(&[&long, "how many?"]));
        let two = prefixes(&asked(&[&long, "how much?"]));
        assert_eq!((one.len(), &one[..4]), (4, &two[..4]));
        let other = prefixes(&asked(&["x", &long]));
        assert!(one.iter().zip(&other).all(|(one, other)| one != other));
        assert!(prefixes(&asked(&["hello"])).is_empty());
    }

    #[test]
    fn chinese_takes_more_tokens_than_its_letters_in_english() {
        let english = estimate_tokens("restart the service");
        let chinese = estimate_tokens("重启服务");
        assert!((4.0..6.0).contains(&english) && (2.0..4.0).contains(&chinese));
        assert!(facts(&asked(&[])).prompt_tokens >= 1);
    }
}
