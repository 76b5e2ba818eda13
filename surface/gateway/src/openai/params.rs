//! What conversations and plain text have in common.

use oag_serve::{Limits, Sampling};
use serde::Deserialize;

use crate::state::Gateway;
use crate::trouble::Trouble;

/// Most texts at which an answer stops.
const STOPS_MAX: usize = 16;

/// One or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// What goes with a stream.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: bool,
    /// Padding against those who watch the size of parts; nothing is padded here.
    #[serde(default, rename = "include_obfuscation")]
    _include_obfuscation: bool,
}

/// How tokens are drawn, as it is asked for.
#[derive(Debug, Default)]
pub(super) struct Draws {
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<u32>,
    pub(super) seed: Option<i64>,
    pub(super) presence_penalty: Option<f32>,
    pub(super) frequency_penalty: Option<f32>,
}

impl Draws {
    pub(super) fn sampling(self) -> Result<Sampling, Trouble> {
        let bounded = |param: &'static str, value: Option<f32>, least: f32, most: f32| match value {
            Some(value) if !(least..=most).contains(&value) => {
                let message = format!("Invalid '{param}': it is from {least} to {most}.");
                Err(Trouble::invalid(param, message))
            }
            value => Ok(value),
        };
        Ok(Sampling {
            temperature: bounded("temperature", self.temperature, 0.0, 2.0)?,
            // Nothing would be left at 0; the likeliest token is what is meant.
            top_p: bounded("top_p", self.top_p, 0.0, 1.0)?
                .map(|share| share.max(f32::MIN_POSITIVE)),
            top_k: self.top_k,
            seed: self.seed.map(i64::cast_unsigned),
            presence_penalty: bounded("presence_penalty", self.presence_penalty, -2.0, 2.0)?,
            frequency_penalty: bounded("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?,
        })
    }
}

/// Where answers end.
pub(super) fn limits(
    tokens_max: Option<u32>,
    param: &'static str,
    stop: Option<OneOrMany<String>>,
) -> Result<Limits, Trouble> {
    if tokens_max == Some(0) {
        return Err(Trouble::invalid(param, format!("Invalid '{param}': it is at least 1.")));
    }
    let stop = stop.map_or_else(Vec::new, OneOrMany::into_vec);
    if stop.len() > STOPS_MAX || stop.iter().any(String::is_empty) {
        let message = format!("Invalid 'stop': at most {STOPS_MAX} texts, none of them empty.");
        return Err(Trouble::invalid("stop", message));
    }
    Ok(Limits { tokens_max, stop })
}

/// How many answers.
pub(super) fn choices(gateway: &Gateway, n: Option<u32>) -> Result<u32, Trouble> {
    let most = gateway.config.choices_max;
    match n.unwrap_or(1) {
        n if (1..=most).contains(&n) => Ok(n),
        _ => Err(Trouble::invalid("n", format!("Invalid 'n': it is from 1 to {most}."))),
    }
}

/// Nothing of a kind that is not done here.
pub(super) fn absent(param: &'static str, given: bool, why: &str) -> Result<(), Trouble> {
    if given { Err(Trouble::unsupported(param, why)) } else { Ok(()) }
}
