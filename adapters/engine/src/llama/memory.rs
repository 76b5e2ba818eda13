//! What the model remembers, by sequence: which are free, and which are kept because later prompts
//! may begin alike.

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::token::LlamaToken;

/// The sequences of a context.
#[derive(Debug)]
pub(super) struct Memory {
    free: Vec<i32>,
    kept: Vec<Kept>,
    kept_max: usize,
    uses: u64,
    /// How often what is kept has changed.
    changes: u64,
}

#[derive(Debug)]
struct Kept {
    sequence: i32,
    tokens: Vec<LlamaToken>,
    /// Whose prompt it begins with.
    request: String,
    /// When it was used last, counted in uses.
    used: u64,
}

impl Memory {
    /// With a sequence for each of so many requests, and for each of so many that are kept.
    pub(super) fn new(slots: u32, kept_max: u32) -> Self {
        let sequences = i32::try_from(slots + kept_max).unwrap_or(i32::MAX);
        let kept_max = usize::try_from(kept_max).unwrap_or(0);
        Self {
            free: (0..sequences).rev().collect(),
            kept: Vec::new(),
            kept_max,
            uses: 0,
            changes: 0,
        }
    }

    /// A free sequence.
    pub(super) fn take(&mut self) -> Option<i32> {
        self.free.pop()
    }

    /// The kept sequence that begins most like these tokens, and how many are alike.
    pub(super) fn find(&mut self, tokens: &[LlamaToken]) -> Option<(i32, usize)> {
        self.uses += 1;
        let found = self.kept.iter_mut().max_by_key(|kept| alike(&kept.tokens, tokens))?;
        let count = alike(&found.tokens, tokens);
        if count == 0 {
            return None;
        }
        found.used = self.uses;
        Some((found.sequence, count))
    }

    /// Keeps what a sequence remembers, instead of the shorter ones it begins with.
    pub(super) fn keep(
        &mut self,
        context: &mut LlamaContext<'_>,
        sequence: i32,
        (tokens, request): (&[LlamaToken], &str),
    ) {
        self.uses += 1;
        let longer = self.kept.iter_mut().find(|kept| kept.tokens.starts_with(tokens));
        if let Some(longer) = longer {
            longer.used = self.uses;
            return self.release(context, sequence);
        }
        self.changes += 1;
        while let Some(at) = self.kept.iter().position(|kept| tokens.starts_with(&kept.tokens)) {
            let shorter = self.kept.swap_remove(at);
            self.release(context, shorter.sequence);
        }
        if self.kept_max == 0 || tokens.is_empty() {
            return self.release(context, sequence);
        }
        while self.kept.len() >= self.kept_max {
            self.drop_oldest(context);
        }
        let (tokens, request) = (tokens.to_vec(), request.to_owned());
        self.kept.push(Kept { sequence, tokens, request, used: self.uses });
    }

    /// Forgets what was kept and not used for the longest time; whether there was anything.
    pub(super) fn drop_oldest(&mut self, context: &mut LlamaContext<'_>) -> bool {
        let oldest = self.kept.iter().enumerate().min_by_key(|(_, kept)| kept.used);
        let Some((at, _)) = oldest else { return false };
        let dropped = self.kept.swap_remove(at);
        self.changes += 1;
        self.release(context, dropped.sequence);
        true
    }

    /// Whose prompts are kept, and how often that has changed.
    pub(super) fn requests(&self) -> (impl Iterator<Item = &str>, u64) {
        (self.kept.iter().map(|kept| kept.request.as_str()), self.changes)
    }

    /// Forgets what a sequence remembers.
    pub(super) fn release(&mut self, context: &mut LlamaContext<'_>, sequence: i32) {
        // Removing a whole sequence always succeeds.
        let _ = context.clear_kv_cache_seq(u32::try_from(sequence).ok(), None, None);
        self.free.push(sequence);
    }
}

/// How many tokens two texts have in common from their beginning.
pub(super) fn alike(one: &[LlamaToken], other: &[LlamaToken]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
