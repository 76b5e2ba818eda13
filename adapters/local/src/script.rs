//! Prepared scripts: run once per key, without a shell, within a time, their output bounded.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use oag_pilot::ExecError;
use oag_types::Receipt;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::executor::unavailable;
use crate::launch::{command, with_config};
use crate::operate::repeated;
use crate::process::Identity;
use crate::spec::ScriptSpec;
use crate::state::Outcome;
use crate::unit::Unit;

const ARGS_MAX: usize = 256;
const ARG_BYTES_MAX: usize = 32 << 10;

/// What a script that was started left behind.
struct Ran {
    /// None: it took too long and was ended.
    status: Option<ExitStatus>,
    out: Vec<u8>,
    err: Vec<u8>,
}

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
    let outcome = match &result {
        Ok(receipt) => Outcome::Done(receipt.clone()),
        Err(why) => Outcome::Failed(why.clone()),
    };
    note(unit, key, outcome).await?;
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
        && let Some(earlier) = wanted.outcome(key)
    {
        repeated(earlier)?;
        return Err(ExecError::Failed(
            "this key was used by a request at the same time".to_owned(),
        ));
    }
    wanted.note(&unit.shared.config, key, outcome);
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
    prepared
        .env("OPENAUTOGLM_KEY", key)
        .env("OPENAUTOGLM_ENDPOINT", unit.address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    std::os::unix::process::CommandExt::process_group(&mut prepared, 0);
    let mut child = tokio::process::Command::from(prepared).kill_on_drop(true).spawn()?;
    let identity = child.id().and_then(|id| Identity::of(i32::try_from(id).ok()?));
    let most = unit.shared.config.script_output_max;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut texts = (Vec::new(), Vec::new());
    let finished = {
        let work = async {
            let (out, err) = (read(out, most, &mut texts.0), read(err, most, &mut texts.1));
            let (status, (), ()) = tokio::join!(child.wait(), out, err);
            status
        };
        tokio::time::timeout(timeout, work).await
    };
    let status = match finished {
        Ok(status) => Some(status?),
        Err(_) => {
            end_group(identity);
            child.wait().await?;
            None
        }
    };
    Ok(Ran { status, out: texts.0, err: texts.1 })
}

/// Ends a script with everything it started. Its leader is not waited for yet, so the number of
/// the group still belongs to it.
fn end_group(leader: Option<Identity>) {
    let Some(leader) = leader else { return };
    if let Some(group) = rustix::process::Pid::from_raw(leader.pid) {
        // That the group is gone already is fine.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// Reads to the end and keeps the first part.
async fn read(stream: Option<impl AsyncRead + Unpin>, most: usize, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 8 << 10];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let room = most.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
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
