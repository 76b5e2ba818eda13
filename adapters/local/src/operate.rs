//! Operations on the wanted state, and what is to be seen of the actual one.

use std::collections::BTreeMap;
use std::sync::Arc;

use oag_pilot::{ExecError, Observed, Operation, Outcome, receipt};
use oag_types::Receipt;
use serde_json::{Value, json};

use crate::executor::unavailable;
use crate::replica::Phase;
use crate::spec::check_variable;
use crate::state::Wanted;
use crate::unit::{Unit, lock};
use crate::{LocalConfig, script};

/// Most configuration values set over those of the spec.
const CONFIG_MAX: usize = 256;

/// Carries out an operation once per key. `free` is the most replicas this service may want.
pub(crate) async fn apply(
    unit: &Arc<Unit>,
    operation: &Operation,
    key: &str,
    free: u32,
) -> Result<Receipt, ExecError> {
    if key.is_empty() || key.len() > 256 {
        return Err(ExecError::Refused("a key has 1 to 256 characters".to_owned()));
    }
    let applying = unit.applying.lock().await;
    let before = unit.wanted();
    if let Some(outcome) = before.keys.outcome(key) {
        return outcome.again();
    }
    if let Operation::RunScript { script, args } = operation {
        drop(applying);
        return script::run(unit, script, args, key).await;
    }
    let mut after = before.clone();
    let config = &unit.shared.config;
    let receipt = play(unit, &mut after, operation, free)?;
    let changed = receipt.changed;
    if changed {
        after.revision += 1;
    }
    if after.version != before.version {
        after.remember_version(config, unit.shared.clock.now());
    }
    after.keys.note(key, Outcome::Done(receipt.clone()), config.keys_kept);
    let tripped = (before.breaker_tripped != after.breaker_tripped || !after.breaker_tripped)
        .then_some(after.breaker_tripped);
    unit.commit(after).await.map_err(|error| unavailable(&error))?;
    if let (Operation::SetBreaker(_), Some(tripped)) = (operation, tripped) {
        unit.breaker.set(unit.shared.clock.now(), tripped);
    }
    tracing::info!(service = %unit.name, key, changed, detail = receipt.detail, "applied");
    Ok(receipt)
}

/// What carrying an operation out would answer now; nothing is changed.
pub(crate) fn rehearse(
    unit: &Unit,
    operation: &Operation,
    free: u32,
) -> Result<Receipt, ExecError> {
    if let Operation::RunScript { script, args } = operation {
        script::prepared(unit, script, args)?;
        let detail = format!("script '{script}' is there and takes these arguments");
        return Ok(Receipt { changed: true, detail, before: Value::Null, after: Value::Null });
    }
    play(unit, &mut unit.wanted(), operation, free)
}

/// Changes the wanted state as an operation asks; says what that changed.
fn play(
    unit: &Unit,
    wanted: &mut Wanted,
    operation: &Operation,
    free: u32,
) -> Result<Receipt, ExecError> {
    let before = facts(wanted);
    let detail = change(unit, wanted, operation, free)?;
    Ok(receipt(&before, &facts(wanted), detail))
}

/// Changes the wanted state; says what was done.
fn change(
    unit: &Unit,
    wanted: &mut Wanted,
    operation: &Operation,
    free: u32,
) -> Result<String, ExecError> {
    match operation {
        Operation::SetReplicas(replicas) => {
            if *replicas > free && *replicas > wanted.replicas {
                return Err(ExecError::Refused(format!(
                    "{replicas} replicas are above the limit: {free} are left for this service"
                )));
            }
            wanted.replicas = *replicas;
            Ok(format!("set replicas to {replicas}"))
        }
        Operation::SetRunning(running) => {
            wanted.running = *running;
            Ok(if *running { "started" } else { "stopped" }.to_owned())
        }
        Operation::Restart(count) => {
            if *count > wanted.restarts {
                wanted.restarts = *count;
                wanted.renew(&unit.shared.config);
            }
            Ok(format!("asked for rolling restart {count}"))
        }
        Operation::Deploy(version) => {
            deploy(unit, wanted, version)?;
            Ok(format!("set version to {version}"))
        }
        Operation::Configure(values) => {
            configure(wanted, &unit.shared.config, values)?;
            Ok(format!("set {} configuration values", values.len()))
        }
        Operation::SetBreaker(tripped) => {
            wanted.breaker_tripped = *tripped;
            Ok(format!("{} the breaker", if *tripped { "tripped" } else { "reset" }))
        }
        Operation::Shed { feature, shed } => {
            shed_feature(unit, wanted, feature, *shed)?;
            Ok(format!("{} feature {feature}", if *shed { "shed" } else { "restored" }))
        }
        Operation::RunScript { .. } | Operation::Notify { .. } => Err(ExecError::Refused(
            "the executor 'local' runs services and does not tell people".to_owned(),
        )),
    }
}

fn deploy(unit: &Unit, wanted: &mut Wanted, version: &str) -> Result<(), ExecError> {
    if version == wanted.version {
        return Ok(());
    }
    let entry = unit.entry();
    let past = wanted.history.iter().rev().find(|past| past.version == version);
    let run = entry.spec.version(version).or_else(|| past.map(|past| past.run.clone()));
    let Some(run) = run else {
        return Err(ExecError::Refused(format!(
            "version '{version}' is not known: there are {}",
            versions(unit, wanted).join(", ")
        )));
    };
    wanted.run = run;
    version.clone_into(&mut wanted.version);
    wanted.renew(&unit.shared.config);
    Ok(())
}

fn configure(
    wanted: &mut Wanted,
    limits: &LocalConfig,
    values: &BTreeMap<String, Option<String>>,
) -> Result<(), ExecError> {
    let before = wanted.effective_config();
    for (name, value) in values {
        check_variable(name, value.as_deref().unwrap_or_default())
            .map_err(|why| ExecError::Refused(format!("configuration '{name}' {why}")))?;
        wanted.config.insert(name.clone(), value.clone());
    }
    // Removing what the spec does not set leaves nothing to remember.
    let base = wanted.base.config.clone();
    wanted.config.retain(|name, value| value.is_some() || base.contains_key(name));
    if wanted.config.len() > CONFIG_MAX {
        return Err(ExecError::Refused(format!("more than {CONFIG_MAX} configuration values")));
    }
    if wanted.effective_config() != before {
        wanted.renew(limits);
    }
    Ok(())
}

fn shed_feature(unit: &Unit, wanted: &mut Wanted, name: &str, shed: bool) -> Result<(), ExecError> {
    let entry = unit.entry();
    let Some(feature) = entry.service.features.iter().find(|feature| feature.name == name) else {
        return Err(ExecError::Refused(format!("no feature '{name}'")));
    };
    if shed && feature.core {
        return Err(ExecError::Refused(format!("'{name}' is a core feature and is never shed")));
    }
    wanted.shed.retain(|known| known != name);
    if shed {
        wanted.shed.push(name.to_owned());
        wanted.shed.sort();
    }
    Ok(())
}

/// The part of the wanted state that people know.
fn facts(wanted: &Wanted) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::from([
        ("replicas".to_owned(), json!(wanted.replicas)),
        ("running".to_owned(), json!(wanted.running)),
        ("restarts".to_owned(), json!(wanted.restarts)),
        ("version".to_owned(), json!(wanted.version)),
        ("breaker_tripped".to_owned(), json!(wanted.breaker_tripped)),
        ("shed".to_owned(), json!(wanted.shed)),
    ]);
    for (name, value) in wanted.effective_config() {
        facts.insert(format!("config.{name}"), json!(value));
    }
    facts
}

/// Every version that can be deployed.
fn versions(unit: &Unit, wanted: &Wanted) -> Vec<String> {
    let entry = unit.entry();
    let mut versions: Vec<String> = entry.spec.versions.keys().cloned().collect();
    versions.push(entry.spec.version.clone());
    versions.extend(wanted.history.iter().map(|past| past.version.clone()));
    versions.sort();
    versions.dedup();
    versions
}

/// Everything there is to see.
pub(crate) fn observe(unit: &Unit) -> Observed {
    let wanted = unit.wanted();
    let entry = unit.entry();
    let now = unit.shared.clock.now();
    let mut fields: BTreeMap<String, Value> = BTreeMap::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    set("replicas", json!(wanted.replicas));
    set("running", json!(wanted.running));
    set("restarts", json!(wanted.restarts));
    set("version_wanted", json!(wanted.version));
    set("versions", json!(versions(unit, &wanted)));
    set("listen_address", json!(unit.address.to_string()));
    set("breaker", json!(unit.breaker.state()));
    set("breaker_snapshot", json!(unit.breaker.describe(now)));
    for (name, value) in wanted.effective_config() {
        set(&format!("config.{name}"), json!(value));
    }
    let mut features = BTreeMap::new();
    for feature in &entry.service.features {
        let state = if wanted.shed.contains(&feature.name) { "shed" } else { "on" };
        set(&format!("feature.{}", feature.name), json!(state));
        features.insert(feature.name.clone(), state);
    }
    set("features", json!(features));
    let seen = see(unit, &wanted);
    set("ready_replicas", json!(seen.ready));
    set("updated_replicas", json!(seen.updated));
    set("version", json!(seen.version));
    set("pids", json!(seen.pids));
    let settled = seen.all == seen.updated
        && u32::try_from(seen.updated).is_ok_and(|updated| updated == wanted.target());
    set("settled", json!(settled));
    if let Some(text) = unhealthy(unit, &unit.shared.config) {
        set("unhealthy", json!(text));
    }
    Observed { revision: wanted.revision, fields }
}

struct Seen {
    all: usize,
    ready: usize,
    /// Ready and of the wanted generation.
    updated: usize,
    version: String,
    pids: Vec<i32>,
}

/// What the replicas look like. The version is the one that serves; while two do, the old one, so
/// that a rollout is seen only when it is complete.
fn see(unit: &Unit, wanted: &Wanted) -> Seen {
    let replicas = lock(&unit.replicas);
    let ready = || replicas.iter().filter(|replica| replica.phase == Phase::Ready);
    let current = |generation| generation == wanted.generation;
    let old = ready().find(|replica| !current(replica.record.generation));
    let version = match old.or_else(|| ready().next()) {
        Some(replica) => replica.record.version.clone(),
        None => wanted.version.clone(),
    };
    Seen {
        all: replicas.len(),
        ready: ready().count(),
        updated: ready().filter(|replica| current(replica.record.generation)).count(),
        version,
        pids: replicas.iter().map(|replica| replica.process.pid).collect(),
    }
}

/// What is wrong, when something is.
fn unhealthy(unit: &Unit, config: &LocalConfig) -> Option<String> {
    let trouble = lock(&unit.trouble);
    let last = trouble.last.clone()?;
    if trouble.failures >= config.crash_loop_after.max(1) {
        return Some(format!("crash loop: {last}"));
    }
    Some(last)
}
