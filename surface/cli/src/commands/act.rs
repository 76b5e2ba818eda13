//! `apply`, `approve`, `cancel` and `resolve`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::describe;
use crate::Terminal;
use crate::api::Api;
use crate::args::{Confirm, Connection, Format, Output, Wait};
use crate::exit::{Exit, Trouble};
use crate::show;
use crate::table;
use crate::value::{Read, span, words};

const LOOK: Duration = Duration::from_millis(250);

/// Which plan to set to work.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The plan, pln_…
    plan: String,
    /// The digest of the plan that was read; else of the plan as it is now.
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which plan to approve.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The plan, pln_…
    plan: String,
    /// The digest of the plan that was read; else of the plan that is shown now.
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which plan to call off.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The plan, pln_…
    plan: String,
    /// Why, for its history.
    #[arg(long, default_value = "called off on the command line")]
    reason: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// What an unknown outcome was.
#[derive(Debug, Args)]
#[group(id = "outcome", required = true, multiple = false, args = ["done", "not_done"])]
pub(crate) struct ResolveArgs {
    /// The plan, pln_…
    plan: String,
    /// You looked, and it was done.
    #[arg(long)]
    done: bool,
    /// You looked, and it was not done.
    #[arg(long)]
    not_done: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn apply(args: ApplyArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let digest = match args.digest {
        Some(digest) => digest,
        None => {
            let plan = read(&api, &args.plan).await?;
            if args.output.format == Format::Table && args.wait.wait {
                terminal.say(&show::summary(&plan, terminal.now()));
            }
            plan.text("/digest")
        }
    };
    let path = ["api", "v1", "plans", &args.plan, "apply"];
    let plan = api.post(&path, &json!({ "digest": digest })).await?;
    finish(&api, plan, args.wait, args.output, terminal).await
}

pub(crate) async fn approve(args: ApproveArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let plan = read(&api, &args.plan).await?;
    let shown = plan.text("/digest");
    let digest = args.digest.unwrap_or_else(|| shown.clone());
    if digest != shown {
        let text = format!("the plan has another digest than you name: {shown}");
        let hint = format!("read it again: `openautoglm describe plan {}`", args.plan);
        return Err(Trouble::new(Exit::Conflict, text).hint(hint).into());
    }
    if !args.confirm.yes {
        let states = describe::states(&api, &plan).await;
        terminal.say(&show::plan(&plan, &states, terminal.now()));
    }
    args.confirm.ask(terminal, "Approve exactly this plan?").await?;
    let path = ["api", "v1", "plans", &args.plan, "approve"];
    let plan = api.post(&path, &json!({ "digest": digest })).await?;
    finish(&api, plan, args.wait, args.output, terminal).await
}

pub(crate) async fn cancel(args: CancelArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let path = ["api", "v1", "plans", &args.plan, "cancel"];
    let plan = api.post(&path, &json!({ "reason": args.reason })).await?;
    display(&plan, args.output, terminal)?;
    Ok(Exit::Done)
}

pub(crate) async fn resolve(args: ResolveArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let resolution = if args.done { "done" } else { "not_done" };
    let path = ["api", "v1", "plans", &args.plan, "resolve"];
    let plan = api.post(&path, &json!({ "resolution": resolution })).await?;
    display(&plan, args.output, terminal)?;
    Ok(Exit::Done)
}

async fn read(api: &Api, plan: &str) -> anyhow::Result<Value> {
    api.get(&["api", "v1", "plans", plan], &[]).await
}

/// Waits when that is wanted, shows the plan, and says how it stands.
pub(super) async fn finish(
    api: &Api,
    plan: Value,
    wait: Wait,
    output: Output,
    terminal: &Terminal,
) -> anyhow::Result<Exit> {
    let plan = if wait.wait { until_final(api, plan, wait, terminal).await? } else { plan };
    display(&plan, output, terminal)?;
    Ok(standing(&plan, wait.wait, terminal))
}

fn display(plan: &Value, output: Output, terminal: &Terminal) -> anyhow::Result<()> {
    table::show(
        terminal,
        output.format,
        plan,
        || plan.text("/id"),
        || {
            let head = show::summary(plan, terminal.now());
            format!("{head}{}{}", show::verdict(plan), show::steps(plan))
        },
    )
}

/// What the phase means for a script, and what to do next.
fn standing(plan: &Value, waited: bool, terminal: &Terminal) -> Exit {
    let id = plan.str("/id");
    match plan.str("/phase") {
        "awaiting_approval" => {
            let digest = plan.str("/digest");
            terminal.say("a person who did not propose it must approve it");
            let command = format!("openautoglm approve {id} --digest {digest}");
            terminal.hint(&format!("they run: `{command}`"));
            Exit::NeedsApproval
        }
        "outcome_unknown" => {
            terminal.say("nobody knows whether it was done: look at the service");
            let command = format!("openautoglm resolve {id} --done");
            terminal.hint(&format!("then run: `{command}`, or with --not-done"));
            Exit::Failed
        }
        "failed" | "undone" | "denied" | "expired" | "cancelled" | "superseded" => {
            terminal.hint(&format!("what happened: `openautoglm describe plan {id}`"));
            Exit::Failed
        }
        "succeeded" => Exit::Done,
        _ => {
            if !waited {
                let story = plan.str("/plan/story");
                terminal.hint(&format!("follow it: `openautoglm describe story {story}`"));
            }
            Exit::Done
        }
    }
}

/// Waits for the end, or for what only a person can do.
async fn until_final(
    api: &Api,
    plan: Value,
    wait: Wait,
    terminal: &Terminal,
) -> anyhow::Result<Value> {
    let id = plan.text("/id");
    let follow = async {
        let mut plan = plan;
        let mut phase = String::new();
        loop {
            if plan.str("/phase") != phase {
                plan.str("/phase").clone_into(&mut phase);
                terminal.say(&format!("{id}: {}", words(&phase)));
            }
            if !matches!(phase.as_str(), "proposed" | "queued" | "running") {
                return Ok(plan);
            }
            tokio::time::sleep(LOOK).await;
            plan = read(api, &id).await?;
        }
    };
    match tokio::time::timeout(wait.timeout, follow).await {
        Ok(found) => found,
        Err(_) => {
            let millis = i64::try_from(wait.timeout.as_millis()).unwrap_or(i64::MAX);
            let text = format!("{id} has not come to its end within {}", span(millis));
            let hint = format!("it goes on by itself: `openautoglm describe plan {id}`");
            Err(Trouble::new(Exit::Unavailable, text).hint(hint).into())
        }
    }
}
