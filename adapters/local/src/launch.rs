//! Starting one replica so that it can never be lost: its record is on disk before it exists.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::LocalError;
use crate::files::{failed, private};
use crate::process::{Identity, MARKER};
use crate::replica::{Record, Replica};
use crate::state::Wanted;
use crate::unit::Unit;

/// Starts a replica of the wanted version. Blocks.
pub(crate) fn launch(unit: &Unit, wanted: &Wanted) -> Result<Replica, LocalError> {
    let port = unit.shared.ports.take()?;
    let record = Record {
        id: unit.shared.ids.uuid().simple().to_string(),
        port,
        generation: wanted.generation,
        version: wanted.version.clone(),
        launched_at: unit.shared.clock.now(),
        boot: unit.shared.boot.clone(),
        process: None,
    };
    start(unit, wanted, record.clone()).inspect_err(|_| {
        unit.shared.ports.release(port);
        // The record is only removed for tidiness: without a process it means nothing.
        let _ = record.delete(&unit.paths);
    })
}

fn start(unit: &Unit, wanted: &Wanted, mut record: Record) -> Result<Replica, LocalError> {
    record.save(&unit.paths)?;
    let marker = format!("{}{}", unit.marker_prefix(), record.id);
    let mut command = command(unit, wanted, &wanted.run.command, Some(record.port));
    command.envs(&wanted.run.env);
    with_config(&mut command, wanted);
    command.env("PORT", record.port.to_string()).env(MARKER, marker);
    let [(out, _), (err, _)] = record.outputs(&unit.paths);
    command
        .stdin(Stdio::null())
        .stdout(private(&out, true).map_err(failed("create", &out))?)
        .stderr(private(&err, true).map_err(failed("create", &err))?)
        .process_group(0);
    let program = wanted.run.command.first().cloned().unwrap_or_default();
    let mut child =
        command.spawn().map_err(|source| LocalError::Start { program: program.clone(), source })?;
    let identity = i32::try_from(child.id()).ok().and_then(Identity::of);
    let Some(identity) = identity else {
        let _ = child.kill();
        let source = std::io::Error::other("/proc does not show the new process");
        return Err(LocalError::Start { program, source });
    };
    record.process = Some(identity);
    if let Err(error) = record.save(&unit.paths) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    tracing::info!(service = %unit.name, replica = record.id, pid = identity.pid,
        port = record.port, version = record.version, "replica started");
    Ok(Replica::new(record, identity, Some(child), unit.monotonic()))
}

/// A command with the environment of the service, without the product's own secrets.
pub(crate) fn command(
    unit: &Unit,
    wanted: &Wanted,
    parts: &[String],
    port: Option<u16>,
) -> Command {
    let fill = |part: &String| match port {
        Some(port) => part.replace("{port}", &port.to_string()),
        None => part.clone(),
    };
    let mut parts = parts.iter().map(fill);
    let mut command = Command::new(parts.next().unwrap_or_default());
    command.args(parts).env_clear();
    for name in &unit.shared.config.env_inherit {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(&wanted.base.env);
    if let Some(cwd) = &wanted.base.cwd {
        command.current_dir(cwd);
    }
    command
}

/// Adds the configuration: one variable each, and all of it as JSON.
pub(crate) fn with_config(command: &mut Command, wanted: &Wanted) {
    let config = wanted.effective_config();
    let json = serde_json::to_string(&config).unwrap_or_default();
    command.envs(config).env("CONFIG", json);
}
