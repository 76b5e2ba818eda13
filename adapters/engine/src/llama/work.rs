//! The one thread that calculates: every step reads one token of each answer under way and, beside
//! them, a part of the prompts, so that a long prompt holds nobody up.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use oag_serve::EngineError;

use super::draw::Room;
use super::embed::Embedder;
use super::memory::{Memory, alike};
use super::model::Model;
use super::piece::Piece;
use crate::frames::{Figures, Report};

/// Figures are told at least this often, in steps.
const FIGURES_STEPS: u64 = 64;

/// What the thread is told.
pub(super) enum Task {
    /// Work on an answer.
    Begin(Box<Piece>),
    /// Turn texts, as tokens, into vectors.
    Embed(u64, Vec<Vec<i32>>),
    /// Nobody waits for this any more.
    Cancel(u64),
}

/// Everything that calculates.
pub(super) struct Work<'m> {
    model: &'m Model,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    memory: Memory,
    embedder: Embedder<'m>,
    /// In the order in which they were begun.
    active: Vec<Piece>,
    waiting: VecDeque<Piece>,
    /// Memory was short: nothing is begun until something ends.
    short: bool,
    room: Room,
    reports: SyncSender<Report>,
    figures: Figures,
    /// The change of what is kept that was told last.
    told_kept: u64,
    told: Figures,
    steps: u64,
}

/// The parent is gone, or nothing can be calculated any more.
pub(super) type Ended = Result<(), String>;

impl<'m> Work<'m> {
    pub(super) fn new(
        model: &'m Model,
        context: LlamaContext<'m>,
        reports: SyncSender<Report>,
    ) -> Self {
        let config = &model.config;
        let figures = Figures { slots: config.slots, ..Figures::default() };
        Self {
            batch: LlamaBatch::new(model.step_tokens(), 1),
            memory: Memory::new(config.slots, model.kept_max()),
            embedder: Embedder::new(model),
            active: Vec::new(),
            waiting: VecDeque::new(),
            short: false,
            room: Room::default(),
            figures,
            told_kept: 0,
            told: Figures::default(),
            steps: 0,
            model,
            context,
            reports,
        }
    }

    /// Works until nobody gives it anything to do any more.
    pub(super) fn run(mut self, tasks: &Receiver<Task>) -> Ended {
        self.tell_figures()?;
        loop {
            if self.active.is_empty() && self.waiting.is_empty() {
                let Ok(task) = tasks.recv() else { return Ok(()) };
                self.take(task)?;
            }
            loop {
                match tasks.try_recv() {
                    Ok(task) => self.take(task)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.begin()?;
            self.step()?;
            self.tell_figures()?;
        }
    }

    fn take(&mut self, task: Task) -> Ended {
        match task {
            Task::Begin(piece) => self.waiting.push_back(*piece),
            Task::Embed(id, texts) => {
                let report = match self.embedder.embed(&texts) {
                    Ok(told) => Report::Told { id, told },
                    Err(error) => Report::Error { id, error },
                };
                self.say(report)?;
            }
            Task::Cancel(id) => {
                self.waiting.retain(|piece| piece.id != id);
                if let Some(at) = self.active.iter().position(|piece| piece.id == id) {
                    self.end(at);
                }
            }
        }
        Ok(())
    }

    /// Gives slots to those who wait, the oldest first, with what is remembered of their prompts.
    fn begin(&mut self) -> Ended {
        let slots = usize::try_from(self.model.config.slots).unwrap_or(1);
        while self.active.len() < slots
            && !self.short
            && let Some(next) = self.waiting.front()
        {
            let used: usize = self.active.iter().map(|piece| piece.tokens.len()).sum();
            if !self.active.is_empty() && used + next.tokens.len() > self.model.memory_tokens() {
                break;
            }
            let Some(mut piece) = self.waiting.pop_front() else { break };
            let Some(sequence) = self.memory.take() else {
                self.waiting.push_front(piece);
                break;
            };
            self.reuse(&mut piece, sequence)?;
            self.active.push(piece);
        }
        Ok(())
    }

    fn reuse(&mut self, piece: &mut Piece, sequence: i32) -> Ended {
        piece.sequence = Some(sequence);
        let mut from = self.memory.find(&piece.tokens);
        for other in &self.active {
            let known = other.tokens.get(..other.known).unwrap_or_default();
            let count = alike(known, &piece.tokens);
            if let Some(there) = other.sequence
                && count > from.map_or(0, |(_, best)| best)
            {
                from = Some((there, count));
            }
        }
        // The last token is always read: it is what the next one is drawn from.
        let most = piece.tokens.len().saturating_sub(1);
        let Some((from, count)) = from.map(|(from, count)| (from, count.min(most))) else {
            piece.reused.get_or_insert(0);
            return Ok(());
        };
        if self.model.reuses() {
            let end = u32::try_from(count).map_err(|error| error.to_string())?;
            self.context
                .copy_kv_cache_seq(from, sequence, Some(0), Some(end))
                .map_err(|error| error.to_string())?;
            piece.known = count;
        }
        if piece.reused.is_none() {
            let reused = piece.known.min(piece.prompt);
            piece.reused = Some(reused);
            self.figures.reused += u64::try_from(reused).unwrap_or(0);
        }
        Ok(())
    }

    /// One step of everything under way.
    fn step(&mut self) -> Ended {
        let unread: Vec<usize> = self.active.iter().map(Piece::unread).collect();
        let shares = shares(&unread, self.model.step_tokens());
        if shares.is_empty() {
            return Ok(());
        }
        let places = self.fill(&shares).map_err(|error| error.to_string())?;
        match self.context.decode(&mut self.batch) {
            Ok(()) => {}
            Err(DecodeError::NoKvCacheSlot) => return self.make_room(),
            Err(error) => return Err(format!("the model cannot go on: {error}")),
        }
        self.steps += 1;
        for (at, share) in &shares {
            let Some(piece) = self.active.get_mut(*at) else { continue };
            let prompt = piece.prompt.saturating_sub(piece.known).min(*share);
            self.figures.read += u64::try_from(prompt).unwrap_or(0);
            piece.known += share;
        }
        // From the last to the first: those that end leave the list.
        for (at, place) in places.into_iter().rev() {
            self.draw(at, place)?;
        }
        Ok(())
    }

    /// Fills the batch; which answers get a token, and where their scores will be.
    fn fill(
        &mut self,
        shares: &[(usize, usize)],
    ) -> Result<Vec<(usize, i32)>, llama_cpp_2::llama_batch::BatchAddError> {
        self.batch.clear();
        let mut places = Vec::new();
        for (at, share) in shares {
            let Some(piece) = self.active.get(*at) else { continue };
            let Some(sequence) = piece.sequence else { continue };
            let end = piece.known + share;
            for place in piece.known..end {
                let last = place + 1 == piece.tokens.len();
                if last {
                    places.push((*at, self.batch.n_tokens()));
                }
                let position = i32::try_from(place).unwrap_or(i32::MAX);
                self.batch.add(piece.tokens[place], position, &[sequence], last)?;
            }
        }
        Ok(places)
    }

    fn draw(&mut self, at: usize, place: i32) -> Ended {
        let Some(piece) = self.active.get_mut(at) else { return Ok(()) };
        let scores = self.context.get_logits_ith(place);
        let (id, outcome) = (piece.id, piece.step(self.model, scores, &mut self.room));
        self.figures.written += 1;
        let (events, over) = outcome.events();
        if over.is_some() {
            self.end(at);
        }
        for event in events {
            self.say(Report::Event { id, event })?;
        }
        match over {
            Some(Err(error)) => self.say(Report::Error { id, error }),
            _ => Ok(()),
        }
    }

    /// Something has to be forgotten: what was kept, else the youngest answer under way, which is
    /// read anew once another one has ended.
    fn make_room(&mut self) -> Ended {
        if self.memory.drop_oldest(&mut self.context) {
            return Ok(());
        }
        let Some(mut piece) = self.active.pop() else { return Ok(()) };
        if let Some(sequence) = piece.sequence.take() {
            self.memory.release(&mut self.context, sequence);
        }
        if self.active.is_empty() {
            self.short = false;
            let problem = "it does not fit into the memory of the engine".to_owned();
            let error = EngineError::BrokeOff(problem);
            return self.say(Report::Error { id: piece.id, error });
        }
        piece.known = 0;
        self.short = true;
        self.figures.swapped += 1;
        self.waiting.push_front(piece);
        Ok(())
    }

    /// An answer has left: what was read for it is kept.
    fn end(&mut self, at: usize) {
        let piece = self.active.remove(at);
        self.short = false;
        let Some(sequence) = piece.sequence else { return };
        let known = piece.tokens.get(..piece.known).unwrap_or_default();
        self.memory.keep(&mut self.context, sequence, (known, &piece.request));
    }

    fn tell_figures(&mut self) -> Ended {
        let count = |pieces: usize| u32::try_from(pieces).unwrap_or(u32::MAX);
        self.figures.busy = count(self.active.len());
        self.figures.waiting = count(self.waiting.len());
        let moved = (self.told.slots, self.told.busy, self.told.waiting)
            != (self.figures.slots, self.figures.busy, self.figures.waiting);
        let (requests, changes) = self.memory.requests();
        if changes != self.told_kept {
            let kept = requests.map(str::to_owned).collect();
            self.told_kept = changes;
            self.say(Report::Kept(kept))?;
        }
        if moved || self.steps.is_multiple_of(FIGURES_STEPS) {
            self.told = self.figures;
            return self.say(Report::Figures(self.figures));
        }
        Ok(())
    }

    fn say(&self, report: Report) -> Ended {
        self.reports.send(report).map_err(|_| "nobody listens".to_owned())
    }
}

/// How many tokens of each are read in one step: one of each answer, and then prompts share what
/// is left.
fn shares(unread: &[usize], room: usize) -> Vec<(usize, usize)> {
    let (answers, mut prompts): (Vec<_>, Vec<_>) =
        unread.iter().copied().enumerate().partition(|(_, unread)| *unread == 1);
    let mut shares = answers;
    let mut left = room.saturating_sub(shares.len());
    // What a short one does not need goes to the longer ones.
    prompts.sort_by_key(|(_, unread)| *unread);
    let mut count = prompts.len();
    for (at, unread) in prompts {
        let share = unread.min(left.div_ceil(count)).min(left);
        if share > 0 {
            shares.push((at, share));
        }
        left -= share;
        count -= 1;
    }
    shares.sort_unstable();
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_goes_on_beside_prompts_however_long() {
        assert_eq!(shares(&[1, 500, 1, 40, 700], 64), [(0, 1), (1, 21), (2, 1), (3, 21), (4, 20)]);
        assert_eq!(shares(&[1, 500, 5], 64), [(0, 1), (1, 58), (2, 5)]);
        assert_eq!(shares(&[900, 1], 2), [(0, 1), (1, 1)]);
        assert_eq!(shares(&[], 64), []);
    }
}
