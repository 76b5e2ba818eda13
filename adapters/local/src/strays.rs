//! Finding the replicas of an earlier process, recorded or not, and ending what nobody wants.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use crate::files::{json_files, read_json, remove};
use crate::process::{Identity, Marked, marked};
use crate::replica::{Record, Replica};
use crate::unit::{Unit, lock};

/// Takes over every live replica of this service and clears away the traces of dead ones. Blocks.
pub(crate) fn recover(unit: &Unit) -> Vec<Replica> {
    let found = by_id(marked(&unit.marker_prefix()), &unit.marker_prefix());
    let mut replicas = Vec::new();
    for path in json_files(&unit.paths.folder) {
        let Ok(Some(record)) = read_json::<Record>(&path) else {
            // A record that cannot be read names nobody; its process is found by its marker.
            let _ = remove(&path);
            continue;
        };
        match process_of(unit, &record, found.get(&record.id)) {
            Some(process) => replicas.push(taken_over(unit, record, process)),
            None => {
                tracing::info!(service = %unit.name, replica = record.id, "replica is gone");
                let _ = record.delete(&unit.paths);
            }
        }
    }
    replicas.sort_by(|a, b| {
        let key = |replica: &Replica| (replica.record.launched_at, replica.record.id.clone());
        key(a).cmp(&key(b))
    });
    for (id, processes) in found {
        if replicas.iter().all(|replica| replica.record.id != id) {
            end(unit, &id, &processes);
        }
    }
    replicas
}

/// The live process of a record: the one written down, or the one that carries its marker when
/// the product died before it could be written down.
fn process_of(unit: &Unit, record: &Record, found: Option<&Vec<Marked>>) -> Option<Identity> {
    if let Some(process) = record.process {
        return (record.boot == unit.shared.boot && process.is_alive()).then_some(process);
    }
    found?.iter().find(|process| process.leader).map(|process| process.identity)
}

fn taken_over(unit: &Unit, mut record: Record, process: Identity) -> Replica {
    record.process = Some(process);
    record.boot.clone_from(&unit.shared.boot);
    if let Err(error) = record.save(&unit.paths) {
        tracing::warn!(error = error.chain(), "record of an adopted replica not saved");
    }
    unit.shared.ports.reserve(record.port);
    tracing::info!(service = %unit.name, replica = record.id, pid = process.pid,
        port = record.port, "replica adopted");
    Replica::new(record, process, None, unit.monotonic())
}

fn by_id(found: Vec<Marked>, prefix: &str) -> BTreeMap<String, Vec<Marked>> {
    let mut groups: BTreeMap<String, Vec<Marked>> = BTreeMap::new();
    for process in found {
        let id = process.marker.strip_prefix(prefix).unwrap_or_default().to_owned();
        groups.entry(id).or_default().push(process);
    }
    groups
}

/// Ends processes that carry the marker of a replica that is not in charge any more. Blocks.
pub(crate) fn sweep(unit: &Unit) {
    let prefix = unit.marker_prefix();
    // First the processes, then the replicas: one that was started in between is in both.
    let found = by_id(marked(&prefix), &prefix);
    if found.is_empty() {
        return;
    }
    let recorded: Vec<String> = json_files(&unit.paths.folder)
        .iter()
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
        .collect();
    let known: Vec<String> =
        lock(&unit.replicas).iter().map(|replica| replica.record.id.clone()).collect();
    for (id, processes) in found {
        if !recorded.contains(&id) && !known.contains(&id) {
            end(unit, &id, &processes);
        }
    }
}

/// Ends what a replica that is gone has left behind. Blocks.
pub(crate) fn sweep_one(unit: &Unit, id: &str) {
    let processes = marked(&format!("{}{id}", unit.marker_prefix()));
    if !processes.is_empty() {
        end(unit, id, &processes);
    }
}

fn end(unit: &Unit, id: &str, processes: &[Marked]) {
    for process in processes {
        let pid = process.identity.pid;
        tracing::warn!(service = %unit.name, replica = id, pid, "ending a process left behind");
        process.identity.signal(Signal::KILL);
    }
}

/// Stops a replica: no more requests, those in flight finish, then a request to end, then the end.
pub(crate) async fn retire(unit: &Unit, id: &str, process: Identity, slot: &crate::gate::Slot) {
    let grace = Duration::from_millis(unit.shared.config.stop_grace_ms);
    unit.gate.remove(id);
    if tokio::time::timeout(grace, slot.idle()).await.is_err() {
        tracing::warn!(service = %unit.name, replica = id, "requests in flight were cut off");
    }
    process.signal(Signal::TERM);
    if tokio::time::timeout(grace, gone(process)).await.is_err() {
        tracing::warn!(service = %unit.name, replica = id, "replica did not end and was killed");
        process.signal(Signal::KILL);
        // A process in uninterruptible sleep ends later; the next sweep looks at it again.
        let _ = tokio::time::timeout(grace, gone(process)).await;
    }
}

/// How often the end of a process is looked for.
const LOOK: Duration = Duration::from_millis(20);

async fn gone(process: Identity) {
    while process.is_alive() {
        tokio::time::sleep(LOOK).await;
    }
}
