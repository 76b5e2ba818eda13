//! Prepared scripts: run once per key, without a shell, within a time, their output bounded.

use std::sync::Arc;
use std::time::Duration;

use oag_pilot::{ExecError, Outcome};
use oag_runtime::{Ran, run_bounded};
use oag_types::Receipt;
use serde_json::json;

use crate::executor::unavailable;
use crate::launch::{command, with_config};
use crate::spec::ScriptSpec;
use crate::unit::Unit;

const ARGS_MAX: usize = 256;
const ARG_BYTES_MAX: usize = 32 << 10;

/// Runs a script. That it is begun is written down first, so that after a crash in the middle it
/// is not run again.
pub(crate) async fn run(
    unit: &Arc<Unit>,
    name: &str,
    args: &[String],
    key: &str,
) -> Result<Receipt, ExecError> {
    let script = prepared(unit, name, args)?;
    let Ok(_place) = unit.scripts.try_acquire() else {
        return Err(ExecError::Unavailable("too many scripts run already".to_owned()));
    };
    note(unit, key, Outcome::Begun).await?;
    let parts: Vec<String> = script.command.iter().chain(args).cloned().collect();
    let timeout = Duration::from_millis(script.timeout_ms);
    let ended = execute(unit, &parts, key, timeout).await;
    let result = match ended {
        Ok(ran) => judge(name, &ran, script.timeout_ms),
        Err(error) => Err(format!("script '{name}' could not be run: {error}")),
    };
    note(unit, key, result.clone().into()).await?;
    result.map_err(ExecError::Failed)
}

/// The script of a name, when it can be run with these arguments.
pub(crate) fn prepared(unit: &Unit, name: &str, args: &[String]) -> Result<ScriptSpec, ExecError> {
    let entry = unit.entry();
    let Some(script) = entry.spec.scripts.get(name) else {
        let known: Vec<&str> = entry.spec.scripts.keys().map(String::as_str).collect();
        let known = known.join(", ");
        return Err(ExecError::Refused(format!("no script '{name}': there are {known}")));
    };
    let unfit = |arg: &String| arg.len() > ARG_BYTES_MAX || arg.contains('\0');
    if args.len() > ARGS_MAX || args.iter().any(unfit) {
        return Err(ExecError::Refused("too many, too long or unfit arguments".to_owned()));
    }
    Ok(script.clone())
}

/// Writes down what became of a key, unless somebody else began it meanwhile.
async fn note(unit: &Arc<Unit>, key: &str, outcome: Outcome) -> Result<(), ExecError> {
    let _one = unit.applying.lock().await;
    let mut wanted = unit.wanted();
    if outcome == Outcome::Begun
        && let Some(earlier) = wanted.keys.outcome(key)
    {
        earlier.again()?;
        return Err(ExecError::Failed(
            "this key was used by a request at the same time".to_owned(),
        ));
    }
    wanted.keys.note(key, outcome, unit.shared.config.keys_kept);
    unit.commit(wanted).await.map_err(|error| unavailable(&error))
}

async fn execute(
    unit: &Unit,
    parts: &[String],
    key: &str,
    timeout: Duration,
) -> std::io::Result<Ran> {
    let wanted = unit.wanted();
    let mut prepared = command(unit, &wanted, parts, None);
    with_config(&mut prepared, &wanted);
    prepared.env("OPENAUTOGLM_KEY", key).env("OPENAUTOGLM_ENDPOINT", unit.address.to_string());
    run_bounded(prepared, timeout, unit.shared.config.script_output_max).await
}

fn judge(name: &str, ran: &Ran, timeout_ms: u64) -> Result<Receipt, String> {
    let (out, err) = (String::from_utf8_lossy(&ran.out), String::from_utf8_lossy(&ran.err));
    let Some(status) = ran.status else {
        return Err(format!(
            "script '{name}' took longer than {timeout_ms} ms and was ended: {err}"
        ));
    };
    if !status.success() {
        return Err(format!("script '{name}' ended with {status}: {}", last_lines(&err)));
    }
    Ok(Receipt {
        changed: true,
        detail: format!("ran script '{name}'"),
        before: serde_json::Value::Null,
        after: json!({ "stdout": out, "stderr": err }),
    })
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ").chars().take(2_000).collect()
}
