//! `demo`: five ways to decide on replicas, side by side under the same recorded load, on real
//! processes. What it measures and what it does not is in `docs/demo.md`.
//!
//! Owns: the load, the comparison, and putting everything back afterwards. Refuses: any way to the
//! product but its public API, and load beyond this machine.

mod account;
mod arrivals;
mod conduct;
mod evidence;
mod generator;
mod load;
mod machine;
mod outcome;
mod report;
mod rules;
mod screen;
mod sizes;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use oag_runtime::{Clock, OnError, Shutdown, ShutdownHandle, Supervisor, SystemClock, TaskKind};
use reqwest::Url;

use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Format, Output};
use crate::connect;
use crate::exit::{Exit, Trouble};
use crate::value::count;
use account::Steps;
use conduct::{Conductor, Play, Seen};
use load::Load;
use outcome::Outcome;
use rules::{Before, Restored};
use screen::Screen;
use sizes::{CAPACITY, PEAK_REPLICAS, Policy, Sizes};

/// A recorded minute.
const MINUTE_MS: f64 = 60_000.0;
/// Steps that are played before any is counted.
const WARMUP: usize = 10;
/// How long replicas may take to start, beyond their start delay.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long putting everything back may take.
const TIDY_PATIENCE: Duration = Duration::from_secs(60);

/// What the demo is asked.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
    /// Recorded minutes to play; each lasts one step.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=load::MINUTES_MAX as i64))]
    minutes: u32,
    /// Length of a step in milliseconds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(i64).range(1_000..=5_000))]
    step_ms: i64,
    /// Seed of the moments at which requests are sent.
    #[arg(long, default_value_t = 1_998)]
    seed: u64,
    /// Write a page with charts to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Leave the demo's services in the catalogue and running.
    #[arg(long)]
    keep: bool,
    /// Go on although there are other services: for the time of the demo they are scaled without
    /// asking, too.
    #[arg(long)]
    yes: bool,
}

/// Runs the demo against a running server on this machine. The exit code is 0 when the loop was
/// ahead of the reactive rule and 1 when not.
///
/// # Errors
/// When there is no server, it has other services, or something fails on the way; everything is
/// put back before.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the async runtime cannot start")?;
    let terminal = Terminal::of_process();
    let code = runtime.block_on(demo(args, &terminal));
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

/// All that the parts of a run share.
struct Stage<'a> {
    args: &'a DemoArgs,
    terminal: &'a Terminal,
    api: Api,
    clock: Arc<dyn Clock>,
    supervisor: Supervisor,
    compression: f64,
}

async fn demo(args: &DemoArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.connection)?;
    let near = api.address().parse::<Url>().is_ok_and(|url| connect::is_loopback(&url));
    if !near {
        let text = format!("{} is not on this machine", api.address());
        return Err(Trouble::usage(text)
            .hint("the load is sent to services on the machine the demo runs on")
            .into());
    }
    let shutdown = ShutdownHandle::new();
    let supervisor = Supervisor::new(shutdown.clone());
    let signals = Shutdown::listen(shutdown.clone());
    supervisor.spawn("signals", TaskKind::Drains, OnError::Log, signals);
    let compression = MINUTE_MS / args.step_ms as f64;
    let clock = SystemClock::shared();
    let stage = Stage { args, terminal, api, clock, supervisor, compression };
    let note = rules::file_in(&args.connection.data);
    stage.clean_up_after_others(note.as_deref()).await?;
    stage.refuse_company().await?;
    let before = Before::read(&stage.api, compression).await?;
    if let Some(note) = &note {
        before.keep(note)?;
    }
    let result = tokio::select! {
        result = Box::pin(stage.perform(&before)) => result,
        () = shutdown.draining() => {
            Err(Trouble::new(Exit::Interrupted, "interrupted").into())
        }
    };
    // Whatever happened, no more requests are sent.
    shutdown.begin();
    let tidied = tokio::select! {
        tidied = Box::pin(stage.tidy(&before, note.as_deref())) => tidied,
        () = tokio::time::sleep(TIDY_PATIENCE) => Err(anyhow::anyhow!("it took too long")),
        () = shutdown.ended() => Err(anyhow::anyhow!("interrupted again")),
    };
    let tidied = tidied.map_err(|error| {
        let again = "run `openautoglm demo` again: it puts back what this one has left";
        anyhow::Error::from(Trouble::new(Exit::Failed, "not everything was put back").hint(again))
            .context(error.to_string())
    });
    let outcome = match (result, tidied) {
        (Ok(outcome), Ok(())) => outcome,
        (Err(error), tidied) => {
            if let Err(also) = tidied {
                terminal.report(&also);
            }
            return Err(error);
        }
        (Ok(_), Err(error)) => return Err(error),
    };
    stage.show(&outcome)?;
    Ok(if outcome.ahead { Exit::Done } else { Exit::Failed }.into())
}

impl Stage<'_> {
    /// Puts back what an earlier demo that was killed has left.
    async fn clean_up_after_others(&self, note: Option<&Path>) -> anyhow::Result<()> {
        if let Some(note) = note
            && let Some(left) = Before::left(note)?
        {
            self.terminal.say("putting back what a demo that was killed has left");
            self.tidy(&left, Some(note)).await?;
        }
        if world::remove(&self.api).await? > 0 {
            self.terminal.say("removed the services of an earlier demo");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    async fn refuse_company(&self) -> anyhow::Result<()> {
        let others = world::services(&self.api).await?;
        if others.is_empty() || self.args.yes {
            return Ok(());
        }
        let (name, _) = &others[0];
        let number = count(others.len(), "service", "services");
        let text = format!("this installation has {number} already, such as {name}");
        Err(Trouble::usage(text)
            .line("autonomy and limits hold for all services of a tenant: for the time of the")
            .line("demo the loop would scale these, too, without asking, with shorter cool-downs")
            .hint("use a server of its own (`openautoglm up --data DIR`), or add --yes")
            .into())
    }

    async fn perform(&self, before: &Before) -> anyhow::Result<Outcome> {
        let (args, terminal) = (self.args, self.terminal);
        let mut machine = machine::Machine::read();
        let step_ms = args.step_ms;
        let load = Load::of_window(args.minutes as usize, WARMUP, PEAK_REPLICAS * CAPACITY)?;
        // The past came the way the window will: as single requests, from dice of its own.
        let past = arrivals::drawn(&load.history, step_ms, !args.seed);
        let played = load.played();
        let arrivals = Arc::new(arrivals::arrivals(&played, step_ms, args.seed));
        let offered = arrivals::offered(&arrivals, played.len(), step_ms);
        let sizes = Sizes::of(&offered, WARMUP);
        let steps = Steps { step_ms, offered: offered[WARMUP..].to_vec(), warmup: WARMUP };
        terminal.say(&format!(
            "for the time of the demo 'scale' acts by itself, and the times of limits are divided \
             by {:.0}; both are recorded in the ledger and put back",
            self.compression
        ));
        before.lend(&self.api).await?;
        let begun = self.clock.now();
        let program = std::env::current_exe().context("the path of this program")?;
        world::create(&self.api, &sizes, &program.display().to_string(), step_ms).await?;
        terminal.say("five services start");
        let addresses = world::addresses(&self.api, START_PATIENCE).await?;
        let (start, start_at) = self.teach(&past, step_ms).await?;
        let play = Play { sizes, steps, arrivals, offered, start, start_at };
        let screen = Screen::new(terminal);
        let conductor = Conductor::new(&self.api, Arc::clone(&self.clock), &play, screen);
        let meter = Meter::begin(self);
        let seen = Box::pin(conductor.run(&addresses, &self.supervisor)).await?;
        let cpu_percent = meter.end(&play).await?;
        machine.load_after = machine::load();
        terminal.say("reading what was done");
        let mut outcome = self.judge(&play, &seen, machine, begun).await?;
        outcome.cpu_percent = cpu_percent;
        if seen.missed + seen.oracle_refused > 0 {
            terminal.say(&format!(
                "{} rounds of looks failed; {} wishes of the oracle were refused",
                seen.missed, seen.oracle_refused
            ));
        }
        Ok(outcome)
    }

    /// Teaches the loop the days before; the answer is when the first step begins, at the end of
    /// what was taught.
    async fn teach(
        &self,
        past: &[f64],
        step_ms: i64,
    ) -> anyhow::Result<(Duration, oag_types::Timestamp)> {
        self.terminal.say(&format!("teaching the forecaster {} minutes", past.len()));
        let mut allowance_ms = 3_000;
        loop {
            let ahead = self.clock.now().plus_millis(allowance_ms).as_millis();
            let whole = (ahead.div_euclid(step_ms) + 1) * step_ms;
            let start_at = oag_types::Timestamp::from_millis(whole);
            world::teach(&self.api, past, start_at, step_ms).await?;
            let left = start_at.millis_since(self.clock.now());
            if left >= 200 {
                let start = self.clock.monotonic() + Duration::from_millis(left.unsigned_abs());
                return Ok((start, start_at));
            }
            if allowance_ms > 60_000 {
                let text = "the server takes more than a minute to learn the past";
                return Err(Trouble::new(Exit::Unavailable, text).into());
            }
            allowance_ms *= 3;
        }
    }

    async fn judge(
        &self,
        play: &Play,
        seen: &Seen,
        machine: machine::Machine,
        begun: oag_types::Timestamp,
    ) -> anyhow::Result<Outcome> {
        let minutes = play.steps.offered.len();
        let since = (begun, play.counted_from_at());
        let step_ms = play.steps.step_ms;
        let (mut scores, mut courses) = (Vec::new(), Vec::new());
        let mut actions = evidence::Record::default();
        for policy in Policy::ALL {
            let patience = Duration::from_millis(step_ms.unsigned_abs() * 10);
            let record = evidence::record(&self.api, policy, since, step_ms, patience).await?;
            let (looks, shots) = (&seen.looks[policy.index()], &seen.shots[policy.index()]);
            let done = record.counted(minutes);
            scores.push(account::score(policy, &play.steps, looks, shots, &play.arrivals, done));
            courses.push(account::course(policy, &play.steps, looks, shots, &play.arrivals));
            if policy == Policy::Loop {
                actions = record;
            }
        }
        let (ahead, verdict) = outcome::verdict(&scores);
        Ok(Outcome {
            minutes,
            step_ms,
            seed: self.args.seed,
            first_row: load::WINDOW_ROW,
            capacity_per_replica: CAPACITY,
            ahead,
            verdict,
            scores,
            in_ledger: actions.deeds.iter().filter(|deed| deed.in_ledger()).count(),
            actions,
            cpu_percent: machine::Processor::default(),
            machine,
            offered: play.steps.offered.clone(),
            courses,
            forecasts: seen.forecasts.clone(),
        })
    }

    /// Takes the services out and puts the rules back.
    async fn tidy(&self, before: &Before, note: Option<&Path>) -> anyhow::Result<()> {
        let removed = if self.args.keep { Ok(0) } else { world::remove(&self.api).await };
        let restored = before.restore(&self.api).await?;
        if restored == Restored::LimitsAreOthers {
            self.terminal
                .say("the limits were changed by somebody else meanwhile: left as they are");
        }
        removed?;
        if let Some(note) = note {
            std::fs::remove_file(note)
                .or_else(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })
                .with_context(|| format!("{} cannot be removed", note.display()))?;
        }
        self.terminal.say(if self.args.keep {
            "autonomy and limits are as they were; the services stay (--keep)"
        } else {
            "services removed, autonomy and limits are as they were"
        });
        Ok(())
    }

    fn show(&self, outcome: &Outcome) -> anyhow::Result<()> {
        if let Some(file) = &self.args.report {
            std::fs::write(file, report::page(outcome))
                .with_context(|| format!("{} cannot be written", file.display()))?;
            self.terminal.say(&format!("report in {}", file.display()));
        }
        let document = serde_json::to_value(outcome)?;
        self.terminal.data(&match self.args.output.format {
            Format::Json => crate::table::json(&document)?,
            Format::Yaml => crate::table::yaml(&document)?,
            Format::Name => outcome.verdict.clone(),
            Format::Table | Format::Wide => outcome.text(),
        })
    }
}

/// Processor time of those involved.
struct Meter<'a> {
    stage: &'a Stage<'a>,
    product: Option<String>,
    before: (Option<f64>, Option<f64>),
    at: Duration,
}

impl<'a> Meter<'a> {
    fn begin(stage: &'a Stage<'a>) -> Self {
        let product = machine::server_process(&stage.args.connection.data)
            .filter(|_| stage.args.connection.url.is_none());
        let used = |process: &Option<String>| process.as_deref().and_then(machine::cpu_seconds);
        let before = (machine::cpu_seconds("self"), used(&product));
        Self { stage, product, before, at: stage.clock.monotonic() }
    }

    async fn end(self, play: &Play) -> anyhow::Result<machine::Processor> {
        let seconds = self.stage.clock.monotonic().saturating_sub(self.at).as_secs_f64();
        let share = |before: Option<f64>, after: Option<f64>| {
            Some((after? - before?) * 100.0 / seconds.max(1e-3))
        };
        let product = self.product.as_deref().and_then(machine::cpu_seconds);
        let mut replicas = None;
        for policy in Policy::ALL {
            let (from, to) = (play.counted_from_at(), play.end_at());
            let cpu = world::mean_of(&self.stage.api, policy, "cpu_usage", from, to).await?;
            if let Some(cpu) = cpu {
                replicas = Some(replicas.unwrap_or(0.0) + cpu);
            }
        }
        Ok(machine::Processor {
            generator: share(self.before.0, machine::cpu_seconds("self")),
            product: share(self.before.1, product),
            replicas,
        })
    }
}
